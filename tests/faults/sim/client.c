/* Links to the broker, and base/mqtt.h at their ends. */
#include "proto/context.h"
#include "proto/gap.h"
#include "proto/receipt.h"
#include "tests/faults/sim/broker_private.h"

#include <stdio.h>
#include <string.h>

enum client_state { CLIENT_WAITS, CLIENT_CONNECTS, CLIENT_IS_UP, CLIENT_WAS_CUT };

struct mqtt {
	struct loop *loop;
	const struct mqtt_handlers *on;
	void *ctx;
	struct mqtt_options opt;
	char id[CLIENT_ID_MAX];
	struct link *link;
	struct connection *connection;
	enum client_state state;
	bool doomed; /* the attempt cannot succeed */
	const char *why;
	struct loop_timer timer; /* of the state */
	struct mqtt_backoff backoff;
	size_t in_flight, subscribing;
	struct mqtt_stats stats;
};

enum { CONTEXTS_MAX = 512 };

/* Those that went by, of all; the oldest make room. */
static struct context contexts[CONTEXTS_MAX];
static size_t n_contexts;
static struct buf whole = BUF_INIT(1 << 20);

static struct link links[MACHINES_MAX];
static struct connection *connections;

/* ---- packets ---- */

struct packet *packet_new(enum packet_kind kind)
{
	struct packet *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->kind = kind;
	return p;
}

struct packet *packet_free(struct packet *p)
{
	message_drop(p->message);
	free(p);
	return NULL;
}

static struct packet *pipe_pop(struct pipe *w)
{
	struct packet *p = w->first;

	w->first = p->next;
	if (!w->first)
		w->end = &w->first;
	p->next = NULL;
	return p;
}

/* All but the first keep. */
static void pipe_empty(struct pipe *w, size_t keep)
{
	struct packet **at = &w->first;

	while (*at && keep > 0) {
		at = &(*at)->next;
		keep--;
	}
	w->end = at;
	while (*at) {
		struct packet *p = *at;

		*at = p->next;
		packet_free(p);
	}
}

static size_t pipe_count(const struct pipe *w)
{
	size_t n = 0;

	for (const struct packet *p = w->first; p; p = p->next)
		n++;
	return n;
}

/* ---- both ways ---- */

static void arm(struct connection *c, bool up)
{
	struct pipe *w = up ? &c->up : &c->down;
	struct loop *l = up ? sim.loop : c->client->loop;
	int64_t wait;

	if (!w->first || c->link->trouble.stalled)
		return;
	wait = w->first->due_ns - sim.now_ns;
	loop_timer_in(l, &w->timer, wait > 0 ? wait : 0);
}

void pipe_send(struct connection *c, bool up, struct packet *p, size_t bytes)
{
	const struct link_trouble *t = &c->link->trouble;
	struct pipe *w = up ? &c->up : &c->down;
	int64_t latency = broker_options.latency_ns + t->extra_ns;

	if (w->free_ns < sim.now_ns)
		w->free_ns = sim.now_ns;
	if (t->bytes_per_s > 0)
		w->free_ns += (int64_t)bytes * NS_PER_S / t->bytes_per_s;
	p->due_ns = w->free_ns + latency + (int64_t)chance_below((uint64_t)latency + 1);
	if (p->due_ns < w->last_due_ns)
		p->due_ns = w->last_due_ns;
	w->last_due_ns = p->due_ns;
	*w->end = p;
	w->end = &p->next;
	if (w->first == p)
		arm(c, up);
}

static void connection_free(struct connection *c)
{
	struct connection **at = &connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	loop_timer_cancel(&c->up.timer);
	pipe_empty(&c->up, 0);
	free(c);
}

/* The client's side is over; what is on its way up may go on. */
static void leave(struct connection *c)
{
	sim_broker_detach(c);
	loop_timer_cancel(&c->down.timer);
	pipe_empty(&c->down, 0);
	if (c->link->connection == c) {
		c->link->connection = NULL;
		loop_timer_cancel(&c->link->keepalive);
	}
	if (c->client)
		c->client->connection = NULL;
	c->client = NULL;
}

static void on_up(struct loop_timer *t)
{
	struct connection *c = t->ctx;

	while (c->up.first && c->up.first->due_ns <= sim.now_ns)
		sim_broker_take(c, pipe_pop(&c->up));
	if (c->up.first)
		arm(c, true);
	else if (!c->client)
		connection_free(c);
}

