/* Joins the outbox with the broker: what MQTT says, and life. publish_send.c and
 * publish_receipts.c do the work. */
#include "agent/publish/publish_private.h"
#include "agent/store/totals.h"

#include <stdio.h>

enum {
	SUBSCRIBE_RETRY_S = 30,
	REASON_ERROR = 0x80,
	REASON_PACKET_TOO_LARGE = 0x95,
};

void publish_show(struct publish *p)
{
	const struct window *w = flight_window(p->flight);
	struct mqtt_stats stats;

	store_show_totals(p->store, p->counters);
	counter_set(&p->counters->in_flight, flight_rows(p->flight));
	counter_set(&p->counters->window_rows, window_rows(w));
	counter_set(&p->counters->window_wire, window_wire(w, publish_now(p)));
	mqtt_get_stats(p->mqtt, &stats);
	counter_set(&p->counters->bytes_published, stats.published_bytes);
	counter_set(&p->counters->connects, stats.connects);
	counter_set(&p->counters->connect_failures, stats.failed_attempts);
	counter_set(&p->counters->tls_failures, stats.tls_failures);
	counter_set(&p->counters->certificate_until, (uint64_t)stats.certificate_until);
}

void publish_report(struct publish *p, const char *event, enum uplink_class class, int r)
{
	log_error(event, "class=%s what=%s", class_name(class), strerror(-r));
	if (r == -EBADMSG)
		p->opt.corrupt(p->opt.ctx);
}

static void on_timer(struct loop_timer *t)
{
	publish_pump(t->ctx);
}

void publish_kick(struct publish *p)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		p->empty &= ~(1u << lane_of((enum uplink_class)k, true));
	publish_clock_look(p);
	publish_pump(p);
}

/* ---- what MQTT says ---- */

static void subscribe_later(struct publish *p)
{
	loop_timer_in(p->loop, &p->resubscribe, SUBSCRIBE_RETRY_S * NS_PER_S);
}

/* Again, if no answer comes: without it nothing is ever sent. */
static void subscribe(struct publish *p)
{
	int r = mqtt_subscribe(p->mqtt, p->receipt_topic, 1);

	if (r < 0)
		log_error("subscribe_failed", "topic=%s what=%s retry_s=%d", p->receipt_topic,
			  strerror(-r), SUBSCRIBE_RETRY_S);
	subscribe_later(p);
}

static void on_resubscribe(struct loop_timer *t)
{
	struct publish *p = t->ctx;

	if (mqtt_is_connected(p->mqtt) && !p->ready)
		subscribe(p);
}

static void on_connected(void *ctx, bool session_present)
{
	struct publish *p = ctx;

	log_info("mqtt_connected", "session=%s", session_present ? "resumed" : "new");
	counter_set(&p->counters->connected, 1);
	publish_begin(p);
	subscribe(p);
	publish_show(p);
}

static void on_disconnected(void *ctx, const char *reason)
{
	struct publish *p = ctx;
	char quoted[256];

	log_warn("mqtt_disconnected", "what=%s", log_quote(quoted, sizeof(quoted), reason));
	counter_set(&p->counters->connected, 0);
	p->ready = false;
	loop_timer_cancel(&p->timer);
	loop_timer_cancel(&p->resubscribe);
	publish_begin(p);
	publish_show(p);
}

/* Without receipts nothing could be deleted, so nothing is sent before they are subscribed to. */
static void on_subscribed(void *ctx, const char *filter, int reason)
{
	struct publish *p = ctx;

	if (reason >= REASON_ERROR) {
		log_error("subscribe_failed", "topic=%s reason=0x%02x retry_s=%d", filter,
			  (unsigned)reason, SUBSCRIBE_RETRY_S);
		subscribe_later(p);
		return;
	}
	p->ready = true;
	loop_timer_cancel(&p->resubscribe);
	publish_pump(p);
}

static void on_message(void *ctx, const struct mqtt_message *m)
{
	struct publish *p = ctx;
	struct receipt r;
	struct error err;

	if (strcmp(m->topic, p->receipt_topic) != 0)
		return;
	if (receipt_decode(&r, m->payload, m->len, &err) < 0) {
		counter_add(&p->counters->receipts_bad, 1);
		if (limit_pass(&p->bad_receipts, "receipt_bad", publish_now(p)))
			log_warn("receipt_bad", "topic=%s bytes=%zu what=%s", m->topic, m->len,
				 err.text);
		return;
	}
	publish_receipt(p, &r);
}

