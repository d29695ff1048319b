#include "agent/store/schema.h"

#include "base/base.h"

/* batch.id is class << 48 | seq: one tree, rows of a class side by side and in order. */
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
};

const size_t store_n_migrations = array_len(store_migrations);

const char *const store_sql[STORE_STMTS] = {
	[STORE_READ_META] = "SELECT epoch FROM outbox WHERE id = 1",
	[STORE_MINT_META] = "INSERT INTO outbox (id, epoch, created_ns) VALUES (1, ?, ?)",
	[STORE_READ_CLASSES] = "SELECT class, last_seq, samples_stored, samples_acked,"
			       " samples_dropped, samples_quarantined FROM class_state",
	[STORE_WRITE_CLASS] = "INSERT OR REPLACE INTO class_state (class, last_seq, samples_stored,"
			      " samples_acked, samples_dropped, samples_quarantined)"
			      " VALUES (?, ?, ?, ?, ?, ?)",
	[STORE_READ_TOTALS] = "SELECT count(*), coalesce(sum(length(body)), 0),"
			      " coalesce(sum(samples), 0) FROM batch",
	[STORE_INSERT] = "INSERT INTO batch (id, created_ns, samples, encoding, body)"
			 " VALUES (?, ?, ?, ?, ?)",
	[STORE_DROP_OLDEST] = "DELETE FROM batch WHERE id ="
			      " (SELECT min(id) FROM batch WHERE id BETWEEN ? AND ?)"
			      " RETURNING samples, length(body)",
	[STORE_NEXT] = "SELECT id, samples, encoding, body FROM batch"
		       " WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1",
	[STORE_DELETE_RANGE] = "DELETE FROM batch WHERE id BETWEEN ? AND ?"
			       " RETURNING samples, length(body)",
	[STORE_QUARANTINE_COPY] = "INSERT INTO quarantine (batch_id, code, moved_ns, samples,"
				  " encoding, body) SELECT id, ?, ?, samples, encoding, body"
				  " FROM batch WHERE id = ?",
	[STORE_QUARANTINE_TRIM] = "DELETE FROM quarantine WHERE id <="
				  " (SELECT max(id) FROM quarantine) - ?",
};
