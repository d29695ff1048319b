#include "base/db.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BUSY_TIMEOUT_MS = 5000 };

/* Settings of every connection. The log is cut back after a checkpoint, since flash is small; what
 * a schema from outside could do in triggers and views is off. */
static const char setup_sql[] = "PRAGMA foreign_keys = ON;"
				"PRAGMA trusted_schema = OFF;"
				"PRAGMA journal_size_limit = 4194304;";
static const char *const sync_sql[] = {
	[DB_SYNC_NORMAL] = "PRAGMA synchronous = NORMAL",
	[DB_SYNC_FULL] = "PRAGMA synchronous = FULL",
};

int db_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return -EACCES;
	default:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
	}
}

/* --- opening --- */

/* The file cannot be opened, and error says why. */
static int fail_system(const char *path, int error, struct error *err)
{
	error_set(err, "%s: %s", path, strerror(error));
	return error == EROFS || error == ENOSPC ? -error : -EACCES;
}

/* db may be NULL: without memory. */
static int fail_open(sqlite3 *db, const char *path, struct error *err)
{
	int system_errno = db ? sqlite3_system_errno(db) : 0;
	int rc = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;

	if ((rc & 0xff) == SQLITE_CANTOPEN && system_errno != 0)
		return fail_system(path, system_errno, err);
	error_set(err, "%s: %s", path, db ? sqlite3_errmsg(db) : "out of memory");
	return db_errno(rc);
}

/* A new file is for its owner only: it may hold where people went. O_EXCL, because closing a
 * descriptor of a file that this process has open elsewhere would drop SQLite's locks. SQLite would
 * say "No such file" of every directory that it may not write. */
static int create_private(const char *path, struct error *err)
{
	int fd;

	if (strcmp(path, ":memory:") == 0)
		return 0;
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && errno != EEXIST)
		return fail_system(path, errno, err);
	if (fd >= 0)
		close(fd);
	return 0;
}

/* Runs a statement that gives one integer. Returns SQLite's code. */
static int read_int(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* "PRAGMA name = value": pragmas take no parameters, so the one place that prints SQL. */
static int set_pragma(sqlite3 *db, const char *name, int64_t value)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "PRAGMA %s = %" PRId64, name, value);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* Refuses what is no database, or whose schema cannot be read. */
static int check_readable(sqlite3 *db, const char *path, struct error *err)
{
	int64_t n;

	if (read_int(db, "SELECT count(*) FROM sqlite_master", &n) != SQLITE_OK)
		return fail_open(db, path, err);
	return 0;
}

static int set_wal(sqlite3 *db, const char *path, struct error *err)
{
	sqlite3_stmt *st = NULL;
	const char *mode = "";
	int rc, r = 0;

	rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		mode = (const char *)sqlite3_column_text(st, 0);
	if (rc != SQLITE_ROW || !mode) {
		r = fail_open(db, path, err);
	} else if (strcmp(mode, "wal") != 0 && strcmp(mode, "memory") != 0) {
		error_set(err, "%s: the file system cannot hold a write-ahead log", path);
		r = -EIO;
	}
	sqlite3_finalize(st);
	return r;
}

int db_set_max_bytes(sqlite3 *db, int64_t max_bytes)
{
	int64_t page_size = 0, pages = UINT32_MAX - 1; /* where SQLite stops anyway */
	int rc = read_int(db, "PRAGMA page_size", &page_size);

	if (rc != SQLITE_OK || page_size <= 0)
		return rc != SQLITE_OK ? db_errno(rc) : -EBADMSG;
	if (max_bytes > 0 && max_bytes / page_size < pages)
		pages = max_bytes / page_size;
	/* 0 would only ask for the limit. */
	return db_errno(set_pragma(db, "max_page_count", pages > 0 ? pages : 1));
}

