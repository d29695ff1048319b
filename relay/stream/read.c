/* Looking back into the stream: at start, for waiting batches, and for history. */
#include "relay/stream/internal.h"

#include <string.h>

struct stream_row stream_row_of(sqlite3_stmt *st)
{
	return (struct stream_row){
		.id = sqlite3_column_int64(st, 0),
		.vehicle = sqlite3_column_int64(st, 1),
		.device = sqlite3_column_int64(st, 2),
		.epoch = (uint64_t)sqlite3_column_int64(st, 3),
		.class = (enum uplink_class)sqlite3_column_int(st, 4),
		.seq = (uint64_t)sqlite3_column_int64(st, 5),
		.received.ns = sqlite3_column_int64(st, 6),
		.first_ns = sqlite3_column_int64(st, 7),
		.last_ns = sqlite3_column_int64(st, 8),
		.catalog = (uint64_t)sqlite3_column_int64(st, 9),
		.samples = (uint64_t)sqlite3_column_int64(st, 10),
		.state = (enum stream_state)sqlite3_column_int(st, 11),
		.encoding = (uint32_t)sqlite3_column_int64(st, 12),
		.body = sqlite3_column_blob(st, 13),
		.len = (size_t)sqlite3_column_bytes(st, 13),
		.quality = (enum clock_quality)sqlite3_column_int(st, 14),
		.boot = (uint64_t)sqlite3_column_int64(st, 15),
		.clock_ns = sqlite3_column_int64(st, 16),
		.shift_ns = sqlite3_column_int64(st, 17),
		.news = sqlite3_column_int(st, 18) != 0,
	};
}

int stream_walk(sqlite3_stmt *st, int (*cb)(void *ctx, const struct stream_row *row), void *ctx)
{
	int e;

	while ((e = db_step(st)) == DB_ROW) {
		struct stream_row row = stream_row_of(st);

		e = cb(ctx, &row);
		if (e != 0)
			break;
	}
	sqlite3_reset(st);
	return e;
}

/* ---- the writer's own ---- */

int stream_get_window(struct stream *s, int64_t device, uint64_t epoch, enum uplink_class class,
		      struct window *ret, struct stream_counts *ret_counts)
{
	sqlite3_stmt *st = s->st[ST_WINDOW];
	int e = db_bind(st, "iii", device, (int64_t)epoch, (int64_t) class);

