/* agent/can/can_links.h: the [can NAME] sections: interfaces that the agent sets, takes up and
 * starts again after bus-off. One that fails is tried again and again, and stops nothing else. */
#pragma once

#include "agent/can/can_link.h"
#include "agent/can/can_restart.h"
#include "agent/can/can_watch.h"

struct can_links;

enum { CAN_LINKS_MAX = 16, CAN_LINKS_RETRY_MIN_S = 1, CAN_LINKS_RETRY_MAX_S = 30 };

/* For tests: what sets an interface and what starts its controller again. Called from threads, too;
 * restart may be cancelled (can_restart.h). */
struct can_links_kernel {
	int (*apply)(const struct can_link_settings *s, bool again,
		     struct can_link_state *ret_state, struct error *err);
	int (*restart)(const char *interface, struct can_restart_past *past, struct error *err);
};

/* kernel: copied; NULL, but for tests. Copies the n settings; takes watch, also when it fails; loop
 * is borrowed. The interfaces are set in the loop's next turn, before the timers that are set
 * later: create it before the sources. Returns 0 or -errno. */
int can_links_new(struct can_links **ret, struct can_watch *watch, struct loop *loop,
		  const struct can_link_settings *settings, size_t n,
		  const struct can_links_kernel *kernel) must_check;
struct can_watch *can_links_watch(const struct can_links *ls); /* borrowed */
/* Whether an interface is being set or restarted right now, by a thread. */
bool can_links_busy(const struct can_links *ls);
/* Waits for a thread that sets one, and stops one that waits for a restart. Leaves the interfaces
 * as they are: others may use them. NULL is fine; always returns NULL. */
struct can_links *can_links_free(struct can_links *ls);
