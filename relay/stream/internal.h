/* relay/stream/internal.h: what the files of this folder share. */
#pragma once

#include "base/db.h"
#include "relay/stream/stream.h"

extern const char *const stream_migrations[];
extern const size_t stream_n_migrations;

/* The columns of a row in the order that stream_row_of reads them. */
#define STREAM_COLUMNS                                                                             \
	"id, vehicle, device, epoch, class, seq, received, first, last, catalog, samples, state, " \
	"encoding, body"

enum stream_stmt {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_APPEND,
	ST_PUT_WINDOW,
	ST_PUT_DEVICE,
	ST_QUARANTINE,
	ST_QUARANTINE_TRIM,
	ST_RESOLVE,
	ST_PUT_STATE,
	ST_PUT_PROGRESS,
	ST_WINDOW,
	ST_DEVICE,
	ST_PROGRESS,
	ST_STATES,
	ST_AFTER,
	ST_WAITING,
	ST_WANTED,
	ST_PRUNE,
	ST_FORGET_ROWS,
	ST_FORGET_WINDOWS,
	ST_FORGET_DEVICES,
	ST_FORGET_STATE,
	ST_PRUNE_WINDOWS,
	ST_LIMIT_WINDOWS,
	ST_COUNT,
	ST_LAST_ID,
	ST_PAGES,
	ST_FREE_PAGES,
	ST_PAGE_SIZE,
	ST_STMTS,
};

struct stream {
	sqlite3 *db;
	sqlite3_stmt *st[ST_STMTS];
	uint64_t rows; /* as of the last commit, and what the open transaction adds */
	uint64_t rows_added;
	int64_t last_id;
	struct buf scratch;
};

struct stream_row stream_row_of(sqlite3_stmt *st);
int stream_walk(sqlite3_stmt *st, int (*cb)(void *ctx, const struct stream_row *row),
		void *ctx) must_check;
/* Reads a device's counters with st, prepared from ST_DEVICE's text. */
int stream_read_device(sqlite3_stmt *st, int64_t device, struct stream_device *ret) must_check;
#define STREAM_DEVICE_SQL                                                                          \
	"SELECT last_seen, batches, samples, epoch FROM device_stats WHERE device = ?"
