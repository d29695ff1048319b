#include "agent/store/schema.h"

#include "agent/store/seal_schema.h"
#include "base/base.h"

/* In the order of enum row_column. */
#define NUMBERS                                                                                    \
	"id, boot, stored_ms, first_ms, span_ms, samples, encoding, key, origin_epoch,"            \
	" origin_seq, acked, dropped, quarantined"
#define COLUMNS NUMBERS ", sum, body"
#define COLUMN_TYPES                                                                               \
	" boot INTEGER NOT NULL,"                                                                  \
	" stored_ms INTEGER NOT NULL,"                                                             \
	" first_ms INTEGER NOT NULL,"                                                              \
	" span_ms INTEGER NOT NULL,"                                                               \
	" samples INTEGER NOT NULL,"                                                               \
	" encoding INTEGER NOT NULL,"                                                              \
	" key INTEGER NOT NULL,"                                                                   \
	" origin_epoch INTEGER NOT NULL,"                                                          \
	" origin_seq INTEGER NOT NULL,"                                                            \
	" acked INTEGER NOT NULL,"                                                                 \
	" dropped INTEGER NOT NULL,"                                                               \
	" quarantined INTEGER NOT NULL,"                                                           \
	" sum INTEGER NOT NULL,"                                                                   \
	" body BLOB NOT NULL) STRICT;"

#define TABLE(class)                                                                               \
	"CREATE TABLE batch_" class " ("                                                           \
				    " id INTEGER PRIMARY KEY," COLUMN_TYPES                        \
				    "CREATE INDEX gap_" class " ON batch_" class " (id) WHERE "    \
										 "encoding = 2;"

const char *const store_migrations[] = {
	"CREATE TABLE outbox ("
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
	" body BLOB NOT NULL) STRICT;",

	/* unsaved_id: of the note (unsaved.h) that gaps were made of last. running_boot: who has
	 * opened it last; 0: nobody has noted its seqs yet. boot: wall = mono + offset_ms; id 0 is
	 * what version 1 stored, by wall time, of unknown quality. */
	"ALTER TABLE outbox ADD COLUMN unsaved_id INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE outbox ADD COLUMN running_boot INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE boot ("
	" id INTEGER PRIMARY KEY,"
	" boot_id INTEGER NOT NULL,"
	" offset_ms INTEGER NOT NULL,"
	" quality INTEGER NOT NULL) STRICT;"
	"INSERT INTO boot VALUES (0, 0, 0, 0);"
	"ALTER TABLE batch RENAME TO batch_v1;"
	"ALTER TABLE quarantine RENAME TO quarantine_v1;" TABLE("event") TABLE("live") TABLE(
		"bulk") TABLE("log")
		TABLE("status") "CREATE VIEW batch AS"
				" SELECT " NUMBERS " FROM batch_event UNION ALL"
				" SELECT " NUMBERS " FROM batch_live UNION ALL"
				" SELECT " NUMBERS " FROM batch_bulk UNION ALL"
				" SELECT " NUMBERS " FROM batch_log UNION ALL"
				" SELECT " NUMBERS " FROM batch_status;"
				/* code: enum gap_reason. A row of version 1 has no checksum: 0. */
				"CREATE TABLE quarantine ("
				" id INTEGER PRIMARY KEY AUTOINCREMENT,"
				" code INTEGER NOT NULL,"
				" moved_ns INTEGER NOT NULL,"
				" batch_id INTEGER NOT NULL," COLUMN_TYPES
				"INSERT INTO quarantine SELECT id, iif(code = 1000, 6, 5), "
				"moved_ns, batch_id, 0,"
				" moved_ns / 1000000, 0, 0, samples, encoding, 0, 0, 0, 0, 0, 0, "
				"0, body"
				" FROM quarantine_v1;"
				"DROP TABLE quarantine_v1;" SEAL_SCHEMA,
};

const size_t store_n_migrations = array_len(store_migrations);

