/* agent/store/store_private.h: what the files of the outbox share. */
#pragma once

#include "agent/store/range_set.h"
#include "agent/store/row.h"
#include "agent/store/salvage.h"
#include "agent/store/schema.h"
#include "agent/store/store.h"
#include "agent/store/unsaved.h"

enum {
	STORE_PATH_MAX = 4096,
	STORE_ROW_OVERHEAD = 64, /* bytes of the other columns and of SQLite's cell, roughly */
	STORE_BODY_MAX = 16 << 20,
	STORE_GAPS_MAX = 128,		      /* of a class; beyond, neighbours become one */
	STORE_OPEN_GAPS = STORE_GAPS_MAX + 8, /* of a class; beyond, the oldest grows no more */
	STORE_ACKED_MANY = 1 << 20,	      /* bytes; see store_ack */
	STORE_BOOTS_MAX = 64, /* kept in memory; the age of rows of older ones is not known */
};

struct class_state {
	uint64_t last_seq;
	struct store_lifetime life;
	uint64_t gaps;			    /* of this epoch, so those that merge */
	bool touched;			    /* by the transaction, and not told by a row */
	int64_t open_gaps[STORE_OPEN_GAPS]; /* their ids; 0: none */
};

/* What a transaction changes; taken over when it has committed. */
struct working {
	struct class_state classes[CLASS_COUNT];
	struct store_totals totals;
	bool applied; /* what was acknowledged is deleted */
};

/* Acknowledged, and not deleted yet. */
struct acked_rows {
	struct range_set set;
	struct store_totals totals;
	uint64_t merging_gaps; /* of the gaps: those of this epoch */
};

/* wall = mono + offset, both ms. */
struct store_boot {
	int64_t id;
	uint64_t boot_id;
	int64_t offset_ms;
	enum clock_quality quality;
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *st[STORE_STMTS];
	bool prepared;
	bool is_new;  /* was made by this opening */
	bool follows; /* one that is set aside, and whose seqs may still be the ones noted */
	struct store_options opt;
	char path[STORE_PATH_MAX];
	char suspect[STORE_PATH_MAX]; /* the file that store_suspect leaves */
	uint64_t epoch;
	uint64_t unsaved_id, running_boot; /* as in the table outbox */
	struct working w;
	struct unsaved unsaved;
	uint64_t reserved[CLASS_COUNT]; /* seqs up to it are noted to be given */

	struct acked_rows acked[CLASS_COUNT];
	struct mono_time acked_at; /* the first of them */
	uint64_t apply_at; /* bytes of them that are deleted without waiting for an insert */

	bool sync_full;		      /* what `PRAGMA synchronous` says */
	bool unsynced;		      /* commits that are not on disk for sure */
	struct mono_time unsynced_at; /* the first of them */

	struct store_boot boots[STORE_BOOTS_MAX];
	size_t n_boots;
	int64_t boot;	 /* id of this one */
	bool boot_dirty; /* to be written with the next transaction */

	bool failed; /* nothing is to be written at the end */
	/* The last commit did, and may be found in the log all the same. */
	bool commit_failed;
	struct buf sealed, plain;
	struct store_count corrupt; /* found since store_corrupt_found */
};

/* A row as it was read; body borrowed from the statement. */
struct stored_row {
	int64_t col[ROW_COLUMNS];
	int64_t sum;
	const void *body;
	size_t body_len;
};

/* ---- store_txn.c ---- */

/* What a transaction has to be: on disk when it is committed, or soon. */
enum store_sync { STORE_LATER, STORE_NOW };

/* Begins; deletes what was acknowledged where apply says so. Returns 0, or -errno with nothing
 * begun. */
int store_begin(struct store *s, struct working *w, enum store_sync sync, bool apply) must_check;
/* r: how the work of the transaction went. Commits, or undoes everything. */
int store_finish(struct store *s, struct working *w, int r) must_check;
/* The disk is full: what the relay has makes room. Returns 0, or -errno: it did not. */
int store_make_space(struct store *s) must_check;
/* What is in the log goes to the file, and is on disk there. */
int store_fold_log(struct store *s);
/* fsync of the log. */
int store_sync(struct store *s) must_check;
bool store_is_relaxed(const struct store *s, enum uplink_class class);

static inline sqlite3_stmt *store_stmt(const struct store *s, enum store_stmt kind,
				       enum uplink_class class)
{
	return s->st[(unsigned)kind + (unsigned)class];
}

/* ---- store_row.c ---- */

/* Writes a row; sum and key are set. seal: whether body is to be encrypted. Does the totals; the
 * row must not be there. newest: last_seq and the counters of its class go into it. */
