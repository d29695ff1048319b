/* What leaves the outbox: rows to be sent, and what becomes of them. */
#include "agent/store/store_private.h"

enum { PLAIN_KEPT_MAX = 256 << 10 }; /* what a large row needed beyond is given back */

void store_release(struct store *s)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		sqlite3_reset(store_stmt(s, STORE_NEXT, (enum uplink_class)k));
	if (s->plain.cap > PLAIN_KEPT_MAX)
		buf_free(&s->plain);
}

/* ---- reading ---- */

/* The first row from a seq on that has no receipt yet. Returns as store_step_row. */
static int find_row(struct store *s, enum uplink_class class, uint64_t from, struct stored_row *ret)
{
	sqlite3_stmt *st = store_stmt(s, STORE_NEXT, class);

	for (;;) {
		const struct receipt_range *acked;
		int r;

		store_release(s);
		if (from > s->w.classes[class].last_seq)
			return DB_DONE;
		r = db_bind(st, "ii", row_id(class, from), row_id(class, ROW_SEQ_MAX));
		if (r == 0)
			r = store_step_row(st, ret);
		if (r != DB_ROW)
			return r;
		acked = range_set_find(&s->acked[class].set, row_seq(ret->col[ROW_ID]));
		if (!acked)
			return DB_ROW;
		from = acked->to + 1;
	}
}

/* Returns 0; -EBADMSG: damaged or forged; -ENOKEY, -ENOMEM. */
static int open_body(struct store *s, const struct stored_row *row, struct store_row *ret)
{
	struct seal_row id = {
		.epoch = s->epoch,
		.id = row->col[ROW_ID],
		.meta = row_meta(s->epoch, row->col),
	};
	int r;

	ret->body = row->body;
	ret->body_len = row->body_len;
	if (row->col[ROW_KEY] == 0)
		return 0;
	if (!s->opt.seal)
		return -ENOKEY;
	buf_clear(&s->plain);
	r = seal_decrypt(s->opt.seal, &id, row->col[ROW_KEY], row->body, row->body_len, &s->plain);
	ret->body = s->plain.data;
	ret->body_len = s->plain.len;
	return r;
}

static int64_t expiry_of(const struct store *s, const struct stored_row *row)
{
	int64_t limit = s->opt.expire_ns[row_class(row->col[ROW_ID])], age_ms, left;

	if (limit == 0 || row_is_gap(row) || !store_row_age(s, row->col, &age_ms))
		return 0;
	left = limit - age_ms * NS_PER_MS;
	return timebase_mono(s->opt.tb).ns + (left > 0 ? left : 1);
}

static int fill(struct store *s, const struct stored_row *row, struct store_row *ret)
{
	struct gap gap;

	*ret = (struct store_row){
		.class = row_class(row->col[ROW_ID]),
		.seq = row_seq(row->col[ROW_ID]),
		.through = store_row_through(row),
		.samples = (uint64_t)row->col[ROW_SAMPLES],
		.encoding = (uint32_t)row->col[ROW_ENCODING],
		.origin_epoch = (uint64_t)row->col[ROW_ORIGIN_EPOCH],
		.origin_seq = (uint64_t)row->col[ROW_ORIGIN_SEQ],
		.expires_ns = expiry_of(s, row),
	};
	if (!store_row_is_whole(s, row))
		return -EBADMSG;
	if (row_is_gap(row) && gap_decode(&gap, ret->origin_seq ? ret->origin_seq : ret->seq,
					  row->body, row->body_len, NULL) < 0)
		return -EBADMSG;
	return open_body(s, row, ret);
}

int store_next(struct store *s, enum uplink_class class, uint64_t after, struct store_row *ret)
{
	struct stored_row row;
	int64_t retired = 0;

	if (after >= s->w.classes[class].last_seq)
		return store_release(s), 0;
	for (;;) {
		int r = find_row(s, class, after + 1, &row), e;

		if (r != DB_ROW)
			return r;
		r = fill(s, &row, ret);
		if (r == 0) {
			if (row_is_gap(&row))
				store_close_gap(&s->w.classes[class], row.col[ROW_ID]);
			return STORE_ROW;
		}
		if (r != -EBADMSG)
			return store_release(s), r;
		/* A gap takes its place, which is read next. Where that cannot be written now, the
		 * rows behind it need not wait. */
		e = retired == row.col[ROW_ID] ? -EBADMSG
					       : store_retire_corrupt(s, row.col[ROW_ID]);
		retired = row.col[ROW_ID];
		if (e == -EBADMSG)
			return store_release(s), e;
		if (e < 0)
			after = ret->seq;
	}
}

uint64_t store_first_seq(struct store *s, enum uplink_class class)
{
	struct stored_row row;
	int r = find_row(s, class, 1, &row);

	store_release(s);
	if (r < 0)
		return 1;
	return r == DB_ROW ? row_seq(row.col[ROW_ID]) : s->w.classes[class].last_seq + 1;
}

/* ---- receipts ---- */

