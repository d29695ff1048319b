#include "base/timebase.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <time.h>

static void check_format(int64_t ns, const char *want)
{
	char text[WALL_TIME_TEXT];

	wall_time_format((struct wall_time){.ns = ns}, text);
	ck_assert_str_eq(text, want);
}

START_TEST(wall_time_as_text)
{
	check_format(0, "1970-01-01T00:00:00.000Z");
	check_format(999999, "1970-01-01T00:00:00.000Z");
	check_format(1000000, "1970-01-01T00:00:00.001Z");
	check_format(-1, "1969-12-31T23:59:59.999Z");
	check_format(-NS_PER_S, "1969-12-31T23:59:59.000Z");
	check_format(1772368496789 * NS_PER_MS, "2026-03-01T12:34:56.789Z");
	check_format(951782400 * NS_PER_S, "2000-02-29T00:00:00.000Z");
	check_format(INT64_MAX, "2262-04-11T23:47:16.854Z");
	check_format(INT64_MIN, "1677-09-21T00:12:43.145Z");
}
END_TEST

START_TEST(fake_clock_moves_only_when_told)
{
	struct timebase_fake f;

	timebase_fake_init(&f, 100, 5000);
	ck_assert_int_eq(timebase_mono(&f.tb).ns, 100);
	ck_assert_int_eq(timebase_mono(&f.tb).ns, 100);
	ck_assert_int_eq(timebase_wall(&f.tb).ns, 5000);
	timebase_fake_advance(&f, 25);
	ck_assert_int_eq(timebase_mono(&f.tb).ns, 125);
	ck_assert_int_eq(timebase_wall(&f.tb).ns, 5025);
	f.wall.ns = 7; /* a jump of the wall clock alone */
	ck_assert_int_eq(timebase_mono(&f.tb).ns, 125);
	ck_assert_int_eq(timebase_wall(&f.tb).ns, 7);
}
END_TEST

START_TEST(system_clocks_are_the_kernels)
{
	const struct timebase *tb = timebase_system();
	int64_t last = timebase_mono(tb).ns;
	struct timespec ts;

	for (int i = 0; i < 1000; i++) {
		int64_t now = timebase_mono(tb).ns;

		ck_assert_int_ge(now, last);
		last = now;
	}
	clock_gettime(CLOCK_BOOTTIME, &ts);
	ck_assert_int_ge(ts.tv_sec * NS_PER_S + ts.tv_nsec, last);
	ck_assert_int_le(ts.tv_sec * NS_PER_S + ts.tv_nsec - last, 5 * NS_PER_S);
	clock_gettime(CLOCK_REALTIME, &ts);
	ck_assert_int_le(llabs(timebase_wall(tb).ns / NS_PER_S - ts.tv_sec), 5);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("timebase");

	tcase_add_test(tc, wall_time_as_text);
	tcase_add_test(tc, fake_clock_moves_only_when_told);
	tcase_add_test(tc, system_clocks_are_the_kernels);
	return suite_run("timebase", &tc, 1);
}
