/* Batches: what goes in comes out, to the bit. */
#include "tests/unit/batch_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

START_TEST(all_kinds_of_columns_come_back)
{
	static const uint32_t UNITS[] = {1000000, 1000, 1, 100000000};
	uint32_t unit = UNITS[_i % 4];
	struct batch_builder *b = builder(65536, unit);

	for (int rows = 1; rows <= 1000; rows *= 10) {
		batch_builder_reset(b);
		fill(b, rows, _i % 2 == 1, unit, (unsigned int)_i);
		roundtrip(b, unit);
	}
	batch_builder_free(b);
}
END_TEST

START_TEST(raws_beyond_the_signals_bits_come_back)
{
	struct batch_builder *b = builder(1000, 1000000);

	for (int i = 0; i < 100; i++) {
		struct sample s = {0, rng() >> (i % 64)};

		ck_assert_int_eq(add(b, 0, 5000000000ll + i * 1000000ll, &s, 1), 0);
	}
	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

START_TEST(random_walks_of_random_shape_come_back)
{
	struct batch_builder *b = builder(4096, 1000000);

	rng_state += (uint64_t)_i;
	for (int round = 0; round < 20; round++) {
		int64_t mono = 5000000000ll;

		batch_builder_reset(b);
		for (int i = 0; i < (int)(rng() % 400) + 1; i++) {
			uint32_t m = (uint32_t)(rng() % MESSAGES);
			struct sample s[PER_MESSAGE];
			size_t n = 0;

			for (uint32_t k = 0; k < PER_MESSAGE; k++)
				if (rng() % 4)
					s[n++] = (struct sample){m * PER_MESSAGE + k,
								 rng() >> (rng() % 64)};
			mono += (int64_t)(rng() >> (rng() % 30 + 34)) % 100000000 * 1000000 / 1000;
			mono -= mono % 1000000;
			ck_assert_int_eq(add(b, m, mono, s, n), 0);
		}
		if (batch_builder_count(b) > 0)
			roundtrip(b, 1000000);
		n_expected = 0;
	}
	batch_builder_free(b);
}
END_TEST

START_TEST(messages_in_step_come_back_with_losses)
{
	struct batch_builder *b = builder(20000, 1000);
	struct sample s;

	for (int64_t i = 0; i < 1000; i++) {
		int64_t jitter = (int64_t)(rng() % 900) * 1000;

		for (uint32_t m = 0; m < MESSAGES; m++) {
			s = (struct sample){m * PER_MESSAGE + 3, (uint64_t)i & 1};
			if (rng() % 20 && i % (1 + m) == 0)
				ck_assert_int_eq(
					add(b, m, 5000000000ll + i * 10000000 + jitter + m * 230000,
					    &s, 1),
					0);
		}
	}
	roundtrip(b, 1000);
	batch_builder_free(b);
}
END_TEST

START_TEST(times_that_go_back_come_out_in_order)
{
	static const int64_t TIMES_MS[] = {500, 100, 300, 300, -700, 200, 900, -700};
	struct batch_builder *b = builder(100, 1000000);
	struct sample s = {1, 0};

	for (size_t i = 0; i < array_len(TIMES_MS); i++) {
		s.raw = i;
		ck_assert_int_eq(add(b, 0, 5000000000ll + TIMES_MS[i] * 1000000, &s, 1), 0);
	}
	ck_assert_int_eq(batch_builder_first_ns(b), 4300000000ll);
	ck_assert_int_eq(batch_builder_last_ns(b), 5900000000ll);
	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

static int64_t worst_error;
static int64_t exact_ns[100];

static int measure_error(void *ctx, const struct batch_column *col)
{
	(void)ctx;
	for (size_t i = 0; i < col->n; i++) {
		int64_t error = llabs(col->wall_ns[i] - exact_ns[i]);

		worst_error = error > worst_error ? error : worst_error;
		if (i > 0)
			ck_assert_int_ge(col->wall_ns[i], col->wall_ns[i - 1]);
	}
	return 0;
}

START_TEST(times_are_off_by_a_unit_at_most)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_builder *b = builder(100, 1000000);
	struct batch_header h = header(1000000);
	int64_t mono = 4999123456ll;
	struct batch *batch;

	h.wall_base_ns += 777777;
	for (int i = 0; i < 100; i++) {
		struct sample s = {1, 0};

		exact_ns[i] = h.wall_base_ns + mono - h.mono_base_ns;
		ck_assert_int_eq(batch_builder_add(b, 0, mono, &s, 1), 0);
		mono += (int64_t)(rng() % 20000000);
	}
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	ck_assert_int_eq(batch_columns(batch, cat, 1, measure_error, NULL, NULL), 0);
	ck_assert_int_le(worst_error, 1000000);
	ck_assert_int_gt(worst_error, 500000);
	batch_free(batch);
	batch_builder_free(b);
}
END_TEST

START_TEST(headers_come_back)
{
	static const enum clock_quality QUALITIES[] = {CLOCK_UNKNOWN, CLOCK_FREE_RUNNING,
						       CLOCK_SYNCED};
	struct batch_builder *b = builder(100, 1000);
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = header(1000);
	struct sample s = {1, 0};
	struct batch *batch;

	h.clock_quality = QUALITIES[_i];
	ck_assert_int_eq(batch_builder_add(b, 0, 5000007000ll, &s, 1), 0);
	ck_assert_int_eq(batch_builder_add(b, 0, 5000009000ll, &s, 1), 0);
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	ck_assert_uint_eq(batch_get_header(batch)->epoch, 0xe70c);
	ck_assert_uint_eq(batch_get_header(batch)->seq, 42);
	ck_assert_uint_eq(batch_get_header(batch)->boot_id, h.boot_id);
	ck_assert_uint_eq(batch_get_header(batch)->catalog_id, cat->id);
	ck_assert_uint_eq(batch_get_header(batch)->campaign, 7);
	ck_assert_uint_eq(batch_get_header(batch)->consent_epoch, 3);
	ck_assert_uint_eq(batch_get_header(batch)->time_unit_ns, 1000);
	ck_assert_int_eq(batch_get_header(batch)->clock_quality, h.clock_quality);
	ck_assert_int_eq(batch_get_header(batch)->wall_base_ns, h.wall_base_ns + 7000);
	ck_assert_int_eq(batch_get_header(batch)->mono_base_ns, 5000007000ll);
	ck_assert_int_eq(batch_first_wall_ns(batch), h.wall_base_ns + 7000);
	ck_assert_int_eq(batch_last_wall_ns(batch), h.wall_base_ns + 9000);
	ck_assert_uint_eq(batch_sample_count(batch), 2);
	batch_free(batch);
	batch_builder_free(b);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("roundtrip");

	tcase_add_checked_fixture(tc, batch_setup, batch_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, all_kinds_of_columns_come_back, 0, 8);
	tcase_add_test(tc, raws_beyond_the_signals_bits_come_back);
	tcase_add_loop_test(tc, random_walks_of_random_shape_come_back, 0, 10);
	tcase_add_test(tc, messages_in_step_come_back_with_losses);
	tcase_add_test(tc, times_that_go_back_come_out_in_order);
	tcase_add_test(tc, times_are_off_by_a_unit_at_most);
	tcase_add_loop_test(tc, headers_come_back, 0, 3);
	return suite_run("batch", &tc, 1);
}
