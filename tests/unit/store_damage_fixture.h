/* tests/unit/store_damage_fixture.h: an outbox of which all that it was given is known, ways to
 * spoil its file, and a check that nothing of it is lost or there twice. */
#pragma once

#include "agent/store/store.h"

#include <check.h>
#include <sys/types.h>

enum {
	DAMAGE_PATH = 160,
	DAMAGE_SEQS = 200,		/* of a class, not reached */
	DAMAGE_PUTS = 220,		/* batches in an outbox that was made */
	DAMAGE_ROWS = DAMAGE_PUTS - 33, /* of these, what is not acknowledged */
};

struct damage_world {
	char path[DAMAGE_PATH]; /* of the outbox, alone in its folder */
	struct timebase_fake clk;
	uint64_t random;
	/* What the outbox was given: its first epoch, and by class and seq. */
	uint64_t epoch;
	uint64_t last_seq[CLASS_COUNT];
	bool acked[CLASS_COUNT][DAMAGE_SEQS];
	/* What damage_check_all_told found. */
	unsigned here[CLASS_COUNT][DAMAGE_SEQS]; /* times that it came out */
	bool in_gap[CLASS_COUNT][DAMAGE_SEQS];
	uint64_t n_rows, n_gaps;
};
extern struct damage_world dw;

/* The end of each program: runs the case in a new folder, over faulty_vfs, and removes the folder.
 * Returns main's status. */
int damage_run(const char *name, TCase *tc) must_check;

uint64_t damage_random(void);

/* ---- the outbox ---- */

/* With a history; its log is folded back. */
void damage_make_outbox(uint64_t seed);
/* As store_open; aborts on what no disk explains. */
int damage_open(struct store **ret, struct store_opened *opened, int64_t max_bytes);
struct store *damage_must_open(struct store_opened *opened); /* with 4 MiB */
/* One more batch. */
void damage_put(struct store *s, enum uplink_class class);
/* Every seq that was given is here once, in a gap, or acknowledged. */
void damage_check_all_told(struct store *s);

/* ---- its files ---- */

const char *damage_name(const char *suffix); /* dw.path with it; valid until the 4th call after */
off_t damage_size(const char *name);	     /* 0 where there is none */
void damage_touch(const char *name);
void damage_overwrite(const char *name, off_t at, const void *data, size_t len);
void damage_clear(void); /* removes all of them */

/* So that every page is looked at. */
void damage_suspect(void);
/* A tenth of the pages, the first ones spared: what is left can be opened, and is found damaged. */
void damage_some_pages(void);
