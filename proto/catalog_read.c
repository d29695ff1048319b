/* Bytes to a catalog: protobuf-c unpacks into a bounded arena, all is checked there, and what is
 * right is copied into one block of exactly the size it needs. */
#include "proto/bounded.h"
#include "proto/catalog_private.h"

#include <fcntl.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

enum {
	/* The densest valid fields (a Choice, a Range) unpack to some ten times their bytes. */
	UNPACKED_PER_BYTE = 16,
	UNPACKED_FIXED = 64 << 10,
};

/* ---- one block ---- */

/* Runs twice over the same steps: without memory it measures, with memory it hands out. */
struct arena {
	uint8_t *base; /* NULL: measuring */
	size_t used;
};

static void *take(struct arena *a, size_t n, size_t size)
{
	void *p = a->base ? a->base + a->used : NULL;
	const size_t align = alignof(max_align_t);

	a->used += (n * size + align - 1) & ~(align - 1);
	return p;
}

/* Texts follow all tables, and need no alignment. */
static const char *take_text(struct arena *a, const char *text)
{
	size_t len = strlen(text) + 1;
	char *p = a->base ? (char *)a->base + a->used : NULL;

	a->used += len;
	return p ? memcpy(p, text, len) : NULL;
}

struct tables {
	struct catalog_loaded *loaded;
	const char **buses;
	struct catalog_message *messages;
	struct catalog_signal *signals;
	struct catalog_range *ranges;
	struct catalog_choice *choices;
	uint32_t *index;
	size_t n_signals, n_ranges, n_choices, n_index;
};

static void count(struct tables *t, const Towline__V1__Catalog *c)
{
	for (size_t i = 0; i < c->n_messages; i++) {
		const Towline__V1__Message *m = c->messages[i];

		t->n_signals += m->n_signals;
		for (size_t j = 0; j < m->n_signals; j++) {
			t->n_ranges += m->signals[j]->n_mux_ranges;
			t->n_choices += m->signals[j]->n_choices;
		}
	}
	t->n_index = 2;
	while (t->n_index < t->n_signals * 2)
		t->n_index *= 2;
}

static void lay_out(struct tables *t, struct arena *a, const Towline__V1__Catalog *c)
{
	t->loaded = take(a, 1, sizeof(*t->loaded));
	t->buses = take(a, c->n_buses, sizeof(*t->buses));
	t->messages = take(a, c->n_messages, sizeof(*t->messages));
	t->signals = take(a, t->n_signals, sizeof(*t->signals));
	t->ranges = take(a, t->n_ranges, sizeof(*t->ranges));
	t->choices = take(a, t->n_choices, sizeof(*t->choices));
	t->index = take(a, t->n_index, sizeof(*t->index));
}

static size_t texts_size(const Towline__V1__Catalog *c)
{
	struct arena a = {0};

	for (size_t i = 0; i < c->n_buses; i++)
		take_text(&a, c->buses[i]);
	for (size_t i = 0; i < c->n_messages; i++) {
		const Towline__V1__Message *m = c->messages[i];

		take_text(&a, m->name);
		take_text(&a, m->comment);
		for (size_t j = 0; j < m->n_signals; j++) {
			const Towline__V1__Signal *s = m->signals[j];

			take_text(&a, s->name);
			take_text(&a, s->unit);
			take_text(&a, s->comment);
			for (size_t k = 0; k < s->n_choices; k++)
				take_text(&a, s->choices[k]->text);
		}
	}
	return a.used;
}

/* t's tables are moved past what is filled, so that each points at its next free entry. */
static void fill_signal(struct tables *t, struct arena *a, const Towline__V1__Signal *s,
			uint32_t message, uint32_t first)
{
	struct catalog_signal *to = t->signals++;

	*to = (struct catalog_signal){
		.name = take_text(a, s->name),
		.message = message,
		.start_bit = (uint16_t)s->start_bit,
		.bits = (uint16_t)s->bits,
		.big_endian = s->big_endian,
		.kind = (enum signal_kind)s->kind,
		.factor = s->factor,
		.offset = s->offset,
		.min = s->min,
		.max = s->max,
		.unit = take_text(a, s->unit),
		.comment = take_text(a, s->comment),
		.is_mux = s->is_mux,
		.mux = s->mux ? first + s->mux - 1 : CATALOG_NONE,
		.mux_ranges = t->ranges,
		.n_mux_ranges = s->n_mux_ranges,
		.choices = t->choices,
		.n_choices = s->n_choices,
	};
	for (size_t i = 0; i < s->n_mux_ranges; i++)
		*t->ranges++ = (struct catalog_range){.from = s->mux_ranges[i]->from,
						      .to = s->mux_ranges[i]->to};
	for (size_t i = 0; i < s->n_choices; i++)
		*t->choices++ = (struct catalog_choice){.raw = s->choices[i]->raw,
							.text = take_text(a, s->choices[i]->text)};
}

