#include "agent/publish/hole.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The highest seq that the receipt says is stored. */
static uint64_t highest(const struct receipt *r)
{
	return r->n_ranges > 0 ? r->ranges[r->n_ranges - 1].to : r->acked_through;
}

int hole_check(struct hole *h, const struct receipt *r, uint64_t first, uint64_t last,
	       struct receipt_range *ret)
{
	uint64_t from = r->acked_through + 1;
	uint64_t end = r->n_ranges > 0 ? smaller(r->ranges[0].from, first) : first;

	if (r->acked_through >= h->told)
		h->told = 0; /* it has that gap; if it forgets once more, it is told once more */
	if (from >= end || from <= h->told) {
		h->from = 0;
		return 0;
	}
	if (h->from == 0 || from > h->to) {
		h->from = from;
		h->to = end - 1;
		h->last = last;
		return 0;
	}
	if (highest(r) <= h->last)
		return 0;
	*ret = (struct receipt_range){from, smaller(end - 1, h->to)};
	return HOLE_PROVEN;
}

void hole_told(struct hole *h, const struct receipt_range *range)
{
	h->told = range->to;
	h->from = 0;
}

void hole_reset(struct hole *h)
{
	*h = (struct hole){0};
}
