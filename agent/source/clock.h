/* agent/source/clock.h: one moment on both clocks, by which mono times become wall times.
 *
 * Batches carry such a pair. It is read anew for each batch, so that a corrected wall clock is
 * used from the next batch on; unless some source keeps the times of its log, because then mono
 * times are made from wall times and one pair must hold for the whole run. */
#pragma once

#include "base/timebase.h"
#include "proto/batch.h"

struct clock_pair {
	int64_t wall_ns;
	int64_t mono_ns;
};

enum { CLOCK_PAIR_TRIES = 4, CLOCK_PAIR_GOOD_NS = 20000 };

/* Wall time between two readings of mono time. Who is put aside between readings tries again, or
 * times made by two pairs would be milliseconds apart on a busy unit, and samples out of order.
 * unit_ns: wall_ns is a multiple of it, so that a time that is one stays one on the wire. */
static inline struct clock_pair clock_pair_read(const struct timebase *tb, int64_t unit_ns)
{
	struct clock_pair p = {0};
	int64_t best = INT64_MAX, over;

	for (int i = 0; i < CLOCK_PAIR_TRIES && best > CLOCK_PAIR_GOOD_NS; i++) {
		int64_t before = timebase_mono(tb).ns, wall = timebase_wall(tb).ns;
		int64_t took = timebase_mono(tb).ns - before;

		if (took >= best)
			continue;
		best = took;
		p = (struct clock_pair){.wall_ns = wall, .mono_ns = before + took / 2};
	}
	over = p.wall_ns % unit_ns;
	p.wall_ns -= over;
	p.mono_ns -= over;
	return p;
}

static inline int64_t clock_pair_mono(const struct clock_pair *p, int64_t wall_ns)
{
	return wall_ns - p->wall_ns + p->mono_ns;
}

/* What the kernel knows of the wall clock: disciplined by NTP, PTP or GPS, or running freely. */
enum clock_quality clock_quality_read(void);
