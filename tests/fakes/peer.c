#include "tests/fakes/peer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void on_connected(void *ctx, bool session_present)
{
	struct peer *p = ctx;

	p->connects++;
	p->session_present = session_present;
	if (p->subscribe && mqtt_subscribe(p->mqtt, p->subscribe, 1) < 0)
		abort();
}

static void on_disconnected(void *ctx, const char *reason)
{
	struct peer *p = ctx;

	p->disconnects++;
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
}

static void *copy(const void *data, size_t len)
{
	void *c = malloc(len + 1);

	if (!c)
		abort();
	memcpy(c, data, len);
	((char *)c)[len] = '\0';
	return c;
}

static void on_message(void *ctx, const struct mqtt_message *m)
{
	struct peer *p = ctx;

	if (p->n_messages == p->messages_cap) {
		p->messages_cap = p->messages_cap ? p->messages_cap * 2 : 64;
		p->messages = realloc(p->messages, p->messages_cap * sizeof(*p->messages));
		if (!p->messages)
			abort();
	}
	p->messages[p->n_messages++] =
		(struct peer_message){.topic = copy(m->topic, strlen(m->topic)),
				      .payload = copy(m->payload, m->len),
				      .len = m->len,
				      .retained = m->retained};
	if (p->on_message)
		p->on_message(p);
}

static void on_published(void *ctx, uint64_t cookie, int reason)
{
	struct peer *p = ctx;

	p->n_published++;
	p->last_cookie = cookie;
	p->last_reason = reason;
	p->n_refused += reason >= 0x80;
}

static void on_subscribed(void *ctx, const char *filter, int reason)
{
	struct peer *p = ctx;

	(void)filter;
	p->n_subscribed++;
	p->last_sub_reason = reason;
}

static void on_certificate(void *ctx, enum mqtt_certificate what, const char *text)
{
	struct peer *p = ctx;

	p->n_certificates++;
	p->last_certificate = what;
	snprintf(p->certificate_text, sizeof(p->certificate_text), "%s", text);
}

static const struct mqtt_handlers handlers = {.connected = on_connected,
					      .disconnected = on_disconnected,
					      .message = on_message,
					      .published = on_published,
					      .subscribed = on_subscribed,
					      .certificate = on_certificate};

struct mqtt_options peer_options(const char *uri, const char *client_id)
{
	return (struct mqtt_options){.uri = uri,
				     .client_id = client_id,
				     .keepalive_s = 60,
				     .backoff_min_ms = 50,
				     .backoff_max_ms = 400,
				     .connect_timeout_s = 10,
				     .receive_maximum = 100,
				     .queue_bytes = 1 << 20};
}

void peer_start(struct peer *p, struct loop *l, const struct mqtt_options *opt)
{
	p->loop = l;
	if (mqtt_new(&p->mqtt, l, opt, &handlers, p) < 0)
		abort();
}

void peer_stop(struct peer *p)
{
	p->mqtt = mqtt_free(p->mqtt);
	for (size_t i = 0; i < p->n_messages; i++) {
		free(p->messages[i].topic);
		free(p->messages[i].payload);
	}
	free(p->messages);
	p->messages = NULL;
	p->n_messages = p->messages_cap = 0;
}

int peer_publish(struct peer *p, const char *topic, const char *text, uint64_t cookie)
{
	struct mqtt_publish pub = {
		.topic = topic, .payload = text, .len = strlen(text), .qos = 1, .cookie = cookie};

	return mqtt_publish(p->mqtt, &pub);
}

int64_t peer_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void peer_turn(struct loop *l1, struct loop *l2, int timeout_ms)
{
	if (loop_turn(l1, timeout_ms) < 0 || (l2 && loop_turn(l2, timeout_ms) < 0))
		abort();
}
