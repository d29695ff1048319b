/* Gaps: recorded, taken over, shrunk, summed. */
#include "relay/stream/gaps.h"
#include "relay/stream/internal.h"

enum {
	/* Claims are anyone's. So large, sums of them fit for good (see ST_COUNT_GAP). */
	CLAIM_BITS_MAX = 48,
};

const char *stream_gap_reason_name(uint32_t reason)
{
	return reason == GAP_UNEXPLAINED ? "unexplained" : gap_reason_name((enum gap_reason)reason);
}

void stream_gap_free(struct stream_gap *g)
{
	window_free(&g->missing);
}

static uint64_t bounded_claim(uint64_t v)
{
	return v >> CLAIM_BITS_MAX ? (uint64_t)1 << CLAIM_BITS_MAX : v;
}

/* ---- sums ---- */

static uint64_t count_seqs(const struct window *missing)
{
	uint64_t n = window_count(missing);

	if (window_top(missing) != GAP_OPEN)
		return n;
	return missing->n ? n - (missing->ranges[missing->n - 1].to -
				 missing->ranges[missing->n - 1].from + 1)
			  : 0;
}

struct more {
	int64_t gaps, seqs, batches, samples;
};

static int count(struct stream *s, const struct stream_gap *g, const struct more *m)
{
	sqlite3_stmt *st = s->st[ST_COUNT_GAP];
	uint32_t reason = g->reason < GAP_REASONS ? g->reason : GAP_UNEXPLAINED;
	int e = db_bind(st, "iiiiiiiii", g->device, (int64_t)g->epoch, (int64_t)g->class,
			(int64_t)reason, g->vehicle, m->gaps, m->seqs, m->batches, m->samples);

	return e < 0 ? e : db_run(st);
}

/* sign 1: a gap is recorded, -1: it is taken over, or filled. */
static int count_whole(struct stream *s, const struct stream_gap *g, int64_t sign)
{
	struct more m = {
		.gaps = sign,
		.seqs = sign * (int64_t)g->seqs,
		.batches = sign * (int64_t)g->batches,
		.samples = sign * (int64_t)g->samples,
	};

	return count(s, g, &m);
}

/* ---- rows ---- */

int stream_read_gap(sqlite3_stmt *st, struct stream_gap *ret)
{
	struct stream_gap g = {
		.id = sqlite3_column_int64(st, 0),
		.vehicle = sqlite3_column_int64(st, 1),
		.device = sqlite3_column_int64(st, 2),
		.epoch = (uint64_t)sqlite3_column_int64(st, 3),
		.class = (enum uplink_class)sqlite3_column_int(st, 4),
		.from = (uint64_t)sqlite3_column_int64(st, 5),
		.through = (uint64_t)sqlite3_column_int64(st, 6),
		.reason = (uint32_t)sqlite3_column_int64(st, 7),
		.batches = (uint64_t)sqlite3_column_int64(st, 8),
		.samples = (uint64_t)sqlite3_column_int64(st, 9),
		.first_ns = sqlite3_column_int64(st, 10),
		.last_ns = sqlite3_column_int64(st, 11),
		.received.ns = sqlite3_column_int64(st, 12),
		.seqs = (uint64_t)sqlite3_column_int64(st, 15),
	};
	int r = window_decode(&g.missing, (uint64_t)sqlite3_column_int64(st, 13),
			      sqlite3_column_blob(st, 14), (size_t)sqlite3_column_bytes(st, 14));

	g.missing.max = WINDOW_MISSING_MAX;
	if (r == 0)
		*ret = g;
	return r;
}

static int insert(struct stream *s, struct stream_gap *g)
{
	sqlite3_stmt *st = s->st[ST_PUT_GAP];
	int e;

	buf_clear(&s->scratch);
	e = window_encode(&g->missing, &s->scratch);
	if (e == 0)
		e = db_bind(st, "iiiiiiiiiiiiibi", g->vehicle, g->device, (int64_t)g->epoch,
			    (int64_t)g->class, (int64_t)g->from, (int64_t)g->through,
			    (int64_t)g->reason, (int64_t)g->batches, (int64_t)g->samples,
			    g->first_ns, g->last_ns, g->received.ns, (int64_t)g->missing.through,
			    (const void *)buf_text(&s->scratch), s->scratch.len, (int64_t)g->seqs);
	if (e == 0)
		e = db_run(st);
	if (e == 0)
		g->id = sqlite3_last_insert_rowid(s->db);
	return e;
}

static int delete (struct stream *s, const struct stream_gap *g)
{
	int e = db_bind(s->st[ST_DELETE_GAP], "i", g->id);

	return e < 0 ? e : db_run(s->st[ST_DELETE_GAP]);
}

