/* First values of columns: what they are expected to be, from nothing or from another signal's, and
 * what their differences to that look like.
 *
 * Wheels turn alike, counters count alike, one speed is in five messages, each time in another
 * unit: a straight line through what was seen of two signals tells one from the other. */
#include "proto/columns_model.h"
#include "tools/dictionary/priors.h"

#include <math.h>

enum {
	REFERENCES_MAX = 512, /* signals before it that one may be expected from */
	TRIED_BATCHES = 256,  /* in which they are compared */
	LEAST_BATCHES = 8,
	GAIN_BITS = 24, /* what a reference must save at least, and a quarter bit a batch */
};

struct line {
	int64_t base;
	int32_t slope; /* in 1/65536 */
};

struct first {
	uint32_t signal; /* of the catalog */
	unsigned int width;
	bool is_signed;
	const struct signal_seen *seen;
	struct column_prior *prior;
	uint64_t cost; /* without a reference */
};

struct firsts {
	struct first *all;
	size_t n;
	struct list offs, pairs_a, pairs_b;
};

static int64_t off(const struct first *f, int64_t v, int64_t expected)
{
	return (int64_t)extend((uint64_t)v - (uint64_t)expected, f->width, true);
}

static int64_t on_line(const struct line *l, int64_t ref)
{
	return (int64_t)((uint64_t)l->base +
			 (uint64_t)((int64_t)((uint64_t)ref * (uint64_t)(int64_t)l->slope) >> 16));
}

/* About what a well-fitting number model makes of it. */
static uint64_t cost_of(int64_t d)
{
	unsigned int length = bit_length(zigzag_encode(d));

	return length + (length > 0);
}

/* ---- without a reference ---- */

static uint64_t cost_at(const struct first *f, int64_t expected)
{
	uint64_t cost = 0;

	for (size_t i = 0; i < f->seen->firsts.n; i++)
		cost += cost_of(off(f, f->seen->firsts.v[i], expected));
	return cost;
}

/* Of a sorted list. */
static int64_t commonest(const struct list *l)
{
	int64_t best = l->v[0];
	size_t most = 0;

	for (size_t i = 0, n; i < l->n; i += n) {
		for (n = 1; i + n < l->n && l->v[i + n] == l->v[i];)
			n++;
		if (n > most) {
			most = n;
			best = l->v[i];
		}
	}
	return best;
}

static int make_alone(struct firsts *fs, struct first *f)
{
	int64_t median, often;

	fs->offs.n = 0;
	for (size_t i = 0; i < f->seen->firsts.n; i++)
		if (list_add(&fs->offs, f->seen->firsts.v[i]) < 0)
			return -ENOMEM;
	median = list_median(&fs->offs);
	often = commonest(&fs->offs);
	f->prior->base = cost_at(f, median) < cost_at(f, often) ? median : often;
	f->cost = cost_at(f, f->prior->base);
	return 0;
}

/* ---- with one ---- */

