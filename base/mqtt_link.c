#include "base/mqtt_link.h"

#include "base/mqtt_paho.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DRAIN_MS = 500, FREE_MS = 1000 };

enum command_type { COMMAND_PUBLISH, COMMAND_SUBSCRIBE };

struct command {
	struct command *next;
	enum command_type type;
	struct mqtt_slot *slot;
	struct mqtt_sub *sub;
	struct mqtt_link_publish publish; /* points into data */
	char data[];
};

struct mqtt_link {
	struct mqtt_paho paho;
	pthread_t thread;

	pthread_mutex_t lock; /* guards all down to slots; never held across a call into Paho */
	pthread_cond_t work;  /* the worker waits: commands, flags, flying */
	pthread_cond_t space; /* Paho's receive thread waits: queued_bytes, accepting */
	pthread_cond_t done;  /* mqtt_link_free waits: finished */

	struct loop_wake *wake;
	struct mqtt_event *events, **events_end;
	size_t queued_bytes, queue_max;
	struct command *commands, **commands_end;
	unsigned generation;
	bool accepting; /* the loop wants events of this generation */
	bool connected;
	bool open_wanted, close_wanted, free_wanted;
	bool finished;	 /* the worker is past its last look at the link */
	bool orphaned;	 /* mqtt_link_free has left: the worker frees */
	unsigned flying; /* publishes without an answer */
	uint64_t waits;
	struct mqtt_opened opened;
	struct mqtt_ended ended;
	struct mqtt_event closed;

	/* The loop's only, but for what an event carries. */
	struct mqtt_sub *subs;
	unsigned n_subs;
	struct mqtt_slot slots[MQTT_INFLIGHT_MAX], *free_slots;
};

/* --- events: lock is held --- */

static void post(struct mqtt_link *k, struct mqtt_event *e, enum mqtt_event_type type)
{
	bool was_empty = !k->events;

	e->next = NULL;
	e->type = type;
	e->generation = k->generation;
	*k->events_end = e;
	k->events_end = &e->next;
	k->queued_bytes += e->bytes;
	if (was_empty && k->wake)
		loop_wake_post(k->wake);
}

/* --- from the worker's and Paho's threads --- */

void mqtt_link_post_opened(struct mqtt_link *k, const struct mqtt_opened *o)
{
	pthread_mutex_lock(&k->lock);
	if (k->accepting) {
		k->connected = true;
		k->opened = *o;
		post(k, &k->opened.event, MQTT_EVENT_OPENED);
	}
	pthread_mutex_unlock(&k->lock);
}

static void post_ended(struct mqtt_link *k, bool tls, const char *fmt, va_list args)
	printf_like(3, 0);

static void post_ended(struct mqtt_link *k, bool tls, const char *fmt, va_list args)
{
	pthread_mutex_lock(&k->lock);
	k->connected = false;
	if (k->accepting && !k->ended.posted) {
		vsnprintf(k->ended.reason, sizeof(k->ended.reason), fmt, args);
		k->ended.tls = tls;
		k->ended.posted = true;
		post(k, &k->ended.event, MQTT_EVENT_ENDED);
	}
	pthread_cond_signal(&k->work);
	pthread_mutex_unlock(&k->lock);
}

void mqtt_link_post_ended(struct mqtt_link *k, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	post_ended(k, false, fmt, args);
	va_end(args);
}

static void printf_like(2, 3) post_tls_ended(struct mqtt_link *k, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	post_ended(k, true, fmt, args);
	va_end(args);
}

void mqtt_link_post_tls_ended(struct mqtt_link *k, const char *place, const char *why)
{
	post_tls_ended(k, "cannot connect to %s: TLS: %s", place, why);
}

static bool has_room(const struct mqtt_link *k, size_t bytes)
{
	return k->queued_bytes == 0 ||
	       (bytes <= k->queue_max && k->queued_bytes <= k->queue_max - bytes);
}

