/* Receive times as mono time: the kernel's stamps while the wall clock is set, and a controller's
 * clock that drifts, jumps, wraps and stops. */
#include "agent/source/can_stamp.h"
#include "tests/unit/suite.h"

#include <check.h>

#define WALL (1700000000 * NS_PER_S)
#define MONO (500 * NS_PER_S)

static struct can_stamp stamp;

static void setup(void)
{
	stamp = (struct can_stamp){0};
}

/* Read at WALL and MONO. */
static int64_t kernel_time(int64_t wall_ns)
{
	struct clock_pair now = {.wall_ns = WALL, .mono_ns = MONO};
	struct can_stamps s = {.wall_ns = wall_ns};

	setup();
	return can_stamp_mono(&stamp, &s, &now);
}

START_TEST(kernel_times)
{
	ck_assert_int_eq(kernel_time(WALL), MONO);
	ck_assert_int_eq(kernel_time(WALL - 5), MONO - 5);
	ck_assert_int_eq(kernel_time(WALL - 2 * NS_PER_S), MONO - 2 * NS_PER_S);
	ck_assert_int_eq(kernel_time(WALL - 86400 * NS_PER_S), MONO); /* set forward */
	ck_assert_int_eq(kernel_time(WALL + 3600 * NS_PER_S), MONO);  /* set back */
	ck_assert_int_eq(kernel_time(0), MONO);			      /* none came */
	ck_assert_int_eq(kernel_time(INT64_MIN / 2), MONO);
}
END_TEST

/* The pair of clocks is not read at one moment: 1 ms in between must not turn frames around. */
START_TEST(frames_stay_in_order)
{
	struct clock_pair late = {.wall_ns = WALL, .mono_ns = MONO + NS_PER_MS};
	struct clock_pair next = {.wall_ns = WALL + 3 * NS_PER_MS, .mono_ns = MONO + 3 * NS_PER_MS};
	struct can_stamps s = {.wall_ns = WALL - 100};

	ck_assert_int_eq(can_stamp_mono(&stamp, &s, &late), late.mono_ns - 100);
	s.wall_ns = WALL + 5;
	ck_assert_int_eq(can_stamp_mono(&stamp, &s, &next), late.mono_ns - 100);
	s.wall_ns = WALL + 2 * NS_PER_MS;
	ck_assert_int_eq(can_stamp_mono(&stamp, &s, &next), MONO + 2 * NS_PER_MS);
}
END_TEST

/* A frame at the moment at, stamped by the controller's clock, late by delay in the kernel, read a
 * millisecond after. Returns how wrong its time is. */
static int64_t error_at(int64_t at, int64_t hardware, int64_t delay)
{
	struct clock_pair now = {.wall_ns = WALL + at + delay + NS_PER_MS,
				 .mono_ns = MONO + at + delay + NS_PER_MS};
	struct can_stamps s = {.wall_ns = WALL + at + delay, .hardware_ns = hardware};

	return can_stamp_mono(&stamp, &s, &now) - (MONO + at);
}

/* Delays of 50 to 1050 us, one in 20 of the least. */
static int64_t delay_of(unsigned i)
{
	return (50 + i * 7919 % 20 * 50) * NS_PER_US;
}

START_TEST(jitter_of_the_kernel_goes)
{
	for (unsigned i = 0; i < 1000; i++) {
		int64_t at = i * 10 * NS_PER_MS, error = error_at(at, 77 + at, delay_of(i));

		ck_assert_int_ge(error, 0);
		ck_assert_int_le(error, delay_of(i));
		if (i >= 20) /* the least delay has been seen */
			ck_assert_int_eq(error, 50 * NS_PER_US);
	}
	ck_assert_uint_eq(stamp.relearnt, 0);
}
END_TEST

/* 100 ppm each way: what two windows make of it, and no more. */
static void drift(int64_t ppm)
{
	int64_t bound = 2 * CAN_STAMP_WINDOW_S * NS_PER_S * 100 / 1000000, last = INT64_MIN;

	for (unsigned i = 0; i < 60000; i++) {
		int64_t at = i * 10 * NS_PER_MS;
		int64_t error = error_at(at, 5 + at + at / 1000000 * ppm, delay_of(i));

		if (i >= 20) {
			ck_assert_int_ge(error, -bound);
			ck_assert_int_le(error, 50 * NS_PER_US + bound);
		}
		ck_assert_int_ge(at + error, last);
		last = at + error;
	}
	ck_assert_uint_eq(stamp.relearnt, 0);
}

START_TEST(drift_is_followed)
{
	drift(100);
	setup();
	drift(-100);
}
END_TEST

