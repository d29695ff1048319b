/* Outboxes of schema version 1, as agents in the field have them: opened by this version, cut off
 * in the middle of it, and damaged. */
#include "agent/store/row.h"
#include "agent/store/store.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/batch_fixture.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 128, ROWS = 120, QUARANTINED = 3 };

#define EPOCH UINT64_C(0xa1b2c3d4e5f60718)

static char dir[64], path[PATH];
static struct timebase_fake fake;
static struct buf bodies[ROWS];
static uint64_t samples[ROWS];

/* What the agent had written before this one. Never to be changed. */
static const char schema[] = "CREATE TABLE outbox ("
			     " id INTEGER PRIMARY KEY CHECK (id = 1),"
			     " epoch INTEGER NOT NULL,"
			     " created_ns INTEGER NOT NULL) STRICT;"
			     "CREATE TABLE class_state ("
			     " class INTEGER PRIMARY KEY,"
			     " last_seq INTEGER NOT NULL,"
			     " samples_stored INTEGER NOT NULL,"
			     " samples_acked INTEGER NOT NULL,"
			     " samples_dropped INTEGER NOT NULL,"
			     " samples_quarantined INTEGER NOT NULL) STRICT;"
			     "CREATE TABLE batch ("
			     " id INTEGER PRIMARY KEY,"
			     " created_ns INTEGER NOT NULL,"
			     " samples INTEGER NOT NULL,"
			     " encoding INTEGER NOT NULL,"
			     " body BLOB NOT NULL) STRICT;"
			     "CREATE TABLE quarantine ("
			     " id INTEGER PRIMARY KEY AUTOINCREMENT,"
			     " batch_id INTEGER NOT NULL,"
			     " code INTEGER NOT NULL,"
			     " moved_ns INTEGER NOT NULL,"
			     " samples INTEGER NOT NULL,"
			     " encoding INTEGER NOT NULL,"
			     " body BLOB NOT NULL) STRICT;"
			     "PRAGMA user_version = 1;";

/* Row i: bulk and event by turns; the first 10 seqs of bulk are acknowledged and gone. */
static enum uplink_class class_of(size_t i)
{
	return i % 4 == 0 ? CLASS_EVENT : CLASS_BULK;
}

static uint64_t seq_of(size_t i)
{
	return i % 4 == 0 ? i / 4 + 1 : 11 + i / 4 * 3 + i % 4 - 1;
}

static void exec(sqlite3 *db, const char *sql)
{
	ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s",
		      sqlite3_errmsg(db));
}

static void insert(sqlite3 *db, const char *sql, size_t i)
{
	sqlite3_stmt *st;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(db_bind(st, "iiib", row_id(class_of(i), seq_of(i)),
				 (int64_t)(1699999000 + (int64_t)i) * NS_PER_S, (int64_t)samples[i],
				 bodies[i].data, bodies[i].len),
			 0);
	ck_assert_int_eq(db_run(st), 0);
	sqlite3_finalize(st);
}

static void make_v1(void)
{
	char sql[300];
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
	exec(db, schema);
	snprintf(sql, sizeof(sql), "INSERT INTO outbox VALUES (1, %" PRId64 ", 7)", (int64_t)EPOCH);
	exec(db, sql);
	exec(db, "BEGIN");
	for (size_t i = 0; i < ROWS; i++)
		insert(db, "INSERT INTO batch VALUES (?, ?, ?, 0, ?)", i);
	for (size_t i = 0; i < QUARANTINED; i++)
		insert(db,
		       "INSERT INTO quarantine (batch_id, moved_ns, samples, encoding, body, code)"
		       " VALUES (?, ?, ?, 0, ?, 1)",
		       i);
	snprintf(
		sql, sizeof(sql),
		"INSERT INTO class_state VALUES (0, %d, 1000, 0, 0, 0), (2, %d, 5000, 400, 30, 20)",
		ROWS / 4, 10 + ROWS / 4 * 3);
	exec(db, sql);
	exec(db, "COMMIT");
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void make_bodies(void)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct batch_builder *b = builder(4000, 1000000);
		struct batch_header h = header(1000000);
		uint32_t encoding;

		fill(b, 1 + (int)(i % 9 == 0) * 20, i % 2, 1000000, (unsigned)i);
		samples[i] = batch_builder_count(b);
		buf_clear(&bodies[i]);
		bodies[i].max = 1 << 20;
		ck_assert_int_eq(batch_builder_encode(b, &h, &bodies[i], &encoding), 0);
		ck_assert_uint_eq(encoding, ENCODING_BATCH);
		batch_builder_free(b);
	}
}

