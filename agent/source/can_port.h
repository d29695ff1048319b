/* agent/source/can_port.h: a CAN socket that is opened, lost and opened again; for the sources.
 *
 * A kernel without the protocol, an interface that is missing or down, a right that is missing:
 * said once a reason and tried again each CAN_PORT_RETRY_S, and at once when the interface goes up
 * (env->watch), while the other sources go on. */
#pragma once

#include "agent/can/can_watch.h"
#include "agent/health/limit.h"
#include "agent/source/source.h"

#include <net/if.h>

enum { CAN_PORT_RETRY_S = 3 };

struct can_interface;

struct can_port {
	/* Set by the owner before can_port_start; borrowed. */
	struct source *source;
	/* Opens, sets and binds a non-blocking socket for the interface, which is up. Returns the
	 * descriptor or -errno, with nothing left open. */
	int (*open)(struct can_port *p, int ifindex);
	void (*readable)(struct can_port *p, uint32_t events);
	void (*opened)(struct can_port *p); /* NULL: no matter */
	void (*closed)(struct can_port *p); /* after an open one failed; NULL: no matter */
	const char *protocol; /* "CAN_RAW", for the message when the kernel has none */
	/* For tests where there is no CAN; NULL: can_interface_find. */
	int (*find)(const char *interface, struct can_interface *ret);
	void *ctx;
	/* The owner's in open, or empty: more key=value for the line that says that it is open. */
	char note[96];

	/* The port's own. */
	char interface[IFNAMSIZ];
	int error; /* why it is not open, as last logged; 0: open */
	struct loop_fd io;
	struct loop_timer retry;
	struct can_watcher watcher;
	uint32_t overflow; /* the socket's drop counter when last seen */
	struct limit dropped;
	bool up_again; /* the interface went up while this was open: it may be of before */
};

/* Copies interface. Returns 0, or -EINVAL with err: no name for an interface. Opens with the loop's
 * next turn. */
int can_port_start(struct can_port *p, const char *interface, struct error *err) must_check;
bool can_port_is_open(const struct can_port *p);
/* After an error (errno, above 0) of the socket: closes, says why, tries again later. */
void can_port_fail(struct can_port *p, int error);
/* Tries now instead of later: the interface may be up. Nothing happens to an open port. */
void can_port_retry(struct can_port *p);
/* The pipeline took no frame (SOURCE_BUSY): counted, said. */
void can_port_drop(struct can_port *p);
/* SO_RXQ_OVFL of what was received: frames that the socket's buffer had no room for, a counter of
 * 32 bits that wraps. Counted, said. Returns how many since the last time. */
uint32_t can_port_overflow(struct can_port *p, uint32_t total);
void can_port_stop(struct can_port *p); /* for good; a zeroed port is fine */
