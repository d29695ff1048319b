/* agent/publish/hole.h: finds out that the relay has forgotten what it gave receipts for.
 *
 * A relay that comes back without its disk, or with an old copy of it, acknowledges again from a
 * lower mark, and above the mark is a hole of rows that are not in the outbox any more. Its window
 * would never close: it has to be told that nothing will come (GAP_RECEIPTED).
 *
 * A late or replayed receipt has a lower mark too, and proves nothing. So a hole is suspected at
 * first, and proven by a receipt that still has it, and that names a row which did not exist when
 * it was suspected: that one was written after the receipts that closed the hole, and what a relay
 * has it keeps. Pure; one struct a class, zeroed at first. */
#pragma once

#include "proto/receipt.h"

struct hole {
	uint64_t from, to; /* suspected; from 0: none */
	uint64_t last;	   /* highest seq that was given then */
	uint64_t told;	   /* none up to here is told again, until the relay has it, or in this
			      connection */
};

enum { HOLE_PROVEN = 1 };
/* r: a receipt that was checked and applied. first: the lowest seq in the outbox, or last + 1;
 * last: the highest that was ever given. Returns 0, or HOLE_PROVEN with the hole: hole_told. */
int hole_check(struct hole *h, const struct receipt *r, uint64_t first, uint64_t last,
	       struct receipt_range *ret) must_check;
void hole_told(struct hole *h, const struct receipt_range *range);
/* A new connection: what was told may be told once more. */
void hole_reset(struct hole *h);
