/* The outbox with a key: what store.c makes of what seal.c says. */
#include "agent/store/row.h"
#include "agent/store/store.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 128, FILE_MAX_BYTES = 256 << 10 };

static char dir[] = "/tmp/towline-sealed-XXXXXX";
static char path[PATH];
static struct timebase_fake fake;
static struct error err;

static size_t remove_matching(const char *name, bool remove)
{
	char pattern[PATH];
	size_t n = 0;
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/%s", dir, name);
	if (glob(pattern, 0, NULL, &g) == 0)
		n = g.gl_pathc;
	for (size_t i = 0; remove && i < n; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
	return n;
}

static void set_up(void)
{
	remove_matching("*", true);
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
}

/* ---- keys and stores ---- */

static const char *key_file(int value)
{
	static char name[4][PATH];
	static unsigned turn;
	char *p = name[turn++ % 4];
	uint8_t key[32];
	int fd;

	if (value == 0)
		return "";
	memset(key, value, sizeof(key));
	snprintf(p, PATH, "%s/key%d", dir, value);
	fd = open(p, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, key, sizeof(key)), (ssize_t)sizeof(key));
	close(fd);
	return p;
}

/* 0: none. */
static struct seal *make_seal(int key, int previous)
{
	struct seal_options opt = {.key_file = key_file(key),
				   .previous_key_file = key_file(previous),
				   .data_key_max_rows = 5,
				   .tb = &fake.tb};
	struct seal *seal = NULL;

	ck_assert_msg(seal_new(&seal, &opt, &err) == 0, "%s", err.text);
	return seal;
}

static int try_open(struct store **ret, struct seal *seal, int64_t file_max)
{
	struct store_options opt = {
		.max_bytes = 1 << 20, .file_max_bytes = file_max, .seal = seal, .tb = &fake.tb};
	struct store_opened opened;
	int r = store_open(ret, path, &opt, &opened, &err);

	if (r == 0)
		ck_assert(!opened.set_aside);
	return r;
}

static struct store *must_open(struct seal *seal)
{
	struct store *s = NULL;

	ck_assert_msg(try_open(&s, seal, 0) == 0, "%s", err.text);
	return s;
}

static int put(struct store *s, const char *text, size_t len)
{
	struct store_item item = {.class = CLASS_BULK,
				  .samples = 3,
				  .encoding = ENCODING_BATCH,
				  .body = text,
				  .body_len = len};
	struct store_dropped dropped;
	struct store_count stored;

	return store_put(s, &item, 1, &stored, &dropped);
}

static void must_put(struct store *s, const char *text)
{
	ck_assert_int_eq(put(s, text, strlen(text)), 0);
}

/* The row after this seq is a batch with this body. */
static void check_next(struct store *s, uint64_t after, const char *text)
{
	struct store_row row;

	ck_assert_int_eq(store_next(s, CLASS_BULK, after, &row), STORE_ROW);
	ck_assert_uint_eq(row.seq, after + 1);
	ck_assert_uint_eq(row.encoding, ENCODING_BATCH);
	ck_assert_uint_eq(row.body_len, strlen(text));
	ck_assert_mem_eq(row.body, text, row.body_len);
	store_release(s);
}

static void check_gap(struct store *s, uint64_t after, uint64_t through)
{
	struct store_row row;
	struct gap gap;

	ck_assert_int_eq(store_next(s, CLASS_BULK, after, &row), STORE_ROW);
	ck_assert_uint_eq(row.seq, after + 1);
	ck_assert_uint_eq(row.encoding, ENCODING_GAP);
	ck_assert_uint_eq(row.through, through);
	ck_assert_int_eq(gap_decode(&gap, row.seq, row.body, row.body_len, &err), 0);
	ck_assert_int_eq(gap.reason, GAP_CORRUPT);
	store_release(s);
}

/* ---- the file, when nobody has it open ---- */

static sqlite3 *open_db(void)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