/* Adds what a row holds to what is acknowledged. */
static void count_acked(struct acked_rows *a, sqlite3_stmt *peek, struct store_count *count)
{
	bool gap = sqlite3_column_int64(peek, 3) == ENCODING_GAP;
	uint64_t samples = (uint64_t)sqlite3_column_int64(peek, 1);

	a->totals.rows++;
	a->totals.bytes += (uint64_t)sqlite3_column_int64(peek, 2) + STORE_ROW_OVERHEAD;
	a->totals.samples += samples;
	a->totals.gaps += gap;
	a->merging_gaps += gap && sqlite3_column_int64(peek, 4) == 0;
	count->rows += !gap;
	count->samples += samples;
}

/* A gap of this epoch that reaches beyond what is acknowledged is to be sent again. */
static bool reaches_beyond(const struct range_set *set, sqlite3_stmt *peek)
{
	uint64_t seq = row_seq(sqlite3_column_int64(peek, 0));
	const struct receipt_range *have = range_set_find(set, seq);
	struct gap gap;

	if (sqlite3_column_int64(peek, 3) != ENCODING_GAP || sqlite3_column_int64(peek, 4) != 0)
		return false;
	return gap_decode(&gap, seq, sqlite3_column_blob(peek, 5),
			  (size_t)sqlite3_column_bytes(peek, 5), NULL) < 0 ||
	       !have || gap.through > have->to;
}

/* Counts the rows of a range that were not acknowledged before. next: the set with all ranges. */
static int ack_range(struct store *s, enum uplink_class class, const struct receipt_range *range,
		     struct acked_rows *next, struct store_count *count)
{
	sqlite3_stmt *st = store_stmt(s, STORE_PEEK, class);
	uint64_t from = range->from;
	int r = DB_ROW;

	while (r == DB_ROW && from <= range->to) {
		const struct receipt_range *had = range_set_find(&s->acked[class].set, from);

		if (had) {
			from = had->to + 1;
			continue;
		}
		r = db_bind(st, "ii", row_id(class, from), row_id(class, range->to));
		if (r == 0)
			r = db_step(st);
		if (r != DB_ROW)
			break;
		from = row_seq(sqlite3_column_int64(st, 0));
		if (!range_set_find(&s->acked[class].set, from)) {
			if (reaches_beyond(&next->set, st))
				r = range_set_remove(&next->set, from) < 0 ? -ENOBUFS : DB_ROW;
			else
				count_acked(next, st, count);
			from++;
		}
		sqlite3_reset(st);
	}
	sqlite3_reset(st);
	return r == DB_ROW ? 0 : r;
}

static int ack(struct store *s, enum uplink_class class, const struct receipt_range *ranges,
	       size_t n, struct store_count *count)
{
	struct acked_rows next = s->acked[class];
	struct receipt_range r[RECEIPT_RANGES_MAX + 1];
	uint64_t last = s->w.classes[class].last_seq;
	size_t m = 0;
	int e = 0;

	for (size_t i = 0; i < n && m < array_len(r); i++) {
		r[m] = ranges[i];
		if (r[m].to > last)
			r[m].to = last;
		if (r[m].from > r[m].to || r[m].to == 0)
			continue;
		e = range_set_add(&next.set, r[m++]);
		if (e < 0)
			return e;
	}
	for (size_t i = 0; e == 0 && i < m; i++)
		e = ack_range(s, class, &r[i], &next, count);
	if (e == 0)
		s->acked[class] = next;
	return e;
}

/* A backlog that is sent off is deleted by and by, while more is on its way, and not in one long
 * transaction at the end. Where that fails now, it waits for more, or for the flush. */
static void apply_many(struct store *s)
{
	uint64_t bytes = 0;
	struct working w;
	int r;

	for (unsigned k = 0; k < CLASS_COUNT; k++)
		bytes += s->acked[k].totals.bytes;
	if (bytes < s->apply_at)
		return;
	r = store_begin(s, &w, STORE_LATER, true);
	if (r == 0)
		r = store_finish(s, &w, 0);
	s->apply_at = STORE_ACKED_MANY + (r < 0 ? bytes : 0);
}

int store_ack(struct store *s, enum uplink_class class, const struct receipt_range *ranges,
	      size_t n, struct store_count *ret)
{
	bool first = true;
	int r;

	store_release(s);
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		first = first && s->acked[k].totals.rows == 0;
	*ret = (struct store_count){0};
	r = ack(s, class, ranges, n, ret);
	if (r == -ENOBUFS) { /* too many holes to be remembered */
		r = store_flush(s);
		*ret = (struct store_count){0};
		if (r == 0)
			r = ack(s, class, ranges, n, ret);
	}
	if (r == 0 && first)
		s->acked_at = timebase_mono(s->opt.tb);
	if (r == 0)
		apply_many(s);
	return r;
}

/* ---- what is refused, or damaged ---- */

/* Body and all are gone with the statement, but for the numbers. */
static int read_row(struct store *s, enum uplink_class class, uint64_t from, uint64_t to,
		    struct stored_row *ret)
{
	sqlite3_stmt *st = store_stmt(s, STORE_NEXT, class);
	int r = db_bind(st, "ii", row_id(class, from), row_id(class, to));

