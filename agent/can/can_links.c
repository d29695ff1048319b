#include "agent/can/can_links.h"

#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { RATE_OFF_MAX = 5 }; /* per mille, without a word */

/* Setting an interface may take a second behind USB, so that it is done by a thread of its own: the
 * front loop has other buses to read. But not the first time, when nothing is read yet: sources are
 * to find it up. */
struct job {
	struct link *link;
	bool restart; /* or set */
	bool again;
	int result;
	struct can_link_state now; /* after it was set */
	struct can_restart_past past;
	struct error err;
};

struct link {
	struct can_links *all;
	struct can_link_settings want;
	struct can_watcher watcher;
	struct loop_timer timer;
	struct can_restart restart;
	bool off;	/* the timer waits to restart it: it is bus-off, and the kernel will not */
	bool again;	/* that failed: take it down even if it is as configured */
	int ifindex;	/* of the interface that was set; 0: none yet */
	int64_t wait_s; /* before the next attempt */
	struct error said; /* why the last attempt failed; "": it did not */

	struct job job;
	bool tried;	/* once at least */
	bool busy;	/* the thread runs, and the job is its own */
	bool once_more; /* when it has ended */
	pthread_t thread;
	struct loop_wake done;
};

struct can_links {
	struct loop *loop;
	struct can_watch *watch;
	struct can_links_kernel kernel;
	size_t n;
	struct link links[CAN_LINKS_MAX];
};

static void set_timer(struct link *k, int64_t ns)
{
	loop_timer_in(k->all->loop, &k->timer, ns);
}

/* Says it when the reason changes; goes on trying quietly. */
static void failed(struct link *k, const struct error *err)
{
	k->wait_s = k->wait_s == 0 ? CAN_LINKS_RETRY_MIN_S : k->wait_s * 2;
	if (k->wait_s > CAN_LINKS_RETRY_MAX_S)
		k->wait_s = CAN_LINKS_RETRY_MAX_S;
	if (strcmp(err->text, k->said.text) != 0)
		log_error("link_failed", "interface=%s what=%s", k->want.interface, err->text);
	k->said = *err;
	set_timer(k, k->wait_s * NS_PER_S);
}

static const char *restarted_by(const struct link *k, const struct can_link_state *now)
{
	if (k->want.restart_ms == 0)
		return "nobody";
	return now->restart_ms > 0 ? "kernel" : "agent";
}

/* " bitrate=500000 sample_point=0.875"; some adapters do not say where they sample. */
static size_t timing_text(char *out, size_t size, const char *prefix,
			  const struct can_bittiming *bt)
{
	int n = snprintf(out, size, " %sbitrate=%u", prefix, bt->bitrate);

	if (bt->sample_point)
		n += snprintf(out + n, size - (size_t)n, " %ssample_point=0.%03u", prefix,
			      bt->sample_point % 1000);
	return (size_t)n;
}

static void say_set(const struct link *k, const struct can_link_state *now, bool kept)
{
	char timing[160];
	size_t n = timing_text(timing, sizeof(timing), "", &now->bittiming);

	if (now->ctrlmode & CAN_CTRLMODE_FD)
		(void)timing_text(timing + n, sizeof(timing) - n, "d", &now->data_bittiming);
	log_info(kept ? "link_kept" : "link_set", "interface=%s%s restart_ms=%u restart_by=%s",
		 k->want.interface, timing, k->want.restart_ms, restarted_by(k, now));
}

/* Kernels take what is up to 5 % off; the other nodes of a bus do not (ISO 11898-1 leaves some 1 %
 * in all, with the oscillators' own). */
static void say_off(const struct link *k, const char *key, uint32_t wanted, uint32_t now)
{
	uint32_t off = now > wanted ? now - wanted : wanted - now;

	if ((uint64_t)off * 1000 > (uint64_t)wanted * RATE_OFF_MAX)
		log_warn("link_rate_off",
			 "interface=%s %s=%u wanted=%u what=no nearer one can be set",
			 k->want.interface, key, now, wanted);
}

