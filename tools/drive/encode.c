/* tools/drive/encode.c: see encode.h. */
#include "tools/drive/encode.h"
#include "tools/drive/car.h"

#include <endian.h>
#include <math.h>
#include <string.h>

int64_t drive_raw_min(const struct drive_signal *s)
{
	return s->flags & SIG_SIGNED ? -(INT64_C(1) << (s->bits - 1)) : 0;
}

int64_t drive_raw_max(const struct drive_signal *s)
{
	return (INT64_C(1) << (s->flags & SIG_SIGNED ? s->bits - 1 : s->bits)) - 1;
}

static uint64_t float_bits(double value)
{
	float f = (float)value;
	uint32_t bits;
	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static uint64_t field_raw(const struct drive_signal *s, const struct car *c)
{
	double value;
	memcpy(&value, (const char *)c + s->field, sizeof(value));
	if (s->flags & SIG_FLOAT)
		return float_bits(value);
	double raw = rint((value - s->offset) / s->factor);
	double lo = (double)drive_raw_min(s), hi = (double)drive_raw_max(s);
	return (uint64_t)(int64_t)(raw < lo ? lo : raw > hi ? hi : raw);
}

/* A signal of up to 32 bits lies inside the eight bytes that start with its first. */
static void put(uint8_t *data, const struct drive_signal *s, uint64_t raw)
{
	uint8_t *at = data + s->start / 8;
	uint64_t word, mask = (UINT64_C(1) << s->bits) - 1;
	memcpy(&word, at, sizeof(word));
	if (s->flags & SIG_BIG_ENDIAN) {
		unsigned shift = 64u - (7u - s->start % 8u) - s->bits;
		word = htobe64(be64toh(word) | (raw & mask) << shift);
	} else {
		word = htole64(le64toh(word) | (raw & mask) << s->start % 8);
	}
	memcpy(at, &word, sizeof(word));
}

static const uint8_t *crc_table(void)
{
	static uint8_t table[256];
	static bool ready;
	for (unsigned i = 0; !ready && i < 256; i++) {
		unsigned x = i;
		for (int bit = 0; bit < 8; bit++)
			x = x & 0x80 ? x << 1 ^ 0x1d : x << 1;
		table[i] = (uint8_t)x;
	}
	ready = true;
	return table;
}

uint8_t encode_crc(const struct drive_message *m, size_t crc_byte, const uint8_t *data)
{
	const uint8_t *t = crc_table();
	uint8_t x = t[0xff ^ (m->id >> 8 & 0xff)];
	x = t[x ^ (m->id & 0xff)];
	for (size_t i = 0; i < m->bytes; i++)
		if (i != crc_byte)
			x = t[x ^ data[i]];
	return x ^ 0xff;
}

void encode_message(const struct drive_message *m, const struct car *c, unsigned group,
		    unsigned counter, uint8_t data[static ENCODE_BYTES])
{
	const struct drive_signal *crc = NULL;
	memset(data, 0, ENCODE_BYTES);
	for (size_t i = 0; i < m->n_signals; i++) {
		const struct drive_signal *s = &m->signals[i];
		if (s->group != SIG_ALWAYS && (unsigned)s->group != group)
			continue;
		if (s->flags & SIG_CRC)
			crc = s;
		else if (s->flags & SIG_MUX)
			put(data, s, group);
		else if (s->flags & SIG_COUNTER)
			put(data, s, counter);
		else
			put(data, s, field_raw(s, c));
	}
	if (crc)
		data[crc->start / 8] = encode_crc(m, crc->start / 8u, data);
}
