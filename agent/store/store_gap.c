/* Gap rows: what stands for batches that will not come.
 *
 * A dropped row becomes a gap, or part of the one before or behind it: of the same reason, made in
 * this run, and not handed out yet, since the relay may have what was handed out as it was then. It
 * takes in no seqs that have a receipt: should the relay lose these, another gap tells so. Only
 * where there are too many gaps it does, for the relay keeps what it has. */
#include "agent/store/store_private.h"

#include <string.h>

enum { GAP_BODY_MAX = 256 };

static bool is_open_gap(const struct class_state *c, int64_t id)
{
	for (size_t i = 0; i < STORE_OPEN_GAPS; i++)
		if (c->open_gaps[i] == id)
			return true;
	return false;
}

void store_close_gap(struct class_state *c, int64_t id)
{
	for (size_t i = 0; i < STORE_OPEN_GAPS; i++)
		if (c->open_gaps[i] == id)
			c->open_gaps[i] = 0;
}

/* The one that was opened longest ago grows no more. */
static void remember_open(struct class_state *c, int64_t id)
{
	store_close_gap(c, id);
	memmove(&c->open_gaps[1], &c->open_gaps[0],
		(STORE_OPEN_GAPS - 1) * sizeof(c->open_gaps[0]));
	c->open_gaps[0] = id;
}

uint64_t store_new_gap(const struct store *s, enum uplink_class class)
{
	const struct class_state *c = &s->w.classes[class];
	uint64_t lowest = 0;

	for (size_t i = 0; i < STORE_OPEN_GAPS; i++) {
		uint64_t seq = row_seq(c->open_gaps[i]);

		if (c->open_gaps[i] != 0 && !range_set_find(&s->acked[class].set, seq) &&
		    (lowest == 0 || seq < lowest))
			lowest = seq;
	}
	return lowest;
}

/* Returns false where the body is no gap. */
static bool read_gap(const struct stored_row *row, struct gap *ret)
{
	uint64_t origin = (uint64_t)row->col[ROW_ORIGIN_SEQ];
	uint64_t from = origin ? origin : row_seq(row->col[ROW_ID]);

	return row_is_gap(row) && gap_decode(ret, from, row->body, row->body_len, NULL) == 0;
}

uint64_t store_row_through(const struct stored_row *row)
{
	struct gap gap;

	if (row->col[ROW_ORIGIN_SEQ] == 0 && read_gap(row, &gap))
		return gap.through;
	return row_seq(row->col[ROW_ID]);
}

/* Times of two, where both or one are known. */
static void join_times(struct gap *a, const struct gap *b)
{
	if (b->first_ns == 0 && b->last_ns == 0)
		return;
	if (a->first_ns == 0 && a->last_ns == 0) {
		a->first_ns = b->first_ns;
		a->last_ns = b->last_ns;
		return;
	}
	if (b->first_ns < a->first_ns)
		a->first_ns = b->first_ns;
	if (b->last_ns > a->last_ns)
		a->last_ns = b->last_ns;
}

/* The reason of the larger part is kept. */
static void join(struct gap *a, const struct gap *b)
{
	if (b->batches > a->batches)
		a->reason = b->reason;
	a->batches += b->batches;
	a->samples += b->samples;
	if (b->through > a->through)
		a->through = b->through;
	join_times(a, b);
}

static int write_gap(struct store *s, struct working *w, const struct store_gap *g)
{
	int64_t col[ROW_COLUMNS] = {
		[ROW_ID] = row_id(g->class, g->seq),
		[ROW_BOOT] = s->boot,
		[ROW_STORED_MS] = store_now_ms(s),
		[ROW_ENCODING] = ENCODING_GAP,
		[ROW_ORIGIN_EPOCH] = (int64_t)g->origin_epoch,
		[ROW_ORIGIN_SEQ] = (int64_t)g->origin_seq,
	};
	struct buf body cleanup(buf_free) = BUF_INIT(GAP_BODY_MAX);
	bool newest = g->seq == w->classes[g->class].last_seq;
	int r = gap_encode(&g->gap, &body);

	if (r == 0)
		r = store_write_row(s, w, col, body.data, body.len, newest);
	if (r == 0)
		remember_open(&w->classes[g->class], col[ROW_ID]);
	return r;
}

enum { BEFORE, BEHIND };

/* The row beside seqs from to through, if it is a gap that these may join. Its row is copied but
 * for the body. Returns 1, 0: none, -errno. */
static int find_open(struct store *s, struct working *w, const struct store_gap *g, int side,
		     struct stored_row *ret, struct gap *ret_gap)
{
	sqlite3_stmt *st;
	int r;

	if (side == BEFORE) {
		st = store_stmt(s, STORE_PREVIOUS, g->class);
		r = db_bind(st, "i", row_id(g->class, g->seq));
	} else {
		st = store_stmt(s, STORE_NEXT, g->class);
		r = db_bind(st, "ii", row_id(g->class, g->gap.through + 1),
			    row_id(g->class, ROW_SEQ_MAX));
	}
	if (r == 0)
		r = store_step_row(st, ret);
	if (r == DB_ROW) {
		r = row_class(ret->col[ROW_ID]) == g->class &&
		    is_open_gap(&w->classes[g->class], ret->col[ROW_ID]) &&
		    ret->col[ROW_ORIGIN_SEQ] == 0 && read_gap(ret, ret_gap) &&
		    ret_gap->reason == g->gap.reason &&
		    (side == BEFORE ? ret_gap->through + 1 == g->seq
				    : row_seq(ret->col[ROW_ID]) == g->gap.through + 1);
	}
	sqlite3_reset(st);
	return r;
}

