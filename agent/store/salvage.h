/* agent/store/salvage.h: a damaged outbox is set aside, and what can be read of it taken over.
 *
 * Not through SQLite, which gives up where a page is damaged, but by its file format
 * (sqlite.org/fileformat2.html): first along the table's tree, in order, passing over what cannot
 * be read; then, if anything could not, every page that the tree did not reach, where a row's
 * checksum says that it is one. Pages in committed frames of the log count. Memory is bounded,
 * whatever the size of the file.
 *
 * In the order of a store_open (all paths are the outbox's):
 *   salvage_pending      finishes what a crash has interrupted
 *   salvage_set_aside    if the file turns out to be damaged
 *   a new file is made, and its epoch minted
 *   salvage_run          rows and gaps by callbacks, committed now and then
 *   salvage_finish       all is committed
 * A crash anywhere in it leaves `<path>.salvage`, so that the next start begins again: rows that
 * the new file has already, by their origin, are passed over. One thread. */
#pragma once

#include "agent/store/seal.h"
#include "agent/store/unsaved.h"
#include "proto/gap.h"
#include "proto/topic.h"

#include <sqlite3.h>

enum { SALVAGE_PATH_MAX = 4096 };

/* A damaged outbox under its new name, with its log at path-wal. */
struct salvage_aside {
	char path[SALVAGE_PATH_MAX];
	uint64_t epoch; /* that `<outbox>.unsaved` had noted; 0: not known */
	/* For salvage_run: epochs that were before it, of which it may have had rows that are
	 * nowhere to be read, nor what was told of them. 0: none. */
	uint64_t older[UNSAVED_OLDER];
};

enum { SALVAGE_PENDING = 1 };
/* Returns SALVAGE_PENDING with the oldest file that is set aside and not wholly taken over; 0:
 * there is none; -errno with err. To be called before the outbox is opened, and again after each
 * salvage_finish. */
int salvage_pending(const char *path, struct salvage_aside *ret, struct error *err) must_check;
/* Whether the outbox's log has commits behind a break, where SQLite takes it to end. After a power
 * cut that is as it may be; within a boot it is damage, and opening the file would give seqs a
 * second time. To be asked before the outbox is opened. */
bool salvage_log_is_broken(const char *path);
/* Renames the outbox and its log to `<path>.corrupt-<now_s>`. It must be closed, and
 * `<path>.unsaved` not yet cleared. Returns 0 or -errno with err. */
int salvage_set_aside(const char *path, int64_t now_s, struct salvage_aside *ret,
		      struct error *err) must_check;
/* There is nothing more to take over. Files that were set aside earlier are removed; this one stays
 * for whoever wants to look at it. */
int salvage_finish(const char *path, const struct salvage_aside *aside) must_check;

/* A boot as the damaged outbox knew it: wall time = mono time + offset_ms. */
struct salvage_boot {
	uint64_t boot_id;
	int64_t offset_ms;
	int64_t quality; /* enum clock_quality */
};

/* A row as it was stored; borrowed for the call. */
struct salvage_row {
	enum uplink_class class;
	/* What names it for the relay: of the damaged outbox, or of an earlier one that it was
	 * saved from already. */
	uint64_t origin_epoch, origin_seq;
	/* When it was stored: mono time of boot; boot NULL: wall time. */
	bool stored_is_known;
	int64_t stored_ms;
	const struct salvage_boot *boot;
	int64_t first_ms, span_ms; /* of its samples, as in enum row_column */
	uint64_t samples;
	uint32_t encoding; /* of a batch or another notice; gaps have a callback of their own */
	const void *body;  /* plain */
	size_t body_len;
};

/* What takes things over. Each returns 0, or -errno, which ends salvage_run with it; -ENOSPC leaves
 * what is committed, and `<path>.salvage` for the next start. */
struct salvage_sink {
	int (*row)(void *ctx, const struct salvage_row *row);
	/* from to gap->through of (class, origin_epoch) will not come. Rows in the range are known
	 * to be acknowledged, or lost. May come twice. */
	int (*gap)(void *ctx, enum uplink_class class, uint64_t origin_epoch, uint64_t from,
		   const struct gap *gap);
	/* A good moment to commit, and to begin the next transaction. */
	int (*commit)(void *ctx);
	void *ctx;
};

struct salvage_result {
	uint64_t epoch;		/* of the damaged file; 0: not known */
	uint64_t rows, samples; /* taken over */
	uint64_t raw_rows;	/* of these, found page by page */
	uint64_t known_rows;	/* passed over: taken over before */
	uint64_t unreadable;	/* rows seen that are damaged */
	uint64_t gaps;
	bool damaged; /* something could not be read */
};

/* db: the new outbox, asked for the origins that it has; seal: of the new outbox, with the keys of
 * the damaged one; NULL: none. Calls the sink; the last rows are not committed. Returns 0; -ENOKEY
 * with err: rows are encrypted by a key that is not there (nothing was called back: try again with
 * that key); the sink's -errno, -ENOMEM. What is damaged is no error. */
int salvage_run(const struct salvage_aside *aside, sqlite3 *db, struct seal *seal,
		const struct salvage_sink *sink, struct salvage_result *ret,
		struct error *err) must_check;
