/* tools/dictionary/priors.h: the halves of priors_make. */
#pragma once

#include "tools/dictionary/internal.h"

/* How many bits differences have: of one signal or message. */
struct lengths {
	uint32_t n[LENGTHS];
	uint8_t *shape; /* which it gets */
};

void lengths_count(struct lengths *l, int64_t off);
/* Sorts into n_shapes kinds. Returns 0 or -ENOMEM. */
int shapes_sort(struct lengths *all, size_t n, uint8_t n_shapes) must_check;

/* What is expected of first values: from which other signals, and with what differences. Returns 0
 * or -ENOMEM. */
int firsts_make(struct dictionary *d, const struct seen *seen) must_check;
