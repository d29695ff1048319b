#include "agent/source/can_filter.h"

/* Comparing each with each takes the square of these. */
enum { COVER_MAX = 4096 };

void can_filters_all(struct can_filters *ret)
{
	ret->filters[0] = (struct can_filter){0};
	ret->n = 1;
	ret->all = true;
}

static struct can_filter filter_of(const struct frame_match *m)
{
	uint32_t bits = m->extended ? CAN_EFF_MASK : CAN_SFF_MASK;

	return (struct can_filter){
		.can_id = (m->id & m->mask & bits) | (m->extended ? CAN_EFF_FLAG : 0),
		.can_mask = (m->mask & bits) | CAN_EFF_FLAG | CAN_RTR_FLAG,
	};
}

/* Wide masks first, so that what is covered comes behind what covers it. */
static int compare(const void *a, const void *b)
{
	const struct frame_match *x = a, *y = b;
	int wide = __builtin_popcount(x->mask) - __builtin_popcount(y->mask);

	if (wide)
		return wide;
	if (x->extended != y->extended)
		return x->extended ? 1 : -1;
	if (x->mask != y->mask)
		return x->mask < y->mask ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static size_t drop_equal(struct frame_match *m, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (kept == 0 || compare(&m[kept - 1], &m[i]) != 0)
			m[kept++] = m[i];
	return kept;
}

static bool covers(const struct frame_match *a, const struct frame_match *b)
{
	return a->extended == b->extended && (a->mask & b->mask) == a->mask &&
	       (b->id & a->mask) == (a->id & a->mask);
}

static size_t drop_covered(struct frame_match *m, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool covered = false;

		for (size_t k = 0; k < kept && !covered; k++)
			covered = covers(&m[k], &m[i]);
		if (!covered)
			m[kept++] = m[i];
	}
	return kept;
}

void can_filters_from(struct can_filters *ret, struct frame_match *matches, size_t n)
{
	if (n > 0)
		qsort(matches, n, sizeof(*matches), compare);
	n = drop_equal(matches, n);
	if (n <= COVER_MAX)
		n = drop_covered(matches, n);
	if (n > CAN_FILTERS_MAX) {
		can_filters_all(ret);
		return;
	}
	for (size_t i = 0; i < n; i++)
		ret->filters[i] = filter_of(&matches[i]);
	ret->n = n;
	ret->all = false;
}
