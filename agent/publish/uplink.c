#include "agent/publish/uplink.h"

#include "agent/store/intake.h"
#include "agent/store/totals.h"
#include "base/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum { FLUSH_RETRY_S = 1 };

struct uplink {
	struct loop *loop;
	struct store *store;
	struct intake *intake;
	struct publish *publish;
	struct counters *counters;
	const struct timebase *tb;
	struct uplink_handlers on;
	struct loop_wake wake;
	struct loop_wake asked;
	struct loop_timer flush, expire;
	int flush_error; /* of the last flush, as logged */
	pthread_t thread;
	bool running;
	bool drained;
	bool corrupt; /* as said */
	_Atomic bool sources_ended;
	_Atomic bool stop;
	_Atomic int64_t stop_wait_ns;
};

/* What was put off for a receipt has 30 s, a row that is not on disk sync_ms: the earlier counts. A
 * flush that fails keeps its pace. */
static void arm_flush(struct uplink *u)
{
	bool is_set = loop_timer_is_set(&u->flush);
	struct mono_time due;

	if (!store_flush_due(u->store, &due))
		return;
	if (!is_set || (u->flush_error == 0 && due.ns < u->flush.due.ns))
		loop_timer_at(u->loop, &u->flush, due);
}

static void on_corrupt(void *ctx)
{
	struct uplink *u = ctx;

	if (!u->corrupt)
		log_error("outbox_corrupt", "what=restart to set it aside and begin a new one");
	u->corrupt = true;
	store_suspect(u->store);
	u->on.failed(u->on.ctx);
}

/* Returns whether it went well. What could not be written is tried again. */
static bool report(struct uplink *u, const char *event, int r)
{
	if (r < 0 && r != u->flush_error)
		log_error(event, "what=%s retry_s=%d", strerror(-r), FLUSH_RETRY_S);
	u->flush_error = r;
	if (r == -EBADMSG)
		on_corrupt(u);
	return r == 0;
}

static void on_flush(struct loop_timer *t)
{
	struct uplink *u = t->ctx;
	struct mono_time retry = {loop_now(u->loop).ns + FLUSH_RETRY_S * NS_PER_S};

	if (report(u, "outbox_flush_failed", store_tend(u->store)))
		arm_flush(u);
	else
		loop_timer_at(u->loop, t, retry);
}

static void on_expire(struct loop_timer *t)
{
	struct uplink *u = t->ctx;
	struct mono_time next = {loop_now(u->loop).ns + FLUSH_RETRY_S * NS_PER_S};
	struct store_dropped dropped = {0};

	if (report(u, "outbox_expire_failed", store_expire(u->store, &dropped, &next))) {
		store_show_dropped(&dropped, u->counters);
		if (dropped.by[GAP_EXPIRED].rows > 0) {
			log_warn("outbox_expired", "batches=%" PRIu64 " samples=%" PRIu64,
				 dropped.by[GAP_EXPIRED].rows, dropped.by[GAP_EXPIRED].samples);
			publish_kick(u->publish);
		}
	}
	loop_timer_at(u->loop, t, next);
	arm_flush(u);
}

static void check_drained(struct uplink *u)
{
	/* The flag first: what was put into the queue before it was set is seen after. */
	if (u->drained || !atomic_load(&u->sources_ended))
		return;
	if (!intake_is_idle(u->intake) || store_totals(u->store).rows > 0)
		return;
	u->drained = true;
	(void)report(u, "outbox_flush_failed", store_flush(u->store));
	u->on.drained(u->on.ctx);
}

static void on_wake(struct loop_wake *w)
{
	struct uplink *u = w->ctx;

	if (atomic_load(&u->stop)) {
		struct mono_time deadline = timebase_mono(u->tb);

		deadline.ns += atomic_load(&u->stop_wait_ns);
		intake_finish(u->intake, u->tb, deadline);
		loop_stop(u->loop);
		return;
	}
	intake_run(u->intake);
	check_drained(u);
}

static void on_asked(struct loop_wake *w)
{
	struct uplink *u = w->ctx;

	u->on.alive(u->on.ctx);
}

static void on_room(void *ctx)
{
	struct uplink *u = ctx;

	u->on.room(u->on.ctx);
}

static void on_stored(void *ctx)
{
	struct uplink *u = ctx;

	publish_kick(u->publish);
	arm_flush(u);
	check_drained(u);
}

static void on_changed(void *ctx)
{
	arm_flush(ctx);
	check_drained(ctx);
}

