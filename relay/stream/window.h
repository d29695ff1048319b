/* relay/stream/window.h: a set of seqs as ranges; the one of a (device, epoch, class) holds all
 * that the relay has an answer for: what is stored, and what a recorded gap stands for.
 *
 * All through `through`, and ranges above it. A seq is never assumed and none is forgotten: what is
 * in the set is not stored again, what is not is not acknowledged. Every operation is O(ranges),
 * whatever their length. */
#pragma once

#include "base/bytes.h"
#include "proto/receipt.h"

enum {
	WINDOW_HAVE = 1, /* all of it is in the set */
	WINDOW_FULL = 2, /* it would take one more range than there may be; nothing was added */
};

enum {
	WINDOW_RANGES_MAX = 4096,
	/* Of a set of what is missing: between and around all ranges of a window, some times. */
	WINDOW_MISSING_MAX = 4 * WINDOW_RANGES_MAX,
};

/* Zero-initialised it is empty. */
struct window {
	uint64_t through;
	struct receipt_range *ranges; /* ascending, disjoint, not touching, above through + 1 */
	size_t n, cap;
	size_t max; /* of n; 0: WINDOW_RANGES_MAX */
};

void window_free(struct window *w); /* fits cleanup() */
bool window_has(const struct window *w, uint64_t seq);
uint64_t window_top(const struct window *w);   /* the highest seq in it; 0: none */
uint64_t window_count(const struct window *w); /* seqs in it */

/* Whether there is room for it: adding it does not give WINDOW_FULL. */
bool window_fits(const struct window *w, uint64_t from, uint64_t to);
/* seq and from are at least 1, to is not below from. Each returns 0; WINDOW_HAVE, WINDOW_FULL or
 * -ENOMEM with nothing changed. */
int window_add(struct window *w, uint64_t seq) must_check;
int window_add_range(struct window *w, uint64_t from, uint64_t to) must_check;
/* Takes out what of the range is in it. 0 or -ENOMEM with nothing changed. */
int window_remove_range(struct window *w, uint64_t from, uint64_t to) must_check;
/* All of b into a: 0; WINDOW_FULL or -ENOMEM, and a has a part of it. */
int window_add_all(struct window *a, const struct window *b) must_check;
/* The part of the range that is in w, or that is not: an empty *ret becomes it, with room for
 * WINDOW_MISSING_MAX ranges. 0 or -ENOMEM with *ret empty. */
int window_part(const struct window *w, uint64_t from, uint64_t to, struct window *ret) must_check;
int window_missing(const struct window *w, uint64_t from, uint64_t to,
		   struct window *ret) must_check;
/* The lowest hole between what is in the set: false where there is none. */
bool window_lowest_hole(const struct window *w, uint64_t *ret_from, uint64_t *ret_to);

/* The ranges above `through` as varints, for the tables. */
int window_encode(const struct window *w, struct buf *out) must_check;
/* Returns 0, -EBADMSG, -ENOMEM. w is freed and empty on failure. */
int window_decode(struct window *w, uint64_t through, const void *bytes, size_t len) must_check;

/* Describes the set between lo and hi as one receipt: ranges that meet [lo, hi], RECEIPT_RANGES_MAX
 * at most. Returns the seq to go on from with a further receipt, or 0 when all are told. */
uint64_t window_describe(const struct window *w, uint64_t lo, uint64_t hi, struct receipt *r);
