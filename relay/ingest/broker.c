/* The broker: what it says, and the subscription without which there is nothing to do. One that is
 * refused, not answered or not sent is asked for again, for as long as the connection lasts. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define UPLINK_FILTER "tl/1/up/#"

enum { REASON_ERROR = 0x80 };

static const char *const state_names[] = {
	[INGEST_DISCONNECTED] = "disconnected",
	[INGEST_SUBSCRIBING] = "subscribing",
	[INGEST_REFUSED] = "refused",
	[INGEST_CONNECTED] = "connected",
};

const char *ingest_broker_name(enum ingest_broker b)
{
	return state_names[b];
}

static void broker_is(struct ingest *in, enum ingest_broker b)
{
	pthread_mutex_lock(&in->lock);
	in->stats.broker = b;
	pthread_mutex_unlock(&in->lock);
}

/* ---- the subscription ---- */

static void failed(struct ingest *in, const char *why)
{
	ingest_count(in, subscribe_failures, 1);
	log_error("subscribe_failed", "filter=%s reason=\"%s\"", UPLINK_FILTER, why);
}

static void subscribe_in(struct ingest *in, int64_t ms)
{
	loop_timer_in(in->loop, &in->subscribe_timer, ms * NS_PER_MS);
}

static void subscribe(struct ingest *in)
{
	int r = mqtt_subscribe(in->mqtt, UPLINK_FILTER, 1);

	in->subscribing = r == 0;
	if (r == 0) {
		subscribe_in(in, in->opt.mqtt.connect_timeout_s * INT64_C(1000));
		return;
	}
	failed(in, strerror(-r));
	subscribe_in(in, mqtt_backoff_next(&in->subscribe_backoff));
}

static void on_subscribe_timer(struct loop_timer *t)
{
	struct ingest *in = t->ctx;

	if (!mqtt_is_connected(in->mqtt))
		return;
	if (in->subscribing)
		failed(in, "no answer");
	subscribe(in);
}

static void on_subscribed(void *ctx, const char *filter, int reason)
{
	struct ingest *in = ctx;
	char why[32];

	(void)filter;
	in->subscribing = false;
	if (reason < REASON_ERROR) {
		loop_timer_cancel(&in->subscribe_timer);
		broker_is(in, INGEST_CONNECTED);
		return;
	}
	/* Whom the broker refuses to listen is not connected to anything. */
	snprintf(why, sizeof(why), "refused: 0x%02x", (unsigned)reason & 0xff);
	failed(in, why);
	broker_is(in, INGEST_REFUSED);
	subscribe_in(in, mqtt_backoff_next(&in->subscribe_backoff));
}

/* ---- the connection ---- */

static void on_connected(void *ctx, bool session_present)
{
	struct ingest *in = ctx;

	log_info("broker_connected", "session=%s", session_present ? "resumed" : "new");
	broker_is(in, INGEST_SUBSCRIBING);
	mqtt_backoff_reset(&in->subscribe_backoff);
	subscribe(in);
	ingest_commit(in);
	receipts_flush(in, false);
}

static void on_disconnected(void *ctx, const char *reason)
{
	struct ingest *in = ctx;
	char quoted[256];

	log_warn("broker_disconnected", "uri=%s reason=%s", in->opt.mqtt.uri,
		 log_quote(quoted, sizeof(quoted), reason));
	loop_timer_cancel(&in->subscribe_timer);
	broker_is(in, INGEST_DISCONNECTED);
}

static void on_message(void *ctx, const struct mqtt_message *m)
{
	ingest_accept(ctx, m);
}

/* A receipt that got lost is no matter: the batch comes again and is acknowledged again. */
static void on_published(void *ctx, uint64_t cookie, int reason)
{
	struct ingest *in = ctx;

	(void)cookie;
	if (reason < REASON_ERROR)
		return;
	ingest_count(in, receipts_failed, 1);
	log_warn("receipt_refused", "reason=0x%02x", (unsigned)reason);
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

int broker_open(struct ingest *in)
{
	const struct mqtt_options *o = &in->opt.mqtt;

	int r = mqtt_new(&in->mqtt, in->loop, o, &handlers, in);

	if (r < 0)
		return r;
	in->subscribe_timer = (struct loop_timer){.cb = on_subscribe_timer, .ctx = in};
	mqtt_backoff_init(&in->subscribe_backoff, o->backoff_min_ms, o->backoff_max_ms);
	return 0;
}

void broker_close(struct ingest *in)
{
	if (!in->mqtt)
		return;
	loop_timer_cancel(&in->subscribe_timer);
	in->mqtt = mqtt_free(in->mqtt);
	broker_is(in, INGEST_DISCONNECTED);
}
