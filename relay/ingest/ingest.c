#include "relay/ingest/internal.h"

#include "base/log.h"

#include <string.h>

enum { MAINTAIN_MS = 1000, MAINTAIN_MORE_MS = 5, RECEIPT_BYTES = 64 << 10, WHOLE_BYTES = 17 << 20 };

/* Room for what deleting takes, and for what is no batch. */
enum { FILE_SLACK_BYTES = 16 << 20 };

static const char *const result_names[INGEST_RESULTS] = {
	[INGEST_STORED] = "stored",
	[INGEST_DUPLICATE] = "duplicate",
	[INGEST_INVALID] = "invalid",
	[INGEST_UNKNOWN_DEVICE] = "unknown_device",
	[INGEST_UNKNOWN_CATALOG] = "unknown_catalog",
	[INGEST_BUSY] = "busy",
	[INGEST_BAD_TOPIC] = "bad_topic",
	[INGEST_GAP] = "gap",
	[INGEST_CLOCK] = "clock",
	[INGEST_THROTTLED] = "throttled",
	[INGEST_UNKNOWN_CONTEXT] = "unknown_context",
};

const char *ingest_result_name(enum ingest_result r)
{
	return result_names[r];
}

int64_t ingest_file_max(int64_t max_bytes)
{
	return max_bytes ? max_bytes + max_bytes / 8 + FILE_SLACK_BYTES : 0;
}

/* ---- timers ---- */

static void on_commit_timer(struct loop_timer *t)
{
	ingest_commit(t->ctx);
}

static void on_receipt_timer(struct loop_timer *t)
{
	struct ingest *in = t->ctx;

	ingest_commit(in);
	receipts_flush(in, false);
}

static void publish_stats(struct ingest *in)
{
	struct stream_usage usage;
	struct mqtt_stats mqtt;

	stream_get_usage(in->stream, &usage);
	mqtt_get_stats(in->mqtt, &mqtt);
	pthread_mutex_lock(&in->lock);
	in->stats.usage = usage;
	in->stats.mqtt = mqtt;
	in->stats.pending = in->n_pending;
	in->stats.senders = in->senders.n;
	pthread_mutex_unlock(&in->lock);
}

static void on_maintain_timer(struct loop_timer *t)
{
	struct ingest *in = t->ctx;
	bool more;

	ingest_commit(in);
	more = ingest_maintain(in);
	publish_stats(in);
	loop_timer_in(in->loop, t, (more ? MAINTAIN_MORE_MS : MAINTAIN_MS) * NS_PER_MS);
}

/* What other threads asked for. */
static void on_wake(struct loop_wake *w)
{
	struct ingest *in = w->ctx;

	bool tuned;
	int r = 0;

	pthread_mutex_lock(&in->lock);
	tuned = in->tune;
	if (tuned)
		in->tuning = in->new_tuning;
	if (in->catalogs_changed)
		in->wanted_changed = true;
	in->tune = in->catalogs_changed = false;
	pthread_mutex_unlock(&in->lock);
	if (tuned)
		r = stream_set_max(in->stream, ingest_file_max(in->tuning.max_bytes));
	if (r < 0)
		log_error("stream_limit_failed", "error=\"%s\"", strerror(-r));
	loop_timer_in(in->loop, &in->maintain_timer, 0);
}

/* ---- life ---- */

