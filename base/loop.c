#include "base/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS_MAX = 64 };

struct loop {
	const struct timebase *tb;
	struct mono_time now; /* of the running turn */
	bool in_turn;
	_Atomic bool stopping;
	int epoll_fd;

	/* The batch that is being dispatched. A removed object's events are set to NULL. */
	struct epoll_event events[EVENTS_MAX];
	int n_events;
	int next_event;

	struct loop_timer *first; /* the earliest: the top of the heap; NULL: none is set */
	size_t n_timers;
	uint64_t timer_order;

	/* A timerfd and not epoll's timeout: that one stands still during suspend. */
	struct loop_fd timer_io;
	struct mono_time armed; /* what timer_io is set to; 0: not set */
	struct loop_wake stop_wake;
};

/* --- file descriptors --- */

int loop_fd_add(struct loop *l, struct loop_fd *f, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = f};

	assert(!f->loop);
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev) < 0)
		return -errno;
	f->loop = l;
	return 0;
}

int loop_fd_change(struct loop_fd *f, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = f};

	assert(f->loop);
	if (epoll_ctl(f->loop->epoll_fd, EPOLL_CTL_MOD, f->fd, &ev) < 0)
		return -errno;
	return 0;
}

void loop_fd_remove(struct loop_fd *f)
{
	struct loop *l = f->loop;

	if (!l)
		return;
	/* Fails only when the descriptor was closed before, which removed it as well. */
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
	for (int i = l->next_event; i < l->n_events; i++)
		if (l->events[i].data.ptr == f)
			l->events[i].data.ptr = NULL;
	f->loop = NULL;
}

/* --- timers --- */

static bool is_before(const struct loop_timer *a, const struct loop_timer *b)
{
	if (a->due.ns != b->due.ns)
		return a->due.ns < b->due.ns;
	return a->order < b->order;
}

/* A pairing heap, whose nodes are the timers: prev is the parent of a first child, else the sibling
 * before. Joins two heaps that have no siblings. */
static struct loop_timer *heap_join(struct loop_timer *a, struct loop_timer *b)
{
	struct loop_timer *first, *other;

	if (!a || !b)
		return a ? a : b;
	first = is_before(a, b) ? a : b;
	other = first == a ? b : a;
	other->next = first->child;
	if (other->next)
		other->next->prev = other;
	other->prev = first;
	first->child = other;
	return first;
}

/* Takes a list of siblings apart and makes one heap of them: in pairs from the left, then those
 * from the right, which is what keeps it shallow. */
static struct loop_timer *heap_gather(struct loop_timer *list)
{
	struct loop_timer *pairs = NULL, *all = NULL;

