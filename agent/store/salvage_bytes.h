/* agent/store/salvage_bytes.h: big-endian integers and varints as SQLite's file format has them. */
#pragma once

#include "base/base.h"

static inline uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* Up to 9 bytes, 7 bits each from the top, all 8 of the ninth. Moves *p; false at the end. */
static inline bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (int i = 0; i < 9; i++) {
		uint8_t b;

		if (*p == end)
			return false;
		b = *(*p)++;
		if (i == 8) {
			v = v << 8 | b;
			break;
		}
		v = v << 7 | (b & 0x7f);
		if (!(b & 0x80))
			break;
	}
	*ret = v;
	return true;
}
