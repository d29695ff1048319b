/* base/loop.h: an epoll loop. Its objects are embedded in the caller's; one thread per loop.
 *
 * Callbacks run on the thread that calls loop_run; only loop_wake_post and loop_stop may be called
 * from other threads. Any callback may remove any object, its own too. Time is read once a turn. */
#pragma once

#include "base/timebase.h"

struct loop;

int loop_new(struct loop **ret, const struct timebase *tb) must_check;
/* NULL is fine; always returns NULL. Timers are cancelled; descriptors, wakes and signals are to be
 * removed before. */
struct loop *loop_free(struct loop *l);
/* Runs until loop_stop, also one that came before. Returns 0 or -errno of epoll. */
int loop_run(struct loop *l) must_check;
/* One turn: waits at most timeout_ms (-1: until something happens). For tests and bench. */
int loop_turn(struct loop *l, int timeout_ms) must_check;
void loop_stop(struct loop *l);
/* In a callback: the time read once for this turn. Between turns: the clock's. */
struct mono_time loop_now(const struct loop *l);

/* A file descriptor. events: EPOLLIN, EPOLLOUT, ... (level triggered). */
struct loop_fd {
	void (*cb)(struct loop_fd *f, uint32_t events);
	void *ctx;
	int fd;
	struct loop *loop; /* NULL while not added */
};

int loop_fd_add(struct loop *l, struct loop_fd *f, uint32_t events) must_check;
int loop_fd_change(struct loop_fd *f, uint32_t events) must_check;
void loop_fd_remove(struct loop_fd *f); /* does not close; fine when not added */

/* A one-shot timer; cb may set it again. Never early; due together: in the order of setting. */
struct loop_timer {
	void (*cb)(struct loop_timer *t);
	void *ctx;
	struct mono_time due;
	uint64_t order;	   /* of the calls that set it: timers due together run in that order */
	struct loop *loop; /* NULL while not set */
	struct loop_timer *child, *next, *prev; /* of the loop's heap */
};

/* Sets or moves. Needs no memory: what hangs on a timer goes on when there is none. */
void loop_timer_at(struct loop *l, struct loop_timer *t, struct mono_time due);
void loop_timer_in(struct loop *l, struct loop_timer *t, int64_t ns);
bool loop_timer_is_set(const struct loop_timer *t);
void loop_timer_cancel(struct loop_timer *t); /* fine when not set */
/* When the next one is due; false: none is set. For those who turn the time themselves. */
bool loop_next_due(const struct loop *l, struct mono_time *ret);

/* Wakes a loop from another thread (eventfd). Posts coalesce. */
struct loop_wake {
	void (*cb)(struct loop_wake *w);
	void *ctx;
	struct loop_fd io;
};

int loop_wake_add(struct loop *l, struct loop_wake *w) must_check;
void loop_wake_post(struct loop_wake *w); /* any thread; async-signal-safe */
void loop_wake_remove(struct loop_wake *w);

/* Signals by signalfd; blocks signo in the calling thread, so add before threads start. They stay
 * blocked after a remove: one that is pending would end the program. */
struct loop_signal {
	void (*cb)(struct loop_signal *s, int signo);
	void *ctx;
	struct loop_fd io;
};

int loop_signal_add(struct loop *l, struct loop_signal *s, const int *signos, size_t n) must_check;
void loop_signal_remove(struct loop_signal *s);
