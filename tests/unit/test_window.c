/* How much may be on its way: grows with what is acknowledged, halves on refusals, and the wire
 * follows the link. */
#include "agent/publish/window.h"
#include "tests/unit/suite.h"

#include <check.h>

static struct window w;

static void setup(void)
{
	window_init(&w, &(struct window_options){1024, 4 << 20});
}

/* A receipt for all that the window holds. */
static void round_trip(void)
{
	size_t rows = window_rows(&w);

	window_acked(&w, rows, 0, rows, 0);
}

START_TEST(doubles_each_round_while_it_is_used)
{
	ck_assert_uint_eq(window_rows(&w), 32);
	ck_assert_uint_eq(window_bytes(&w), 128 << 10);
	round_trip();
	ck_assert_uint_eq(window_rows(&w), 64);
	round_trip();
	ck_assert_uint_eq(window_rows(&w), 128);
	window_acked(&w, 20, 1000, 20, 1000); /* not in use */
	ck_assert_uint_eq(window_rows(&w), 128);
	for (int i = 0; i < 5; i++)
		round_trip();
	ck_assert_uint_eq(window_rows(&w), 1024);
	ck_assert_uint_eq(window_bytes(&w), 4 << 20);
}
END_TEST

START_TEST(large_rows_let_it_grow_by_bytes)
{
	window_acked(&w, 4, 128 << 10, 4, 128 << 10);
	ck_assert_uint_eq(window_bytes(&w), 256 << 10);
}
END_TEST

START_TEST(halves_once_a_round_and_then_grows_slowly)
{
	for (int i = 0; i < 8; i++)
		round_trip();
	window_lost(&w, 10, 100); /* published before the 100th */
	ck_assert_uint_eq(window_rows(&w), 512);
	window_lost(&w, 11, 110); /* so was this one: it has been paid for */
	window_lost(&w, 100, 120);
	ck_assert_uint_eq(window_rows(&w), 512);
	window_lost(&w, 101, 130);
	ck_assert_uint_eq(window_rows(&w), 256);
	for (int i = 0; i < 4; i++)
		round_trip();
	ck_assert_uint_ge(window_rows(&w), 256 + 63);
	ck_assert_uint_le(window_rows(&w), 256 + 64);
	for (uint64_t turn = 1000; turn < 1100; turn++)
		window_lost(&w, turn, turn);
	ck_assert_uint_eq(window_rows(&w), WINDOW_ROWS_MIN);
	ck_assert_uint_eq(window_bytes(&w), WINDOW_BYTES_MIN);
}
END_TEST

START_TEST(a_silence_begins_anew)
{
	for (int i = 0; i < 8; i++)
		round_trip();
	window_silent(&w);
	ck_assert_uint_eq(window_rows(&w), 32);
	round_trip();
	ck_assert_uint_eq(window_rows(&w), 64);
}
END_TEST

/* What was configured small stays small. */
START_TEST(small_maxima_hold)
{
	window_init(&w, &(struct window_options){8, 1000});
	ck_assert_uint_eq(window_rows(&w), 8);
	ck_assert_uint_eq(window_rows_first(&w), 8);
	ck_assert_uint_eq(window_bytes(&w), 1000);
	ck_assert_uint_eq(window_wire(&w, (struct mono_time){0}), 1000);
	window_lost(&w, 1, 1);
	window_lost(&w, 2, 2);
	window_lost(&w, 3, 3);
	ck_assert_uint_ge(window_rows(&w), WINDOW_ROWS_MIN);
	ck_assert_uint_eq(window_bytes(&w), 1000);
	round_trip();
	ck_assert_uint_le(window_rows(&w), 8);
}
END_TEST

/* ---- the wire ---- */

