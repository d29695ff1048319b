/* agent/batch/queue.h: the bounded queue of closed batches between front and back thread, and the
 * pool of builders that circulate through it.
 *
 *   free -> take (front) -> put (front) -> get (back) -> give_back (back) -> free
 *
 * There are never more closed batches than builders, so put always has room. The pool running
 * empty is what pushes back on the sources. */
#pragma once

#include "proto/batch.h"
#include "proto/topic.h"

enum { BATCH_QUEUE_MAX = 16 }; /* builders */

struct closed_batch {
	struct batch_builder *builder;
	enum uplink_class class;
	struct batch_header header; /* all but epoch and seq, which the store gives */
};

struct batch_queue;

/* All builders hold samples_max samples of cat (borrowed), and write with dictionary (borrowed;
 * NULL: none). n: 1 to BATCH_QUEUE_MAX. Returns 0 or -ENOMEM. */
int batch_queue_new(struct batch_queue **ret, const struct catalog *cat,
		    const struct dictionary *dictionary, size_t n, size_t samples_max,
		    uint32_t time_unit_ns) must_check;
struct batch_queue *batch_queue_free(struct batch_queue *q); /* frees builders in it */
/* Adds builders up to n in total. Returns 0, -ENOMEM, or -ENOSPC above BATCH_QUEUE_MAX. */
int batch_queue_grow(struct batch_queue *q, size_t n) must_check;

/* Front. An empty builder, or NULL: all are in use. */
struct batch_builder *batch_queue_take(struct batch_queue *q);
void batch_queue_put(struct batch_queue *q, const struct closed_batch *closed);
/* Back. The oldest closed batch. */
bool batch_queue_get(struct batch_queue *q, struct closed_batch *ret);
/* Any thread. Empties the builder and puts it among the free ones. */
void batch_queue_give_back(struct batch_queue *q, struct batch_builder *b);
/* Any thread. Closed batches that wait. */
size_t batch_queue_waiting(struct batch_queue *q);
