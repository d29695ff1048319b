/* agent/store/schema.h: the tables of the outbox, and the statements on them.
 *
 * Version 2: a table batch_<class> for each class, so that each grows at its own end, which costs
 * no page twice; the view `batch` shows them as one, but for sum and
 * body: SQLite would read these even where they are not asked for. Columns: row.h. Of these tables
 * `gap_<class>` indexes the gap rows only. Version 1 had one table `batch`; its rows are in
 * `batch_v1` until store_open has moved them. */
#pragma once

#include "proto/topic.h"

/* What takes the file from PRAGMA user_version i to i+1; never changed, only appended to. */
extern const char *const store_migrations[];
extern const size_t store_n_migrations;

/* Those of a class: add the class. */
enum store_stmt {
	STORE_BEGIN,
	STORE_COMMIT,
	STORE_ROLLBACK,
	STORE_READ_META,
	STORE_MINT_META,
	STORE_WRITE_META,
	STORE_READ_CLASSES,
	STORE_WRITE_CLASS,
	STORE_READ_BOOTS,
	STORE_WRITE_BOOT,
	STORE_TRIM_BOOTS,
	STORE_READ_V1,
	STORE_DELETE_V1,
	STORE_QUARANTINE_TRIM,
	STORE_READ_TOTALS, /* of a class, as all below */
	STORE_NEWEST = STORE_READ_TOTALS + CLASS_COUNT,
	STORE_PUT_ROW = STORE_NEWEST + CLASS_COUNT,
	STORE_NEXT = STORE_PUT_ROW + CLASS_COUNT,
	STORE_PREVIOUS = STORE_NEXT + CLASS_COUNT,
	STORE_OLDEST = STORE_PREVIOUS + CLASS_COUNT,
	STORE_PEEK = STORE_OLDEST + CLASS_COUNT,
	STORE_GAPS = STORE_PEEK + CLASS_COUNT,
	STORE_DELETE = STORE_GAPS + CLASS_COUNT,
	STORE_QUARANTINE_COPY = STORE_DELETE + CLASS_COUNT,
	STORE_STMTS = STORE_QUARANTINE_COPY + CLASS_COUNT,
};

extern const char *const store_sql[STORE_STMTS];
