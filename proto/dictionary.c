/* Bytes in, a checked dictionary out. */
#include "proto/catalog_private.h"
#include "proto/dictionary_private.h"

#include <inttypes.h>
#include <string.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

struct parser {
	struct dictionary *d;
	const struct catalog *cat;
	struct cursor c;
	size_t slots; /* that were given to signals so far */
	struct error *err;
};

static int bad(struct parser *p, const char *what)
{
	error_set(p->err, "dictionary: byte %zu of %zu: %s", (size_t)(p->c.p - p->d->bytes),
		  p->d->len, p->c.failed ? "it ends too early" : what);
	return -EBADMSG;
}

/* ---- signals ---- */

static int parse_ref(struct parser *p, struct column_prior *s)
{
	uint64_t ref = cursor_varint(&p->c);
	int64_t slope = zigzag_decode(cursor_varint(&p->c));

	s->base_ref = zigzag_decode(cursor_varint(&p->c));
	s->shape_ref = cursor_u8(&p->c);
	if (p->c.failed || ref >= p->slots)
		return bad(p, "a signal is expected from one that is not before it");
	if (slope < INT32_MIN || slope > INT32_MAX || s->shape_ref >= FIRST_SHAPES)
		return bad(p, "a slope or a shape is out of range");
	s->ref = (uint16_t)(ref + 1);
	s->slope = (int32_t)slope;
	return 0;
}

static int parse_signal(struct parser *p, struct column_prior *s)
{
	uint8_t first = cursor_u8(&p->c);

	s->used = first >> PRIOR_USED & 3;
	s->kind = first >> PRIOR_KIND & 3;
	s->class = first >> PRIOR_CLASS & 3;
	if (s->used == USED_NEVER)
		return first >> PRIOR_SLOT ? bad(p, "a signal that is never used has a slot") : 0;
	s->length = cursor_u8(&p->c);
	s->base = zigzag_decode(cursor_varint(&p->c));
	s->shape = cursor_u8(&p->c);
	if (p->c.failed || s->length >= LENGTHS || s->shape >= FIRST_SHAPES)
		return bad(p, "a length or a shape is out of range");
	if (first >> PRIOR_REF & 1) {
		int r = parse_ref(p, s);

		if (r < 0)
			return r;
	}
	if (!(first >> PRIOR_SLOT & 1))
		return 0;
	if (p->slots == DICTIONARY_SLOTS_MAX)
		return bad(p, "too many signals that others are expected from");
	s->slot = (uint16_t)++p->slots;
	return 0;
}

/* ---- messages ---- */

static bool time_is_sane(int64_t t)
{
	return t >= -DICTIONARY_TIME_MAX && t <= DICTIONARY_TIME_MAX;
}

static int parse_times(struct parser *p, struct time_prior *t)
{
	t->period = zigzag_decode(cursor_varint(&p->c));
	t->time = zigzag_decode(cursor_varint(&p->c));
	t->time_led = zigzag_decode(cursor_varint(&p->c));
	t->shape = cursor_u8(&p->c);
	t->shape_led = cursor_u8(&p->c);
	t->length = cursor_u8(&p->c);
	if (p->c.failed || t->shape >= TIME_SHAPES || t->shape_led >= TIME_SHAPES ||
	    t->length >= LENGTHS || !time_is_sane(t->period) || !time_is_sane(t->time) ||
	    !time_is_sane(t->time_led))
		return bad(p, "a time, its shape or its length is out of range");
	return 0;
}

static int parse_message(struct parser *p, uint64_t message, struct dictionary_message *m)
{
	uint64_t back, rows;

	m->message = (uint32_t)message;
	m->first_entry = (uint32_t)p->d->n_signals;
	m->presence = cursor_u8(&p->c);
	back = cursor_varint(&p->c);
	rows = cursor_varint(&p->c);
	if (p->c.failed || m->presence > DICTIONARY_SURE || back > message ||
	    rows > (uint64_t)DICTIONARY_TIME_MAX)
		return bad(p, "a presence, a leader or a number of rows is out of range");
	m->leader = back ? m->message - (uint32_t)back : CATALOG_NONE;
	m->rows = (int64_t)rows;
	return parse_times(p, &m->times);
}

/* The tables are as large as the catalog lets them be needed. */
static int parse_group(struct parser *p, uint64_t *message)
{
	struct dictionary *d = p->d;
	uint64_t skip = cursor_varint(&p->c);
	int r;

	if (p->c.failed || skip >= p->cat->n_messages - *message)
		return bad(p, "a message is not in the catalog");
	*message += skip;
	r = parse_message(p, *message, &d->messages[d->n_messages]);
	if (r < 0)
		return r;
	d->places[*message] = (uint32_t)d->n_messages++;
	for (uint32_t i = 0; i < p->cat->messages[*message].n_signals; i++) {
		r = parse_signal(p, &d->signals[d->n_signals++]);
		if (r < 0)
			return r;
	}
	++*message;
	return 0;
}

/* How many signals there will be: the messages' numbers come first. */
static int parse_groups(struct parser *p)
{
	uint64_t message = 0, n = cursor_varint(&p->c);

	if (p->c.failed || n > p->cat->n_messages)
		return bad(p, "more messages than the catalog has");
	for (uint64_t i = 0; i < n; i++) {
		int r = parse_group(p, &message);

		if (r < 0)
			return r;
	}
	p->d->n_slots = p->slots;
	return 0;
}

/* ---- states ---- */