static void do_job(struct job *j)
{
	const struct link *k = j->link;
	const struct can_links_kernel *kernel = &k->all->kernel;

	j->err.text[0] = '\0';
	if (j->restart)
		j->result = kernel->restart(k->want.interface, &j->past, &j->err);
	else
		j->result = kernel->apply(&k->want, j->again, &j->now, &j->err);
}

static void job_cancelled(void *job)
{
	struct job *j = job;

	error_set(&j->err, "the interface went away");
	j->result = -ENODEV;
	loop_wake_post(&j->link->done);
}

/* What is half done is never cut off: can_restart_now says where it may be. */
static void *run_job(void *job)
{
	struct job *j = job;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_push(job_cancelled, j);
	do_job(j);
	pthread_cleanup_pop(0);
	loop_wake_post(&j->link->done);
	return NULL;
}

static void was_set(struct link *k)
{
	const struct job *j = &k->job;

	say_set(k, &j->now, j->result == CAN_LINK_KEPT);
	say_off(k, "bitrate", k->want.bitrate, j->now.bittiming.bitrate);
	if (k->want.fd)
		say_off(k, "dbitrate", k->want.dbitrate, j->now.data_bittiming.bitrate);
	if (k->again) /* instead of a restart */
		can_restart_done(&k->restart, loop_now(k->all->loop));
	k->again = false;
	k->ifindex = j->now.ifindex;
}

static void was_restarted(struct link *k)
{
	if (k->job.result == CAN_RESTART_NEEDLESS)
		return;
	can_restart_done(&k->restart, loop_now(k->all->loop));
	log_info("bus_restart_done", "interface=%s way=%s", k->want.interface,
		 k->job.result == CAN_RESTART_IN_PLACE ? "in_place" : "down_up");
	can_watch_look(k->all->watch, k->want.interface);
}

/* What has settings is set anew, what has none is tried again; nothing, when it went away: another
 * of that name is another matter. */
static void restart_failed(struct link *k)
{
	bool gone = k->job.result == -ENODEV;

	k->again = !gone && k->want.bitrate > 0;
	k->off = !gone && k->want.bitrate == 0;
	if (gone)
		k->job.past = (struct can_restart_past){.stopped = false};
	else
		failed(k, &k->job.err);
}

static void finished(struct link *k)
{
	const struct job *j = &k->job;

	if (j->result < 0 && j->restart) {
		restart_failed(k);
		return;
	}
	if (j->result < 0) {
		failed(k, &j->err);
		return;
	}
	if (j->restart)
		was_restarted(k);
	else
		was_set(k);
	k->wait_s = 0;
	k->said = (struct error){""};
}

static void begin(struct link *k)
{
	if (k->busy) {
		k->once_more = true;
		return;
	}
	if (!k->off && k->want.bitrate == 0)
		return;
	k->job.restart = k->off;
	k->job.again = k->again;
	k->off = false;
	k->busy = (k->tried || k->job.restart) &&
		  pthread_create(&k->thread, NULL, run_job, &k->job) == 0;
	k->tried = true;
	if (k->busy)
		return;
	do_job(&k->job);
	finished(k);
}

static void on_done(struct loop_wake *w)
{
	struct link *k = w->ctx;

	(void)pthread_join(k->thread, NULL);
	k->busy = false;
	finished(k);
	if (k->once_more) {
		k->once_more = false;
		begin(k);
	}
}

static void on_timer(struct loop_timer *t)
{
	begin(t->ctx);
}

