/* agent/diag/diag.h: a source that asks: one ECU over ISO-TP, polled by a schedule.
 *
 * What it answers goes to env->payload, a payload an identifier, so the catalog's message of the
 * response identifier decodes it. That identifier is claimed: its raw frames are not put together a
 * second time. Whatever goes wrong is said once a request and reason and counted (diag_*); the
 * other sources go on. */
#pragma once

#include "agent/diag/isotp_socket.h"
#include "agent/diag/schedule.h"
#include "agent/source/source.h"

struct can_interface;

enum {
	DIAG_POLLS_MAX = 16,
	DIAG_GAP_MS = 10, /* from the end of a request to the next, whatever the periods are */
	DIAG_STRAY_QUIET_S = 60, /* strays are said again after so long without any */
};

enum diag_fd { DIAG_FD_MAIN, DIAG_FD_FUNCTIONAL, DIAG_FD_LISTENER };

struct diag_options {
	const char *interface;
	const char *bus; /* the catalog's bus; must be in it */
	struct isotp_socket_options socket;
	bool has_functional; /* OBD requests go to all ECUs, by this identifier */
	uint32_t functional;
	int64_t p2_ns, p2_star_ns; /* ISO 14229-2 */
	/* After SILENCE_AFTER requests in a row without any response, one request in this time. */
	int64_t silent_ns;
	const struct diag_poll *polls;
	size_t n_polls;
	/* For tests where there is no CAN: opens a message socket instead of CAN_ISOTP, and stands
	 * in for the interface. NULL: the kernel's. */
	int (*open)(enum diag_fd which);
	int (*find)(const char *interface, struct can_interface *ret);
};

/* Copies all of opt. Returns 0; -EINVAL with err: the bus is not in the catalog, no name for an
 * interface, too many polls; -ENOMEM. It opens with the loop. */
int diag_new(struct source **ret, const struct source_env *env, const char *name,
	     const struct diag_options *opt, struct error *err) must_check;
