/* What batches look like: for each message and signal, lists of what there was in each batch. */
#include "proto/columns_model.h"
#include "tools/dictionary/internal.h"

enum { RECENT = 6, TIMES_MAX = 4096 };

/* ---- lists ---- */

int list_add(struct list *l, int64_t v)
{
	if (l->n == l->max) {
		size_t max = l->max ? l->max * 2 : 16;
		int64_t *grown = realloc(l->v, max * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->v = grown;
		l->max = max;
	}
	l->v[l->n++] = v;
	return 0;
}

void list_free(struct list *l)
{
	free(l->v);
	*l = (struct list){0};
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int64_t list_median(struct list *l)
{
	qsort(l->v, l->n, sizeof(*l->v), by_value);
	return l->v[l->n / 2];
}

/* ---- all ---- */

int seen_init(struct seen *s, const struct catalog *cat)
{
	*s = (struct seen){.cat = cat};
	s->messages = calloc(cat->n_messages + 1, sizeof(*s->messages));
	s->signals = calloc(cat->n_signals + 1, sizeof(*s->signals));
	return s->messages && s->signals ? 0 : -ENOMEM;
}

void seen_free(struct seen *s)
{
	for (size_t i = 0; s->messages && i < s->cat->n_messages; i++) {
		struct message_seen *m = &s->messages[i];

		list_free(&m->rows);
		list_free(&m->times);
		list_free(&m->periods);
		for (size_t k = 0; k < m->n_candidates; k++)
			list_free(&m->candidates[k].offs);
	}
	for (size_t i = 0; s->signals && i < s->cat->n_signals; i++) {
		list_free(&s->signals[i].batches);
		list_free(&s->signals[i].firsts);
	}
	free(s->messages);
	free(s->signals);
}

/* ---- times ---- */

struct group {
	uint32_t message;
	size_t n;
	int64_t *times; /* units after the batch's first; at most TIMES_MAX */
};

struct walk {
	struct seen *seen;
	int64_t first_ns, unit_ns;
	struct group recent[RECENT + 1]; /* the last one is at hand */
	size_t n_recent;
};

static struct candidate *candidate(struct message_seen *m, uint32_t message)
{
	for (size_t i = 0; i < m->n_candidates; i++)
		if (m->candidates[i].message == message)
			return &m->candidates[i];
	if (m->n_candidates == CANDIDATES_MAX)
		return NULL;
	m->candidates[m->n_candidates] = (struct candidate){.message = message};
	return &m->candidates[m->n_candidates++];
}

static uint64_t rest_cost(const struct group *g, const struct group *leader)
{
	uint64_t all = section_times_cost(g->times, g->n, leader ? leader->times : NULL,
					  leader ? leader->n : 0);

	return all - section_times_cost(g->times, 1, leader ? leader->times : NULL,
					leader ? leader->n : 0);
}

static int take_candidates(struct walk *w, struct message_seen *m, const struct group *g)
{
	for (size_t i = 0; i + 1 < w->n_recent; i++) {
		const struct group *leader = &w->recent[i];
		struct candidate *c = candidate(m, leader->message);

		if (!c)
			return 0;
		if (list_add(&c->offs, g->times[0] - leader->times[0]) < 0)
			return -ENOMEM;
		c->cost += rest_cost(g, leader);
	}
	return 0;
}

/* The group at hand has all its rows. */
static int end_group(struct walk *w)
{
	struct group *g = &w->recent[w->n_recent - 1];
	struct message_seen *m = &w->seen->messages[g->message];
	uint64_t cost = rest_cost(g, NULL);

	m->batches++;
	m->cost += cost;
	if (g->n > 2) {
		m->lengths += cost;
		m->n_lengths += g->n - 2;
	}
	if (list_add(&m->rows, (int64_t)g->n - 1) < 0 || list_add(&m->times, g->times[0]) < 0 ||
	    (g->n > 1 && list_add(&m->periods, g->times[1] - g->times[0]) < 0))
		return -ENOMEM;
	return take_candidates(w, m, g);
}

static int begin_group(struct walk *w, uint32_t message)
{
	int r = w->n_recent ? end_group(w) : 0;

	if (r < 0)
		return r;
	if (w->n_recent == RECENT + 1) {
		free(w->recent[0].times);
		for (size_t i = 0; i < RECENT; i++)
			w->recent[i] = w->recent[i + 1];
		w->n_recent--;
	}
	w->recent[w->n_recent] =
		(struct group){.message = message, .times = calloc(TIMES_MAX, sizeof(int64_t))};
	return w->recent[w->n_recent++].times ? 0 : -ENOMEM;
}

/* The signal with the most values has the group's times. */
static void take_times(struct walk *w, const struct batch_column *col)
{
	struct group *g = &w->recent[w->n_recent - 1];

	if (col->n <= g->n)
		return;
	g->n = col->n < TIMES_MAX ? col->n : TIMES_MAX;
	for (size_t i = 0; i < g->n; i++)
		g->times[i] = (col->wall_ns[i] - w->first_ns) / w->unit_ns;
}

/* ---- signals ---- */

static int take_values(struct walk *w, const struct batch_column *col)
{
	const struct catalog_signal *signal = &w->seen->cat->signals[col->signal];
	struct signal_seen *s = &w->seen->signals[col->signal];
	struct column c = {.width = signal->bits,
			   .is_signed = signal->kind == SIGNAL_SIGNED,
			   .n = col->n,
			   .values = (uint64_t *)(uintptr_t)col->raw};
	enum column_kind kind;
	uint64_t bits;

	if (list_add(&s->batches, (int64_t)w->seen->batches) < 0 ||
	    list_add(&s->firsts, (int64_t)col->raw[0]) < 0)
		return -ENOMEM;
	if (col->n < 2)
		return 0;
	kind = best_kind(&c, &bits);
	s->kinds[kind]++;
	if (kind != COLUMN_CONSTANT) {
		s->lengths += bits;
		s->n_lengths += col->n - 1;
	}
	return 0;
}

static int take_column(void *ctx, const struct batch_column *col)
{
	struct walk *w = ctx;
	uint32_t message = w->seen->cat->signals[col->signal].message;
	int r = 0;

	if (w->n_recent == 0 || w->recent[w->n_recent - 1].message != message)
		r = begin_group(w, message);
	if (r < 0)
		return r;
	take_times(w, col);
	return take_values(w, col);
}

int seen_add(struct seen *s, struct batch *b)
{
	struct walk w = {.seen = s,
			 .first_ns = batch_first_wall_ns(b),
			 .unit_ns = batch_get_header(b)->time_unit_ns};
	struct error err;
	int r = batch_columns(b, s->cat, CATALOG_NONE, take_column, &w, &err);

	if (r == 0 && w.n_recent > 0)
		r = end_group(&w);
	for (size_t i = 0; i < w.n_recent; i++)
		free(w.recent[i].times);
	s->batches++;
	return r;
}
