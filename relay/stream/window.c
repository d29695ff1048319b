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

static void remove_range(struct window *w, size_t i)
{
	w->n--;
	memmove(&w->ranges[i], &w->ranges[i + 1], (w->n - i) * sizeof(*w->ranges));
}

static int insert_range(struct window *w, size_t i, uint64_t from, uint64_t to)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 4;
		struct receipt_range *p = realloc(w->ranges, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		w->ranges = p;
		w->cap = cap;
	}
	memmove(&w->ranges[i + 1], &w->ranges[i], (w->n - i) * sizeof(*w->ranges));
	w->ranges[i] = (struct receipt_range){.from = from, .to = to};
	w->n++;
	return 0;
}

/* seq == through + 1: the gap below the first range may have closed. */
static void advance(struct window *w, uint64_t seq)
{
	w->through = seq;
	if (w->n && w->ranges[0].from == seq + 1) {
		w->through = w->ranges[0].to;
		remove_range(w, 0);
	}
}

/* A range of its own for seq, at i. */
static int add_range(struct window *w, size_t i, uint64_t seq)
{
	int r;

	if (w->n < WINDOW_RANGES_MAX)
		return insert_range(w, i, seq, seq);
	remove_range(w, 0);
	r = insert_range(w, i > 0 ? i - 1 : 0, seq, seq);
	return r < 0 ? r : WINDOW_FORGOT;
}

int window_add(struct window *w, uint64_t seq)
{
	size_t i;
	bool joins_prev, joins_next;

	if (window_has(w, seq))
		return WINDOW_HAVE;
	if (seq == w->through + 1) {
		advance(w, seq);
		return 0;
	}
	i = find_range(w, seq);
	joins_prev = i > 0 && w->ranges[i - 1].to + 1 == seq;
	joins_next = i < w->n && w->ranges[i].from == seq + 1;
	if (joins_prev && joins_next) {
		w->ranges[i - 1].to = w->ranges[i].to;
		remove_range(w, i);
	} else if (joins_prev) {
		w->ranges[i - 1].to = seq;
	} else if (joins_next) {
		w->ranges[i].from = seq;
	} else {
		return add_range(w, i, seq);
	}
	return 0;
}

/* In reverse order of adds the state before had no more ranges than cap holds. */
static void must_insert(struct window *w, size_t i, uint64_t from, uint64_t to)
{
	int r;

	assert(w->n < w->cap);
	r = insert_range(w, i, from, to);
	assert(r == 0);
	(void)r;
}

void window_undo(struct window *w, uint64_t seq)
{
	size_t i;

	if (!window_has(w, seq))
		return; /* forgotten */
	if (seq <= w->through) {
		if (seq < w->through)
			must_insert(w, 0, seq + 1, w->through);
		w->through = seq - 1;
		return;
	}
	i = find_range(w, seq);
	struct receipt_range old = w->ranges[i];

	if (old.from == seq && old.to == seq) {
		remove_range(w, i);
	} else if (old.from == seq) {
		w->ranges[i].from++;
	} else {
		w->ranges[i].to = seq - 1;
		if (old.to > seq)
			must_insert(w, i + 1, seq + 1, old.to);
	}
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
		    !__builtin_add_overflow(from, more, &to) && w->n < WINDOW_RANGES_MAX)
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