static int limit(struct stream *s, int64_t device)
{
	int e = db_bind(s->st[ST_LIMIT_GAPS], "ii", device, (int64_t)STREAM_GAPS_MAX);

	return e < 0 ? e : db_run(s->st[ST_LIMIT_GAPS]);
}

/* Batches that come after all may cut it in more pieces than a row has: the upper half gets a row
 * of its own. What the device claims stays with the lower one. */
static int split(struct stream *s, struct stream_gap *g)
{
	struct stream_gap upper cleanup(stream_gap_free) = *g;
	uint64_t from = g->missing.ranges[g->missing.n / 2].from;
	int e;

	upper.batches = upper.samples = 0;
	e = window_part(&g->missing, from, g->through, &upper.missing);
	if (e == 0)
		e = window_remove_range(&g->missing, from, g->through);
	if (e < 0)
		return e;
	upper.from = from;
	upper.seqs = count_seqs(&upper.missing);
	e = insert(s, &upper);
	if (e == 0)
		e = count_whole(s, &upper, 1);
	return e < 0 ? e : limit(s, g->device);
}

/* Writes what is still missing of it, or deletes it where that is nothing. */
static int shrink(struct stream *s, struct stream_gap *g)
{
	struct more m = {0};
	uint64_t seqs;
	int e = 0;

	if (!g->missing.through && !g->missing.n) {
		e = count_whole(s, g, -1);
		return e < 0 ? e : delete (s, g);
	}
	if (g->missing.n > WINDOW_MISSING_MAX)
		e = split(s, g);
	seqs = count_seqs(&g->missing);
	m.seqs = (int64_t)(seqs - g->seqs);
	if (e == 0)
		e = count(s, g, &m);
	buf_clear(&s->scratch);
	if (e == 0)
		e = window_encode(&g->missing, &s->scratch);
	if (e == 0)
		e = db_bind(s->st[ST_SHRINK_GAP], "ibii", (int64_t)g->missing.through,
			    (const void *)buf_text(&s->scratch), s->scratch.len, (int64_t)seqs,
			    g->id);
	return e < 0 ? e : db_run(s->st[ST_SHRINK_GAP]);
}

/* The gap of the lane with the lowest id above `after` that meets [from, through]: 1, 0, -errno. */
static int next_overlap(struct stream *s, const struct stream_gap *lane, uint64_t from,
			uint64_t through, int64_t after, struct stream_gap *ret)
{
	sqlite3_stmt *st = s->st[ST_NEXT_GAP];
	int e = db_bind(st, "iiiiii", lane->device, (int64_t)lane->epoch, (int64_t)lane->class,
			(int64_t)through, (int64_t)from, after);

	if (e == 0)
		e = db_step(st);
	if (e == DB_ROW) {
		e = stream_read_gap(st, ret);
		e = e < 0 ? e : DB_ROW;
	}
	sqlite3_reset(st);
	return e;
}

/* ---- taking over ---- */

/* What lies in g of a hole that nobody had explained. */
static int take_part(struct stream *s, struct stream_gap *g, struct stream_gap *old)
{
	struct window part cleanup(window_free) = {0};
	int e = window_part(&old->missing, g->from, g->through, &part);

	if (e < 0 || window_top(&part) == 0)
		return e;
	e = window_add_all(&g->missing, &part);
	if (e == 0)
		e = window_remove_range(&old->missing, g->from, g->through);
	return e == 0 ? shrink(s, old) : e;
}

static int take_whole(struct stream *s, struct stream_gap *g, struct stream_gap *old)
{
	int e = window_add_all(&g->missing, &old->missing);

	if (e == 0)
		e = count_whole(s, old, -1);
	return e == 0 ? delete (s, old) : e;
}

static int take_over(struct stream *s, struct stream_gap *g, struct stream_gap *old, bool grows)
{
	bool inside = old->from >= g->from && old->through <= g->through;

	/* Two that are cut in too many pieces stay two. */
	if (g->missing.n + old->missing.n + 2 > WINDOW_MISSING_MAX)
		return 0;
	if (old->reason == GAP_UNEXPLAINED && g->reason != GAP_UNEXPLAINED)
		return take_part(s, g, old);
	return inside && grows ? take_whole(s, g, old) : 0;
}

static int take_over_all(struct stream *s, struct stream_gap *g)
{
	bool grows = g->missing.through || g->missing.n;
	struct stream_gap old = {0};
	int64_t after = 0;
	int e;

	while ((e = next_overlap(s, g, g->from, g->through, after, &old)) == DB_ROW) {
		after = old.id;
		e = take_over(s, g, &old, grows);
		stream_gap_free(&old);
		if (e != 0)
			break;
	}
	return e;
}

