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
	FIRST_SHAPES = 16, /* of what first values differ from what was expected */
	TIME_SHAPES = 8,   /* of what first times do */
	PRESENCES = 4,	   /* expected messages that are sure, likely, ...; and the end */
};

/* Whether a signal has values where its message has: what training saw. */
enum used { USED_UNKNOWN, USED_NEVER, USED_AT_TIMES, USED_ALWAYS, USES };

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

/* All that a section learns; each starts anew, or as a dictionary says. The order is that of a
 * dictionary's states. */
struct section_models {
	struct number_model message, rows, leader, time, period, first[WIDTH_CLASSES],
		diff[WIDTH_CLASSES];
	struct bit alike[WIDTH_CLASSES];
	struct bit used[USES][2];
	struct bit same, narrow;
	struct bit present[16];
	struct bit kind[WIDTH_CLASSES][KINDS];
	struct residual_model times[2], residuals[WIDTH_CLASSES];
	/* Format 1, of what a dictionary knows */
	struct bit expected[PRESENCES], led;
	struct number_model rows_off, period_off, time_off[TIME_SHAPES], first_off[FIRST_SHAPES];
	struct bit kind_off[KINDS][2];
};

/* What a dictionary expects of the times of a message. */
struct time_prior {
	int64_t period;
	int64_t time, time_led; /* the first, in the batch, or after the leader's first */
	uint8_t shape, shape_led;
	uint8_t length; /* of a typical residual */
};

/* What a dictionary expects of a column. */
struct column_prior {
	int64_t base;	  /* of the first value, without a reference */
	int64_t base_ref; /* with one: base_ref + (its first value * slope >> 16) */
	int32_t slope;
	uint16_t ref, slot; /* 1 + the slot of the reference; 1 + its own; 0: none */
	uint8_t shape, shape_ref;
	uint8_t kind;	/* 1 + enum column_kind; 0: nothing is known */
	uint8_t used;	/* below USES */
	uint8_t length; /* of a typical residual */
	uint8_t class;	/* of its residuals, below WIDTH_CLASSES */
};

/* A first value that others are expected from. */
struct slot {
	uint64_t value;
	uint64_t section; /* in which it was set */
};

struct section;
struct column;

/* The directions: what else there is to a section is the same in all. */
struct section_code {
	uint64_t (*number)(struct section *s, struct number_model *m, uint64_t v);
	bool (*flag)(struct section *s, struct bit *b, bool v);
	void (*times)(struct section *s, int64_t *t, size_t n, const int64_t *leader,
		      size_t n_leader, const struct time_prior *prior);
	void (*column)(struct section *s, struct column *c);
};
extern const struct section_code section_encoding, section_decoding, section_decoding_0;

struct section {
	struct range range;
	const struct section_code *code;
	struct section_models models;
	uint64_t last_first[WIDTH_CLASSES];
	/* With a dictionary, borrowed: where models start; NULL: as nothing is known. */
	const struct section_models *preset;
	struct slot *slots;
	uint64_t
		number; /* of sections so far: slots of others are void. No wrap brings them back */
};

void section_models_init(struct section_models *m); /* as nothing is known */
void section_encode(struct section *s, const struct section_code *code, struct buf *out);
void section_encode_end(struct section *s); /* errors are in out->failed */
void section_decode(struct section *s, const struct section_code *code, const uint8_t *data,
		    size_t len);

static inline uint64_t section_number(struct section *s, struct number_model *m, uint64_t v)
{
	return s->code->number(s, m, v);
}

static inline bool section_flag(struct section *s, struct bit *b, bool v)
{
	return s->code->flag(s, b, v);
}

/* n times from 1, in units after the earliest of the batch, ascending. leader: the times of another
 * message, which this one may be in step with; n_leader 0: none. prior: NULL: nothing is known. */
static inline void section_times(struct section *s, int64_t *times, size_t n, const int64_t *leader,
				 size_t n_leader, const struct time_prior *prior)
{
	s->code->times(s, times, n, leader, n_leader, prior);
}

/* About how many bits that would take: to choose a leader. */
uint64_t section_times_cost(const int64_t *times, size_t n, const int64_t *leader, size_t n_leader);

/* One signal of a group. Goes from column to column of the group: what the one before left behind
 * is what the next one is expected to look like. */
struct column {
	unsigned int width; /* bits of the signal */
	bool is_signed;
	const struct column_prior *prior; /* NULL: nothing is known */
	bool same;			  /* the same rows have a value as in the column before */
	size_t rows;			  /* of the group */
	size_t n;			  /* values, at most rows */
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
static inline void section_column(struct section *s, struct column *c)
{
	s->code->column(s, c);
}
