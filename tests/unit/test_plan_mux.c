/* The compiled plan: multiplexed signals, against a decoder that takes a bit at a time. */
#include "agent/decode/plan_internal.h"
#include "tests/unit/plan_world.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

/* Muxes at random depth over each other, ranges at random, signals at random; n_muxes above
 * PLAN_MUXES_MAX takes the slow way. */
static void add_random_muxed(struct world *w, unsigned bytes, unsigned n_muxes, unsigned n_signals)
{
	uint32_t base = (uint32_t)w->desc.n_signals;

	for (unsigned i = 0; i < n_muxes + n_signals; i++) {
		struct catalog_signal *s;
		unsigned parent = i < n_muxes ? i : n_muxes, depth = 0;

		if (i < n_muxes)
			s = world_signal(w, below(bytes * 8 - 3), 1 + below(3), false,
					 SIGNAL_UNSIGNED);
		else
			s = world_random_signal(w, bytes);
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

			world_mux(w, s, parent, from, below(3) ? from : from + below(8));
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
		world_message(w, 0, 1, false, bytes);
		add_random_muxed(w, bytes, n_muxes, n_signals);
		world_build(w);
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
	world_message(w, 0, 1, false, 24);
	world_signal(w, 0, 16, false, SIGNAL_UNSIGNED)->is_mux = true;
	for (unsigned i = 1; i < SIGNALS; i++) {
		struct catalog_signal *s = world_random_signal(w, 24);

		for (unsigned k = 0; k < RANGES; k++)
			world_mux(w, s, 0, k * 2000 + i * 4, k * 2000 + i * 4 + 2);
	}
	world_build(w);
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
	world_message(&w, 0, 1, false, 16);
	world_signal(&w, 0, 64, false, SIGNAL_UNSIGNED)->is_mux = true;
	world_mux(&w, world_signal(&w, 64, 8, false, SIGNAL_UNSIGNED), 0, 0, UINT64_MAX);
	world_mux(&w, world_signal(&w, 72, 8, false, SIGNAL_UNSIGNED), 0, UINT64_MAX, UINT64_MAX);
	world_mux(&w, world_signal(&w, 80, 8, false, SIGNAL_UNSIGNED), 0, 0, UINT64_MAX - 1);
	world_build(&w);
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
	world_message(&w, 0, 1, false, 8);
	world_signal(&w, 0, 8, false, SIGNAL_UNSIGNED)->is_mux = true;
	world_build(&w);
	p = plan_of(w.cat, NULL);
	ck_assert_uint_eq(compare(p, w.cat, NULL, 0, data, 8), 1);
	plan_free(p);
	catalog_free(w.cat);
	world_mux(&w, world_signal(&w, 8, 8, false, SIGNAL_UNSIGNED), 0, 5, 5);
	world_build(&w);
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
	world_message(&w, 0, 0x7EC, false, 62);
	world_signal(&w, 64, 8, false, SIGNAL_UNSIGNED); /* declared before its muxes */
	world_signal(&w, 23, 16, true, SIGNAL_UNSIGNED)->is_mux = true; /* response */
	world_signal(&w, 15, 8, true, SIGNAL_UNSIGNED)->is_mux = true;	/* service */
	world_mux(&w, &w.signals[0], 1, 257, 257);
	world_mux(&w, &w.signals[1], 2, 98, 98);
	world_build(&w);
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

int main(void)
{
	TCase *tc = tcase_create("mux");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, random_mux);
	tcase_add_test(tc, random_mux_beyond_the_tables);
	tcase_add_test(tc, mux_with_too_many_ranges);
	tcase_add_test(tc, mux_of_64_bits);
	tcase_add_test(tc, mux_without_dependants);
	tcase_add_test(tc, nested_mux_as_uds_has_it);
	return suite_run("plan_mux", &tc, 1);
}
