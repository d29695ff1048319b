/* agent/store/store.h: the outbox: batches on disk until the relay says that it has them.
 *
 * One SQLite file (WAL). Rows are named by (class, seq); seq is given inside the insert's
 * transaction, so it never repeats within an epoch, whatever is deleted. What cannot be kept is not
 * forgotten: a gap row (proto/gap.h) takes the place of dropped ones and is sent like a batch. Each
 * row carries a checksum, and is encrypted where there is a key. One thread. */
#pragma once

#include "agent/store/seal.h"
#include "base/db.h"
#include "base/timebase.h"
#include "proto/batch.h"
#include "proto/gap.h"
#include "proto/receipt.h"

struct store;

enum { STORE_QUARANTINE_MAX = 64 }; /* rows; the oldest make room */

struct store_options {
	int64_t max_bytes;		/* quota of bodies and their overhead, not of the file */
	int64_t file_max_bytes;		/* 0: none; hard bound of the file, which then is "full" */
	int64_t expire_ns[CLASS_COUNT]; /* older rows become gaps; 0: never */
	/* Bit 1 << class: a commit of such rows alone is on disk sync_ns later at most; else at
	 * once. Neither a kill -9 nor an end of the agent loses any; a power cut may lose the
	 * former. */
	unsigned relaxed;
	int64_t sync_ns;
	uint64_t boot_id;  /* of this boot, for ages and clocks */
	struct seal *seal; /* NULL: rows are not encrypted; borrowed */
	const struct timebase *tb;
};

/* A number of rows with what they held. Gaps count as no rows. */
struct store_count {
	uint64_t rows, samples;
};

struct store_dropped {
	struct store_count by[GAP_REASONS];
};

/* What opening found and did. */
struct store_opened {
	bool set_aside; /* the file was damaged: it is now path.corrupt-<time> */
	/* Not all of it is taken over: the disk is full or fails. The next store_open goes on. */
	bool unfinished;
	uint64_t salvaged_rows, salvaged_samples; /* taken over from it, or from an earlier one */
	uint64_t unreadable_rows;		  /* were seen in it, and are damaged */
	struct store_dropped dropped;		  /* to make room for these */
	uint64_t unsaved_batches; /* could not be written when the agent ended last; told as gaps */
};

/* Opens or creates path. A file that is not a database, or is damaged, is set aside, what can be
 * read of it is taken over, and a new epoch begins. Returns 0, or -errno as db_open with err:
 * -ENOTSUP for a file of a newer version; -ENOKEY: rows are encrypted and there is no key, or
 * another. Then nothing was touched. */
int store_open(struct store **ret, const char *path, const struct store_options *opt,
	       struct store_opened *ret_opened, struct error *err) must_check;
/* Commits what was put off. NULL is fine; always returns NULL. */
struct store *store_close(struct store *s);

/* The file was found damaged (-EBADMSG) by a call other than store_open: leaves `path.suspect`, so
 * that the next store_open looks at every page, and sets the file aside if that finds damage. */
void store_suspect(struct store *s);

/* True once each time that no new data key could be made, and the old one serves longer. */
bool store_key_trouble(struct store *s, struct error *ret);

uint64_t store_epoch(const struct store *s);

struct store_totals {
	uint64_t rows, bytes, samples; /* in the outbox now, gaps included (samples 0) */
	uint64_t gaps;		       /* of the rows */
};
struct store_totals store_totals(const struct store *s);

/* What is to be stored; body is borrowed. */
struct store_item {
	enum uplink_class class;
	uint64_t samples;
	int64_t first_ns,
		last_ns;   /* wall times of the samples, as the batch has them; 0: no samples */
	uint32_t encoding; /* enum envelope_encoding */
	const void *body;
	size_t body_len;
};

/* Stores all items in one transaction, together with what store_ack has put off. To stay within the
 * quota rows become gaps first: the oldest of the least urgent class, never one more urgent than
 * the newcomer; an item for which there is no room even so becomes a gap itself. Returns 0 with
 * what was accepted (all items) and what was dropped for it; -ENOSPC (disk full), -EIO and other
 * -errno: nothing has changed, try again later. */
