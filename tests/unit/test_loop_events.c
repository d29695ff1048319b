/* The loop: descriptors, other threads, signals. */
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static struct loop_timer *victims[3];

/* --- descriptors --- */

enum { PIPES = 20 };

struct pipes {
	struct loop_fd *ends[PIPES];
	int fds[PIPES][2];
	int calls;
};

static void remove_others_cb(struct loop_fd *f, uint32_t events)
{
	struct pipes *p = f->ctx;

	ck_assert(events & EPOLLIN);
	p->calls++;
	for (int i = 0; i < PIPES; i++) {
		if (p->ends[i] && p->ends[i] != f) {
			loop_fd_remove(p->ends[i]);
			free(p->ends[i]);
			p->ends[i] = NULL;
		}
	}
}

static void remove_self_cb(struct loop_fd *f, uint32_t events)
{
	struct pipes *p = f->ctx;

	(void)events;
	p->calls++;
	for (int i = 0; i < PIPES; i++)
		if (p->ends[i] == f)
			p->ends[i] = NULL;
	loop_fd_remove(f);
	free(f);
}

static void count_fd_cb(struct loop_fd *f, uint32_t events)
{
	struct pipes *p = f->ctx;

	(void)events;
	p->calls++;
}

/* PIPES pipes, all of them readable. */
static void open_pipes(struct pipes *p, void (*cb)(struct loop_fd *f, uint32_t events))
{
	*p = (struct pipes){0};
	for (int i = 0; i < PIPES; i++) {
		ck_assert_int_eq(pipe(p->fds[i]), 0);
		ck_assert_int_eq(write(p->fds[i][1], "x", 1), 1);
		p->ends[i] = calloc(1, sizeof(*p->ends[i]));
		p->ends[i]->cb = cb;
		p->ends[i]->ctx = p;
		p->ends[i]->fd = p->fds[i][0];
		ck_assert_int_eq(loop_fd_add(l, p->ends[i], EPOLLIN), 0);
	}
}

static void close_pipes(struct pipes *p)
{
	for (int i = 0; i < PIPES; i++) {
		if (p->ends[i])
			loop_fd_remove(p->ends[i]);
		free(p->ends[i]);
		close(p->fds[i][0]);
		close(p->fds[i][1]);
	}
}

START_TEST(a_removed_descriptor_is_not_called_in_the_same_batch)
{
	struct pipes p;

	open_pipes(&p, remove_others_cb);
	turn();
	ck_assert_int_eq(p.calls, 1);
	turn();
	ck_assert_int_eq(p.calls, 2); /* level triggered: the one that is left */
	close_pipes(&p);
}
END_TEST

START_TEST(a_descriptor_may_remove_and_free_itself)
{
	struct pipes p;

	open_pipes(&p, remove_self_cb);
	turn();
	ck_assert_int_eq(p.calls, PIPES);
	turn();
	ck_assert_int_eq(p.calls, PIPES);
	close_pipes(&p);
}
END_TEST

/* Removes the other one and adds it again: its pending event is gone, the next turn brings it. */
static void readd_cb(struct loop_fd *f, uint32_t events)
{
	struct pipes *p = f->ctx;

	(void)events;
	p->calls++;
	for (int i = 0; i < PIPES; i++) {
		if (p->ends[i] == f)
			continue;
		loop_fd_remove(p->ends[i]);
		ck_assert_int_eq(loop_fd_add(l, p->ends[i], EPOLLIN), 0);
		p->ends[i]->cb = count_fd_cb;
	}
	f->cb = count_fd_cb;
}

START_TEST(a_descriptor_added_again_waits_for_the_next_turn)
{
	struct pipes p;

	open_pipes(&p, readd_cb);
	turn();
	ck_assert_int_eq(p.calls, 1);
	turn();
	ck_assert_int_eq(p.calls, 1 + PIPES);
	close_pipes(&p);
}
END_TEST

START_TEST(events_can_be_changed)
{
	struct pipes p;

	open_pipes(&p, count_fd_cb);
	for (int i = 1; i < PIPES; i++)
		ck_assert_int_eq(loop_fd_change(p.ends[i], 0), 0);
	turn();
	ck_assert_int_eq(p.calls, 1);
	ck_assert_int_eq(loop_fd_change(p.ends[1], EPOLLIN), 0);
	turn();
	ck_assert_int_eq(p.calls, 3);
	close_pipes(&p);
}
END_TEST

static void free_timer_cb(struct loop_fd *f, uint32_t events)
{
	struct pipes *p = f->ctx;

	(void)events;
	p->calls++;
	loop_timer_cancel(victims[0]);
	free(victims[0]);
	victims[0] = calloc(1, sizeof(*victims[0]));
}

START_TEST(a_descriptor_may_cancel_a_timer_that_is_due)
{
	struct pipes p;

	n_calls = 0;
	victims[0] = calloc(1, sizeof(*victims[0]));
	victims[0]->cb = count_cb;
	loop_timer_in(l, victims[0], 0);
	open_pipes(&p, free_timer_cb);
	turn();
	ck_assert_int_eq(p.calls, PIPES);
	ck_assert_int_eq(n_calls, 0);
	close_pipes(&p);
	free(victims[0]);
}
END_TEST

START_TEST(a_bad_descriptor_is_an_error)
{
	struct loop_fd f = {.cb = count_fd_cb, .fd = -1};

	ck_assert_int_eq(loop_fd_add(l, &f, EPOLLIN), -EBADF);
	ck_assert_ptr_null(f.loop);
	loop_fd_remove(&f);
}
END_TEST

