#include "tests/unit/salvage_fixture.h"

#include "base/db.h"
#include "proto/envelope.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct made made;
struct got got;

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

size_t make_body(enum uplink_class class, uint64_t seq, uint8_t *out)
{
	uint64_t x = (seq * CLASS_COUNT + class + 1) * UINT64_C(0x9e3779b97f4a7c15);
	/* Most fit a page, some take many. */
	size_t len = x >> 60 == 0 ? 4000 + (x >> 20) % 26000 : 20 + (x >> 20) % 900;

	for (size_t i = 0; i < len; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		out[i] = (uint8_t)(x >> 56);
	}
	return len;
}

/* ---- making ---- */

static const char tables[] =
	"CREATE TABLE outbox (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL,"
	" created_ns INTEGER NOT NULL, unsaved_id INTEGER NOT NULL,"
	" running_boot INTEGER NOT NULL) STRICT;"
	"CREATE TABLE boot (id INTEGER PRIMARY KEY, boot_id INTEGER NOT NULL,"
	" offset_ms INTEGER NOT NULL, quality INTEGER NOT NULL) STRICT;"
	"CREATE TABLE class_state (class INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL,"
	" a INTEGER NOT NULL, b INTEGER NOT NULL, c INTEGER NOT NULL, d INTEGER NOT NULL) "
	"STRICT;"
	"CREATE TABLE quarantine (id INTEGER PRIMARY KEY AUTOINCREMENT, code INTEGER NOT NULL,"
	" key INTEGER NOT NULL, body BLOB NOT NULL) STRICT;" SEAL_SCHEMA;

static void exec(sqlite3 *db, const char *sql)
{
	char *text = NULL;
	int rc = sqlite3_exec(db, sql, NULL, NULL, &text);

	ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, text);
}

static void make_tables(sqlite3 *db)
{
	char sql[600];

	exec(db, tables);
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		snprintf(sql, sizeof(sql),
			 "CREATE TABLE batch_%s (id INTEGER PRIMARY KEY, boot INTEGER NOT NULL,"
			 " stored_ms INTEGER NOT NULL, first_ms INTEGER NOT NULL,"
			 " span_ms INTEGER NOT NULL, samples INTEGER NOT NULL,"
			 " encoding INTEGER NOT NULL, key INTEGER NOT NULL,"
			 " origin_epoch INTEGER NOT NULL, origin_seq INTEGER NOT NULL,"
			 " acked INTEGER NOT NULL, dropped INTEGER NOT NULL,"
			 " quarantined INTEGER NOT NULL, sum INTEGER NOT NULL,"
			 " body BLOB NOT NULL) STRICT",
			 class_name(k));
		exec(db, sql);
	}
	exec(db, "CREATE VIEW batch AS SELECT * FROM batch_event UNION ALL SELECT * FROM batch_live"
		 " UNION ALL SELECT * FROM batch_bulk UNION ALL SELECT * FROM batch_log"
		 " UNION ALL SELECT * FROM batch_status");
	snprintf(sql, sizeof(sql), "INSERT INTO outbox VALUES (1, %" PRId64 ", 1, 0, 77)",
		 (int64_t)SALVAGE_EPOCH);
	exec(db, sql);
	exec(db, "INSERT INTO boot VALUES (1, 77, 1700000000000, 2)");
}

static sqlite3 *open_db(const char *path)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	exec(db, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
		 "PRAGMA wal_autocheckpoint = 0");
	return db;
}

