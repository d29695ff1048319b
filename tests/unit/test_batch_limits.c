/* Batches: what a builder takes, how much memory, how many bytes. */
#include "tests/unit/batch_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <malloc.h>

START_TEST(a_full_builder_says_so_and_adds_nothing)
{
	struct batch_builder *b = builder(5, 1000000);
	struct sample s[3] = {{0, 1}, {1, 0}, {2, 3}};

	ck_assert_int_eq(add(b, 0, 5000000000ll, s, 3), 0);
	ck_assert_int_eq(add(b, 0, 5001000000ll, s, 3), BATCH_FULL);
	ck_assert_uint_eq(batch_builder_count(b), 3);
	ck_assert_int_eq(add(b, 0, 5002000000ll, s, 2), 0);
	ck_assert_int_eq(add(b, 0, 5003000000ll, s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, 5003000000ll, s, 0), 0);
	ck_assert_uint_eq(batch_builder_count(b), 5);
	roundtrip(b, 1000000);
	batch_builder_reset(b);
	ck_assert_uint_eq(batch_builder_count(b), 0);
	ck_assert_int_eq(add(b, 0, 5003000000ll, s, 3), 0);
	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

START_TEST(a_time_too_far_off_needs_another_batch)
{
	struct batch_builder *b = builder(5, 1);
	struct sample s = {0, 1};

	ck_assert_int_eq(add(b, 0, 5000000000ll, &s, 1), 0);
	ck_assert_int_eq(add(b, 0, 7200000000ll, &s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, 2800000000ll, &s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, INT64_MIN, &s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, 2852516353ll, &s, 1), 0);
	ck_assert_int_eq(add(b, 0, 7147483646ll, &s, 1), 0);
	roundtrip(b, 1);
	batch_builder_free(b);
}
END_TEST

START_TEST(an_empty_batch_is_one)
{
	struct batch_builder *b = builder(5, 1000000);

	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

START_TEST(a_small_output_limit_is_an_error)
{
	struct batch_builder *b = builder(20000, 1000000);
	struct buf out cleanup(buf_free) = BUF_INIT(300);
	struct batch_header h = header(1000000);
	uint32_t encoding;

	fill(b, 300, false, 1000000, 0);
	n_expected = 0;
	ck_assert_int_eq(batch_builder_encode(b, &h, &out, &encoding), -EMSGSIZE);
	ck_assert_uint_le(out.len, 300);
	batch_builder_free(b);
}
END_TEST

static int check_order(void *ctx, const struct batch_column *col)
{
	size_t *n = ctx;

	for (size_t i = 1; i < col->n; i++)
		ck_assert(
			col->wall_ns[i] > col->wall_ns[i - 1] ||
			(col->wall_ns[i] == col->wall_ns[i - 1] && col->raw[i] > col->raw[i - 1]));
	*n += col->n;
	return 0;
}

/* Were each late row looked a place for from the beginning, this would take minutes. */
START_TEST(late_rows_take_no_longer)
{
	enum { ROWS = 300000 };
	static const uint32_t WIDE = SIGNALS - 1;
	struct batch_builder *b = builder(ROWS, 1000000);
	struct buf bytes cleanup(buf_free) = BUF_INIT(16 << 20);
	struct batch_header h = header(1000000);
	struct batch *batch;
	size_t n = 0;

	for (int64_t i = 0; i < ROWS; i++) {
		struct sample s = {WIDE, (uint64_t)i};
		/* On; from a third on back by an hour; from two thirds on each second one late. */
		int64_t ms = i < ROWS / 3	? i
			     : i < ROWS / 3 * 2 ? i - 3600000
						: i + (i % 2 ? 10 : 0);

		ck_assert_int_eq(batch_builder_add(b, MESSAGES - 1, ms * 1000000, &s, 1), 0);
	}
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	ck_assert_int_eq(batch_columns(batch, cat, CATALOG_NONE, check_order, &n, NULL), 0);
	ck_assert_uint_eq(n, ROWS);
	batch_free(batch);
	batch_builder_free(b);
}
END_TEST

START_TEST(adding_and_encoding_allocate_nothing)
{
	struct batch_builder *b = builder(65536, 1000000);
	struct buf out cleanup(buf_free) = BUF_INIT(4 << 20);
	struct batch_header h = header(1000000);
	struct mallinfo2 before, after;
	uint32_t encoding;
	struct sample s = {0, 0};

	ck_assert_int_eq(buf_reserve(&out, 1 << 20), 0);
	before = mallinfo2();
	for (int i = 0; i < 30000; i++) {
		s.signal = (uint32_t)(rng() % SIGNALS);
		s.raw = rng();
		ck_assert_int_eq(batch_builder_add(b, s.signal / PER_MESSAGE, i * 1000000ll, &s, 1),
				 0);
	}
	for (int i = 0; i < 3; i++) {
		buf_clear(&out);
		ck_assert_int_eq(batch_builder_encode(b, &h, &out, &encoding), 0);
		ck_assert_int_eq(batch_builder_encode(b, &h, &out, &encoding), 0);
	}
	after = mallinfo2();
	ck_assert_uint_eq(before.uordblks, after.uordblks);
	ck_assert_uint_eq(before.hblkhd, after.hblkhd);
	ck_assert_uint_eq(before.arena, after.arena);
	batch_builder_free(b);
}
END_TEST

START_TEST(a_large_builder_fits_its_budget)
{
	struct mallinfo2 before = mallinfo2(), after;
	struct batch_builder *b = builder(65536, 1000000);

	after = mallinfo2();
	ck_assert_uint_le(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd,
			  2400 << 10);
	batch_builder_free(b);
}
END_TEST

START_TEST(batches_are_small)
{
	struct batch_builder *b = builder(65536, 1000000);
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = header(1000000);

	/* 10 s of 100 Hz: eight signals that stand still, or count. */
	for (int64_t i = 0; i < 1000; i++) {
		struct sample s[PER_MESSAGE];

		for (uint32_t k = 0; k < PER_MESSAGE; k++)
			s[k] = (struct sample){
				k, extend_to(k % 2 ? (uint64_t)i : 1, &cat->signals[k])};
		ck_assert_int_eq(batch_builder_add(b, 0, i * 10000000, s, PER_MESSAGE), 0);
	}
	encode(b, &h, &bytes);
	ck_assert_msg(bytes.len < 200, "%zu bytes", bytes.len);
	batch_builder_free(b);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("limits");

	tcase_add_checked_fixture(tc, batch_setup, batch_teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, a_full_builder_says_so_and_adds_nothing);
	tcase_add_test(tc, a_time_too_far_off_needs_another_batch);
	tcase_add_test(tc, an_empty_batch_is_one);
	tcase_add_test(tc, a_small_output_limit_is_an_error);
	tcase_add_test(tc, late_rows_take_no_longer);
	tcase_add_test(tc, adding_and_encoding_allocate_nothing);
	tcase_add_test(tc, a_large_builder_fits_its_budget);
	tcase_add_test(tc, batches_are_small);
	return suite_run("batch_limits", &tc, 1);
}
