/* agent/store/seq_set.h: a set of seqs as ranges: much less than a word a seq, where they are
 * mostly neighbours. */
#pragma once

#include "proto/receipt.h"

enum { SEQ_SET_RANGES_MAX = 1 << 17 }; /* 2 MiB */

struct seq_set {
	struct receipt_range *ranges; /* ascending, disjoint, not touching */
	size_t n, cap;
};

void seq_set_free(struct seq_set *s);
bool seq_set_has(const struct seq_set *s, uint64_t seq);
/* Whether all of from to `to` is in it. */
bool seq_set_has_range(const struct seq_set *s, uint64_t from, uint64_t to);
/* from at most to. Returns 0, -ENOMEM, -ENOSPC: too many ranges, with s as it was. */
int seq_set_add(struct seq_set *s, uint64_t from, uint64_t to) must_check;
