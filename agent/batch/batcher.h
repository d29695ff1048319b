/* agent/batch/batcher.h: the open batches, one a class, and when they close.
 *
 * A batch closes when it holds samples_max samples, when age_max has passed since its first one
 * (mono time of the agent, not of the samples), or when it is flushed. */
#pragma once

#include "agent/batch/queue.h"
#include "agent/source/clock.h"

struct batcher_options {
	size_t samples_max; /* the queue's builders must hold slack more than this */
	size_t slack;	    /* most samples that one batcher_add brings */
	int64_t age_max_ns;
	struct batch_header header;	/* what every batch carries: boot, catalog, time unit */
	const struct clock_pair *fixed; /* NULL: each batch reads the clocks; borrowed */
	const struct timebase *tb;	/* borrowed */
	void (*closed)(void *ctx, size_t samples); /* a batch was put into the queue */
	void *ctx;
};

struct batcher;

/* q is borrowed. Returns 0 or -ENOMEM. */
int batcher_new(struct batcher **ret, struct batch_queue *q,
		const struct batcher_options *opt) must_check;
/* Open batches go back to the queue's free builders: flush first to keep them. */
struct batcher *batcher_free(struct batcher *b);

/* classes: bit 1 << class. Sees to it that each of them has an open batch with room for slack
 * samples, closing full ones. False: there is no free builder for some class; try again when the
 * back thread has given one back. */
bool batcher_ready(struct batcher *b, unsigned classes);
/* Adds to an open batch. Returns 0, or BATCH_FULL with nothing added: right after batcher_ready,
 * and with n up to slack, only where times leap (24 days at 1 ms) and no builder is free either. */
int batcher_add(struct batcher *b, enum uplink_class class, uint32_t message, int64_t mono_ns,
		const struct sample *samples, size_t n) must_check;

/* The agent's clock, not that of samples. */
struct mono_time batcher_now(const struct batcher *b);
/* Closes those whose age has come. */
void batcher_tick(struct batcher *b, struct mono_time now);
/* When the next one is due; false: none is open with samples in it. */
bool batcher_next_due(const struct batcher *b, struct mono_time *ret);
void batcher_flush(struct batcher *b);
/* Closes the batches of all other classes, and gives back their builders. */
void batcher_keep(struct batcher *b, unsigned classes);
void batcher_set_age_max(struct batcher *b, int64_t ns);
