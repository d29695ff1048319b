/* agent/store/schema.h: the tables of the outbox, and the statements on them. */
#pragma once

#include <stddef.h>

/* What takes the file from PRAGMA user_version i to i+1; never changed, only appended to. */
extern const char *const store_migrations[];
extern const size_t store_n_migrations;

enum store_stmt {
	STORE_READ_META,
	STORE_MINT_META,
	STORE_READ_CLASSES,
	STORE_WRITE_CLASS,
	STORE_READ_TOTALS,
	STORE_INSERT,
	STORE_DROP_OLDEST,
	STORE_NEXT,
	STORE_DELETE_RANGE,
	STORE_QUARANTINE_COPY,
	STORE_QUARANTINE_TRIM,
	STORE_STMTS,
};

extern const char *const store_sql[STORE_STMTS];
