/* relay/stream/internal.h: what the files of this folder share. */
#pragma once

#include "base/db.h"
#include "relay/stream/age.h"
#include "relay/stream/gaps.h"
#include "relay/stream/stream.h"

extern const char *const stream_migrations[];
extern const size_t stream_n_migrations;

/* A row in the order that stream_row_of reads it. */
#define STREAM_SELECT                                                                              \
	"SELECT b.id, b.vehicle, b.device, b.epoch, b.class, b.seq, b.received, b.first, b.last, " \
	"b.catalog, b.samples, b.state, b.encoding, b.body, coalesce(u.quality, 2), "              \
	"coalesce(u.boot, 0), coalesce(u.clock, 0), coalesce(u.shift, 0), coalesce(u.news, 0) "
#define STREAM_FROM "FROM batch b LEFT JOIN unsure u ON u.batch = b.id "
#define GAP_COLUMNS                                                                                \
	"id, vehicle, device, epoch, class, from_seq, through_seq, reason, batches, samples, "     \
	"first, last, received, missing_through, missing, seqs"

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
	ST_FORGET_GAPS,
	ST_FORGET_GAP_TOTALS,
	ST_FORGET_CLOCKS,
	ST_FORGET_CONTEXTS,
	ST_PUT_CONTEXT,
	ST_LIMIT_CONTEXTS,
	ST_CONTEXTS,
	ST_OLD_WINDOW,
	ST_DELETE_WINDOW,
	ST_DELETE_TOTALS,
	ST_PUT_GAP,
	ST_SHRINK_GAP,
	ST_DELETE_GAP,
	ST_NEXT_GAP,
	ST_HAS_GAPS,
	ST_COUNT_GAP,
	ST_LIMIT_GAPS,
	ST_PRUNE_GAPS,
	ST_PUT_UNSURE,
	ST_PUT_TIMES,
	ST_PUT_SHIFT,
	ST_UNSURE,
	ST_PUT_CLOCK,
	ST_LIMIT_CLOCKS,
	ST_CLOCK,
	ST_NEXT_CLOCK,
	ST_CLOCK_DONE,
	ST_RAN,
	ST_PUT_RAN,
	ST_MARK,
	ST_LAST_MARK,
	ST_MARKED,
	ST_FORGET_MARKS,
	ST_MAX_KEYS,
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
/* Runs a statement with one parameter. */
int stream_run_with(sqlite3_stmt *st, int64_t arg) must_check;
/* e of a DELETE FROM batch: returns it, or how many rows went, and notes that. */
int stream_deleted(struct stream *s, int e) must_check;
/* Reads a device's counters with st, prepared from ST_DEVICE's text. */
int stream_read_device(sqlite3_stmt *st, int64_t device, struct stream_device *ret) must_check;
#define STREAM_DEVICE_SQL                                                                          \
	"SELECT last_seen, batches, samples, epoch FROM device_stats WHERE device = ?"

/* Of a statement that gives GAP_COLUMNS. Free what it gives. */
int stream_read_gap(sqlite3_stmt *st, struct stream_gap *ret) must_check;

/* ---- readers ---- */

enum reader_stmt {
	RD_BEGIN,
	RD_END,
	RD_DEVICE,
	RD_BOUNDS,
	RD_RANGE,
	RD_QUARANTINE,
	RD_LANES,
	RD_GAPS,
	RD_GAP_TOTALS,
	RD_CLOCKS,
	RD_STMTS,
};

struct stream_reader {
	sqlite3 *db;
	sqlite3_stmt *st[RD_STMTS];
};