static int parse_state(struct parser *p, struct bit *b)
{
	uint8_t seen = cursor_u8(&p->c), q = cursor_u8(&p->c);

	if (p->c.failed || seen > RANGE_SEEN_MAX || (q >> STATE_FINE & 15) > STATE_SCALE_MAX ||
	    dictionary_state_value(q) - 1 >= 65535)
		return bad(p, "a state is out of range");
	b->seen = seen;
	b->p = (uint16_t)dictionary_state_value(q);
	return 0;
}

/* Runs of states that are as at the beginning, and of others. */
static int parse_states(struct parser *p)
{
	struct bit *b = (struct bit *)&p->d->models;
	size_t n = dictionary_states(), at = 0;

	section_models_init(&p->d->models);
	while (at < n) {
		uint64_t untouched = cursor_varint(&p->c), touched;

		if (p->c.failed || untouched > n - at)
			return bad(p, "more states than there are");
		at += (size_t)untouched;
		touched = cursor_varint(&p->c);
		if (p->c.failed || touched > n - at || (untouched == 0 && touched == 0))
			return bad(p, "more states than there are, or none");
		for (; touched > 0; touched--, at++) {
			int r = parse_state(p, &b[at]);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- all ---- */

static int parse_head(struct cursor *c, uint64_t *ret_catalog, struct error *err)
{
	uint64_t format = cursor_varint(c);

	*ret_catalog = cursor_fixed64(c);
	if (c->failed) {
		error_set(err, "dictionary: some bytes that are no dictionary");
		return -EBADMSG;
	}
	if (format != DICTIONARY_FORMAT) {
		error_set(err,
			  "dictionary: format %" PRIu64 " is unknown to this version, it reads %d",
			  format, DICTIONARY_FORMAT);
		return -EBADMSG;
	}
	return 0;
}

int dictionary_peek(const void *bytes, size_t len, uint64_t *ret_catalog, struct error *err)
{
	struct cursor c = cursor_of(bytes, len);

	return parse_head(&c, ret_catalog, err);
}

static int parse(struct parser *p)
{
	struct dictionary *d = p->d;
	int r = parse_head(&p->c, &d->catalog_id, p->err);

	if (r < 0)
		return r;
	if (d->catalog_id != p->cat->id) {
		error_set(p->err, "dictionary: is of catalog %016" PRIx64 ", not %016" PRIx64,
			  d->catalog_id, p->cat->id);
		return -ESTALE;
	}
	r = parse_groups(p);
	if (r == 0)
		r = parse_states(p);
	if (r == 0 && cursor_left(&p->c) > 0)
		r = bad(p, "bytes are left over");
	return r;
}

/* As large as the catalog: shrunk when all is read. */
static struct dictionary *dictionary_new(const struct catalog *cat, const void *bytes, size_t len)
{
	struct dictionary *d = calloc(1, sizeof(*d));
	uint8_t *copy;

	if (!d)
		return NULL;
	copy = malloc(len + 1);
	d->places = malloc((cat->n_messages + 1) * sizeof(*d->places));
	d->messages = calloc(cat->n_messages + 1, sizeof(*d->messages));
	d->signals = calloc(cat->n_signals + 1, sizeof(*d->signals));
	d->bytes = copy;
	d->len = len;
	if (!copy || !d->places || !d->messages || !d->signals)
		return dictionary_free(d);
	if (len > 0)
		memcpy(copy, bytes, len);
	memset(d->places, 0xff, (cat->n_messages + 1) * sizeof(*d->places));
	return d;
}

static void shrink(struct dictionary *d)
{
	void *p = realloc(d->messages, (d->n_messages + 1) * sizeof(*d->messages));

	if (p)
		d->messages = p;
	p = realloc(d->signals, (d->n_signals + 1) * sizeof(*d->signals));
	if (p)
		d->signals = p;
}

static int name_by_hash(struct dictionary *d)
{
	struct cursor id;

	if (wc_Sha256Hash(d->bytes, (word32)d->len, d->sha256) != 0)
		return -ENOMEM;
	id = cursor_of(d->sha256, sizeof(d->sha256));
	d->id = cursor_fixed64(&id);
	return 0;
}

int dictionary_load(struct dictionary **ret, const struct catalog *cat, const void *bytes,
		    size_t len, struct error *err)
{
	struct parser p = {.cat = cat, .err = err};
	int r;

	if (len > DICTIONARY_BYTES_MAX) {
		error_set(err, "dictionary: %zu bytes, at most %d", len, DICTIONARY_BYTES_MAX);
		return -EBADMSG;
	}
	p.d = dictionary_new(cat, bytes, len);
	if (!p.d)
		return -ENOMEM;
	p.c = cursor_of(p.d->bytes, len);
	r = parse(&p);
	if (r == 0)
		r = name_by_hash(p.d);
	if (r < 0) {
		dictionary_free(p.d);
		return r;
	}
	shrink(p.d);
	*ret = p.d;
	return 0;
}

int dictionary_load_file(struct dictionary **ret, const struct catalog *cat, const char *path,
			 struct error *err)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(DICTIONARY_BYTES_MAX + (128 << 10));
	struct error why = {0};
	int r = catalog_read_file(path, DICTIONARY_BYTES_MAX, &bytes, err);

	if (r < 0)
		return r;
	r = dictionary_load(ret, cat, bytes.data, bytes.len, &why);
	if (r < 0)
		error_set(err, "%.100s: %s", path, why.text);
	return r;
}

struct dictionary *dictionary_free(struct dictionary *d)
{
	if (!d)
		return NULL;
	free((uint8_t *)(uintptr_t)d->bytes);
	free(d->places);
	free(d->messages);
	free(d->signals);
	free(d);
	return NULL;
}
