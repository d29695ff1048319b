/* agent/publish/schedule.h: which lane sends next.
 *
 * A lane is a class, either what is new since this connection (fresh) or what waited for it
 * (backlog). Lanes that have something share the link by weight, in bytes: start-time fair queueing
 * (Goyal, Vin, Cheng 1996), so that no lane starves, and one that was idle is served next, whatever
 * the others have waiting. Fresh events and live data have a credit besides: a burst of up to
 * SCHEDULE_CREDIT bytes goes before all else, and beyond it they have their share.
 *
 * Bounds, where lane i has weight w[i] and rows of up to l[i] bytes:
 * - of two lanes that both have something all the time, i and j: their bytes by weight differ by at
 *   most l[i] / w[i] + l[j] / w[j], and the credits;
 * - a fresh row of an urgent class that keeps to its share waits for no row of a backlog here. What
 *   is on the wire already is before it: agent/publish/window.h bounds that.
 *
 * Pure: no clock, no network. */
#pragma once

#include "proto/topic.h"

enum {
	LANES = 2 * CLASS_COUNT,
	LANE_NONE = LANES,
	SCHEDULE_CREDIT = 64 << 10,
};

/* A lane's number: fresh ones first, by class. */
static inline unsigned lane_of(enum uplink_class class, bool fresh)
{
	return (unsigned)class + (fresh ? 0u : (unsigned)CLASS_COUNT);
}

static inline enum uplink_class lane_class(unsigned lane)
{
	return (enum uplink_class)(lane % CLASS_COUNT);
}

static inline bool lane_is_fresh(unsigned lane)
{
	return lane < CLASS_COUNT;
}

struct schedule {
	uint64_t now;	       /* virtual time: when the last one served began */
	uint64_t after[LANES]; /* virtual time at which what it has sent is paid for */
};

/* event 16, live 8, bulk 4, log 2, status 2; a class's backlog half of it. */
unsigned schedule_weight(unsigned lane);
/* Zeroed is valid too. */
void schedule_reset(struct schedule *s);
/* ready: bit 1 << lane, of those that have something that may be sent. LANE_NONE: none has. */
unsigned schedule_pick(const struct schedule *s, unsigned ready);
/* The lane that was picked has sent so many bytes. */
void schedule_sent(struct schedule *s, unsigned lane, size_t bytes);
