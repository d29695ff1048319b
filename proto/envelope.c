#include "proto/envelope.h"

#include "proto/field.h"

#include <inttypes.h>

enum { EPOCH = 1, SEQ, ENCODING, BODY, ORIGIN_EPOCH, ORIGIN_SEQ, INTRODUCES };

static void put_varint(struct buf *out, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, FIELD_TAG(field, WIRE_VARINT));
	buf_put_varint(out, v);
}

static void put_fixed64(struct buf *out, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, FIELD_TAG(field, WIRE_FIXED64));
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
	buf_put_varint(out, FIELD_TAG(BODY, WIRE_BYTES));
	buf_put_varint(out, e->body_len);
	buf_put(out, e->body, e->body_len);
	return out->failed;
}

/* Returns false for a known field of another wire type. */
static bool take_field(struct envelope *e, const struct field *f)
{
	switch (field_tag(f)) {
	case FIELD_TAG(EPOCH, WIRE_FIXED64):
		e->epoch = f->value;
		return true;
	case FIELD_TAG(SEQ, WIRE_VARINT):
		e->seq = f->value;
		return true;
	case FIELD_TAG(ENCODING, WIRE_VARINT):
		e->encoding = f->value > UINT32_MAX ? UINT32_MAX : (uint32_t)f->value;
		return true;
	case FIELD_TAG(BODY, WIRE_BYTES):
		e->body = field_bytes(f);
		e->body_len = (size_t)f->value;
		return true;
	case FIELD_TAG(ORIGIN_EPOCH, WIRE_FIXED64):
		e->origin_epoch = f->value;
		return true;
	case FIELD_TAG(ORIGIN_SEQ, WIRE_VARINT):
		e->origin_seq = f->value;
		return true;
	case FIELD_TAG(INTRODUCES, WIRE_VARINT):
		e->introduces = f->value;
		return true;
	default:
		return f->number > INTRODUCES;
	}
}

int envelope_decode(struct envelope *ret, const void *bytes, size_t len, struct error *err)
{
	struct cursor c = cursor_of(bytes, len);
	struct envelope e = {0};
	struct field f;

	while (field_read(&c, &f))
		if (!take_field(&e, &f))
			c.failed = true;
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
