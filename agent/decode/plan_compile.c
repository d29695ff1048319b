/* Catalog to plan. Runs once; allocates. */
#include "agent/decode/plan_internal.h"

#include <string.h>

/* A growing array; failed is sticky and checked once. */
struct array {
	void *data;
	size_t size, n, cap;
	bool failed;
};

struct compiler {
	const struct catalog *cat;
	const uint8_t *wanted;
	struct plan *p;
	struct array ops, runs, muxes, intervals;
	struct array wants;  /* struct want, of one message */
	struct array starts; /* uint64_t, of one multiplexor */
	uint32_t *place;     /* of a multiplexor among its message's, by signal number */
};

/* A run with its condition, before it is put into the lists of its multiplexor. */
struct want {
	struct plan_run run;
	const struct catalog_signal *s; /* its first signal: has mux and ranges */
};

static void *array_add(struct array *a)
{
	size_t cap;
	void *data;

	if (a->n == a->cap) {
		cap = a->cap ? a->cap * 2 : 64;
		data = cap > UINT32_MAX ? NULL : reallocarray(a->data, cap, a->size);
		if (!data) {
			a->failed = true;
			return NULL;
		}
		a->data = data;
		a->cap = cap;
	}
	return (char *)a->data + a->size * a->n++;
}

void plan_op_set(struct plan_op *op, const struct catalog_signal *s, uint32_t signal)
{
	unsigned in_byte = s->start_bit % 8, bits = s->bits;
	unsigned lead = s->big_endian ? 7 - in_byte : in_byte; /* bits before it in its byte */
	unsigned byte = s->start_bit / 8, end = lead + bits;

	*op = (struct plan_op){.signal = signal, .byte = (uint16_t)byte, .big = s->big_endian};
	op->mask = UINT64_MAX >> (64 - bits);
	if (s->kind == SIGNAL_SIGNED)
		op->sign = (uint64_t)1 << (bits - 1);
	op->need = (uint16_t)(byte + (end + 7) / 8);
	if (end > 64)
		op->extra = (uint8_t)(end - 64);
	if (!s->big_endian)
		op->shift = (uint8_t)lead;
	else if (end <= 64)
		op->shift = (uint8_t)(64 - end);
	if (op->need <= 8)
		op->shift8 = (uint8_t)(s->big_endian ? 64 - byte * 8 - end : s->start_bit);
}

static bool same_condition(const struct catalog_signal *a, const struct catalog_signal *b)
{
	if (a->mux != b->mux)
		return false;
	if (a->mux == CATALOG_NONE)
		return true;
	if (a->n_mux_ranges != b->n_mux_ranges)
		return false;
	for (size_t i = 0; i < a->n_mux_ranges; i++)
		if (a->mux_ranges[i].from != b->mux_ranges[i].from ||
		    a->mux_ranges[i].to != b->mux_ranges[i].to)
			return false;
	return true;
}

/* Appends a signal's op to the last run, or starts a new one. */
static void add_signal(struct compiler *c, uint32_t signal)
{
	const struct catalog_signal *s = &c->cat->signals[signal];
	struct want *last = NULL;
	struct plan_op *op = array_add(&c->ops);

	if (!op)
		return;
	plan_op_set(op, s, signal);
	if (c->wants.n)
		last = (struct want *)c->wants.data + (c->wants.n - 1);
	if (!last || !same_condition(last->s, s)) {
		last = array_add(&c->wants);
		if (!last)
			return;
		*last = (struct want){.s = s, .run.first = (uint32_t)(c->ops.n - 1)};
	}
	last->run.n++;
	if (op->need > last->run.need)
		last->run.need = op->need;
}

static void add_run(struct compiler *c, struct plan_list *l, const struct plan_run *run)
{
	struct plan_run *r = array_add(&c->runs);

	if (!r)
		return;
	*r = *run;
	if (l->n++ == 0)
		l->first = (uint32_t)(c->runs.n - 1);
}

