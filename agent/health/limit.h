/* agent/health/limit.h: keeps what can happen a thousand times a second from filling the log.
 *
 * Only for what a counter counts anyway. */
#pragma once

#include "base/timebase.h"

enum { LIMIT_BURST = 20, LIMIT_PERIOD_S = 10 };

/* Zeroed at first. One thread. */
struct limit {
	struct mono_time begun;
	unsigned n; /* in this period */
};

/* Whether event may be logged now: up to LIMIT_BURST times in LIMIT_PERIOD_S. Says how many were
 * held back before the first that may again. */
bool limit_pass(struct limit *l, const char *event, struct mono_time now);