static int open_store(struct uplink *u, const struct uplink_options *opt, struct error *err)
{
	struct store_opened opened;
	int r = store_open(&u->store, opt->outbox_path, &opt->store, &opened, err);
	struct store_totals t;

	if (r < 0)
		return r;
	t = store_totals(u->store);
	store_show_dropped(&opened.dropped, u->counters);
	if (opened.set_aside)
		log_error("outbox_set_aside", "path=%s what=it was damaged; a new one was made",
			  opt->outbox_path);
	if (opened.set_aside || opened.salvaged_rows > 0 || opened.unfinished)
		log_error("outbox_salvaged",
			  "rows=%" PRIu64 " samples=%" PRIu64 " unreadable=%" PRIu64
			  " dropped=%" PRIu64 " what=%s",
			  opened.salvaged_rows, opened.salvaged_samples, opened.unreadable_rows,
			  opened.dropped.by[GAP_QUOTA].rows,
			  opened.unfinished ? "the disk is full or fails; the next start goes on"
					    : "all that could be read");
	if (opened.unsaved_batches > 0)
		log_error("batches_unsaved",
			  "batches=%" PRIu64 " what=could not be stored when the agent ended last",
			  opened.unsaved_batches);
	log_info("outbox_open",
		 "epoch=%016" PRIx64 " rows=%" PRIu64 " bytes=%" PRIu64 " gaps=%" PRIu64,
		 store_epoch(u->store), t.rows, t.bytes, t.gaps);
	return 0;
}

static int prepare(struct uplink *u, struct batch_queue *queue, const struct uplink_options *opt)
{
	struct intake_handlers on = {on_room, on_stored, on_corrupt, u};
	struct publish_options pub = opt->publish;
	int r = loop_new(&u->loop, opt->tb);

	if (r == 0)
		r = loop_wake_add(u->loop, &u->wake);
	if (r == 0)
		r = loop_wake_add(u->loop, &u->asked);
	if (r == 0)
		r = intake_new(&u->intake, u->loop, queue, u->store, u->counters, &on);
	if (r < 0)
		return r;
	loop_timer_in(u->loop, &u->expire, 0);
	pub.changed = on_changed;
	pub.corrupt = on_corrupt;
	pub.ctx = u;
	return publish_new(&u->publish, u->loop, u->store, u->counters, &pub);
}

int uplink_new(struct uplink **ret, struct batch_queue *queue, struct counters *counters,
	       const struct uplink_options *opt, const struct uplink_handlers *handlers,
	       struct error *err)
{
	struct uplink *u = calloc(1, sizeof(*u));
	int r;

	if (!u) {
		error_set(err, "out of memory");
		return -ENOMEM;
	}
	u->counters = counters;
	u->tb = opt->tb;
	u->on = *handlers;
	u->wake = (struct loop_wake){.cb = on_wake, .ctx = u};
	u->asked = (struct loop_wake){.cb = on_asked, .ctx = u};
	u->flush = (struct loop_timer){.cb = on_flush, .ctx = u};
	u->expire = (struct loop_timer){.cb = on_expire, .ctx = u};
	r = open_store(u, opt, err);
	if (r == 0) {
		r = prepare(u, queue, opt);
		if (r < 0)
			error_set(err, "cannot start to publish to %s: %s", opt->publish.mqtt.uri,
				  strerror(-r));
	}
	if (r < 0) {
		uplink_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

struct uplink *uplink_free(struct uplink *u)
{
	if (!u)
		return NULL;
	assert(!u->running);
	loop_timer_cancel(&u->flush);
	loop_timer_cancel(&u->expire);
	publish_free(u->publish);
	intake_free(u->intake);
	store_close(u->store);
	if (u->loop) {
		loop_wake_remove(&u->asked);
		loop_wake_remove(&u->wake);
	}
	loop_free(u->loop);
	free(u);
	return NULL;
}

uint64_t uplink_epoch(const struct uplink *u)
{
	return store_epoch(u->store);
}

static void *thread_main(void *ctx)
{
	struct uplink *u = ctx;
	int r = loop_run(u->loop);

	if (r < 0) {
		log_error("uplink_failed", "what=%s", strerror(-r));
		u->on.failed(u->on.ctx);
	}
	return NULL;
}

int uplink_start(struct uplink *u)
{
	int r = pthread_create(&u->thread, NULL, thread_main, u);

	if (r != 0)
		return -r;
	(void)pthread_setname_np(u->thread, "towline-back"); /* for top -H, and gdb */
	u->running = true;
	return 0;
}

void uplink_kick(struct uplink *u)
{
	loop_wake_post(&u->wake);
}

void uplink_ask(struct uplink *u)
{
	loop_wake_post(&u->asked);
}

void uplink_sources_ended(struct uplink *u)
{
	atomic_store(&u->sources_ended, true);
	loop_wake_post(&u->wake);
}

void uplink_stop(struct uplink *u, int64_t wait_ns)
{
	if (!u->running)
		return;
	atomic_store(&u->stop_wait_ns, wait_ns);
	atomic_store(&u->stop, true);
	loop_wake_post(&u->wake);
	(void)pthread_join(u->thread, NULL);
	u->running = false;
}
