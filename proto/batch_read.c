/* Sections in, samples out. The bytes are anyone's: every count is checked before it is used, and
 * memory is bounded by BATCH_INFLATED_MAX and by BATCH_SAMPLES_MAX. */
#include "proto/batch_parsed.h"

#include <inttypes.h>
#include <string.h>

/* Where decoded samples go. With keep, all columns stay until the end; without, each group takes
 * the place of the one before. */
struct store {
	size_t samples_max, n_samples;
	uint64_t *raws; /* samples_max */
	int64_t *times; /* samples_max: of columns that lack rows */
	size_t n_times;
	int64_t *rows; /* samples_max: of groups */
	size_t n_rows;
	uint8_t *present, *near; /* samples_max: of the group at hand */
	struct batch_column *columns;
	size_t n_columns, columns_max;
};

static void store_free(struct store *st)
{
	free(st->raws);
	free(st->times);
	free(st->rows);
	free(st->present);
	free(st->near);
	free(st->columns);
}

/* The pages of these arrays that stay unused cost nothing. */
static int store_init(struct store *st, size_t samples)
{
	*st = (struct store){.samples_max = samples};
	st->raws = malloc((samples + 1) * sizeof(*st->raws));
	st->times = malloc((samples + 1) * sizeof(*st->times));
	st->rows = malloc((samples + 1) * sizeof(*st->rows));
	st->present = malloc(samples + 1);
	st->near = malloc(samples + 1);
	if (!st->raws || !st->times || !st->rows || !st->present || !st->near)
		return -ENOMEM;
	return 0;
}

static struct batch_column *store_column(struct store *st)
{
	if (st->n_columns == st->columns_max) {
		size_t max = st->columns_max ? st->columns_max * 2 : 64;
		struct batch_column *grown = realloc(st->columns, max * sizeof(*grown));

		if (!grown)
			return NULL;
		st->columns = grown;
		st->columns_max = max;
	}
	return &st->columns[st->n_columns++];
}

struct reader {
	const struct batch *batch;
	const struct catalog *cat;
	struct store store;
	struct section section;
	struct {
		uint32_t message;
		const int64_t *times;
		size_t n;
	} recent[LEADERS]; /* the last groups of the section, oldest first */
	size_t n_recent;
	uint64_t cells;			     /* see BATCH_CELLS_MAX */
	const struct dictionary *dictionary; /* NULL: none */
	struct error *err;
};

static int bad(struct reader *rd, const char *what, uint32_t message)
{
	if (message < rd->cat->n_messages)
		error_set(rd->err, "batch: message %" PRIu32 " '%.90s': %s", message,
			  rd->cat->messages[message].name, what);
	else
		error_set(rd->err, "batch: message %" PRIu32 ": %s", message, what);
	return -EBADMSG;
}

static void recent_add(struct reader *rd, uint32_t message, const int64_t *times, size_t n)
{
	if (rd->n_recent == LEADERS)
		memmove(rd->recent, rd->recent + 1, --rd->n_recent * sizeof(*rd->recent));
	rd->recent[rd->n_recent].message = message;
	rd->recent[rd->n_recent].times = times;
	rd->recent[rd->n_recent++].n = n;
}

/* How many groups back the leader is that is expected; 0: none, or it is not there. */
static uint64_t expected_leader(const struct reader *rd, const struct dictionary_message *known)
{
	for (size_t back = 1; back <= rd->n_recent; back++)
		if (rd->recent[rd->n_recent - back].message == known->leader)
			return back;
	return 0;
}

static uint64_t read_leader(struct reader *rd, const struct dictionary_message *known)
{
	struct section *s = &rd->section;

	if (known && section_flag(s, &s->models.led, false))
		return expected_leader(rd, known);
	return section_number(s, &s->models.leader, 0);
}

/* Checked against the span that the header claims. */
static int read_times(struct reader *rd, uint32_t message, const struct dictionary_message *known,
		      int64_t *times, size_t n)
{
	const Towline__V1__Batch *w = rd->batch->wire;
	const int64_t *leader = NULL;
	size_t n_leader = 0;
	int64_t before = 0;
	uint64_t back = read_leader(rd, known);

	if (back > rd->n_recent)
		return bad(rd, "its times follow a group that is not there", message);
	if (back > 0) {
		leader = rd->recent[rd->n_recent - back].times;
		n_leader = rd->recent[rd->n_recent - back].n;
	}
	section_times(&rd->section, times, n, leader, n_leader, known ? &known->times : NULL);
	for (size_t i = 0; i < n; i++) {
		if (times[i] < before || (uint64_t)times[i] > w->span)
			return bad(rd, "times go back, or leave the batch's span", message);
		before = times[i];
	}
	recent_add(rd, message, times, n);
	return 0;
}