int store_write_row(struct store *s, struct working *w, int64_t col[static ROW_COLUMNS],
		    const void *body, size_t len, bool newest) must_check;
/* Runs a query of all columns to its first row, which is borrowed until the statement is reset.
 * Returns DB_ROW, DB_DONE, -errno. */
int store_step_row(sqlite3_stmt *st, struct stored_row *ret) must_check;
/* Whether the checksum is right. */
bool store_row_is_whole(const struct store *s, const struct stored_row *row);
/* Deletes one row, and takes it off the totals. */
int store_delete_row(struct store *s, struct working *w, enum uplink_class class,
		     const struct stored_row *row) must_check;

static inline bool row_is_gap(const struct stored_row *row)
{
	return row->col[ROW_ENCODING] == ENCODING_GAP;
}

static inline enum uplink_class row_class(int64_t id)
{
	return (enum uplink_class)((uint64_t)id >> ROW_SEQ_BITS);
}

/* ---- store_gap.c ---- */

/* A gap takes the place of a row, which is deleted. A row with an origin leaves a gap with it. */
int store_row_to_gap(struct store *s, struct working *w, const struct stored_row *row,
		     enum gap_reason reason) must_check;
/* A gap for seqs that have no row. gap->through is its end; origin_seq 0: of this epoch. */
struct store_gap {
	enum uplink_class class;
	uint64_t seq;
	uint64_t origin_epoch, origin_seq;
	struct gap gap;
};
int store_add_gap(struct store *s, struct working *w, const struct store_gap *g) must_check;
/* A newcomer that is not kept: takes a seq, as a gap. */
int store_lose_newcomer(struct store *s, struct working *w, enum uplink_class class,
			const struct gap *lost) must_check;
/* It was handed out, or is gone: it grows no more. */
void store_close_gap(struct class_state *c, int64_t id);
/* Within the class's bound again? Merges the oldest neighbours until it is. */
int store_bound_gaps(struct store *s, struct working *w, enum uplink_class class) must_check;
/* The end of a row's range: its seq, but for a gap of this epoch. A gap that cannot be read: its
 * seq. */
uint64_t store_row_through(const struct stored_row *row);

/* ---- store_put.c ---- */

/* Drops rows until there is room for bytes more; none that is more urgent than class. Returns 1; 0:
 * there is no room even so; -errno. */
int store_make_room(struct store *s, struct working *w, enum uplink_class class, uint64_t bytes,
		    struct store_dropped *dropped) must_check;

/* ---- store_age.c ---- */

/* Finds or makes the row of this boot. In a transaction. */
int store_enter_boot(struct store *s) must_check;
int store_write_boot(struct store *s) must_check;
/* Finds a boot by its boot_id, or adds it. In a transaction. */
int store_find_boot(struct store *s, const struct store_boot *boot, int64_t *ret_id) must_check;
int64_t store_now_ms(const struct store *s); /* mono */
/* How long ago a row was stored; false: nobody knows. */
bool store_row_age(const struct store *s, const int64_t col[static ROW_COLUMNS], int64_t *ret_ms);

/* ---- store_take.c ---- */

/* A row that cannot be read any more goes to the quarantine, with a gap in its place. */
int store_retire_corrupt(struct store *s, int64_t id) must_check;

/* ---- store_upgrade.c ---- */

/* Moves what version 1 left, some rows a transaction. */
int store_upgrade(struct store *s) must_check;

/* ---- store_rescue.c ---- */

/* Takes over what can be read of files that were set aside. -ENOKEY and others, with err. */
int store_rescue(struct store *s, struct store_opened *opened, struct error *err) must_check;

/* ---- store_recover.c ---- */

/* Tells by gaps what a crash, or an end of the agent on a full disk, has lost, and enters this
 * boot. ret_unsaved: batches of the latter. */
int store_recover(struct store *s, uint64_t *ret_unsaved) must_check;

/* ---- store_seqs.c ---- */

/* Whether what was read of the file can be what was noted of its seqs: 0, or -EBADMSG. */
int store_check_seqs(struct store *s) must_check;
/* Whether all that was committed in its log must be there: it was closed, or the power was not cut.
 */
bool store_log_was_whole(const struct store *s);
/* Before a commit: notes on disk the seqs that it gives, and some ahead. */
int store_reserve_seqs(struct store *s, const struct working *w) must_check;
/* At opening: what was noted and is not there becomes a gap. */
int store_tell_reserved(struct store *s, struct working *w, enum uplink_class class) must_check;
/* At the end, when all is on disk: no seq beyond the last was given. */
int store_close_seqs(struct store *s) must_check;

static inline void store_take_off(uint64_t *from, uint64_t n)
{
	*from = *from > n ? *from - n : 0;
}