bool mqtt_link_post_message(struct mqtt_link *k, struct mqtt_received *r)
{
	bool taken;

	pthread_mutex_lock(&k->lock);
	if (k->accepting && !has_room(k, r->event.bytes))
		k->waits++;
	while (k->accepting && !has_room(k, r->event.bytes))
		pthread_cond_wait(&k->space, &k->lock);
	taken = k->accepting;
	if (taken)
		post(k, &r->event, MQTT_EVENT_MESSAGE);
	pthread_mutex_unlock(&k->lock);
	return taken;
}

void mqtt_link_post_published(struct mqtt_slot *slot, int reason)
{
	struct mqtt_link *k = slot->link;

	pthread_mutex_lock(&k->lock);
	if (slot->flying) {
		slot->flying = false;
		slot->reason = reason;
		if (--k->flying == 0)
			pthread_cond_signal(&k->work);
		if (k->accepting)
			post(k, &slot->event, MQTT_EVENT_PUBLISHED);
	}
	pthread_mutex_unlock(&k->lock);
}

void mqtt_link_post_subscribed(struct mqtt_sub *sub, int reason)
{
	struct mqtt_link *k = sub->link;

	pthread_mutex_lock(&k->lock);
	if (k->accepting && !sub->posted) {
		sub->posted = true;
		sub->reason = reason;
		post(k, &sub->event, MQTT_EVENT_SUBSCRIBED);
	}
	pthread_mutex_unlock(&k->lock);
}

uint64_t mqtt_link_waits(struct mqtt_link *k)
{
	uint64_t waits;

	pthread_mutex_lock(&k->lock);
	waits = k->waits;
	pthread_mutex_unlock(&k->lock);
	return waits;
}

/* --- the worker --- */

static struct command *commands_take(struct mqtt_link *k)
{
	struct command *first = k->commands;

	k->commands = NULL;
	k->commands_end = &k->commands;
	return first;
}

static void commands_free(struct command *c)
{
	while (c) {
		struct command *next = c->next;

		free(c);
		c = next;
	}
}

/* lock is held, and released meanwhile. */
static void run_commands(struct mqtt_link *k)
{
	struct command *all = commands_take(k);

	pthread_mutex_unlock(&k->lock);
	for (struct command *c = all; c; c = c->next) {
		if (c->type == COMMAND_PUBLISH)
			mqtt_paho_publish(&k->paho, c->slot, &c->publish);
		else
			mqtt_paho_subscribe(&k->paho, c->sub);
	}
	commands_free(all);
	pthread_mutex_lock(&k->lock);
}

static void run_open(struct mqtt_link *k)
{
	k->open_wanted = false;
	pthread_mutex_unlock(&k->lock);
	mqtt_paho_open(&k->paho);
	pthread_mutex_lock(&k->lock);
}

static void run_close(struct mqtt_link *k)
{
	struct command *unsent = commands_take(k);

	k->close_wanted = false;
	k->open_wanted = false;
	pthread_mutex_unlock(&k->lock);
	commands_free(unsent);
	mqtt_paho_close(&k->paho);
	pthread_mutex_lock(&k->lock);
	k->flying = 0;
	k->connected = false;
	post(k, &k->closed, MQTT_EVENT_CLOSED);
}