static int64_t query(const char *sql)
{
	sqlite3 *db = open_db();
	sqlite3_stmt *st;
	int64_t v;

	ck_assert_msg(db_prepare(db, &sql, &st, 1, &err) == 0, "%s", err.text);
	ck_assert_int_eq(db_step(st), DB_ROW);
	v = sqlite3_column_int64(st, 0);
	db_finalize(&st, 1);
	db_close(db);
	return v;
}

/* A body of somebody's own, with a checksum that is right: what only the tag tells. */
static void forge(uint64_t epoch, uint64_t seq, const char *body_sql)
{
	static const char *const write = "UPDATE batch_bulk SET sum = ?, body = ? WHERE id = ?";
	char sql[200];
	const char *const read = sql;
	sqlite3 *db = open_db();
	sqlite3_stmt *in, *out;
	int64_t col[ROW_COLUMNS];
	int64_t id = row_id(CLASS_BULK, seq);
	size_t len;

	snprintf(sql, sizeof(sql), "SELECT *, %s FROM batch_bulk WHERE id = ?", body_sql);
	ck_assert_msg(db_prepare(db, &read, &in, 1, &err) == 0, "%s", err.text);
	ck_assert_int_eq(db_prepare(db, &write, &out, 1, &err), 0);
	ck_assert_int_eq(db_bind(in, "i", id), 0);
	ck_assert_int_eq(db_step(in), DB_ROW);
	for (int i = 0; i < ROW_COLUMNS; i++)
		col[i] = sqlite3_column_int64(in, i);
	len = (size_t)sqlite3_column_bytes(in, ROW_BODY + 1);
	ck_assert_int_eq(db_bind(out, "ibi",
				 row_sum(row_meta(epoch, col), col[ROW_KEY],
					 sqlite3_column_blob(in, ROW_BODY + 1), len),
				 sqlite3_column_blob(in, ROW_BODY + 1), len, id),
			 0);
	ck_assert_int_eq(db_run(out), 0);
	db_finalize(&in, 1);
	db_finalize(&out, 1);
	db_close(db);
}

/* ---- tests ---- */

START_TEST(plain_outside_sealed_inside)
{
	struct seal *seal = make_seal(1, 0);
	struct store *s = must_open(seal);

	must_put(s, "where it went");
	must_put(s, "and when");
	check_next(s, 0, "where it went");
	check_next(s, 1, "and when");
	store_close(s);
	seal_free(seal);
	ck_assert_int_eq(query("SELECT count(*) FROM batch_bulk WHERE key > 0"
			       " AND instr(body, 'where') + instr(body, 'when') = 0"),
			 2);
	seal = make_seal(1, 0);
	s = must_open(seal);
	check_next(s, 0, "where it went");
	check_next(s, 1, "and when");
	store_close(s);
	seal_free(seal);
}
END_TEST

START_TEST(plain_rows_stay_readable)
{
	struct seal *seal;
	struct store *s = must_open(NULL);

	must_put(s, "plain");
	store_close(s);
	seal = make_seal(1, 0);
	s = must_open(seal);
	must_put(s, "sealed");
	check_next(s, 0, "plain");
	check_next(s, 1, "sealed");
	store_close(s);
	seal_free(seal);
	ck_assert_int_eq(query("SELECT count(*) FROM batch_bulk WHERE key = 0"), 1);
}
END_TEST

static void check_refused(int key, const char *want)
{
	struct seal *seal = make_seal(key, 0);
	struct store *s = NULL;

	ck_assert_int_eq(try_open(&s, seal, 0), -ENOKEY);
	ck_assert_ptr_null(s);
	ck_assert_msg(strncmp(err.text, path, strlen(path)) == 0 && strstr(err.text, want), "%s",
		      err.text);
	ck_assert_uint_eq(remove_matching("*corrupt*", false), 0);
	seal_free(seal);
}

START_TEST(wrong_key_or_none)
{
	struct seal *seal = make_seal(1, 0);
	struct store *s = must_open(seal);
	uint64_t epoch = store_epoch(s);

	must_put(s, "one");
	store_close(s);
	check_refused(0, "1 rows are encrypted with key");
	check_refused(2, "1 rows are encrypted with key");
	s = must_open(seal);
	ck_assert_uint_eq(store_epoch(s), epoch);
	check_next(s, 0, "one");
	store_close(s);
	seal_free(seal);
}
END_TEST

