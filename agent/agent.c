/* The front thread: one epoll loop takes frames, decodes, collects and batches. Closed batches go
 * to the back thread (publish/uplink.h). What crosses: the batch queue, wake-ups, counters. */
#include "agent/agent.h"

#include "agent/batch/pipeline.h"
#include "agent/config/config.h"
#include "agent/health/service.h"
#include "agent/health/status.h"
#include "agent/publish/uplink.h"
#include "agent/store/data_dir.h"
#include "agent/store/seal.h"
#include "base/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	PATH_BYTES = 1200,
	STATUS_PERIOD_S = 1,
	STOP_WAIT_MS = 700, /* for a disk that refuses; MQTT has up to 1 s more; 2 s in all */
};

struct agent {
	struct conf *conf;    /* what it was started with */
	struct conf *applied; /* what the last reload brought, or conf */
	char path[PATH_BYTES];
	const struct timebase *tb;
	struct mono_time started;
	struct counters counters;
	int lock_fd; /* data_dir is ours */

	struct loop *loop;
	struct loop_signal signals;
	struct loop_wake room;	    /* a builder is free */
	struct loop_wake back_said; /* drained, or failed */
	struct loop_timer batch_timer;
	struct loop_timer status_timer;
	struct catalog *cat;
	struct dictionary *dictionary; /* NULL: none */
	struct batch_queue *queue;
	struct batcher *batcher;
	struct pipeline *pipeline;
	struct seal *seal; /* the outbox's key; NULL: none */
	struct uplink *uplink;
	struct service service;
	struct clock_pair clock;
	struct source_env env;
	struct can_links *links;
	struct source *sources[CONFIG_SOURCES_MAX];
	size_t n_sources, n_active;

	const char *state;
	int exit_code;
	_Atomic bool drained, failed;
};

/* ---- status ---- */

static void write_status(struct agent *a)
{
	const char *path = conf_string(a->conf, "agent", NULL, "status_file");
	struct status_info info = {
		.vehicle = conf_string(a->conf, "agent", NULL, "vehicle"),
		.device = conf_string(a->conf, "agent", NULL, "device"),
		.epoch = uplink_epoch(a->uplink),
		.now = timebase_wall(a->tb),
		.uptime = {timebase_mono(a->tb).ns - a->started.ns},
		.state = a->state,
	};
	int r;

	if (!*path)
		return;
	r = status_write(path, &info, &a->counters);
	if (r < 0)
		log_warn("status_failed", "path=%s what=%s", path, strerror(-r));
}

static void on_status_timer(struct loop_timer *t)
{
	struct agent *a = t->ctx;

	write_status(a);
	loop_timer_in(a->loop, t, STATUS_PERIOD_S * NS_PER_S);
}

/* ---- frames and batches ---- */

static void set_batch_timer(struct agent *a)
{
	struct mono_time due;

	if (batcher_next_due(a->batcher, &due))
		loop_timer_at(a->loop, &a->batch_timer, due);
}

static void on_batch_timer(struct loop_timer *t)
{
	struct agent *a = t->ctx;

	batcher_tick(a->batcher, loop_now(a->loop));
	set_batch_timer(a);
}

static int answer_source(struct agent *a, int r)
{
	if (r == PIPELINE_BUSY) {
		counter_add(&a->counters.store_busy, 1);
		return SOURCE_BUSY;
	}
	if (!loop_timer_is_set(&a->batch_timer))
		set_batch_timer(a);
	return 0;
}

static int on_frame(void *ctx, const struct frame *f)
{
	return answer_source(ctx, pipeline_frame(((struct agent *)ctx)->pipeline, f));
}

static void on_closed(void *ctx, size_t samples)
{
	struct agent *a = ctx;

	(void)samples;
	counter_add(&a->counters.batches_closed, 1);
	uplink_kick(a->uplink);
}

static void on_ended(void *ctx, struct source *s)
{
	struct agent *a = ctx;

	(void)s;
	counter_set(&a->counters.sources_active, --a->n_active);
	if (a->n_active > 0)
		return;
	batcher_flush(a->batcher);
	uplink_sources_ended(a->uplink);
}

static void on_room(struct loop_wake *w)
{
	struct agent *a = w->ctx;

	for (size_t i = 0; i < a->n_sources; i++)
		source_resume(a->sources[i]);
}

/* ---- what the back thread says ---- */

static void back_room(void *ctx)
{
	struct agent *a = ctx;

	loop_wake_post(&a->room);
}

static void back_drained(void *ctx)
{
	struct agent *a = ctx;

	atomic_store(&a->drained, true);
	loop_wake_post(&a->back_said);
}

