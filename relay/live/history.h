/* relay/live/history.h: the short history of one signal, decoded from the stored batches when it
 * is asked for.
 *
 * Up to max_points samples come as they are; more come as buckets of equal length, from the first
 * sample found to the last: a range much wider than the data costs no detail. */
#pragma once

#include "base/timebase.h"
#include "proto/catalog.h"

struct history;
struct live;
struct registry;

enum { HISTORY_POINTS_MAX = 10000, HISTORY_TOO_MUCH = 1 };

struct history_query {
	int64_t vehicle;
	const char *signal; /* "bus.message.signal" */
	bool has_from, has_to;
	int64_t from_ns, to_ns; /* inclusive; where absent, the bounds of what is stored */
	size_t max_points;	/* 1 to HISTORY_POINTS_MAX */
};

struct history_point {
	int64_t wall_ns;
	uint64_t raw;
	const struct catalog_signal *signal; /* of the batch's catalog */
};

struct history_bucket {
	int64_t wall_ns; /* its start */
	uint64_t count;	 /* 0: an empty bucket; values that are not finite do not count */
	double min, max, mean, last;
};

struct history_result {
	int64_t from_ns, to_ns;	   /* as asked for */
	int64_t first_ns, last_ns; /* of the samples found, where there are any */
	uint64_t samples;
	const char *unit;
	int64_t bucket_ns;	      /* 0: points, else buckets */
	struct history_point *points; /* ascending by time */
	size_t n_points;
	struct history_bucket *buckets; /* empty ones too */
	size_t n_buckets;
};

/* path: of stream.db. batches_max: most batches one query may decode. */
int history_new(struct history **ret, const char *path, struct registry *reg, struct live *live,
		size_t batches_max) must_check;
struct history *history_free(struct history *h);

/* Any thread. Returns 0; -ENOENT: the vehicle never sent such a signal; HISTORY_TOO_MUCH: narrow
 * the range; -errno. A batch that cannot be decoded is passed over. */
int history_query(struct history *h, const struct history_query *q,
		  struct history_result *ret) must_check;
void history_result_free(struct history_result *r); /* fits cleanup() */

/* A reader of the stream from the pool, for other questions; give it back. */
struct stream_reader;
int history_borrow(struct history *h, struct stream_reader **ret) must_check;
void history_return(struct history *h, struct stream_reader *r);