#define OF_CLASS(stmt, before, after)                                                              \
	[(stmt) + CLASS_EVENT] = before "batch_event" after,                                       \
		  [(stmt) + CLASS_LIVE] = before "batch_live" after,                               \
		  [(stmt) + CLASS_BULK] = before "batch_bulk" after,                               \
		  [(stmt) + CLASS_LOG] = before "batch_log" after,                                 \
		  [(stmt) + CLASS_STATUS] = before "batch_status" after

static_assert(CLASS_COUNT == 5, "each class has a table");

const char *const store_sql[STORE_STMTS] = {
	[STORE_BEGIN] = "BEGIN IMMEDIATE",
	[STORE_COMMIT] = "COMMIT",
	[STORE_ROLLBACK] = "ROLLBACK",
	[STORE_READ_META] = "SELECT epoch, unsaved_id, running_boot FROM outbox WHERE id = 1",
	[STORE_MINT_META] = "INSERT INTO outbox (id, epoch, created_ns) VALUES (1, ?, ?)",
	[STORE_WRITE_META] = "UPDATE outbox SET unsaved_id = ?, running_boot = ? WHERE id = 1",
	[STORE_READ_CLASSES] = "SELECT class, last_seq, samples_acked, samples_dropped,"
			       " samples_quarantined FROM class_state",
	[STORE_WRITE_CLASS] = "INSERT OR REPLACE INTO class_state (class, last_seq, samples_stored,"
			      " samples_acked, samples_dropped, samples_quarantined)"
			      " VALUES (?, ?, ?, ?, ?, ?)",
	[STORE_READ_BOOTS] = "SELECT id, boot_id, offset_ms, quality FROM boot ORDER BY id DESC",
	[STORE_WRITE_BOOT] = "INSERT OR REPLACE INTO boot (id, boot_id, offset_ms, quality)"
			     " VALUES (?, ?, ?, ?)",
	[STORE_TRIM_BOOTS] = "DELETE FROM boot WHERE id <> 0 AND id NOT IN"
			     " (SELECT boot FROM batch)",
	[STORE_READ_V1] = "SELECT id, created_ns, samples, encoding, body FROM batch_v1"
			  " ORDER BY id LIMIT 1",
	[STORE_DELETE_V1] = "DELETE FROM batch_v1 WHERE id = ?",
	[STORE_QUARANTINE_TRIM] = "DELETE FROM quarantine WHERE id <="
				  " (SELECT max(id) FROM quarantine) - ?",
	OF_CLASS(
		STORE_READ_TOTALS,
		"SELECT count(*), coalesce(sum(length(body)), 0), coalesce(sum(samples), 0),"
		" coalesce(sum(encoding = 2), 0), coalesce(sum(encoding = 2 AND origin_seq = 0), 0)"
		" FROM ",
		""),
	OF_CLASS(STORE_NEWEST, "SELECT id, origin_seq, iif(encoding = 2, body, NULL) FROM ",
		 " ORDER BY id DESC LIMIT 1"),
	OF_CLASS(STORE_PUT_ROW, "INSERT OR REPLACE INTO ",
		 " (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
	OF_CLASS(STORE_NEXT, "SELECT " COLUMNS " FROM ",
		 " WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"),
	OF_CLASS(STORE_PREVIOUS, "SELECT " COLUMNS " FROM ",
		 " WHERE id < ? ORDER BY id DESC LIMIT 1"),
	OF_CLASS(STORE_OLDEST, "SELECT " COLUMNS " FROM ",
		 " WHERE encoding <> 2 AND id >= ? ORDER BY id LIMIT 1"),
	OF_CLASS(STORE_PEEK,
		 "SELECT id, samples, length(body), encoding, origin_seq,"
		 " iif(encoding = 2, body, NULL) FROM ",
		 " WHERE id BETWEEN ? AND ? ORDER BY id"),
	OF_CLASS(STORE_GAPS, "SELECT id, origin_seq FROM ", " WHERE encoding = 2 ORDER BY id"),
	OF_CLASS(STORE_DELETE, "DELETE FROM ", " WHERE id BETWEEN ? AND ?"),
	OF_CLASS(STORE_QUARANTINE_COPY, "INSERT INTO quarantine SELECT NULL, ?, ?, * FROM ",
		 " WHERE id = ?"),
};