/* A counter of 32 bits in microseconds that the driver does not make longer. */
START_TEST(a_counter_that_wraps)
{
	const int64_t wrap = (INT64_C(1) << 32) * NS_PER_US;

	for (unsigned i = 0; i < 200; i++) {
		int64_t at = i * 100 * NS_PER_MS;
		int64_t hardware = wrap - 10 * NS_PER_S + at;
		int64_t error = error_at(at, hardware >= wrap ? hardware - wrap + 1 : hardware,
					 delay_of(i));

		ck_assert_int_ge(error, -1);
		ck_assert_int_le(error, delay_of(i));
	}
	ck_assert_uint_eq(stamp.relearnt, 1);
}
END_TEST

START_TEST(a_clock_that_is_set)
{
	const int64_t jumps[] = {
		0,	  3600 * NS_PER_S,	     10 * NS_PER_S, 10 * NS_PER_S + 1,
		NS_PER_S, NS_PER_S + 200 * NS_PER_MS};

	for (unsigned i = 0; i < 600; i++) {
		int64_t at = i * 10 * NS_PER_MS;
		int64_t error = error_at(at, 9 * NS_PER_S + at + jumps[i / 100], delay_of(i));

		ck_assert_int_ge(error, 0);
		ck_assert_int_le(error, delay_of(i));
	}
	ck_assert_uint_eq(stamp.relearnt, 2); /* the two that went back; forward needs nothing */
}
END_TEST

/* Back by less than a delay may be: it looks like one, until the window has passed. */
START_TEST(a_small_step_back_is_bounded)
{
	int64_t error = 0;

	for (unsigned i = 0; i < 1000; i++) {
		int64_t at = i * 10 * NS_PER_MS;
		int64_t step = i < 100 ? 0 : CAN_STAMP_DELAY_MAX_MS * NS_PER_MS / 2;

		error = error_at(at, 9 * NS_PER_S + at - step, 50 * NS_PER_US);
		ck_assert_int_ge(error, -CAN_STAMP_DELAY_MAX_MS * NS_PER_MS);
		ck_assert_int_le(error, 50 * NS_PER_US);
	}
	ck_assert_int_eq(error, 50 * NS_PER_US);
}
END_TEST

START_TEST(silence_teaches_nothing)
{
	ck_assert_int_eq(error_at(0, 1000, 50), 50);
	/* A minute later the clock is a second behind: nothing recent to compare with. */
	ck_assert_int_eq(error_at(60 * NS_PER_S, 59 * NS_PER_S, 70), 70);
	ck_assert_uint_eq(stamp.relearnt, 0);
}
END_TEST

/* The wall clock set while a frame waits: that frame is now, and nothing is learnt from it. */
START_TEST(wall_clock_that_is_set)
{
	struct clock_pair now = {.wall_ns = WALL - 3600 * NS_PER_S, .mono_ns = MONO + NS_PER_S};
	struct can_stamps s = {.wall_ns = WALL + NS_PER_S, .hardware_ns = NS_PER_S};

	ck_assert_int_eq(error_at(0, NS_PER_MS, 50), 50);
	ck_assert_int_eq(can_stamp_mono(&stamp, &s, &now), now.mono_ns);
	ck_assert_int_eq(error_at(NS_PER_S, NS_PER_S + NS_PER_MS, 90), 50);
}
END_TEST

START_TEST(hardware_times_that_are_none)
{
	ck_assert_int_eq(error_at(0, 0, 70), 70);
	ck_assert_int_eq(error_at(0, -5, 70), 70);
	ck_assert_int_eq(error_at(0, INT64_MIN, 70), 70);
	ck_assert_int_eq(error_at(0, INT64_MAX, 70), 70);
	ck_assert(!stamp.learnt);
	ck_assert_int_eq(error_at(0, INT64_MAX / 2, 70), 70); /* a clock like any other */
	ck_assert_int_eq(error_at(NS_PER_MS, 1, 80), 80);
	ck_assert_uint_eq(stamp.relearnt, 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("can_stamp");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, kernel_times);
	tcase_add_test(t, frames_stay_in_order);
	tcase_add_test(t, jitter_of_the_kernel_goes);
	tcase_add_test(t, drift_is_followed);
	tcase_add_test(t, a_counter_that_wraps);
	tcase_add_test(t, a_clock_that_is_set);
	tcase_add_test(t, a_small_step_back_is_bounded);
	tcase_add_test(t, silence_teaches_nothing);
	tcase_add_test(t, wall_clock_that_is_set);
	tcase_add_test(t, hardware_times_that_are_none);
	return suite_run("can_stamp", &t, 1);
}
