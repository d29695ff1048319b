/* relay/live/hub.h: hands what was just stored to whoever listens.
 *
 * Each subscriber has a bounded queue. When it is full the oldest event goes and the loss is
 * counted and told; publishing never waits. Thread safe. */
#pragma once

#include "proto/topic.h"
#include "relay/live/live.h"

struct hub;
struct hub_sub;

struct hub_event {
	unsigned refs; /* of the hub */
	int64_t vehicle;
	char vehicle_id[ID_MAX + 1];
	const struct catalog *cat;
	size_t n;
	struct live_value v[];
};

enum {
	HUB_QUEUE = 256,	   /* events that wait for one subscriber */
	HUB_QUEUE_BYTES = 2 << 20, /* of them, at least one whatever its size */
};

enum hub_what {
	HUB_EVENT,   /* *ret is an event: hub_release it */
	HUB_DROPPED, /* *ret_dropped events were lost here */
	HUB_BEAT,    /* nothing for a while: say that the line is alive */
	HUB_CLOSED,  /* the hub, or the vehicle is gone */
	HUB_SLEEPS,  /* nothing: sleep was called, wake will be */
};

struct hub_callbacks {
	/* Both are called with the hub's lock held, in turn, and must not call the hub. */
	void (*sleep)(void *ctx);
	void (*wake)(void *ctx);
};

int hub_new(struct hub **ret, size_t subscribers_max) must_check;
struct hub *hub_free(struct hub *h); /* all have unsubscribed */

/* vehicle 0: all. Returns 0, -ENOSPC (subscribers_max), -ESHUTDOWN, -ENOMEM. */
int hub_subscribe(struct hub *h, int64_t vehicle, const struct hub_callbacks *cb, void *ctx,
		  struct hub_sub **ret) must_check;
void hub_unsubscribe(struct hub_sub *s);
enum hub_what hub_next(struct hub_sub *s, struct hub_event **ret, uint64_t *ret_dropped);
void hub_release(struct hub *h, struct hub_event *e);

/* Copies. Costs nothing when nobody listens. Returns 0 or -ENOMEM. */
int hub_publish(struct hub *h, int64_t vehicle, const char *vehicle_id, const struct catalog *cat,
		const struct live_value *v, size_t n) must_check;
/* Wakes those that sleep, so that they say that the line is alive. */
void hub_beat(struct hub *h);
/* Ends the subscriptions to a vehicle, which was removed. */
void hub_end(struct hub *h, int64_t vehicle);
/* Ends all subscriptions and refuses new ones. */
void hub_shutdown(struct hub *h);

struct hub_stats {
	uint64_t subscribers, events, dropped;
};
void hub_get_stats(struct hub *h, struct hub_stats *ret);
