/* agent/can/can_restart.h: a controller that is bus-off, started again by the agent: when, and
 * how (libsocketcan). */
#pragma once

#include "agent/can/can_link.h"
#include "base/timebase.h"

/* When: the wait doubles each time that the controller is off again within max_ns of the last
 * restart. Zeroed at first, but for min_ns and max_ns. */
struct can_restart {
	int64_t min_ns, max_ns;
	int64_t wait_ns;       /* before the last restart; 0: none yet */
	struct mono_time last; /* restart */
};

/* How long to wait, now that it is off. */
int64_t can_restart_wait(struct can_restart *r, struct mono_time now);
/* It has been restarted, which may have taken a while. */
void can_restart_done(struct can_restart *r, struct mono_time now);

/* What is known of an interface from one restart to the next. Zeroed at first, and when the
 * interface is another. */
struct can_restart_past {
	bool stopped; /* it was taken down for a restart, and could not be taken up since */
	bool refused; /* its driver has no restart in place */
};

enum {
	CAN_RESTART_NEEDLESS =
		0, /* it works, is down by another's hand, or the kernel's to restart */
	CAN_RESTART_IN_PLACE = 1, /* the interface stayed up */
	CAN_RESTART_DOWN_UP = 2,
};

/* Starts a controller again that is bus-off: in place where the driver can, else the interface goes
 * down and up; settings stay. May take a second, and where the interface vanishes at the wrong
 * moment it never returns: call it in a thread of its own with cancelling disabled; it is enabled
 * for as long as nothing would be left half done. Needs CAP_NET_ADMIN.
 * Returns one of the above, or -errno with err, without the interface's name. */
int can_restart_now(const char *interface, struct can_restart_past *past,
		    struct error *err) must_check;
