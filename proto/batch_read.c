/* A message in, samples out. The bytes are anyone's: every count is checked before it is used, and
 * memory is bounded by BATCH_INFLATED_MAX and by BATCH_SAMPLES_MAX. */
#include "proto/batch.pb-c.h"
#include "proto/batch_private.h"
#include "proto/bounded.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

enum {
	/* What BATCH_SECTIONS_MAX sections take beside their bytes, and some unknown fields. */
	BATCH_UNPACKED_FIXED = 256 << 10,
};

struct batch {
	struct batch_header header;
	struct bounded arena; /* holds what was unpacked */
	const Towline__V1__Batch *wire;
	int64_t unit; /* ns */
};

/* ---- header ---- */

/* The whole output in one call: its size is found by doubling. */
static int inflate_body(const struct envelope *e, struct buf *out, struct error *err)
{
	z_stream z = {0};
	int r;

	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	z.next_in = (Bytef *)(uintptr_t)e->body;
	z.avail_in = (uInt)e->body_len;
	do {
		r = buf_reserve(out, out->len + 1024);
		if (r < 0)
			break;
		z.next_out = out->data + out->len;
		z.avail_out = (uInt)(out->cap - out->len);
		r = inflate(&z, Z_NO_FLUSH);
		out->len = out->cap - z.avail_out;
	} while (r == Z_OK);
	inflateEnd(&z);
	if (r == -ENOMEM)
		return r;
	if (r == -EMSGSIZE) {
		error_set(err, "batch: inflates to more than %d bytes", BATCH_INFLATED_MAX);
		return -EBADMSG;
	}
	if (r != Z_STREAM_END || z.avail_in > 0) {
		error_set(err, "batch: body of %zu bytes is not a zlib stream", e->body_len);
		return -EBADMSG;
	}
	return 0;
}

static int unpack(struct batch *b, const uint8_t *bytes, size_t len, struct error *err)
{
	bounded_init(&b->arena, len + BATCH_UNPACKED_FIXED);
	b->wire = towline__v1__batch__unpack(&b->arena.allocator, len, bytes);
	if (b->wire)
		return 0;
	error_set(err, "batch: %zu bytes that are not a Batch%s", len,
		  b->arena.exceeded ? ", or one of too many fields" : "");
	return -EBADMSG;
}

static int unpack_body(struct batch *b, const struct envelope *e, struct error *err)
{
	struct buf inflated cleanup(buf_free) = BUF_INIT(BATCH_INFLATED_MAX);
	int r;

	if (e->body_len > BATCH_INFLATED_MAX) {
		error_set(err, "batch: %zu bytes, at most %d", e->body_len, BATCH_INFLATED_MAX);
		return -EBADMSG;
	}
	switch (e->encoding) {
	case ENCODING_BATCH:
		return unpack(b, e->body, e->body_len, err);
	case ENCODING_DEFLATE:
		r = inflate_body(e, &inflated, err);
		return r < 0 ? r : unpack(b, inflated.data, inflated.len, err);
	default:
		error_set(err, "batch: encoding %" PRIu32 " is unknown to this version",
			  e->encoding);
		return -EBADMSG;
	}
}

/* No overflow when converted to nanoseconds. */
static bool time_is_sane(int64_t units, int64_t unit)
{
	return units <= INT64_MAX / unit && units >= INT64_MIN / unit;
}

static bool times_are_sane(const Towline__V1__Batch *w, int64_t unit)
{
	if (w->span > UINT32_MAX || w->first > INT64_MAX - (int64_t)w->span)
		return false;
	return time_is_sane(w->first, unit) && time_is_sane(w->mono, unit) &&
	       time_is_sane(w->first + (int64_t)w->span, unit);
}

static int check_header(struct batch *b, struct error *err)
{
	const Towline__V1__Batch *w = b->wire;

	if (w->format != BATCH_FORMAT) {
		error_set(err, "batch: format %" PRIu32 " is unknown to this version, it reads %d",
			  w->format, BATCH_FORMAT);
		return -EBADMSG;
	}
	b->unit = w->time_unit_ns ? w->time_unit_ns : BATCH_UNIT_DEFAULT_NS;
	if (!times_are_sane(w, b->unit)) {
		error_set(err, "batch: first, span or mono is out of range");
		return -EBADMSG;
	}
	if (w->samples > BATCH_SAMPLES_MAX) {
		error_set(err, "batch: %" PRIu32 " samples, at most %d", w->samples,
			  BATCH_SAMPLES_MAX);
		return -EBADMSG;
	}
	if (w->n_sections > BATCH_SECTIONS_MAX) {
		error_set(err, "batch: %zu sections, at most %d", w->n_sections,
			  BATCH_SECTIONS_MAX);
		return -EBADMSG;
	}
	if (w->n_section_messages != (w->n_sections ? w->n_sections - 1 : 0)) {
		error_set(err, "batch: %zu sections, but %zu first messages", w->n_sections,
			  w->n_section_messages);
		return -EBADMSG;
	}
	return 0;
}

static void fill_header(struct batch *b, const struct envelope *e)
{
	static const enum clock_quality QUALITY[] = {CLOCK_SYNCED, CLOCK_FREE_RUNNING};
	const Towline__V1__Batch *w = b->wire;

	b->header = (struct batch_header){
		.epoch = e->epoch,
		.seq = e->seq,
		.boot_id = w->boot_id,
		.wall_base_ns = w->first * b->unit,
		.mono_base_ns = w->mono * b->unit,
		.clock_quality = w->clock_quality < array_len(QUALITY) ? QUALITY[w->clock_quality]
								       : CLOCK_UNKNOWN,
		.catalog_id = w->catalog,
		.campaign = w->campaign,
		.consent_epoch = w->consent_epoch,
		.time_unit_ns = (uint32_t)b->unit,
	};
}