/* ms of a link of this rate and round trip that is kept busy with rows of some bytes. */
static int64_t drive(int64_t from_ns, int64_t ms, int64_t rate, int64_t trip_ms, size_t row)
{
	enum { MOST = 4096 };
	static struct window_mark marks[MOST];
	static int64_t out[MOST];
	int64_t now = from_ns, idle_from = 0, end = from_ns + ms * NS_PER_MS;
	size_t head = 0, n = 0;

	for (; now < end; now += NS_PER_MS) {
		while (n > 0 && out[head] + trip_ms * NS_PER_MS <= now) {
			window_delivered(&w, &marks[head], row, (struct mono_time){now});
			head = (head + 1) % MOST;
			n--;
		}
		while (n < MOST && (n == 0 || n * row < window_wire(&w, (struct mono_time){now}))) {
			size_t i = (head + n) % MOST;

			marks[i] = window_sent(&w, n * row, row, (struct mono_time){now});
			idle_from = (idle_from > now ? idle_from : now) +
				    (int64_t)row * NS_PER_S / rate;
			out[i] = idle_from;
			n++;
		}
	}
	return now;
}

static size_t wire_at(int64_t now)
{
	return window_wire(&w, (struct mono_time){now});
}

/* The rate times round trip and a quarter of a second; the row's own time counts as trip. */
static void check_wire(int64_t now, int64_t rate, int64_t trip_ms, size_t row)
{
	int64_t most = rate * (trip_ms + WIRE_QUEUE_MS) / 1000 + (int64_t)row;

	if (most < WIRE_MIN)
		most = WIRE_MIN;
	ck_assert_msg((int64_t)wire_at(now) <= most * 11 / 10, "%d above %d", (int)wire_at(now),
		      (int)most);
	ck_assert_int_ge((int64_t)wire_at(now), rate * trip_ms / 1000);
}

START_TEST(follows_the_link)
{
	int64_t now = drive(NS_PER_S, 10000, 20 << 10, 100, 1000);

	check_wire(now, 20 << 10, 100, 1000);
	now = drive(now, 10000, 1 << 20, 100, 1000); /* it gets fast, */
	check_wire(now, 1 << 20, 100, 1000);
	now = drive(now, 60000, 20 << 10, 100, 1000); /* and slow */
	check_wire(now, 20 << 10, 100, 1000);
	now = drive(now, 10000, 500 << 10, 20, 50000);
	ck_assert_uint_le(wire_at(now), 4 << 20);
}
END_TEST

/* A route that is a second longer looks like a queue, until it is measured anew. */
START_TEST(a_longer_way_is_found_out)
{
	int64_t now = drive(NS_PER_S, 20000, 100 << 10, 50, 500);

	now = drive(now, 110000, 100 << 10, 1000, 500);
	check_wire(now + 1, 100 << 10, 1000, 500);
	ck_assert_uint_gt(wire_at(now), 64 << 10);
}
END_TEST

/* One that idles measures nothing new of the rate. */
START_TEST(few_rows_do_not_shrink_it)
{
	int64_t now = drive(NS_PER_S, 10000, 1 << 20, 100, 1000);
	size_t before = wire_at(now);

	for (int i = 0; i < 20; i++) {
		struct window_mark m = window_sent(&w, 0, 100, (struct mono_time){now});

		now += NS_PER_S;
		window_delivered(&w, &m, 100, (struct mono_time){now - 900 * NS_PER_MS});
	}
	ck_assert_uint_ge(wire_at(now), before * 9 / 10);
}
END_TEST

START_TEST(odd_clocks_are_survived)
{
	struct window_mark m = window_sent(&w, 0, 100, (struct mono_time){5});

	window_delivered(&w, &m, 100, (struct mono_time){5});
	window_delivered(&w, &m, 1 << 30, (struct mono_time){4});
	ck_assert_uint_le(wire_at(6), 4 << 20);
	m = window_sent(&w, 0, 100, (struct mono_time){6});
	window_delivered(&w, &m, 100, (struct mono_time){INT64_MAX});
	ck_assert_uint_ge(wire_at(6), WIRE_MIN);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("window");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, doubles_each_round_while_it_is_used);
	tcase_add_test(tc, large_rows_let_it_grow_by_bytes);
	tcase_add_test(tc, halves_once_a_round_and_then_grows_slowly);
	tcase_add_test(tc, a_silence_begins_anew);
	tcase_add_test(tc, small_maxima_hold);
	tcase_add_test(tc, follows_the_link);
	tcase_add_test(tc, a_longer_way_is_found_out);
	tcase_add_test(tc, few_rows_do_not_shrink_it);
	tcase_add_test(tc, odd_clocks_are_survived);
	return suite_run("window", &tc, 1);
}
