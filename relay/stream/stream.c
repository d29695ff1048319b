#include "relay/stream/internal.h"

#include "relay/embed.h"

#include <string.h>
#include <sys/stat.h>

enum {
	QUARANTINE_PAYLOAD_MAX = 4096,
	WINDOW_BLOB_MAX = WINDOW_MISSING_MAX * 20,
	BUSY_TIMEOUT_MS = 5000, /* as base/db.h has it */
};

const char *const stream_migrations[] = {relay_stream_schema_1, relay_stream_schema_2,
					 relay_stream_schema_3, relay_stream_schema_4};
const size_t stream_n_migrations = array_len(stream_migrations);

static const char *const sql[ST_STMTS] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_APPEND] = "INSERT INTO batch (vehicle, device, epoch, class, seq, received, first, "
		      "last, catalog, samples, state, encoding, body) "
		      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[ST_PUT_WINDOW] = "INSERT OR REPLACE INTO window (device, epoch, class, vehicle, through, "
			  "above, updated, batches, samples, duplicates) "
			  "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[ST_PUT_DEVICE] = "INSERT OR REPLACE INTO device_stats (device, vehicle, last_seen, "
			  "batches, samples, epoch) VALUES (?, ?, ?, ?, ?, ?)",
	[ST_QUARANTINE] = "INSERT INTO quarantine (received, topic, reason, bytes, payload) "
			  "VALUES (?, ?, ?, ?, ?)",
	[ST_QUARANTINE_TRIM] = "DELETE FROM quarantine WHERE id <= "
			       "(SELECT max(id) FROM quarantine) - ?",
	[ST_RESOLVE] = "UPDATE batch SET state = ?, catalog = ? WHERE id = ?",
	[ST_PUT_STATE] = "INSERT OR REPLACE INTO state (vehicle, applied_through, blob) "
			 "VALUES (?, ?, ?)",
	[ST_PUT_PROGRESS] = "UPDATE progress SET applied_through = ?",
	[ST_WINDOW] = "SELECT through, above, batches, samples, duplicates FROM window "
		      "WHERE device = ? AND epoch = ? AND class = ?",
	[ST_DEVICE] = STREAM_DEVICE_SQL,
	[ST_PROGRESS] = "SELECT applied_through FROM progress",
	[ST_STATES] = "SELECT vehicle, blob FROM state",
	[ST_AFTER] = STREAM_SELECT STREAM_FROM "WHERE b.id > ? AND b.state = 0 ORDER BY b.id",
	[ST_WAITING] = STREAM_SELECT STREAM_FROM "WHERE b.catalog = ? AND b.state = 1 "
						 "ORDER BY b.id LIMIT ?",
	[ST_WANTED] = "SELECT DISTINCT catalog FROM batch WHERE state = 1",
	[ST_PRUNE] = "DELETE FROM batch WHERE id IN "
		     "(SELECT id FROM batch WHERE id <= ? ORDER BY id LIMIT ?)",
	[ST_FORGET_ROWS] = "DELETE FROM batch WHERE id IN "
			   "(SELECT id FROM batch WHERE vehicle = ? LIMIT ?)",
	[ST_FORGET_WINDOWS] = "DELETE FROM window WHERE vehicle = ?",
	[ST_FORGET_DEVICES] = "DELETE FROM device_stats WHERE vehicle = ?",
	[ST_FORGET_STATE] = "DELETE FROM state WHERE vehicle = ?",
	[ST_FORGET_GAPS] = "DELETE FROM gap WHERE vehicle = ?",
	[ST_FORGET_GAP_TOTALS] = "DELETE FROM gap_total WHERE vehicle = ?",
	[ST_FORGET_CLOCKS] = "DELETE FROM boot_clock WHERE vehicle = ?",
	[ST_FORGET_CONTEXTS] = "DELETE FROM context WHERE vehicle = ?",
	[ST_PUT_CONTEXT] = "INSERT INTO context (vehicle, device, class, bytes) "
			   "VALUES (?, ?, ?, ?)",
	[ST_LIMIT_CONTEXTS] = "DELETE FROM context WHERE device = ?1 AND class = ?2 AND id NOT IN "
			      "(SELECT id FROM context WHERE device = ?1 AND class = ?2 "
			      "ORDER BY id DESC LIMIT ?3)",
	[ST_CONTEXTS] = "SELECT class, bytes FROM context WHERE device = ? ORDER BY id",
	[ST_OLD_WINDOW] = "SELECT epoch, class, vehicle, through, above FROM window "
			  "WHERE device = ? ORDER BY updated DESC LIMIT 1 OFFSET ?",
	[ST_DELETE_TOTALS] = "DELETE FROM gap_total WHERE device = ? AND epoch = ? AND class = ?",
	[ST_DELETE_WINDOW] = "DELETE FROM window WHERE device = ? AND epoch = ? AND class = ?",
	[ST_PUT_GAP] = "INSERT INTO gap (vehicle, device, epoch, class, from_seq, through_seq, "
		       "reason, batches, samples, first, last, received, missing_through, missing, "
		       "seqs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[ST_SHRINK_GAP] = "UPDATE gap SET missing_through = ?, missing = ?, seqs = ? WHERE id = ?",
	[ST_DELETE_GAP] = "DELETE FROM gap WHERE id = ?",
	/* By this index a walk over all passes each row once, and sorts none. */
	[ST_NEXT_GAP] = "SELECT " GAP_COLUMNS " FROM gap INDEXED BY gap_device WHERE device = ? "
			"AND epoch = ? AND class = ? AND from_seq <= ? AND through_seq >= ? "
			"AND id > ? ORDER BY id LIMIT 1",
	[ST_HAS_GAPS] = "SELECT 1 FROM gap WHERE device = ? AND epoch = ? AND class = ? LIMIT 1",
	/* Sums stay below 2^62, and what is added is below that: it never overflows. */
	[ST_COUNT_GAP] =
		"INSERT INTO gap_total (device, epoch, class, reason, vehicle, gaps, seqs, "
		"batches, samples) VALUES (?1, ?2, ?3, ?4, ?5, max(?6, 0), max(?7, 0), "
		"max(?8, 0), max(?9, 0)) ON CONFLICT DO UPDATE SET gaps = max(gaps + ?6, 0), "
		"seqs = max(min(seqs + ?7, 1 << 61), 0), "
		"batches = max(min(batches + ?8, 1 << 61), 0), "
		"samples = max(min(samples + ?9, 1 << 61), 0)",
	[ST_LIMIT_GAPS] = "DELETE FROM gap WHERE device = ?1 AND id <= (SELECT id FROM gap "
			  "WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
	[ST_PRUNE_GAPS] = "DELETE FROM gap WHERE id IN "
			  "(SELECT id FROM gap WHERE id <= ? ORDER BY id LIMIT ?)",
	[ST_PUT_UNSURE] = "INSERT INTO unsure (batch, device, boot, quality, clock, shift, news) "
			  "VALUES (?, ?, ?, ?, ?, ?, ?)",
	[ST_PUT_TIMES] = "UPDATE batch SET first = ?, last = ? WHERE id = ?",
	[ST_PUT_SHIFT] = "UPDATE unsure SET shift = ?, quality = ? WHERE batch = ?",
	[ST_UNSURE] = STREAM_SELECT "FROM unsure u JOIN batch b ON b.id = u.batch "
				    "WHERE u.device = ? AND u.boot = ? AND u.quality < ? LIMIT ?",
	[ST_PUT_CLOCK] = "INSERT OR REPLACE INTO boot_clock (device, boot, vehicle, clock, "
			 "quality, updated, todo) VALUES (?, ?, ?, ?, ?, ?, 1)",
	[ST_LIMIT_CLOCKS] = "DELETE FROM boot_clock WHERE device = ?1 AND boot IN (SELECT boot "
			    "FROM boot_clock WHERE device = ?1 ORDER BY updated DESC "
			    "LIMIT -1 OFFSET ?2)",
	[ST_CLOCK] = "SELECT boot, clock, quality FROM boot_clock WHERE device = ? AND boot = ?",
	[ST_NEXT_CLOCK] = "SELECT boot, clock, quality, device FROM boot_clock WHERE todo = 1 "
			  "LIMIT 1",
	[ST_CLOCK_DONE] = "UPDATE boot_clock SET todo = 0 WHERE device = ? AND boot = ?",
	[ST_RAN] = "SELECT ran FROM age",
	[ST_PUT_RAN] = "UPDATE age SET ran = ?",
	[ST_MARK] = "INSERT OR REPLACE INTO age_mark (ran, batch, gap) VALUES (?, "
		    "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'batch'), 0), "
		    "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'gap'), 0))",
	[ST_LAST_MARK] = "SELECT coalesce(max(ran), 0) FROM age_mark",
	[ST_MARKED] = "SELECT coalesce(max(batch), 0), coalesce(max(gap), 0) FROM age_mark "
		      "WHERE ran <= ?",
	/* The newest of those that are old enough says all that the others do. */
	[ST_FORGET_MARKS] = "DELETE FROM age_mark WHERE ran < "
			    "(SELECT max(ran) FROM age_mark WHERE ran <= ?)",
	[ST_MAX_KEYS] = "SELECT coalesce(max(vehicle), 0), coalesce(max(device), 0) "
			"FROM device_stats",
	[ST_COUNT] = "SELECT count(*) FROM batch",
	[ST_LAST_ID] = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'batch'",
	[ST_PAGES] = "PRAGMA page_count",
	[ST_FREE_PAGES] = "PRAGMA freelist_count",
	[ST_PAGE_SIZE] = "PRAGMA page_size",
};