static void insert(sqlite3 *db, const int64_t col[static ROW_COLUMNS], int64_t sum,
		   const void *body, size_t len)
{
	sqlite3_stmt *st;
	char sql[200];
	int i;

	snprintf(sql, sizeof(sql),
		 "INSERT INTO batch_%s VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		 class_name((enum uplink_class)(col[ROW_ID] >> ROW_SEQ_BITS)));
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	for (i = 0; i < ROW_COLUMNS; i++)
		ck_assert_int_eq(sqlite3_bind_int64(st, i + 1, col[i]), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_int64(st, i + 1, sum), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_blob(st, i + 2, body, (int)len, SQLITE_STATIC), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
}

static void add_row(sqlite3 *db, const struct salvage_draft *d, enum uplink_class class)
{
	static uint8_t body[BODY_MAX];
	struct buf sealed cleanup(buf_free) = BUF_INIT(BODY_MAX + SEAL_OVERHEAD);
	uint64_t seq = ++made.last_seq[class], meta;
	size_t len = make_body(class, seq, body);
	struct made_row *row = &made.rows[class][seq];
	int64_t col[ROW_COLUMNS] = {
		[ROW_ID] = row_id(class, seq),
		[ROW_BOOT] = 1,
		[ROW_STORED_MS] = (int64_t)seq * 10,
		[ROW_FIRST_MS] = 1700000000000 + (int64_t)seq,
		[ROW_SPAN_MS] = 9,
		[ROW_SAMPLES] = (int64_t)(len % 100) + 1,
		[ROW_ENCODING] = ENCODING_BATCH,
		[ROW_ACKED] = (int64_t)seq,
	};

	ck_assert_uint_le(seq, SALVAGE_SEQS);
	if (d->origins && seq % 5 == 0) {
		row->origin_epoch = 5;
		row->origin_seq = seq + 1000;
		col[ROW_ORIGIN_EPOCH] = 5;
		col[ROW_ORIGIN_SEQ] = (int64_t)seq + 1000;
	}
	meta = row_meta(SALVAGE_EPOCH, col);
	if (d->seal) {
		const struct seal_row id = {SALVAGE_EPOCH, col[ROW_ID], meta};

		ck_assert_int_eq(seal_encrypt(d->seal, &id, body, len, &sealed, &col[ROW_KEY]), 0);
		insert(db, col, row_sum(meta, col[ROW_KEY], sealed.data, sealed.len), sealed.data,
		       sealed.len);
	} else {
		insert(db, col, row_sum(meta, 0, body, len), body, len);
	}
	row->was = row->is = true;
	made.n_is++;
}

static void delete_one(sqlite3 *db, enum uplink_class class, uint64_t seq)
{
	char sql[100];

	if (!made.rows[class][seq].is)
		return;
	snprintf(sql, sizeof(sql), "DELETE FROM batch_%s WHERE id = %" PRId64, class_name(class),
		 row_id(class, seq));
	exec(db, sql);
	made.rows[class][seq].is = false;
	made.n_is--;
}

static void delete_some(sqlite3 *db)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		uint64_t last = made.last_seq[k];

		for (uint64_t seq = 1; seq < last / 3; seq++)
			delete_one(db, k, seq);
		if (last > 3)
			delete_one(db, k, last / 3 + next_random() % (last - last / 3));
	}
}

static void copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	char block[SALVAGE_PAGE];
	size_t n;

	ck_assert(in && out);
	while ((n = fread(block, 1, sizeof(block), in)) > 0)
		ck_assert_uint_eq(fwrite(block, 1, n, out), n);
	ck_assert_int_eq(fclose(in), 0);
	ck_assert_int_eq(fclose(out), 0);
}

/* What a killed process leaves. */
static void keep(const char *work, const char *path)
{
	char from[SALVAGE_OUTBOX_PATH + 32], to[SALVAGE_OUTBOX_PATH + 32];

	copy_file(work, path);
	snprintf(from, sizeof(from), "%s-wal", work);
	snprintf(to, sizeof(to), "%s-wal", path);
	copy_file(from, to);
}

