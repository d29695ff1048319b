/* tools/dictionary/internal.h: what the files of the trainer share. */
#pragma once

#include "tools/dictionary/train.h"

/* ---- a list of numbers that grows ---- */

struct list {
	int64_t *v;
	size_t n, max;
};

int list_add(struct list *l, int64_t v) must_check; /* 0 or -ENOMEM */
void list_free(struct list *l);
/* Sorts; n must not be 0. */
int64_t list_median(struct list *l);

/* ---- what batches look like ---- */

enum { CANDIDATES_MAX = 12 };

/* A message that another one's times may follow. */
struct candidate {
	uint32_t message;
	struct list offs; /* first time less the leader's, a batch each */
	uint64_t cost;	  /* bits of the other times */
};

struct message_seen {
	size_t batches;
	struct list rows, times, periods;
	uint64_t cost;		     /* bits of the times after the second, without a leader */
	uint64_t lengths, n_lengths; /* of these times' residuals */
	struct candidate candidates[CANDIDATES_MAX];
	size_t n_candidates;
};

struct signal_seen {
	size_t kinds[3]; /* by enum column_kind */
	uint64_t lengths, n_lengths;
	struct list batches, firsts; /* numbers of batches, and the first value in each */
};

struct seen {
	const struct catalog *cat;
	struct message_seen *messages;
	struct signal_seen *signals;
	size_t batches;
};

int seen_init(struct seen *s, const struct catalog *cat) must_check;
void seen_free(struct seen *s);
/* Adds a batch, decoded. Returns 0, -ENOMEM. */
int seen_add(struct seen *s, struct batch *b) must_check;

/* Fills messages, signals and their numbers; the models stay as nothing is known. What it
 * allocates is freed by dictionary_free's rules. Returns 0 or -ENOMEM. */
int priors_make(struct dictionary *d, const struct seen *s) must_check;

/* ---- states ---- */

struct states;
extern const struct section_code section_training;

/* Looks at every decision of sections written with section_training from now on, until
 * states_free. models: the builder's section's. One at a time. */
int states_new(struct states **ret) must_check;
struct states *states_free(struct states *st);
/* After the first walk over all batches: how sure the states are is found in a second one. */
void states_second(struct states *st);
void states_models(const struct states *st, struct section_models *ret);
