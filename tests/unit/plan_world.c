#include "tests/unit/plan_world.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

uint64_t seed;

uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

unsigned below(unsigned n)
{
	return (unsigned)(rnd() >> 11) % n;
}

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->buses[0] = "can0";
	w->buses[1] = "can1";
	w->desc = (struct catalog){
		.buses = w->buses, .n_buses = 2, .messages = w->messages, .signals = w->signals};
}

struct catalog_message *world_message(struct world *w, uint16_t bus, uint32_t id, bool extended,
				      unsigned bytes)
{
	size_t n = w->desc.n_messages++;
	struct catalog_message *m = &w->messages[n];

	if (n >= MESSAGES)
		ck_abort_msg("too many messages");
	snprintf(w->message_names[n], NAME, "M%zu", n);
	*m = (struct catalog_message){.name = w->message_names[n],
				      .comment = "",
				      .bus = bus,
				      .id = id,
				      .extended = extended,
				      .bytes = (uint16_t)bytes,
				      .first_signal = (uint32_t)w->desc.n_signals};
	return m;
}

struct catalog_signal *world_signal(struct world *w, unsigned start, unsigned bits, bool big,
				    enum signal_kind kind)
{
	size_t n = w->desc.n_signals++;
	struct catalog_signal *s = &w->signals[n];

	if (n >= SIGNALS)
		ck_abort_msg("too many signals");
	snprintf(w->names[n], NAME, "S%zu", n);
	*s = (struct catalog_signal){.name = w->names[n],
				     .message = (uint32_t)w->desc.n_messages - 1,
				     .start_bit = (uint16_t)start,
				     .bits = (uint16_t)bits,
				     .big_endian = big,
				     .kind = kind,
				     .factor = 1,
				     .unit = "",
				     .comment = "",
				     .mux = CATALOG_NONE};
	w->messages[w->desc.n_messages - 1].n_signals++;
	return s;
}

void world_mux(struct world *w, struct catalog_signal *s, uint32_t mux, uint64_t from, uint64_t to)
{
	size_t n = (size_t)(s - w->signals);
	struct catalog_range *r = &w->ranges[n][s->n_mux_ranges];

	if (s->n_mux_ranges >= RANGES)
		ck_abort_msg("too many ranges");
	r->from = from;
	r->to = to;
	s->mux = mux;
	s->mux_ranges = w->ranges[n];
	s->n_mux_ranges++;
	w->signals[mux].is_mux = true;
}

void world_build(struct world *w)
{
	struct error err = {0};
	int r = catalog_build(&w->cat, &w->desc, &err);

	ck_assert_msg(r == 0, "catalog_build: %d %s", r, err.text);
}

struct plan *plan_of(const struct catalog *cat, const uint8_t *wanted)
{
	struct plan *p = NULL;

	ck_assert_int_eq(plan_new(&p, cat, wanted), 0);
	return p;
}

/* ---- the reference: DBC's definition, a bit at a time ---- */

/* Place of the i-th bit, from the least significant, as byte * 8 + bit; -1: before the data. */
static int bit_place(const struct catalog_signal *s, unsigned i)
{
	unsigned sequence;

	if (!s->big_endian)
		return (int)(s->start_bit + i);
	/* Big endian counts down inside a byte and then goes on at bit 7 of the next. */
	sequence = s->start_bit / 8 * 8 + (7 - s->start_bit % 8) + (s->bits - 1 - i);
	return (int)(sequence / 8 * 8 + (7 - sequence % 8));
}

static bool reference_raw(const struct catalog_signal *s, const uint8_t *data, size_t len,
			  uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < s->bits; i++) {
		int place = bit_place(s, i);

		if ((size_t)place / 8 >= len)
			return false;
		v |= (uint64_t)(data[place / 8] >> (place % 8) & 1) << i;
	}
	if (s->kind == SIGNAL_SIGNED && s->bits < 64 && v >> (s->bits - 1) & 1)
		v |= ~(uint64_t)0 << s->bits;
	*ret = v;
	return true;
}

static bool reference_present(const struct catalog *cat, const struct catalog_signal *s,
			      const uint8_t *data, size_t len)
{
	const struct catalog_signal *mux;
	uint64_t raw;

	if (s->mux == CATALOG_NONE)
		return true;
	mux = &cat->signals[s->mux];
	if (!reference_present(cat, mux, data, len) || !reference_raw(mux, data, len, &raw))
		return false;
	for (size_t i = 0; i < s->n_mux_ranges; i++)
		if (raw >= s->mux_ranges[i].from && raw <= s->mux_ranges[i].to)
			return true;
	return false;
}

static size_t reference_decode(const struct catalog *cat, uint32_t message, const uint8_t *wanted,
			       const uint8_t *data, size_t len, struct sample *out)
{
	const struct catalog_message *m = &cat->messages[message];
	size_t n = 0;

	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++) {
		const struct catalog_signal *s = &cat->signals[i];

		if ((wanted && !wanted[i]) || !reference_present(cat, s, data, len) ||
		    !reference_raw(s, data, len, &out[n].raw))
			continue;
		out[n++].signal = i;
	}
	return n;
}

size_t compare(const struct plan *p, const struct catalog *cat, const uint8_t *wanted,
	       uint32_t message, const uint8_t *data, size_t len)
{
	struct sample got[SIGNALS], expected[SIGNALS];
	uint8_t *exact = malloc(len ? len : 1);
	size_t n_got, n_expected;

	if (!exact)
		ck_abort_msg("out of memory");
	memcpy(exact, data, len);
	n_got = plan_decode(p, message, len ? exact : exact + 1, len, got);
	n_expected = reference_decode(cat, message, wanted, data, len, expected);
	free(exact);
	/* Check writes to a file at every assertion: only failures get that far. */
	if (n_got != n_expected || n_got > plan_samples_max(p))
		ck_abort_msg("message %u len %zu: %zu samples, expected %zu", message, len, n_got,
			     n_expected);
	for (size_t i = 0; i < n_got; i++) {
		const struct catalog_signal *s = &cat->signals[expected[i].signal];

		if (got[i].signal == expected[i].signal && got[i].raw == expected[i].raw)
			continue;
		ck_abort_msg("signal %u: start %u bits %u big %d kind %d len %zu: %llx of %u, "
			     "expected %llx",
			     expected[i].signal, s->start_bit, s->bits, s->big_endian, s->kind, len,
			     (unsigned long long)got[i].raw, got[i].signal,
			     (unsigned long long)expected[i].raw);
	}
	return n_got;
}

void random_data(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i % 8 ? data[i - i % 8] >> 1 ^ seed >> (i % 8 * 8) : rnd());
}

struct catalog_signal *world_random_signal(struct world *w, unsigned bytes)
{
	unsigned room = bytes * 8, bits = 1 + below(room < 64 ? room : 64),
		 first = below(room - bits + 1);
	bool big = below(2);
	unsigned start = big ? first / 8 * 8 + 7 - first % 8 : first;

	return world_signal(w, start, bits, big, below(2) ? SIGNAL_SIGNED : SIGNAL_UNSIGNED);
}

size_t random_len(unsigned bytes)
{
	switch (below(4)) {
	case 0:
		return below(bytes + 1); /* short */
	case 1:
		return bytes + below(9); /* longer than declared */
	default:
		return bytes;
	}
}
