/* tests/unit/salvage_fixture.h: outboxes as their file format has them, made by SQL that is written
 * out here and not the agent's, and what salvaging gives of them. */
#pragma once

#include "agent/store/row.h"
#include "agent/store/salvage.h"
#include "agent/store/seq_set.h"

enum {
	SALVAGE_SEQS = 800, /* at most, in a class */
	SALVAGE_PAGE = 4096,
	SALVAGE_OUTBOX_PATH = 128,
};

#define SALVAGE_EPOCH UINT64_C(0xfedcba9876543210)

/* What the file has. */
struct made_row {
	bool was, is; /* stored once; not deleted since */
	uint64_t origin_epoch, origin_seq;
	uint32_t pages[12]; /* that it lies on, where dbstat was asked */
	size_t n_pages;
};

struct made {
	struct made_row rows[CLASS_COUNT][SALVAGE_SEQS + 1];
	uint64_t last_seq[CLASS_COUNT];
	uint64_t n_is;
};

/* What a sink was given. */
struct got {
	unsigned times[CLASS_COUNT][SALVAGE_SEQS + 1]; /* by (SALVAGE_EPOCH, seq) */
	struct seq_set gaps[CLASS_COUNT];	       /* of SALVAGE_EPOCH */
	uint64_t rows, bad, others, gap_calls;	       /* others: of other epochs */
	struct seq_set other_gaps[CLASS_COUNT];
	uint64_t commits;
	uint64_t ageless;    /* rows without a boot */
	uint64_t fail_after; /* rows; then -ENOSPC; 0: never */
	enum uplink_class last_class;
	uint64_t last_seq;
	bool in_order;
	sqlite3 *db; /* the new outbox, in memory */
};

struct salvage_draft {
	uint64_t seed;
	unsigned rows;	       /* inserts */
	unsigned transactions; /* among which they are spread */
	bool deletes;	       /* the oldest of each class, and some others */
	bool keep_log;	       /* as after a kill: the log is not folded back */
	bool origins;	       /* each fifth row was saved from another outbox before */
	struct seal *seal;     /* NULL: plain */
};

extern struct made made;
extern struct got got;

/* Makes the file (and its log) anew and fills made. */
void make_outbox(const char *path, const struct salvage_draft *d);
/* Fills in which pages rows lie on; the file must have no log. */
void find_pages(const char *path);
/* The body of a row, the same in every run; returns its length. */
size_t make_body(enum uplink_class class, uint64_t seq, uint8_t *out);
enum { BODY_MAX = 30000 };

/* A new outbox in memory; forgets what was got. */
void got_reset(void);
void got_free(void);
/* Salvages path into got. Returns salvage_run's result. */
int salvage_into(const char *path, uint64_t noted_epoch, struct seal *seal,
		 struct salvage_result *res);
/* Each row that there was is got once and as it was, or in a gap, and not both; of what was deleted
 * nothing is wrong. */
void check_all_told(void);