/* --- wake and stop from other threads --- */

static _Atomic int posted;

static void wake_cb(struct loop_wake *w)
{
	n_calls++;
	if (atomic_load(&posted) == *(int *)w->ctx)
		loop_stop(l);
}

static void *post_many(void *arg)
{
	for (int i = 0; i < 10000; i++) {
		atomic_fetch_add(&posted, 1);
		loop_wake_post(arg);
	}
	return NULL;
}

START_TEST(other_threads_wake_the_loop)
{
	int total = 20000;
	struct loop_wake w = {.cb = wake_cb, .ctx = &total};
	pthread_t threads[2];

	n_calls = 0;
	atomic_store(&posted, 0);
	ck_assert_int_eq(loop_wake_add(l, &w), 0);
	for (size_t i = 0; i < array_len(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, post_many, &w), 0);
	ck_assert_int_eq(loop_run(l), 0);
	for (size_t i = 0; i < array_len(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_ge(n_calls, 1);
	ck_assert_int_le(n_calls, total);
	loop_wake_remove(&w);
	loop_wake_remove(&w);
	loop_wake_post(&w); /* of one that is not added: nothing */
}
END_TEST

START_TEST(posts_coalesce)
{
	int never = -1;
	struct loop_wake w = {.cb = wake_cb, .ctx = &never};

	n_calls = 0;
	ck_assert_int_eq(loop_wake_add(l, &w), 0);
	for (int i = 0; i < 5; i++)
		loop_wake_post(&w);
	turn();
	turn();
	ck_assert_int_eq(n_calls, 1);
	loop_wake_remove(&w);
}
END_TEST

static void *stop_soon(void *arg)
{
	usleep(20000);
	loop_stop(arg);
	return NULL;
}

START_TEST(another_thread_stops_the_loop)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, l), 0);
	ck_assert_int_eq(loop_run(l), 0);
	pthread_join(thread, NULL);
	/* A stop before the run counts too, and only once. */
	loop_stop(l);
	ck_assert_int_eq(loop_run(l), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, l), 0);
	ck_assert_int_eq(loop_run(l), 0);
	pthread_join(thread, NULL);
}
END_TEST

/* --- signals --- */

static int caught[2];
static int n_caught;

static void signal_cb(struct loop_signal *s, int signo)
{
	(void)s;
	if (n_caught < 2)
		caught[n_caught] = signo;
	n_caught++;
}

START_TEST(signals_arrive_in_the_loop)
{
	static const int signos[] = {SIGUSR1, SIGUSR2};
	struct loop_signal s = {.cb = signal_cb};

	n_caught = 0;
	ck_assert_int_eq(loop_signal_add(l, &s, signos, 2), 0);
	raise(SIGUSR2);
	raise(SIGUSR1);
	turn();
	turn();
	turn();
	ck_assert_int_eq(n_caught, 2);
	ck_assert_int_eq(caught[0] + caught[1], SIGUSR1 + SIGUSR2);
	loop_signal_remove(&s);
	loop_signal_remove(&s);
}
END_TEST

static void signal_remove_cb(struct loop_signal *s, int signo)
{
	(void)signo;
	n_caught++;
	loop_signal_remove(s);
	free(s);
}

START_TEST(a_signal_may_remove_itself)
{
	static const int signos[] = {SIGUSR1, SIGUSR2};
	struct loop_signal *s = calloc(1, sizeof(*s));

	n_caught = 0;
	s->cb = signal_remove_cb;
	ck_assert_int_eq(loop_signal_add(l, s, signos, 2), 0);
	raise(SIGUSR1);
	raise(SIGUSR2);
	turn();
	turn();
	ck_assert_int_eq(n_caught, 1);
}
END_TEST

START_TEST(a_bad_signal_is_an_error)
{
	static const int signo = 4711;
	struct loop_signal s = {.cb = signal_cb};

	ck_assert_int_eq(loop_signal_add(l, &s, &signo, 1), -EINVAL);
	loop_signal_remove(&s);
}
END_TEST

START_TEST(no_descriptor_is_not_a_crash)
{
	struct rlimit limit, none;
	struct loop *other = NULL;
	struct loop_wake w = {.cb = wake_cb};

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(loop_new(&other, &fake.tb), -EMFILE);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(loop_wake_add(l, &w), -EMFILE);
	loop_wake_remove(&w);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("events");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_removed_descriptor_is_not_called_in_the_same_batch);
	tcase_add_test(tc, a_descriptor_may_remove_and_free_itself);
	tcase_add_test(tc, a_descriptor_added_again_waits_for_the_next_turn);
	tcase_add_test(tc, events_can_be_changed);
	tcase_add_test(tc, a_descriptor_may_cancel_a_timer_that_is_due);
	tcase_add_test(tc, a_bad_descriptor_is_an_error);
	tcase_add_test(tc, other_threads_wake_the_loop);
	tcase_add_test(tc, posts_coalesce);
	tcase_add_test(tc, another_thread_stops_the_loop);
	tcase_add_test(tc, signals_arrive_in_the_loop);
	tcase_add_test(tc, a_signal_may_remove_itself);
	tcase_add_test(tc, a_bad_signal_is_an_error);
	tcase_add_test(tc, no_descriptor_is_not_a_crash);
	return suite_run("loop_events", &tc, 1);
}