/* The times of a column that lacks rows of its group. */
static const int64_t *own_times(struct store *st, const struct column *c, const int64_t *times)
{
	int64_t *own = st->times + st->n_times;

	for (size_t i = 0; i < c->rows; i++)
		if (c->present[i])
			st->times[st->n_times++] = times[i];
	return own;
}

static int read_column(struct reader *rd, uint32_t signal, struct column *c, const int64_t *times)
{
	const struct catalog_signal *s = &rd->cat->signals[signal];
	struct store *st = &rd->store;
	struct batch_column *out;

	c->width = s->bits;
	c->is_signed = signal_is_signed(s);
	c->values = st->raws + st->n_samples;
	c->room = st->samples_max - st->n_samples;
	section_column(&rd->section, c);
	if (c->n == 0 || c->n > c->room)
		return bad(rd, "a column holds nothing, or more than was claimed", s->message);
	out = store_column(st);
	if (!out)
		return -ENOMEM;
	*out = (struct batch_column){.signal = signal, .n = c->n, .raw = c->values};
	out->wall_ns = c->n == c->rows ? times : own_times(st, c, times);
	st->n_samples += c->n;
	return 0;
}

/* Less 1. What is expected may lie: any number is checked by the caller. */
static uint64_t read_rows(struct section *s, const struct dictionary_message *known)
{
	if (!known)
		return section_number(s, &s->models.rows, 0);
	return (uint64_t)known->rows +
	       (uint64_t)zigzag_decode(section_number(s, &s->models.rows_off, 0));
}

static int read_columns(struct reader *rd, uint32_t message, const struct dictionary_message *known,
			struct column *c, const int64_t *times)
{
	const struct catalog_message *m = &rd->cat->messages[message];
	const struct column_prior *priors =
		known ? rd->dictionary->signals + known->first_entry : NULL;
	struct section *s = &rd->section;
	bool used = false;
	int r;

