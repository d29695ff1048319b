#include "agent/store/seq_set.h"

#include <string.h>

void seq_set_free(struct seq_set *s)
{
	free(s->ranges);
	*s = (struct seq_set){0};
}

/* The first range that ends at seq or behind it. */
static size_t find(const struct seq_set *s, uint64_t seq)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ranges[mid].to < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool seq_set_has_range(const struct seq_set *s, uint64_t from, uint64_t to)
{
	size_t i = find(s, from);

	return i < s->n && s->ranges[i].from <= from && to <= s->ranges[i].to;
}

bool seq_set_has(const struct seq_set *s, uint64_t seq)
{
	return seq_set_has_range(s, seq, seq);
}

static int reserve(struct seq_set *s)
{
	size_t cap = s->cap ? 2 * s->cap : 64;
	struct receipt_range *r;

	if (s->n < s->cap)
		return 0;
	if (s->n == SEQ_SET_RANGES_MAX)
		return -ENOSPC;
	r = realloc(s->ranges, cap * sizeof(*r));
	if (!r)
		return -ENOMEM;
	s->ranges = r;
	s->cap = cap;
	return 0;
}

/* Takes in all ranges that meet or touch [from, to] as one. */
int seq_set_add(struct seq_set *s, uint64_t from, uint64_t to)
{
	size_t first = find(s, from > 0 ? from - 1 : 0), end = first;
	int r;

	assert(from <= to);
	while (end < s->n && (s->ranges[end].from <= to || s->ranges[end].from - 1 == to)) {
		from = s->ranges[end].from < from ? s->ranges[end].from : from;
		to = s->ranges[end].to > to ? s->ranges[end].to : to;
		end++;
	}
	if (end == first) {
		r = reserve(s);
		if (r < 0)
			return r;
	}
	memmove(s->ranges + first + 1, s->ranges + end, (s->n - end) * sizeof(*s->ranges));
	s->n = s->n - (end - first) + 1;
	s->ranges[first] = (struct receipt_range){from, to};
	return 0;
}
