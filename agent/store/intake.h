/* agent/store/intake.h: closed batches from the queue into the outbox. Back thread.
 *
 * Encodes, then commits whatever has queued up in one transaction. While the disk refuses, what is
 * encoded is kept and tried again each second, and the queue fills: that is what makes the sources
 * wait. Nothing is dropped but by the outbox's quota, or at the end. */
#pragma once

#include "agent/batch/queue.h"
#include "agent/health/counters.h"
#include "agent/store/store.h"
#include "base/loop.h"

struct intake;

struct intake_handlers {
	void (*room)(void *ctx);    /* a builder is free again: sources may go on */
	void (*stored)(void *ctx);  /* there are new rows to publish */
	void (*corrupt)(void *ctx); /* the outbox was found damaged: a restart sets it aside */
	void *ctx;
};

/* All pointers are borrowed, but handlers, which is copied. Returns 0 or -ENOMEM. */
int intake_new(struct intake **ret, struct loop *loop, struct batch_queue *queue,
	       struct store *store, struct counters *counters,
	       const struct intake_handlers *handlers) must_check;
struct intake *intake_free(struct intake *in);

/* To be called when batches were put into the queue. */
void intake_run(struct intake *in);
/* Nothing is left between the queue and the outbox. */
bool intake_is_idle(const struct intake *in);
/* The end: tries until the deadline to store what is left, then counts it as dropped. */
void intake_finish(struct intake *in, const struct timebase *tb, struct mono_time deadline);
