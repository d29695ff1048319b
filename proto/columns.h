/* proto/columns.h: the model behind a section: which decisions tell times and raw integers, and
 * how likely each is. proto/README.md has it step by step.
 *
 * Every function works in both directions, as the section was started: its in/out arguments are
 * read when encoding and written when decoding. */
#pragma once

#include "proto/range.h"

enum {
	LENGTHS = 65,	   /* bit lengths of 64-bit magnitudes: 0 to 64 */
	LENGTHS_NEAR = 16, /* those that are told in context */
	ACTIVITIES = 24,   /* see activity() */
	WIDTH_CLASSES = 4, /* see width_class() */
	KINDS = 4,	   /* see enum column_kind */
};

/* Numbers of which little is known beforehand. */
struct number_model {
	struct bit length[LENGTHS];
};

/* Differences between what a column holds and what was expected. */
struct residual_model {
	struct bit zero[ACTIVITIES][4];
	struct bit sign[3][4];
	struct bit length[ACTIVITIES][LENGTHS_NEAR];
	struct bit longer[LENGTHS];
	struct bit high[LENGTHS][4];
};

/* All that a section learns; each starts anew. */
struct section_models {
	struct number_model message, rows, leader, time, period, first[WIDTH_CLASSES],
		diff[WIDTH_CLASSES];
	struct bit alike[WIDTH_CLASSES];
	struct bit used[2];
	struct bit same, narrow;
	struct bit present[16];
	struct bit kind[WIDTH_CLASSES][KINDS];
	struct residual_model times[2], residuals[WIDTH_CLASSES];
};

struct section {
	struct range range;
	bool decoding;
	struct section_models models;
	uint64_t last_first[WIDTH_CLASSES];
};

void section_encode(struct section *s, struct buf *out);
void section_encode_end(struct section *s); /* errors are in out->failed */
void section_decode(struct section *s, const uint8_t *data, size_t len);

uint64_t section_number(struct section *s, struct number_model *m, uint64_t v);
bool section_flag(struct section *s, struct bit *b, bool v);

/* n times from 1, in units after the earliest of the batch, ascending. leader: the times of another
 * message, which this one may be in step with; n_leader 0: none. */
void section_times(struct section *s, int64_t *times, size_t n, const int64_t *leader,
		   size_t n_leader);
/* About how many bits that would take: to choose a leader. */
uint64_t section_times_cost(const int64_t *times, size_t n, const int64_t *leader, size_t n_leader);

/* One signal of a group. Goes from column to column of the group: what the one before left behind
 * is what the next one is expected to look like. */
struct column {
	unsigned int width; /* bits of the signal */
	bool is_signed;
	bool same;   /* the same rows have a value as in the column before */
	size_t rows; /* of the group */
	size_t n;    /* values, at most rows */
	uint64_t *values;
	size_t room; /* decoding: for how many values there is space; beyond it none is written */
	/* A byte a row. present: bit 0 says that there is a value; when encoding, bit 1 that the
	 * column before has one. near: what the column before did. */
	uint8_t *present;
	uint8_t *near;
};

/* Before the first column of a group with these times. */
void section_columns_start(struct column *c, const int64_t *times);
/* When decoding, n may come out as 0 or as more than there is room for: then the section is bad. */
void section_column(struct section *s, struct column *c);