	if (r == 0)
		r = store_step_row(st, ret);
	sqlite3_reset(st);
	return r;
}

static int purge_range(struct store *s, struct working *w, enum uplink_class class,
		       const struct receipt_range *range, enum gap_reason reason,
		       struct store_count *count)
{
	uint64_t from = range->from;
	struct stored_row row;
	int r;

	while ((r = read_row(s, class, from, range->to, &row)) == DB_ROW) {
		uint64_t samples = (uint64_t)row.col[ROW_SAMPLES];

		from = row_seq(row.col[ROW_ID]) + 1;
		if (row_is_gap(&row))
			continue;
		r = store_row_to_gap(s, w, &row, reason);
		if (r < 0)
			return r;
		count->rows++;
		count->samples += samples;
		w->classes[class].life.samples_dropped += samples;
		w->classes[class].touched = true;
	}
	return r;
}

int store_purge(struct store *s, enum uplink_class class, const struct receipt_range *range,
		enum gap_reason reason, struct store_count *ret)
{
	struct store_count count = {0};
	struct working w;
	int r = store_begin(s, &w, STORE_LATER, true);

	if (r < 0)
		return r;
	r = store_finish(s, &w, purge_range(s, &w, class, range, reason, &count));
	if (r < 0)
		return r;
	*ret = count;
	return 0;
}

static int copy_to_quarantine(struct store *s, int64_t id, enum gap_reason reason)
{
	sqlite3_stmt *st = store_stmt(s, STORE_QUARANTINE_COPY, row_class(id));
	int r = db_bind(st, "iii", (int64_t)reason, timebase_wall(s->opt.tb).ns, id);

	if (r == 0)
		r = db_run(st);
	if (r < 0)
		return r;
	st = s->st[STORE_QUARANTINE_TRIM];
	r = db_bind(st, "i", (int64_t)STORE_QUARANTINE_MAX);
	return r < 0 ? r : db_run(st);
}

static int quarantine_row(struct store *s, struct working *w, const struct stored_row *row,
			  enum gap_reason reason, struct store_count *count)
{
	enum uplink_class class = row_class(row->col[ROW_ID]);
	uint64_t samples = (uint64_t)row->col[ROW_SAMPLES];
	int r = copy_to_quarantine(s, row->col[ROW_ID], reason);

	if (r == 0)
		r = store_row_to_gap(s, w, row, reason);
	if (r < 0)
		return r;
	count->rows++;
	count->samples += samples;
	w->classes[class].life.samples_quarantined += samples;
	w->classes[class].touched = true;
	return 0;
}

static int drop_gap(struct store *s, struct working *w, const struct stored_row *row)
{
	return store_delete_row(s, w, row_class(row->col[ROW_ID]), row);
}

/* A gap that cannot be read: what it stood for is taken to be up to the next row. */
static int retire_gap(struct store *s, struct working *w, const struct stored_row *row)
{
	enum uplink_class class = row_class(row->col[ROW_ID]);
	struct store_gap g = {
		.class = class,
		.seq = row_seq(row->col[ROW_ID]),
		.gap = {.through = w->classes[class].last_seq, .reason = GAP_CORRUPT},
	};
	struct stored_row behind;
	int r = read_row(s, class, g.seq + 1, ROW_SEQ_MAX, &behind);

	if (r == DB_ROW)
		g.gap.through = row_seq(behind.col[ROW_ID]) - 1;
	if (r >= 0)
		r = store_delete_row(s, w, class, row);
	return r < 0 ? r : store_add_gap(s, w, &g);
}

/* One row goes to the quarantine; of a gap on_gap decides. */
static int take_out(struct store *s, int64_t id, enum gap_reason reason,
		    int (*on_gap)(struct store *s, struct working *w, const struct stored_row *row),
		    struct store_count *ret)
{
	enum uplink_class class = row_class(id);
	struct store_count count = {0};
	struct stored_row row;
	struct working w;
	int r = store_begin(s, &w, STORE_LATER, true);

	if (r < 0)
		return r;
	r = read_row(s, class, row_seq(id), row_seq(id), &row);
	if (r == DB_ROW && row_is_gap(&row))
		r = on_gap(s, &w, &row);
	else if (r == DB_ROW)
		r = quarantine_row(s, &w, &row, reason, &count);
	r = store_finish(s, &w, r);
	if (r == 0)
		*ret = count;
	return r;
}

int store_quarantine(struct store *s, enum uplink_class class, uint64_t seq, enum gap_reason reason,
		     struct store_count *ret)
{
	return take_out(s, row_id(class, seq), reason, drop_gap, ret);
}

int store_retire_corrupt(struct store *s, int64_t id)
{
	struct store_count count = {0};
	int r = take_out(s, id, GAP_CORRUPT, retire_gap, &count);

	s->corrupt.rows += count.rows;
	s->corrupt.samples += count.samples;
	return r;
}

struct store_count store_corrupt_found(struct store *s)
{
	struct store_count count = s->corrupt;

	s->corrupt = (struct store_count){0};
	return count;
}
