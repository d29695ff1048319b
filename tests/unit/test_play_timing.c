/* When the frames of a log are due. */
#include "tests/unit/suite.h"
#include "tools/play/timing.h"

#include <check.h>

#define NOW (1000 * NS_PER_S)

static int64_t place(struct timing *t, int64_t logged_ns)
{
	int64_t position_ns;

	ck_assert_int_eq(timing_place(t, logged_ns, &position_ns), 0);
	return position_ns;
}

static int64_t due(struct timing *t, int64_t logged_ns)
{
	return timing_due(t, place(t, logged_ns), NOW) - NOW;
}

/* An hour of frames a third of a millisecond apart: none is a nanosecond off. */
START_TEST(no_drift)
{
	struct timing t = {.speed = 1, .gap_max_ns = INT64_MAX};
	int64_t start = INT64_C(1700000000123456789), position_ns, off = 0;

	for (int64_t i = 0; i < 3600 * 3000; i += 1 + i % 7) {
		if (timing_place(&t, start + i * 333333, &position_ns) != 0 ||
		    timing_due(&t, position_ns, NOW) != NOW + i * 333333)
			off++;
	}
	ck_assert_int_eq(off, 0);
}
END_TEST

START_TEST(speeds)
{
	struct timing fast = {.speed = 4, .gap_max_ns = INT64_MAX};
	struct timing slow = {.speed = 0.5, .gap_max_ns = INT64_MAX};

	ck_assert_int_eq(due(&fast, 500), 0);
	ck_assert_int_eq(due(&fast, 500 + NS_PER_S), NS_PER_S / 4);
	ck_assert_int_eq(due(&slow, 500), 0);
	ck_assert_int_eq(due(&slow, 500 + NS_PER_S), 2 * NS_PER_S);
}
END_TEST

/* Lines that changed places are due with the line before; the others stay where they were. */
START_TEST(lines_changed_places)
{
	struct timing t = {.speed = 1, .gap_max_ns = INT64_MAX};

	ck_assert_int_eq(due(&t, 10 * NS_PER_S), 0);
	ck_assert_int_eq(due(&t, 11 * NS_PER_S), NS_PER_S);
	ck_assert_int_eq(due(&t, 10 * NS_PER_S + 1), NS_PER_S);
	ck_assert_int_eq(due(&t, 11 * NS_PER_S - 1), NS_PER_S);
	ck_assert_int_eq(due(&t, 12 * NS_PER_S), 2 * NS_PER_S);
}
END_TEST

START_TEST(time_goes_back)
{
	struct timing t = {.speed = 1, .gap_max_ns = INT64_MAX};
	int64_t position_ns;

	ck_assert_int_eq(due(&t, 100 * NS_PER_S), 0);
	ck_assert_int_eq(due(&t, 101 * NS_PER_S), NS_PER_S);
	ck_assert_int_eq(timing_place(&t, 100 * NS_PER_S, &position_ns), TIMING_STEPPED);
	ck_assert_int_eq(position_ns, NS_PER_S);
	ck_assert_int_eq(due(&t, 100 * NS_PER_S), NS_PER_S);
	ck_assert_int_eq(due(&t, 102 * NS_PER_S), 3 * NS_PER_S);
}
END_TEST

/* What is not played takes no part, but for the place of what is. */
START_TEST(starts_within_the_log)
{
	struct timing t = {.speed = 1, .gap_max_ns = INT64_MAX};

	ck_assert_int_eq(place(&t, 10 * NS_PER_S), 0);
	ck_assert_int_eq(place(&t, 15 * NS_PER_S), 5 * NS_PER_S);
	ck_assert_int_eq(due(&t, 16 * NS_PER_S), 0);
	ck_assert_int_eq(place(&t, 17 * NS_PER_S), 7 * NS_PER_S);
	ck_assert_int_eq(due(&t, 18 * NS_PER_S), 2 * NS_PER_S);
	ck_assert_int_eq(t.gap_ns, 2 * NS_PER_S);
}
END_TEST

START_TEST(gaps_are_cut)
{
	struct timing t = {.speed = 2, .gap_max_ns = 10 * NS_PER_S};

	ck_assert_int_eq(due(&t, 0), 0);
	ck_assert_int_eq(due(&t, 10 * NS_PER_S), 5 * NS_PER_S);
	ck_assert_uint_eq(t.gaps_cut, 0);
	ck_assert_int_eq(due(&t, 3 * 86400 * NS_PER_S), 10 * NS_PER_S);
	ck_assert_int_eq(t.gap_ns, 3 * 86400 * NS_PER_S - 10 * NS_PER_S);
	ck_assert_uint_eq(t.gaps_cut, 1);
	ck_assert_int_eq(due(&t, 3 * 86400 * NS_PER_S + 1000), 10 * NS_PER_S + 500);
}
END_TEST

START_TEST(rounds)
{
	struct timing t = {.speed = 1, .gap_max_ns = INT64_MAX};

	for (int round = 0; round < 3; round++) {
		int64_t from = round * 3 * 20 * NS_PER_MS;

		ck_assert_int_eq(due(&t, 7 * NS_PER_S), from);
		ck_assert_int_eq(due(&t, 7 * NS_PER_S + 10 * NS_PER_MS), from + 10 * NS_PER_MS);
		ck_assert_int_eq(due(&t, 7 * NS_PER_S + 40 * NS_PER_MS), from + 40 * NS_PER_MS);
		timing_next_round(&t);
	}
}
END_TEST

START_TEST(rounds_of_one_frame)
{
	struct timing t = {.speed = 1, .gap_max_ns = INT64_MAX};

	for (int round = 0; round < 5; round++) {
		ck_assert_int_eq(due(&t, 7 * NS_PER_S), round * NS_PER_MS);
		timing_next_round(&t);
	}
}
END_TEST

/* Whatever a log claims: never back, never beyond the end of time. */
START_TEST(far_ends_of_time)
{
	struct timing t = {.speed = 0.001, .gap_max_ns = INT64_MAX};
	int64_t far = INT64_C(9000000000999999999), last = 0, now;

	for (int i = 0; i < 100; i++) {
		int64_t position_ns;

		(void)!timing_place(&t, i % 2 ? far : i, &position_ns);
		now = timing_due(&t, position_ns, NOW);
		ck_assert_int_ge(now, last);
		last = now;
		if (i % 10 == 9)
			timing_next_round(&t);
	}
	ck_assert_int_gt(last, INT64_C(1) << 61);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("timing");
	TCase *cases[] = {tc};

	tcase_add_test(tc, no_drift);
	tcase_add_test(tc, speeds);
	tcase_add_test(tc, lines_changed_places);
	tcase_add_test(tc, time_goes_back);
	tcase_add_test(tc, starts_within_the_log);
	tcase_add_test(tc, gaps_are_cut);
	tcase_add_test(tc, rounds);
	tcase_add_test(tc, rounds_of_one_frame);
	tcase_add_test(tc, far_ends_of_time);
	return suite_run("play_timing", cases, array_len(cases));
}
