#include "proto/context.h"

#include "proto/batch_private.h"
#include "proto/field.h"

#include <inttypes.h>
#include <string.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

enum {
	FIELDS_MAX = 24,
	ONE_SECTION = 0x03, /* in place of a tag: the rest is one section's bytes */
};

struct header {
	struct field fields[FIELDS_MAX]; /* ascending by number */
	size_t n;
	const uint8_t *end; /* what follows: sections, or the end of the bytes */
};

/* The fields before the first section. False: not in order, too many, or cut off. */
static bool parse_header(struct header *h, const uint8_t *bytes, size_t len)
{
	struct cursor c = cursor_of(bytes, len);
	unsigned last = 0;

	h->n = 0;
	h->end = bytes;
	while (cursor_left(&c) > 0 && *c.p != ONE_SECTION) {
		struct cursor peek = c;
		uint64_t tag = cursor_varint(&peek);
		struct field *f = &h->fields[h->n];

		if ((tag & 7) == WIRE_BYTES && tag >> 3 >= FIELD_SECTIONS)
			break;
		/* Bytes are no part of a header. */
		if (h->n == FIELDS_MAX || !field_read(&c, f) || f->type == WIRE_BYTES ||
		    f->number <= last)
			return false;
		last = f->number;
		h->n++;
		h->end = c.p;
	}
	return true;
}

static const struct field *find(const struct header *h, unsigned number)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->fields[i].number == number)
			return &h->fields[i];
	return NULL;
}

static int64_t signed_of(const struct header *h, unsigned number)
{
	const struct field *f = find(h, number);

	return f && f->type == WIRE_VARINT ? zigzag_decode(f->value) : 0;
}

static size_t header_len(const struct header *h, const uint8_t *bytes)
{
	return (size_t)(h->end - bytes);
}

int64_t context_mono(const struct envelope *e)
{
	struct header h;

	if (e->encoding != ENCODING_BATCH || e->body_len == 0 ||
	    !parse_header(&h, e->body, e->body_len))
		return 0;
	return signed_of(&h, FIELD_MONO);
}

/* ---- contexts ---- */

int context_encode(const struct context *c, struct buf *out)
{
	buf_put_fixed64(out, c->epoch);
	buf_put_varint(out, c->seq);
	buf_put_varint(out, c->period);
	buf_put(out, c->header, c->header_len);
	return out->failed;
}

static int make_id(struct context *c)
{
	struct buf b cleanup(buf_free) = BUF_INIT(CONTEXT_BYTES_MAX);
	uint8_t hash[WC_SHA256_DIGEST_SIZE];
	struct cursor id;
	int r = context_encode(c, &b);

	if (r < 0)
		return r;
	if (wc_Sha256Hash(b.data, (word32)b.len, hash) != 0)
		return -EINVAL;
	id = cursor_of(hash, sizeof(hash));
	c->id = cursor_fixed32(&id);
	return 0;
}

int context_make(struct context *ret, const struct envelope *e, uint64_t period)
{
	struct header h;

	if (e->encoding != ENCODING_BATCH || e->body_len == 0 || envelope_has_origin(e) ||
	    !parse_header(&h, e->body, e->body_len) || header_len(&h, e->body) > CONTEXT_HEADER_MAX)
		return -EINVAL;
	*ret = (struct context){
		.epoch = e->epoch,
		.seq = e->seq,
		.period = period,
		.header_len = header_len(&h, e->body),
	};
	memcpy(ret->header, e->body, ret->header_len);
	return make_id(ret);
}

int context_decode(struct context *ret, const void *bytes, size_t len)
{
	struct cursor c = cursor_of(bytes, len);
	struct context x = {.epoch = cursor_fixed64(&c)};
	struct header h;

	x.seq = cursor_varint(&c);
	x.period = cursor_varint(&c);
	x.header_len = cursor_left(&c);
	if (c.failed || x.seq == 0 || x.seq > INT64_MAX || x.header_len > CONTEXT_HEADER_MAX ||
	    !parse_header(&h, c.p, x.header_len) || header_len(&h, c.p) != x.header_len)
		return -EBADMSG;
	memcpy(x.header, c.p, x.header_len);
	if (make_id(&x) < 0)
		return -EBADMSG;
	*ret = x;
	return 0;
}

