/* agent/source/clock.h: one moment on both clocks, by which mono times become wall times.
 *
 * Batches carry such a pair. It is read anew for each batch, so that a corrected wall clock is
 * used from the next batch on; unless some source keeps the times of its log, because then mono
 * times are made from wall times and one pair must hold for the whole run. */
#pragma once

#include "base/timebase.h"

struct clock_pair {
	int64_t wall_ns;
	int64_t mono_ns;
};

/* unit_ns: wall_ns is a multiple of it, so that a time that is one stays one on the wire. */
static inline struct clock_pair clock_pair_read(const struct timebase *tb, int64_t unit_ns)
{
	struct clock_pair p = {.wall_ns = timebase_wall(tb).ns, .mono_ns = timebase_mono(tb).ns};
	int64_t over = p.wall_ns % unit_ns;

	p.wall_ns -= over;
	p.mono_ns -= over;
	return p;
}

static inline int64_t clock_pair_mono(const struct clock_pair *p, int64_t wall_ns)
{
	return wall_ns - p->wall_ns + p->mono_ns;
}
