#include "agent/health/service.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { ASKS = 4, RETRY_PART = 32 };

static int say(const struct service *s, const char *state)
{
	struct counters *c = s->counters;
	int r = notify_send(&s->notify,
			    "%s\nSTATUS=%s; sources %" PRIu64 "; without receipt %" PRIu64
			    " batches, %" PRIu64 " bytes",
			    state, counter_get(&c->connected) ? "connected" : "not connected",
			    counter_get(&c->sources_active), counter_get(&c->outbox_rows),
			    counter_get(&c->outbox_bytes));

	if (r < 0)
		log_warn("notify_failed", "what=%s", strerror(-r));
	return r;
}

static void set_timer(struct service *s, int part)
{
	loop_timer_in(s->loop, &s->timer, s->notify.watchdog_ns / part);
}

static void on_timer(struct loop_timer *t)
{
	struct service *s = t->ctx;

	set_timer(s, ASKS);
	if (!s->asked) {
		s->asked = true;
		s->ask(s->ctx);
		return;
	}
	if (!s->told)
		log_warn("back_thread_silent",
			 "for_ms=%" PRId64 " watchdog_ms=%" PRId64
			 " what=held up, by the disk as a rule",
			 s->notify.watchdog_ns / ASKS / NS_PER_MS,
			 s->notify.watchdog_ns / NS_PER_MS);
	s->told = true;
}

static void on_answered(struct loop_wake *w)
{
	struct service *s = w->ctx;

	if (!s->asked)
		return;
	s->asked = false;
	if (s->told)
		log_info("back_thread_answered", "what=it was held up");
	s->told = false;
	if (say(s, "WATCHDOG=1") < 0)
		set_timer(s, RETRY_PART);
}

static int begin_watch(struct service *s)
{
	int r;

	s->timer = (struct loop_timer){.cb = on_timer, .ctx = s};
	s->answered = (struct loop_wake){.cb = on_answered, .ctx = s};
	if (s->notify.watchdog_ns == 0)
		return 0;
	r = loop_wake_add(s->loop, &s->answered);
	if (r == 0)
		set_timer(s, ASKS);
	return r;
}

int service_start(struct service *s, struct loop *l, struct counters *counters,
		  void (*ask)(void *ctx), void *ctx)
{
	struct error err = {""};
	int r;

	*s = (struct service){.loop = l, .counters = counters, .ask = ask, .ctx = ctx};
	if (notify_open(&s->notify, &err) < 0)
		log_warn("notify_ignored", "what=%s", err.text);
	r = begin_watch(s);
	if (r == 0)
		(void)say(s, "READY=1");
	return r;
}

void service_answer(struct service *s)
{
	loop_wake_post(&s->answered);
}

void service_reloading(struct service *s)
{
	struct timespec now;
	int r;

	/* CLOCK_MONOTONIC is the manager's, to tell this reload from the one before. */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	r = notify_send(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
			(int64_t)now.tv_sec * (NS_PER_S / NS_PER_US) + now.tv_nsec / NS_PER_US);
	if (r < 0)
		log_warn("notify_failed", "what=%s", strerror(-r));
}

void service_ready(struct service *s)
{
	(void)say(s, "READY=1");
}

void service_stopping(struct service *s)
{
	if (s->loop)
		(void)say(s, "STOPPING=1");
}

void service_end(struct service *s)
{
	if (!s->loop)
		return;
	loop_timer_cancel(&s->timer);
	loop_wake_remove(&s->answered);
	notify_close(&s->notify);
	s->loop = NULL;
}
