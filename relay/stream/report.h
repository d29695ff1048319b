/* relay/stream/report.h: what is known of one device's delivery, for a person. Each calls back in
 * turn, with what is borrowed for the call; cb's error ends the walk and is returned. */
#pragma once

#include "relay/stream/clocks.h"
#include "relay/stream/gaps.h"

struct report_lane {
	uint64_t epoch;
	enum uplink_class class;
	const struct window *window;
	struct stream_counts counts;
	struct wall_time updated;
};

/* Sums of all gaps with one reason. */
struct report_gaps {
	uint64_t epoch;
	enum uplink_class class;
	uint32_t reason;
	uint64_t gaps, seqs, batches, samples;
};

struct report_clock {
	struct stream_clock clock;
	struct wall_time updated;
	bool repairing; /* rows of it may still have to be repaired */
};

/* The lanes that were added to last, newest first, at most limit. */
int report_each_lane(struct stream_reader *r, int64_t device, size_t limit,
		     int (*cb)(void *ctx, const struct report_lane *l), void *ctx) must_check;
int report_each_total(struct stream_reader *r, int64_t device,
		      int (*cb)(void *ctx, const struct report_gaps *g), void *ctx) must_check;
/* Newest first. */
int report_each_gap(struct stream_reader *r, int64_t device, size_t limit,
		    int (*cb)(void *ctx, const struct stream_gap *g), void *ctx) must_check;
int report_each_clock(struct stream_reader *r, int64_t device, size_t limit,
		      int (*cb)(void *ctx, const struct report_clock *c), void *ctx) must_check;
