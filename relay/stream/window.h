/* relay/stream/window.h: the set of seqs of one (device, epoch, class) that are stored.
 *
 * All through `through`, and ranges above it: what a vehicle dropped, or what is still on its way,
 * leaves a gap. Exact: a seq is never forgotten nor assumed, so that nothing is acknowledged that
 * is not stored, and nothing is stored twice. */
#pragma once

#include "base/bytes.h"
#include "proto/receipt.h"

enum {
	WINDOW_HAVE = 1, /* the seq is in the set */
	WINDOW_FULL = 2, /* it would take one more range than WINDOW_RANGES_MAX */
};

enum { WINDOW_RANGES_MAX = 4096 };

struct window {
	uint64_t through;
	struct receipt_range *ranges; /* ascending, disjoint, not touching, above through + 1 */
	size_t n, cap;
};

void window_free(struct window *w);
bool window_has(const struct window *w, uint64_t seq);
/* Returns 0; WINDOW_HAVE or WINDOW_FULL with nothing added; -ENOMEM. seq is at least 1. */
int window_add(struct window *w, uint64_t seq) must_check;
/* Takes back an add. Adds must be taken back in reverse order: then it can not fail. */
void window_undo(struct window *w, uint64_t seq);

/* The ranges above `through` as varints, for the window table. */
int window_encode(const struct window *w, struct buf *out) must_check;
/* Returns 0, -EBADMSG, -ENOMEM. w is freed and empty on failure. */
int window_decode(struct window *w, uint64_t through, const void *bytes, size_t len) must_check;

/* Describes the set between lo and hi as one receipt: ranges that meet [lo, hi], RECEIPT_RANGES_MAX
 * at most. Returns the seq to go on from with a further receipt, or 0 when all are told. */
uint64_t window_describe(const struct window *w, uint64_t lo, uint64_t hi, struct receipt *r);
