/* The compiled plan against a decoder that takes a bit at a time, and J1939, multiplexing, short
 * frames, and the decoder with ISO-TP in one. */
#include "agent/decode/decode.h"
#include "agent/decode/plan_internal.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { SIGNALS = 400, MESSAGES = 64, RANGES = 4, NAME = 16 };

/* A catalog under construction, with room of its own for everything. */
struct world {
	struct catalog_signal signals[SIGNALS];
	struct catalog_message messages[MESSAGES];
	struct catalog_range ranges[SIGNALS][RANGES];
	char names[SIGNALS][NAME];
	char message_names[MESSAGES][NAME];
	const char *buses[2];
	struct catalog desc;
	struct catalog *cat;
};

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static unsigned below(unsigned n)
{
	return (unsigned)(rnd() >> 11) % n;
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->buses[0] = "can0";
	w->buses[1] = "can1";
	w->desc = (struct catalog){
		.buses = w->buses, .n_buses = 2, .messages = w->messages, .signals = w->signals};
}

static struct catalog_message *add_message(struct world *w, uint16_t bus, uint32_t id,
					   bool extended, unsigned bytes)
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

/* Adds to the message added last. */
static struct catalog_signal *add_signal(struct world *w, unsigned start, unsigned bits, bool big,
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

static void set_mux(struct world *w, struct catalog_signal *s, uint32_t mux, uint64_t from,
		    uint64_t to)
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

static void build(struct world *w)
{
	struct error err = {0};
	int r = catalog_build(&w->cat, &w->desc, &err);

	ck_assert_msg(r == 0, "catalog_build: %d %s", r, err.text);
}

static struct plan *plan_of(const struct catalog *cat, const uint8_t *wanted)
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

/* Puts the data at the very end of a block, so that a sanitizer sees any byte read beyond it. */
static size_t compare(const struct plan *p, const struct catalog *cat, const uint8_t *wanted,
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

static void random_data(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i % 8 ? data[i - i % 8] >> 1 ^ seed >> (i % 8 * 8) : rnd());
}

/* A signal anywhere inside the message of the given bytes. */
static struct catalog_signal *add_random_signal(struct world *w, unsigned bytes)
{
	unsigned room = bytes * 8, bits = 1 + below(room < 64 ? room : 64),
		 first = below(room - bits + 1);
	bool big = below(2);
	unsigned start = big ? first / 8 * 8 + 7 - first % 8 : first;

	return add_signal(w, start, bits, big, below(2) ? SIGNAL_SIGNED : SIGNAL_UNSIGNED);
}

static size_t random_len(unsigned bytes)
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

START_TEST(random_signals)
{
	static const unsigned sizes[] = {1, 2, 7, 8, 9, 12, 15, 16, 17, 24, 64, 200, 4095};
	uint8_t data[4095 + 16];
	struct world *w = malloc(sizeof(*w));
	size_t checked = 0;

	for (int round = 0; round < 60; round++) {
		struct plan *p;

		seed = 0x9E3779B97F4A7C15u + (uint64_t)round;
		world_init(w);
		for (uint32_t m = 0; m < 8; m++) {
			unsigned bytes = sizes[below(array_len(sizes))];

			add_message(w, 0, 0x100 + m, false, bytes);
			for (unsigned i = below(20); i > 0; i--)
				add_random_signal(w, bytes);
		}
		build(w);
		p = plan_of(w->cat, NULL);
		for (int k = 0; k < 200; k++) {
			uint32_t m = below(8);
			size_t len = random_len(w->messages[m].bytes);

			random_data(data, len);
			checked += compare(p, w->cat, NULL, m, data, len);
		}
		plan_free(p);
		catalog_free(w->cat);
	}
	ck_assert_uint_gt(checked, 40000);
	free(w);
}
END_TEST

/* Every start bit and length inside 10 bytes, both byte orders and signs. */
START_TEST(every_position)
{
	struct world *w = malloc(sizeof(*w));
	uint8_t data[18];

	seed = 7;
	for (unsigned first = 0; first < 80; first++) {
		struct plan *p;

		world_init(w);
		add_message(w, 0, 1, false, 10);
		for (unsigned bits = 1; bits <= 64 && first + bits <= 80; bits++) {
			add_signal(w, first, bits, false, SIGNAL_SIGNED);
			add_signal(w, first, bits, false, SIGNAL_UNSIGNED);
			add_signal(w, first / 8 * 8 + 7 - first % 8, bits, true, SIGNAL_SIGNED);
			add_signal(w, first / 8 * 8 + 7 - first % 8, bits, true, SIGNAL_UNSIGNED);
		}
		build(w);
		p = plan_of(w->cat, NULL);
		for (size_t len = 0; len <= 18; len++) {
			random_data(data, len);
			compare(p, w->cat, NULL, 0, data, len);
		}
		plan_free(p);
		catalog_free(w->cat);
	}
	free(w);
}
END_TEST

START_TEST(known_values)
{
	/* From SAE and DBC practice, worked out by hand. */
	static const uint8_t data[8] = {0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0};
	static const uint64_t expected[] = {
		0x3412, 0x1234, 0xFFFFFFFFFFFF9ABC, 0x123456789ABCDEF0, 0xF0DEBC9A78563412, 0x5};
	struct world w;
	struct sample out[8];
	struct plan *p;

	world_init(&w);
	add_message(&w, 0, 1, false, 8);
	add_signal(&w, 0, 16, false, SIGNAL_UNSIGNED);
	add_signal(&w, 7, 16, true, SIGNAL_UNSIGNED);
	add_signal(&w, 39, 16, true, SIGNAL_SIGNED);
	add_signal(&w, 7, 64, true, SIGNAL_UNSIGNED);
	add_signal(&w, 0, 64, false, SIGNAL_SIGNED);
	add_signal(&w, 20, 4, false, SIGNAL_UNSIGNED);
	build(&w);
	p = plan_of(w.cat, NULL);
	ck_assert_uint_eq(plan_decode(p, 0, data, 8, out), 6);
	ck_assert_uint_eq(out[0].raw, expected[0]);
	ck_assert_uint_eq(out[1].raw, expected[1]);
	ck_assert_uint_eq(out[2].raw, expected[2]);
	ck_assert_uint_eq(out[3].raw, expected[3]);
	ck_assert_uint_eq(out[4].raw, expected[4]);
	ck_assert_uint_eq(out[5].raw, expected[5]);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

/* ---- multiplexing ---- */

/* Muxes at random depth over each other, ranges at random, signals at random; n_muxes above
 * PLAN_MUXES_MAX takes the slow way. */
static void add_random_muxed(struct world *w, unsigned bytes, unsigned n_muxes, unsigned n_signals)
{
	uint32_t base = (uint32_t)w->desc.n_signals;

	for (unsigned i = 0; i < n_muxes + n_signals; i++) {
		struct catalog_signal *s;
		unsigned parent = i < n_muxes ? i : n_muxes, depth = 0;

		if (i < n_muxes)
			s = add_signal(w, below(bytes * 8 - 3), 1 + below(3), false,
				       SIGNAL_UNSIGNED);
		else
			s = add_random_signal(w, bytes);
		if (i < n_muxes)
			s->is_mux = true;
		if (parent == 0 || below(3) == 0)
			continue;
		parent = base + below(parent);
		for (uint32_t k = parent; k != CATALOG_NONE; k = w->signals[k].mux)
			depth++;
		if (depth > 10)
			continue;
		for (unsigned k = 1 + below(RANGES); k > 0; k--) {
			uint64_t from = below(8);

			set_mux(w, s, parent, from, below(3) ? from : from + below(8));
		}
	}
}

static void check_random_mux(unsigned n_muxes, unsigned n_signals, int rounds)
{
	struct world *w = malloc(sizeof(*w));
	uint8_t data[80], wanted[SIGNALS];
	size_t checked = 0;

	for (int round = 0; round < rounds; round++) {
		unsigned bytes = below(2) ? 8 : 64;
		struct plan *all, *some;

		seed = 0xABCDEF + (uint64_t)round * 7919;
		world_init(w);
		add_message(w, 0, 1, false, bytes);
		add_random_muxed(w, bytes, n_muxes, n_signals);
		build(w);
		for (size_t i = 0; i < SIGNALS; i++)
			wanted[i] = (uint8_t)below(2);
		all = plan_of(w->cat, NULL);
		some = plan_of(w->cat, wanted);
		if (all->messages[0].walk != (n_muxes > PLAN_MUXES_MAX))
			ck_abort_msg("%u multiplexors: the other way was taken", n_muxes);
		for (int k = 0; k < 200; k++) {
			size_t len = random_len(bytes);

			random_data(data, len);
			checked += compare(all, w->cat, NULL, 0, data, len);
			checked += compare(some, w->cat, wanted, 0, data, len);
		}
		plan_free(all);
		plan_free(some);
		catalog_free(w->cat);
	}
	ck_assert_uint_gt(checked, 10000);
	free(w);
}

START_TEST(random_mux)
{
	check_random_mux(1, 40, 60);
	check_random_mux(5, 60, 60);
	check_random_mux(31, 80, 30);
}
END_TEST

START_TEST(random_mux_beyond_the_tables)
{
	check_random_mux(32, 40, 20);
	check_random_mux(90, 60, 20);
}
END_TEST

/* One multiplexor, but so many ranges that a table of them would not pay. */
START_TEST(mux_with_too_many_ranges)
{
	struct world *w = malloc(sizeof(*w));
	uint8_t data[24] = {0};
	size_t checked = 0;
	struct plan *p;

	seed = 99;
	world_init(w);
	add_message(w, 0, 1, false, 24);
	add_signal(w, 0, 16, false, SIGNAL_UNSIGNED)->is_mux = true;
	for (unsigned i = 1; i < SIGNALS; i++) {
		struct catalog_signal *s = add_random_signal(w, 24);

		for (unsigned k = 0; k < RANGES; k++)
			set_mux(w, s, 0, k * 2000 + i * 4, k * 2000 + i * 4 + 2);
	}
	build(w);
	p = plan_of(w->cat, NULL);
	ck_assert(p->messages[0].walk);
	for (int i = 0; i < 3000; i++) {
		random_data(data, sizeof(data));
		data[1] &= 0x1F;
		checked += compare(p, w->cat, NULL, 0, data, sizeof(data));
	}
	ck_assert_uint_gt(checked, 4000);
	plan_free(p);
	catalog_free(w->cat);
	free(w);
}
END_TEST

START_TEST(mux_of_64_bits)
{
	uint8_t data[16];
	struct world w;
	struct plan *p;

	world_init(&w);
	add_message(&w, 0, 1, false, 16);
	add_signal(&w, 0, 64, false, SIGNAL_UNSIGNED)->is_mux = true;
	set_mux(&w, add_signal(&w, 64, 8, false, SIGNAL_UNSIGNED), 0, 0, UINT64_MAX);
	set_mux(&w, add_signal(&w, 72, 8, false, SIGNAL_UNSIGNED), 0, UINT64_MAX, UINT64_MAX);
	set_mux(&w, add_signal(&w, 80, 8, false, SIGNAL_UNSIGNED), 0, 0, UINT64_MAX - 1);
	build(&w);
	p = plan_of(w.cat, NULL);
	memset(data, 0xFF, sizeof(data));
	ck_assert_uint_eq(compare(p, w.cat, NULL, 0, data, 16), 3);
	data[0] = 0xFE;
	ck_assert_uint_eq(compare(p, w.cat, NULL, 0, data, 16), 3);
	memset(data, 0, sizeof(data));
	ck_assert_uint_eq(compare(p, w.cat, NULL, 0, data, 16), 3);
	ck_assert_uint_eq(compare(p, w.cat, NULL, 0, data, 9), 2);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

/* Nothing depends on it, or nothing that is wanted. */
START_TEST(mux_without_dependants)
{
	uint8_t wanted[3] = {1, 0, 0}, data[8] = {5, 6, 7};
	struct world w;
	struct plan *p;

	world_init(&w);
	add_message(&w, 0, 1, false, 8);
	add_signal(&w, 0, 8, false, SIGNAL_UNSIGNED)->is_mux = true;
	build(&w);
	p = plan_of(w.cat, NULL);
	ck_assert_uint_eq(compare(p, w.cat, NULL, 0, data, 8), 1);
	plan_free(p);
	catalog_free(w.cat);
	set_mux(&w, add_signal(&w, 8, 8, false, SIGNAL_UNSIGNED), 0, 5, 5);
	build(&w);
	p = plan_of(w.cat, wanted);
	ck_assert_uint_eq(compare(p, w.cat, wanted, 0, data, 8), 1);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

START_TEST(nested_mux_as_uds_has_it)
{
	/* service (byte 1) 0x62 -> response (bytes 2, 3) 0x101 -> state of charge (byte 8) */
	static const uint8_t hit[9] = {8, 0x62, 0x01, 0x01, 0, 0, 0, 0, 100};
	static const uint8_t other[9] = {8, 0x62, 0x01, 0x02, 0, 0, 0, 0, 100};
	static const uint8_t negative[9] = {8, 0x7F, 0x01, 0x01, 0, 0, 0, 0, 100};
	uint8_t wanted[3] = {1, 0, 0};
	struct sample out[3];
	struct world w;
	struct plan *p;

	world_init(&w);
	add_message(&w, 0, 0x7EC, false, 62);
	add_signal(&w, 64, 8, false, SIGNAL_UNSIGNED); /* declared before its muxes */
	add_signal(&w, 23, 16, true, SIGNAL_UNSIGNED)->is_mux = true; /* response */
	add_signal(&w, 15, 8, true, SIGNAL_UNSIGNED)->is_mux = true;  /* service */
	set_mux(&w, &w.signals[0], 1, 257, 257);
	set_mux(&w, &w.signals[1], 2, 98, 98);
	build(&w);
	p = plan_of(w.cat, NULL);
	ck_assert_uint_eq(plan_decode(p, 0, hit, 9, out), 3);
	ck_assert_uint_eq(out[0].raw, 100);
	ck_assert_uint_eq(out[1].raw, 257);
	ck_assert_uint_eq(out[2].raw, 98);
	ck_assert_uint_eq(plan_decode(p, 0, other, 9, out), 2);
	ck_assert_uint_eq(plan_decode(p, 0, negative, 9, out), 1);
	ck_assert_uint_eq(out[0].signal, 2);
	plan_free(p);
	/* Multiplexors that nobody wants still decide. */
	p = plan_of(w.cat, wanted);
	ck_assert_uint_eq(plan_samples_max(p), 1);
	ck_assert_uint_eq(plan_decode(p, 0, hit, 9, out), 1);
	ck_assert_uint_eq(out[0].raw, 100);
	ck_assert_uint_eq(plan_decode(p, 0, other, 9, out), 0);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

/* ---- which message ---- */

START_TEST(exact_ids)
{
	struct world w;
	struct plan *p;

	world_init(&w);
	for (uint32_t i = 0; i < 20; i++)
		add_message(&w, i % 2, 0x100 + i / 2, i % 3 == 0, 8);
	build(&w);
	p = plan_of(w.cat, NULL);
	for (uint32_t i = 0; i < 20; i++) {
		ck_assert_uint_eq(plan_message(p, i % 2, 0x100 + i / 2, i % 3 == 0), i);
		ck_assert_uint_eq(plan_message(p, i % 2, 0x100 + i / 2, i % 3 != 0), CATALOG_NONE);
		ck_assert_uint_eq(plan_message(p, 2, 0x100 + i / 2, i % 3 == 0), CATALOG_NONE);
	}
	ck_assert_uint_eq(plan_message(p, 0, 0x7FF, false), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, FRAME_BUS_NONE, 0x100, false), CATALOG_NONE);
	/* No signal at all: nothing to decode, nothing to fear. */
	ck_assert_uint_eq(plan_decode(p, 0, (const uint8_t *)"12345678", 8, NULL), 0);
	ck_assert_uint_eq(plan_decode(p, CATALOG_NONE, (const uint8_t *)"12345678", 8, NULL), 0);
	ck_assert_uint_eq(plan_samples_max(p), 0);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

START_TEST(j1939_by_pgn)
{
	struct world w;
	struct plan *p;

	world_init(&w);
	add_message(&w, 0, 0x0CF00400, true, 8)->j1939 = true; /* PDU2: PGN F004 */
	add_message(&w, 0, 0x18EA00FE, true, 8)->j1939 = true; /* PDU1: PGN EA00, any destination */
	add_message(&w, 0, 0x18F00421, true, 8);	       /* exact goes first */
	add_message(&w, 0, 0x19F00400, true, 8)->j1939 = true; /* data page 1: PGN 1F004 */
	build(&w);
	p = plan_of(w.cat, NULL);
	ck_assert_uint_eq(plan_message(p, 0, 0x0CF00400, true), 0);
	ck_assert_uint_eq(plan_message(p, 0, 0x18F004AB, true), 0);
	ck_assert_uint_eq(plan_message(p, 0, 0x18F00421, true), 2);
	ck_assert_uint_eq(plan_message(p, 0, 0x0CF00500, true), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, 0, 0x0CEA1234, true), 1);
	ck_assert_uint_eq(plan_message(p, 0, 0x18EAFF00, true), 1);
	ck_assert_uint_eq(plan_message(p, 0, 0x18EB0000, true), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, 0, 0x1DF00433, true), 3);
	ck_assert_uint_eq(plan_message(p, 1, 0x0CF00400, true), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, 0, 0x400, false), CATALOG_NONE);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

/* ---- the decoder: plan and ISO-TP ---- */

static struct frame frame_of(uint32_t id, uint8_t flags, const char *hex)
{
	struct frame f = {.id = id, .flags = flags};

	f.len = (uint8_t)hex_decode(hex, strlen(hex), f.data, sizeof(f.data));
	return f;
}

START_TEST(decoder_joins_isotp)
{
	struct frame first = frame_of(0x7EC, 0, "1009620101AABBCC");
	struct frame second = frame_of(0x7EC, 0, "21DDEEFF00000000");
	struct frame single = frame_of(0x7EC, 0, "0462010155555555");
	struct frame fd = frame_of(0x7EC, FRAME_FD, "0962010100000000000000DD");
	struct sample out[4];
	struct decoder *d = NULL;
	uint32_t message;
	struct world w;

	world_init(&w);
	add_message(&w, 0, 0x7EC, false, 12);
	add_signal(&w, 0, 8, false, SIGNAL_UNSIGNED);  /* the length byte */
	add_signal(&w, 56, 8, false, SIGNAL_UNSIGNED); /* 7th byte of the payload */
	add_signal(&w, 88, 8, false, SIGNAL_UNSIGNED); /* beyond this payload */
	build(&w);
	ck_assert_int_eq(decoder_new(&d, w.cat, NULL), 0);
	ck_assert_uint_eq(decoder_samples_max(d), 3);
	ck_assert_uint_eq(decoder_frame(d, &first, &message, out), 0);
	ck_assert_uint_eq(message, 0);
	ck_assert_uint_eq(decoder_frame(d, &second, &message, out), 2);
	ck_assert_uint_eq(out[0].raw, 9);
	ck_assert_uint_eq(out[1].raw, 0xDD);
	ck_assert_uint_eq(decoder_frame(d, &single, &message, out), 1);
	ck_assert_uint_eq(out[0].raw, 4);
	/* 12 bytes fit a CAN FD frame: that is the message itself. */
	ck_assert_uint_eq(decoder_frame(d, &fd, &message, out), 3);
	ck_assert_uint_eq(out[2].raw, 0xDD);
	ck_assert_uint_eq(decoder_isotp(d)->payloads, 2);
	decoder_free(d);
	catalog_free(w.cat);
}
END_TEST

START_TEST(decoder_passes_over)
{
	struct frame remote = frame_of(1, FRAME_REMOTE, ""), error = frame_of(1, FRAME_ERROR, "00");
	struct frame unknown = frame_of(2, 0, "00"), good = frame_of(1, 0, "2A"), broken = good;
	struct sample out[1];
	struct decoder *d = NULL;
	uint32_t message;
	struct world w;

	world_init(&w);
	add_message(&w, 0, 1, false, 8);
	add_signal(&w, 0, 8, false, SIGNAL_UNSIGNED);
	build(&w);
	ck_assert_int_eq(decoder_new(&d, w.cat, NULL), 0);
	ck_assert_uint_eq(decoder_frame(d, &remote, &message, out), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	ck_assert_uint_eq(decoder_frame(d, &error, &message, out), 0);
	ck_assert_uint_eq(decoder_frame(d, &unknown, &message, out), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	broken.len = FRAME_DATA_MAX + 1;
	ck_assert_uint_eq(decoder_frame(d, &broken, &message, out), 0);
	ck_assert_uint_eq(decoder_frame(d, &good, &message, out), 1);
	ck_assert_uint_eq(out[0].raw, 0x2A);
	decoder_free(d);
	catalog_free(w.cat);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("plan");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, random_signals);
	tcase_add_test(t, every_position);
	tcase_add_test(t, known_values);
	tcase_add_test(t, random_mux);
	tcase_add_test(t, random_mux_beyond_the_tables);
	tcase_add_test(t, mux_with_too_many_ranges);
	tcase_add_test(t, mux_of_64_bits);
	tcase_add_test(t, mux_without_dependants);
	tcase_add_test(t, nested_mux_as_uds_has_it);
	tcase_add_test(t, exact_ids);
	tcase_add_test(t, j1939_by_pgn);
	tcase_add_test(t, decoder_joins_isotp);
	tcase_add_test(t, decoder_passes_over);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
