#include "proto/range.h"

/* 32768 / (n + 1.6): the mean of what was seen at first, then of about the last thirty. */
const uint16_t range_rate[RANGE_SEEN_MAX + 1] = {20480, 12603, 9102, 7123, 5851, 4965, 4312, 3810,
						 3413,	3091,  2825, 2601, 2409, 2244, 2101, 1974,
						 1862,	1762,  1672, 1591, 1517, 1450, 1388, 1332,
						 1280,	1232,  1187, 1146, 1107, 1071, 1037};

void (*range_observe)(struct bit *b, int value);

void range_encode_start(struct range *r, struct buf *out)
{
	*r = (struct range){.range = UINT32_MAX, .out = out, .start = out->len};
}

void range_put(struct buf *out, uint32_t low)
{
	if (out->len < out->cap)
		out->data[out->len++] = (uint8_t)(low >> 24);
	else
		buf_put_u8(out, (uint8_t)(low >> 24));
}

/* Adds one to what is written already. The first byte cannot overflow: what is coded is below 1. */
void range_carry(struct buf *out, size_t start)
{
	size_t at = out->len;

	while (at > start && ++out->data[--at] == 0)
		;
}

/* Of all numbers in the final interval, writes the one with the most zeros at its end, less these
 * zeros. */
void range_encode_end(struct range *r)
{
	struct buf *out = r->out;
	uint64_t high = (uint64_t)r->low + r->range - 1;

	for (unsigned int drop = 32;; drop -= 8) {
		uint64_t mask = (1ull << drop) - 1, v = ((uint64_t)r->low + mask) & ~mask;

		if (v > high)
			continue;
		if (v >> 32)
			range_carry(out, r->start);
		r->low = (uint32_t)v;
		break;
	}
	for (int i = 0; i < 4; i++) {
		range_put(out, r->low);
		r->low <<= 8;
	}
	while (!out->failed && out->len > r->start && out->data[out->len - 1] == 0)
		out->len--;
}

void range_decode_start(struct range *r, const uint8_t *data, size_t len)
{
	static const uint8_t NOTHING[1]; /* protobuf-c gives NULL for no bytes */

	data = len ? data : NOTHING;
	*r = (struct range){.range = UINT32_MAX, .in = data, .end = data + len};
	for (int i = 0; i < 4; i++)
		r->low = r->low << 8 | (r->in < r->end ? *r->in++ : 0);
}
