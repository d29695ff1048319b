/* The loop: timers, and time. */
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { TIMERS = 400 };

struct many {
	struct loop_timer timers[TIMERS];
	bool expected[TIMERS];
	struct mono_time last_due;
	uint64_t last_order;
	size_t fired;
};

static void many_cb(struct loop_timer *t)
{
	struct many *m = t->ctx;
	size_t i = (size_t)(t - m->timers);

	ck_assert(m->expected[i]);
	ck_assert(!loop_timer_is_set(t));
	ck_assert_int_le(t->due.ns, loop_now(l).ns);
	ck_assert_int_ge(t->due.ns, m->last_due.ns);
	if (t->due.ns == m->last_due.ns && m->fired > 0)
		ck_assert_uint_gt(t->order, m->last_order);
	m->expected[i] = false;
	m->last_due = t->due;
	m->last_order = t->order;
	m->fired++;
}

/* Random due times with many equal, random moves and cancels: each timer that is left fires once,
 * in order of due time, and of setting where those are equal. */
static void run_many(unsigned seed)
{
	static struct many m;
	size_t expected = 0;

	srand(seed);
	m = (struct many){0};
	for (int round = 0; round < 3 * TIMERS; round++) {
		size_t i = (size_t)rand() % TIMERS;
		struct mono_time due = {.ns = 1000 + rand() % 200};

		if (rand() % 4 == 0) {
			loop_timer_cancel(&m.timers[i]);
			m.expected[i] = false;
			continue;
		}
		m.timers[i].cb = many_cb;
		m.timers[i].ctx = &m;
		loop_timer_at(l, &m.timers[i], due);
		m.expected[i] = true;
	}
	for (size_t i = 0; i < TIMERS; i++)
		expected += m.expected[i];
	while (fake.mono.ns < 1300) {
		size_t due = 0, before = m.fired;

		for (size_t i = 0; i < TIMERS; i++)
			due += m.expected[i] && m.timers[i].due.ns <= fake.mono.ns;
		turn();
		ck_assert_uint_eq(m.fired - before, due);
		timebase_fake_advance(&fake, rand() % 7);
	}
	ck_assert_uint_eq(m.fired, expected);
}

START_TEST(timers_fire_once_in_order)
{
	for (unsigned seed = 1; seed <= 30; seed++) {
		timebase_fake_init(&fake, 1000, 0);
		run_many(seed);
	}
}
END_TEST

static void again_cb(struct loop_timer *t)
{
	n_calls++;
	loop_timer_in(l, t, 0);
}

START_TEST(a_timer_that_sets_itself_again_lets_go)
{
	struct loop_timer a = {.cb = again_cb}, b = {.cb = count_cb};

	n_calls = 0;
	loop_timer_in(l, &a, 0);
	loop_timer_in(l, &b, 0);
	turn();
	ck_assert_int_eq(n_calls, 2); /* each once */
	turn();
	ck_assert_int_eq(n_calls, 3);
	loop_timer_cancel(&a);
	loop_timer_cancel(&a);
	turn();
	ck_assert_int_eq(n_calls, 3);
}
END_TEST

static struct loop_timer *victims[3];

static void cancel_others_cb(struct loop_timer *t)
{
	n_calls++;
	for (size_t i = 0; i < array_len(victims); i++) {
		if (victims[i] && victims[i] != t) {
			loop_timer_cancel(victims[i]);
			free(victims[i]);
			victims[i] = NULL;
		}
	}
}

START_TEST(a_timer_may_cancel_and_free_others)
{
	n_calls = 0;
	for (size_t i = 0; i < array_len(victims); i++) {
		victims[i] = calloc(1, sizeof(*victims[i]));
		victims[i]->cb = cancel_others_cb;
		loop_timer_in(l, victims[i], 5);
	}
	timebase_fake_advance(&fake, 5);
	turn();
	ck_assert_int_eq(n_calls, 1);
	ck_assert_ptr_nonnull(victims[0]);
	free(victims[0]);
}
END_TEST

