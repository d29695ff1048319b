/* The states in which the models of a section begin: what their bits were at the beginning of the
 * sections of all batches. How far to trust that (`seen`) is tried out: of some degrees, the one
 * under which the bits' histories would have cost least. */
#include "proto/columns_model.h"
#include "tools/dictionary/internal.h"

#include <math.h>

enum {
	EARLY = 12, /* how many times a bit may have been seen where it still counts as beginning */
	LEAST = 2,  /* observations without which a state stays as it is */
	STATES = sizeof(struct section_models) / sizeof(struct bit),
	STEPS = 4096, /* of a probability, in the table of costs */
};

static const uint8_t TRUST[] = {1, 2, 3, 5, 8, 12, 18, 30};

enum { TRUSTS = array_len(TRUST) };

struct watched {
	uint32_t ones, all;
	uint16_t p;    /* second walk: in which it would begin */
	uint16_t seen; /* of the bit itself, when last looked at */
	struct bit tried[TRUSTS];
	float cost[TRUSTS];
};

struct states {
	bool second;
	float bits[STEPS + 1]; /* -log2 of n / STEPS */
	struct watched watched[STATES];
};

/* observe() is told no more than the bit. */
static struct states *watching;
static const struct section_models *models;

static uint16_t mean(const struct watched *w)
{
	double p = (w->ones + 0.4) / (w->all + 0.8) * 65536;

	return p < 16 ? 16 : p > 65520 ? 65520 : (uint16_t)p;
}

void states_second(struct states *st)
{
	st->second = true;
	for (size_t i = 0; i < STATES; i++)
		st->watched[i].p = mean(&st->watched[i]);
}

static void begin_again(struct watched *w)
{
	for (size_t i = 0; i < TRUSTS; i++)
		w->tried[i] = (struct bit){.p = w->p, .seen = TRUST[i]};
}

/* The bit was made to forget: so are those that are tried. */
static void forget_too(struct watched *w, uint16_t seen)
{
	for (size_t i = 0; i < TRUSTS; i++)
		if (w->tried[i].seen > seen)
			w->tried[i].seen = seen;
}

static void try(struct states *st, struct watched *w, const struct bit *b, int value)
{
	if (b->seen == 0)
		begin_again(w);
	else if (b->seen < w->seen)
		forget_too(w, b->seen);
	w->seen = b->seen;
	for (size_t i = 0; i < TRUSTS; i++) {
		unsigned int p = w->tried[i].p / (65536 / STEPS);

		w->cost[i] += st->bits[value ? p : STEPS - p];
		bit_learn(&w->tried[i], value);
	}
}

static void observe(struct bit *b, int value)
{
	struct watched *w = &watching->watched[b - (const struct bit *)models];

	if (watching->second) {
		try(watching, w, b, value);
	} else if (b->seen < EARLY) {
		w->ones += value != 0;
		w->all++;
	}
}

int states_new(struct states **ret)
{
	struct states *st = calloc(1, sizeof(*st));

	if (!st)
		return -ENOMEM;
	for (int i = 0; i <= STEPS; i++)
		st->bits[i] = -log2f(((float)i + 0.1f) / STEPS);
	watching = st;
	range_observe = observe;
	*ret = st;
	return 0;
}

struct states *states_free(struct states *st)
{
	free(st);
	watching = NULL;
	range_observe = NULL;
	return NULL;
}

void states_models(const struct states *st, struct section_models *ret)
{
	struct bit *b = (struct bit *)ret;

	section_models_init(ret);
	for (size_t i = 0; i < STATES; i++) {
		const struct watched *w = &st->watched[i];
		size_t best = 0;

		if (w->all < LEAST)
			continue;
		for (size_t k = 1; k < TRUSTS; k++)
			if (w->cost[k] < w->cost[best])
				best = k;
		b[i] = (struct bit){.p = w->p, .seen = TRUST[best]};
	}
}

/* ---- sections that are looked at ---- */

static uint64_t train_number(struct section *s, struct number_model *m, uint64_t v)
{
	models = &s->models;
	return number(&s->range, CODE_TRAIN, m, v);
}

static bool train_flag(struct section *s, struct bit *b, bool v)
{
	models = &s->models;
	return range_bit(&s->range, CODE_TRAIN, b, v);
}

static void train_times(struct section *s, int64_t *t, size_t n, const int64_t *leader,
			size_t n_leader, const struct time_prior *prior)
{
	models = &s->models;
	times(s, CODE_TRAIN, t, n, leader, n_leader, prior);
}

static void train_column(struct section *s, struct column *c)
{
	models = &s->models;
	column(s, CODE_TRAIN, c);
}

const struct section_code section_training = {train_number, train_flag, train_times, train_column};
