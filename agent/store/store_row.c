/* One row of the outbox: written, read, checked, deleted. */
#include "agent/store/store_private.h"

static int bind_row(sqlite3_stmt *st, const int64_t col[static ROW_COLUMNS], int64_t sum,
		    const void *body, size_t len)
{
	int rc = SQLITE_OK;

	for (int i = 0; rc == SQLITE_OK && i < ROW_COLUMNS; i++)
		rc = sqlite3_bind_int64(st, i + 1, col[i]);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, ROW_SUM + 1, sum);
	if (rc == SQLITE_OK && len == 0)
		rc = sqlite3_bind_zeroblob(st, ROW_BODY + 1, 0);
	else if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob64(st, ROW_BODY + 1, body, len, SQLITE_STATIC);
	return db_errno(rc);
}

/* Body and length become those of the sealed one. A gap is not sealed: it tells nothing but
 * numbers, and has to be told even without the key. */
static int seal_body(struct store *s, int64_t col[static ROW_COLUMNS], uint64_t meta,
		     const void **body, size_t *len)
{
	struct seal_row id = {.epoch = s->epoch, .id = col[ROW_ID], .meta = meta};
	int r;

	col[ROW_KEY] = 0;
	if (!s->opt.seal || col[ROW_ENCODING] == ENCODING_GAP)
		return 0;
	buf_clear(&s->sealed);
	r = seal_encrypt(s->opt.seal, &id, *body, *len, &s->sealed, &col[ROW_KEY]);
	if (r < 0)
		return r;
	*body = s->sealed.data;
	*len = s->sealed.len;
	return 0;
}

static void put_counters(struct class_state *c, int64_t col[static ROW_COLUMNS])
{
	col[ROW_ACKED] = (int64_t)c->life.samples_acked;
	col[ROW_DROPPED] = (int64_t)c->life.samples_dropped;
	col[ROW_QUARANTINED] = (int64_t)c->life.samples_quarantined;
	/* class_state is older now, and may be. */
	c->touched = false;
}

static void add_to_totals(struct working *w, const int64_t col[static ROW_COLUMNS], size_t len)
{
	bool gap = col[ROW_ENCODING] == ENCODING_GAP;

	w->totals.rows++;
	w->totals.bytes += len + STORE_ROW_OVERHEAD;
	w->totals.samples += (uint64_t)col[ROW_SAMPLES];
	w->totals.gaps += gap;
	if (gap && col[ROW_ORIGIN_SEQ] == 0)
		w->classes[row_class(col[ROW_ID])].gaps++;
}

int store_write_row(struct store *s, struct working *w, int64_t col[static ROW_COLUMNS],
		    const void *body, size_t len, bool newest)
{
	enum uplink_class class = row_class(col[ROW_ID]);
	sqlite3_stmt *st = store_stmt(s, STORE_PUT_ROW, class);
	uint64_t meta;
	int r;

	col[ROW_ACKED] = col[ROW_DROPPED] = col[ROW_QUARANTINED] = 0;
	if (newest)
		put_counters(&w->classes[class], col);
	meta = row_meta(s->epoch, col);
	r = seal_body(s, col, meta, &body, &len);
	if (r == 0)
		r = bind_row(st, col, row_sum(meta, col[ROW_KEY], body, len), body, len);
	if (r == 0)
		r = db_run(st);
	if (r == 0)
		add_to_totals(w, col, len);
	return r;
}

int store_step_row(sqlite3_stmt *st, struct stored_row *ret)
{
	int r = db_step(st);

	if (r != DB_ROW)
		return r;
	for (int i = 0; i < ROW_COLUMNS; i++)
		ret->col[i] = sqlite3_column_int64(st, i);
	ret->sum = sqlite3_column_int64(st, ROW_SUM);
	ret->body = sqlite3_column_blob(st, ROW_BODY);
	ret->body_len = (size_t)sqlite3_column_bytes(st, ROW_BODY);
	if (ret->body_len > 0 && !ret->body) {
		/* It is read only now: a chain of pages that is broken, or no memory. */
		r = db_errno(sqlite3_errcode(sqlite3_db_handle(st)));
		db_reset(st);
		return r < 0 ? r : -ENOMEM;
	}
	return DB_ROW;
}

bool store_row_is_whole(const struct store *s, const struct stored_row *row)
{
	return row->sum ==
	       row_sum(row_meta(s->epoch, row->col), row->col[ROW_KEY], row->body, row->body_len);
}

int store_delete_row(struct store *s, struct working *w, enum uplink_class class,
		     const struct stored_row *row)
{
	sqlite3_stmt *st = store_stmt(s, STORE_DELETE, class);
	int64_t id = row->col[ROW_ID];
	bool gap = row_is_gap(row);
	int r;

	store_take_off(&w->totals.rows, 1);
	store_take_off(&w->totals.bytes, row->body_len + STORE_ROW_OVERHEAD);
	store_take_off(&w->totals.samples, (uint64_t)row->col[ROW_SAMPLES]);
	store_take_off(&w->totals.gaps, gap);
	if (gap && row->col[ROW_ORIGIN_SEQ] == 0)
		store_take_off(&w->classes[class].gaps, 1);
	if (gap)
		store_close_gap(&w->classes[class], id);
	/* The highest seq, and the counters, may have been told by it alone. */
	if (gap || row_seq(id) == w->classes[class].last_seq)
		w->classes[class].touched = true;
	r = db_bind(st, "ii", id, id);
	return r < 0 ? r : db_run(st);
}
