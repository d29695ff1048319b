#include "agent/store/salvage_bytes.h"
#include "agent/store/salvage_tree.h"

#include <string.h>

/* Bytes of integers by serial type 1 to 6, section 2.1. */
static const uint8_t int_bytes[] = {0, 1, 2, 3, 4, 6, 8};

static int64_t read_int(const uint8_t *p, size_t n)
{
	uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

/* Bytes of a value in the body; SIZE_MAX: a type that there is not. */
static size_t value_bytes(uint64_t type)
{
	if (type < array_len(int_bytes))
		return int_bytes[type];
	if (type == 7)
		return 8;
	if (type == 8 || type == 9)
		return 0;
	if (type < 12 || (type - 12) / 2 > SALVAGE_PAYLOAD_MAX)
		return SIZE_MAX;
	return (size_t)((type - 12) / 2);
}

static struct salvage_value make_value(uint64_t type, const uint8_t *p, size_t len)
{
	struct salvage_value v = {.kind = SALVAGE_NULL};

	if (type >= 12)
		v = (struct salvage_value){
			.kind = type & 1 ? SALVAGE_TEXT : SALVAGE_BLOB, .data = p, .len = len};
	else if (type == 7)
		v.kind = SALVAGE_REAL;
	else if (type == 8 || type == 9)
		v = (struct salvage_value){.kind = SALVAGE_INT, .i = (int64_t)type - 8};
	else if (type > 0)
		v = (struct salvage_value){.kind = SALVAGE_INT, .i = read_int(p, len)};
	return v;
}

int salvage_record_parse(struct salvage_record *ret, int64_t rowid, const uint8_t *payload,
			 size_t len)
{
	const uint8_t *p = payload, *end = payload + len, *body;
	uint64_t header;

	ret->rowid = rowid;
	ret->n = 0;
	if (!read_varint(&p, end, &header) || header > len || header < (size_t)(p - payload))
		return -EBADMSG;
	body = payload + header;
	for (size_t n = 0; p < payload + header; n++) {
		uint64_t type;
		size_t bytes;

		if (n == SALVAGE_COLUMNS_MAX || !read_varint(&p, payload + header, &type))
			return ret->n = 0, -EBADMSG;
		bytes = value_bytes(type);
		if (bytes > (size_t)(end - body))
			return ret->n = 0, -EBADMSG;
		ret->columns[ret->n++] = make_value(type, body, bytes);
		body += bytes;
	}
	/* The body ends where the last value ends. */
	if (body != end || ret->n == 0)
		return ret->n = 0, -EBADMSG;
	return 0;
}