	section_columns_start(c, times);
	for (uint32_t i = 0; i < m->n_signals; i++) {
		c->prior = known_column(priors, i);
		used = section_flag(s, used_bit(&s->models, priors, i, used), false);
		if (!used)
			continue;
		r = read_column(rd, m->first_signal + i, c, times);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_group(struct reader *rd, uint32_t message)
{
	const struct catalog_message *m = &rd->cat->messages[message];
	const struct dictionary_message *known = dictionary_message(rd->dictionary, message);
	struct store *st = &rd->store;
	uint64_t rows = read_rows(&rd->section, known);
	int64_t *times = st->rows + st->n_rows;
	size_t samples_before = st->n_samples;
	struct column c = {.present = st->present, .near = st->near};
	int r;

	if (rows >= st->samples_max - st->n_rows)
		return bad(rd, "more rows than samples", message);
	c.rows = (size_t)rows + 1;
	rd->cells += (uint64_t)c.rows * m->n_signals;
	if (rd->cells > BATCH_CELLS_MAX)
		return bad(rd, "rows times signals are more than a batch may have", message);
	st->n_rows += c.rows;
	r = read_times(rd, message, known, times, c.rows);
	if (r == 0)
		r = read_columns(rd, message, known, &c, times);
	if (r < 0)
		return r;
	if (st->n_samples - samples_before < c.rows)
		return bad(rd, "more rows than samples", message);
	return 0;
}

/* Moves *base to the next message of the section, or to CATALOG_NONE. */
static int read_message(struct reader *rd, struct expecting *expecting, uint64_t *base)
{
	struct section *s = &rd->section;
	uint64_t skip;

	expecting_from(expecting, *base);
	if (expecting->dictionary && section_flag(s, expecting_bit(expecting, &s->models), false)) {
		*base = expecting_message(expecting);
		return 0;
	}
	skip = section_number(s, &s->models.message, 0);
	if (skip == 0) {
		*base = CATALOG_NONE;
		return 0;
	}
	if (skip > rd->cat->n_messages || *base + skip > rd->cat->n_messages)
		return bad(rd, "is not in the catalog", CATALOG_NONE);
	*base += skip - 1;
	return 0;
}

/* The groups of a section; of only one message, or of all (CATALOG_NONE). */
static int read_section(struct reader *rd, const ProtobufCBinaryData *data, uint64_t base,
			uint32_t only)
{
	struct expecting expecting = {.dictionary = rd->dictionary};
	struct section *s = &rd->section;
	struct store *st = &rd->store;

	rd->n_recent = 0;
	section_decode(s,
		       rd->batch->wire->format == BATCH_FORMAT_0 ? &section_decoding_0
								 : &section_decoding,
		       data->data, data->len);
	for (;;) {
		int r = read_message(rd, &expecting, &base);

		if (r < 0 || base == CATALOG_NONE || base > only)
			return r;
		if (only != CATALOG_NONE) {
			st->n_samples = 0;
			st->n_times = 0;
			st->n_columns = 0;
		}
		r = read_group(rd, (uint32_t)base);
		if (r < 0 || base == only)
			return r;
		base++;
	}
}

static int read_all(struct reader *rd)
{
	const Towline__V1__Batch *w = rd->batch->wire;
	uint64_t base = 0;

	for (size_t i = 0; i < w->n_sections; i++) {
		int r;

		base += i ? w->section_messages[i - 1] : 0;
		r = read_section(rd, &w->sections[i], base, CATALOG_NONE);
		if (r < 0)
			return r;
	}
	if (rd->store.n_samples != w->samples) {
		error_set(rd->err, "batch: %zu samples, but %" PRIu32 " were claimed",
			  rd->store.n_samples, w->samples);
		return -EBADMSG;
	}
	return 0;
}

/* Leaves the group of a message in the store, or nothing if there is none. */
static int read_one(struct reader *rd, uint32_t message)
{
	const Towline__V1__Batch *w = rd->batch->wire;
	uint64_t base = 0;
	size_t i = 0;

	if (w->n_sections == 0)
		return 0;
	while (i + 1 < w->n_sections && base + w->section_messages[i] <= message)
		base += w->section_messages[i++];
	return read_section(rd, &w->sections[i], base, message);
}

/* Units to wall times. */
static void to_wall(struct reader *rd)
{
	struct store *st = &rd->store;
	int64_t first = rd->batch->wire->first, unit = rd->batch->unit;

	for (size_t i = 0; i < st->n_rows; i++)
		st->rows[i] = (first + st->rows[i]) * unit;
	for (size_t i = 0; i < st->n_times; i++)
		st->times[i] = (first + st->times[i]) * unit;
}

static int call_back(const struct store *st, uint32_t signal,
		     int (*cb)(void *ctx, const struct batch_column *col), void *ctx)
{
	for (size_t i = 0; i < st->n_columns; i++) {
		int r = 0;

		if (signal == CATALOG_NONE || st->columns[i].signal == signal)
			r = cb(ctx, &st->columns[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether the catalog and the dictionary are the batch's. */
static int check_context(const struct batch *b, const struct catalog *cat, struct error *err)
{
	uint64_t dictionary = b->dictionary ? b->dictionary->id : 0;

	if (cat->id != b->header.catalog_id) {
		error_set(err, "batch: is of catalog %016" PRIx64 ", not %016" PRIx64,
			  b->header.catalog_id, cat->id);
		return -ESTALE;
	}
	if (dictionary != b->header.dictionary_id) {
		error_set(err, "batch: is of dictionary %016" PRIx64 ", not %016" PRIx64,
			  b->header.dictionary_id, dictionary);
		return -ESTALE;
	}
	if (b->dictionary && b->dictionary->catalog_id != cat->id) {
		error_set(err,
			  "batch: dictionary %016" PRIx64 " is of catalog %016" PRIx64
			  ", not %016" PRIx64,
			  dictionary, b->dictionary->catalog_id, cat->id);
		return -EBADMSG;
	}
	return 0;
}

static int reader_init(struct reader *rd)
{
	const struct dictionary *d = rd->batch->dictionary;

	rd->dictionary = d;
	if (d) {
		rd->section.preset = &d->models;
		rd->section.slots = calloc(d->n_slots + 1, sizeof(*rd->section.slots));
		if (!rd->section.slots)
			return -ENOMEM;
	}
	return store_init(&rd->store, rd->batch->wire->samples);
}

int batch_columns(struct batch *b, const struct catalog *cat, uint32_t signal,
		  int (*cb)(void *ctx, const struct batch_column *col), void *ctx,
		  struct error *err)
{
	struct reader rd = {.batch = b, .cat = cat, .err = err};
	int r = check_context(b, cat, err);

	if (r < 0)
		return r;
	assert(signal == CATALOG_NONE || signal < cat->n_signals);
	r = reader_init(&rd);
	if (!r)
		r = signal == CATALOG_NONE ? read_all(&rd)
					   : read_one(&rd, cat->signals[signal].message);
	if (!r)
		to_wall(&rd);
	if (!r)
		r = call_back(&rd.store, signal, cb, ctx);
	store_free(&rd.store);
	free(rd.section.slots);
	return r;
}