START_TEST(far_timers_do_not_overflow)
{
	struct loop_timer t = {.cb = count_cb};

	n_calls = 0;
	loop_timer_in(l, &t, INT64_MAX);
	ck_assert_int_eq(t.due.ns, INT64_MAX);
	turn();
	ck_assert_int_eq(n_calls, 0);
	loop_timer_in(l, &t, -5);
	turn();
	ck_assert_int_eq(n_calls, 1);
}
END_TEST

START_TEST(freeing_the_loop_clears_its_timers)
{
	struct loop_timer t = {.cb = count_cb};

	loop_timer_in(l, &t, 5);
	l = loop_free(l);
	ck_assert(!loop_timer_is_set(&t));
	loop_timer_cancel(&t);
}
END_TEST

START_TEST(real_time_waits_without_spinning)
{
	struct loop_timer t = {.cb = count_cb};
	int64_t start = timebase_mono(timebase_system()).ns, waited;
	int turns = 0;

	l = loop_free(l);
	ck_assert_int_eq(loop_new(&l, timebase_system()), 0);
	n_calls = 0;
	loop_timer_in(l, &t, 50 * NS_PER_MS);
	for (; n_calls == 0; turns++)
		ck_assert_int_eq(loop_turn(l, -1), 0);
	waited = timebase_mono(timebase_system()).ns - start;
	ck_assert_int_ge(waited, 50 * NS_PER_MS);
	ck_assert_int_le(waited, 5 * NS_PER_S);
	ck_assert_int_le(turns, 2);
	/* Nothing is left, so nothing wakes it. */
	start = timebase_mono(timebase_system()).ns;
	ck_assert_int_eq(loop_turn(l, 30), 0);
	ck_assert_int_ge(timebase_mono(timebase_system()).ns - start, 30 * NS_PER_MS);
}
END_TEST

START_TEST(nothing_to_do_means_waiting)
{
	struct loop_timer t = {.cb = count_cb};
	int64_t start = timebase_mono(timebase_system()).ns;

	/* The fake clock stands still, so the timer never comes due: each turn waits all the same.
	 */
	loop_timer_in(l, &t, 10 * NS_PER_MS);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(loop_turn(l, 100), 0);
	ck_assert_int_ge(timebase_mono(timebase_system()).ns - start, 30 * NS_PER_MS);
	loop_timer_cancel(&t);
	start = timebase_mono(timebase_system()).ns;
	ck_assert_int_eq(loop_turn(l, 20), 0);
	ck_assert_int_ge(timebase_mono(timebase_system()).ns - start, 20 * NS_PER_MS);
}
END_TEST

static struct mono_time times[2];

static void note_time_cb(struct loop_timer *t)
{
	times[t->ctx != NULL] = loop_now(l);
	timebase_fake_advance(&fake, 1000);
}

START_TEST(time_is_read_once_a_turn)
{
	struct loop_timer a = {.cb = note_time_cb, .ctx = NULL};
	struct loop_timer b = {.cb = note_time_cb, .ctx = &times};

	loop_timer_in(l, &a, 0);
	loop_timer_in(l, &b, 0);
	turn();
	ck_assert_int_eq(times[0].ns, 1000);
	ck_assert_int_eq(times[1].ns, 1000);
	ck_assert_int_eq(loop_now(l).ns, 3000); /* between turns: the clock itself */
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("timers");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, timers_fire_once_in_order);
	tcase_add_test(tc, a_timer_that_sets_itself_again_lets_go);
	tcase_add_test(tc, a_timer_may_cancel_and_free_others);
	tcase_add_test(tc, far_timers_do_not_overflow);
	tcase_add_test(tc, freeing_the_loop_clears_its_timers);
	tcase_add_test(tc, real_time_waits_without_spinning);
	tcase_add_test(tc, nothing_to_do_means_waiting);
	tcase_add_test(tc, time_is_read_once_a_turn);
	return suite_run("loop", &tc, 1);
}