static void fill(sqlite3 *db, const struct salvage_draft *d)
{
	for (unsigned t = 0; t < d->transactions; t++) {
		exec(db, "BEGIN");
		for (unsigned i = 0; i < d->rows / d->transactions; i++) {
			uint64_t x = next_random() % 16;

			add_row(db, d, x < 10 ? CLASS_BULK : (enum uplink_class)(x % CLASS_COUNT));
		}
		if (d->deletes)
			delete_some(db);
		exec(db, "COMMIT");
		if (d->keep_log && t == d->transactions / 2)
			exec(db, "PRAGMA wal_checkpoint(RESTART)");
	}
}

void make_outbox(const char *path, const struct salvage_draft *d)
{
	char work[SALVAGE_OUTBOX_PATH + 16], log[SALVAGE_OUTBOX_PATH + 32];
	struct error err;
	sqlite3 *db;

	memset(&made, 0, sizeof(made));
	state = d->seed * 2654435761 + 88172645463325252;
	snprintf(work, sizeof(work), "%s.work", path);
	snprintf(log, sizeof(log), "%s-wal", path);
	(void)unlink(work);
	(void)unlink(log);
	db = open_db(work);
	make_tables(db);
	if (d->seal) {
		exec(db, "BEGIN");
		ck_assert_msg(seal_attach(d->seal, db, &err) == 0, "%s", err.text);
		exec(db, "COMMIT");
	}
	fill(db, d);
	if (d->keep_log)
		keep(work, path);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	if (!d->keep_log)
		ck_assert_int_eq(rename(work, path), 0);
	(void)unlink(work);
}

/* ---- where rows lie ---- */

static void add_page(enum uplink_class class, uint64_t seq, uint32_t page)
{
	struct made_row *row = &made.rows[class][seq];

	ck_assert_uint_lt(row->n_pages, array_len(row->pages));
	row->pages[row->n_pages++] = page;
}

/* Paths sort as the tree does, and those of a long row's pages ("/leaf/cell+page") behind their
 * leaf's. */
static void find_class_pages(sqlite3 *db, enum uplink_class class)
{
	uint64_t at = 0, leaf_first = 0, seqs[SALVAGE_SEQS + 1], n = 0;
	sqlite3_stmt *st;
	char sql[200];

	for (uint64_t seq = 1; seq <= made.last_seq[class]; seq++)
		if (made.rows[class][seq].is)
			seqs[n++] = seq;
	snprintf(sql, sizeof(sql),
		 "SELECT path, pageno, pagetype, ncell FROM dbstat WHERE name = 'batch_%s'"
		 " ORDER BY path",
		 class_name(class));
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *path = (const char *)sqlite3_column_text(st, 0);
		const char *type = (const char *)sqlite3_column_text(st, 2);
		uint32_t page = (uint32_t)sqlite3_column_int(st, 1);

		if (strcmp(type, "leaf") == 0) {
			leaf_first = at;
			for (int i = 0; i < sqlite3_column_int(st, 3); i++)
				add_page(class, seqs[at++], page);
		} else if (strcmp(type, "overflow") == 0) {
			const char *cell = strrchr(path, '/') + 1;

			add_page(class, seqs[leaf_first + strtoul(cell, NULL, 16)], page);
		}
	}
	sqlite3_finalize(st);
	ck_assert_uint_eq(at, n);
}

void find_pages(const char *path)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		find_class_pages(db, k);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* ---- what comes out ---- */

/* As far as salvaging asks: the origins. */
static void remember(const struct salvage_row *row)
{
	char sql[200];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO batch VALUES (%" PRId64 ", %" PRId64 ", %" PRId64 ", 0)",
		 row_id(row->class, got.rows), (int64_t)row->origin_epoch,
		 (int64_t)row->origin_seq);
	exec(got.db, sql);
}

/* Or not known, where its page is lost. */
static bool is_boot_as_made(const struct salvage_row *row)
{
	got.ageless += !row->stored_is_known;
	if (!row->stored_is_known)
		return !row->boot;
	return row->boot && row->boot->boot_id == 77 && row->boot->offset_ms == 1700000000000 &&
	       row->boot->quality == 2;
}

