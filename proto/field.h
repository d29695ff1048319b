/* proto/field.h: a field of a protobuf message as it stands on the wire, for what is read by hand.
 */
#pragma once

#include "base/bytes.h"

enum wire_type { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };

struct field {
	uint32_t number; /* at least 1 */
	enum wire_type type;
	uint64_t value;		    /* for WIRE_BYTES their number: they end at end */
	const uint8_t *begin, *end; /* with its tag */
};

/* The next field. False: there is none, or it is none: then c->failed. */
bool field_read(struct cursor *c, struct field *ret);

/* Number and type in one, for a switch. */
#define FIELD_TAG(number, type) ((uint64_t)(number) << 3 | (type))
static inline uint64_t field_tag(const struct field *f)
{
	return FIELD_TAG(f->number, f->type);
}

static inline const uint8_t *field_bytes(const struct field *f)
{
	return f->end - f->value;
}

static inline size_t field_len(const struct field *f)
{
	return (size_t)(f->end - f->begin);
}
