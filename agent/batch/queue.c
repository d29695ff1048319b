#include "agent/batch/queue.h"

#include <pthread.h>

struct batch_queue {
	pthread_mutex_t lock;
	const struct catalog *cat;
	size_t samples_max;
	uint32_t time_unit_ns;
	const struct dictionary *dictionary;
	struct batch_builder *all[BATCH_QUEUE_MAX];
	size_t n_all;
	struct batch_builder *free[BATCH_QUEUE_MAX];
	size_t n_free;
	struct closed_batch ring[BATCH_QUEUE_MAX];
	size_t head, n_closed;
};

int batch_queue_grow(struct batch_queue *q, size_t n)
{
	if (n > BATCH_QUEUE_MAX)
		return -ENOSPC;
	while (q->n_all < n) {
		struct batch_builder *b;
		int r = batch_builder_new(&b, q->cat, q->samples_max, q->time_unit_ns);

		if (r == 0 && q->dictionary) {
			r = batch_builder_use(b, q->dictionary);
			if (r < 0)
				batch_builder_free(b);
		}
		if (r < 0)
			return r;
		pthread_mutex_lock(&q->lock);
		q->all[q->n_all++] = b;
		q->free[q->n_free++] = b;
		pthread_mutex_unlock(&q->lock);
	}
	return 0;
}

int batch_queue_new(struct batch_queue **ret, const struct catalog *cat,
		    const struct dictionary *dictionary, size_t n, size_t samples_max,
		    uint32_t time_unit_ns)
{
	struct batch_queue *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	pthread_mutex_init(&q->lock, NULL);
	q->cat = cat;
	q->dictionary = dictionary;
	q->samples_max = samples_max;
	q->time_unit_ns = time_unit_ns;
	r = batch_queue_grow(q, n);
	if (r < 0) {
		batch_queue_free(q);
		return r;
	}
	*ret = q;
	return 0;
}

struct batch_queue *batch_queue_free(struct batch_queue *q)
{
	if (!q)
		return NULL;
	for (size_t i = 0; i < q->n_all; i++)
		batch_builder_free(q->all[i]);
	pthread_mutex_destroy(&q->lock);
	free(q);
	return NULL;
}

struct batch_builder *batch_queue_take(struct batch_queue *q)
{
	struct batch_builder *b = NULL;

	pthread_mutex_lock(&q->lock);
	if (q->n_free > 0)
		b = q->free[--q->n_free];
	pthread_mutex_unlock(&q->lock);
	return b;
}

void batch_queue_put(struct batch_queue *q, const struct closed_batch *closed)
{
	pthread_mutex_lock(&q->lock);
	assert(q->n_closed < BATCH_QUEUE_MAX);
	q->ring[(q->head + q->n_closed++) % BATCH_QUEUE_MAX] = *closed;
	pthread_mutex_unlock(&q->lock);
}

bool batch_queue_get(struct batch_queue *q, struct closed_batch *ret)
{
	bool got;

	pthread_mutex_lock(&q->lock);
	got = q->n_closed > 0;
	if (got) {
		*ret = q->ring[q->head];
		q->head = (q->head + 1) % BATCH_QUEUE_MAX;
		q->n_closed--;
	}
	pthread_mutex_unlock(&q->lock);
	return got;
}

void batch_queue_give_back(struct batch_queue *q, struct batch_builder *b)
{
	batch_builder_reset(b);
	pthread_mutex_lock(&q->lock);
	assert(q->n_free < q->n_all);
	q->free[q->n_free++] = b;
	pthread_mutex_unlock(&q->lock);
}

size_t batch_queue_waiting(struct batch_queue *q)
{
	size_t n;

	pthread_mutex_lock(&q->lock);
	n = q->n_closed;
	pthread_mutex_unlock(&q->lock);
	return n;
}