START_TEST(rotation)
{
	struct seal *seal = make_seal(1, 0);
	struct store *s = must_open(seal);
	char text[20];

	for (int i = 1; i <= 12; i++) {
		snprintf(text, sizeof(text), "row %d", i);
		must_put(s, text);
	}
	store_close(s);
	seal_free(seal);
	seal = make_seal(2, 1);
	store_close(must_open(seal));
	seal_free(seal);
	check_refused(1, "12 rows are encrypted with key");
	seal = make_seal(2, 0);
	s = must_open(seal);
	for (int i = 1; i <= 12; i++) {
		snprintf(text, sizeof(text), "row %d", i);
		check_next(s, (uint64_t)i - 1, text);
	}
	store_close(s);
	seal_free(seal);
}
END_TEST

/* Neither a body that was changed nor one that belongs to another row passes; the rest does. */
START_TEST(forged_rows_become_gaps)
{
	static const char *const body[] = {
		"(SELECT body FROM batch_bulk WHERE id & 0xff = 3)",
		"CAST(substr(body, 1, 20) || 'X' || substr(body, 22) AS BLOB)",
		"x'00'",
		"zeroblob(0)",
	};
	struct seal *seal = make_seal(1, 0);
	struct store *s = must_open(seal);
	uint64_t epoch = store_epoch(s);

	must_put(s, "row one");
	must_put(s, "row two");
	must_put(s, "row three");
	store_close(s);
	forge(epoch, 2, body[_i]);
	s = must_open(seal);
	check_next(s, 0, "row one");
	check_gap(s, 1, 2);
	check_next(s, 2, "row three");
	ck_assert_uint_eq(store_lifetime(s).samples_quarantined, 3);
	store_close(s);
	seal_free(seal);
	ck_assert_int_eq(query("SELECT count(*) FROM quarantine"), 1);
}
END_TEST

/* Without its data key a row is like a damaged one. */
START_TEST(lost_data_key)
{
	struct seal *seal = make_seal(1, 0);
	struct store *s = must_open(seal);

	must_put(s, "one");
	store_close(s);
	ck_assert_int_eq(query("DELETE FROM key RETURNING 1"), 1);
	s = must_open(seal); /* there is another copy */
	check_next(s, 0, "one");
	store_close(s);
	ck_assert_int_eq(query("UPDATE key SET wrapped = zeroblob(60) RETURNING 1"), 1);
	ck_assert_int_eq(query("UPDATE key_spare SET wrapped = zeroblob(60) RETURNING 1"), 1);
	s = must_open(seal);
	must_put(s, "two");
	check_gap(s, 0, 1);
	check_next(s, 1, "two");
	store_close(s);
	seal_free(seal);
}
END_TEST

/* Transactions that fail, and with them data keys that were made in them. */
START_TEST(full_disk)
{
	static char text[4000];
	struct seal *seal = make_seal(1, 0);
	struct store *s = NULL;
	struct receipt_range first = {1, 10};
	struct store_count n;
	uint64_t last, stored;

	memset(text, 'x', sizeof(text) - 1);
	ck_assert_int_eq(try_open(&s, seal, FILE_MAX_BYTES), 0);
	for (stored = 0; put(s, text, sizeof(text) - 1) == 0; stored++)
		ck_assert_uint_lt(stored, 100);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(put(s, text, sizeof(text) - 1), -ENOSPC);
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &first, 1, &n), 0);
	ck_assert_uint_eq(n.rows, 10);
	ck_assert_int_eq(store_flush(s), 0);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(put(s, text, sizeof(text) - 1), 0);
	last = store_last_seq(s, CLASS_BULK);
	store_close(s);
	s = must_open(seal);
	for (uint64_t seq = 11; seq <= last; seq++)
		check_next(s, seq - 1, text);
	store_close(s);
	seal_free(seal);
}
END_TEST

/* ---- salvage ---- */

