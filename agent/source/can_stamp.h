/* agent/source/can_stamp.h: the kernel's receive times as mono time. Pure, one socket each.
 *
 * Software: the kernel stamps with wall time when the driver hands the frame over. What counts is
 * how long ago that was; an age below 0 or above CAN_STAMP_AGE_MAX_S means that the wall clock was
 * set while the frame waited, and then it is now.
 *
 * Hardware: the controller stamps with a counter of its own at the end of the frame, exact but for
 * drift. The same frame's software time is that moment plus the delay of interrupt and driver,
 * which is never negative. So the least difference of the two within the last CAN_STAMP_WINDOW_S
 * to twice that is the offset between the clocks, plus the least delay that there was; jitter
 * beyond it is gone. A frame's time is hardware time plus offset: not after its software time.
 * Where it would be more than CAN_STAMP_DELAY_MAX_MS before its software time, the counter was set
 * back (wrapped, reset): the offset is learnt anew. Drift, of up to 0.1 per mille between crystals,
 * is followed within the window: 0.4 ms at most.
 *
 * Either way a frame has at least the time of the one ahead of it, and never one of the future. */
#pragma once

#include "agent/source/clock.h"

enum { CAN_STAMP_AGE_MAX_S = 60, CAN_STAMP_WINDOW_S = 2, CAN_STAMP_DELAY_MAX_MS = 100 };

/* Zeroed: nothing learnt. */
struct can_stamp {
	bool learnt;
	int64_t least, least_before; /* of this window and the one before; mono minus hardware */
	int64_t window_end;	     /* mono */
	int64_t last;		     /* mono, of the frame before */
	uint64_t relearnt;	     /* times that the counter was set back */
};

/* What came with a frame; 0: none. */
struct can_stamps {
	int64_t wall_ns;
	int64_t hardware_ns;
};

/* Mono time of a frame that was read at the moment now. */
int64_t can_stamp_mono(struct can_stamp *c, const struct can_stamps *s,
		       const struct clock_pair *now);