static void back_failed(void *ctx)
{
	struct agent *a = ctx;

	atomic_store(&a->failed, true);
	loop_wake_post(&a->back_said);
}

static void ask_back(void *ctx)
{
	uplink_ask(((struct agent *)ctx)->uplink);
}

static void back_alive(void *ctx)
{
	service_answer(&((struct agent *)ctx)->service);
}

static void on_back_said(struct loop_wake *w)
{
	struct agent *a = w->ctx;

	if (atomic_load(&a->failed)) {
		a->exit_code = AGENT_EXIT_FAILED;
		a->state = "failed";
		loop_stop(a->loop);
	} else if (atomic_load(&a->drained) &&
		   conf_bool(a->conf, "agent", NULL, "exit_when_drained")) {
		a->state = "drained";
		loop_stop(a->loop);
	}
}

/* ---- what sources ask ---- */

static int on_payload(void *ctx, const struct payload *p)
{
	return answer_source(ctx, pipeline_payload(((struct agent *)ctx)->pipeline, p));
}

static void tell_matches_changed(struct agent *a)
{
	for (size_t i = 0; i < a->n_sources; i++)
		source_matches_changed(a->sources[i]);
}

static int on_claim(void *ctx, uint16_t bus, uint32_t id, bool extended)
{
	struct agent *a = ctx;
	int r = pipeline_claim(a->pipeline, bus, id, extended);

	if (r == 0)
		tell_matches_changed(a);
	return r;
}

static size_t on_matches(void *ctx, uint16_t bus, struct frame_match *out, size_t max)
{
	struct agent *a = ctx;

	return pipeline_matches(a->pipeline, bus, out, max);
}

static bool on_wants(void *ctx, uint32_t signal)
{
	struct agent *a = ctx;

	return pipeline_wants(a->pipeline, signal);
}

/* ---- signals ---- */

static size_t builders_for(const struct agent *a, unsigned classes)
{
	return (unsigned)__builtin_popcount(classes) +
	       (size_t)conf_int(a->conf, "batch", NULL, "queue");
}

struct reload {
	bool rules;
};

static void on_changed_key(void *ctx, const struct conf_key *key, const char *label)
{
	struct reload *r = ctx;

	if (!key->reloads)
		log_warn("reload_needs_restart", "section=%s label=%s key=%s", key->section,
			 label ? label : "-", key->key);
	else
		log_info("reload_changed", "section=%s label=%s key=%s", key->section,
			 label ? label : "-", key->key);
	if (strcmp(key->section, "collect") == 0)
		r->rules = true;
}

static int reload_rules(struct agent *a, const struct conf *c, struct error *err)
{
	struct collect *col;
	int r = config_collect(&col, c, a->path, a->cat, err);

	if (r < 0)
		return r;
	r = batch_queue_grow(a->queue, builders_for(a, collect_classes(col)));
	if (r == 0)
		r = pipeline_set_collect(a->pipeline, col);
	if (r < 0) {
		error_set(err, "no memory for the rules");
		collect_free(col);
		return r;
	}
	tell_matches_changed(a);
	return 0;
}

/* All of the new file, or nothing of it. */
static void reload(struct agent *a)
{
	struct reload what = {false};
	struct error err;
	struct conf *c;

	if (config_load(&c, a->path, &err) < 0) {
		log_error("reload_failed", "what=%s", err.text);
		return;
	}
	conf_diff(a->applied, c, on_changed_key, &what);
	if (what.rules && reload_rules(a, c, &err) < 0) {
		log_error("reload_failed", "what=%s", err.text);
		conf_free(c);
		return;
	}
	log_set_level((enum log_level)conf_enum(c, "agent", NULL, "log_level"));
	batcher_set_age_max(a->batcher, conf_int(c, "batch", NULL, "max_age_ms") * NS_PER_MS);
	set_batch_timer(a);
	if (a->applied != a->conf)
		conf_free(a->applied);
	a->applied = c;
	log_info("reloaded", "path=%s", a->path);
}

static void on_signal(struct loop_signal *s, int signo)
{
	struct agent *a = s->ctx;

	if (signo == SIGHUP) {
		service_reloading(&a->service);
		reload(a);
		service_ready(&a->service);
		return;
	}
	log_info("stopping", "signal=%s", signo == SIGTERM ? "SIGTERM" : "SIGINT");
	loop_stop(a->loop);
}

/* ---- building ---- */

