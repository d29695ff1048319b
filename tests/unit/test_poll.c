/* The schedule of requests, on a clock that the test turns. */
#include "agent/source/poll.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

enum { ASKED_MAX = 4096 };

static struct poll p;
static struct {
	size_t item;
	int64_t ms; /* since the start */
} asked[ASKED_MAX];
static size_t n_asked;
static int64_t begun;
static bool at_once; /* poll_done within ask */

static void on_ask(struct poll *q, size_t item)
{
	ck_assert_ptr_eq(q, &p);
	ck_assert_uint_lt(n_asked, ASKED_MAX);
	asked[n_asked].item = item;
	asked[n_asked++].ms = (loop_now(l).ns - begun) / NS_PER_MS;
	if (at_once)
		poll_done(q);
}

static void setup(void)
{
	set_up();
	p = (struct poll){.loop = l, .ask = on_ask};
	n_asked = 0;
	at_once = true;
	begun = fake.mono.ns;
	ck_assert_int_eq(poll_init(&p, 4), 0);
}

static void teardown(void)
{
	poll_free(&p);
	tear_down();
}

static void add(int64_t period_ms)
{
	ck_assert_int_eq(poll_add(&p, period_ms * NS_PER_MS), 0);
}

static void start(void)
{
	poll_start(&p);
}

/* A turn each ms. */
static void run_ms(int ms)
{
	for (int i = 0; i < ms; i++) {
		timebase_fake_advance(&fake, NS_PER_MS);
		turn();
	}
}

static size_t count(size_t item)
{
	size_t n = 0;

	for (size_t i = 0; i < n_asked; i++)
		n += asked[i].item == item;
	return n;
}

START_TEST(spread_at_the_start_and_periodic)
{
	for (int i = 0; i < 4; i++)
		add(100);
	start();
	turn();
	run_ms(399);
	ck_assert_uint_eq(n_asked, 16);
	for (size_t i = 0; i < n_asked; i++) {
		ck_assert_uint_eq(asked[i].item, i % 4);
		ck_assert_int_eq(asked[i].ms, (int64_t)i * 25);
	}
	ck_assert_uint_eq(p.skipped, 0);
}
END_TEST

/* What is asked once an hour is not first asked after half of it. */
START_TEST(long_periods_begin_soon)
{
	add(3600000);
	add(3600000);
	start();
	turn();
	run_ms(POLL_SPREAD_S * 1000);
	ck_assert_uint_eq(n_asked, 2);
	ck_assert_int_eq(asked[1].ms, POLL_SPREAD_S * 1000 / 2);
}
END_TEST

START_TEST(one_in_flight)
{
	at_once = false;
	add(10);
	add(10);
	start();
	turn();
	run_ms(1000);
	ck_assert_uint_eq(n_asked, 1);
	poll_done(&p);
	run_ms(1);
	ck_assert_uint_eq(n_asked, 2);
	ck_assert_uint_eq(asked[1].item, 1);
}
END_TEST

/* 1 s without an answer costs a hundred turns, and no burst makes up for them. */
START_TEST(no_burst_after_a_delay)
{
	at_once = false;
	add(10);
	start();
	turn();
	run_ms(1005);
	at_once = true;
	poll_done(&p);
	run_ms(95);
	ck_assert_uint_eq(n_asked, 1 + 1 + 10);
	ck_assert_int_eq(asked[2].ms, 1010); /* back on its grid */
	ck_assert_uint_eq(p.skipped, 99);
}
END_TEST

/* Slow answers: a fast item does not keep the others from their turn. */
START_TEST(none_starves)
{
	at_once = false;
	add(1);
	add(1000);
	add(50);
	start();
	for (int i = 0; i < 400; i++) {
		turn();
		run_ms(30);
		poll_done(&p);
	}
	ck_assert_uint_ge(count(1), 11);
	ck_assert_uint_ge(count(2), 150);
	ck_assert_uint_ge(count(0), 150);
}
END_TEST

START_TEST(gap_between_requests)
{
	p.gap_ns = 20 * NS_PER_MS;
	add(5);
	add(5);
	start();
	turn();
	run_ms(200);
	ck_assert_uint_eq(n_asked, 11);
	for (size_t i = 1; i < n_asked; i++)
		ck_assert_int_eq(asked[i].ms - asked[i - 1].ms, 20);
	ck_assert_uint_ge(count(0), 5);
	ck_assert_uint_ge(count(1), 5);
}
END_TEST

START_TEST(hold_and_go_on)
{
	add(10);
	start();
	turn();
	poll_hold(&p, 500 * NS_PER_MS);
	run_ms(499);
	ck_assert_uint_eq(n_asked, 1);
	run_ms(1);
	ck_assert_uint_eq(n_asked, 2);
	run_ms(10);
	ck_assert_uint_eq(n_asked, 3);
}
END_TEST

/* A hold is of the connection that was asked over. */
START_TEST(stop_ends_a_hold)
{
	add(10);
	start();
	turn();
	poll_hold(&p, 3600 * NS_PER_S);
	start(); /* other items, the same connection */
	run_ms(100);
	ck_assert_uint_eq(n_asked, 1);
	poll_stop(&p);
	start();
	run_ms(100);
	ck_assert_uint_ge(n_asked, 10);
}
END_TEST

START_TEST(stop_clear_and_start_over)
{
	at_once = false;
	add(10);
	start();
	turn();
	ck_assert_uint_eq(n_asked, 1);
	poll_clear(&p);
	poll_done(&p); /* of a request that nobody waits for */
	run_ms(100);
	ck_assert_uint_eq(n_asked, 1);
	start(); /* no items: nothing happens */
	run_ms(100);
	ck_assert_uint_eq(n_asked, 1);
	add(20);
	start();
	run_ms(1);
	ck_assert_uint_eq(n_asked, 2);
}
END_TEST

/* Other items while a request is in flight: still one at a time. */
START_TEST(start_over_in_flight)
{
	at_once = false;
	add(10);
	start();
	turn();
	start();
	run_ms(100);
	ck_assert_uint_eq(n_asked, 1);
	poll_done(&p);
	run_ms(1);
	ck_assert_uint_eq(n_asked, 2);
}
END_TEST

START_TEST(bounded)
{
	for (int i = 0; i < 4; i++)
		add(10);
	ck_assert_int_eq(poll_add(&p, 1), -ENOSPC);
	ck_assert_uint_eq(p.n, 4);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("poll");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, spread_at_the_start_and_periodic);
	tcase_add_test(tc, long_periods_begin_soon);
	tcase_add_test(tc, one_in_flight);
	tcase_add_test(tc, no_burst_after_a_delay);
	tcase_add_test(tc, none_starves);
	tcase_add_test(tc, gap_between_requests);
	tcase_add_test(tc, hold_and_go_on);
	tcase_add_test(tc, stop_ends_a_hold);
	tcase_add_test(tc, stop_clear_and_start_over);
	tcase_add_test(tc, start_over_in_flight);
	tcase_add_test(tc, bounded);
	return suite_run("poll", &tc, 1);
}