static void remove_all(void)
{
	char pattern[PATH];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/*", dir);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
}

static void setup(void)
{
	batch_setup();
	remove_all();
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
	make_bodies();
	make_v1();
}

static void teardown(void)
{
	for (size_t i = 0; i < ROWS; i++)
		buf_free(&bodies[i]);
	batch_teardown();
}

static uint64_t boot = 1;

static int open_store(struct store **ret, struct store_opened *opened)
{
	const struct store_options opt = {.max_bytes = 4 << 20, .boot_id = boot, .tb = &fake.tb};
	struct error err;

	return store_open(ret, path, &opt, opened, &err);
}

/* Rows of a class that come out, each as it went in. by_origin: under the names of version 1. */
static size_t check_rows(struct store *s, enum uplink_class class, bool by_origin, bool *found)
{
	struct store_row row;
	uint64_t after = 0;
	size_t n = 0;

	while (store_next(s, class, after, &row) == STORE_ROW) {
		uint64_t seq = by_origin ? row.origin_seq : row.seq;

		after = row.through;
		if (row.encoding == ENCODING_GAP)
			continue;
		ck_assert_uint_eq(row.origin_epoch, by_origin ? EPOCH : 0);
		for (size_t i = 0; i < ROWS; i++) {
			if (class_of(i) != class || seq_of(i) != seq)
				continue;
			ck_assert(!found[i]);
			found[i] = true;
			ck_assert_uint_eq(row.samples, samples[i]);
			ck_assert_uint_eq(row.body_len, bodies[i].len);
			ck_assert(memcmp(row.body, bodies[i].data, row.body_len) == 0);
		}
		n++;
	}
	store_release(s);
	return n;
}

static void check_moved(struct store *s)
{
	bool found[ROWS] = {false};

	ck_assert_uint_eq(store_epoch(s), EPOCH);
	ck_assert_uint_eq(check_rows(s, CLASS_EVENT, false, found) +
				  check_rows(s, CLASS_BULK, false, found),
			  ROWS);
	for (size_t i = 0; i < ROWS; i++)
		ck_assert_msg(found[i], "row %zu", i);
	ck_assert_uint_eq(store_last_seq(s, CLASS_EVENT), ROWS / 4);
	ck_assert_uint_eq(store_last_seq(s, CLASS_BULK), 10 + ROWS / 4 * 3);
	ck_assert_uint_eq(store_lifetime(s).samples_acked, 400);
	ck_assert_uint_eq(store_lifetime(s).samples_dropped, 30);
	ck_assert_uint_eq(store_lifetime(s).samples_quarantined, 20);
}

static int64_t query(const char *sql)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	int64_t n;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

START_TEST(rows_keep_their_names)
{
	struct store_opened opened;
	struct store *s;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(open_store(&s, &opened), 0);
		ck_assert(!opened.set_aside);
		check_moved(s);
		store_close(s);
	}
	ck_assert_int_eq(query("SELECT count(*) FROM batch_v1"), 0);
	ck_assert_int_eq(query("SELECT count(*) FROM quarantine"), QUARANTINED);
}
END_TEST

/* An old agent does not understand the new file; it must say so and leave it. */
START_TEST(version_is_told)
{
	struct store_opened opened;
	struct store *s;

	ck_assert_int_eq(open_store(&s, &opened), 0);
	store_close(s);
	ck_assert_int_gt(query("PRAGMA user_version"), 1);
}
END_TEST

