#include "base/db.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const migrations[] = {
	"CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, data BLOB, size REAL);",
	"ALTER TABLE item ADD COLUMN extra INTEGER; CREATE INDEX item_name ON item (name);",
};

static const struct db_options full = {.sync = DB_SYNC_FULL};
static const struct db_options read_only = {.read_only = true};

static char dir[40];
static char path[80];
static struct error err;

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_db_XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.db", dir);
	err.text[0] = '\0';
}

static void tear_down(void)
{
	static const char *const names[] = {"a.db", "a.db-wal", "a.db-shm", "a.db-journal"};
	char name[100];

	for (size_t i = 0; i < array_len(names); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		unlink(name);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

static sqlite3 *must_open(const struct db_options *opt, size_t n)
{
	sqlite3 *db = NULL;

	ck_assert_msg(db_open(&db, path, opt, migrations, n, &err) == 0, "%s", err.text);
	return db;
}

/* want follows the path in the message. */
static void check_open_fails(const struct db_options *opt, size_t n, int code, const char *want)
{
	sqlite3 *db = NULL;
	char text[300];

	snprintf(text, sizeof(text), "%s%s", path, want);
	ck_assert_int_eq(db_open(&db, path, opt, migrations, n, &err), code);
	ck_assert_ptr_null(db);
	ck_assert_str_eq(err.text, text);
	ck_assert_int_eq(db_open(&db, path, opt, migrations, n, NULL), code);
}

static int64_t query_int(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;
	int64_t v;

	ck_assert_int_eq(db_prepare(db, &sql, &st, 1, &err), 0);
	ck_assert_int_eq(db_step(st), DB_ROW);
	v = sqlite3_column_int64(st, 0);
	db_finalize(&st, 1);
	return v;
}

static void write_file(const void *data, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

START_TEST(a_new_file_has_our_settings)
{
	sqlite3 *db = must_open(&full, 2);
	struct stat st;
	const char *sql = "PRAGMA journal_mode";
	sqlite3_stmt *mode;

	ck_assert_int_eq(query_int(db, "PRAGMA user_version"), 2);
	ck_assert_int_eq(query_int(db, "PRAGMA foreign_keys"), 1);
	ck_assert_int_eq(query_int(db, "PRAGMA synchronous"), 2);
	ck_assert_int_eq(query_int(db, "PRAGMA busy_timeout"), 5000);
	ck_assert_int_eq(query_int(db, "SELECT count(*) FROM item"), 0);
	ck_assert_int_eq(db_prepare(db, &sql, &mode, 1, &err), 0);
	ck_assert_int_eq(db_step(mode), DB_ROW);
	ck_assert_str_eq((const char *)sqlite3_column_text(mode, 0), "wal");
	db_finalize(&mode, 1);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_ptr_null(db_close(db));
	db = must_open(&(struct db_options){.sync = DB_SYNC_NORMAL}, 2);
	ck_assert_int_eq(query_int(db, "PRAGMA synchronous"), 1);
	db_close(db);
}
END_TEST

START_TEST(migrations_go_on_where_the_file_stands)
{
	sqlite3 *db = must_open(&full, 1);

	ck_assert_int_eq(query_int(db, "PRAGMA user_version"), 1);
	ck_assert_int_eq(db_exec(db, "INSERT INTO item (name) VALUES ('kept')"), 0);
	db_close(db);
	db = must_open(&full, 2);
	ck_assert_int_eq(query_int(db, "PRAGMA user_version"), 2);
	ck_assert_int_eq(query_int(db, "SELECT count(*) FROM item WHERE extra IS NULL"), 1);
	db_close(db);
}
END_TEST

START_TEST(a_newer_file_is_refused)
{
	sqlite3 *db = must_open(&full, 2);

	db_close(db);
	check_open_fails(&full, 1, -ENOTSUP,
			 ": schema version 2 is from a newer program; this one knows up to 1");
	check_open_fails(&read_only, 1, -ENOTSUP,
			 ": schema version 2 is from a newer program; this one knows up to 1");
	db = must_open(&full, 2);
	ck_assert_int_eq(db_exec(db, "PRAGMA user_version = -7"), 0);
	db_close(db);
	check_open_fails(&full, 2, -ENOTSUP,
			 ": schema version -7 is from a newer program; this one knows up to 2");
}
END_TEST

START_TEST(a_failed_migration_leaves_nothing_behind)
{
	static const char *const broken[] = {
		"CREATE TABLE item (id INTEGER PRIMARY KEY);",
		"CREATE TABLE other (id INTEGER); INSERT INTO item VALUES (1); "
		"INSERT INTO nowhere VALUES (1);",
	};
	char want[200];
	sqlite3 *db = NULL;

	snprintf(want, sizeof(want), "%s: migration to schema version 2: no such table: nowhere",
		 path);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(db_open(&db, path, &full, broken, 2, &err), -EIO);
		ck_assert_str_eq(err.text, want);
	}
	ck_assert_int_eq(db_open(&db, path, &full, broken, 1, &err), 0);
	ck_assert_int_eq(query_int(db, "PRAGMA user_version"), 1);
	ck_assert_int_eq(query_int(db, "SELECT count(*) FROM item"), 0);
	ck_assert_int_eq(query_int(db, "SELECT count(*) FROM sqlite_master WHERE name = 'other'"),
			 0);
	db_close(db);
}
END_TEST

START_TEST(garbage_is_not_a_database)
{
	char junk[8192];

	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (char)(i * 31 + 7);
	write_file(junk, sizeof(junk));
	check_open_fails(&full, 2, -EBADMSG, ": file is not a database");
	check_open_fails(&read_only, 2, -EBADMSG, ": file is not a database");
	write_file("hello", 5);
	check_open_fails(&full, 2, -EBADMSG, ": file is not a database");
}
END_TEST

START_TEST(a_damaged_schema_is_found_at_open)
{
	sqlite3 *db = must_open(&full, 2);
	char zeros[512] = {0};
	int fd;

	db_close(db);
	/* The header stays; the b-tree of the schema that follows it is gone. */
	fd = open(path, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), 100), (ssize_t)sizeof(zeros));
	close(fd);
	check_open_fails(&full, 2, -EBADMSG, ": database disk image is malformed");
}
END_TEST