static int limit_size(sqlite3 *db, const char *path, int64_t max_bytes, struct error *err)
{
	if (max_bytes > 0 && db_set_max_bytes(db, max_bytes) < 0)
		return fail_open(db, path, err);
	return 0;
}

static int set_up(sqlite3 *db, const char *path, const struct db_options *opt, struct error *err)
{
	int r;

	/* SQLite falls back to reading only, without a word. */
	if (!opt->read_only && sqlite3_db_readonly(db, "main") == 1) {
		error_set(err, "%s: the file is read-only", path);
		return -EROFS;
	}
	/* Before anything is read: the log's index would be in a file already. */
	if (opt->exclusive &&
	    sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK)
		return fail_open(db, path, err);
	r = check_readable(db, path, err);
	if (r < 0)
		return r;
	if (opt->page_bytes > 0 && set_pragma(db, "page_size", opt->page_bytes) != SQLITE_OK)
		return fail_open(db, path, err);
	if (sqlite3_exec(db, setup_sql, NULL, NULL, NULL) != SQLITE_OK)
		return fail_open(db, path, err);
	if (opt->read_only)
		return 0;
	r = set_wal(db, path, err);
	if (r < 0)
		return r;
	if (sqlite3_exec(db, sync_sql[opt->sync], NULL, NULL, NULL) != SQLITE_OK)
		return fail_open(db, path, err);
	return limit_size(db, path, opt->max_bytes, err);
}

/* --- migrations --- */

static int read_version(sqlite3 *db, const char *path, size_t known, int64_t *ret,
			struct error *err)
{
	if (read_int(db, "PRAGMA user_version", ret) != SQLITE_OK)
		return fail_open(db, path, err);
	if (*ret >= 0 && (uint64_t)*ret <= known)
		return 0;
	error_set(err,
		  "%s: schema version %" PRId64
		  " is from a newer program; this one knows up to %zu",
		  path, *ret, known);
	return -ENOTSUP;
}

/* Inside a transaction: the next migration that is missing, if any. */
static int migrate_once(sqlite3 *db, const char *path, const char *const *migrations, size_t n,
			bool *ret_done, struct error *err)
{
	int64_t version;
	int r;

	/* Again: another process may have been faster. */
	r = read_version(db, path, n, &version, err);
	if (r < 0)
		return r;
	*ret_done = (size_t)version == n;
	if (*ret_done)
		return 0;
	if (sqlite3_exec(db, migrations[version], NULL, NULL, NULL) == SQLITE_OK &&
	    set_pragma(db, "user_version", version + 1) == SQLITE_OK)
		return 0;
	error_set(err, "%s: migration to schema version %" PRId64 ": %s", path, version + 1,
		  sqlite3_errmsg(db));
	return db_errno(sqlite3_extended_errcode(db));
}

static int migrate(sqlite3 *db, const char *path, const char *const *migrations, size_t n,
		   struct error *err)
{
	bool done = false;
	int r;