static void fill_message(struct tables *t, struct arena *a, const Towline__V1__Message *m,
			 uint32_t number, uint32_t first)
{
	t->messages[number] = (struct catalog_message){
		.name = take_text(a, m->name),
		.comment = take_text(a, m->comment),
		.bus = (uint16_t)m->bus,
		.id = m->id,
		.extended = m->extended,
		.j1939 = m->j1939,
		.status = m->status,
		.bytes = (uint16_t)m->bytes,
		.first_signal = first,
		.n_signals = (uint32_t)m->n_signals,
	};
	for (size_t i = 0; i < m->n_signals; i++)
		fill_signal(t, a, m->signals[i], number, first);
}

static void fill(struct tables *t, struct arena *a, const Towline__V1__Catalog *c)
{
	uint32_t first = 0;

	t->loaded->catalog = (struct catalog){
		.buses = t->buses,
		.n_buses = c->n_buses,
		.messages = t->messages,
		.n_messages = c->n_messages,
		.signals = t->signals,
		.n_signals = t->n_signals,
	};
	t->loaded->index = t->index;
	t->loaded->index_mask = (uint32_t)t->n_index - 1;
	for (size_t i = 0; i < c->n_buses; i++)
		t->buses[i] = take_text(a, c->buses[i]);
	for (uint32_t i = 0; i < c->n_messages; i++) {
		fill_message(t, a, c->messages[i], i, first);
		first += (uint32_t)c->messages[i]->n_signals;
	}
}

static struct catalog_loaded *copy(const Towline__V1__Catalog *c, const void *bytes, size_t len)
{
	struct arena a = {0};
	struct tables t = {0};
	uint8_t *copied;

	count(&t, c);
	lay_out(&t, &a, c);
	a.base = malloc(a.used + texts_size(c) + len);
	if (!a.base)
		return NULL;
	a.used = 0;
	lay_out(&t, &a, c);
	fill(&t, &a, c);
	copied = a.base + a.used;
	if (len)
		memcpy(copied, bytes, len);
	t.loaded->catalog.bytes = copied;
	t.loaded->catalog.len = len;
	return t.loaded;
}

/* ---- loading ---- */

static int name_by_hash(struct catalog *c)
{
	if (wc_Sha256Hash(c->bytes, (word32)c->len, c->sha256) != 0)
		return -ENOMEM; /* its only failure with valid arguments */
	c->id = 0;
	for (int i = 7; i >= 0; i--)
		c->id = c->id << 8 | c->sha256[i];
	return 0;
}

static int load_checked(struct catalog **ret, const Towline__V1__Catalog *c, const void *bytes,
			size_t len, struct error *err)
{
	struct catalog_loaded *l;
	int r;

	l = copy(c, bytes, len);
	if (!l)
		return -ENOMEM;
	r = catalog_index(l, err);
	if (!r)
		r = name_by_hash(&l->catalog);
	if (r < 0) {
		free(l);
		return r;
	}
	*ret = &l->catalog;
	return 0;
}

int catalog_load(struct catalog **ret, const void *bytes, size_t len, struct error *err)
{
	struct bounded arena cleanup(bounded_free);
	Towline__V1__Catalog *c;
	int r;

	bounded_init(&arena, 0);
	if (len > CATALOG_BYTES_MAX) {
		error_set(err, "catalog: %zu bytes, at most %d", len, CATALOG_BYTES_MAX);
		return -EBADMSG;
	}
	arena.max = len * UNPACKED_PER_BYTE + UNPACKED_FIXED;
	c = towline__v1__catalog__unpack(&arena.allocator, len, bytes);
	if (!c) {
		error_set(err, "catalog: %zu bytes that are not a compiled catalog", len);
		return bounded_error(&arena, err);
	}
	r = catalog_check(c, err);
	if (r < 0)
		return r;
	return load_checked(ret, c, bytes, len, err);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int fail_file(struct error *err, const char *path)
{
	int e = errno;

	error_set(err, "%s: %s", path, strerror(e));
	return -e;
}

int catalog_read_file(const char *path, size_t max, struct buf *out, struct error *err)
{
	int fd cleanup(close_fd) = open(path, O_RDONLY | O_CLOEXEC);
	enum { STEP = 64 << 10 };
	ssize_t n;

	if (fd < 0)
		return fail_file(err, path);
	do {
		if (buf_reserve(out, STEP) < 0)
			return out->failed;
		n = read(fd, out->data + out->len, STEP);
		if (n < 0 && errno != EINTR)
			return fail_file(err, path);
		if (n > 0)
			out->len += (size_t)n;
	} while (n != 0 && out->len <= max);
	return 0;
}

int catalog_load_file(struct catalog **ret, const char *path, struct error *err)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(CATALOG_BYTES_MAX + (128 << 10));
	struct error why = {0};
	int r;

	r = catalog_read_file(path, CATALOG_BYTES_MAX, &bytes, err);
	if (r < 0)
		return r;
	r = catalog_load(ret, bytes.data, bytes.len, &why);
	if (r < 0)
		error_set(err, "%.100s: %s", path, why.text);
	return r;
}
