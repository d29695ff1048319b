#include "tests/unit/seal_fixture.h"

#include "base/db.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EPOCH = 77, META = 5, TEXT_MAX = 1 << 20 };

char seal_dir[40];
sqlite3 *seal_db;
struct error seal_err;
struct seal_row seal_row_1 = {EPOCH, 1, META};

void seal_set_up(void)
{
	snprintf(seal_dir, sizeof(seal_dir), "/tmp/test_seal_XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(seal_dir));
	ck_assert_int_eq(sqlite3_open(":memory:", &seal_db), SQLITE_OK);
	seal_exec(SEAL_SCHEMA "CREATE TABLE batch (id INTEGER PRIMARY KEY, key INTEGER, body BLOB);"
			      "CREATE TABLE quarantine (id INTEGER PRIMARY KEY, key INTEGER);");
	seal_err.text[0] = '\0';
}

static void remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (!d) {
		ck_assert_int_eq(unlink(path), 0);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		char name[400];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		remove_tree(name);
	}
	closedir(d);
	ck_assert_int_eq(rmdir(path), 0);
}

void seal_tear_down(void)
{
	db_close(seal_db);
	remove_tree(seal_dir);
}

const char *seal_path(const char *name)
{
	static char paths[8][200];
	static unsigned turn;
	char *p = paths[turn++ % 8];

	snprintf(p, sizeof(paths[0]), "%s/%s", seal_dir, name);
	return p;
}

const char *seal_write_file(const char *name, const void *data, size_t len, unsigned mode)
{
	const char *path = seal_path(name);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, (mode_t)mode), 0);
	close(fd);
	return path;
}

const char *seal_key_file(const char *name, int value)
{
	uint8_t key[32];

	memset(key, value, sizeof(key));
	return seal_write_file(name, key, sizeof(key), 0600);
}

struct seal *seal_must_new(const struct seal_options *opt)
{
	struct seal_options o = *opt;
	struct seal *s = NULL;

	o.tb = timebase_system();
	ck_assert_msg(seal_new(&s, &o, &seal_err) == 0, "%s", seal_err.text);
	ck_assert_ptr_nonnull(s);
	return s;
}

struct seal *seal_must_attach(const struct seal_options *opt)
{
	struct seal *s = seal_must_new(opt);

	seal_exec("BEGIN");
	ck_assert_msg(seal_attach(s, seal_db, &seal_err) == 0, "%s", seal_err.text);
	seal_exec("COMMIT");
	return s;
}

static void check_said(const char *want)
{
	ck_assert_msg(strstr(seal_err.text, want), "\"%s\" is not in \"%s\"", want, seal_err.text);
}

void seal_new_fails(const struct seal_options *opt, int code, const char *want)
{
	struct seal *s = NULL;
	int r = seal_new(&s, opt, &seal_err);

	ck_assert_msg(r == code, "%d instead of %d: %s", r, code, seal_err.text);
	ck_assert_ptr_null(s);
	check_said(want);
}

void seal_attach_fails(const struct seal_options *opt, int code, const char *want)
{
	struct seal *s = seal_must_new(opt);
	int changes = sqlite3_total_changes(seal_db);
	int r;

	seal_exec("BEGIN");
	r = seal_attach(s, seal_db, &seal_err);
	seal_exec("ROLLBACK");
	ck_assert_msg(r == code, "%d instead of %d: %s", r, code, seal_err.text);
	ck_assert_int_eq(sqlite3_total_changes(seal_db), changes);
	check_said(want);
	seal_free(s);
}

int64_t seal_must_put(struct seal *s, int64_t id, const char *text)
{
	static const char *const sql =
		"INSERT OR REPLACE INTO batch (id, key, body) VALUES (?, ?, ?)";
	struct buf out cleanup(buf_free) = BUF_INIT(TEXT_MAX);
	struct seal_row row = {EPOCH, id, META};
	sqlite3_stmt *st;
	int64_t key = -1;

	ck_assert_int_eq(seal_encrypt(s, &row, text, strlen(text), &out, &key), 0);
	ck_assert_int_eq(db_prepare(seal_db, &sql, &st, 1, &seal_err), 0);
	ck_assert_int_eq(db_bind(st, "iib", id, key, (const void *)out.data, out.len), 0);
	ck_assert_int_eq(db_run(st), 0);
	db_finalize(&st, 1);
	return key;
}

int seal_get(struct seal *s, int64_t id, const char *text)
{
	static const char *const sql = "SELECT key, body FROM batch WHERE id = ?";
	struct buf out cleanup(buf_free) = BUF_INIT(TEXT_MAX);
	struct seal_row row = {EPOCH, id, META};
	sqlite3_stmt *st;
	int r;

	ck_assert_int_eq(db_prepare(seal_db, &sql, &st, 1, &seal_err), 0);
	ck_assert_int_eq(db_bind(st, "i", id), 0);
	ck_assert_int_eq(db_step(st), DB_ROW);
	r = seal_decrypt(s, &row, sqlite3_column_int64(st, 0), sqlite3_column_blob(st, 1),
			 (size_t)sqlite3_column_bytes(st, 1), &out);
	db_finalize(&st, 1);
	if (r == 0) {
		ck_assert_uint_eq(out.len, strlen(text));
		ck_assert_mem_eq(out.data, text, out.len);
	} else {
		ck_assert_uint_eq(out.len, 0);
	}
	return r;
}

int64_t seal_query(const char *sql)
{
	sqlite3_stmt *st;
	int64_t v;

	ck_assert_msg(db_prepare(seal_db, &sql, &st, 1, &seal_err) == 0, "%s", seal_err.text);
	ck_assert_int_eq(db_step(st), DB_ROW);
	v = sqlite3_column_int64(st, 0);
	db_finalize(&st, 1);
	return v;
}

void seal_exec(const char *sql)
{
	ck_assert_msg(db_exec(seal_db, sql) == 0, "%s: %s", sql, sqlite3_errmsg(seal_db));
}