START_TEST(a_truncated_file_is_found_at_open)
{
	sqlite3 *db = must_open(&full, 2);

	db_close(db);
	ck_assert_int_eq(truncate(path, 4096), 0);
	check_open_fails(&full, 2, -EBADMSG, ": database disk image is malformed");
}
END_TEST

START_TEST(an_empty_file_is_a_new_database)
{
	write_file("", 0);
	db_close(must_open(&full, 2));
}
END_TEST

START_TEST(paths_that_cannot_be_opened)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
	check_open_fails(&full, 2, -EACCES, ": Is a directory");
	ck_assert_int_eq(rmdir(path), 0);
	check_open_fails(&read_only, 2, -EACCES, ": No such file or directory");
	snprintf(path, sizeof(path), "%s/none/a.db", dir);
	check_open_fails(&full, 2, -EACCES, ": No such file or directory");
}
END_TEST

START_TEST(reading_only)
{
	sqlite3 *db = must_open(&full, 1);

	ck_assert_int_eq(db_exec(db, "INSERT INTO item (name) VALUES ('x')"), 0);
	db_close(db);
	check_open_fails(&read_only, 2, -EROFS, ": schema version 1 is too old to read; needs 2");
	db = must_open(&read_only, 1);
	ck_assert_int_eq(query_int(db, "SELECT count(*) FROM item"), 1);
	ck_assert_int_eq(db_exec(db, "INSERT INTO item (name) VALUES ('y')"), -EROFS);
	db_close(db);
}
END_TEST

/* Permissions do not bind root, so root becomes nobody for a while. */
static void drop_root(void)
{
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
}

static void regain_root(void)
{
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}

START_TEST(files_that_may_not_be_written)
{
	db_close(must_open(&full, 2));
	ck_assert_int_eq(chmod(path, 0444), 0);
	ck_assert_int_eq(chmod(dir, 0555), 0);
	drop_root();
	check_open_fails(&full, 2, -EROFS, ": the file is read-only");
	regain_root();
	ck_assert_int_eq(chmod(path, 0), 0);
	drop_root();
	check_open_fails(&full, 2, -EACCES, ": Permission denied");
	regain_root();
	ck_assert_int_eq(chmod(dir, 0755), 0);
	unlink(path);
	ck_assert_int_eq(chmod(dir, 0555), 0);
	drop_root();
	check_open_fails(&full, 2, -EACCES, ": Permission denied");
	regain_root();
	ck_assert_int_eq(chmod(dir, 0755), 0);
}
END_TEST

START_TEST(a_directory_that_may_not_be_written)
{
	db_close(must_open(&full, 2));
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(chmod(dir, 0555), 0);
	drop_root();
	/* The write-ahead log has no place. */
	check_open_fails(&full, 2, -EROFS, ": attempt to write a readonly database");
	regain_root();
	ck_assert_int_eq(chmod(dir, 0755), 0);
}
END_TEST

static const char insert_sql[] = "INSERT INTO item (name, data, size) VALUES (?, ?, ?)";