static void take_message(struct mqtt *m, struct packet *p)
{
	const struct message *w = p->message;
	struct mqtt_message msg = {.topic = w->topic, .payload = w->payload, .len = w->len};
	struct packet *ack = packet_new(PACKET_ACK);
	struct event e = w->about;
	bool twice = chance_is(m->link->trouble.twice_per_mille);

	ack->cookie = p->cookie;
	pipe_send(m->connection, true, ack, 4);
	e.kind = strncmp(w->topic, "tl/1/down/", 10) == 0 ? EVENT_RECEIPT : EVENT_DELIVERED;
	event_note(&e);
	m->stats.received++;
	for (int i = 0; i < 1 + twice && m->on->message; i++)
		m->on->message(m->ctx, &msg);
}

static void take_down(struct mqtt *m, struct packet *p)
{
	switch (p->kind) {
	case PACKET_PUBLISH:
		take_message(m, p);
		break;
	case PACKET_ACK:
		m->in_flight--;
		if (m->on->published)
			m->on->published(m->ctx, p->cookie, p->reason);
		break;
	case PACKET_SUBSCRIBE:
		m->subscribing--;
		if (m->on->subscribed)
			m->on->subscribed(m->ctx, p->filter, p->reason);
		break;
	}
	packet_free(p);
}

static void on_down(struct loop_timer *t)
{
	struct connection *c = t->ctx;

	while (c->down.first && c->down.first->due_ns <= sim.now_ns)
		take_down(c->client, pipe_pop(&c->down));
	arm(c, false);
}

/* ---- links ---- */

struct link *link_of(const char *name)
{
	for (size_t i = 0; i < sim.n_machines; i++) {
		if (strcmp(sim.machines[i]->name, name) != 0)
			continue;
		links[i].machine = sim.machines[i];
		return &links[i];
	}
	abort();
}

void links_close(void)
{
	while (connections)
		connection_free(connections);
	for (size_t i = 0; i < MACHINES_MAX; i++)
		loop_timer_cancel(&links[i].keepalive);
	memset(links, 0, sizeof(links));
	buf_free(&whole);
	n_contexts = 0;
}

void connection_cut(struct connection *c, const char *why)
{
	struct mqtt *m = c->client;

	leave(c);
	connection_free(c);
	if (!m)
		return;
	m->state = CLIENT_WAS_CUT;
	m->why = why;
	loop_timer_in(m->loop, &m->timer, 0);
}

void connections_cut_all(const char *why)
{
	while (connections)
		connection_cut(connections, why);
}

static void on_keepalive(struct loop_timer *t)
{
	struct link *l = t->ctx;

	if (l->connection)
		connection_cut(l->connection, "keep-alive");
}

static void stall(struct link *l)
{
	struct connection *c = l->connection;

	if (!c)
		return;
	loop_timer_cancel(&c->up.timer);
	loop_timer_cancel(&c->down.timer);
	l->keepalive.cb = on_keepalive;
	l->keepalive.ctx = l;
	if (l->keepalive_ns)
		loop_timer_in(sim.loop, &l->keepalive, l->keepalive_ns);
}

static void unstall(struct link *l)
{
	loop_timer_cancel(&l->keepalive);
	for (struct connection *c = connections; c; c = c->next) {
		if (c->link != l)
			continue;
		arm(c, true);
		if (c->client)
			arm(c, false);
	}
}

void link_trouble(const struct machine *m, const struct link_trouble *t)
{
	struct link *l = link_of(m->name);
	bool was = l->trouble.stalled;

	l->trouble = *t;
	if (t->stalled && !was)
		stall(l);
	else if (was && !t->stalled)
		unstall(l);
	if (t->down)
		link_reset(m);
}

void link_reset(const struct machine *m)
{
	struct link *l = link_of(m->name);

	if (l->connection)
		connection_cut(l->connection, "reset");
}

void client_killed(const struct machine *m)
{
	struct connection *c = link_of(m->name)->connection;

	if (!c)
		return;
	leave(c);
	pipe_empty(&c->up, (size_t)chance_below(pipe_count(&c->up) + 1));
	if (!c->up.first)
		connection_free(c);
}

/* ---- base/mqtt.h ---- */

static void note_connection(const struct mqtt *m, enum event_kind kind, const char *what)
{
	struct event e = {.kind = kind, .agent = -1, .class = -1};

	(void)snprintf(e.what, sizeof(e.what), "%.16s %.24s", m->id, what);
	event_note(&e);
}

