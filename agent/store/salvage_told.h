/* agent/store/salvage_told.h: what has become of each seq of the epochs that a
 * damaged outbox had rows of: taken over, in a gap, or missing. */
#pragma once

#include "agent/store/seq_set.h"
#include "proto/topic.h"

#include <sqlite3.h>

enum { SALVAGE_EPOCHS_MAX = 16, SALVAGE_TOLD_BEFORE = 1 };

struct salvage_epoch {
	uint64_t epoch;
	bool here;			    /* the damaged file has or had rows of it */
	struct seq_set taken[CLASS_COUNT];  /* rows that are in the new outbox */
	struct seq_set in_gap[CLASS_COUNT]; /* of gaps that are there */
};

struct salvage_told {
	struct salvage_epoch *at[SALVAGE_EPOCHS_MAX];
	size_t n;
};

/* Takes the origins of db's rows as taken over. Returns 0, -errno. */
int salvage_told_init(struct salvage_told *t, sqlite3 *db) must_check;
void salvage_told_free(struct salvage_told *t);

/* The damaged file has or had rows of this epoch. Returns 0, -ENOMEM. */
int salvage_told_here(struct salvage_told *t, uint64_t epoch) must_check;
bool salvage_told_any_here(const struct salvage_told *t);
/* A row is about to be taken over. Returns 0; SALVAGE_TOLD_BEFORE: it was, or a
 * gap has it; -ENOMEM. Of more than SALVAGE_EPOCHS_MAX epochs, or too many
 * ranges, nothing is remembered: the relay sees to it that nothing is stored
 * twice. */
int salvage_told_take(struct salvage_told *t, enum uplink_class class, uint64_t epoch,
		      uint64_t seq) must_check;
/* The same of a gap. */
int salvage_told_add_gap(struct salvage_told *t, enum uplink_class class, uint64_t epoch,
			 uint64_t from, uint64_t through) must_check;
typedef int salvage_on_missing(void *ctx, enum uplink_class class, uint64_t epoch, uint64_t from,
			       uint64_t to);
/* Calls cb with all seqs of a class that will not come, of the epochs that are
 * here: all that are neither taken nor in a gap, up to ROW_SEQ_MAX. Returns 0
 * or cb's -errno. */
int salvage_told_each_missing(const struct salvage_told *t, enum uplink_class class,
			      salvage_on_missing *cb, void *ctx) must_check;
