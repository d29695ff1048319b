#include "relay/stream/window.h"

#include <string.h>

void window_free(struct window *w)
{
	free(w->ranges);
	*w = (struct window){0};
}

/* Index of the first range that ends at or above seq; n where there is none. */
static size_t find_range(const struct window *w, uint64_t seq)
{
	size_t lo = 0, hi = w->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->ranges[mid].to < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool window_has(const struct window *w, uint64_t seq)
{
	size_t i;

	if (seq <= w->through)
		return true;
	i = find_range(w, seq);
	return i < w->n && w->ranges[i].from <= seq;
}

uint64_t window_top(const struct window *w)
{
	return w->n ? w->ranges[w->n - 1].to : w->through;
}

uint64_t window_count(const struct window *w)
{
	uint64_t n = w->through;

	for (size_t i = 0; i < w->n; i++)
		n += w->ranges[i].to - w->ranges[i].from + 1;
	return n;
}

/* Room for one more range. */
static int reserve(struct window *w)
{
	size_t cap = w->cap ? w->cap * 2 : 4;
	struct receipt_range *p;

	if (w->n < w->cap)
		return 0;
	p = realloc(w->ranges, cap * sizeof(*p));
	if (!p)
		return -ENOMEM;
	w->ranges = p;
	w->cap = cap;
	return 0;
}

static int insert_range(struct window *w, size_t i, uint64_t from, uint64_t to)
{
	int r = reserve(w);

	if (r < 0)
		return r;
	memmove(&w->ranges[i + 1], &w->ranges[i], (w->n - i) * sizeof(*w->ranges));
	w->ranges[i] = (struct receipt_range){.from = from, .to = to};
	w->n++;
	return 0;
}

/* Ranges i to j - 1. */
static void remove_ranges(struct window *w, size_t i, size_t j)
{
	if (i == j)
		return;
	memmove(&w->ranges[i], &w->ranges[j], (w->n - j) * sizeof(*w->ranges));
	w->n -= j - i;
}

static void raise_through(struct window *w, uint64_t to)
{
	size_t n = 0;

	w->through = to;
	while (n < w->n && w->ranges[n].from - 1 <= w->through) {
		if (w->ranges[n].to > w->through)
			w->through = w->ranges[n].to;
		n++;
	}
	remove_ranges(w, 0, n);
}

static bool is_full(const struct window *w)
{
	return w->n >= (w->max ? w->max : WINDOW_RANGES_MAX);
}

/* The first range that meets or touches [from, to], and the first after it that does not. */
static void find_touching(const struct window *w, uint64_t from, uint64_t to, size_t *ret_i,
			  size_t *ret_j)
{
	size_t j = find_range(w, from - 1);

	*ret_i = j;
	while (j < w->n && w->ranges[j].from - 1 <= to)
		j++;
	*ret_j = j;
}

bool window_fits(const struct window *w, uint64_t from, uint64_t to)
{
	size_t i, j;

	if (from - 1 <= w->through || !is_full(w))
		return true;
	find_touching(w, from, to, &i, &j);
	return i != j;
}

int window_add_range(struct window *w, uint64_t from, uint64_t to)
{
	size_t i, j;

	if (to <= w->through)
		return WINDOW_HAVE;
	if (from - 1 <= w->through) {
		raise_through(w, to);
		return 0;
	}
	find_touching(w, from, to, &i, &j);
	if (i == j)
		return is_full(w) ? WINDOW_FULL : insert_range(w, i, from, to);
	if (j == i + 1 && w->ranges[i].from <= from && w->ranges[i].to >= to)
		return WINDOW_HAVE;
	if (from < w->ranges[i].from)
		w->ranges[i].from = from;
	w->ranges[i].to = w->ranges[j - 1].to > to ? w->ranges[j - 1].to : to;
	remove_ranges(w, i + 1, j);
	return 0;
}

int window_add(struct window *w, uint64_t seq)
{
	return window_add_range(w, seq, seq);
}

/* What is through becomes a range where it is cut. */
static int lower_through(struct window *w, uint64_t from, uint64_t to)
{
	uint64_t old = w->through;

	w->through = from - 1;
	return to < old ? insert_range(w, 0, to + 1, old) : 0;
}

/* Range i loses [from, to], which it meets. */
static int cut_range(struct window *w, size_t i, uint64_t from, uint64_t to)
{
	struct receipt_range *r = &w->ranges[i];
	uint64_t end = r->to;

	if (r->from >= from && end <= to) {
		remove_ranges(w, i, i + 1);
		return 0;
	}
	if (r->from < from && end > to) {
		r->to = from - 1;
		return insert_range(w, i + 1, to + 1, end);
	}
	if (r->from < from)
		r->to = from - 1;
	else
		r->from = to + 1;
	return 0;
}

int window_remove_range(struct window *w, uint64_t from, uint64_t to)
{
	int r = reserve(w); /* a cut makes one more range at most */
	size_t i;

	if (r == 0 && from <= w->through)
		r = lower_through(w, from, to);
	while (r == 0) {
		i = find_range(w, from);
		if (i == w->n || w->ranges[i].from > to)
			break;
		r = cut_range(w, i, from, to);
	}
	return r;
}

int window_add_all(struct window *a, const struct window *b)
{
	int r = b->through ? window_add_range(a, 1, b->through) : 0;

	for (size_t i = 0; i < b->n && (r == 0 || r == WINDOW_HAVE); i++)
		r = window_add_range(a, b->ranges[i].from, b->ranges[i].to);
	return r == WINDOW_HAVE ? 0 : r;
}

/* ret has no ranges above these. */
static int append(struct window *ret, uint64_t from, uint64_t to)
{
	if (from == 1) {
		ret->through = to;
		return 0;
	}
	return insert_range(ret, ret->n, from, to);
}

/* The pieces of [from, to] that are in w, or that are not. */
static int pieces(const struct window *w, uint64_t from, uint64_t to, bool in, struct window *ret)
{
	uint64_t at = from; /* below it all is dealt with */
	int r = 0;

	*ret = (struct window){.max = WINDOW_MISSING_MAX};
	if (at <= w->through) {
		uint64_t end = w->through < to ? w->through : to;

		r = in ? append(ret, at, end) : 0;
		at = end + 1;
	}
	for (size_t i = find_range(w, at); r == 0 && i < w->n && at <= to; i++) {
		const struct receipt_range *p = &w->ranges[i];
		uint64_t first = p->from > at ? p->from : at, last = p->to < to ? p->to : to;

		if (p->from > to)
			break;
		if (in)
			r = append(ret, first, last);
		else if (first > at)
			r = append(ret, at, first - 1);
		at = last + 1;
	}
	if (r == 0 && !in && at <= to)
		r = append(ret, at, to);
	if (r < 0)
		window_free(ret);
	return r;
}

int window_part(const struct window *w, uint64_t from, uint64_t to, struct window *ret)
{
	return pieces(w, from, to, true, ret);
}

int window_missing(const struct window *w, uint64_t from, uint64_t to, struct window *ret)
{
	return pieces(w, from, to, false, ret);
}

bool window_lowest_hole(const struct window *w, uint64_t *ret_from, uint64_t *ret_to)
{
	if (!w->n)
		return false;
	*ret_from = w->through + 1;
	*ret_to = w->ranges[0].from - 1;
	return true;
}

int window_encode(const struct window *w, struct buf *out)
{
	uint64_t at = w->through;

	for (size_t i = 0; i < w->n; i++) {
		(void)buf_put_varint(out, w->ranges[i].from - at);
		(void)buf_put_varint(out, w->ranges[i].to - w->ranges[i].from);
		at = w->ranges[i].to;
	}
	return out->failed;
}

int window_decode(struct window *w, uint64_t through, const void *bytes, size_t len)
{
	/* SQLite gives NULL for an empty blob. */
	struct cursor c = cursor_of(len ? bytes : "", len);
	uint64_t at = through;

	*w = (struct window){.through = through};
	while (cursor_left(&c) > 0) {
		uint64_t gap = cursor_varint(&c), more = cursor_varint(&c);
		uint64_t from, to;
		int r = -EBADMSG;

		/* Ranges neither touch nor wrap, or the set would not be in its one form. */
		if (!c.failed && gap >= 2 && !__builtin_add_overflow(at, gap, &from) &&
		    !__builtin_add_overflow(from, more, &to) && w->n < WINDOW_MISSING_MAX)
			r = insert_range(w, w->n, from, to);
		if (r < 0) {
			window_free(w);
			return r;
		}
		at = to;
	}
	return 0;
}

uint64_t window_describe(const struct window *w, uint64_t lo, uint64_t hi, struct receipt *r)
{
	r->acked_through = w->through;
	r->n_ranges = 0;
	for (size_t i = find_range(w, lo); i < w->n && w->ranges[i].from <= hi; i++) {
		if (r->n_ranges == RECEIPT_RANGES_MAX)
			return w->ranges[i].from;
		r->ranges[r->n_ranges++] = w->ranges[i];
	}
	return 0;
}
