/* agent/publish/window.h: how much may be on its way at once.
 *
 * Two windows, for two questions:
 *
 * - Without a receipt: what may all have to be sent again. Rows and bytes, from a part of the
 *   maximum: it grows by what is acknowledged (doubles each round) while it is in use, halves when
 *   somebody says no or rows are lost, at most once a round, and then grows by a 64th of the
 *   maximum a round: additive increase, multiplicative decrease, as TCP (RFC 5681).
 * - Without a PUBACK: the wire, which is what a fresh row has before it, in Paho, in the kernel
 *   and on the link. What the link takes in its round trip and a quarter of a second, as PUBACKs
 *   tell its rate and round trip: so the link is busy, and nothing waits long. The shortest round
 *   trip is measured anew each 30 s with one row alone, for routes change.
 *
 * Pure: no clock. */
#pragma once

#include "base/timebase.h"

struct window_options {
	size_t rows_max;  /* at least WINDOW_ROWS_MIN */
	size_t bytes_max; /* above 0 */
};

enum {
	WINDOW_ROWS_MIN = 4,
	WINDOW_ROWS_FIRST = 32,
	WINDOW_BYTES_MIN = 16 << 10,
	WIRE_MIN = 4 << 10,
	WIRE_FIRST = 16 << 10,
	WIRE_QUEUE_MS = 250,
};

struct window {
	struct window_options opt;
	uint64_t share; /* of the maximum, WINDOW_ONE: all */
	bool steady;	/* it has been halved: no more doubling */
	uint64_t since; /* turn: what was published before it has been paid for */

	size_t wire;	    /* bytes without PUBACK at once */
	uint64_t delivered; /* bytes with PUBACK */
	struct mono_time delivered_at;
	int64_t rate;	 /* bytes/s; 0: not known */
	int64_t trip_ns; /* shortest round trip; 0: not known */
	struct mono_time trip_at;
};

/* What is remembered of a publish. */
struct window_mark {
	struct mono_time at, since; /* since: of the PUBACK before it */
	uint64_t delivered;
	bool crowded; /* the wire was in use: what it took says how fast the link is */
	bool alone;   /* it says how long the link is */
};

void window_init(struct window *w, const struct window_options *opt);
/* A new connection. */
void window_reset(struct window *w);

size_t window_rows(const struct window *w);  /* without receipt, WINDOW_ROWS_MIN to rows_max */
size_t window_bytes(const struct window *w); /* likewise */
/* Rows at once as long as it is not known whether anybody listens. */
size_t window_rows_first(const struct window *w);
/* Bytes without PUBACK, up to bytes_max. A row is sent while it is not reached: what is on the wire
 * may be above it by one row. */
size_t window_wire(const struct window *w, struct mono_time now);

/* wire: bytes without PUBACK, before this publish of so many bytes. */
struct window_mark window_sent(const struct window *w, size_t wire, size_t bytes,
			       struct mono_time now);
/* Its PUBACK has come. */
void window_delivered(struct window *w, const struct window_mark *m, size_t bytes,
		      struct mono_time now);
/* A receipt took rows and bytes out of what was without; rows_before, bytes_before: of that. */
void window_acked(struct window *w, size_t rows, size_t bytes, size_t rows_before,
		  size_t bytes_before);
/* What was published last in turn `sent` was refused or lost; turn: that of now. */
void window_lost(struct window *w, uint64_t sent, uint64_t turn);
/* Nobody answers: begins anew. */
void window_silent(struct window *w);
