#include "agent/diag/coverage.h"

#include <string.h>

/* DBC describes [length byte + payload] (agent/decode/README.md). The length is not known before
 * the response, so it decides nothing. */
struct known {
	uint8_t bytes[1 + COVERAGE_FIRST_MAX];
	size_t n; /* with the length byte */
};

uint32_t coverage_message(const struct catalog *cat, uint16_t bus, uint32_t id, bool extended)
{
	for (uint32_t i = 0; i < cat->n_messages; i++) {
		const struct catalog_message *m = &cat->messages[i];

		if (m->bus == bus && m->id == id && m->extended == extended && !m->status)
			return i;
	}
	return CATALOG_NONE;
}

/* Place of a signal's k-th bit in DBC numbering, from its start bit on. */
static size_t bit_at(const struct catalog_signal *s, size_t k)
{
	size_t straight;

	if (!s->big_endian)
		return s->start_bit + k;
	straight = s->start_bit / 8u * 8u + (7u - s->start_bit % 8u) + k;
	return straight / 8 * 8 + (7 - straight % 8);
}

static size_t first_byte(const struct catalog_signal *s)
{
	return s->start_bit / 8u;
}

static size_t end_byte(const struct catalog_signal *s)
{
	return bit_at(s, s->bits - 1u) / 8 + 1;
}

static uint64_t value_of(const struct catalog_signal *s, const struct known *k)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s->bits; i++) {
		size_t at = bit_at(s, i);
		uint64_t bit = k->bytes[at / 8] >> at % 8 & 1;

		v = s->big_endian ? v << 1 | bit : v | bit << i;
	}
	return v;
}

static bool selects(const struct catalog_signal *s, uint64_t value)
{
	for (size_t i = 0; i < s->n_mux_ranges; i++)
		if (value >= s->mux_ranges[i].from && value <= s->mux_ranges[i].to)
			return true;
	return false;
}

/* Whether the signal may be there. Multiplexors nest without circles (catalog.h). */
static bool may_be_there(const struct catalog *cat, const struct catalog_signal *s,
			 const struct known *k)
{
	while (s->mux != CATALOG_NONE) {
		const struct catalog_signal *mux = &cat->signals[s->mux];
		bool decided = first_byte(mux) >= 1 && end_byte(mux) <= k->n;

		if (decided && !selects(s, value_of(mux, k)))
			return false;
		s = mux;
	}
	return true;
}

struct covered coverage_of(const struct coverage *c, const uint8_t *first, size_t n)
{
	struct known k = {.n = 1 + n};
	struct covered ret = {0};
	const struct catalog_message *m;

	assert(n <= COVERAGE_FIRST_MAX);
	if (c->message == CATALOG_NONE)
		return ret;
	memcpy(k.bytes + 1, first, n);
	m = &c->cat->messages[c->message];
	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++) {
		const struct catalog_signal *s = &c->cat->signals[i];

		if (first_byte(s) < k.n || !may_be_there(c->cat, s, &k))
			continue;
		if (end_byte(s) - k.n > ret.bytes)
			ret.bytes = end_byte(s) - k.n;
		ret.wanted |= c->wants(c->ctx, i);
	}
	return ret;
}