static int make_loop(struct agent *a, struct error *err)
{
	static const int signos[] = {SIGTERM, SIGINT, SIGHUP};
	int r = loop_new(&a->loop, a->tb);

	if (r == 0)
		r = loop_signal_add(a->loop, &a->signals, signos, array_len(signos));
	if (r == 0)
		r = loop_wake_add(a->loop, &a->room);
	if (r == 0)
		r = loop_wake_add(a->loop, &a->back_said);
	if (r < 0)
		error_set(err, "event loop: %s", strerror(-r));
	return r;
}

static int make_batcher(struct agent *a, size_t samples_max, uint32_t unit_ns)
{
	struct batcher_options opt = {
		.samples_max = samples_max,
		.slack = pipeline_slack(a->cat),
		.age_max_ns = conf_int(a->conf, "batch", NULL, "max_age_ms") * NS_PER_MS,
		.header =
			{
				.boot_id = boot_id_read(),
				.catalog_id = a->cat->id,
				.time_unit_ns = unit_ns,
			},
		.fixed = config_keeps_times(a->conf) ? &a->clock : NULL,
		.tb = a->tb,
		.closed = on_closed,
		.ctx = a,
	};

	a->clock = clock_pair_read(a->tb, unit_ns);
	if (opt.fixed) /* its mono times are made from a log's wall times: no boot's */
		random_bytes(&opt.header.boot_id, sizeof(opt.header.boot_id));
	return batcher_new(&a->batcher, a->queue, &opt);
}

static int make_pipeline(struct agent *a, struct error *err)
{
	size_t samples_max = (size_t)conf_int(a->conf, "batch", NULL, "max_samples");
	uint32_t unit_ns = (uint32_t)(conf_int(a->conf, "batch", NULL, "time_unit_us") * NS_PER_US);
	struct collect *col;
	int r;

	r = config_catalog(&a->cat, a->conf, a->path, err);
	if (r == 0)
		r = config_dictionary(&a->dictionary, a->conf, a->path, a->cat, err);
	if (r < 0)
		return r;
	r = config_collect(&col, a->conf, a->path, a->cat, err);
	if (r < 0)
		return r;
	r = batch_queue_new(&a->queue, a->cat, a->dictionary, builders_for(a, collect_classes(col)),
			    samples_max + pipeline_slack(a->cat), unit_ns);
	if (r == 0)
		r = make_batcher(a, samples_max, unit_ns);
	if (r == 0)
		r = pipeline_new(&a->pipeline, a->cat, col, a->batcher, &a->counters);
	if (r < 0) {
		error_set(err, "no memory for batches of %zu samples", samples_max);
		collect_free(col);
		return r;
	}
	log_info("catalog_loaded", "id=%016" PRIx64 " messages=%zu signals=%zu wanted=%zu",
		 a->cat->id, a->cat->n_messages, a->cat->n_signals, collect_wanted_count(col));
	return 0;
}

static int make_uplink(struct agent *a, struct error *err)
{
	const struct conf *c = a->conf;
	struct uplink_handlers on = {back_room, back_drained, back_failed, back_alive, a};
	char path[PATH_BYTES];
	struct uplink_options opt = {
		.outbox_path = path,
		.store = config_store(c, a->tb),
		.publish = {.vehicle = conf_string(c, "agent", NULL, "vehicle"),
			    .device = conf_string(c, "agent", NULL, "device"),
			    .part = (uint16_t)conf_int(c, "agent", NULL, "part"),
			    .mqtt = config_mqtt(c),
			    .window_rows = (size_t)conf_int(c, "publish", NULL, "window"),
			    .window_bytes = (size_t)conf_int(c, "publish", NULL, "window_bytes"),
			    .receipt_timeout_ns =
				    conf_int(c, "publish", NULL, "receipt_timeout_s") * NS_PER_S,
			    .boot_id = boot_id_read(),
			    .tb = a->tb},
		.tb = a->tb,
	};

	opt.store.seal = a->seal;
	(void)snprintf(path, sizeof(path), "%s/outbox.db",
		       conf_string(c, "agent", NULL, "data_dir"));
	return uplink_new(&a->uplink, a->queue, &a->counters, &opt, &on, err);
}

static int make_sources(struct agent *a, struct error *err)
{
	const char *label;

	a->env = (struct source_env){
		.loop = a->loop,
		.tb = a->tb,
		.cat = a->cat,
		.clock = a->clock,
		.counters = &a->counters,
		.watch = can_links_watch(a->links),
		.frame = on_frame,
		.payload = on_payload,
		.claim = on_claim,
		.matches = on_matches,
		.wants = on_wants,
		.ended = on_ended,
		.ctx = a,
	};
	while ((label = conf_label(a->conf, "source", a->n_sources)) != NULL) {
		int r;

		r = config_source(&a->sources[a->n_sources], a->conf, a->path, label, &a->env, err);
		if (r < 0)
			return r;
		a->n_sources++;
	}
	a->n_active = a->n_sources;
	counter_set(&a->counters.sources_active, a->n_active);
	return 0;
}