static bool is_as_made(const struct salvage_row *row, uint64_t seq)
{
	static uint8_t body[BODY_MAX];
	size_t len = make_body(row->class, seq, body);

	return made.rows[row->class][seq].was && row->body_len == len &&
	       memcmp(row->body, body, len) == 0 && row->samples == len % 100 + 1 &&
	       row->stored_ms == (int64_t)seq * 10 && is_boot_as_made(row) &&
	       row->first_ms == 1700000000000 + (int64_t)seq && row->span_ms == 9 &&
	       row->encoding == ENCODING_BATCH;
}

static int on_row(void *ctx, const struct salvage_row *row)
{
	uint64_t seq = row->origin_seq;

	(void)ctx;
	if (got.fail_after && got.rows == got.fail_after)
		return -ENOSPC;
	got.rows++;
	remember(row);
	if (row->origin_epoch == 5 && seq > 1000) {
		got.others++;
		seq -= 1000;
		got.bad += seq > SALVAGE_SEQS || made.rows[row->class][seq].origin_seq == 0;
	} else if (row->origin_epoch != SALVAGE_EPOCH) {
		got.bad++;
	}
	if (seq == 0 || seq > SALVAGE_SEQS || !is_as_made(row, seq)) {
		got.bad++;
		return 0;
	}
	if (row->class < got.last_class || (row->class == got.last_class && seq < got.last_seq))
		got.in_order = false;
	got.last_class = row->class;
	got.last_seq = seq;
	got.times[row->class][seq]++;
	return 0;
}

static int on_gap(void *ctx, enum uplink_class class, uint64_t epoch, uint64_t from,
		  const struct gap *gap)
{
	(void)ctx;
	got.gap_calls++;
	ck_assert_int_eq(gap->reason, GAP_CORRUPT);
	ck_assert_uint_le(from, gap->through);
	ck_assert_int_eq(
		seq_set_add(epoch == SALVAGE_EPOCH ? &got.gaps[class] : &got.other_gaps[class],
			    from, gap->through),
		0);
	return 0;
}

static int on_commit(void *ctx)
{
	(void)ctx;
	got.commits++;
	return 0;
}

void got_free(void)
{
	for (size_t k = 0; k < CLASS_COUNT; k++) {
		seq_set_free(&got.gaps[k]);
		seq_set_free(&got.other_gaps[k]);
	}
	sqlite3_close(got.db);
	got = (struct got){.in_order = true};
}

void got_reset(void)
{
	got_free();
	ck_assert_int_eq(sqlite3_open(":memory:", &got.db), SQLITE_OK);
	exec(got.db, "CREATE TABLE batch (id, origin_epoch, origin_seq, encoding)");
}

int salvage_into(const char *path, uint64_t noted_epoch, struct seal *seal,
		 struct salvage_result *res)
{
	static const struct salvage_sink sink = {.row = on_row, .gap = on_gap, .commit = on_commit};
	struct salvage_aside aside = {.epoch = noted_epoch};
	struct error err;

	snprintf(aside.path, sizeof(aside.path), "%s", path);
	return salvage_run(&aside, got.db, seal, &sink, res, &err);
}

void check_all_told(void)
{
	ck_assert_uint_eq(got.bad, 0);
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		for (uint64_t seq = 1; seq <= made.last_seq[k]; seq++) {
			const struct made_row *row = &made.rows[k][seq];
			bool in_gap = seq_set_has(&got.gaps[k], seq);

			ck_assert_uint_le(got.times[k][seq], 1);
			/* One that has an origin goes on under that, and its own seq is told. */
			if (row->origin_seq == 0 || got.times[k][seq] == 0)
				ck_assert_msg(in_gap == (got.times[k][seq] == 0), "class %u seq %u",
					      k, (unsigned)seq);
		}
	}
}