static int init(struct ingest *in, const struct ingest_options *opt, struct error *err)
{
	int r = loop_new(&in->loop, opt->tb);

	in->opt = *opt;
	in->tuning = opt->tuning;
	in->stream = opt->stream;
	in->queue_end = &in->queue;
	in->scratch = BUF_INIT(RECEIPT_BYTES);
	in->whole = BUF_INIT(WHOLE_BYTES);
	in->commit_timer = (struct loop_timer){.cb = on_commit_timer, .ctx = in};
	in->receipt_timer = (struct loop_timer){.cb = on_receipt_timer, .ctx = in};
	in->maintain_timer = (struct loop_timer){.cb = on_maintain_timer, .ctx = in};
	in->wake = (struct loop_wake){.cb = on_wake, .ctx = in};
	in->save_due.ns = timebase_mono(opt->tb).ns + opt->state_save_ms * NS_PER_MS;
	if (r == 0)
		r = retention_start(in);
	if (r == 0)
		r = ingest_restore(in, err);
	if (r == 0)
		r = loop_wake_add(in->loop, &in->wake);
	if (r < 0)
		return r;
	loop_timer_in(in->loop, &in->maintain_timer, 0);
	return broker_open(in);
}

int ingest_new(struct ingest **ret, const struct ingest_options *opt, struct error *err)
{
	struct ingest *in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return -ENOMEM;
	pthread_mutex_init(&in->lock, NULL);
	r = init(in, opt, err);
	if (r < 0) {
		if (err && !err->text[0])
			error_set(err, "cannot start ingest: %s", strerror(-r));
		ingest_free(in);
		return r;
	}
	*ret = in;
	return 0;
}

static void *run(void *arg)
{
	struct ingest *in = arg;
	int r = loop_run(in->loop);

	if (r < 0)
		log_error("ingest_loop_failed", "error=\"%s\"", strerror(-r));
	ingest_commit(in);
	receipts_flush(in, true);
	ingest_save_all(in);
	broker_close(in);
	return NULL;
}

int ingest_start(struct ingest *in)
{
	int r = pthread_create(&in->thread, NULL, run, in);

	if (r == 0)
		in->started = true;
	return -r;
}

void ingest_stop(struct ingest *in)
{
	if (!in || !in->started)
		return;
	loop_stop(in->loop);
	pthread_join(in->thread, NULL);
	in->started = false;
}

struct ingest *ingest_free(struct ingest *in)
{
	if (!in)
		return NULL;
	assert(!in->started);
	broker_close(in);
	if (in->loop) {
		loop_timer_cancel(&in->commit_timer);
		loop_timer_cancel(&in->receipt_timer);
		loop_timer_cancel(&in->maintain_timer);
		loop_wake_remove(&in->wake);
	}
	loop_free(in->loop);
	senders_free(in);
	free(in->pending);
	free(in->values.v);
	free(in->txn_lanes);
	free(in->txn_senders);
	buf_free(&in->scratch);
	buf_free(&in->whole);
	pthread_mutex_destroy(&in->lock);
	free(in);
	return NULL;
}

/* ---- from any thread ---- */

void ingest_catalogs_changed(struct ingest *in)
{
	pthread_mutex_lock(&in->lock);
	in->catalogs_changed = true;
	pthread_mutex_unlock(&in->lock);
	loop_wake_post(&in->wake);
}

void ingest_vehicles_changed(struct ingest *in)
{
	loop_wake_post(&in->wake); /* upkeep asks the registry for removed ones */
}

void ingest_tune(struct ingest *in, const struct ingest_tuning *t)
{
	pthread_mutex_lock(&in->lock);
	in->new_tuning = *t;
	in->tune = true;
	pthread_mutex_unlock(&in->lock);
	loop_wake_post(&in->wake);
}

void ingest_get_stats(struct ingest *in, struct ingest_stats *ret)
{
	pthread_mutex_lock(&in->lock);
	*ret = in->stats;
	pthread_mutex_unlock(&in->lock);
}

bool ingest_get_device(struct ingest *in, int64_t device, struct ingest_device *ret)
{
	struct sender *s;

	pthread_mutex_lock(&in->lock);
	s = table_get(&in->by_device, &device, sizeof(device));
	for (unsigned c = 0; s && c < CLASS_COUNT; c++)
		ret->in_flight[c] = s->in_flight[c];
	if (s)
		ret->receipt.ns = s->receipt_ns;
	pthread_mutex_unlock(&in->lock);
	return s != NULL;
}
