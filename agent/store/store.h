/* agent/store/store.h: the outbox: batches on disk until the relay says that it has them.
 *
 * One SQLite file (WAL, synchronous=FULL): what a commit reported is there after a power cut. Rows
 * are named by (class, seq); seq is given inside the insert's transaction from a counter that is
 * stored beside the rows, so it never repeats within an epoch, whatever is deleted. One thread. */
#pragma once

#include "base/db.h"
#include "base/timebase.h"
#include "proto/receipt.h"

struct store;

enum { STORE_QUARANTINE_MAX = 64 }; /* rows; the oldest make room */

struct store_options {
	int64_t max_bytes;	/* quota of bodies and their overhead, not of the file */
	int64_t file_max_bytes; /* 0: none; hard bound of the file, which then is "full" */
	const struct timebase *tb;
};

/* Opens or creates path. A file that is not a database, or is damaged, is set aside as
 * `path.corrupt-<time>` and a new one with a new epoch takes its place; *ret_set_aside tells.
 * Returns 0, or -errno as db_open with err. */
int store_open(struct store **ret, const char *path, const struct store_options *opt,
	       bool *ret_set_aside, struct error *err) must_check;
struct store *store_close(struct store *s); /* NULL is fine; always returns NULL */

/* The file was found damaged (-EBADMSG) by a call other than store_open: leaves `path.suspect`, so
 * that the next store_open looks at every page, and sets the file aside if that finds damage. */
void store_suspect(struct store *s);

uint64_t store_epoch(const struct store *s);

struct store_totals {
	uint64_t rows, bytes, samples; /* in the outbox now */
};
struct store_totals store_totals(const struct store *s);

/* What is to be stored; body is borrowed. */
struct store_item {
	enum uplink_class class;
	uint64_t samples;
	uint32_t encoding;
	const void *body;
	size_t body_len;
};

/* A number of rows with what they held. */
struct store_count {
	uint64_t rows, samples;
};

/* Stores all items in one transaction. To stay within the quota it drops rows first: the oldest of
 * the least urgent class, never one more urgent than the newcomer; an item for which there is no
 * room even so is itself what is dropped. Returns 0 with what was accepted (all items) and what was
 * dropped for it; -ENOSPC (disk full), -EIO and other -errno: nothing has changed, try again later.
 */
int store_put(struct store *s, const struct store_item *items, size_t n,
	      struct store_count *ret_stored, struct store_count *ret_dropped) must_check;

/* Of this outbox file since it was made, so across restarts of the agent; committed together with
 * the rows that they count. stored = acked + dropped + quarantined + what is in the outbox. */
struct store_lifetime {
	uint64_t samples_stored, samples_acked, samples_dropped, samples_quarantined;
};
struct store_lifetime store_lifetime(const struct store *s);

/* Borrowed until the next call with this store. */
struct store_row {
	enum uplink_class class;
	uint64_t seq;
	uint64_t samples;
	uint32_t encoding;
	const void *body;
	size_t body_len;
};

enum { STORE_ROW = 1 };
/* The first row of a class with seq above after. Returns STORE_ROW, 0: none, or -errno. */
int store_next(struct store *s, enum uplink_class class, uint64_t after,
	       struct store_row *ret) must_check;
/* Ends the borrowing; what remains open would keep the write-ahead log from being recycled. */
void store_release(struct store *s);
/* The highest seq that was ever given; 0: none. */
uint64_t store_last_seq(const struct store *s, enum uplink_class class);

/* Deletes the rows of these ranges (inclusive), in one transaction: they are with the relay. */
int store_delete(struct store *s, enum uplink_class class, const struct receipt_range *ranges,
		 size_t n, struct store_count *ret) must_check;
/* The same, but they count as dropped: purged. */
int store_purge(struct store *s, enum uplink_class class, const struct receipt_range *range,
		struct store_count *ret) must_check;
/* Moves one row to the quarantine table. Rows 0 in ret: there is no such row. */
int store_quarantine(struct store *s, enum uplink_class class, uint64_t seq, int code,
		     struct store_count *ret) must_check;
