#include "agent/store/range_set.h"

#include <string.h>

static void erase(struct range_set *s, size_t at, size_t n)
{
	memmove(&s->r[at], &s->r[at + n], (s->n - at - n) * sizeof(s->r[0]));
	s->n -= n;
}

static int insert(struct range_set *s, size_t at, struct receipt_range range)
{
	if (s->n == RANGE_SET_MAX)
		return -ENOBUFS;
	memmove(&s->r[at + 1], &s->r[at], (s->n - at) * sizeof(s->r[0]));
	s->r[at] = range;
	s->n++;
	return 0;
}

int range_set_add(struct range_set *s, struct receipt_range range)
{
	size_t at = 0, end;

	while (at < s->n && s->r[at].to < range.from && s->r[at].to + 1 < range.from)
		at++;
	for (end = at; end < s->n; end++) {
		if (s->r[end].from > range.to && s->r[end].from - 1 > range.to)
			break;
		if (s->r[end].from < range.from)
			range.from = s->r[end].from;
		if (s->r[end].to > range.to)
			range.to = s->r[end].to;
	}
	if (end == at)
		return insert(s, at, range);
	s->r[at] = range;
	erase(s, at + 1, end - at - 1);
	return 0;
}

int range_set_remove(struct range_set *s, uint64_t seq)
{
	for (size_t i = 0; i < s->n; i++) {
		struct receipt_range *r = &s->r[i];

		if (seq < r->from || seq > r->to)
			continue;
		if (r->from == r->to) {
			erase(s, i, 1);
		} else if (seq == r->from) {
			r->from++;
		} else if (seq == r->to) {
			r->to--;
		} else {
			int e = insert(s, i + 1, (struct receipt_range){seq + 1, r->to});

			if (e < 0)
				return e;
			s->r[i].to = seq - 1;
		}
		return 0;
	}
	return 0;
}

const struct receipt_range *range_set_find(const struct range_set *s, uint64_t seq)
{
	for (size_t i = 0; i < s->n; i++)
		if (seq >= s->r[i].from && seq <= s->r[i].to)
			return &s->r[i];
	return NULL;
}