static int fill(sqlite3 *db, size_t *ret_rows)
{
	static const char *const sql = insert_sql;
	static uint8_t block[3000];
	sqlite3_stmt *st;
	int r = 0;

	ck_assert_int_eq(db_prepare(db, &sql, &st, 1, &err), 0);
	for (*ret_rows = 0; *ret_rows < 10000; ++*ret_rows) {
		ck_assert_int_eq(db_bind(st, "tbn", "x", block, sizeof(block)), 0);
		r = db_run(st);
		if (r < 0)
			break;
	}
	db_finalize(&st, 1);
	return r;
}

START_TEST(a_full_database_is_an_error_and_stays_whole)
{
	const struct db_options small = {.sync = DB_SYNC_NORMAL, .max_bytes = 200 * 1024};
	sqlite3 *db = must_open(&small, 2);
	size_t rows, more;
	struct stat st;

	ck_assert_int_eq(fill(db, &rows), -ENOSPC);
	ck_assert_uint_ge(rows, 20);
	ck_assert_uint_le(rows, 70);
	ck_assert_int_eq(query_int(db, "SELECT count(*) FROM item"), (int64_t)rows);
	ck_assert_int_eq(db_exec(db, "DELETE FROM item WHERE id <= 10"), 0);
	ck_assert_int_eq(fill(db, &more), -ENOSPC);
	ck_assert_uint_ge(more, 5);
	db_close(db);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_le(st.st_size, small.max_bytes);
	db = must_open(&full, 2); /* without the limit it goes on */
	ck_assert_int_eq(fill(db, &more), 0);
	db_close(db);
}
END_TEST

START_TEST(too_small_for_the_schema)
{
	const struct db_options tiny = {.max_bytes = 1};

	check_open_fails(&tiny, 2, -ENOSPC,
			 ": migration to schema version 1: database or disk is full");
	db_close(must_open(&full, 2));
}
END_TEST

START_TEST(statements_bind_step_and_reset)
{
	static const char *const sql[] = {
		insert_sql,
		"SELECT name, data, size FROM item WHERE id = ?",
	};
	sqlite3 *db = must_open(&full, 2);
	sqlite3_stmt *st[2];

	ck_assert_int_eq(db_prepare(db, sql, st, 2, &err), 0);
	ck_assert_int_eq(db_bind(st[0], "tbd", "name", "\0\1\2", (size_t)3, 1.5), 0);
	ck_assert_int_eq(db_run(st[0]), 0);
	ck_assert_int_eq(db_bind(st[0], "tbn", (const char *)NULL, NULL, (size_t)0), 0);
	ck_assert_int_eq(db_run(st[0]), 0);
	ck_assert_int_eq(db_bind(st[1], "i", (int64_t)1), 0);
	ck_assert_int_eq(db_step(st[1]), DB_ROW);
	ck_assert_str_eq((const char *)sqlite3_column_text(st[1], 0), "name");
	ck_assert_int_eq(sqlite3_column_bytes(st[1], 1), 3);
	ck_assert_mem_eq(sqlite3_column_blob(st[1], 1), "\0\1\2", 3);
	ck_assert_double_eq(sqlite3_column_double(st[1], 2), 1.5);
	ck_assert_int_eq(db_bind(st[1], "i", (int64_t)2), -EIO); /* not reset yet */
	ck_assert_int_eq(db_step(st[1]), DB_DONE);
	ck_assert_int_eq(db_bind(st[1], "i", (int64_t)2), 0);
	ck_assert_int_eq(db_step(st[1]), DB_ROW);
	ck_assert_int_eq(sqlite3_column_type(st[1], 0), SQLITE_NULL);
	ck_assert_int_eq(sqlite3_column_type(st[1], 1), SQLITE_BLOB);
	ck_assert_int_eq(sqlite3_column_type(st[1], 2), SQLITE_NULL);
	db_reset(st[1]);
	ck_assert_int_eq(db_step(st[1]), DB_DONE); /* the binding is forgotten */
	db_finalize(st, 2);
	ck_assert_ptr_null(st[0]);
	db_finalize(st, 2);
	db_close(db);
}
END_TEST

START_TEST(a_constraint_is_an_outcome)
{
	sqlite3 *db = must_open(&full, 2);
	const char *sql = "INSERT INTO item (id) VALUES (?)";
	sqlite3_stmt *st;

	ck_assert_int_eq(db_prepare(db, &sql, &st, 1, &err), 0);
	ck_assert_int_eq(db_bind(st, "i", (int64_t)7), 0);
	ck_assert_int_eq(db_run(st), 0);
	ck_assert_int_eq(db_bind(st, "i", (int64_t)7), 0);
	ck_assert_int_eq(db_run(st), -EEXIST);
	ck_assert_int_eq(db_bind(st, "i", (int64_t)8), 0);
	ck_assert_int_eq(db_run(st), 0);
	db_finalize(&st, 1);
	db_close(db);
}
END_TEST