	*ret = (struct window){0};
	*ret_counts = (struct stream_counts){0};
	if (e == 0)
		e = db_step(st);
	if (e == DB_ROW) {
		ret_counts->batches = (uint64_t)sqlite3_column_int64(st, 2);
		ret_counts->samples = (uint64_t)sqlite3_column_int64(st, 3);
		ret_counts->duplicates = (uint64_t)sqlite3_column_int64(st, 4);
		e = window_decode(ret, (uint64_t)sqlite3_column_int64(st, 0),
				  sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
	}
	sqlite3_reset(st);
	return e;
}

int stream_read_device(sqlite3_stmt *st, int64_t device, struct stream_device *ret)
{
	int e = db_bind(st, "i", device);

	*ret = (struct stream_device){0};
	if (e == 0)
		e = db_step(st);
	if (e == DB_ROW) {
		ret->last_seen_ns = sqlite3_column_int64(st, 0);
		ret->batches = (uint64_t)sqlite3_column_int64(st, 1);
		ret->samples = (uint64_t)sqlite3_column_int64(st, 2);
		ret->epoch = (uint64_t)sqlite3_column_int64(st, 3);
		e = 0;
	}
	sqlite3_reset(st);
	return e;
}

int stream_get_device(struct stream *s, int64_t device, struct stream_device *ret)
{
	return stream_read_device(s->st[ST_DEVICE], device, ret);
}

int stream_get_progress(struct stream *s, int64_t *ret)
{
	int e = db_step(s->st[ST_PROGRESS]);

	if (e == DB_ROW) {
		*ret = sqlite3_column_int64(s->st[ST_PROGRESS], 0);
		e = 0;
	} else if (e == DB_DONE) {
		e = -EBADMSG;
	}
	sqlite3_reset(s->st[ST_PROGRESS]);
	return e;
}

int stream_max_keys(struct stream *s, int64_t *ret_vehicle, int64_t *ret_device)
{
	sqlite3_stmt *st = s->st[ST_MAX_KEYS];
	int e = db_step(st);

	if (e == DB_ROW) {
		*ret_vehicle = sqlite3_column_int64(st, 0);
		*ret_device = sqlite3_column_int64(st, 1);
		e = 0;
	}
	sqlite3_reset(st);
	return e;
}

int stream_each_state(struct stream *s,
		      int (*cb)(void *ctx, int64_t vehicle, const void *blob, size_t len),
		      void *ctx)
{
	sqlite3_stmt *st = s->st[ST_STATES];
	int e;

	while ((e = db_step(st)) == DB_ROW) {
		e = cb(ctx, sqlite3_column_int64(st, 0), sqlite3_column_blob(st, 1),
		       (size_t)sqlite3_column_bytes(st, 1));
		if (e != 0)
			break;
	}
	sqlite3_reset(st);
	return e;
}

int stream_each_after(struct stream *s, int64_t id,
		      int (*cb)(void *ctx, const struct stream_row *row), void *ctx)
{
	int e = db_bind(s->st[ST_AFTER], "i", id);

	return e < 0 ? e : stream_walk(s->st[ST_AFTER], cb, ctx);
}

int stream_each_waiting(struct stream *s, uint64_t catalog, size_t limit,
			int (*cb)(void *ctx, const struct stream_row *row), void *ctx)
{
	int e = db_bind(s->st[ST_WAITING], "ii", (int64_t)catalog, (int64_t)limit);

	return e < 0 ? e : stream_walk(s->st[ST_WAITING], cb, ctx);
}

int stream_each_wanted(struct stream *s, int (*cb)(void *ctx, uint64_t catalog), void *ctx)
{
	sqlite3_stmt *st = s->st[ST_WANTED];
	int e;

	while ((e = db_step(st)) == DB_ROW) {
		e = cb(ctx, (uint64_t)sqlite3_column_int64(st, 0));
		if (e != 0)
			break;
	}
	sqlite3_reset(st);
	return e;
}

/* ---- readers ---- */

static const char *const reader_sql[RD_STMTS] = {
	[RD_BEGIN] = "BEGIN",
	[RD_END] = "COMMIT",
	[RD_DEVICE] = STREAM_DEVICE_SQL,
	[RD_BOUNDS] = "SELECT min(first), max(last) FROM batch WHERE vehicle = ?",
	[RD_RANGE] = STREAM_SELECT STREAM_FROM "WHERE b.vehicle = ? AND b.last >= ? "
					       "AND b.first <= ? AND b.state = 0 "
					       "ORDER BY b.last, b.id",
	[RD_QUARANTINE] = "SELECT count(*) FROM quarantine",
	[RD_LANES] = "SELECT epoch, class, through, above, batches, samples, duplicates, updated "
		     "FROM window WHERE device = ? ORDER BY updated DESC, class LIMIT ?",
	[RD_GAPS] = "SELECT " GAP_COLUMNS " FROM gap WHERE device = ? ORDER BY id DESC LIMIT ?",
	[RD_GAP_TOTALS] = "SELECT epoch, class, reason, gaps, seqs, batches, samples "
			  "FROM gap_total WHERE device = ? AND gaps > 0",
	[RD_CLOCKS] = "SELECT boot, clock, quality, updated, todo FROM boot_clock "
		      "WHERE device = ? ORDER BY updated DESC LIMIT ?",
};

int stream_reader_open(struct stream_reader **ret, const char *path, struct error *err)
{
	struct db_options opt = {.sync = DB_SYNC_FULL, .read_only = true};
	struct stream_reader *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = db_open(&r->db, path, &opt, stream_migrations, stream_n_migrations, err);
	if (e == 0)
		e = db_prepare(r->db, reader_sql, r->st, RD_STMTS, err);
	if (e < 0) {
		stream_reader_close(r);
		return e;
	}
	*ret = r;
	return 0;
}

struct stream_reader *stream_reader_close(struct stream_reader *r)
{
	if (!r)
		return NULL;
	db_finalize(r->st, RD_STMTS);
	db_close(r->db);
	free(r);
	return NULL;
}

int stream_reader_device(struct stream_reader *r, int64_t device, struct stream_device *ret)
{
	return stream_read_device(r->st[RD_DEVICE], device, ret);
}

int stream_reader_begin(struct stream_reader *r)
{
	return db_run(r->st[RD_BEGIN]);
}

void stream_reader_end(struct stream_reader *r)
{
	/* Some errors have ended it. Ending what only read can not fail. */
	if (!sqlite3_get_autocommit(r->db))
		(void)!db_run(r->st[RD_END]);
}

int stream_reader_bounds(struct stream_reader *r, int64_t vehicle, int64_t *ret_first,
			 int64_t *ret_last)
{
	sqlite3_stmt *st = r->st[RD_BOUNDS];
	int e = db_bind(st, "i", vehicle);

	if (e == 0)
		e = db_step(st);
	if (e == DB_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL) {
		*ret_first = sqlite3_column_int64(st, 0);
		*ret_last = sqlite3_column_int64(st, 1);
		e = 0;
	} else if (e >= 0) {
		e = -ENOENT;
	}
	sqlite3_reset(st);
	return e;
}

int stream_reader_range(struct stream_reader *r, int64_t vehicle, int64_t from_ns, int64_t to_ns,
			int (*cb)(void *ctx, const struct stream_row *row), void *ctx)
{
	int e = db_bind(r->st[RD_RANGE], "iii", vehicle, from_ns, to_ns);

	return e < 0 ? e : stream_walk(r->st[RD_RANGE], cb, ctx);
}

int stream_reader_quarantine(struct stream_reader *r, uint64_t *ret_rows)
{
	int e = db_step(r->st[RD_QUARANTINE]);

	if (e == DB_ROW) {
		*ret_rows = (uint64_t)sqlite3_column_int64(r->st[RD_QUARANTINE], 0);
		e = 0;
	}
	sqlite3_reset(r->st[RD_QUARANTINE]);
	return e;
}
