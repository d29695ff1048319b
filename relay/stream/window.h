/* relay/stream/window.h: the set of seqs of one (device, epoch, class) that are stored.
 *
 * All through `through`, and ranges above it: what a vehicle dropped, or what is still on its way,
 * leaves a gap. A seq is never assumed: nothing is acknowledged that is not stored. None is
 * forgotten, so that nothing is stored twice, until there are more than WINDOW_RANGES_MAX gaps: a
 * vehicle that drops batches all the time must not end up refused for good. Then the lowest range
 * goes, whose batches were acknowledged thousands of gaps ago; one that came again all the same
 * would be stored again. */
#pragma once

#include "base/bytes.h"
#include "proto/receipt.h"

enum {
	WINDOW_HAVE = 1,   /* the seq is in the set */
	WINDOW_FORGOT = 2, /* added; for want of room the lowest range is not known any more */
};

enum { WINDOW_RANGES_MAX = 4096 };

struct window {
	uint64_t through;
	struct receipt_range *ranges; /* ascending, disjoint, not touching, above through + 1 */
	size_t n, cap;
};

void window_free(struct window *w);
bool window_has(const struct window *w, uint64_t seq);
/* Returns 0; WINDOW_FORGOT; WINDOW_HAVE or -ENOMEM with nothing added. seq is at least 1. */
int window_add(struct window *w, uint64_t seq) must_check;
/* Takes back an add. Adds must be taken back in reverse order: then it can not fail. What was
 * forgotten meanwhile stays so. */
void window_undo(struct window *w, uint64_t seq);

/* The ranges above `through` as varints, for the window table. */
int window_encode(const struct window *w, struct buf *out) must_check;
/* Returns 0, -EBADMSG, -ENOMEM. w is freed and empty on failure. */
int window_decode(struct window *w, uint64_t through, const void *bytes, size_t len) must_check;

/* Describes the set between lo and hi as one receipt: ranges that meet [lo, hi], RECEIPT_RANGES_MAX
 * at most. Returns the seq to go on from with a further receipt, or 0 when all are told. */
uint64_t window_describe(const struct window *w, uint64_t lo, uint64_t hi, struct receipt *r);