static void check_prepare_fails(sqlite3 *db, const char *sql, const char *want)
{
	const char *const both[] = {"SELECT 1", sql};
	sqlite3_stmt *st[2];

	ck_assert_int_eq(db_prepare(db, both, st, 2, &err), -EINVAL);
	ck_assert_str_eq(err.text, want);
	ck_assert_ptr_null(st[0]);
	ck_assert_ptr_null(st[1]);
}

START_TEST(a_bad_statement_names_itself)
{
	sqlite3 *db = must_open(&full, 2);

	check_prepare_fails(db, "SELECT x FROM item", "no such column: x: SELECT x FROM item");
	check_prepare_fails(db, "SELECT 1; SELECT 2", "not one statement: SELECT 1; SELECT 2");
	check_prepare_fails(db, "", "not one statement: ");
	db_close(db); /* would abort if a statement were left */
}
END_TEST

START_TEST(another_writer_makes_it_busy)
{
	sqlite3 *a = must_open(&full, 2), *b = must_open(&full, 2);

	sqlite3_busy_timeout(b, 10);
	ck_assert_int_eq(db_exec(a, "BEGIN IMMEDIATE"), 0);
	ck_assert_int_eq(db_exec(b, "BEGIN IMMEDIATE"), -EBUSY);
	ck_assert_int_eq(query_int(b, "SELECT count(*) FROM item"), 0); /* readers go on */
	ck_assert_int_eq(db_exec(a, "COMMIT"), 0);
	ck_assert_int_eq(db_exec(b, "BEGIN IMMEDIATE"), 0);
	ck_assert_int_eq(db_exec(b, "ROLLBACK"), 0);
	db_close(a);
	db_close(b);
}
END_TEST

START_TEST(error_codes)
{
	static const struct {
		int rc, want;
	} codes[] = {
		{SQLITE_OK, 0},
		{SQLITE_ROW, 0},
		{SQLITE_DONE, 0},
		{SQLITE_FULL, -ENOSPC},
		{SQLITE_READONLY, -EROFS},
		{SQLITE_READONLY_DBMOVED, -EROFS},
		{SQLITE_CORRUPT, -EBADMSG},
		{SQLITE_CORRUPT_INDEX, -EBADMSG},
		{SQLITE_NOTADB, -EBADMSG},
		{SQLITE_BUSY, -EBUSY},
		{SQLITE_BUSY_SNAPSHOT, -EBUSY},
		{SQLITE_LOCKED, -EBUSY},
		{SQLITE_NOMEM, -ENOMEM},
		{SQLITE_IOERR_NOMEM, -ENOMEM},
		{SQLITE_CONSTRAINT_UNIQUE, -EEXIST},
		{SQLITE_IOERR, -EIO},
		{SQLITE_IOERR_WRITE, -EIO},
		{SQLITE_CANTOPEN, -EACCES},
		{SQLITE_PERM, -EACCES},
		{SQLITE_ERROR, -EIO},
		{SQLITE_MISUSE, -EIO},
	};

	for (size_t i = 0; i < array_len(codes); i++)
		ck_assert_int_eq(db_errno(codes[i].rc), codes[i].want);
}
END_TEST

START_TEST(in_memory)
{
	sqlite3 *db = NULL;

	ck_assert_int_eq(db_open(&db, ":memory:", &full, migrations, 2, &err), 0);
	ck_assert_int_eq(query_int(db, "PRAGMA user_version"), 2);
	db_close(db);
	ck_assert_int_ne(access(":memory:", F_OK), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("db");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_new_file_has_our_settings);
	tcase_add_test(tc, migrations_go_on_where_the_file_stands);
	tcase_add_test(tc, a_newer_file_is_refused);
	tcase_add_test(tc, a_failed_migration_leaves_nothing_behind);
	tcase_add_test(tc, garbage_is_not_a_database);
	tcase_add_test(tc, a_damaged_schema_is_found_at_open);
	tcase_add_test(tc, a_truncated_file_is_found_at_open);
	tcase_add_test(tc, an_empty_file_is_a_new_database);
	tcase_add_test(tc, paths_that_cannot_be_opened);
	tcase_add_test(tc, reading_only);
	tcase_add_test(tc, files_that_may_not_be_written);
	tcase_add_test(tc, a_directory_that_may_not_be_written);
	tcase_add_test(tc, a_full_database_is_an_error_and_stays_whole);
	tcase_add_test(tc, too_small_for_the_schema);
	tcase_add_test(tc, statements_bind_step_and_reset);
	tcase_add_test(tc, a_constraint_is_an_outcome);
	tcase_add_test(tc, a_bad_statement_names_itself);
	tcase_add_test(tc, another_writer_makes_it_busy);
	tcase_add_test(tc, error_codes);
	tcase_add_test(tc, in_memory);
	return suite_run("db", &tc, 1);
}
