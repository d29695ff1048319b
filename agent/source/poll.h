/* agent/source/poll.h: when to ask what: repeated requests over one connection.
 *
 * One request at a time: `ask` begins it, poll_done ends it, from within `ask` if nothing is
 * waited for. The item that has been due longest goes first, so that none starves. An item keeps
 * its grid of times; turns that passed while others were asked, or while the schedule was held,
 * are skipped and counted: there is never a burst. */
#pragma once

#include "base/loop.h"

/* First turns are spread over the period, or over this where that is longer. */
enum { POLL_SPREAD_S = 5 };

struct poll_item {
	int64_t period_ns;
	struct mono_time due;
};

struct poll {
	/* Set by the owner before poll_init; borrowed. */
	struct loop *loop;
	void (*ask)(struct poll *p, size_t item);
	int64_t gap_ns; /* at least, from the end of a request to the next; 0: none */
	void *ctx;

	/* The schedule's own. */
	struct poll_item *items;
	size_t n, max;
	struct loop_timer timer;
	struct mono_time not_before;
	bool running, asking;
	uint64_t skipped; /* turns that were not taken */
};

/* Takes all memory. Returns 0 or -ENOMEM. */
int poll_init(struct poll *p, size_t max) must_check;
void poll_free(struct poll *p); /* a zeroed one is fine */

/* Period above 0. Items are numbered from 0 in this order. Returns 0 or -ENOSPC. While running, a
 * new item waits for poll_start. */
int poll_add(struct poll *p, int64_t period_ns) must_check;
void poll_clear(struct poll *p); /* no items; as poll_stop */

/* From now on, first turns spread evenly; also when running already. A request that is in flight
 * goes on: its poll_done comes before the next. */
void poll_start(struct poll *p);
/* No more requests; what is in flight is forgotten, its poll_done does nothing. So is a hold. */
void poll_stop(struct poll *p);

/* The request has ended, one way or the other. */
void poll_done(struct poll *p);
/* No request for ns from now, after what is in flight. */
void poll_hold(struct poll *p, int64_t ns);