/* Overwrites the page where a table begins. */
static void damage(const char *table)
{
	char sql[100];
	uint8_t junk[512];
	int64_t page, size;
	int fd;

	snprintf(sql, sizeof(sql), "SELECT rootpage FROM sqlite_master WHERE name = '%s'", table);
	page = query(sql);
	size = query("PRAGMA page_size");
	(void)query("PRAGMA wal_checkpoint(TRUNCATE)");
	memset(junk, 0xee, sizeof(junk));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), (page - 1) * size), (ssize_t)sizeof(junk));
	close(fd);
}

static void store_rows(struct seal *seal, int n)
{
	struct store *s = must_open(seal);
	char text[20];

	for (int i = 1; i <= n; i++) {
		snprintf(text, sizeof(text), "row %d", i);
		must_put(s, text);
	}
	store_close(s);
}

/* As store_suspect leaves it. */
static void be_suspicious(void)
{
	char suspect[PATH + 10];
	int fd;

	snprintf(suspect, sizeof(suspect), "%s.suspect", path);
	fd = open(suspect, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static struct store *must_salvage(struct seal *seal, uint64_t rows)
{
	struct store_options opt = {.max_bytes = 1 << 20, .seal = seal, .tb = &fake.tb};
	struct store_opened opened;
	struct store *s = NULL;

	ck_assert_msg(store_open(&s, path, &opt, &opened, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(opened.salvaged_rows, rows);
	return s;
}

/* They are decrypted with the old file's data keys and sealed with the new one's. */
static void check_salvaged(struct store *s, int n)
{
	struct store_row row = {0};
	char text[20];

	for (int i = 1; i <= n; i++) {
		snprintf(text, sizeof(text), "row %d", i);
		ck_assert_int_eq(store_next(s, CLASS_BULK, row.seq, &row), STORE_ROW);
		ck_assert_uint_eq(row.origin_seq, (uint64_t)i);
		ck_assert_uint_eq(row.body_len, strlen(text));
		ck_assert_mem_eq(row.body, text, row.body_len);
	}
	store_release(s);
}

START_TEST(salvaged_with_the_key)
{
	static const char *const tables[] = {"key", "key_spare", "quarantine", "class_state"};
	struct seal *seal = make_seal(1, 0);
	struct store *s;

	store_rows(seal, 12);
	damage(tables[_i]);
	be_suspicious();
	s = must_salvage(seal, 12);
	check_salvaged(s, 12);
	store_close(s);
	ck_assert_int_eq(query("SELECT count(*) FROM batch_bulk WHERE key = 0 AND encoding <> 2"),
			 0);
	s = must_open(seal);
	check_salvaged(s, 12);
	store_close(s);
	seal_free(seal);
}
END_TEST

/* Nothing is given up for want of a key. */
START_TEST(salvage_waits_for_the_key)
{
	struct seal *seal = make_seal(1, 0), *wrong = make_seal(2, 0);
	struct store *s = NULL;

	store_rows(seal, 7);
	damage("quarantine");
	be_suspicious();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(try_open(&s, i == 0 ? NULL : wrong, 0), -ENOKEY);
		ck_assert_ptr_null(s);
	}
	s = must_salvage(seal, 7);
	check_salvaged(s, 7);
	store_close(s);
	seal_free(wrong);
	seal_free(seal);
}
END_TEST

int main(void)
{
	TCase *sealed = tcase_create("sealed");
	int r;

	if (!mkdtemp(dir))
		return 1;
	tcase_add_checked_fixture(sealed, set_up, NULL);
	tcase_add_test(sealed, plain_outside_sealed_inside);
	tcase_add_test(sealed, plain_rows_stay_readable);
	tcase_add_test(sealed, wrong_key_or_none);
	tcase_add_test(sealed, rotation);
	tcase_add_loop_test(sealed, forged_rows_become_gaps, 0, 4);
	tcase_add_test(sealed, lost_data_key);
	tcase_add_test(sealed, full_disk);
	tcase_add_loop_test(sealed, salvaged_with_the_key, 0, 4);
	tcase_add_test(sealed, salvage_waits_for_the_key);
	r = suite_run("store_sealed", &sealed, 1);
	remove_matching("*", true);
	(void)rmdir(dir);
	return r;
}
