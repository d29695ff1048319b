#include "proto/envelope.h"

#include <inttypes.h>

enum { EPOCH = 1, SEQ, ENCODING, BODY, ORIGIN_EPOCH, ORIGIN_SEQ, INTRODUCES };
enum { VARINT, FIXED64, BYTES, FIXED32 = 5 };

static void put_varint(struct buf *out, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, field << 3 | VARINT);
	buf_put_varint(out, v);
}

static void put_fixed64(struct buf *out, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, field << 3 | FIXED64);
	buf_put_fixed64(out, v);
}

int envelope_encode(const struct envelope *e, struct buf *out)
{
	put_fixed64(out, EPOCH, e->epoch);
	put_varint(out, SEQ, e->seq);
	put_varint(out, ENCODING, e->encoding);
	put_fixed64(out, ORIGIN_EPOCH, e->origin_epoch);
	put_varint(out, ORIGIN_SEQ, e->origin_seq);
	put_varint(out, INTRODUCES, e->introduces);
	buf_put_varint(out, BODY << 3 | BYTES);
	buf_put_varint(out, e->body_len);
	buf_put(out, e->body, e->body_len);
	return out->failed;
}

struct field {
	uint64_t tag, value;
	const uint8_t *bytes; /* value of them */
};

static struct field read_field(struct cursor *c)
{
	struct field f = {.tag = cursor_varint(c)};

	switch (f.tag & 7) {
	case VARINT:
		f.value = cursor_varint(c);
		break;
	case FIXED64:
		f.value = cursor_fixed64(c);
		break;
	case FIXED32:
		f.value = cursor_fixed32(c);
		break;
	case BYTES:
		f.value = cursor_varint(c);
		if (f.value > cursor_left(c))
			c->failed = true;
		else
			f.bytes = cursor_take(c, (size_t)f.value);
		break;
	default:
		c->failed = true;
	}
	return f;
}

/* Returns false for a known field of another wire type. */
static bool take_field(struct envelope *e, const struct field *f)
{
	switch (f->tag) {
	case EPOCH << 3 | FIXED64:
		e->epoch = f->value;
		return true;
	case SEQ << 3 | VARINT:
		e->seq = f->value;
		return true;
	case ENCODING << 3 | VARINT:
		e->encoding = f->value > UINT32_MAX ? UINT32_MAX : (uint32_t)f->value;
		return true;
	case BODY << 3 | BYTES:
		e->body = f->bytes;
		e->body_len = (size_t)f->value;
		return true;
	case ORIGIN_EPOCH << 3 | FIXED64:
		e->origin_epoch = f->value;
		return true;
	case ORIGIN_SEQ << 3 | VARINT:
		e->origin_seq = f->value;
		return true;
	case INTRODUCES << 3 | VARINT:
		e->introduces = f->value;
		return true;
	default:
		return f->tag >> 3 > INTRODUCES;
	}
}

int envelope_decode(struct envelope *ret, const void *bytes, size_t len, struct error *err)
{
	struct cursor c = cursor_of(bytes, len);
	struct envelope e = {0};

	while (cursor_left(&c) > 0 && !c.failed) {
		struct field f = read_field(&c);

		if (!c.failed && !take_field(&e, &f))
			c.failed = true;
	}
	if (c.failed) {
		error_set(err, "envelope: %zu bytes that are not an Envelope", len);
		return -EBADMSG;
	}
	if (e.seq == 0 || !e.body) {
		error_set(err, "envelope: no %s", e.seq == 0 ? "seq" : "body");
		return -EBADMSG;
	}
	*ret = e;
	return 0;
}