	while (!done) {
		if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
			return fail_open(db, path, err);
		r = migrate_once(db, path, migrations, n, &done, err);
		if (r == 0 && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
			r = fail_open(db, path, err);
		if (r < 0) {
			/* Some errors have rolled back already; closing rolls back as well. */
			if (!sqlite3_get_autocommit(db))
				(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return r;
		}
	}
	return 0;
}

static int bring_to_version(sqlite3 *db, const char *path, const struct db_options *opt,
			    const char *const *migrations, size_t n, struct error *err)
{
	int64_t version;
	int r = read_version(db, path, n, &version, err);

	if (r < 0 || (size_t)version == n)
		return r;
	if (opt->read_only) {
		error_set(err, "%s: schema version %" PRId64 " is too old to read; needs %zu", path,
			  version, n);
		return -EROFS;
	}
	return migrate(db, path, migrations, n, err);
}

static int open_file(sqlite3 **ret, const char *path, const struct db_options *opt,
		     struct error *err)
{
	int flags =
		opt->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	int r = opt->read_only ? 0 : create_private(path, err);

	if (r < 0)
		return r;
	/* A connection belongs to one thread at a time, so it needs no mutex. */
	if (sqlite3_open_v2(path, ret, flags | SQLITE_OPEN_NOMUTEX, opt->vfs) != SQLITE_OK)
		return fail_open(*ret, path, err);
	sqlite3_extended_result_codes(*ret, 1);
	sqlite3_busy_timeout(*ret, BUSY_TIMEOUT_MS);
	return 0;
}

int db_open(sqlite3 **ret, const char *path, const struct db_options *opt,
	    const char *const *migrations, size_t n_migrations, struct error *err)
{
	sqlite3 *db = NULL;
	int r = open_file(&db, path, opt, err);

	if (r == 0)
		r = set_up(db, path, opt, err);
	if (r == 0)
		r = bring_to_version(db, path, opt, migrations, n_migrations, err);
	if (r < 0) {
		db_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

sqlite3 *db_close(sqlite3 *db)
{
	int rc = sqlite3_close(db);

	assert(rc == SQLITE_OK && "statements are to be finalized first");
	return NULL;
}

/* --- statements --- */

static bool is_one_statement(const char *tail)
{
	return !*(tail + strspn(tail, " \t\n;"));
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct error *err)
{
	const char *tail = "";
	int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, &tail);

	if (rc == SQLITE_OK && *out && is_one_statement(tail))
		return 0;
	error_set(err, "%s: %.100s", rc == SQLITE_OK ? "not one statement" : sqlite3_errmsg(db),
		  sql);
	return rc == SQLITE_OK || (rc & 0xff) == SQLITE_ERROR ? -EINVAL : db_errno(rc);
}

int db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **out, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++)
		out[i] = NULL;
	for (size_t i = 0; i < n; i++) {
		int r = prepare(db, sql[i], &out[i], err);

		if (r < 0) {
			db_finalize(out, n);
			return r;
		}
	}
	return 0;
}

void db_finalize(sqlite3_stmt **stmts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sqlite3_finalize(stmts[i]);
		stmts[i] = NULL;
	}
}

void db_reset(sqlite3_stmt *st)
{
	/* Repeats the error of the last step, which its caller has. */
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
}

static int bind_blob(sqlite3_stmt *st, int i, const void *data, size_t len)
{
	/* A NULL pointer would bind NULL; without bytes it is a blob all the same. */
	if (len == 0)
		return sqlite3_bind_zeroblob(st, i, 0);
	return sqlite3_bind_blob64(st, i, data, len, SQLITE_STATIC);
}

int db_bind(sqlite3_stmt *st, const char *fmt, ...)
{
	int rc = SQLITE_OK, i = 1;
	va_list ap;

	assert(strlen(fmt) == (size_t)sqlite3_bind_parameter_count(st));
	va_start(ap, fmt);
	for (; *fmt && rc == SQLITE_OK; fmt++, i++) {
		if (*fmt == 'i') {
			rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
		} else if (*fmt == 't') {
			rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1,
					       SQLITE_TRANSIENT);
		} else if (*fmt == 'b') {
			const void *data = va_arg(ap, const void *);

			rc = bind_blob(st, i, data, va_arg(ap, size_t));
		} else if (*fmt == 'd') {
			rc = sqlite3_bind_double(st, i, va_arg(ap, double));
		} else {
			assert(*fmt == 'n');
			rc = sqlite3_bind_null(st, i);
		}
	}
	va_end(ap);
	return db_errno(rc);
}

int db_step(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return DB_ROW;
	db_reset(st);
	return rc == SQLITE_DONE ? DB_DONE : db_errno(rc);
}

int db_run(sqlite3_stmt *st)
{
	assert(sqlite3_column_count(st) == 0);
	return db_step(st);
}

int db_exec(sqlite3 *db, const char *sql)
{
	return db_errno(sqlite3_exec(db, sql, NULL, NULL, NULL));
}