/* First column of a statement that gives one row; 0 where it fails. */
static int64_t one_number(sqlite3_stmt *st)
{
	int64_t v = 0;

	if (db_step(st) == DB_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return v;
}

int stream_open(struct stream **ret, const char *path, int64_t max_bytes, struct error *err)
{
	struct db_options opt = {.sync = DB_SYNC_FULL, .max_bytes = max_bytes};
	struct stream *s = calloc(1, sizeof(*s));
	int e;

	if (!s)
		return -ENOMEM;
	s->scratch = BUF_INIT(WINDOW_BLOB_MAX);
	e = db_open(&s->db, path, &opt, stream_migrations, stream_n_migrations, err);
	if (e == 0)
		e = db_prepare(s->db, sql, s->st, ST_STMTS, err);
	if (e < 0) {
		stream_close(s);
		return e;
	}
	s->rows = (uint64_t)one_number(s->st[ST_COUNT]);
	s->last_id = one_number(s->st[ST_LAST_ID]);
	*ret = s;
	return 0;
}

int stream_set_max(struct stream *s, int64_t max_bytes)
{
	return db_set_max_bytes(s->db, max_bytes);
}

struct stream *stream_close(struct stream *s)
{
	if (!s)
		return NULL;
	if (s->db)
		stream_rollback(s);
	db_finalize(s->st, ST_STMTS);
	db_close(s->db);
	buf_free(&s->scratch);
	free(s);
	return NULL;
}

/* ---- the transaction ---- */

bool stream_in_transaction(const struct stream *s)
{
	return !sqlite3_get_autocommit(s->db);
}

int stream_begin(struct stream *s)
{
	if (stream_in_transaction(s))
		return 0;
	s->rows_added = 0;
	return db_run(s->st[ST_BEGIN]);
}

int stream_commit(struct stream *s)
{
	int e;

	if (!stream_in_transaction(s))
		return 0;
	e = db_run(s->st[ST_COMMIT]);
	if (e == 0) {
		s->rows += s->rows_added;
		s->rows_added = 0;
	}
	return e;
}

void stream_rollback(struct stream *s)
{
	s->rows_added = 0;
	/* Some errors (disk full) have rolled back by themselves. */
	if (s->st[ST_ROLLBACK] && stream_in_transaction(s))
		(void)!db_run(s->st[ST_ROLLBACK]);
}

static int append_unsure(struct stream *s, const struct stream_row *row)
{
	sqlite3_stmt *st = s->st[ST_PUT_UNSURE];
	int e = db_bind(st, "iiiiiii", row->id, row->device, (int64_t)row->boot,
			(int64_t)row->quality, row->clock_ns, row->shift_ns, (int64_t)row->news);

	return e < 0 ? e : db_run(st);
}

int stream_append(struct stream *s, struct stream_row *row)
{
	sqlite3_stmt *st = s->st[ST_APPEND];
	int e = db_bind(st, "iiiiiiiiiiiib", row->vehicle, row->device, (int64_t)row->epoch,
			(int64_t)row->class, (int64_t)row->seq, row->received.ns, row->first_ns,
			row->last_ns, (int64_t)row->catalog, (int64_t)row->samples,
			(int64_t)row->state, (int64_t)row->encoding, (const void *)row->body,
			row->len);

	if (e == 0)
		e = db_run(st);
	if (e == 0) {
		row->id = sqlite3_last_insert_rowid(s->db);
		s->last_id = row->id;
		s->rows_added++;
		if (row->quality < CLOCK_SYNCED || row->shift_ns != 0)
			e = append_unsure(s, row);
	}
	return e;
}

int stream_put_window(struct stream *s, int64_t vehicle, int64_t device, uint64_t epoch,
		      enum uplink_class class, const struct window *w,
		      const struct stream_counts *counts, struct wall_time now)
{
	sqlite3_stmt *st = s->st[ST_PUT_WINDOW];
	int e;

	buf_clear(&s->scratch);
	e = window_encode(w, &s->scratch);
	if (e == 0)
		e = db_bind(st, "iiiiibiiii", device, (int64_t)epoch, (int64_t) class, vehicle,
			    (int64_t)w->through, (const void *)buf_text(&s->scratch),
			    s->scratch.len, now.ns, (int64_t)counts->batches,
			    (int64_t)counts->samples, (int64_t)counts->duplicates);
	return e < 0 ? e : db_run(st);
}

int stream_put_device(struct stream *s, int64_t vehicle, int64_t device,
		      const struct stream_device *d)
{
	sqlite3_stmt *st = s->st[ST_PUT_DEVICE];
	int e = db_bind(st, "iiiiii", device, vehicle, d->last_seen_ns, (int64_t)d->batches,
			(int64_t)d->samples, (int64_t)d->epoch);

	return e < 0 ? e : db_run(st);
}

int stream_quarantine(struct stream *s, struct wall_time now, const char *topic, const char *reason,
		      const void *payload, size_t len, size_t rows_max)
{
	size_t kept = len < QUARANTINE_PAYLOAD_MAX ? len : QUARANTINE_PAYLOAD_MAX;
	int e = db_bind(s->st[ST_QUARANTINE], "ittib", now.ns, topic, reason, (int64_t)len,
			kept ? payload : "", kept);

	if (e == 0)
		e = db_run(s->st[ST_QUARANTINE]);
	if (e == 0)
		e = db_bind(s->st[ST_QUARANTINE_TRIM], "i", (int64_t)rows_max);
	return e < 0 ? e : db_run(s->st[ST_QUARANTINE_TRIM]);
}

int stream_resolve(struct stream *s, int64_t id, enum stream_state state, uint64_t catalog)
{
	int e = db_bind(s->st[ST_RESOLVE], "iii", (int64_t)state, (int64_t)catalog, id);

	return e < 0 ? e : db_run(s->st[ST_RESOLVE]);
}

int stream_put_state(struct stream *s, int64_t vehicle, int64_t applied_through, const void *blob,
		     size_t len)
{
	int e = db_bind(s->st[ST_PUT_STATE], "iib", vehicle, applied_through, blob, len);

	return e < 0 ? e : db_run(s->st[ST_PUT_STATE]);
}

int stream_put_progress(struct stream *s, int64_t applied_through)
{
	int e = db_bind(s->st[ST_PUT_PROGRESS], "i", applied_through);

	return e < 0 ? e : db_run(s->st[ST_PUT_PROGRESS]);
}

/* ---- retention ---- */

int stream_deleted(struct stream *s, int e)
{
	int n = sqlite3_changes(s->db);

	if (e < 0)
		return e;
	s->rows -= (uint64_t)n < s->rows ? (uint64_t)n : s->rows;
	return n;
}

int stream_run_with(sqlite3_stmt *st, int64_t arg)
{
	int e = db_bind(st, "i", arg);

	return e < 0 ? e : db_run(st);
}

int stream_forget_vehicle(struct stream *s, int64_t vehicle, size_t max_rows)
{
	static const enum stream_stmt REST[] = {
		ST_FORGET_WINDOWS,    ST_FORGET_DEVICES, ST_FORGET_STATE,    ST_FORGET_GAPS,
		ST_FORGET_GAP_TOTALS, ST_FORGET_CLOCKS,	 ST_FORGET_CONTEXTS,
	};
	int e = db_bind(s->st[ST_FORGET_ROWS], "ii", vehicle, (int64_t)max_rows);
	int n = stream_deleted(s, e < 0 ? e : db_run(s->st[ST_FORGET_ROWS]));

	if (n != 0)
		return n;
	for (size_t i = 0; i < array_len(REST) && e == 0; i++)
		e = stream_run_with(s->st[REST[i]], vehicle);
	return e;
}

static uint64_t log_bytes(const struct stream *s)
{
	struct stat st;

	if (stat(sqlite3_filename_wal(sqlite3_db_filename(s->db, "main")), &st) < 0)
		return 0;
	return (uint64_t)st.st_size;
}

int stream_trim_log(struct stream *s, uint64_t max_bytes)
{
	int e;

	if (log_bytes(s) <= max_bytes)
		return 0;
	sqlite3_busy_timeout(s->db, STREAM_TRIM_WAIT_MS);
	e = db_errno(
		sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	return e == -EBUSY ? 0 : e;
}

void stream_get_usage(struct stream *s, struct stream_usage *ret)
{
	uint64_t pages = (uint64_t)one_number(s->st[ST_PAGES]);
	uint64_t spare = (uint64_t)one_number(s->st[ST_FREE_PAGES]);
	uint64_t size = (uint64_t)one_number(s->st[ST_PAGE_SIZE]);

	*ret = (struct stream_usage){
		.rows = s->rows,
		.used_bytes = (pages - (spare < pages ? spare : pages)) * size,
		.file_bytes = pages * size,
		.log_bytes = log_bytes(s),
		.last_id = s->last_id,
	};
}
