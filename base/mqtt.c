#include "base/mqtt.h"

#include "base/mqtt_backoff.h"
#include "base/mqtt_link.h"
#include "base/mqtt_packet.h"
#include "base/mqtt_uri.h"
#include "base/mqtt_watch.h"

#include <stdio.h>
#include <string.h>

enum {
	CHUNK = 32,	    /* events taken under one lock */
	CHUNKS_A_TURN = 16, /* then the loop's other objects get their turn */
	ALIASES_MAX = 32,
	STABLE_S = 10, /* a connection that lasted so long makes the backoff start anew */
};

enum state {
	STATE_WAITING, /* for timer: the next attempt */
	STATE_OPENING, /* timer: the limit for CONNACK */
	STATE_CONNECTED,
	STATE_CLOSING, /* until Paho's client is gone */
};

struct mqtt {
	struct loop *loop;
	struct mqtt_link *link;
	const struct mqtt_handlers *handlers;
	void *ctx;
	char *place; /* host:port */

	enum state state;
	unsigned generation;
	struct mono_time since; /* STATE_CONNECTED */
	int64_t connect_timeout_ns, puback_timeout_ns;
	struct mqtt_backoff backoff;
	struct loop_timer timer;
	struct loop_wake wake;
	struct mqtt_watch watch;
	bool *freed; /* while events are dispatched: a handler called mqtt_free */

	/* Of the present connection. */
	uint16_t receive_maximum, alias_maximum;
	uint32_t packet_maximum;
	unsigned unacknowledged;    /* QoS 1 */
	char *aliases[ALIASES_MAX]; /* topic of alias i + 1 */
	unsigned n_aliases;

	struct mqtt_stats stats;
};

/* --- connection --- */

static void aliases_clear(struct mqtt *m)
{
	while (m->n_aliases > 0)
		free(m->aliases[--m->n_aliases]);
}

static void set_timer_in(struct mqtt *m, int64_t ns)
{
	loop_timer_in(m->loop, &m->timer, ns);
}

static void retry_later(struct mqtt *m)
{
	m->state = STATE_WAITING;
	set_timer_in(m, mqtt_backoff_next(&m->backoff) * NS_PER_MS);
}

static void start_attempt(struct mqtt *m)
{
	m->state = STATE_OPENING;
	m->generation++;
	set_timer_in(m, m->connect_timeout_ns);
	mqtt_link_open(m->link, m->generation);
}

static void end_connection(struct mqtt *m, const char *reason)
{
	if (m->state == STATE_CONNECTED) {
		m->stats.disconnects++;
		if (loop_now(m->loop).ns - m->since.ns >= STABLE_S * NS_PER_S)
			mqtt_backoff_reset(&m->backoff);
	} else {
		m->stats.failed_attempts++;
	}
	m->state = STATE_CLOSING;
	loop_timer_cancel(&m->timer);
	aliases_clear(m);
	mqtt_link_close(m->link);
	if (m->handlers->disconnected)
		m->handlers->disconnected(m->ctx, reason);
}

static void on_timer(struct loop_timer *t)
{
	struct mqtt *m = t->ctx;
	char reason[192];

	if (m->state == STATE_WAITING) {
		start_attempt(m);
		return;
	}
	if (m->state == STATE_CONNECTED)
		snprintf(reason, sizeof(reason), "no PUBACK from %s within %d s", m->place,
			 (int)(m->puback_timeout_ns / NS_PER_S));
	else
		snprintf(reason, sizeof(reason), "cannot connect to %s: no CONNACK within %d s",
			 m->place, (int)(m->connect_timeout_ns / NS_PER_S));
	end_connection(m, reason);
}

/* --- events --- */

static uint32_t at_most(uint32_t v, uint32_t max)
{
	return v < max ? v : max;
}

static void on_opened(struct mqtt *m, const struct mqtt_opened *o)
{
	m->state = STATE_CONNECTED;
	m->since = loop_now(m->loop);
	m->receive_maximum = o->receive_maximum;
	m->alias_maximum = (uint16_t)at_most(o->alias_maximum, ALIASES_MAX);
	m->packet_maximum = at_most(o->packet_maximum, MQTT_PACKET_MAX);
	m->unacknowledged = 0;
	m->stats.connects++;
	loop_timer_cancel(&m->timer);
	if (m->handlers->connected)
		m->handlers->connected(m->ctx, o->session_present);
}

static void on_message(struct mqtt *m, const struct mqtt_received *r)
{
	m->stats.received++;
	if (m->handlers->message)
		m->handlers->message(m->ctx, &r->message);
}

/* Those that still wait for their PUBACK have the whole time again with each that comes: the broker
 * lives. */
static void watch_pubacks(struct mqtt *m)
{
	if (m->puback_timeout_ns == 0)
		return;
	if (m->unacknowledged > 0)
		set_timer_in(m, m->puback_timeout_ns);
	else
		loop_timer_cancel(&m->timer);
}