static struct timespec deadline_in(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* Sends what is left and waits for its PUBACKs: what was published before mqtt_free should arrive.
 */
static void run_last(struct mqtt_link *k)
{
	struct timespec deadline = deadline_in(DRAIN_MS);

	if (k->connected)
		run_commands(k);
	while (k->connected && k->flying > 0) {
		if (pthread_cond_timedwait(&k->work, &k->lock, &deadline) == ETIMEDOUT)
			break;
	}
	pthread_mutex_unlock(&k->lock);
	mqtt_paho_close(&k->paho);
	pthread_mutex_lock(&k->lock);
}

static void link_destroy(struct mqtt_link *k);

static void *worker(void *arg)
{
	struct mqtt_link *k = arg;
	bool orphaned;

	pthread_mutex_lock(&k->lock);
	while (!k->free_wanted) {
		if (k->close_wanted)
			run_close(k);
		else if (k->open_wanted)
			run_open(k);
		else if (k->commands)
			run_commands(k);
		else
			pthread_cond_wait(&k->work, &k->lock);
	}
	run_last(k);
	k->finished = true;
	orphaned = k->orphaned;
	pthread_cond_signal(&k->done);
	pthread_mutex_unlock(&k->lock);
	if (orphaned)
		link_destroy(k);
	return NULL;
}

/* --- from the loop's thread --- */

void mqtt_link_open(struct mqtt_link *k, unsigned generation)
{
	pthread_mutex_lock(&k->lock);
	assert(!k->accepting && !k->close_wanted);
	k->generation = generation;
	k->accepting = true;
	k->ended.posted = false;
	k->open_wanted = true;
	pthread_cond_signal(&k->work);
	pthread_mutex_unlock(&k->lock);
}

void mqtt_link_close(struct mqtt_link *k)
{
	pthread_mutex_lock(&k->lock);
	k->accepting = false;
	k->close_wanted = true;
	pthread_cond_signal(&k->work);
	pthread_cond_broadcast(&k->space);
	pthread_mutex_unlock(&k->lock);
}

struct mqtt_slot *mqtt_link_slot_take(struct mqtt_link *k)
{
	struct mqtt_slot *slot = k->free_slots;

	if (slot)
		k->free_slots = slot->next_free;
	return slot;
}

void mqtt_link_slot_put(struct mqtt_link *k, struct mqtt_slot *slot)
{
	slot->next_free = k->free_slots;
	k->free_slots = slot;
}

static void enqueue(struct mqtt_link *k, struct command *c)
{
	pthread_mutex_lock(&k->lock);
	if (c->type == COMMAND_PUBLISH) {
		c->slot->flying = true;
		k->flying++;
	}
	if (!k->commands)
		pthread_cond_signal(&k->work);
	*k->commands_end = c;
	k->commands_end = &c->next;
	pthread_mutex_unlock(&k->lock);
}

int mqtt_link_publish(struct mqtt_link *k, struct mqtt_slot *slot,
		      const struct mqtt_link_publish *p)
{
	size_t topic_size = strlen(p->topic) + 1;
	struct command *c = malloc(sizeof(*c) + topic_size + p->len);

	if (!c)
		return -ENOMEM;
	*c = (struct command){.type = COMMAND_PUBLISH, .slot = slot, .publish = *p};
	memcpy(c->data, p->topic, topic_size);
	if (p->len > 0)
		memcpy(c->data + topic_size, p->payload, p->len);
	c->publish.topic = c->data;
	c->publish.payload = c->data + topic_size;
	enqueue(k, c);
	return 0;
}

static struct mqtt_sub *sub_new(struct mqtt_link *k, const char *filter, int qos)
{
	size_t size = strlen(filter) + 1;
	struct mqtt_sub *sub = calloc(1, sizeof(*sub) + size);

	if (!sub)
		return NULL;
	sub->link = k;
	sub->qos = qos;
	memcpy(sub->filter, filter, size);
	return sub;
}

int mqtt_link_subscribe(struct mqtt_link *k, const char *filter, int qos)
{
	struct command *c;
	struct mqtt_sub *sub;

	if (k->n_subs == MQTT_SUBSCRIBES_MAX)
		return -EAGAIN;
	c = calloc(1, sizeof(*c));
	sub = sub_new(k, filter, qos);
	if (!c || !sub) {
		free(c);
		free(sub);
		return -ENOMEM;
	}
	c->type = COMMAND_SUBSCRIBE;
	c->sub = sub;
	sub->next = k->subs;
	k->subs = sub;
	k->n_subs++;
	enqueue(k, c);
	return 0;
}

void mqtt_link_reset(struct mqtt_link *k)
{
	while (k->subs) {
		struct mqtt_sub *sub = k->subs;

		k->subs = sub->next;
		free(sub);
	}
	k->n_subs = 0;
	k->free_slots = NULL;
	for (size_t i = MQTT_INFLIGHT_MAX; i-- > 0;) {
		k->slots[i].link = k;
		mqtt_link_slot_put(k, &k->slots[i]);
	}
}

struct mqtt_event *mqtt_link_take(struct mqtt_link *k, unsigned max)
{
	struct mqtt_event *first, **end;

	pthread_mutex_lock(&k->lock);
	first = k->events;
	end = &k->events;
	while (*end && max-- > 0)
		end = &(*end)->next;
	k->events = *end;
	*end = NULL;
	if (!k->events)
		k->events_end = &k->events;
	pthread_mutex_unlock(&k->lock);
	return first;
}

static void sub_free(struct mqtt_link *k, struct mqtt_sub *sub)
{
	struct mqtt_sub **p = &k->subs;

	while (*p != sub)
		p = &(*p)->next;
	*p = sub->next;
	k->n_subs--;
	free(sub);
}

void mqtt_link_event_done(struct mqtt_link *k, struct mqtt_event *e)
{
	if (e->type == MQTT_EVENT_MESSAGE)
		free(e);
	else if (e->type == MQTT_EVENT_PUBLISHED)
		mqtt_link_slot_put(k, (struct mqtt_slot *)e);
	else if (e->type == MQTT_EVENT_SUBSCRIBED)
		sub_free(k, (struct mqtt_sub *)e);
}

bool mqtt_link_credit(struct mqtt_link *k, size_t bytes)
{
	bool more;

	pthread_mutex_lock(&k->lock);
	k->queued_bytes -= bytes;
	more = k->events != NULL;
	pthread_cond_broadcast(&k->space);
	pthread_mutex_unlock(&k->lock);
	return more;
}

/* --- life --- */

static void link_destroy(struct mqtt_link *k)
{
	struct mqtt_event *e;

	commands_free(commands_take(k));
	while ((e = mqtt_link_take(k, 1)))
		mqtt_link_event_done(k, e);
	mqtt_link_reset(k);
	mqtt_paho_deinit(&k->paho);
	pthread_cond_destroy(&k->done);
	pthread_cond_destroy(&k->space);
	pthread_cond_destroy(&k->work);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static void link_init_locks(struct mqtt_link *k)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->work, &monotonic);
	pthread_cond_init(&k->space, &monotonic);
	pthread_cond_init(&k->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* Paho's threads inherit the mask of the worker: signals are for the program's own threads. */
static int start_worker(struct mqtt_link *k)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&k->thread, NULL, worker, k);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

const struct mqtt_tls *mqtt_link_tls(const struct mqtt_link *k)
{
	return &k->paho.tls;
}

int mqtt_link_new(struct mqtt_link **ret, const struct mqtt_options *opt,
		  const struct mqtt_uri *uri, struct loop_wake *wake)
{
	struct mqtt_link *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	link_init_locks(k);
	k->wake = wake;
	k->events_end = &k->events;
	k->commands_end = &k->commands;
	k->queue_max = opt->queue_bytes;
	mqtt_link_reset(k);
	r = mqtt_paho_init(&k->paho, k, opt, uri);
	if (r == 0)
		r = start_worker(k);
	if (r < 0) {
		link_destroy(k);
		return r;
	}
	*ret = k;
	return 0;
}

void mqtt_link_mute(struct mqtt_link *k)
{
	pthread_mutex_lock(&k->lock);
	k->accepting = false;
	k->wake = NULL;
	pthread_cond_broadcast(&k->space);
	pthread_mutex_unlock(&k->lock);
}

void mqtt_link_free(struct mqtt_link *k)
{
	struct timespec deadline = deadline_in(FREE_MS);
	pthread_t thread = k->thread;
	bool finished;

	mqtt_link_mute(k);
	pthread_mutex_lock(&k->lock);
	k->free_wanted = true;
	pthread_cond_signal(&k->work);
	while (!k->finished) {
		if (pthread_cond_timedwait(&k->done, &k->lock, &deadline) == ETIMEDOUT)
			break;
	}
	finished = k->finished;
	k->orphaned = !finished;
	pthread_mutex_unlock(&k->lock);
	if (finished) {
		pthread_join(thread, NULL);
		link_destroy(k);
	} else {
		pthread_detach(thread);
	}
}