	while (list) {
		struct loop_timer *a = list, *b = a->next;

		list = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		a = heap_join(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct loop_timer *rest = pairs->next;

		pairs->next = NULL;
		all = heap_join(all, pairs);
		pairs = rest;
	}
	return all;
}

static void heap_remove(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *below = heap_gather(t->child);

	if (t == l->first) {
		l->first = below;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		l->first = heap_join(l->first, below);
	}
	t->child = t->next = t->prev = NULL;
}

void loop_timer_at(struct loop *l, struct loop_timer *t, struct mono_time due)
{
	assert(!t->loop || t->loop == l);
	loop_timer_cancel(t);
	t->loop = l;
	t->due = due;
	t->order = l->timer_order++;
	t->child = t->next = t->prev = NULL;
	l->first = heap_join(l->first, t);
	l->n_timers++;
}

void loop_timer_in(struct loop *l, struct loop_timer *t, int64_t ns)
{
	struct mono_time due;

	if (__builtin_add_overflow(loop_now(l).ns, ns, &due.ns))
		due.ns = ns < 0 ? INT64_MIN : INT64_MAX;
	loop_timer_at(l, t, due);
}

bool loop_timer_is_set(const struct loop_timer *t)
{
	return t->loop;
}

void loop_timer_cancel(struct loop_timer *t)
{
	struct loop *l = t->loop;

	if (!l)
		return;
	heap_remove(l, t);
	l->n_timers--;
	t->loop = NULL;
}

bool loop_next_due(const struct loop *l, struct mono_time *ret)
{
	if (l->first)
		*ret = l->first->due;
	return l->first;
}

/* Runs what is due. Timers that callbacks set again for now wait for the next turn once as many
 * have run as were set at first: descriptors get their share. */
static void run_timers(struct loop *l)
{
	for (size_t budget = l->n_timers; budget > 0 && l->first; budget--) {
		struct loop_timer *t = l->first;

		if (t->due.ns > l->now.ns)
			break;
		loop_timer_cancel(t);
		t->cb(t);
	}
}

static void timer_io_cb(struct loop_fd *f, uint32_t events)
{
	struct loop *l = f->ctx;
	uint64_t expirations;

	(void)events;
	/* Nobody needs the count, but unread it would wake the loop for ever. */
	(void)!read(f->fd, &expirations, sizeof(expirations));
	l->armed.ns = 0;
}

/* Sets the timerfd to the earliest timer. Returns 1 when that one is due already, 0, or -errno. */
static int arm_timer(struct loop *l)
{
	struct mono_time due = l->first ? l->first->due : (struct mono_time){0};
	struct itimerspec spec = {0};
	int64_t wait;

	if (l->first) {
		if (due.ns <= l->now.ns)
			return 1;
		if (due.ns == l->armed.ns)
			return 0;
		wait = due.ns - l->now.ns;
		spec.it_value.tv_sec = (time_t)(wait / NS_PER_S);
		spec.it_value.tv_nsec = (long)(wait % NS_PER_S);
	} else if (l->armed.ns == 0) {
		return 0;
	}
	if (timerfd_settime(l->timer_io.fd, 0, &spec, NULL) < 0)
		return -errno;
	l->armed = due;
	return 0;
}

/* --- wake --- */

static void wake_io_cb(struct loop_fd *f, uint32_t events)
{
	struct loop_wake *w = f->ctx;
	uint64_t count;

	(void)events;
	if (read(f->fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		w->cb(w);
}

int loop_wake_add(struct loop *l, struct loop_wake *w)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	w->io = (struct loop_fd){.cb = wake_io_cb, .ctx = w, .fd = fd};
	r = loop_fd_add(l, &w->io, EPOLLIN);
	if (r < 0)
		close(fd);
	return r;
}

void loop_wake_post(struct loop_wake *w)
{
	const uint64_t one = 1;
	int saved_errno = errno;
	ssize_t n;

	if (!w->io.loop)
		return;
	/* EAGAIN means that the counter is full: the loop is due to wake anyway. */
	do
		n = write(w->io.fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	errno = saved_errno;
}

void loop_wake_remove(struct loop_wake *w)
{
	if (!w->io.loop)
		return;
	loop_fd_remove(&w->io);
	close(w->io.fd);
}

/* --- signals --- */

/* One signal an event: the callback may free s, and more signals make the descriptor ready again.
 */
static void signal_io_cb(struct loop_fd *f, uint32_t events)
{
	struct loop_signal *s = f->ctx;
	struct signalfd_siginfo info;

	(void)events;
	if (read(f->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->cb(s, (int)info.ssi_signo);
}

int loop_signal_add(struct loop *l, struct loop_signal *s, const int *signos, size_t n)
{
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		if (sigaddset(&set, signos[i]) < 0)
			return -errno;
	r = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (r != 0)
		return -r;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	s->io = (struct loop_fd){.cb = signal_io_cb, .ctx = s, .fd = fd};
	r = loop_fd_add(l, &s->io, EPOLLIN);
	if (r < 0)
		close(fd);
	return r;
}

void loop_signal_remove(struct loop_signal *s)
{
	if (!s->io.loop)
		return;
	loop_fd_remove(&s->io);
	close(s->io.fd);
}

/* --- the loop --- */

/* The wake alone makes epoll return; the flag says why. */
static void stop_wake_cb(struct loop_wake *w)
{
	(void)w;
}

static int open_loop(struct loop *l)
{
	int r;

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return -errno;
	l->timer_io.fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timer_io.fd < 0)
		return -errno;
	r = loop_fd_add(l, &l->timer_io, EPOLLIN);
	if (r < 0)
		return r;
	return loop_wake_add(l, &l->stop_wake);
}

int loop_new(struct loop **ret, const struct timebase *tb)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->tb = tb;
	l->epoll_fd = -1;
	l->timer_io = (struct loop_fd){.cb = timer_io_cb, .ctx = l, .fd = -1};
	l->stop_wake.cb = stop_wake_cb;
	r = open_loop(l);
	if (r < 0) {
		loop_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

struct loop *loop_free(struct loop *l)
{
	if (!l)
		return NULL;
	assert(!l->in_turn);
	while (l->first)
		loop_timer_cancel(l->first);
	loop_wake_remove(&l->stop_wake);
	loop_fd_remove(&l->timer_io);
	if (l->timer_io.fd >= 0)
		close(l->timer_io.fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l);
	return NULL;
}

static void run_events(struct loop *l)
{
	l->next_event = 0;
	while (l->next_event < l->n_events) {
		const struct epoll_event *ev = &l->events[l->next_event++];
		struct loop_fd *f = ev->data.ptr;

		if (f)
			f->cb(f, ev->events);
	}
	l->n_events = 0;
}

int loop_turn(struct loop *l, int timeout_ms)
{
	int r, n;

	assert(!l->in_turn);
	l->now = timebase_mono(l->tb);
	r = arm_timer(l);
	if (r < 0)
		return r;
	n = epoll_wait(l->epoll_fd, l->events, EVENTS_MAX, r > 0 ? 0 : timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	l->n_events = n < 0 ? 0 : n;
	l->now = timebase_mono(l->tb);
	l->in_turn = true;
	run_events(l);
	run_timers(l);
	l->in_turn = false;
	return 0;
}

int loop_run(struct loop *l)
{
	while (!atomic_exchange(&l->stopping, false)) {
		int r = loop_turn(l, -1);

		if (r < 0)
			return r;
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stopping, true);
	loop_wake_post(&l->stop_wake);
}

struct mono_time loop_now(const struct loop *l)
{
	return l->in_turn ? l->now : timebase_mono(l->tb);
}