static void wait_for_next(struct mqtt *m)
{
	m->state = CLIENT_WAITS;
	loop_timer_in(m->loop, &m->timer, mqtt_backoff_next(&m->backoff) * NS_PER_MS);
}

static bool is_reachable(const struct mqtt *m)
{
	return sim_broker_is_up && !m->link->trouble.down;
}

static void attempt(struct mqtt *m)
{
	int64_t trip = 4 * (broker_options.latency_ns + m->link->trouble.extra_ns);

	m->state = CLIENT_CONNECTS;
	m->doomed = !is_reachable(m) || m->link->trouble.stalled;
	loop_timer_in(m->loop, &m->timer,
		      m->link->trouble.stalled ? m->opt.connect_timeout_s * NS_PER_S : trip);
}

static void failed(struct mqtt *m)
{
	m->stats.failed_attempts++;
	wait_for_next(m);
	m->on->disconnected(m->ctx, "cannot be reached");
}

static void connected(struct mqtt *m)
{
	bool present;
	struct connection *c;

	if (m->doomed || !is_reachable(m) || m->link->trouble.stalled) {
		failed(m);
		return;
	}
	c = sim_broker_connect(m->link, m, m->id, m->opt.session_expiry_s == 0,
			       m->opt.session_expiry_s, m->opt.receive_maximum, &present);
	c->up.timer = (struct loop_timer){.cb = on_up, .ctx = c};
	c->down.timer = (struct loop_timer){.cb = on_down, .ctx = c};
	c->next = connections;
	connections = c;
	m->connection = m->link->connection = c;
	m->link->keepalive_ns = m->opt.keepalive_s * NS_PER_S * 3 / 2;
	m->state = CLIENT_IS_UP;
	m->in_flight = m->subscribing = 0;
	m->stats.connects++;
	mqtt_backoff_reset(&m->backoff);
	note_connection(m, EVENT_CONNECTED, present ? "resumed" : "new");
	sim_broker_resume(c);
	m->on->connected(m->ctx, present);
}

static void on_state(struct loop_timer *t)
{
	struct mqtt *m = t->ctx;

	switch (m->state) {
	case CLIENT_WAITS:
		attempt(m);
		break;
	case CLIENT_CONNECTS:
		connected(m);
		break;
	case CLIENT_WAS_CUT:
		m->stats.disconnects++;
		note_connection(m, EVENT_DISCONNECTED, m->why);
		wait_for_next(m);
		m->on->disconnected(m->ctx, m->why);
		break;
	case CLIENT_IS_UP:
		break;
	}
}

int mqtt_new(struct mqtt **ret, struct loop *l, const struct mqtt_options *opt,
	     const struct mqtt_handlers *handlers, void *ctx)
{
	struct mqtt *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->loop = l;
	m->on = handlers;
	m->ctx = ctx;
	m->opt = *opt;
	(void)snprintf(m->id, sizeof(m->id), "%s", opt->client_id);
	m->link = link_of(m->id);
	m->timer = (struct loop_timer){.cb = on_state, .ctx = m};
	mqtt_backoff_init(&m->backoff, opt->backoff_min_ms, opt->backoff_max_ms);
	m->state = CLIENT_WAITS;
	loop_timer_in(l, &m->timer, 0);
	*ret = m;
	return 0;
}

struct mqtt *mqtt_free(struct mqtt *m)
{
	struct connection *c = m ? m->connection : NULL;

	if (!m)
		return NULL;
	if (c) {
		leave(c);
		if (!c->up.first)
			connection_free(c);
	}
	loop_timer_cancel(&m->timer);
	free(m);
	return NULL;
}

bool mqtt_is_connected(const struct mqtt *m)
{
	return m->state == CLIENT_IS_UP;
}

/* ---- what a message is about: for the log of events ---- */

static bool read_short(const struct message *m, struct envelope *ret)
{
	int64_t less;
	uint32_t id;

	if (context_peek(m->payload, m->len, &id, &less, NULL) < 0)
		return false;
	for (size_t i = 0; i < n_contexts && i < CONTEXTS_MAX; i++)
		if (contexts[i].id == id)
			return context_expand(&contexts[i], m->payload, m->len, &whole, ret,
					      NULL) == 0;
	return false;
}