static void on_published(struct mqtt *m, const struct mqtt_slot *slot)
{
	if (slot->qos > 0) {
		m->unacknowledged--;
		watch_pubacks(m);
	}
	if (m->handlers->published)
		m->handlers->published(m->ctx, slot->cookie, slot->reason);
}

static void on_subscribed(struct mqtt *m, const struct mqtt_sub *sub)
{
	if (m->handlers->subscribed)
		m->handlers->subscribed(m->ctx, sub->filter, sub->reason);
}

static void on_closed(struct mqtt *m)
{
	mqtt_link_reset(m->link);
	retry_later(m);
}

/* Events of a connection that the loop has given up are dropped, but for CLOSED. */
static void dispatch(struct mqtt *m, struct mqtt_event *e)
{
	if (e->type == MQTT_EVENT_CLOSED) {
		on_closed(m);
		return;
	}
	if (e->generation != m->generation || m->state == STATE_CLOSING)
		return;
	switch (e->type) {
	case MQTT_EVENT_OPENED:
		on_opened(m, (struct mqtt_opened *)e);
		break;
	case MQTT_EVENT_ENDED:
		m->stats.tls_failures += ((struct mqtt_ended *)e)->tls;
		end_connection(m, ((struct mqtt_ended *)e)->reason);
		break;
	case MQTT_EVENT_MESSAGE:
		on_message(m, (struct mqtt_received *)e);
		break;
	case MQTT_EVENT_PUBLISHED:
		on_published(m, (struct mqtt_slot *)e);
		break;
	case MQTT_EVENT_SUBSCRIBED:
		on_subscribed(m, (struct mqtt_sub *)e);
		break;
	case MQTT_EVENT_CLOSED:
		break;
	}
}

/* Returns the bytes of the events. With *freed set, m is gone and only the link may be touched. */
static size_t dispatch_chunk(struct mqtt *m, struct mqtt_link *link, struct mqtt_event *e,
			     const bool *freed)
{
	size_t bytes = 0;

	while (e) {
		struct mqtt_event *next = e->next;

		bytes += e->bytes;
		if (!*freed)
			dispatch(m, e);
		mqtt_link_event_done(link, e);
		e = next;
	}
	return bytes;
}

static void on_wake(struct loop_wake *w)
{
	struct mqtt *m = w->ctx;
	struct mqtt_link *link = m->link;
	bool freed = false, more = true;

	m->freed = &freed;
	for (int i = 0; i < CHUNKS_A_TURN && more && !freed; i++) {
		struct mqtt_event *e = mqtt_link_take(link, CHUNK);

		more = mqtt_link_credit(link, dispatch_chunk(m, link, e, &freed));
	}
	if (freed) {
		mqtt_link_free(link);
		return;
	}
	m->freed = NULL;
	if (more)
		loop_wake_post(&m->wake);
}

/* --- publish and subscribe --- */

/* Returns the alias of a topic, 0 for none; *ret_known tells whether the broker knows it. */
static uint16_t alias_find(const struct mqtt *m, const char *topic, bool *ret_known)
{
	for (unsigned i = 0; i < m->n_aliases; i++) {
		if (strcmp(m->aliases[i], topic) == 0) {
			*ret_known = true;
			return (uint16_t)(i + 1);
		}
	}
	*ret_known = false;
	return m->n_aliases < m->alias_maximum ? (uint16_t)(m->n_aliases + 1) : 0;
}

static int submit(struct mqtt *m, const struct mqtt_publish *p, const struct mqtt_link_publish *pub)
{
	struct mqtt_slot *slot;
	int r;

	if (p->qos > 0 && m->unacknowledged >= m->receive_maximum)
		return -EAGAIN;
	slot = mqtt_link_slot_take(m->link);
	if (!slot)
		return -EAGAIN;
	slot->cookie = p->cookie;
	slot->qos = p->qos;
	r = mqtt_link_publish(m->link, slot, pub);
	if (r < 0) {
		mqtt_link_slot_put(m->link, slot);
		return r;
	}
	if (p->qos > 0 && m->unacknowledged++ == 0)
		watch_pubacks(m);
	return 0;
}

static size_t publish_size(const struct mqtt_publish *p, const struct mqtt_link_publish *pub)
{
	struct mqtt_packet_publish packet = {
		.topic_len = strlen(pub->topic),
		.payload_len = p->len,
		.qos = p->qos,
		.has_alias = pub->alias != 0,
		.has_expiry = pub->expiry_s != 0,
	};

	return mqtt_packet_publish_size(&packet);
}