/* ---- what both sides expect ---- */

struct expected {
	int64_t mono, first;
};

/* Modulo 2^64: a period or seq that lies gives a wrong expectation, no more. */
static int64_t expect_mono(const struct context *c, const struct header *ctx, int64_t seq_less)
{
	return (int64_t)((uint64_t)signed_of(ctx, FIELD_MONO) + (uint64_t)seq_less * c->period);
}

static int64_t expect_first(const struct header *ctx, int64_t mono)
{
	return (int64_t)((uint64_t)signed_of(ctx, FIELD_FIRST) +
			 ((uint64_t)mono - (uint64_t)signed_of(ctx, FIELD_MONO)));
}

static bool is_time(unsigned number)
{
	return number == FIELD_FIRST || number == FIELD_MONO;
}

static int64_t less(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* ---- shorter ---- */

static bool same_field(const struct field *a, const struct field *b)
{
	return b && field_len(a) == field_len(b) && memcmp(a->begin, b->begin, field_len(a)) == 0;
}

static void put_fields(const struct header *full, const struct header *ctx, struct buf *out)
{
	for (size_t i = 0; i < full->n; i++) {
		const struct field *f = &full->fields[i];

		if (!is_time(f->number) && !same_field(f, find(ctx, f->number)))
			buf_put(out, f->begin, field_len(f));
	}
}

/* One section alone needs no length. */
static void put_sections(const uint8_t *p, size_t len, struct buf *out)
{
	struct cursor c = cursor_of(p, len);

	if (cursor_varint(&c) == FIELD_TAG(FIELD_SECTIONS, WIRE_BYTES) &&
	    cursor_varint(&c) == cursor_left(&c) && !c.failed) {
		buf_put_u8(out, ONE_SECTION);
		buf_put(out, c.p, cursor_left(&c));
		return;
	}
	buf_put(out, p, len);
}

static void put_short(const struct context *c, const struct header *ctx, const struct envelope *e,
		      const struct header *full, struct buf *out)
{
	int64_t seq_less = less((int64_t)e->seq, (int64_t)c->seq);
	int64_t mono = signed_of(full, FIELD_MONO), first = signed_of(full, FIELD_FIRST);

	buf_put_u8(out, CONTEXT_MARK);
	buf_put_fixed32(out, c->id);
	buf_put_varint(out, zigzag_encode(seq_less));
	buf_put_varint(out, zigzag_encode(less(mono, expect_mono(c, ctx, seq_less))));
	buf_put_varint(out, zigzag_encode(less(first, expect_first(ctx, mono))));
	put_fields(full, ctx, out);
	put_sections(full->end, e->body_len - header_len(full, e->body), out);
}

/* Whatever it is that cannot be told short, this finds it. */
static int expands_to(const struct context *c, const uint8_t *bytes, size_t len,
		      const struct envelope *e)
{
	struct buf body cleanup(buf_free) = BUF_INIT(e->body_len + CONTEXT_HEADER_MAX);
	struct envelope back;
	struct error err;
	int r = context_expand(c, bytes, len, &body, &back, &err);

	if (r == -ENOMEM)
		return r;
	return r == 0 && back.epoch == e->epoch && back.seq == e->seq &&
	       back.encoding == e->encoding && back.body_len == e->body_len &&
	       memcmp(back.body, e->body, e->body_len) == 0;
}

int context_compress(const struct context *c, const struct envelope *e, struct buf *out)
{
	struct header ctx, full;
	size_t start = out->len;
	int r;

	if (e->encoding != ENCODING_BATCH || e->body_len == 0 || envelope_has_origin(e) ||
	    e->epoch != c->epoch || !parse_header(&ctx, c->header, c->header_len) ||
	    !parse_header(&full, e->body, e->body_len))
		return 0;
	put_short(c, &ctx, e, &full, out);
	if (out->failed)
		return out->failed;
	r = out->len - start < e->body_len ? expands_to(c, out->data + start, out->len - start, e)
					   : 0;
	if (r <= 0)
		out->len = start;
	return r;
}

/* ---- whole again ---- */

struct short_form {
	uint32_t id;
	int64_t seq_less, mono_less, first_less;
	const uint8_t *body;
	size_t body_len;
};

static int read_short(struct short_form *s, const void *bytes, size_t len, struct error *err)
{
	struct cursor c = cursor_of(bytes, len);
	uint8_t mark = cursor_u8(&c);

	s->id = cursor_fixed32(&c);
	s->seq_less = zigzag_decode(cursor_varint(&c));
	s->mono_less = zigzag_decode(cursor_varint(&c));
	s->first_less = zigzag_decode(cursor_varint(&c));
	s->body = c.p;
	s->body_len = cursor_left(&c);
	if (!c.failed && mark == CONTEXT_MARK)
		return 0;
	error_set(err, "envelope: %zu bytes that are no short Envelope", len);
	return -EBADMSG;
}

int context_peek(const void *bytes, size_t len, uint32_t *ret_id, int64_t *ret_seq_less,
		 struct error *err)
{
	struct short_form s;
	int r = read_short(&s, bytes, len, err);

	if (r < 0)
		return r;
	*ret_id = s.id;
	*ret_seq_less = s.seq_less;
	return 0;
}

static void put_time(struct buf *out, unsigned number, int64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, FIELD_TAG(number, WIRE_VARINT));
	buf_put_varint(out, zigzag_encode(v));
}

