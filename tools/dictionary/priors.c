/* What is expected of messages, from what was seen of them. */
#include "tools/dictionary/priors.h"
#include "proto/columns_model.h"

/* Bits of a difference in a number model, about: its length twice. */
static uint64_t cost_of(int64_t off)
{
	return bit_length(zigzag_encode(off)) * 2u + 1u;
}

static uint64_t spread(const struct list *l, int64_t expected)
{
	uint64_t cost = 0;

	for (size_t i = 0; i < l->n; i++)
		cost += cost_of(l->v[i] - expected);
	return cost;
}

static uint8_t mean_length(uint64_t lengths, uint64_t n)
{
	return n ? (uint8_t)((lengths + n / 2) / n) : 0;
}

/* A residual's zigzag is a bit longer than its magnitude. */
static uint8_t residual_mean(uint64_t lengths, uint64_t n)
{
	uint8_t zigzag = mean_length(lengths, n);

	return zigzag ? (uint8_t)(zigzag - 1) : 0;
}

static struct lengths lengths_of(const struct list *l, int64_t expected, uint8_t *shape)
{
	struct lengths lengths = {.shape = shape};

	for (size_t i = 0; i < l->n; i++)
		lengths_count(&lengths, l->v[i] - expected);
	return lengths;
}

/* The leader that would have saved most, if it was there nearly always. */
static void make_leader(struct dictionary_message *d, struct message_seen *m,
			struct lengths *lengths)
{
	uint64_t best = m->cost + spread(&m->times, d->times.time);

	d->leader = CATALOG_NONE;
	for (size_t i = 0; i < m->n_candidates; i++) {
		struct candidate *c = &m->candidates[i];
		int64_t off = list_median(&c->offs);
		uint64_t cost = c->cost + spread(&c->offs, off);

		if (c->offs.n * 10 < m->batches * 9 || cost >= best)
			continue;
		best = cost;
		d->leader = c->message;
		d->times.time_led = off;
		*lengths = lengths_of(&c->offs, off, &d->times.shape_led);
	}
}

static uint8_t how_sure(size_t times, size_t batches)
{
	if (times * 32 >= batches * 31)
		return 0;
	return times * 4 >= batches * 3 ? 1 : 2;
}

/* lengths: of first times, without and with the leader. */
static void make_message(struct dictionary_message *d, struct message_seen *m, size_t batches,
			 struct lengths lengths[2])
{
	d->presence = how_sure(m->batches, batches);
	d->rows = list_median(&m->rows);
	d->times.time = list_median(&m->times);
	lengths[0] = lengths_of(&m->times, d->times.time, &d->times.shape);
	lengths[1] = (struct lengths){.shape = &d->times.shape_led};
	if (m->periods.n)
		d->times.period = list_median(&m->periods);
	d->times.length = residual_mean(m->lengths, m->n_lengths);
	make_leader(d, m, &lengths[1]);
}

/* ---- signals ---- */

static uint8_t used(const struct signal_seen *s, const struct message_seen *m)
{
	if (s->batches.n == 0)
		return USED_NEVER;
	return s->batches.n * 32 >= m->batches * 31 ? USED_ALWAYS : USED_AT_TIMES;
}

static uint8_t likely_kind(const struct signal_seen *s)
{
	size_t best = 0, all = 0;

	for (size_t k = 0; k < array_len(s->kinds); k++) {
		all += s->kinds[k];
		if (s->kinds[k] > s->kinds[best])
			best = k;
	}
	return all ? (uint8_t)(best + 1) : 0;
}

static void make_signal(struct column_prior *d, const struct signal_seen *s,
			const struct message_seen *m, unsigned int width)
{
	d->used = used(s, m);
	d->class = (uint8_t)width_class(width);
	d->kind = likely_kind(s);
	d->length = residual_mean(s->lengths, s->n_lengths);
	if (d->used == USED_NEVER)
		d->kind = 0;
}

/* A message that most batches lack is better told when it comes. */
static bool is_expected(const struct message_seen *m, size_t batches)
{
	return m->batches * 2 >= batches && m->batches > 0;
}

static size_t count_signals(const struct seen *seen)
{
	size_t n = 0;

	for (size_t i = 0; i < seen->cat->n_messages; i++)
		n += is_expected(&seen->messages[i], seen->batches)
			     ? seen->cat->messages[i].n_signals
			     : 0;
	return n;
}

static void make_group(struct dictionary *d, const struct seen *seen, uint32_t message,
		       struct lengths lengths[2])
{
	const struct catalog_message *m = &seen->cat->messages[message];
	struct dictionary_message *to = &d->messages[d->n_messages++];

	*to = (struct dictionary_message){.message = message,
					  .first_entry = (uint32_t)d->n_signals};
	make_message(to, &seen->messages[message], seen->batches, lengths);
	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++)
		make_signal(&d->signals[d->n_signals++], &seen->signals[i],
			    &seen->messages[message], seen->cat->signals[i].bits);
}

int priors_make(struct dictionary *d, const struct seen *seen)
{
	struct lengths *lengths = calloc(seen->cat->n_messages * 2 + 1, sizeof(*lengths));
	int r;

	d->messages = calloc(seen->cat->n_messages + 1, sizeof(*d->messages));
	d->signals = calloc(count_signals(seen) + 1, sizeof(*d->signals));
	if (!lengths || !d->messages || !d->signals) {
		free(lengths);
		return -ENOMEM;
	}
	section_models_init(&d->models);
	for (uint32_t i = 0; i < seen->cat->n_messages; i++)
		if (is_expected(&seen->messages[i], seen->batches))
			make_group(d, seen, i, lengths + d->n_messages * 2);
	r = shapes_sort(lengths, d->n_messages * 2, TIME_SHAPES);
	free(lengths);
	return r < 0 ? r : firsts_make(d, seen);
}