/* The power goes in the middle of the move: the next start goes on with it. */
START_TEST(power_cut_while_moving)
{
	const struct faulty_plan none = {0};
	struct store_opened opened;
	struct store *s = NULL;
	uint64_t n, opened_early = 0;

	ck_assert_int_eq(faulty_vfs_install(), 0);
	faulty_vfs_plan(&none);
	ck_assert_int_eq(open_store(&s, &opened), 0);
	n = faulty_vfs_calls(FAULTY_CHANGES);
	store_close(s);
	for (uint64_t at = 1 + (uint64_t)_i; at <= n; at += 31) {
		const struct faulty_plan plan = {.cut_at = at, .seed = at};

		faulty_vfs_remove();
		remove_all();
		make_v1(); /* and all of it is on disk */
		ck_assert_int_eq(faulty_vfs_install(), 0);
		faulty_vfs_plan(&plan);
		if (open_store(&s, &opened) == 0) {
			opened_early++;
			store_close(s);
		}
		ck_assert(faulty_vfs_is_off());
		(void)faulty_vfs_power_on();
		boot++;
		ck_assert_int_eq(open_store(&s, &opened), 0);
		ck_assert(!opened.set_aside);
		check_moved(s);
		store_close(s);
	}
	ck_assert_uint_le(opened_early, 2);
	faulty_vfs_remove();
}
END_TEST

/* Version 1 has no checksum: what is salvaged is a batch, and is what was stored where it is. */
START_TEST(damaged_file_is_salvaged)
{
	static const uint8_t zeros[4096];
	bool found[ROWS] = {false};
	struct store_opened opened;
	struct store *s;
	struct stat st;
	size_t n;
	int fd;

	ck_assert_int_eq(stat(path, &st), 0);
	fd = open(path, O_WRONLY);
	/* The root of a tree: it cannot even be opened. */
	for (uint32_t page = 1; page < 6; page++) {
		off_t at = (off_t)page * 4096;

		ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
	}
	close(fd);
	ck_assert_int_eq(open_store(&s, &opened), 0);
	ck_assert(opened.set_aside);
	ck_assert_uint_ne(store_epoch(s), EPOCH);
	ck_assert_uint_gt(opened.salvaged_rows, ROWS / 2);
	n = store_totals(s).rows - store_totals(s).gaps;
	ck_assert_uint_eq(n, opened.salvaged_rows);
	/* Its epoch was on one of these pages, and nothing had noted it: under no name. */
	n = 0;
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct store_row row;
		uint64_t after = 0;

		while (store_next(s, k, after, &row) == STORE_ROW) {
			after = row.through;
			ck_assert_uint_eq(row.origin_seq, 0);
			for (size_t i = 0; i < ROWS; i++)
				if (!found[i] && row.body_len == bodies[i].len &&
				    memcmp(row.body, bodies[i].data, row.body_len) == 0) {
					found[i] = true;
					n++;
					break;
				}
		}
		store_release(s);
	}
	ck_assert_uint_eq(n, opened.salvaged_rows);
	store_close(s);
}
END_TEST

START_TEST(one_damaged_page_costs_its_rows)
{
	static const uint8_t junk[4096] = {0xff};
	bool found[ROWS] = {false};
	struct store_opened opened;
	struct store *s;
	struct stat st;
	size_t n;
	int fd;

	ck_assert_int_eq(stat(path, &st), 0);
	fd = open(path, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), st.st_size / 8192 * 4096), sizeof(junk));
	close(fd);
	ck_assert_int_eq(open_store(&s, &opened), 0);
	ck_assert(opened.set_aside);
	n = check_rows(s, CLASS_EVENT, true, found) + check_rows(s, CLASS_BULK, true, found);
	ck_assert_uint_eq(n, opened.salvaged_rows);
	ck_assert_uint_lt(n, ROWS);
	ck_assert_uint_gt(n, ROWS - 60);
	store_close(s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("v1");
	int failed;

	snprintf(dir, sizeof(dir), "%s/towline-v1-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rows_keep_their_names);
	tcase_add_test(tc, version_is_told);
	tcase_add_loop_test(tc, power_cut_while_moving, 0, 4);
	tcase_add_test(tc, damaged_file_is_salvaged);
	tcase_add_test(tc, one_damaged_page_costs_its_rows);
	failed = suite_run("store_v1", &tc, 1);
	remove_all();
	(void)rmdir(dir);
	return failed;
}