/* The field of that number: the short form's, else the context's. */
static void put_number(const struct header *ctx, const struct header *own, const struct expected *t,
		       unsigned number, struct buf *out)
{
	const struct field *f = find(own, number);

	if (number == FIELD_MONO || number == FIELD_FIRST) {
		put_time(out, number, number == FIELD_MONO ? t->mono : t->first);
		return;
	}
	if (!f)
		f = find(ctx, number);
	if (f)
		buf_put(out, f->begin, field_len(f));
}

static unsigned last_number(const struct header *h)
{
	return h->n ? h->fields[h->n - 1].number : 0;
}

static void put_rest(const struct short_form *s, const struct header *own, struct buf *out)
{
	const uint8_t *end = s->body + s->body_len;
	size_t left = (size_t)(end - own->end);

	if (left > 0 && *own->end == ONE_SECTION) {
		buf_put_varint(out, FIELD_TAG(FIELD_SECTIONS, WIRE_BYTES));
		buf_put_varint(out, left - 1);
		buf_put(out, own->end + 1, left - 1);
		return;
	}
	buf_put(out, own->end, left);
}

int context_expand(const struct context *c, const void *bytes, size_t len, struct buf *body,
		   struct envelope *ret, struct error *err)
{
	struct header ctx, own;
	struct short_form s;
	struct expected t;
	unsigned last;
	int64_t seq;
	int r = read_short(&s, bytes, len, err);

	if (r < 0)
		return r;
	if (s.id != c->id || __builtin_add_overflow((int64_t)c->seq, s.seq_less, &seq) ||
	    seq <= 0 || !parse_header(&ctx, c->header, c->header_len) ||
	    !parse_header(&own, s.body, s.body_len)) {
		error_set(err, "envelope: %zu bytes that do not fit context %08" PRIx32, len,
			  c->id);
		return -EBADMSG;
	}
	t.mono = (int64_t)((uint64_t)expect_mono(c, &ctx, s.seq_less) + (uint64_t)s.mono_less);
	t.first = (int64_t)((uint64_t)expect_first(&ctx, t.mono) + (uint64_t)s.first_less);
	last = last_number(&ctx) > last_number(&own) ? last_number(&ctx) : last_number(&own);
	if (last < FIELD_MONO)
		last = FIELD_MONO;
	if (last > UINT8_MAX) {
		error_set(err, "envelope: field %u in a short Envelope", last);
		return -EBADMSG;
	}
	for (unsigned i = 1; i <= last; i++)
		put_number(&ctx, &own, &t, i, body);
	put_rest(&s, &own, body);
	*ret = (struct envelope){
		.epoch = c->epoch,
		.seq = (uint64_t)seq,
		.encoding = ENCODING_BATCH,
		.body = body->data,
		.body_len = body->len,
	};
	return body->failed;
}