static void on_published(void *ctx, uint64_t cookie, int reason)
{
	struct publish *p = ctx;
	enum uplink_class class = (enum uplink_class)(cookie >> PUBLISH_SEQ_BITS);
	uint64_t seq = cookie & ((UINT64_C(1) << PUBLISH_SEQ_BITS) - 1);

	if (reason != 0) {
		counter_add(&p->counters->batches_refused, 1);
		if (limit_pass(&p->refusals, "batch_refused", publish_now(p)))
			log_warn("batch_refused",
				 "by=broker class=%s seq=%" PRIu64 " reason=0x%02x",
				 class_name(class), seq, (unsigned)reason);
	}
	flight_puback(p->flight, class, seq, reason, publish_now(p));
	if (reason == REASON_PACKET_TOO_LARGE)
		publish_too_large(p, class, seq);
	publish_pump(p);
}

static void on_certificate(void *ctx, enum mqtt_certificate what, const char *text)
{
	const char *event = mqtt_certificate_event(what);
	char quoted[256];

	(void)ctx;
	log_quote(quoted, sizeof(quoted), text);
	if (what == MQTT_CERTIFICATE_CHANGED)
		log_info(event, "what=%s", quoted);
	else
		log_error(event, "what=%s", quoted);
}

static const struct mqtt_handlers handlers = {
	.connected = on_connected,
	.disconnected = on_disconnected,
	.message = on_message,
	.published = on_published,
	.subscribed = on_subscribed,
	.certificate = on_certificate,
};

/* ---- life ---- */

static void make_topics(struct publish *p)
{
	struct topic_up t = {.part = p->opt.part};

	(void)snprintf(p->vehicle, sizeof(p->vehicle), "%s", p->opt.vehicle);
	(void)snprintf(p->device, sizeof(p->device), "%s", p->opt.device);
	memcpy(t.vehicle, p->vehicle, sizeof(t.vehicle));
	memcpy(t.device, p->device, sizeof(t.device));
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		t.class = (enum uplink_class)k;
		topic_format_up(&t, p->topics[k]);
	}
	topic_format_receipt(p->vehicle, p->device, p->receipt_topic);
}

static int start(struct publish *p)
{
	struct flight_options w = {
		.rows_max = p->opt.window_rows,
		.bytes_max = p->opt.window_bytes,
		.receipt_timeout_ns = p->opt.receipt_timeout_ns,
	};
	struct mqtt_options m = p->opt.mqtt;
	int r;

	random_bytes(&w.seed, sizeof(w.seed));
	r = flight_new(&p->flight, &w);
	if (r == 0)
		r = contexts_new(&p->contexts);
	if (r < 0)
		return r;
	publish_last_seqs(p, p->sent);
	publish_last_seqs(p, p->before);
	make_topics(p);
	m.client_id = p->device;
	return mqtt_new(&p->mqtt, p->loop, &m, &handlers, p);
}

int publish_new(struct publish **ret, struct loop *loop, struct store *store,
		struct counters *counters, const struct publish_options *opt)
{
	struct publish *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->opt = *opt;
	p->loop = loop;
	p->store = store;
	p->counters = counters;
	p->timer = (struct loop_timer){.cb = on_timer, .ctx = p};
	p->resubscribe = (struct loop_timer){.cb = on_resubscribe, .ctx = p};
	p->envelope = p->body = BUF_INIT(PUBLISH_ENVELOPE_MAX);
	r = start(p);
	if (r < 0) {
		publish_free(p);
		return r;
	}
	publish_clock_start(p);
	store_show_totals(store, counters);
	*ret = p;
	return 0;
}

struct publish *publish_free(struct publish *p)
{
	if (!p)
		return NULL;
	loop_timer_cancel(&p->timer);
	loop_timer_cancel(&p->resubscribe);
	loop_timer_cancel(&p->look);
	mqtt_free(p->mqtt);
	flight_free(p->flight);
	contexts_free(p->contexts);
	buf_free(&p->envelope);
	buf_free(&p->body);
	free(p);
	return NULL;
}
