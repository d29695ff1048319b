#include "agent/publish/window.h"

#define ONE ((uint64_t)1 << 32)

enum {
	STEPS = 64,		 /* rounds from nothing to the maximum, when steady */
	RATE_FALLS = 8,		 /* part by which a slower measurement counts */
	TRIP_AGE_S = 30,	 /* then the round trip is measured anew */
	TRIP_NEAR = 8,		 /* a round trip within such a part of the shortest is as good */
	RATE_MAX = INT32_MAX,	 /* bytes/s; beyond, nothing has to be held back */
	TRIP_MAX_MS = 60 * 1000, /* of a link that is of use */
};

static uint64_t share_of(size_t part, size_t max)
{
	return part >= max ? ONE : (uint64_t)part * ONE / max;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t first_share(const struct window *w)
{
	return share_of(WINDOW_ROWS_FIRST, w->opt.rows_max);
}

static uint64_t least_share(const struct window *w)
{
	return larger(share_of(WINDOW_ROWS_MIN, w->opt.rows_max),
		      share_of(WINDOW_BYTES_MIN, w->opt.bytes_max));
}

void window_init(struct window *w, const struct window_options *opt)
{
	assert(opt->rows_max >= WINDOW_ROWS_MIN && opt->bytes_max > 0);
	*w = (struct window){.opt = *opt};
	window_reset(w);
}

void window_reset(struct window *w)
{
	*w = (struct window){.opt = w->opt};
	w->share = first_share(w);
	w->wire = (size_t)smaller(WIRE_FIRST, w->opt.bytes_max);
}

static size_t part_of(size_t max, uint64_t share, uint64_t least)
{
	uint64_t part = (uint64_t)((double)max * ((double)share / (double)ONE));

	return (size_t)smaller(larger(part, least), max);
}

size_t window_rows(const struct window *w)
{
	return part_of(w->opt.rows_max, w->share, WINDOW_ROWS_MIN);
}

size_t window_bytes(const struct window *w)
{
	return part_of(w->opt.bytes_max, w->share, smaller(WINDOW_BYTES_MIN, w->opt.bytes_max));
}

size_t window_rows_first(const struct window *w)
{
	return (size_t)smaller(window_rows(w),
			       part_of(w->opt.rows_max, first_share(w), WINDOW_ROWS_MIN));
}

/* ---- without a receipt ---- */

void window_acked(struct window *w, size_t rows, size_t bytes, size_t rows_before,
		  size_t bytes_before)
{
	uint64_t grown = larger(share_of(rows, w->opt.rows_max), share_of(bytes, w->opt.bytes_max));

	/* A window that is not used proves nothing. */
	if (rows_before < window_rows(w) / 2 && bytes_before < window_bytes(w) / 2)
		return;
	if (w->steady)
		grown = (uint64_t)((double)grown / (double)w->share * (double)(ONE / STEPS));
	w->share = smaller(w->share + grown, ONE);
}

void window_lost(struct window *w, uint64_t sent, uint64_t turn)
{
	if (sent <= w->since)
		return;
	w->since = turn;
	w->steady = true;
	w->share = larger(w->share / 2, least_share(w));
}

void window_silent(struct window *w)
{
	w->share = smaller(w->share, first_share(w));
	w->steady = false;
}

/* ---- the wire ---- */

static bool trip_is_old(const struct window *w, struct mono_time now)
{
	return w->trip_ns > 0 && now.ns - w->trip_at.ns > TRIP_AGE_S * NS_PER_S;
}

size_t window_wire(const struct window *w, struct mono_time now)
{
	return trip_is_old(w, now) ? 1 : w->wire; /* one row alone */
}

struct window_mark window_sent(const struct window *w, size_t wire, size_t bytes,
			       struct mono_time now)
{
	return (struct window_mark){
		.at = now,
		.since = wire == 0 ? now : w->delivered_at,
		.delivered = w->delivered,
		.crowded = !trip_is_old(w, now) && wire + bytes >= w->wire / 2,
		.alone = wire == 0,
	};
}

static void note_trip(struct window *w, const struct window_mark *m, int64_t trip,
		      struct mono_time now)
{
	bool anew = trip_is_old(w, now) && m->alone;

	if (w->trip_ns > 0 && trip > w->trip_ns + w->trip_ns / TRIP_NEAR && !anew)
		return;
	if (w->trip_ns == 0 || trip < w->trip_ns || anew)
		w->trip_ns = trip;
	w->trip_at = now;
}

/* From the PUBACK before it was sent to its own: what came in between was sent in that time or
 * before. Rises at once; falls slowly, and only by what was measured with a wire in use. */
static void note_rate(struct window *w, const struct window_mark *m, struct mono_time now)
{
	int64_t took = now.ns > m->since.ns ? now.ns - m->since.ns : 1;
	double rate = (double)(w->delivered - m->delivered) * NS_PER_S / (double)took;
	int64_t r = rate < RATE_MAX ? (int64_t)rate : RATE_MAX;

	if (r >= w->rate)
		w->rate = r;
	else if (m->crowded)
		w->rate -= (w->rate - r) / RATE_FALLS;
}

void window_delivered(struct window *w, const struct window_mark *m, size_t bytes,
		      struct mono_time now)
{
	int64_t trip = now.ns - m->at.ns, busy;

	w->delivered += bytes;
	w->delivered_at = now;
	if (trip <= 0)
		trip = 1;
	if (trip > TRIP_MAX_MS * NS_PER_MS)
		trip = TRIP_MAX_MS * NS_PER_MS;
	note_trip(w, m, trip, now);
	note_rate(w, m, now);
	busy = w->trip_ns / NS_PER_MS + WIRE_QUEUE_MS;
	w->wire = (size_t)smaller(larger((uint64_t)(w->rate / 1000 * busy), WIRE_MIN),
				  w->opt.bytes_max);
}
