/* agent/can/can_watch.h: tells when CAN interfaces appear, go up or down, vanish, go bus-off or
 * come back.
 *
 * Three ways lead to the same: the kernel's messages (RTMGRP_LINK), a question each second, and
 * can_watch_look for those who learn of something by other means, such as an error frame. Questions
 * go through the socket that the messages come from, so that all arrives in the order in which it
 * was. Counts links_down, bus_off and bus_restarts, and logs, once each. */
#pragma once

#include "agent/can/can_link.h"
#include "agent/health/counters.h"
#include "base/loop.h"

struct can_watch;
struct can_watch_link;

enum { CAN_WATCH_PERIOD_MS = 1000, CAN_WATCH_LINKS_MAX = 32 };

struct can_watch_change {
	const struct can_link_state *state; /* as it is now; NULL: there is none */
	bool appeared, vanished;	    /* an interface that is made again: both */
	bool up, down;			    /* it went; down: or away */
	bool bus_off;			    /* went so */
	bool restarted;			    /* works again after it */
};

/* Embedded in its owner; cb and ctx are the owner's to set, the rest is the watch's. */
struct can_watcher {
	/* Also for what is found at first. May remove any watcher, but neither free the watch nor
	 * hand it bytes. */
	void (*cb)(struct can_watcher *w, const struct can_watch_change *c);
	void *ctx;
	struct can_watch_link *link;
	struct can_watcher *next;
};

/* For tests: returns a descriptor in place of the netlink socket's, or -errno. */
struct can_watch_kernel {
	int (*open)(void *ctx);
	void *ctx;
};

/* Opens nothing until there is something to watch. loop, counters: borrowed. kernel: NULL, but for
 * tests. */
int can_watch_new(struct can_watch **ret, struct loop *loop, struct counters *counters,
		  const struct can_watch_kernel *kernel) must_check;
struct can_watch *can_watch_free(struct can_watch *w); /* NULL is fine; always returns NULL */

/* Returns 0, or -ENOSPC: CAN_WATCH_LINKS_MAX interfaces. The first look is in the loop's
 * next turn. */
int can_watch_add(struct can_watch *w, struct can_watcher *watcher,
		  const char *interface) must_check;
void can_watch_remove(struct can_watcher *watcher); /* fine when not added */
/* Asks the kernel now; the answer comes with a later turn. Fine for one that nobody watches. */
void can_watch_look(struct can_watch *w, const char *interface);
/* One datagram of the kernel's, aligned to 4. For tests and fuzzing, too. */
void can_watch_bytes(struct can_watch *w, const void *data, size_t len);
