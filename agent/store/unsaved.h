/* agent/store/unsaved.h: how many batches could not be stored when the agent ended, where the disk
 * takes no more rows: a file of 4 KiB whose blocks are there since the outbox was opened.
 *
 * Each note has a random id. Whoever makes rows of it keeps that id in the database, in the same
 * transaction, and clears the note only afterwards: a crash in between leaves a note whose id the
 * database knows, so it counts once. */
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

struct unsaved {
	int fd; /* -1: not open */
	struct unsaved_note note;
};

#define UNSAVED_INIT ((struct unsaved){.fd = -1})

/* Opens or makes `<outbox>.unsaved`, and reads what it says: u->note, whose counts are 0 where
 * there is nothing to tell, or where the file was damaged (then *ret_damaged). Returns 0 or -errno
 * with err: then u takes no notes, which need not keep an outbox from working. */
int unsaved_open(struct unsaved *u, const char *outbox_path, bool *ret_damaged,
		 struct error *err) must_check;
void unsaved_close(struct unsaved *u); /* may not be open */

bool unsaved_is_empty(const struct unsaved *u);
/* Adds to the note, and has it on disk. Returns 0, -EBADF: not open, -errno: as before. */
int unsaved_add(struct unsaved *u, enum uplink_class class,
		const struct unsaved_count *count) must_check;
/* An empty note with a new id: at each opening, after what the old one says was committed as rows.
 * The outbox's epoch is noted beside, which salvaging needs and may not find in a damaged file. */
int unsaved_clear(struct unsaved *u, uint64_t epoch) must_check;
