/* The set of stored seqs, held against a naive one. */
#include "relay/stream/window.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { SEQ_MAX = 400, ROUNDS = 300, STEPS = 600 };

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

static void check_same(const struct window *w, const bool *naive)
{
	uint64_t through = 0;

	while (through < SEQ_MAX && naive[through + 1])
		through++;
	ck_assert_uint_eq(w->through, through);
	for (uint64_t s = 1; s <= SEQ_MAX; s++)
		ck_assert_int_eq(window_has(w, s), naive[s]);
	for (size_t i = 0; i < w->n; i++) {
		ck_assert_uint_le(w->ranges[i].from, w->ranges[i].to);
		ck_assert_uint_gt(w->ranges[i].from, i ? w->ranges[i - 1].to + 1 : through + 1);
	}
}

static void check_parts(const struct window *w, const bool *naive)
{
	uint64_t from = 1 + random_below(SEQ_MAX / 2), to = from + random_below(SEQ_MAX / 2);
	struct window in, out;

	ck_assert_int_eq(window_part(w, from, to, &in), 0);
	ck_assert_int_eq(window_missing(w, from, to, &out), 0);
	for (uint64_t s = 1; s <= SEQ_MAX; s++) {
		bool asked = s >= from && s <= to;

		ck_assert_int_eq(window_has(&in, s), asked && naive[s]);
		ck_assert_int_eq(window_has(&out, s), asked && !naive[s]);
	}
	ck_assert_uint_eq(window_count(&in) + window_count(&out), to - from + 1);
	window_free(&in);
	window_free(&out);
}

/* As after a restart: through the bytes of the table. */
static void reload(struct window *w)
{
	struct buf b = BUF_INIT(1 << 20);
	struct window again;

	ck_assert_int_eq(window_encode(w, &b), 0);
	ck_assert_int_eq(window_decode(&again, w->through, b.data, b.len), 0);
	window_free(w);
	*w = again;
	buf_free(&b);
}

START_TEST(test_is_the_naive_set)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct window w = {0};
		bool naive[SEQ_MAX + 1] = {false};
		uint32_t spread = 1 + random_below(SEQ_MAX);

		for (int i = 0; i < STEPS; i++) {
			uint64_t seq = 1 + random_below(spread);

			ck_assert_int_eq(window_add(&w, seq), naive[seq] ? WINDOW_HAVE : 0);
			naive[seq] = true;
			if (i == STEPS / 2)
				reload(&w);
		}
		check_same(&w, naive);
		window_free(&w);
	}
}
END_TEST

/* Ranges added, taken out and asked for, against the naive set. */
START_TEST(test_ranges_are_the_naive_ones)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct window w = {0};
		bool naive[SEQ_MAX + 1] = {false};

		for (int i = 0; i < STEPS / 4; i++) {
			uint64_t from = 1 + random_below(SEQ_MAX);
			uint64_t to = from + random_below((uint32_t)(SEQ_MAX - from + 1));
			bool had = true, remove = random_below(3) == 0;

			for (uint64_t s = from; s <= to; s++)
				had = had && naive[s];
			if (remove)
				ck_assert_int_eq(window_remove_range(&w, from, to), 0);
			else
				ck_assert_int_eq(window_add_range(&w, from, to),
						 had ? WINDOW_HAVE : 0);
			for (uint64_t s = from; s <= to; s++)
				naive[s] = !remove;
			if (i % 32 == 0) {
				check_same(&w, naive);
				check_parts(&w, naive);
			}
		}
		window_free(&w);
	}
}
END_TEST