int stream_is_missing(struct stream *s, int64_t device, uint64_t epoch, enum uplink_class class,
		      uint64_t seq)
{
	struct stream_gap lane = {.device = device, .epoch = epoch, .class = class}, g = {0};
	bool found = false;
	int64_t after = 0;
	int e = 0;

	while (!found && (e = next_overlap(s, &lane, seq, seq, after, &g)) == DB_ROW) {
		after = g.id;
		found = window_has(&g.missing, seq);
		stream_gap_free(&g);
	}
	return found ? 1 : e;
}

int stream_add_gap(struct stream *s, struct stream_gap *g)
{
	int e;

	g->batches = bounded_claim(g->batches);
	g->samples = bounded_claim(g->samples);
	e = take_over_all(s, g);
	if (e != 0)
		return e;
	if (!g->missing.through && !g->missing.n)
		return STREAM_GAP_KNOWN;
	g->seqs = count_seqs(&g->missing);
	e = insert(s, g);
	if (e == 0)
		e = count_whole(s, g, 1);
	return e < 0 ? e : limit(s, g->device);
}

int stream_take_from_gap(struct stream *s, int64_t device, uint64_t epoch, enum uplink_class class,
			 uint64_t seq)
{
	struct stream_gap lane = {.device = device, .epoch = epoch, .class = class}, g = {0};
	bool found = false;
	int64_t after = 0;
	int e;

	while (!found && (e = next_overlap(s, &lane, seq, seq, after, &g)) == DB_ROW) {
		after = g.id;
		found = window_has(&g.missing, seq);
		e = found ? window_remove_range(&g.missing, seq, seq) : 0;
		if (e == 0 && found)
			e = shrink(s, &g);
		stream_gap_free(&g);
		if (e < 0)
			return e;
	}
	return found ? 1 : e;
}

int stream_has_gaps(struct stream *s, int64_t device, uint64_t epoch, enum uplink_class class)
{
	sqlite3_stmt *st = s->st[ST_HAS_GAPS];
	int e = db_bind(st, "iii", device, (int64_t)epoch, (int64_t) class);

	if (e == 0)
		e = db_step(st);
	sqlite3_reset(st);
	return e;
}

/* ---- windows that must go ---- */

struct victim {
	struct stream_gap holes; /* of a window that is forgotten */
	struct window window;
};

/* The window of the device that was added to longest ago, beyond `keep`: 1, 0 or -errno. */
static int find_victim(struct stream *s, int64_t device, size_t keep, struct victim *v)
{
	sqlite3_stmt *st = s->st[ST_OLD_WINDOW];
	int e = db_bind(st, "ii", device, (int64_t)keep);

	if (e == 0)
		e = db_step(st);
	if (e == DB_ROW) {
		v->holes.epoch = (uint64_t)sqlite3_column_int64(st, 0);
		v->holes.class = (enum uplink_class)sqlite3_column_int(st, 1);
		v->holes.vehicle = sqlite3_column_int64(st, 2);
		e = window_decode(&v->window, (uint64_t)sqlite3_column_int64(st, 3),
				  sqlite3_column_blob(st, 4), (size_t)sqlite3_column_bytes(st, 4));
		e = e < 0 ? e : DB_ROW;
	}
	sqlite3_reset(st);
	return e;
}

static int record_holes(struct stream *s, struct victim *v)
{
	struct stream_gap *g = &v->holes;
	uint64_t end;

	if (!window_lowest_hole(&v->window, &g->from, &end))
		return 0;
	g->through = v->window.ranges[v->window.n - 1].from - 1;
	int e = window_missing(&v->window, g->from, g->through, &g->missing);

	if (e == 0)
		e = stream_add_gap(s, g);
	return e < 0 ? e : 0;
}

static int delete_of(sqlite3_stmt *st, const struct stream_gap *lane)
{
	int e = db_bind(st, "iii", lane->device, (int64_t)lane->epoch, (int64_t)lane->class);

	return e < 0 ? e : db_run(st);
}

static int forget_window(struct stream *s, struct victim *v)
{
	int e = record_holes(s, v);

	if (e == 0)
		e = delete_of(s->st[ST_DELETE_TOTALS], &v->holes);
	return e < 0 ? e : delete_of(s->st[ST_DELETE_WINDOW], &v->holes);
}

int stream_limit_windows(struct stream *s, int64_t device, size_t keep, struct wall_time now)
{
	int e = 0, n = 0;

	while (e == 0) {
		struct victim v = {.holes = {.device = device, .received = now}};

		e = find_victim(s, device, keep, &v);
		if (e != DB_ROW)
			break;
		e = forget_window(s, &v);
		n++;
		window_free(&v.window);
		stream_gap_free(&v.holes);
	}
	return e < 0 ? e : n;
}