int batch_read(struct batch **ret, const struct envelope *e, struct error *err)
{
	struct batch *b;
	int r;

	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	r = unpack_body(b, e, err);
	if (!r)
		r = check_header(b, err);
	if (r < 0) {
		batch_free(b);
		return r;
	}
	fill_header(b, e);
	*ret = b;
	return 0;
}

struct batch *batch_free(struct batch *b)
{
	if (!b)
		return NULL;
	bounded_free(&b->arena);
	free(b);
	return NULL;
}

const struct batch_header *batch_get_header(const struct batch *b)
{
	return &b->header;
}

uint64_t batch_sample_count(const struct batch *b)
{
	return b->wire->samples;
}

int64_t batch_first_wall_ns(const struct batch *b)
{
	return b->header.wall_base_ns;
}

int64_t batch_last_wall_ns(const struct batch *b)
{
	return b->header.wall_base_ns + (int64_t)b->wire->span * b->unit;
}

/* ---- columns ---- */

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
		const int64_t *times;
		size_t n;
	} recent[LEADERS]; /* the last groups of the section, oldest first */
	size_t n_recent;
	uint64_t cells; /* see BATCH_CELLS_MAX */
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

static void recent_add(struct reader *rd, const int64_t *times, size_t n)
{
	if (rd->n_recent == LEADERS)
		memmove(rd->recent, rd->recent + 1, --rd->n_recent * sizeof(*rd->recent));
	rd->recent[rd->n_recent].times = times;
	rd->recent[rd->n_recent++].n = n;
}

/* Checked against the span that the header claims. */
static int read_times(struct reader *rd, uint32_t message, int64_t *times, size_t n)
{
	const Towline__V1__Batch *w = rd->batch->wire;
	const int64_t *leader = NULL;
	size_t n_leader = 0;
	int64_t before = 0;
	uint64_t back = section_number(&rd->section, &rd->section.models.leader, 0);

	if (back > rd->n_recent)
		return bad(rd, "its times follow a group that is not there", message);
	if (back > 0) {
		leader = rd->recent[rd->n_recent - back].times;
		n_leader = rd->recent[rd->n_recent - back].n;
	}
	section_times(&rd->section, times, n, leader, n_leader);
	for (size_t i = 0; i < n; i++) {
		if (times[i] < before || (uint64_t)times[i] > w->span)
			return bad(rd, "times go back, or leave the batch's span", message);
		before = times[i];
	}
	recent_add(rd, times, n);
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

static int read_group(struct reader *rd, uint32_t message)
{
	const struct catalog_message *m = &rd->cat->messages[message];
	struct section *s = &rd->section;
	struct store *st = &rd->store;
	uint64_t rows = section_number(s, &s->models.rows, 0);
	int64_t *times = st->rows + st->n_rows;
	size_t samples_before = st->n_samples;
	struct column c = {.present = st->present, .near = st->near};
	bool used = false;
	int r;

	if (rows >= st->samples_max - st->n_rows)
		return bad(rd, "more rows than samples", message);
	c.rows = (size_t)rows + 1;
	rd->cells += (uint64_t)c.rows * m->n_signals;
	if (rd->cells > BATCH_CELLS_MAX)
		return bad(rd, "rows times signals are more than a batch may have", message);
	st->n_rows += c.rows;
	r = read_times(rd, message, times, c.rows);
	if (r < 0)
		return r;
	section_columns_start(&c, times);
	for (uint32_t i = 0; i < m->n_signals; i++) {
		used = section_flag(s, &s->models.used[used], false);
		if (!used)
			continue;
		r = read_column(rd, m->first_signal + i, &c, times);
		if (r < 0)
			return r;
	}
	if (st->n_samples - samples_before < c.rows)
		return bad(rd, "more rows than samples", message);
	return 0;
}

/* The groups of a section; of only one message, or of all (CATALOG_NONE). */
static int read_section(struct reader *rd, const ProtobufCBinaryData *data, uint64_t base,
			uint32_t only)
{
	struct section *s = &rd->section;
	struct store *st = &rd->store;

	rd->n_recent = 0;
	section_decode(s, data->data, data->len);
	for (;;) {
		uint64_t skip = section_number(s, &s->models.message, 0);
		int r;

		if (skip == 0)
			return 0;
		if (skip > rd->cat->n_messages || base + skip - 1 >= rd->cat->n_messages)
			return bad(rd, "is not in the catalog", CATALOG_NONE);
		base += skip - 1;
		if (base > only)
			return 0;
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

int batch_columns(struct batch *b, const struct catalog *cat, uint32_t signal,
		  int (*cb)(void *ctx, const struct batch_column *col), void *ctx,
		  struct error *err)
{
	struct reader rd = {.batch = b, .cat = cat, .err = err};
	int r;

	if (cat->id != b->header.catalog_id) {
		error_set(err, "batch: is of catalog %016" PRIx64 ", not %016" PRIx64,
			  b->header.catalog_id, cat->id);
		return -ESTALE;
	}
	assert(signal == CATALOG_NONE || signal < cat->n_signals);
	r = store_init(&rd.store, b->wire->samples);
	if (!r)
		r = signal == CATALOG_NONE ? read_all(&rd)
					   : read_one(&rd, cat->signals[signal].message);
	if (!r)
		to_wall(&rd);
	if (!r)
		r = call_back(&rd.store, signal, cb, ctx);
	store_free(&rd.store);
	return r;
}