int mqtt_publish(struct mqtt *m, const struct mqtt_publish *p)
{
	struct mqtt_link_publish pub = {.topic = p->topic,
					.payload = p->payload,
					.len = p->len,
					.retain = p->retain,
					.expiry_s = p->expiry_s};
	char *new_alias = NULL;
	bool known = false;
	size_t size;
	int r;

	if (p->qos < 0 || p->qos > 1 || !mqtt_packet_topic_valid(p->topic))
		return -EINVAL;
	if (m->state != STATE_CONNECTED)
		return -ENOTCONN;
	if (p->use_alias)
		pub.alias = alias_find(m, p->topic, &known);
	if (known)
		pub.topic = "";
	size = publish_size(p, &pub);
	if (size > m->packet_maximum || p->len > MQTT_PACKET_MAX)
		return -EMSGSIZE;
	if (pub.alias && !known) {
		new_alias = strdup(p->topic);
		if (!new_alias)
			return -ENOMEM;
	}
	r = submit(m, p, &pub);
	if (r < 0) {
		free(new_alias);
		return r;
	}
	if (new_alias)
		m->aliases[m->n_aliases++] = new_alias;
	m->stats.published++;
	m->stats.published_bytes += size;
	return 0;
}

int mqtt_subscribe(struct mqtt *m, const char *filter, int qos)
{
	if (!filter || !*filter || qos < 0 || qos > 1)
		return -EINVAL;
	if (m->state != STATE_CONNECTED)
		return -ENOTCONN;
	return mqtt_link_subscribe(m->link, filter, qos);
}

bool mqtt_is_connected(const struct mqtt *m)
{
	return m->state == STATE_CONNECTED;
}

uint32_t mqtt_packet_maximum(const struct mqtt *m)
{
	return m->packet_maximum;
}

void mqtt_get_stats(const struct mqtt *m, struct mqtt_stats *ret)
{
	*ret = m->stats;
	ret->queue_waits = mqtt_link_waits(m->link);
	ret->certificate_until = m->watch.until;
}

/* --- life --- */

static bool options_valid(const struct mqtt_options *o)
{
	return o->uri && o->client_id && *o->client_id && o->keepalive_s >= 0 &&
	       o->keepalive_s <= UINT16_MAX && o->backoff_min_ms >= 1 &&
	       o->backoff_min_ms <= o->backoff_max_ms && o->connect_timeout_s >= 1 &&
	       o->connect_timeout_s <= 3600 && o->puback_timeout_s >= 0 &&
	       o->will_len <= UINT16_MAX &&
	       (!o->will_topic || mqtt_packet_topic_valid(o->will_topic));
}

static void on_certificate(void *ctx, enum mqtt_certificate what, const char *text)
{
	struct mqtt *m = ctx;

	if (m->handlers->certificate)
		m->handlers->certificate(m->ctx, what, text);
}

static int new_link(struct mqtt *m, const struct mqtt_options *opt)
{
	struct mqtt_uri uri;
	int r = mqtt_uri_parse(opt->uri, &uri);

	if (r < 0)
		return r;
	if ((uri.tls && !opt->ca) || (opt->key && !opt->certificate))
		return -EINVAL;
	m->place = strdup(uri.place);
	if (!m->place)
		return -ENOMEM;
	r = mqtt_link_new(&m->link, opt, &uri, &m->wake);
	if (r == 0 && uri.tls)
		mqtt_watch_start(&m->watch, m->loop, mqtt_link_tls(m->link), on_certificate, m);
	return r;
}

static int join_loop(struct mqtt *m)
{
	int r;

	m->timer = (struct loop_timer){.cb = on_timer, .ctx = m};
	m->wake = (struct loop_wake){.cb = on_wake, .ctx = m};
	r = loop_wake_add(m->loop, &m->wake);
	if (r < 0)
		return r;
	loop_timer_in(m->loop, &m->timer, 0);
	return 0;
}

int mqtt_new(struct mqtt **ret, struct loop *l, const struct mqtt_options *opt,
	     const struct mqtt_handlers *handlers, void *ctx)
{
	struct mqtt *m;
	int r;

	if (!options_valid(opt))
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->loop = l;
	m->handlers = handlers;
	m->ctx = ctx;
	m->connect_timeout_ns = opt->connect_timeout_s * NS_PER_S;
	m->puback_timeout_ns = opt->puback_timeout_s * NS_PER_S;
	m->packet_maximum = MQTT_PACKET_MAX;
	mqtt_backoff_init(&m->backoff, opt->backoff_min_ms, opt->backoff_max_ms);
	r = join_loop(m);
	if (r == 0)
		r = new_link(m, opt);
	if (r < 0) {
		mqtt_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

struct mqtt *mqtt_free(struct mqtt *m)
{
	if (!m)
		return NULL;
	mqtt_watch_stop(&m->watch);
	if (m->freed) {
		*m->freed = true; /* on_wake still holds events: it frees the link */
		mqtt_link_mute(m->link);
	} else if (m->link) {
		mqtt_link_free(m->link);
	}
	loop_timer_cancel(&m->timer);
	loop_wake_remove(&m->wake);
	aliases_clear(m);
	free(m->place);
	free(m);
	return NULL;
}
