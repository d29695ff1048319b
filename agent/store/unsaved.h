/* agent/store/unsaved.h: what the outbox itself may not be able to say, in a file of 4 KiB beside
 * it whose blocks are there since it was made.
 *
 * The note: how many batches could not be stored when the agent ended, where the disk takes no more
 * rows. Each note has a random id. Whoever makes rows of it keeps that id in the database, in the
 * same transaction, and clears the note only afterwards: a crash in between leaves a note whose id
 * the database knows, so it counts once.
 *
 * The seqs: up to where they may have been given, whatever becomes of the database and its log.
 * Each has a sector and a checksum of its own. */
#pragma once

#include "base/base.h"
#include "proto/topic.h"

struct unsaved_count {
	uint64_t batches, samples;
};

struct unsaved_note {
	uint64_t id;	/* never 0 */
	uint64_t epoch; /* of the outbox; 0: a new file */
	struct unsaved_count by[CLASS_COUNT];
};

enum { UNSAVED_OLDER = 4 };

struct unsaved_seqs {
	uint64_t epoch; /* that they are of; 0: nothing is known */
	uint64_t boot;	/* in which this was noted */
	/* The outbox was closed, with just these as the last ones; else they are reserved, and may
	 * or may not have been given. */
	bool closed;
	uint64_t last[CLASS_COUNT];
	/* Of the outboxes before it that were set aside, the latest first: it may have rows and
	 * gaps of them. 0: none. */
	uint64_t older[UNSAVED_OLDER];
};

struct unsaved {
	int fd; /* -1: not open */
	struct unsaved_note note;
	struct unsaved_seqs seqs;
};

#define UNSAVED_INIT ((struct unsaved){.fd = -1})

/* Opens or makes `<outbox>.unsaved`, and reads what it says: counts are 0, or an epoch, where there
 * is nothing to tell or that sector was damaged. Returns 0 or -errno with err. */
int unsaved_open(struct unsaved *u, const char *outbox_path, struct error *err) must_check;
void unsaved_close(struct unsaved *u); /* may not be open */

bool unsaved_is_empty(const struct unsaved *u); /* the note */
/* Adds to the note, and has it on disk. Returns 0, -EBADF: not open, -errno: as before. */
int unsaved_add(struct unsaved *u, enum uplink_class class,
		const struct unsaved_count *count) must_check;
/* An empty note with a new id: at each opening, after what the old one says was committed as rows.
 * The outbox's epoch is noted beside, which salvaging needs and may not find in a damaged file. */
int unsaved_clear(struct unsaved *u, uint64_t epoch) must_check;
bool unsaved_gave_any(const struct unsaved_seqs *seqs);
/* Has the seqs on disk. Returns 0, -EBADF, -errno: *u is as before; the file may be either. */
int unsaved_set_seqs(struct unsaved *u, const struct unsaved_seqs *seqs) must_check;
