/* The broker: sessions, queues, and who gets what. */
#include "proto/context.h"
#include "proto/gap.h"
#include "proto/receipt.h"
#include "tests/faults/sim/broker_private.h"

#include <stdio.h>
#include <string.h>

enum { REASON_NO_LISTENER = 0x10, REASON_FULL = 0x97 };

bool sim_broker_is_up;
struct broker_options broker_options;
static struct broker_trouble trouble;
static struct session *sessions;

struct message *message_drop(struct message *m)
{
	if (m && --m->refs == 0)
		free(m);
	return NULL;
}

/* ---- sessions ---- */

static void waiting_free(struct waiting *w)
{
	message_drop(w->message);
	free(w);
}

static void empty(struct waiting **list, struct waiting ***end, size_t *n)
{
	while (*list) {
		struct waiting *w = *list;

		*list = w->next;
		waiting_free(w);
	}
	*end = list;
	*n = 0;
}

static void session_empty(struct session *s)
{
	empty(&s->queue, &s->queue_end, &s->n_queue);
	empty(&s->flying, &s->flying_end, &s->n_flying);
}

static void session_remove(struct session *s)
{
	struct session **at = &sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	session_empty(s);
	free(s);
}

static struct session *session_find(const char *client)
{
	for (struct session *s = sessions; s; s = s->next)
		if (strcmp(s->client, client) == 0)
			return s;
	return NULL;
}

/* In the order of coming: what the first connection began. */
static struct session *session_new(const char *client)
{
	struct session *s = calloc(1, sizeof(*s));
	struct session **at = &sessions;

	if (!s)
		abort();
	(void)snprintf(s->client, sizeof(s->client), "%s", client);
	s->queue_end = &s->queue;
	s->flying_end = &s->flying;
	while (*at)
		at = &(*at)->next;
	*at = s;
	return s;
}

static void drop_expired(void)
{
	struct session *s = sessions;

	while (s) {
		struct session *next = s->next;

		if (!s->connection && s->expires_ns <= sim.now_ns)
			session_remove(s);
		s = next;
	}
}

/* What was sent and not acknowledged is sent again before all else. */
static void session_rewind(struct session *s)
{
	if (!s->flying)
		return;
	*s->flying_end = s->queue;
	if (!s->queue)
		s->queue_end = s->flying_end;
	s->queue = s->flying;
	s->n_queue += s->n_flying;
	s->flying = NULL;
	s->flying_end = &s->flying;
	s->n_flying = 0;
}

/* ---- down ---- */

static void note(enum event_kind kind, const struct message *m, const char *what)
{
	struct event e = m->about;

	e.kind = kind;
	if (what)
		(void)snprintf(e.what, sizeof(e.what), "%s", what);
	event_note(&e);
}

static struct waiting *queue_pop(struct session *s)
{
	struct waiting *w = s->queue;

	s->queue = w->next;
	if (!s->queue)
		s->queue_end = &s->queue;
	s->n_queue--;
	w->next = NULL;
	return w;
}

static void send_down(struct session *s, struct waiting *w)
{
	struct packet *p = packet_new(PACKET_PUBLISH);

	w->id = ++s->next_id;
	p->cookie = w->id;
	p->message = w->message;
	p->message->refs++;
	*s->flying_end = w;
	s->flying_end = &w->next;
	s->n_flying++;
	pipe_send(s->connection, false, p, p->message->len);
}

static void session_pump(struct session *s)
{
	while (s->connection && s->queue && s->n_flying < s->flying_max) {
		struct waiting *w = queue_pop(s);

		if (w->message->expires_ns > sim.now_ns) {
			send_down(s, w);
			continue;
		}
		note(EVENT_LOST, w->message, "expired at the broker");
		waiting_free(w);
	}
}

static void session_acked(struct session *s, uint64_t id)
{
	for (struct waiting **at = &s->flying; *at; at = &(*at)->next) {
		struct waiting *w = *at;

		if (w->id != id)
			continue;
		*at = w->next;
		if (s->flying_end == &w->next)
			s->flying_end = at;
		s->n_flying--;
		waiting_free(w);
		break;
	}
	session_pump(s);
}

/* ---- publishes ---- */

static bool filter_matches(const char *filter, const char *topic)
{
	size_t n = strlen(filter);

	if (n > 0 && filter[n - 1] == '#')
		return strncmp(filter, topic, n - 1) == 0;
	return strcmp(filter, topic) == 0;
}

static bool listens(const struct session *s, const char *topic)
{
	for (size_t i = 0; i < s->n_filters; i++)
		if (filter_matches(s->filters[i], topic))
			return true;
	return false;
}

