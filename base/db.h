/* base/db.h: SQLite opened the way we want it, migrations, prepared statements.
 *
 * WAL, foreign keys on, busy timeout 5 s. SQL is never built from strings: statements come from
 * tables of literals, prepared at open. A connection and its statements belong to one thread at a
 * time. A new file can be read by its owner only. */
#pragma once

#include "base/base.h"

#include <sqlite3.h>

enum db_sync { DB_SYNC_NORMAL, DB_SYNC_FULL };

struct db_options {
	enum db_sync sync; /* FULL: a commit survives a power cut; NORMAL: may lose the last ones */
	bool read_only;
	/* 0: no limit; else PRAGMA max_page_count. Without the write-ahead log, which is cut back
	 * to 4 MiB after a checkpoint. A file that is larger already stays, but does not grow. */
	int64_t max_bytes;
	int page_bytes; /* 0: SQLite's; of a new file: 512 to 65536, a power of two */
	/* No other connection, of any process, while it is open: saves the -shm file. */
	bool exclusive;
	const char *vfs; /* the name of one that is registered; NULL: the default */
};

/* migrations[i] takes the schema from version i to i+1 (PRAGMA user_version); each runs in one
 * transaction, which a failure rolls back. Returns 0; -ENOTSUP with err: the file is from a newer
 * version; -EROFS (also: read_only, and the schema is older), -ENOSPC, -EIO, -EACCES (it cannot be
 * opened; err says why), -EBUSY, -ENOMEM, -EBADMSG (not a database, or its schema is corrupt) with
 * err naming the file. ":memory:" is a database without a file. */
int db_open(sqlite3 **ret, const char *path, const struct db_options *opt,
	    const char *const *migrations, size_t n_migrations, struct error *err) must_check;
/* NULL is fine; always returns NULL. Finalize its statements first. */
sqlite3 *db_close(sqlite3 *db);

/* Changes db_options.max_bytes of an open database. 0 or -errno. */
int db_set_max_bytes(sqlite3 *db, int64_t max_bytes) must_check;

/* Prepares n statements into out, persistent. Returns 0; -EINVAL: they do not fit the schema; else
 * as db_errno; with err and out all NULL. */
int db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **out, size_t n,
	       struct error *err) must_check;
void db_finalize(sqlite3_stmt **stmts, size_t n);

/* -errno of an SQLite result code: OK, ROW, DONE -> 0; FULL -> -ENOSPC; READONLY -> -EROFS;
 * CORRUPT, NOTADB -> -EBADMSG; BUSY, LOCKED -> -EBUSY; NOMEM -> -ENOMEM; CONSTRAINT -> -EEXIST;
 * CANTOPEN, PERM -> -EACCES; IOERR -> -EIO; else -EIO. */
int db_errno(int rc) must_check;

/* Binds by a format, one letter each: i (int64_t), t (const char *, copied; NULL is NULL), b (const
 * void *, size_t: borrowed until the next reset), d (double), n (NULL, takes no argument). */
int db_bind(sqlite3_stmt *st, const char *fmt, ...) must_check;
/* Steps once. Returns DB_ROW, DB_DONE, or -errno; but for DB_ROW, st is reset. */
enum { DB_DONE = 0, DB_ROW = 1 };
int db_step(sqlite3_stmt *st) must_check;
/* Runs a statement that returns no row, and resets it. */
int db_run(sqlite3_stmt *st) must_check;
/* For a statement that is left before DB_DONE. Forgets the bindings. */
void db_reset(sqlite3_stmt *st);
int db_exec(sqlite3 *db, const char *sql) must_check; /* a literal: BEGIN IMMEDIATE, COMMIT, ... */
