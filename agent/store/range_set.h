/* agent/store/range_set.h: a few ranges of seqs, ascending, disjoint and not touching. */
#pragma once

#include "proto/receipt.h"

enum { RANGE_SET_MAX = 128 };

struct range_set {
	struct receipt_range r[RANGE_SET_MAX];
	size_t n;
};

/* Returns 0, or -ENOBUFS with nothing changed. from is at most to. */
int range_set_add(struct range_set *s, struct receipt_range range) must_check;
/* Takes one seq out; it may split a range. Returns 0, or -ENOBUFS. */
int range_set_remove(struct range_set *s, uint64_t seq) must_check;
/* The range that has seq, or NULL. Borrowed. */
const struct receipt_range *range_set_find(const struct range_set *s, uint64_t seq);
