/* Restarts after bus-off: when, and what is done without a controller. With one:
 * tests/system/test_link.py. */
#include "agent/can/can_restart.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

START_TEST(waits)
{
	struct can_restart r = {.min_ns = 100 * NS_PER_MS, .max_ns = NS_PER_S};
	static const int64_t expected_ms[] = {100, 200, 400, 800, 1000, 1000};
	struct mono_time now = {5 * NS_PER_S};

	for (size_t i = 0; i < array_len(expected_ms); i++) {
		ck_assert_int_eq(can_restart_wait(&r, now), expected_ms[i] * NS_PER_MS);
		now.ns += 5 * NS_PER_S; /* however long it takes */
		can_restart_done(&r, now);
		now.ns += NS_PER_S - 1; /* off again soon */
	}
	now.ns += 1; /* it was well for a while */
	ck_assert_int_eq(can_restart_wait(&r, now), 100 * NS_PER_MS);
}
END_TEST

/* This machine has a loopback, and it is no bus. */
START_TEST(real_kernel)
{
	struct can_restart_past past = {.stopped = false};
	struct error err = {""};

	ck_assert_int_eq(can_restart_now("nocan9", &past, &err), -ENODEV);
	ck_assert_str_eq(err.text, "there is no such interface");
	ck_assert_int_eq(can_restart_now("lo", &past, &err), -EMEDIUMTYPE);
	ck_assert_str_eq(err.text, "it is not a CAN interface");
	ck_assert(!past.stopped && !past.refused);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("restart");

	tcase_add_test(t, waits);
	tcase_add_test(t, real_kernel);
	return suite_run("can_restart", (TCase *const[]){t}, 1);
}