/* Returns whether there was room. */
static bool enqueue(struct session *s, struct message *m)
{
	struct waiting *w;

	if (s->n_queue >= broker_options.queue_max) {
		note(EVENT_LOST, m, "queue is full");
		return false;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->message = m;
	m->refs++;
	*s->queue_end = w;
	s->queue_end = &w->next;
	s->n_queue++;
	session_pump(s);
	return true;
}

static int hand_on(struct message *m)
{
	bool any = false, room = true;

	drop_expired();
	for (struct session *s = sessions; s; s = s->next) {
		if (!listens(s, m->topic))
			continue;
		any = true;
		room &= enqueue(s, m);
	}
	if (!any)
		note(EVENT_LOST, m, "nobody listens");
	if (!any && broker_options.says_no_listener)
		return REASON_NO_LISTENER;
	return room || !broker_options.says_full ? REASON_DELIVERED : REASON_FULL;
}

static bool is_receipt(const struct message *m)
{
	return strncmp(m->topic, "tl/1/down/", 10) == 0;
}

static int take_publish(struct message *m)
{
	event_hash(m->payload, m->len);
	note(EVENT_PUBLISHED, m, NULL);
	if (chance_is(trouble.refuse_per_mille)) {
		note(EVENT_REFUSED, m, NULL);
		return trouble.refuse_reason;
	}
	if (chance_is(trouble.lose_per_mille) || (trouble.lose_receipts && is_receipt(m))) {
		note(EVENT_LOST, m, "by the broker");
		return REASON_DELIVERED;
	}
	return hand_on(m);
}

static int take_subscribe(struct session *s, const char *filter)
{
	for (size_t i = 0; i < s->n_filters; i++)
		if (strcmp(s->filters[i], filter) == 0)
			return 1;
	assert(s->n_filters < FILTERS_MAX);
	(void)snprintf(s->filters[s->n_filters++], FILTER_MAX, "%s", filter);
	return 1; /* QoS 1 */
}

static void answer(struct connection *c, enum packet_kind kind, const struct packet *to, int reason)
{
	struct packet *p;

	if (!c->client)
		return;
	p = packet_new(kind);
	p->cookie = to->cookie;
	p->reason = reason;
	memcpy(p->filter, to->filter, sizeof(p->filter));
	pipe_send(c, false, p, 6);
}

void sim_broker_take(struct connection *c, struct packet *p)
{
	bool there = c->session && c->session->connection == c;

	switch (p->kind) {
	case PACKET_PUBLISH:
		answer(c, PACKET_ACK, p, take_publish(p->message));
		break;
	case PACKET_ACK:
		if (there)
			session_acked(c->session, p->cookie);
		break;
	case PACKET_SUBSCRIBE:
		if (there)
			answer(c, PACKET_SUBSCRIBE, p, take_subscribe(c->session, p->filter));
		break;
	}
	packet_free(p);
}

/* ---- connections ---- */

struct connection *sim_broker_connect(struct link *l, struct mqtt *client, const char *id,
				      bool clean, uint32_t expiry_s, size_t receive_max,
				      bool *ret_present)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct session *s;

	if (!c)
		abort();
	drop_expired();
	s = session_find(id);
	if (s && s->connection)
		connection_cut(s->connection, "taken over");
	s = session_find(id);
	if (s && clean) {
		session_remove(s);
		s = NULL;
	}
	*ret_present = s != NULL;
	if (!s)
		s = session_new(id);
	s->connection = c;
	s->expiry_s = expiry_s;
	s->flying_max = receive_max ? receive_max : 65535;
	*c = (struct connection){.link = l, .session = s, .client = client};
	c->up.end = &c->up.first;
	c->down.end = &c->down.first;
	return c;
}

void sim_broker_resume(struct connection *c)
{
	session_pump(c->session);
}

void sim_broker_detach(struct connection *c)
{
	struct session *s = c->session;

	if (!s || s->connection != c)
		return;
	c->session = NULL;
	s->connection = NULL;
	s->expires_ns = sim.now_ns + (int64_t)s->expiry_s * NS_PER_S;
	session_rewind(s);
	if (s->expiry_s == 0)
		session_remove(s);
}

/* ---- the broker's life ---- */

void sim_broker_open(const struct broker_options *opt)
{
	broker_options = *opt;
	trouble = (struct broker_trouble){0};
	sim_broker_is_up = true;
}

static void lose(enum broker_loss loss)
{
	if (loss == BROKER_LOSES_SESSIONS)
		while (sessions)
			session_remove(sessions);
	for (struct session *s = sessions; s && loss == BROKER_LOSES_QUEUES; s = s->next)
		session_empty(s);
}

void sim_broker_down(enum broker_loss loss)
{
	sim_broker_is_up = false;
	connections_cut_all("broker is gone");
	lose(loss);
}

void sim_broker_up(void)
{
	sim_broker_is_up = true;
}

void sim_broker_trouble(const struct broker_trouble *t)
{
	trouble = *t;
}

void sim_broker_close(void)
{
	connections_cut_all("the end");
	lose(BROKER_LOSES_SESSIONS);
	links_close();
}
