/* relay/stream/clocks.h: what boots' clocks turned out to be, and the rows that are repaired by
 * it. */
#pragma once

#include "relay/stream/stream.h"

enum { STREAM_CLOCKS_MAX = 256 }; /* boots of one device; those told longest ago make room */

struct stream_clock {
	uint64_t boot;
	int64_t clock_ns; /* wall - mono */
	enum clock_quality quality;
};

/* Moves row's times to what the clock says of them, and gives them its quality. Returns false and
 * changes nothing where the clock is no better, or the times would leave 1970 to 2262. */
bool stream_row_repair(struct stream_row *row, const struct stream_clock *c);

/* Notes a boot's clock, and that there may be rows to repair. Part of the transaction. */
int stream_put_clock(struct stream *s, int64_t vehicle, int64_t device,
		     const struct stream_clock *c, struct wall_time now) must_check;
/* 1, 0: nothing is known of that boot, or -errno. */
int stream_get_clock(struct stream *s, int64_t device, uint64_t boot,
		     struct stream_clock *ret) must_check;
/* A clock that may have rows to repair: 1, 0: there is none, or -errno. */
int stream_next_clock(struct stream *s, int64_t *ret_device, struct stream_clock *ret) must_check;
int stream_clock_done(struct stream *s, int64_t device, uint64_t boot) must_check;
/* At most limit rows of the boot whose times are worse than c; cb must not change the stream. */
int stream_each_unsure(struct stream *s, int64_t device, const struct stream_clock *c, size_t limit,
		       int (*cb)(void *ctx, const struct stream_row *row), void *ctx) must_check;
/* Writes a row's times, shift and quality. */
int stream_put_times(struct stream *s, const struct stream_row *row) must_check;