static bool selects(const struct catalog_signal *s, uint64_t raw)
{
	for (size_t i = 0; i < s->n_mux_ranges; i++)
		if (raw >= s->mux_ranges[i].from && raw <= s->mux_ranges[i].to)
			return true;
	return false;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void add_start(struct compiler *c, uint64_t from)
{
	uint64_t *p = array_add(&c->starts);

	if (p)
		*p = from;
}

/* Every value at which a run of this multiplexor begins or has ended. */
static void collect_starts(struct compiler *c, uint32_t mux)
{
	const struct want *w = c->wants.data;

	c->starts.n = 0;
	for (size_t i = 0; i < c->wants.n; i++) {
		if (w[i].s->mux != mux)
			continue;
		for (size_t k = 0; k < w[i].s->n_mux_ranges; k++) {
			const struct catalog_range *r = &w[i].s->mux_ranges[k];

			add_start(c, r->from);
			if (r->to < UINT64_MAX)
				add_start(c, r->to + 1);
		}
	}
	if (c->starts.n)
		qsort(c->starts.data, c->starts.n, sizeof(uint64_t), compare_u64);
}

static void add_interval(struct compiler *c, uint32_t mux, uint64_t from)
{
	const struct want *w = c->wants.data;
	struct plan_interval *iv = array_add(&c->intervals);

	if (!iv)
		return;
	*iv = (struct plan_interval){.from = from};
	for (size_t i = 0; i < c->wants.n; i++)
		if (w[i].s->mux == mux && selects(w[i].s, from))
			add_run(c, &iv->runs, &w[i].run);
}

/* Returns false when the intervals would need too many steps. */
static bool add_intervals(struct compiler *c, struct plan_mux *m)
{
	const uint64_t *start;

	collect_starts(c, m->op.signal);
	if ((uint64_t)c->starts.n * c->wants.n > PLAN_STEPS_MAX)
		return false;
	m->first = (uint32_t)c->intervals.n;
	start = c->starts.data;
	for (size_t i = 0; i < c->starts.n; i++)
		if (i == 0 || start[i] != start[i - 1])
			add_interval(c, m->op.signal, start[i]);
	m->n = (uint32_t)c->intervals.n - m->first;
	return true;
}

/* Adds those multiplexors whose own multiplexor is placed already. Returns how many. */
static size_t add_level(struct compiler *c, struct plan_message *m,
			const struct catalog_message *cm)
{
	size_t added = 0;

	for (uint32_t i = cm->first_signal; i < cm->first_signal + cm->n_signals; i++) {
		const struct catalog_signal *s = &c->cat->signals[i];
		struct plan_mux *mux;

		if (!s->is_mux || c->place[i] != CATALOG_NONE)
			continue;
		if (s->mux != CATALOG_NONE && c->place[s->mux] == CATALOG_NONE)
			continue;
		mux = array_add(&c->muxes);
		if (!mux)
			return 0;
		*mux = (struct plan_mux){.parent = CATALOG_NONE};
		plan_op_set(&mux->op, s, i);
		if (s->mux != CATALOG_NONE) {
			mux->parent = c->place[s->mux];
			mux->ranges = s->mux_ranges;
			mux->n_ranges = s->n_mux_ranges;
		}
		c->place[i] = m->n_muxes++;
		added++;
	}
	return added;
}

static size_t count_muxes(const struct compiler *c, const struct catalog_message *cm)
{
	size_t n = 0;

	for (uint32_t i = 0; i < cm->n_signals; i++)
		n += c->cat->signals[cm->first_signal + i].is_mux;
	return n;
}

/* Places the multiplexors, parents first, with their intervals; or decides to walk. */
static void compile_muxes(struct compiler *c, struct plan_message *m,
			  const struct catalog_message *cm)
{
	m->first_mux = (uint32_t)c->muxes.n;
	if (count_muxes(c, cm) > PLAN_MUXES_MAX) {
		m->walk = true;
		return;
	}
	while (add_level(c, m, cm) > 0)
		;
	for (uint32_t i = 0; i < m->n_muxes && !m->walk; i++)
		m->walk = !add_intervals(c, (struct plan_mux *)c->muxes.data + m->first_mux + i);
}

static void compile_message(struct compiler *c, uint32_t message)
{
	const struct catalog_message *cm = &c->cat->messages[message];
	struct plan_message *m = &c->p->messages[message];
	const struct want *w;

	c->wants.n = 0;
	m->first_op = (uint32_t)c->ops.n;
	for (uint32_t i = cm->first_signal; i < cm->first_signal + cm->n_signals; i++)
		if (!c->wanted || c->wanted[i])
			add_signal(c, i);
	m->n_ops = (uint32_t)c->ops.n - m->first_op;
	if (m->n_ops > c->p->samples_max)
		c->p->samples_max = m->n_ops;
	if (m->n_ops == 0)
		return;
	w = c->wants.data;
	for (size_t i = 0; i < c->wants.n; i++)
		if (w[i].s->mux == CATALOG_NONE)
			add_run(c, &m->always, &w[i].run);
	compile_muxes(c, m, cm);
}

/* The first message of a key keeps it. */
static void add_key(struct plan *p, uint64_t key, uint32_t message)
{
	size_t mask = ((size_t)1 << p->slot_bits) - 1;
	size_t i = plan_slot_of(p, key);

	while (p->slots[i].message != CATALOG_NONE) {
		if (p->slots[i].key == key)
			return;
		i = (i + 1) & mask;
	}
	p->slots[i] = (struct plan_slot){.key = key, .message = message};
}

static int compile_keys(struct plan *p)
{
	const struct catalog *cat = p->cat;
	size_t n;

	p->slot_bits = 4;
	while (((size_t)1 << p->slot_bits) < cat->n_messages * 4) /* two keys each, half full */
		p->slot_bits++;
	n = (size_t)1 << p->slot_bits;
	p->slots = calloc(n, sizeof(*p->slots));
	if (!p->slots)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		p->slots[i].message = CATALOG_NONE;
	for (uint32_t i = 0; i < cat->n_messages; i++) {
		const struct catalog_message *m = &cat->messages[i];

		if (m->status) {
			add_key(p, plan_key_status(m->bus), i);
			continue;
		}
		add_key(p, plan_key(m->bus, m->id, m->extended), i);
		if (!m->j1939 || !m->extended)
			continue;
		add_key(p, plan_key_pgn(m->bus, m->id), i);
		p->has_pgns = true;
	}
	return 0;
}

static void *array_release(struct array *a)
{
	void *data = a->data, *shrunk = a->n ? reallocarray(data, a->n, a->size) : NULL;

	a->data = NULL;
	return shrunk ? shrunk : data;
}

static void compiler_free(struct compiler *c)
{
	free(c->ops.data);
	free(c->runs.data);
	free(c->muxes.data);
	free(c->intervals.data);
	free(c->wants.data);
	free(c->starts.data);
	free(c->place);
}

static int compile_all(struct compiler *c)
{
	struct plan *p = c->p;

	c->place = calloc(c->cat->n_signals + 1, sizeof(*c->place));
	p->messages = calloc(c->cat->n_messages + 1, sizeof(*p->messages));
	if (!c->place || !p->messages)
		return -ENOMEM;
	for (size_t i = 0; i < c->cat->n_signals; i++)
		c->place[i] = CATALOG_NONE;
	for (uint32_t i = 0; i < c->cat->n_messages; i++)
		compile_message(c, i);
	if (c->ops.failed || c->runs.failed || c->muxes.failed || c->intervals.failed ||
	    c->wants.failed || c->starts.failed)
		return -ENOMEM;
	p->ops = array_release(&c->ops);
	p->runs = array_release(&c->runs);
	p->muxes = array_release(&c->muxes);
	p->intervals = array_release(&c->intervals);
	return compile_keys(p);
}

int plan_new(struct plan **ret, const struct catalog *cat, const uint8_t *wanted)
{
	struct compiler c = {
		.cat = cat,
		.wanted = wanted,
		.ops.size = sizeof(struct plan_op),
		.runs.size = sizeof(struct plan_run),
		.muxes.size = sizeof(struct plan_mux),
		.intervals.size = sizeof(struct plan_interval),
		.wants.size = sizeof(struct want),
		.starts.size = sizeof(uint64_t),
	};
	int r;

	c.p = calloc(1, sizeof(*c.p));
	if (!c.p)
		return -ENOMEM;
	c.p->cat = cat;
	r = compile_all(&c);
	compiler_free(&c);
	if (r < 0) {
		plan_free(c.p);
		return r;
	}
	*ret = c.p;
	return 0;
}

struct plan *plan_free(struct plan *p)
{
	if (!p)
		return NULL;
	free(p->slots);
	free(p->messages);
	free(p->ops);
	free(p->runs);
	free(p->muxes);
	free(p->intervals);
	free(p);
	return NULL;
}
