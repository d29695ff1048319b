#include "relay/live/hub.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct hub_sub {
	struct hub *hub;
	int64_t vehicle;
	const struct hub_callbacks *cb;
	void *ctx;
	struct hub_event *queue[HUB_QUEUE];
	size_t head, n, bytes;
	uint64_t dropped; /* not yet told */
	bool asleep, beat, ended;
	struct hub_sub *next, **prev;
};

struct hub {
	pthread_mutex_t lock;
	struct hub_sub *subs;
	size_t n, max;
	bool closed;
	struct hub_stats stats;
};

int hub_new(struct hub **ret, size_t subscribers_max)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	h->max = subscribers_max;
	*ret = h;
	return 0;
}

struct hub *hub_free(struct hub *h)
{
	if (!h)
		return NULL;
	assert(!h->subs);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return NULL;
}

static void unref(struct hub_event *e)
{
	if (--e->refs == 0)
		free(e);
}

static int subscribe_locked(struct hub *h, struct hub_sub *s)
{
	if (h->closed)
		return -ESHUTDOWN;
	if (h->n >= h->max)
		return -ENOSPC;
	s->next = h->subs;
	s->prev = &h->subs;
	if (s->next)
		s->next->prev = &s->next;
	h->subs = s;
	h->n++;
	return 0;
}

int hub_subscribe(struct hub *h, int64_t vehicle, const struct hub_callbacks *cb, void *ctx,
		  struct hub_sub **ret)
{
	struct hub_sub *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct hub_sub){.hub = h, .vehicle = vehicle, .cb = cb, .ctx = ctx};
	pthread_mutex_lock(&h->lock);
	r = subscribe_locked(h, s);
	pthread_mutex_unlock(&h->lock);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static size_t event_bytes(const struct hub_event *e)
{
	return sizeof(*e) + e->n * sizeof(*e->v);
}

static struct hub_event *pop(struct hub_sub *s)
{
	struct hub_event *e = s->queue[s->head];

	s->head = (s->head + 1) % HUB_QUEUE;
	s->n--;
	s->bytes -= event_bytes(e);
	return e;
}

void hub_unsubscribe(struct hub_sub *s)
{
	struct hub *h = s->hub;

	pthread_mutex_lock(&h->lock);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	h->n--;
	while (s->n > 0)
		unref(pop(s));
	pthread_mutex_unlock(&h->lock);
	free(s);
}

static enum hub_what next_locked(struct hub_sub *s, struct hub_event **ret, uint64_t *ret_dropped)
{
	if (s->dropped) {
		*ret_dropped = s->dropped;
		s->dropped = 0;
		return HUB_DROPPED;
	}
	if (s->n > 0) {
		*ret = pop(s);
		return HUB_EVENT;
	}
	if (s->hub->closed || s->ended)
		return HUB_CLOSED;
	if (s->beat) {
		s->beat = false;
		return HUB_BEAT;
	}
	s->asleep = true;
	s->cb->sleep(s->ctx);
	return HUB_SLEEPS;
}

enum hub_what hub_next(struct hub_sub *s, struct hub_event **ret, uint64_t *ret_dropped)
{
	enum hub_what what;

	pthread_mutex_lock(&s->hub->lock);
	what = next_locked(s, ret, ret_dropped);
	pthread_mutex_unlock(&s->hub->lock);
	return what;
}

void hub_release(struct hub *h, struct hub_event *e)
{
	pthread_mutex_lock(&h->lock);
	unref(e);
	pthread_mutex_unlock(&h->lock);
}

static void wake(struct hub_sub *s)
{
	if (!s->asleep)
		return;
	s->asleep = false;
	s->cb->wake(s->ctx);
}

static void push(struct hub_sub *s, struct hub_event *e)
{
	while (s->n == HUB_QUEUE || (s->n > 0 && s->bytes + event_bytes(e) > HUB_QUEUE_BYTES)) {
		unref(pop(s));
		s->dropped++;
		s->hub->stats.dropped++;
	}
	s->queue[(s->head + s->n++) % HUB_QUEUE] = e;
	s->bytes += event_bytes(e);
	e->refs++;
	s->beat = false;
	wake(s);
}

static bool listens(const struct hub_sub *s, int64_t vehicle)
{
	return s->vehicle == 0 || s->vehicle == vehicle;
}

static bool anyone_listens(const struct hub *h, int64_t vehicle)
{
	for (const struct hub_sub *s = h->subs; s; s = s->next) {
		if (listens(s, vehicle))
			return true;
	}
	return false;
}

static int publish_locked(struct hub *h, int64_t vehicle, const char *vehicle_id,
			  const struct catalog *cat, const struct live_value *v, size_t n)
{
	struct hub_event *e = malloc(sizeof(*e) + n * sizeof(*v));

	if (!e)
		return -ENOMEM;
	*e = (struct hub_event){.refs = 1, .vehicle = vehicle, .cat = cat, .n = n};
	snprintf(e->vehicle_id, sizeof(e->vehicle_id), "%s", vehicle_id);
	if (n)
		memcpy(e->v, v, n * sizeof(*v));
	for (struct hub_sub *s = h->subs; s; s = s->next) {
		if (listens(s, vehicle))
			push(s, e);
	}
	h->stats.events++;
	unref(e);
	return 0;
}

int hub_publish(struct hub *h, int64_t vehicle, const char *vehicle_id, const struct catalog *cat,
		const struct live_value *v, size_t n)
{
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (anyone_listens(h, vehicle))
		r = publish_locked(h, vehicle, vehicle_id, cat, v, n);
	pthread_mutex_unlock(&h->lock);
	return r;
}

void hub_beat(struct hub *h)
{
	pthread_mutex_lock(&h->lock);
	for (struct hub_sub *s = h->subs; s; s = s->next) {
		s->beat = true;
		wake(s);
	}
	pthread_mutex_unlock(&h->lock);
}

void hub_end(struct hub *h, int64_t vehicle)
{
	pthread_mutex_lock(&h->lock);
	for (struct hub_sub *s = h->subs; s; s = s->next) {
		if (s->vehicle == vehicle) {
			s->ended = true;
			wake(s);
		}
	}
	pthread_mutex_unlock(&h->lock);
}

void hub_shutdown(struct hub *h)
{
	pthread_mutex_lock(&h->lock);
	h->closed = true;
	for (struct hub_sub *s = h->subs; s; s = s->next)
		wake(s);
	pthread_mutex_unlock(&h->lock);
}

void hub_get_stats(struct hub *h, struct hub_stats *ret)
{
	pthread_mutex_lock(&h->lock);
	*ret = h->stats;
	ret->subscribers = h->n;
	pthread_mutex_unlock(&h->lock);
}
