/* agent/publish/uplink.h: the back thread: it owns outbox, intake and MQTT connection. */
#pragma once

#include "agent/batch/queue.h"
#include "agent/publish/publish.h"

struct uplink;

/* Called on the back thread. */
struct uplink_handlers {
	void (*room)(void *ctx);    /* a builder is free again */
	void (*drained)(void *ctx); /* sources have ended, and every batch has its receipt */
	void (*failed)(void *ctx);  /* it cannot go on, as it logged: end with an error */
	void (*alive)(void *ctx);   /* the answer to uplink_ask */
	void *ctx;
};

struct uplink_options {
	const char *outbox_path;
	struct store_options store;
	struct publish_options publish; /* its handlers and ctx are set by uplink itself */
	const struct timebase *tb;
};

/* Opens the outbox and prepares; no thread yet. queue and counters are borrowed. Block signals
 * before. Returns 0, or -errno with err. */
int uplink_new(struct uplink **ret, struct batch_queue *queue, struct counters *counters,
	       const struct uplink_options *opt, const struct uplink_handlers *handlers,
	       struct error *err) must_check;
struct uplink *uplink_free(struct uplink *u); /* stop it before */
uint64_t uplink_epoch(const struct uplink *u);

int uplink_start(struct uplink *u) must_check;
/* Batches were put into the queue. Any thread. */
void uplink_kick(struct uplink *u);
/* Asks the thread's loop to call alive on its next turn. Any thread. */
void uplink_ask(struct uplink *u);
/* Nothing will be put into the queue any more. Any thread. */
void uplink_sources_ended(struct uplink *u);
/* Stores what is in the queue, for at most wait_ns while the disk refuses, and ends the thread. */
void uplink_stop(struct uplink *u, int64_t wait_ns);