static int absorb(struct store *s, struct working *w, struct store_gap *g, int side)
{
	struct stored_row row;
	struct gap other;
	int r = find_open(s, w, g, side, &row, &other);

	if (r <= 0)
		return r;
	r = store_delete_row(s, w, g->class, &row);
	if (r < 0)
		return r;
	if (side == BEFORE)
		g->seq = row_seq(row.col[ROW_ID]);
	join(&g->gap, &other);
	return 0;
}

int store_add_gap(struct store *s, struct working *w, const struct store_gap *g)
{
	struct store_gap whole = *g;
	int r = 0;

	if (g->origin_seq == 0) {
		r = absorb(s, w, &whole, BEFORE);
		if (r == 0)
			r = absorb(s, w, &whole, BEHIND);
	}
	if (r == 0)
		r = write_gap(s, w, &whole);
	return r < 0 ? r : store_bound_gaps(s, w, g->class);
}

int store_row_to_gap(struct store *s, struct working *w, const struct stored_row *row,
		     enum gap_reason reason)
{
	const int64_t *col = row->col;
	int64_t first = col[ROW_FIRST_MS], last = first + col[ROW_SPAN_MS];
	struct store_gap g = {
		.class = row_class(col[ROW_ID]),
		.seq = row_seq(col[ROW_ID]),
		.origin_epoch = (uint64_t)col[ROW_ORIGIN_EPOCH],
		.origin_seq = (uint64_t)col[ROW_ORIGIN_SEQ],
		.gap = {.reason = reason,
			.batches = 1,
			.samples = (uint64_t)col[ROW_SAMPLES],
			.first_ns = first * NS_PER_MS,
			.last_ns = first ? last * NS_PER_MS : 0},
	};
	int r;

	g.gap.through = g.origin_seq ? g.origin_seq : g.seq;
	r = store_delete_row(s, w, g.class, row);
	return r < 0 ? r : store_add_gap(s, w, &g);
}

int store_lose_newcomer(struct store *s, struct working *w, enum uplink_class class,
			const struct gap *lost)
{
	struct class_state *c = &w->classes[class];
	struct store_gap g = {.class = class, .gap = *lost};

	g.seq = g.gap.through = ++c->last_seq;
	c->life.samples_stored += lost->samples;
	c->life.samples_dropped += lost->samples;
	c->touched = true;
	return store_add_gap(s, w, &g);
}

/* ---- the bound ---- */

static int has_row_between(struct store *s, enum uplink_class class, int64_t a, int64_t b)
{
	sqlite3_stmt *st = store_stmt(s, STORE_NEXT, class);
	int r = db_bind(st, "ii", a + 1, b - 1);

	if (r == 0)
		r = db_step(st);
	sqlite3_reset(st);
	return r;
}

/* The first pair of neighbours. Returns 1, 0: there is none, -errno. */
static int find_pair(struct store *s, enum uplink_class class, int64_t ids[static 2])
{
	sqlite3_stmt *st = store_stmt(s, STORE_GAPS, class);
	int64_t last = 0;
	int r;

	while ((r = db_step(st)) == DB_ROW) {
		int64_t id = sqlite3_column_int64(st, 0);
		int between = 1;

		if (sqlite3_column_int64(st, 1) != 0)
			continue;
		if (last != 0)
			between = has_row_between(s, class, last, id);
		if (between < 0) {
			r = between;
			break;
		}
		if (between == 0) {
			ids[0] = last;
			ids[1] = id;
			r = 1;
			break;
		}
		last = id;
	}
	sqlite3_reset(st);
	return r;
}

static int read_one(struct store *s, enum uplink_class class, int64_t id, struct stored_row *ret,
		    struct gap *ret_gap)
{
	sqlite3_stmt *st = store_stmt(s, STORE_NEXT, class);
	int r = db_bind(st, "ii", id, id);

	if (r == 0)
		r = store_step_row(st, ret);
	if (r == DB_ROW && !read_gap(ret, ret_gap))
		/* Damaged: what it stood for is taken to be up to the next. */
		*ret_gap = (struct gap){.through = row_seq(id), .reason = GAP_CORRUPT};
	sqlite3_reset(st);
	return r == DB_DONE ? -EBADMSG : r < 0 ? r : 0;
}

static int merge_pair(struct store *s, struct working *w, enum uplink_class class,
		      const int64_t ids[static 2])
{
	struct store_gap g = {.class = class, .seq = row_seq(ids[0])};
	struct stored_row row;
	struct gap other;
	int r = read_one(s, class, ids[0], &row, &g.gap);

	if (r == 0)
		r = store_delete_row(s, w, class, &row);
	if (r == 0)
		r = read_one(s, class, ids[1], &row, &other);
	if (r == 0)
		r = store_delete_row(s, w, class, &row);
	if (r < 0)
		return r;
	join(&g.gap, &other);
	return write_gap(s, w, &g);
}

int store_bound_gaps(struct store *s, struct working *w, enum uplink_class class)
{
	while (w->classes[class].gaps > STORE_GAPS_MAX) {
		int64_t ids[2];
		int r = find_pair(s, class, ids);

		if (r == 1)
			r = merge_pair(s, w, class, ids);
		else
			return r;
		if (r < 0)
			return r;
	}
	return 0;
}
