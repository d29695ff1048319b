#include "agent/store/row.h"

#include <zlib.h>

/* The finalizer of splitmix64: one-to-one, every bit reaches every other. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

uint64_t row_meta(uint64_t epoch, const int64_t col[static ROW_COLUMNS])
{
	uint64_t h = mix(epoch);

	for (size_t i = 0; i < ROW_COLUMNS; i++)
		if (i != ROW_KEY)
			h = mix(h ^ (uint64_t)col[i]);
	return h;
}

int64_t row_sum(uint64_t meta, int64_t key, const void *body, size_t len)
{
	uint64_t crc = crc32_z(crc32_z(0, NULL, 0), body, len);

	return (int64_t)mix(mix(meta ^ (uint64_t)key) ^ (crc | (uint64_t)len << 32));
}