static int build(struct agent *a, struct error *err)
{
	int r = make_loop(a, err);

	if (r == 0)
		r = data_dir_lock(&a->lock_fd, conf_string(a->conf, "agent", NULL, "data_dir"),
				  err);
	if (r == 0)
		r = make_pipeline(a, err);
	if (r == 0)
		r = config_seal(&a->seal, a->conf, a->path, a->tb, err);
	if (r == 0)
		r = make_uplink(a, err);
	if (r == 0)
		r = config_links(&a->links, a->conf, a->loop, &a->counters, err);
	if (r == 0)
		r = make_sources(a, err);
	return r;
}

int agent_new(struct agent **ret, struct conf *conf, const char *path, const struct timebase *tb,
	      struct error *err)
{
	struct agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a) {
		conf_free(conf);
		error_set(err, "out of memory");
		return -ENOMEM;
	}
	a->conf = a->applied = conf;
	a->tb = tb;
	a->started = timebase_mono(tb);
	a->lock_fd = -1;
	a->state = "running";
	a->signals = (struct loop_signal){.cb = on_signal, .ctx = a};
	a->room = (struct loop_wake){.cb = on_room, .ctx = a};
	a->back_said = (struct loop_wake){.cb = on_back_said, .ctx = a};
	a->batch_timer = (struct loop_timer){.cb = on_batch_timer, .ctx = a};
	a->status_timer = (struct loop_timer){.cb = on_status_timer, .ctx = a};
	(void)snprintf(a->path, sizeof(a->path), "%s", path);
	r = build(a, err);
	if (r < 0) {
		agent_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

static void free_loop(struct agent *a)
{
	if (!a->loop)
		return;
	service_end(&a->service);
	loop_timer_cancel(&a->batch_timer);
	loop_timer_cancel(&a->status_timer);
	loop_wake_remove(&a->back_said);
	loop_wake_remove(&a->room);
	loop_signal_remove(&a->signals);
	a->loop = loop_free(a->loop);
}

struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	for (size_t i = 0; i < a->n_sources; i++)
		source_free(a->sources[i]);
	can_links_free(a->links);
	pipeline_free(a->pipeline);
	batcher_free(a->batcher);
	uplink_free(a->uplink);
	seal_free(a->seal);
	batch_queue_free(a->queue);
	dictionary_free(a->dictionary);
	catalog_free(a->cat);
	free_loop(a);
	if (a->lock_fd >= 0)
		(void)close(a->lock_fd);
	if (a->applied != a->conf)
		conf_free(a->applied);
	conf_free(a->conf);
	free(a);
	return NULL;
}

/* ---- running ---- */

static int start(struct agent *a)
{
	int r = uplink_start(a->uplink);

	if (r == 0 && *conf_string(a->conf, "agent", NULL, "status_file"))
		loop_timer_in(a->loop, &a->status_timer, 0);
	if (r == 0)
		r = service_start(&a->service, a->loop, &a->counters, ask_back, a);
	if (r < 0) {
		log_error("start_failed", "what=%s", strerror(-r));
		return r;
	}
	if (a->n_sources == 0) {
		log_warn("no_source", "what=only what is in the outbox will be sent");
		uplink_sources_ended(a->uplink);
	}
	return 0;
}

/* Keeps every sample that was taken: open batches are closed and stored. */
static void stop(struct agent *a)
{
	service_stopping(&a->service);
	for (size_t i = 0; i < a->n_sources; i++)
		source_stop(a->sources[i]);
	batcher_flush(a->batcher);
	uplink_stop(a->uplink, STOP_WAIT_MS * NS_PER_MS);
	if (strcmp(a->state, "running") == 0)
		a->state = "stopped";
	write_status(a);
	log_info("stopped",
		 "samples_accepted=%" PRIu64 " samples_acked=%" PRIu64 " samples_dropped=%" PRIu64
		 " outbox_rows=%" PRIu64,
		 counter_get(&a->counters.samples_accepted),
		 counter_get(&a->counters.samples_acked), counter_get(&a->counters.samples_dropped),
		 counter_get(&a->counters.outbox_rows));
}

int agent_run(struct agent *a)
{
	int r = start(a);

	if (r == 0) {
		r = loop_run(a->loop);
		if (r < 0)
			log_error("loop_failed", "what=%s", strerror(-r));
	}
	stop(a);
	return r < 0 ? AGENT_EXIT_FAILED : a->exit_code;
}
