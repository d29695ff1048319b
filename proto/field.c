#include "proto/field.h"

static uint64_t read_value(struct cursor *c, uint64_t type)
{
	uint64_t v = 0;

	switch (type) {
	case WIRE_VARINT:
		return cursor_varint(c);
	case WIRE_FIXED64:
		return cursor_fixed64(c);
	case WIRE_FIXED32:
		return cursor_fixed32(c);
	case WIRE_BYTES:
		v = cursor_varint(c);
		if (v > cursor_left(c))
			c->failed = true;
		else
			(void)cursor_take(c, (size_t)v);
		return v;
	default:
		c->failed = true;
		return 0;
	}
}

bool field_read(struct cursor *c, struct field *ret)
{
	const uint8_t *begin = c->p;
	uint64_t tag, value;

	if (c->failed || cursor_left(c) == 0)
		return false;
	tag = cursor_varint(c);
	value = read_value(c, tag & 7);
	if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
		c->failed = true;
	if (c->failed)
		return false;
	*ret = (struct field){.number = (uint32_t)(tag >> 3),
			      .type = (enum wire_type)(tag & 7),
			      .value = value,
			      .begin = begin,
			      .end = c->p};
	return true;
}