int store_put(struct store *s, const struct store_item *items, size_t n,
	      struct store_count *ret_stored, struct store_dropped *ret_dropped) must_check;
/* A batch that never gets as far (it cannot be encoded): takes a seq, as a gap. Counts as stored
 * and dropped. */
int store_put_lost(struct store *s, enum uplink_class class, uint64_t samples,
		   enum gap_reason reason) must_check;
/* At the end, where the disk takes no rows: notes the number of batches in a small file that has
 * had its place on disk since store_open; the next store_open makes gaps of them. */
int store_note_unsaved(struct store *s, enum uplink_class class, uint64_t batches,
		       uint64_t samples) must_check;

/* The clock of this boot as it is known now, for the ages of rows. Cheap when nothing changed. */
int store_set_clock(struct store *s, int64_t wall_ns, int64_t mono_ns,
		    enum clock_quality q) must_check;
/* Turns rows that are older than their class is worth into gaps. ret_next: when to look again. */
int store_expire(struct store *s, struct store_dropped *ret, struct mono_time *ret_next) must_check;

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
	uint64_t through; /* seq, but for a gap of this epoch: the last one that it stands for */
	uint64_t samples;
	uint32_t encoding; /* enum envelope_encoding */
	const void *body;  /* as encoded, whatever is on disk */
	size_t body_len;
	uint64_t origin_epoch, origin_seq; /* 0: none. See proto/envelope.h */
	int64_t expires_ns;		   /* mono time; 0: does not */
};

enum { STORE_ROW = 1 };
/* The first row of a class with seq above after. One that fails its checksum is moved to the
 * quarantine, and a gap returned in its place. A gap that was returned grows no more. Returns
 * STORE_ROW, 0: none, or -errno. */
int store_next(struct store *s, enum uplink_class class, uint64_t after,
	       struct store_row *ret) must_check;
/* The lowest seq of a gap that store_next has not returned since it was made, or grew last; 0:
 * none. Gaps appear where rows were dropped, so also below what was returned already. */
uint64_t store_new_gap(const struct store *s, enum uplink_class class);
/* What store_next has moved to the quarantine since the last call. */
struct store_count store_corrupt_found(struct store *s);
/* Ends the borrowing; what remains open would keep the write-ahead log from being recycled. */
void store_release(struct store *s);
/* The highest seq that was ever given; 0: none. */
uint64_t store_last_seq(const struct store *s, enum uplink_class class);
/* The lowest seq that is in the outbox, or last_seq + 1; 1 where it cannot be read: nothing is
 * known to be gone. */
uint64_t store_first_seq(struct store *s, enum uplink_class class);

/* The rows of these ranges (inclusive) are with the relay. They are not returned any more; they are
 * deleted together, with a store_put, by store_flush, or once they are 1 MiB, so that no page is
 * written twice for it.
 * After a crash in between they are sent again, and the relay drops them. A gap goes when all that
 * it stands for is acknowledged. */
int store_ack(struct store *s, enum uplink_class class, const struct receipt_range *ranges,
	      size_t n, struct store_count *ret) must_check;
/* Commits what was put off, and sees to it that all that is committed is on disk. */
int store_flush(struct store *s) must_check;
/* As much of it as is due by store_flush_due. */
int store_tend(struct store *s) must_check;
/* When something is due (sync_ns, or 30 s after a receipt); false: nothing waits. */
bool store_flush_due(const struct store *s, struct mono_time *ret);
/* Deletes rows, with a gap in their place. */
int store_purge(struct store *s, enum uplink_class class, const struct receipt_range *range,
		enum gap_reason reason, struct store_count *ret) must_check;
/* Moves one row to the quarantine table, with a gap in its place; reason is kept with it. A gap is
 * deleted instead: there is no gap of a gap. Rows 0 in ret: there is no such row. */
int store_quarantine(struct store *s, enum uplink_class class, uint64_t seq, enum gap_reason reason,
		     struct store_count *ret) must_check;
/* The relay does not know what it gave receipts for (it lost its disk): a gap with GAP_RECEIPTED
 * for seqs that are not in the outbox any more. Returns 0; -EEXIST: some of them are. */
int store_put_receipted(struct store *s, enum uplink_class class,
			const struct receipt_range *range) must_check;
