/* base/db.h: SQLite opened the way we want it, migrations, prepared statements.
 *
 * WAL, foreign keys on, busy timeout 5 s. SQL is never built from strings: statements come from
 * tables of literals, prepared at open. */
#pragma once

#include "base/base.h"

#include <sqlite3.h>

enum db_sync { DB_SYNC_NORMAL, DB_SYNC_FULL };

struct db_options {
	enum db_sync sync; /* FULL: a commit survives a power cut; NORMAL: may lose the last ones */
	bool read_only;
	int64_t max_bytes; /* 0: no limit; else PRAGMA max_page_count */
};

/* migrations[i] takes the schema from version i to i+1 (PRAGMA user_version); each runs in one
 * transaction. Returns 0; -ENOTSUP with err: the file is from a newer version; -EROFS, -ENOSPC,
 * -EIO, -EACCES, -EBADMSG (not a database, or corrupt) with err naming the file. */
int db_open(sqlite3 **ret, const char *path, const struct db_options *opt,
	    const char *const *migrations, size_t n_migrations, struct error *err) must_check;
sqlite3 *db_close(sqlite3 *db); /* NULL is fine; always returns NULL */

/* Prepares n statements into out, persistent. Returns 0 or -EINVAL with err. */
int db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **out, size_t n,
	       struct error *err) must_check;
void db_finalize(sqlite3_stmt **stmts, size_t n);

/* -errno of an SQLite result code: OK, ROW, DONE -> 0; FULL -> -ENOSPC; READONLY -> -EROFS;
 * CORRUPT, NOTADB -> -EBADMSG; BUSY, LOCKED -> -EBUSY; NOMEM -> -ENOMEM; CONSTRAINT -> -EEXIST;
 * IOERR -> -EIO; else -EIO. */
int db_errno(int rc) must_check;

/* Binds by a format, one letter each: i (int64_t), t (const char *, copied), b (const void *,
 * size_t: borrowed until the next reset), d (double), n (NULL, takes no argument). */
int db_bind(sqlite3_stmt *st, const char *fmt, ...) must_check;
/* Steps once. Returns DB_ROW, DB_DONE, or -errno (then st is reset). */
enum { DB_DONE = 0, DB_ROW = 1 };
int db_step(sqlite3_stmt *st) must_check;
/* Runs a statement that returns no row, and resets it. */
int db_run(sqlite3_stmt *st) must_check;
int db_exec(sqlite3 *db, const char *sql) must_check; /* a literal: BEGIN IMMEDIATE, COMMIT, ... */
