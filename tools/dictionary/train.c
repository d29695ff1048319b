#include "tools/dictionary/internal.h"

#include <string.h>

enum { BUILDER_SAMPLES = 1 << 18 };

struct row {
	int64_t t_ns;
	uint32_t message;
	uint16_t n;
	uint16_t log;
	size_t first; /* of its samples */
};

struct training {
	const struct catalog *cat;
	struct training_shape shape;
	struct row *rows;
	size_t n_rows, rows_max;
	struct sample *samples;
	size_t n_samples, samples_max;
	uint16_t log;
	/* a walk */
	struct batch_builder *builder;
	int64_t *next; /* of each message, when thinned */
	struct buf body;
};

int training_new(struct training **ret, const struct catalog *cat,
		 const struct training_shape *shape)
{
	struct training *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->cat = cat;
	t->shape = *shape;
	t->body = BUF_INIT(64 << 20);
	t->next = calloc(cat->n_messages + 1, sizeof(*t->next));
	if (!t->next ||
	    batch_builder_new(&t->builder, cat, BUILDER_SAMPLES, shape->time_unit_ns) < 0) {
		training_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct training *training_free(struct training *t)
{
	if (!t)
		return NULL;
	batch_builder_free(t->builder);
	buf_free(&t->body);
	free(t->rows);
	free(t->samples);
	free(t->next);
	free(t);
	return NULL;
}

static int grow(void **array, size_t *max, size_t n, size_t size)
{
	size_t more = *max ? *max : 4096;
	void *grown;

	while (more < n)
		more *= 2;
	if (more == *max)
		return 0;
	grown = realloc(*array, more * size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*max = more;
	return 0;
}

int training_add(struct training *t, uint32_t message, int64_t mono_ns,
		 const struct sample *samples, size_t n)
{
	if (n == 0)
		return 0;
	if (n > TRAINING_SAMPLES_MAX - t->n_samples)
		return -E2BIG;
	if (grow((void **)&t->rows, &t->rows_max, t->n_rows + 1, sizeof(*t->rows)) < 0 ||
	    grow((void **)&t->samples, &t->samples_max, t->n_samples + n, sizeof(*t->samples)) < 0)
		return -ENOMEM;
	t->rows[t->n_rows++] = (struct row){.t_ns = mono_ns,
					    .message = message,
					    .n = (uint16_t)n,
					    .log = t->log,
					    .first = t->n_samples};
	memcpy(t->samples + t->n_samples, samples, n * sizeof(*samples));
	t->n_samples += n;
	return 0;
}

void training_next_log(struct training *t)
{
	t->log++;
}

/* ---- walks over all batches ---- */

struct walk {
	struct training *t;
	int (*each)(struct walk *w); /* the builder holds a batch */
	int64_t opened;
	size_t batches, samples;
	uint64_t bytes;
	struct seen *seen;
};

static bool thinned_out(struct training *t, const struct row *row)
{
	int64_t period = t->shape.hz > 0 ? (int64_t)(1e9 / t->shape.hz) : 0;
	int64_t *next = &t->next[row->message];

	if (period == 0)
		return false;
	if (*next != 0 && row->t_ns < *next)
		return true;
	*next = *next == 0 ? row->t_ns : *next;
	*next += (row->t_ns - *next) / period * period + period;
	return false;
}

static int finish(struct walk *w)
{
	struct batch_builder *b = w->t->builder;
	int r = 0;

	if (batch_builder_count(b) > 0) {
		w->batches++;
		w->samples += batch_builder_count(b);
		r = w->each(w);
	}
	batch_builder_reset(b);
	return r;
}

static int walk_row(struct walk *w, const struct row *row)
{
	struct training *t = w->t;
	int r = 0;

	while (r == 0 && row->t_ns >= w->opened + t->shape.batch_ns) {
		r = finish(w);
		w->opened += (row->t_ns - w->opened) / t->shape.batch_ns * t->shape.batch_ns;
	}
	if (r < 0 || thinned_out(t, row))
		return r;
	if (batch_builder_add(t->builder, row->message, row->t_ns, t->samples + row->first,
			      row->n) == 0)
		return 0;
	r = finish(w);
	return r < 0 ? r
		     : batch_builder_add(t->builder, row->message, row->t_ns,
					 t->samples + row->first, row->n);
}

/* Rows of one log, from `skip_ns` after its first on. */
static int walk_log(struct walk *w, const struct row *rows, size_t n, int64_t skip_ns)
{
	struct training *t = w->t;
	size_t i = 0;
	int r = 0;

	while (i < n && rows[i].t_ns - rows[0].t_ns < skip_ns)
		i++;
	if (i == n)
		return 0;
	memset(t->next, 0, t->cat->n_messages * sizeof(*t->next));
	w->opened = rows[i].t_ns;
	for (; r == 0 && i < n; i++)
		r = walk_row(w, &rows[i]);
	return r < 0 ? r : finish(w);
}

static int walk_from(struct walk *w, int64_t skip_ns)
{
	struct training *t = w->t;
	size_t from = 0;
	int r = 0;

	while (r == 0 && from < t->n_rows) {
		size_t end = from;

		while (end < t->n_rows && t->rows[end].log == t->rows[from].log)
			end++;
		r = walk_log(w, t->rows + from, end - from, skip_ns);
		from = end;
	}
	return r;
}

/* All batches, from several beginnings when there are few. */
static int walk(struct walk *w)
{
	struct training *t = w->t;
	size_t starts;
	int r = walk_from(w, 0);

	if (r < 0 || w->batches == 0)
		return r;
	starts = (TRAINING_BATCHES + w->batches - 1) / w->batches;
	if (starts > TRAINING_STARTS_MAX)
		starts = TRAINING_STARTS_MAX;
	for (size_t i = 1; r == 0 && i < starts; i++)
		r = walk_from(w, t->shape.batch_ns * (int64_t)i / (int64_t)starts);
	return r;
}

/* ---- what is done with each ---- */

static int encode(struct walk *w)
{
	struct training *t = w->t;
	struct batch_header h = {.catalog_id = t->cat->id,
				 .mono_base_ns = batch_builder_first_ns(t->builder)};
	uint32_t encoding;
	int r;

	buf_clear(&t->body);
	r = batch_builder_encode(t->builder, &h, &t->body, &encoding);
	w->bytes += t->body.len;
	return r;
}

static int look_at(struct walk *w)
{
	struct error err;
	struct batch *b;
	int r = encode(w);

	if (r < 0)
		return r;
	r = batch_read(
		&b,
		&(struct envelope){.seq = 1, .body = w->t->body.data, .body_len = w->t->body.len},
		&err);
	if (r < 0)
		return r;
	r = seen_add(w->seen, b);
	batch_free(b);
	return r;
}

static int make_priors(struct training *t, struct dictionary **ret, struct walk *w,
		       struct error *err)
{
	struct dictionary d = {0};
	struct seen seen;
	int r = seen_init(&seen, t->cat);

	*w = (struct walk){.t = t, .each = look_at, .seen = &seen};
	if (r == 0)
		r = walk(w);
	if (r == 0)
		r = priors_make(&d, &seen);
	if (r == 0)
		r = dictionary_build(ret, t->cat, &d, err);
	free(d.messages);
	free(d.signals);
	seen_free(&seen);
	return r;
}

/* Two walks with the dictionary as it is so far. */
static int make_states(struct training *t, const struct dictionary *d, struct section_models *ret)
{
	struct walk w = {.t = t, .each = encode};
	struct states *st;
	int r = states_new(&st);

	if (r < 0)
		return r;
	r = batch_builder_use(t->builder, d);
	batch_builder_code(t->builder, &section_training);
	if (r == 0)
		r = walk(&w);
	states_second(st);
	w = (struct walk){.t = t, .each = encode};
	if (r == 0)
		r = walk(&w);
	states_models(st, ret);
	states_free(st);
	batch_builder_code(t->builder, &section_encoding);
	return r;
}

static int with_states(struct training *t, struct dictionary *priors, struct dictionary **ret,
		       struct error *err)
{
	struct dictionary d = *priors;
	int r = make_states(t, priors, &d.models);

	return r < 0 ? r : dictionary_build(ret, t->cat, &d, err);
}

static int measure(struct training *t, const struct dictionary *d, struct training_result *ret)
{
	struct walk w = {.t = t, .each = encode};
	int r = batch_builder_use(t->builder, d);

	if (r == 0)
		r = walk(&w);
	ret->bytes_after = (double)w.bytes;
	return r;
}

int training_run(struct training *t, struct dictionary **ret, struct training_result *result,
		 struct error *err)
{
	struct dictionary *priors = NULL, *d = NULL;
	struct walk w;
	int r = make_priors(t, &priors, &w, err);

	if (r == 0 && w.batches == 0) {
		error_set(err, "there is no sample of the catalog's messages to learn from");
		r = -ENODATA;
	}
	if (r == 0)
		r = with_states(t, priors, &d, err);
	*result = (struct training_result){
		.samples = w.samples, .batches = w.batches, .bytes_before = (double)w.bytes};
	if (r == 0) {
		result->messages = d->n_messages;
		result->signals = d->n_signals;
		r = measure(t, d, result);
	}
	if (batch_builder_use(t->builder, NULL) < 0)
		assert(false); /* without a dictionary it needs no memory */
	dictionary_free(priors);
	if (r < 0)
		dictionary_free(d);
	else
		*ret = d;
	return r;
}