static bool read_up(const struct message *m, struct envelope *ret)
{
	if (context_is_short(m->payload, m->len))
		return read_short(m, ret);
	if (envelope_decode(ret, m->payload, m->len, NULL) < 0)
		return false;
	if (ret->introduces &&
	    context_make(&contexts[n_contexts % CONTEXTS_MAX], ret, ret->introduces - 1) == 0)
		n_contexts++;
	return true;
}

static void describe_up(struct message *m, const struct topic_up *t, struct event *e)
{
	static const char *const names[] = {"batch", "batch", "gap", "clock"};
	struct envelope env;
	struct gap gap;

	e->class = (int8_t)t->class;
	e->agent = (int8_t)(t->vehicle[1] - '0');
	buf_clear(&whole);
	if (!read_up(m, &env)) {
		(void)snprintf(e->what, sizeof(e->what), "short, of an unknown context");
		return;
	}
	e->epoch = env.epoch;
	e->from = e->through = env.seq;
	(void)snprintf(e->what, sizeof(e->what), "%s%s%s%s",
		       context_is_short(m->payload, m->len) ? "short " : "",
		       env.encoding < array_len(names) ? names[env.encoding] : "?",
		       envelope_has_origin(&env) ? " with origin" : "",
		       env.introduces ? " introduces" : "");
	if (env.encoding == ENCODING_GAP && !envelope_has_origin(&env) &&
	    gap_decode(&gap, env.seq, env.body, env.body_len, NULL) == 0)
		e->through = gap.through;
}

static void describe_receipt(struct message *m, struct event *e)
{
	struct receipt r;

	if (receipt_decode(&r, m->payload, m->len, NULL) < 0)
		return;
	e->agent = (int8_t)(m->topic[11] - '0'); /* tl/1/down/vN/ */
	e->class = (int8_t)r.class;
	e->epoch = r.epoch;
	e->from = r.n_nacks ? r.nacks[0].seq : 1;
	e->through = r.n_nacks ? r.nacks[0].seq : r.acked_through;
	(void)snprintf(e->what, sizeof(e->what), "%s%zu ranges %zu nacks",
		       r.unknown_context ? "?context " : "", r.n_ranges, r.n_nacks);
}

static void describe(struct message *m)
{
	struct topic_up t;

	m->about = (struct event){.kind = EVENT_PUBLISHED, .agent = -1, .class = -1};
	if (topic_parse_up(m->topic, &t, NULL) == 0)
		describe_up(m, &t, &m->about);
	else
		describe_receipt(m, &m->about);
}

/* ---- publish and subscribe ---- */

static struct message *message_new(const struct mqtt_publish *p)
{
	struct message *m = calloc(1, sizeof(*m) + p->len);

	if (!m)
		abort();
	m->refs = 1;
	(void)snprintf(m->topic, sizeof(m->topic), "%s", p->topic);
	m->expires_ns = p->expiry_s ? sim.now_ns + p->expiry_s * NS_PER_S : INT64_MAX;
	memcpy(m->payload, p->payload, p->len);
	m->len = p->len;
	describe(m);
	return m;
}

int mqtt_publish(struct mqtt *m, const struct mqtt_publish *p)
{
	struct packet *packet;

	if (m->state != CLIENT_IS_UP)
		return -ENOTCONN;
	if (p->qos != 1 || p->retain)
		return -EINVAL; /* nobody here does */
	if (m->in_flight >= MQTT_INFLIGHT_MAX)
		return -EAGAIN;
	packet = packet_new(PACKET_PUBLISH);
	packet->message = message_new(p);
	packet->cookie = p->cookie;
	m->in_flight++;
	m->stats.published++;
	m->stats.published_bytes += p->len + strlen(p->topic) + 8;
	pipe_send(m->connection, true, packet, p->len + strlen(p->topic) + 8);
	return 0;
}

int mqtt_subscribe(struct mqtt *m, const char *filter, int qos)
{
	struct packet *p;

	(void)qos;
	if (m->state != CLIENT_IS_UP)
		return -ENOTCONN;
	if (m->subscribing >= MQTT_SUBSCRIBES_MAX)
		return -EAGAIN;
	p = packet_new(PACKET_SUBSCRIBE);
	(void)snprintf(p->filter, sizeof(p->filter), "%s", filter);
	m->subscribing++;
	pipe_send(m->connection, true, p, strlen(filter) + 8);
	return 0;
}

uint32_t mqtt_packet_maximum(const struct mqtt *m)
{
	(void)m;
	return 256 << 20;
}

void mqtt_get_stats(const struct mqtt *m, struct mqtt_stats *ret)
{
	*ret = m->stats;
}