/* The first values of both in batches that have both. */
static int pair(struct firsts *fs, const struct first *f, const struct first *ref)
{
	const struct signal_seen *a = f->seen, *b = ref->seen;
	size_t k = 0;

	fs->pairs_a.n = 0;
	fs->pairs_b.n = 0;
	for (size_t i = 0; i < a->batches.n && fs->pairs_a.n < TRIED_BATCHES; i++) {
		while (k < b->batches.n && b->batches.v[k] < a->batches.v[i])
			k++;
		if (k == b->batches.n || b->batches.v[k] != a->batches.v[i])
			continue;
		if (list_add(&fs->pairs_a, a->firsts.v[i]) < 0 ||
		    list_add(&fs->pairs_b, b->firsts.v[k]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Sets the base for a slope, and returns what it costs. */
static uint64_t fit_base(struct firsts *fs, const struct first *f, struct line *l)
{
	uint64_t cost = 0;

	l->base = 0;
	fs->offs.n = 0;
	for (size_t i = 0; i < fs->pairs_a.n; i++)
		if (list_add(&fs->offs, off(f, fs->pairs_a.v[i], on_line(l, fs->pairs_b.v[i]))) < 0)
			return UINT64_MAX;
	l->base = list_median(&fs->offs);
	for (size_t i = 0; i < fs->offs.n; i++)
		cost += cost_of((int64_t)extend((uint64_t)fs->offs.v[i] - (uint64_t)l->base,
						f->width, true));
	return cost;
}

/* Least squares. False: it has none that makes sense. */
static bool fit_slope(const struct firsts *fs, int32_t *ret)
{
	double n = (double)fs->pairs_a.n, a = 0, b = 0, ab = 0, bb = 0, slope;

	for (size_t i = 0; i < fs->pairs_a.n; i++) {
		a += (double)fs->pairs_a.v[i];
		b += (double)fs->pairs_b.v[i];
	}
	a /= n;
	b /= n;
	for (size_t i = 0; i < fs->pairs_a.n; i++) {
		double db = (double)fs->pairs_b.v[i] - b;

		ab += ((double)fs->pairs_a.v[i] - a) * db;
		bb += db * db;
	}
	if (!(bb > 0))
		return false;
	slope = ab / bb * 65536;
	if (!(fabs(slope) >= 64 && fabs(slope) < INT32_MAX))
		return false;
	*ret = (int32_t)slope;
	return true;
}

struct choice {
	struct line line;
	const struct first *ref;
	uint64_t gain;
};

static int try_reference(struct firsts *fs, const struct first *f, const struct first *ref,
			 struct choice *best)
{
	struct line lines[2] = {{.slope = 65536}, {0}};
	size_t n_lines = 1, n;
	uint64_t alone;

	if (pair(fs, f, ref) < 0)
		return -ENOMEM;
	n = fs->pairs_a.n;
	if (n < LEAST_BATCHES)
		return 0;
	n_lines += fit_slope(fs, &lines[1].slope);
	/* In as many batches, and in none of those that lack the reference. */
	alone = f->cost * n / f->seen->firsts.n;
	for (size_t i = 0; i < n_lines; i++) {
		uint64_t cost = fit_base(fs, f, &lines[i]) + GAIN_BITS + n / 4;

		if (cost < alone && alone - cost > best->gain)
			*best = (struct choice){lines[i], ref, alone - cost};
	}
	return 0;
}

static bool is_informative(const struct first *f)
{
	return f->prior->used == USED_ALWAYS && f->cost * 2 >= f->seen->firsts.n;
}

static int make_reference(struct firsts *fs, size_t at, struct choice *best)
{
	size_t tried = 0;

	for (size_t i = at; i > 0 && tried < REFERENCES_MAX; i--) {
		const struct first *ref = &fs->all[i - 1];

		if (!is_informative(ref))
			continue;
		tried++;
		if (try_reference(fs, &fs->all[at], ref, best) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int make_references(struct firsts *fs, struct dictionary *d)
{
	for (size_t i = 0; i < fs->n; i++) {
		struct choice best = {.gain = 0};
		struct first *f = &fs->all[i];

		if (make_reference(fs, i, &best) < 0)
			return -ENOMEM;
		if (!best.ref)
			continue;
		if (best.ref->prior->slot == 0) {
			if (d->n_slots == DICTIONARY_SLOTS_MAX)
				continue;
			best.ref->prior->slot = (uint16_t)++d->n_slots;
		}
		f->prior->ref = best.ref->prior->slot;
		f->prior->base_ref = best.line.base;
		f->prior->slope = best.line.slope;
	}
	return 0;
}

/* Slots are numbered as their signals come. */
static int number_slots(struct firsts *fs, struct dictionary *d)
{
	uint16_t *numbers = calloc(d->n_slots + 1, sizeof(*numbers));
	uint16_t n = 0;

	if (!numbers)
		return -ENOMEM;
	for (size_t i = 0; i < fs->n; i++) {
		struct column_prior *p = fs->all[i].prior;

		if (p->ref)
			p->ref = numbers[p->ref];
		if (p->slot) {
			numbers[p->slot] = ++n;
			p->slot = n;
		}
	}
	free(numbers);
	return 0;
}

/* ---- shapes ---- */

static void count_alone(const struct first *f, struct lengths *l)
{
	*l = (struct lengths){.shape = &f->prior->shape};
	for (size_t i = 0; i < f->seen->firsts.n; i++)
		lengths_count(l, off(f, f->seen->firsts.v[i], f->prior->base));
}

static int count_led(struct firsts *fs, const struct first *f, const struct first *ref,
		     struct lengths *l)
{
	struct line line = {f->prior->base_ref, f->prior->slope};

	*l = (struct lengths){.shape = &f->prior->shape_ref};
	if (pair(fs, f, ref) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < fs->pairs_a.n; i++)
		lengths_count(l, off(f, fs->pairs_a.v[i], on_line(&line, fs->pairs_b.v[i])));
	return 0;
}

static const struct first *with_slot(const struct firsts *fs, uint16_t slot)
{
	for (size_t i = 0; i < fs->n; i++)
		if (fs->all[i].prior->slot == slot)
			return &fs->all[i];
	return &fs->all[0]; /* not reached: every reference has its slot */
}

static int make_shapes(struct firsts *fs)
{
	struct lengths *all = calloc(fs->n * 2 + 1, sizeof(*all));
	size_t n = 0;
	int r = all ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < fs->n; i++) {
		const struct first *f = &fs->all[i];

		count_alone(f, &all[n++]);
		if (f->prior->ref)
			r = count_led(fs, f, with_slot(fs, f->prior->ref), &all[n++]);
	}
	if (r == 0)
		r = shapes_sort(all, n, FIRST_SHAPES);
	free(all);
	return r;
}

/* ---- all ---- */

static void collect(struct firsts *fs, struct dictionary *d, const struct seen *seen)
{
	for (size_t i = 0; i < d->n_messages; i++) {
		const struct catalog_message *m = &seen->cat->messages[d->messages[i].message];

		for (uint32_t k = 0; k < m->n_signals; k++) {
			uint32_t signal = m->first_signal + k;
			const struct catalog_signal *s = &seen->cat->signals[signal];

			if (seen->signals[signal].firsts.n == 0)
				continue;
			fs->all[fs->n++] = (struct first){
				.signal = signal,
				.width = s->bits,
				.is_signed = s->kind == SIGNAL_SIGNED,
				.seen = &seen->signals[signal],
				.prior = &d->signals[d->messages[i].first_entry + k]};
		}
	}
}

int firsts_make(struct dictionary *d, const struct seen *seen)
{
	struct firsts fs = {.all = calloc(d->n_signals + 1, sizeof(*fs.all))};
	int r = fs.all ? 0 : -ENOMEM;

	if (r == 0)
		collect(&fs, d, seen);
	for (size_t i = 0; r == 0 && i < fs.n; i++)
		r = make_alone(&fs, &fs.all[i]);
	if (r == 0)
		r = make_references(&fs, d);
	if (r == 0)
		r = number_slots(&fs, d);
	if (r == 0)
		r = make_shapes(&fs);
	free(fs.all);
	list_free(&fs.offs);
	list_free(&fs.pairs_a);
	list_free(&fs.pairs_b);
	return r;
}