static void went_bus_off(struct link *k, const struct can_link_state *now)
{
	int64_t wait;

	if (k->want.restart_ms == 0) {
		log_error("bus_stays_off", "interface=%s restart_ms=0 what=nobody restarts it",
			  k->want.interface);
		return;
	}
	if (now->restart_ms > 0)
		return; /* the kernel does */
	wait = can_restart_wait(&k->restart, loop_now(k->all->loop));
	k->off = true;
	log_info("bus_restart_planned", "interface=%s in_ms=%lld", k->want.interface,
		 (long long)(wait / NS_PER_MS));
	set_timer(k, wait);
}

/* A restart that waits is of no use any more when somebody else did it, or took the interface
 * down; but for where the agent did that, and has yet to take it up. */
static void forget_restart(struct link *k, const struct can_watch_change *c)
{
	bool ours = !k->busy && k->job.past.stopped && !c->vanished && !c->up;

	if (k->off && !ours && (c->vanished || c->restarted || c->down)) {
		loop_timer_cancel(&k->timer);
		k->off = k->again = false;
	}
	if (c->vanished && k->busy)
		(void)pthread_cancel(k->thread);
	else if (c->vanished)
		k->job.past = (struct can_restart_past){.stopped = false};
}

/* An interface that somebody takes down stays down: the agent does not fight over it. */
static void on_change(struct can_watcher *w, const struct can_watch_change *c)
{
	struct link *k = w->ctx;

	if (k->want.bitrate == 0 && k->want.restart_ms == 0)
		return;
	forget_restart(k, c);
	if (c->vanished)
		k->ifindex = 0;
	if (k->want.bitrate > 0 && c->appeared && c->state->ifindex != k->ifindex)
		set_timer(k, 0);
	else if (c->bus_off)
		went_bus_off(k, c->state);
}

static int start(struct can_links *ls, const struct can_link_settings *s)
{
	struct link *k = &ls->links[ls->n++];
	int r = 0;

	k->all = ls;
	k->want = *s;
	k->job.link = k;
	k->watcher = (struct can_watcher){.cb = on_change, .ctx = k};
	k->timer = (struct loop_timer){.cb = on_timer, .ctx = k};
	k->done = (struct loop_wake){.cb = on_done, .ctx = k};
	k->restart.min_ns = s->restart_ms * NS_PER_MS;
	k->restart.max_ns = s->restart_max_ms * NS_PER_MS;
	if (s->bitrate > 0 || s->restart_ms > 0)
		r = loop_wake_add(ls->loop, &k->done);
	if (r == 0 && s->bitrate > 0)
		set_timer(k, 0);
	return r < 0 ? r : can_watch_add(ls->watch, &k->watcher, s->interface);
}

int can_links_new(struct can_links **ret, struct can_watch *watch, struct loop *loop,
		  const struct can_link_settings *settings, size_t n,
		  const struct can_links_kernel *kernel)
{
	static const struct can_links_kernel real = {can_link_apply, can_restart_now};
	struct can_links *ls = calloc(1, sizeof(*ls));
	int r = 0;

	if (!ls) {
		can_watch_free(watch);
		return -ENOMEM;
	}
	assert(n <= CAN_LINKS_MAX);
	ls->loop = loop;
	ls->watch = watch;
	ls->kernel = kernel ? *kernel : real;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = start(ls, &settings[i]);
	if (r < 0) {
		can_links_free(ls);
		return r;
	}
	*ret = ls;
	return 0;
}

struct can_watch *can_links_watch(const struct can_links *ls)
{
	return ls->watch;
}

bool can_links_busy(const struct can_links *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		if (ls->links[i].busy)
			return true;
	return false;
}

struct can_links *can_links_free(struct can_links *ls)
{
	if (!ls)
		return NULL;
	for (size_t i = 0; i < ls->n; i++) {
		struct link *k = &ls->links[i];

		if (k->busy) {
			(void)pthread_cancel(k->thread);
			(void)pthread_join(k->thread, NULL);
		}
		loop_wake_remove(&k->done);
		loop_timer_cancel(&k->timer);
		can_watch_remove(&k->watcher);
	}
	can_watch_free(ls->watch);
	free(ls);
	return NULL;
}