/* As many ranges as fit, the longest there are: nothing walks through seqs. */
START_TEST(test_huge_ranges)
{
	static const uint64_t HUGE = (uint64_t)1 << 48;
	struct window w = {0}, missing;

	ck_assert_int_eq(window_add_range(&w, 10, HUGE), 0);
	ck_assert_int_eq(window_add_range(&w, HUGE + 10, INT64_MAX), 0);
	ck_assert_int_eq(window_missing(&w, 1, INT64_MAX, &missing), 0);
	ck_assert_uint_eq(window_count(&missing), 9 + 9);
	ck_assert_uint_eq(window_top(&w), INT64_MAX);
	ck_assert_int_eq(window_add_all(&w, &missing), 0);
	ck_assert_uint_eq(w.through, INT64_MAX);
	ck_assert_uint_eq(w.n, 0);
	ck_assert_int_eq(window_remove_range(&w, 5, INT64_MAX - 5), 0);
	ck_assert_uint_eq(window_count(&w), 4 + 5);
	window_free(&missing);
	window_free(&w);
}
END_TEST

START_TEST(test_full_forgets_and_assumes_nothing)
{
	struct window w = {0};
	uint64_t from, to;

	ck_assert(!window_lowest_hole(&w, &from, &to));
	for (uint64_t i = 0; i < WINDOW_RANGES_MAX; i++)
		ck_assert_int_eq(window_add(&w, 10 + 2 * i), 0);
	ck_assert(!window_fits(&w, 1000000, 1000000));
	ck_assert_int_eq(window_add(&w, 1000000), WINDOW_FULL);
	ck_assert(!window_has(&w, 1000000));
	ck_assert(window_fits(&w, 11, 11) && window_fits(&w, 1, 1) && window_fits(&w, 5, 9));
	ck_assert_int_eq(window_add(&w, 11), 0); /* 10 to 12: joining always has room */
	ck_assert_int_eq(window_add(&w, 1000000), 0);
	ck_assert_int_eq(window_add(&w, UINT64_MAX), WINDOW_FULL);
	ck_assert_uint_eq(w.n, WINDOW_RANGES_MAX);
	ck_assert(window_lowest_hole(&w, &from, &to));
	ck_assert(from == 1 && to == 9);
	ck_assert_int_eq(window_add_range(&w, from, to), 0);
	ck_assert_uint_eq(w.through, 12);
	ck_assert_int_eq(window_add(&w, UINT64_MAX), 0);
	window_free(&w);
}
END_TEST

START_TEST(test_describe_in_parts)
{
	struct window w = {0};
	struct receipt r;
	uint64_t from = 1;
	size_t told = 0, parts = 0;

	ck_assert_int_eq(window_add(&w, 1), 0);
	for (uint64_t i = 0; i < 150; i++)
		ck_assert_int_eq(window_add(&w, 10 + 3 * i), 0);
	do {
		from = window_describe(&w, from, UINT64_MAX, &r);
		ck_assert_uint_eq(r.acked_through, 1);
		for (size_t i = 0; i < r.n_ranges; i++)
			ck_assert_uint_eq(r.ranges[i].from, 10 + 3 * told++);
		parts++;
	} while (from);
	ck_assert_uint_eq(told, 150);
	ck_assert_uint_eq(parts, 3);
	window_free(&w);
}
END_TEST

START_TEST(test_bad_bytes)
{
	static const uint8_t touching[] = {1, 0}, cut[] = {5},
			     wraps[] = {5,    0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0xff, 0x01};
	struct window w;

	ck_assert_int_eq(window_decode(&w, 3, touching, sizeof(touching)), -EBADMSG);
	ck_assert_int_eq(window_decode(&w, 3, cut, sizeof(cut)), -EBADMSG);
	ck_assert_int_eq(window_decode(&w, 3, wraps, sizeof(wraps)), -EBADMSG);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("window");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_is_the_naive_set);
	tcase_add_test(t, test_ranges_are_the_naive_ones);
	tcase_add_test(t, test_huge_ranges);
	tcase_add_test(t, test_full_forgets_and_assumes_nothing);
	tcase_add_test(t, test_describe_in_parts);
	tcase_add_test(t, test_bad_bytes);
	return suite_run("relay_window", &t, 1);
}
