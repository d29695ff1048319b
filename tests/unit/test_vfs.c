/* What SQLite gives to the outbox's VFS, next to a model of it: what is committed is in the files
 * when the commit is over, and no failure of the disk below leaves anything else than that. */
#include "agent/store/vfs.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 128, ROWS = 30, BODY_MAX = 7000, OPS_MAX = 6, TRANSACTIONS = 60 };

static char dir[64], path[PATH], copy[PATH];

/* ---- what the test knows ---- */

struct model {
	unsigned version[ROWS]; /* 0: no such row */
};

static struct model committed, pending;
static unsigned versions;
static uint64_t random_state;

static unsigned any(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

static size_t make_body(unsigned row, unsigned version, uint8_t out[static BODY_MAX])
{
	size_t len = version % 3 ? version * 977 % BODY_MAX : version * 31 % 300;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(version * 7 + row + i * (version % 5 + 1));
	return len;
}

/* ---- the database ---- */

struct database {
	sqlite3 *db;
	sqlite3_stmt *put, *drop, *all;
};

static const char setup_sql[] =
	"PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = 512; PRAGMA journal_mode = WAL;"
	"PRAGMA cache_size = 24; PRAGMA secure_delete = OFF; PRAGMA wal_autocheckpoint = 150;"
	"PRAGMA journal_size_limit = 40000; PRAGMA synchronous = FULL;"
	"CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body BLOB NOT NULL)";

static int open_database(struct database *d, const char *file, const char *vfs)
{
	int rc = sqlite3_open_v2(file, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs);

	d->put = d->drop = d->all = NULL;
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(d->db, setup_sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(d->db, "INSERT OR REPLACE INTO t VALUES (?, ?)", -1,
					&d->put, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(d->db, "DELETE FROM t WHERE id = ?", -1, &d->drop, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(d->db, "SELECT id, body FROM t ORDER BY id", -1, &d->all,
					NULL);
	return rc;
}

static void close_database(struct database *d)
{
	sqlite3_finalize(d->put);
	sqlite3_finalize(d->drop);
	sqlite3_finalize(d->all);
	ck_assert_int_eq(sqlite3_close(d->db), SQLITE_OK);
}

static void must_open(struct database *d, const char *file, const char *vfs)
{
	ck_assert_int_eq(open_database(d, file, vfs), SQLITE_OK);
}

static int run(struct database *d, const char *sql)
{
	return sqlite3_exec(d->db, sql, NULL, NULL, NULL);
}

static bool equals(struct database *d, const struct model *m)
{
	static uint8_t body[BODY_MAX];
	struct model seen = {0};
	bool same = true;
	int rc;

	while ((rc = sqlite3_step(d->all)) == SQLITE_ROW) {
		unsigned row = (unsigned)sqlite3_column_int(d->all, 0);
		size_t len = make_body(row, m->version[row], body);

		seen.version[row] = m->version[row];
		same = same && m->version[row] != 0 &&
		       len == (size_t)sqlite3_column_bytes(d->all, 1) &&
		       (len == 0 || memcmp(sqlite3_column_blob(d->all, 1), body, len) == 0);
	}
	sqlite3_reset(d->all);
	ck_assert_int_eq(rc, SQLITE_DONE);
	return same && memcmp(&seen, m, sizeof(seen)) == 0;
}

static void must_be_sound(struct database *d)
{
	sqlite3_stmt *st;

	ck_assert_int_eq(sqlite3_prepare_v2(d->db, "PRAGMA integrity_check(1)", -1, &st, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	ck_assert_str_eq((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
}

/* ---- what is done with it ---- */

static int step(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int change_a_row(struct database *d)
{
	static uint8_t body[BODY_MAX];
	unsigned row = any(ROWS);

	if (any(4) == 0) {
		pending.version[row] = 0;
		sqlite3_bind_int(d->drop, 1, (int)row);
		return step(d->drop);
	}
	pending.version[row] = ++versions;
	sqlite3_bind_int(d->put, 1, (int)row);
	sqlite3_bind_blob(d->put, 2, body, (int)make_body(row, versions, body), SQLITE_STATIC);
	return step(d->put);
}

/* Transactions larger than the cache: pages go to the log before the commit, some of them twice. No
 * savepoints: after ROLLBACK TO in such a transaction SQLite 3.40.1 commits frames without
 * checksums, which no reader of the log takes. */
static int change(struct database *d)
{
	int rc = run(d, "BEGIN IMMEDIATE");

	for (unsigned n = 1 + any(OPS_MAX); rc == SQLITE_OK && n > 0; n--)
		rc = change_a_row(d);
	if (rc != SQLITE_OK)
		return rc;
	if (any(6) == 0) {
		pending = committed;
		return run(d, "ROLLBACK");
	}
	return run(d, "COMMIT");
}

/* SQLite's code; the model is what was committed. A power cut may come between. */
static int transaction(struct database *d)
{
	int rc;

	pending = committed;
	rc = change(d);
	if (rc == SQLITE_OK)
		committed = pending;
	else if (!sqlite3_get_autocommit(d->db) && !faulty_vfs_is_off())
		ck_assert_int_eq(run(d, "ROLLBACK"), SQLITE_OK);
	/* A checkpoint that fails changes nothing. Not one that truncates the log to nothing: the
	 * fake would bring back sectors of it that no file system brings back one by one. */
	if (rc == SQLITE_OK && any(12) == 0)
		(void)run(d, any(2) ? "PRAGMA wal_checkpoint(PASSIVE)"
				    : "PRAGMA wal_checkpoint(RESTART)");
	return rc;
}

/* ---- files ---- */

static void copy_file(const char *from, const char *to)
{
	static uint8_t data[1 << 20];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = in >= 0 ? read(in, data, sizeof(data)) : 0;

	ck_assert(n >= 0 && n < (ssize_t)sizeof(data) && out >= 0);
	ck_assert_int_eq(write(out, data, (size_t)n), n);
	if (in >= 0)
		close(in);
	close(out);
}

static void remove_files(const char *file)
{
	static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
	char name[PATH + 16];

	for (size_t i = 0; i < array_len(tails); i++) {
		snprintf(name, sizeof(name), "%s%s", file, tails[i]);
		(void)!unlink(name);
	}
}

/* What a kill -9 would leave now. */
static void check_what_is_in_the_files(void)
{
	char from[PATH + 16], to[PATH + 16];
	struct database d;

	remove_files(copy);
	copy_file(path, copy);
	snprintf(from, sizeof(from), "%s-wal", path);
	snprintf(to, sizeof(to), "%s-wal", copy);
	copy_file(from, to);
	must_open(&d, copy, "unix");
	ck_assert(equals(&d, &committed));
	must_be_sound(&d);
	close_database(&d);
}

/* What the fake knows of files of the same name goes with them. */
static void start_over(uint64_t seed)
{
	faulty_vfs_remove();
	remove_files(path);
	ck_assert_int_eq(faulty_vfs_install(), 0);
	random_state = seed * 2654435761 + 88172645463325252;
	memset(&committed, 0, sizeof(committed));
	versions = 0;
}

static void setup(void)
{
	ck_assert_ptr_nonnull(vfs_name());
	start_over(1);
}

static void teardown(void)
{
	faulty_vfs_remove();
	remove_files(path);
	remove_files(copy);
}

/* ---- tests ---- */

START_TEST(commits_are_in_the_files)
{
	struct database d;

	start_over((uint64_t)_i + 1);
	must_open(&d, path, vfs_name());
	for (int i = 0; i < TRANSACTIONS; i++) {
		if (any(3) == 0)
			ck_assert_int_eq(run(&d, any(2) ? "PRAGMA synchronous = NORMAL"
							: "PRAGMA synchronous = FULL"),
					 SQLITE_OK);
		ck_assert_int_eq(transaction(&d), SQLITE_OK);
		ck_assert(equals(&d, &committed));
		check_what_is_in_the_files();
	}
	close_database(&d);
	must_open(&d, path, "unix");
	ck_assert(equals(&d, &committed));
	close_database(&d);
}
END_TEST

static uint64_t calls_of(struct database *d, const char *sql, unsigned ops)
{
	faulty_vfs_plan(NULL);
	ck_assert_int_eq(run(d, sql), SQLITE_OK);
	return faulty_vfs_calls(ops);
}

static void check_read_ahead(struct database *d)
{
	uint64_t n;

	ck_assert_int_eq(run(d, "PRAGMA shrink_memory"), SQLITE_OK);
	n = calls_of(d, "SELECT hex(body) FROM t", FAULTY_READ);
	ck_assert_uint_ge(n, 3);
	ck_assert_uint_le(n, 9);
}

/* 25 pages of 512 bytes are frames in 14 KB of log. */
START_TEST(neighbours_go_together)
{
	struct database d;

	must_open(&d, path, vfs_name());
	ck_assert_int_eq(run(&d, "PRAGMA cache_size = 400; PRAGMA synchronous = NORMAL"),
			 SQLITE_OK);
	ck_assert_uint_le(calls_of(&d, "INSERT INTO t VALUES (1, zeroblob(12000))", FAULTY_WRITE),
			  5);
	ck_assert_uint_le(calls_of(&d, "PRAGMA wal_checkpoint(RESTART)", FAULTY_WRITE), 6);
	check_read_ahead(&d);
	close_database(&d);
}
END_TEST

static void read_page(sqlite3_file *f, uint32_t page)
{
	uint32_t data[128] = {0};

	ck_assert_int_eq(f->pMethods->xRead(f, data, sizeof(data), page * (int)sizeof(data)),
			 SQLITE_OK);
	for (size_t i = 0; i < array_len(data); i++)
		ck_assert_uint_eq(data[i], page);
}

/* Free pages are used again from the last one down, and one of them lies elsewhere. */
START_TEST(what_lies_the_other_way_round)
{
	enum { PAGES = 200, ELSEWHERE = 3 };
	sqlite3_vfs *v = sqlite3_vfs_find(vfs_name());
	sqlite3_file *f = calloc(1, (size_t)v->szOsFile);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB;

	ck_assert_int_eq(v->xOpen(v, path, f, flags, &flags), SQLITE_OK);
	for (uint32_t page = 0; page < PAGES; page++) {
		uint32_t data[128];

		for (size_t i = 0; i < array_len(data); i++)
			data[i] = page;
		ck_assert_int_eq(
			f->pMethods->xWrite(f, data, sizeof(data), page * (int)sizeof(data)),
			SQLITE_OK);
	}
	ck_assert_int_eq(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL), SQLITE_OK);
	faulty_vfs_plan(NULL);
	for (uint32_t page = PAGES; page-- > ELSEWHERE + 1;) {
		read_page(f, page);
		if (page == PAGES / 2)
			read_page(f, ELSEWHERE);
	}
	ck_assert_uint_ge(faulty_vfs_calls(FAULTY_READ), 4);
	ck_assert_uint_le(faulty_vfs_calls(FAULTY_READ), 14);
	ck_assert_int_eq(f->pMethods->xClose(f), SQLITE_OK);
	free(f);
}
END_TEST

struct failing {
	unsigned ops;
	enum faulty_how how;
	bool stays;
};

static const struct failing failing[] = {
	{FAULTY_WRITE, FAULTY_EIO, false},   {FAULTY_WRITE, FAULTY_ENOSPC, false},
	{FAULTY_WRITE, FAULTY_SHORT, false}, {FAULTY_WRITE, FAULTY_ENOSPC, true},
	{FAULTY_WRITE, FAULTY_SHORT, true},  {FAULTY_SYNC, FAULTY_EIO, false},
	{FAULTY_SYNC, FAULTY_EIO, true},     {FAULTY_TRUNCATE, FAULTY_EIO, false},
	{FAULTY_READ, FAULTY_EIO, false},    {FAULTY_READ, FAULTY_EIO, true},
};

/* Some calls fail, or all from one on for a while: each transaction is there whole or not at all,
 * as SQLite has said. */
START_TEST(what_fails_has_not_happened)
{
	const struct failing *f = &failing[_i];
	uint64_t failures = 0;

	for (uint64_t nth = 1; nth < 120; nth += 2) {
		const struct faulty_plan plan = {
			.ops = f->ops, .how = f->how, .stays = f->stays, .nth = nth};
		struct database d;

		start_over(nth);
		must_open(&d, path, vfs_name());
		for (int i = 0; i < TRANSACTIONS / 2; i++)
			ck_assert_int_eq(transaction(&d), SQLITE_OK);
		faulty_vfs_plan(&plan);
		for (int i = 0; i < TRANSACTIONS; i++)
			(void)transaction(&d);
		failures += faulty_vfs_failed() > 0;
		faulty_vfs_plan(NULL);
		ck_assert(equals(&d, &committed));
		for (int i = 0; i < TRANSACTIONS / 4; i++)
			ck_assert_int_eq(transaction(&d), SQLITE_OK);
		ck_assert(equals(&d, &committed));
		check_what_is_in_the_files();
		must_be_sound(&d);
		close_database(&d);
	}
	ck_assert_uint_gt(failures, f->ops == FAULTY_TRUNCATE ? 1 : 30);
}
END_TEST

static int write_frame(sqlite3_file *f, int at, int commits)
{
	uint8_t header[24] = {[7] = (uint8_t)commits}, page[512] = {0};
	int rc = f->pMethods->xWrite(f, header, sizeof(header), at);

	return rc != SQLITE_OK
		       ? rc
		       : f->pMethods->xWrite(f, page, sizeof(page), at + (int)sizeof(header));
}

/* SQLite itself gives up such a transaction. Should it go on, it must not get far. */
START_TEST(no_log_goes_on_behind_a_hole)
{
	const struct faulty_plan plan = {.ops = FAULTY_WRITE, .how = FAULTY_ENOSPC, .nth = 1};
	enum { FRAME = 536, FIRST = 32, LAST = FIRST + 2 * FRAME };
	sqlite3_vfs *v = sqlite3_vfs_find(vfs_name());
	sqlite3_file *f = calloc(1, (size_t)v->szOsFile);
	uint8_t data[FRAME] = {1};
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;

	ck_assert_int_eq(v->xOpen(v, path, f, flags, &flags), SQLITE_OK);
	ck_assert_int_eq(f->pMethods->xWrite(f, data, FIRST, 0), SQLITE_OK);
	faulty_vfs_plan(&plan);
	ck_assert_int_eq(write_frame(f, FIRST, 0), SQLITE_OK);
	ck_assert_int_eq(write_frame(f, FIRST + FRAME, 1), SQLITE_FULL);
	ck_assert_int_eq(write_frame(f, LAST, 1), SQLITE_IOERR_WRITE);
	ck_assert_int_eq(f->pMethods->xRead(f, data, FRAME, FIRST), SQLITE_IOERR_READ);
	ck_assert_int_eq(f->pMethods->xRead(f, data, FIRST, 0), SQLITE_OK);
	ck_assert_int_eq(write_frame(f, FIRST, 1), SQLITE_OK);
	ck_assert_int_eq(write_frame(f, FIRST + FRAME, 1), SQLITE_OK);
	ck_assert_int_eq(f->pMethods->xRead(f, data, FRAME, FIRST + FRAME), SQLITE_OK);
	ck_assert_uint_eq(data[7], 1);
	ck_assert_int_eq(f->pMethods->xClose(f), SQLITE_OK);
	free(f);
}
END_TEST

/* Whether a transaction that the power has cut is there is open; nothing else is. */
static void check_after_cut(void)
{
	struct database d;
	bool before, after;

	(void)faulty_vfs_power_on();
	must_open(&d, path, vfs_name());
	before = equals(&d, &committed);
	after = equals(&d, &pending);
	ck_assert(before || after);
	if (!before)
		committed = pending;
	must_be_sound(&d);
	ck_assert_int_eq(transaction(&d), SQLITE_OK);
	ck_assert(equals(&d, &committed));
	close_database(&d);
}

START_TEST(what_is_synced_stays)
{
	for (uint64_t cut = 1 + (uint64_t)_i; cut < 400; cut += 8) {
		const struct faulty_plan plan = {.cut_at = cut, .seed = cut};
		struct database d;

		start_over(cut);
		must_open(&d, path, vfs_name());
		faulty_vfs_plan(&plan);
		while (!faulty_vfs_is_off())
			(void)transaction(&d);
		close_database(&d);
		check_after_cut();
	}
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("vfs");
	int failed;

	snprintf(dir, sizeof(dir), "%s/towline-vfs-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/x.db", dir);
	snprintf(copy, sizeof(copy), "%s/copy.db", dir);
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, commits_are_in_the_files, 0, 12);
	tcase_add_test(tc, neighbours_go_together);
	tcase_add_loop_test(tc, what_fails_has_not_happened, 0, array_len(failing));
	tcase_add_test(tc, what_lies_the_other_way_round);
	tcase_add_test(tc, no_log_goes_on_behind_a_hole);
	tcase_add_loop_test(tc, what_is_synced_stays, 0, 8);
	failed = suite_run("vfs", &tc, 1);
	rmdir(dir);
	return failed;
}
