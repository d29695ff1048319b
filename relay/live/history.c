#include "relay/live/history.h"

#include "relay/live/live.h"
#include "relay/registry/registry.h"
#include "relay/stream/stream.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { POOL_MAX = 16 };

struct history {
	char *path;
	struct registry *reg;
	struct live *live;
	size_t batches_max;
	pthread_mutex_t lock;
	struct stream_reader *pool[POOL_MAX]; /* idle ones */
	size_t n_pool;
};

int history_new(struct history **ret, const char *path, struct registry *reg, struct live *live,
		size_t batches_max)
{
	struct history *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	h->path = strdup(path);
	h->reg = reg;
	h->live = live;
	h->batches_max = batches_max;
	if (!h->path) {
		history_free(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	while (h->n_pool > 0)
		stream_reader_close(h->pool[--h->n_pool]);
	pthread_mutex_destroy(&h->lock);
	free(h->path);
	free(h);
	return NULL;
}

int history_borrow(struct history *h, struct stream_reader **ret)
{
	struct stream_reader *r = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->n_pool > 0)
		r = h->pool[--h->n_pool];
	pthread_mutex_unlock(&h->lock);
	if (!r)
		return stream_reader_open(ret, h->path, NULL);
	*ret = r;
	return 0;
}

void history_return(struct history *h, struct stream_reader *r)
{
	pthread_mutex_lock(&h->lock);
	if (h->n_pool < POOL_MAX) {
		h->pool[h->n_pool++] = r;
		r = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	stream_reader_close(r);
}

/* ---- one query ---- */

struct query {
	struct history *h;
	const struct history_query *q;
	struct history_result *res;
	size_t points_cap;
	size_t batches;
	int64_t shift_ns; /* of the row's times */
	/* The catalog of the last row, and the signal in it. */
	const struct catalog *cat;
	uint64_t cat_id;
	uint32_t signal;
};

static void add_to_bucket(struct history_bucket *b, double value, int64_t wall_ns, int64_t *last_ns)
{
	if (!isfinite(value))
		return;
	if (!b->count || value < b->min)
		b->min = value;
	if (!b->count || value > b->max)
		b->max = value;
	b->count++;
	b->mean += (value - b->mean) / (double)b->count;
	if (wall_ns >= *last_ns) {
		b->last = value;
		*last_ns = wall_ns;
	}
}

/* wall_ns of a bucket holds the time of its last value until the result is finished. */
static void bucket_sample(struct history_result *res, int64_t wall_ns, double value)
{
	size_t i = (size_t)((wall_ns - res->first_ns) / res->bucket_ns);

	if (i >= res->n_buckets)
		i = res->n_buckets - 1;
	add_to_bucket(&res->buckets[i], value, wall_ns, &res->buckets[i].wall_ns);
}

static int start_buckets(struct query *q)
{
	struct history_result *res = q->res;
	int64_t span = res->last_ns - res->first_ns;
	int64_t max = (int64_t)q->q->max_points;

	/* Whole milliseconds, rounded up, so that there are at most max_points. */
	res->bucket_ns = (span / max / NS_PER_MS + 1) * NS_PER_MS;
	res->n_buckets = (size_t)(span / res->bucket_ns) + 1;
	if (res->n_buckets > q->q->max_points)
		res->n_buckets = q->q->max_points;
	res->buckets = calloc(res->n_buckets, sizeof(*res->buckets));
	if (!res->buckets)
		return -ENOMEM;
	for (size_t i = 0; i < res->n_buckets; i++)
		res->buckets[i].wall_ns = INT64_MIN;
	res->n_points = 0;
	q->batches = 0;
	return 0;
}

static int keep_point(struct query *q, int64_t wall_ns, uint64_t raw,
		      const struct catalog_signal *signal)
{
	struct history_result *res = q->res;

	if (res->n_points == q->points_cap) {
		size_t cap = q->points_cap ? q->points_cap * 2 : 256;
		struct history_point *p = realloc(res->points, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		res->points = p;
		q->points_cap = cap;
	}
	res->points[res->n_points++] =
		(struct history_point){.wall_ns = wall_ns, .raw = raw, .signal = signal};
	return 0;
}

static int take_sample(struct query *q, int64_t wall_ns, uint64_t raw,
		       const struct catalog_signal *signal)
{
	struct history_result *res = q->res;

	if (res->buckets) {
		bucket_sample(res, wall_ns, catalog_value(signal, raw));
		return 0;
	}
	if (!res->samples || wall_ns < res->first_ns)
		res->first_ns = wall_ns;
	if (!res->samples || wall_ns > res->last_ns)
		res->last_ns = wall_ns;
	/* Beyond max_points only the extent counts. */
	return ++res->samples <= q->q->max_points ? keep_point(q, wall_ns, raw, signal) : 0;
}

static int take_column(void *ctx, const struct batch_column *col)
{
	struct query *q = ctx;
	const struct catalog_signal *signal = &q->cat->signals[col->signal];
	int r = 0;

	if (col->signal != q->signal)
		return 0;
	for (size_t i = 0; i < col->n && r == 0; i++) {
		int64_t wall;

		/* A body that lies about its bounds may leave what times can be. */
		if (__builtin_add_overflow(col->wall_ns[i], q->shift_ns, &wall))
			continue;
		if (wall >= q->res->from_ns && wall <= q->res->to_ns)
			r = take_sample(q, wall, col->raw[i], signal);
	}
	return r;
}

/* Finds the signal's number in a row's catalog; CATALOG_NONE where it has none such. */
static void use_catalog(struct query *q, uint64_t id)
{
	if (q->cat && q->cat_id == id)
		return;
	q->cat_id = id;
	q->signal = CATALOG_NONE;
	if (registry_get_catalog(q->h->reg, id, &q->cat) < 0)
		q->cat = NULL;
	else if (catalog_find(q->cat, q->q->signal, &q->signal) < 0)
		q->signal = CATALOG_NONE;
}

static int take_row(void *ctx, const struct stream_row *row)
{
	struct query *q = ctx;
	struct envelope e = stream_row_envelope(row);
	struct batch *b;
	int r;

	q->shift_ns = row->shift_ns;
	use_catalog(q, row->catalog);
	if (!q->cat || q->signal == CATALOG_NONE)
		return 0;
	if (q->batches++ >= q->h->batches_max)
		return HISTORY_TOO_MUCH;
	r = batch_read(&b, &e, NULL);
	if (r == 0) {
		r = registry_give_dictionary(q->h->reg, b);
		if (r == 0)
			r = batch_columns(b, q->cat, q->signal, take_column, q, NULL);
		batch_free(b);
	}
	return r == -EBADMSG || r == -ESTALE || r == -ENOENT ? 0 : r;
}

/* ---- the whole ---- */

/* The signal's unit, from the newest catalog that has it. */
static int find_unit(struct history *h, const struct history_query *q, const char **ret)
{
	const struct catalog *cats[LIVE_CATALOGS_MAX];
	size_t n = live_catalogs(h->live, q->vehicle, cats);
	bool found = false;

	for (size_t i = 0; i < n && !found; i++) {
		uint32_t signal;

		if (catalog_find(cats[i], q->signal, &signal) == 0) {
			*ret = cats[i]->signals[signal].unit;
			found = true;
		}
	}
	return found ? 0 : -ENOENT;
}

static int by_time(const void *a, const void *b)
{
	const struct history_point *x = a, *y = b;

	return (x->wall_ns > y->wall_ns) - (x->wall_ns < y->wall_ns);
}

/* Gives buckets their start for a time. */
static void finish(struct history_result *res)
{
	for (size_t i = 0; i < res->n_buckets; i++)
		res->buckets[i].wall_ns = res->first_ns + (int64_t)i * res->bucket_ns;
	if (res->n_points)
		qsort(res->points, res->n_points, sizeof(*res->points), by_time);
}

static int fill_range(struct stream_reader *r, const struct history_query *q,
		      struct history_result *res)
{
	int64_t first = 0, last = 0;
	int e = 0;

	if (!q->has_from || !q->has_to)
		e = stream_reader_bounds(r, q->vehicle, &first, &last);
	if (e < 0 && e != -ENOENT)
		return e;
	res->from_ns = q->has_from ? q->from_ns : first;
	res->to_ns = q->has_to ? q->to_ns : last;
	if (res->to_ns < res->from_ns) {
		/* Nothing is stored on that side of the bound that was given. */
		if (q->has_from)
			res->to_ns = res->from_ns;
		else
			res->from_ns = res->to_ns;
	}
	return 0;
}

static int walk(struct stream_reader *reader, struct query *query)
{
	return stream_reader_range(reader, query->q->vehicle, query->res->from_ns,
				   query->res->to_ns, take_row, query);
}

/* Twice through the data where it takes buckets: their length needs its extent. Decoding again
 * costs time, keeping all of it would cost memory without a bound. */
static int read_all(struct stream_reader *reader, struct query *query)
{
	int r = fill_range(reader, query->q, query->res);

	if (r == 0)
		r = walk(reader, query);
	if (r != 0 || query->res->samples <= query->q->max_points)
		return r;
	r = start_buckets(query);
	return r < 0 ? r : walk(reader, query);
}

static int run(struct history *h, const struct history_query *q, struct history_result *res)
{
	struct query query = {.h = h, .q = q, .res = res, .signal = CATALOG_NONE};
	struct stream_reader *reader;
	int r = history_borrow(h, &reader);

	if (r < 0)
		return r;
	r = stream_reader_begin(reader);
	if (r == 0)
		r = read_all(reader, &query);
	stream_reader_end(reader);
	history_return(h, reader);
	return r;
}

int history_query(struct history *h, const struct history_query *q, struct history_result *ret)
{
	struct history_result res = {0};
	int r = find_unit(h, q, &res.unit);

	assert(q->max_points >= 1 && q->max_points <= HISTORY_POINTS_MAX);
	if (r == 0)
		r = run(h, q, &res);
	if (r != 0) {
		history_result_free(&res);
		return r;
	}
	finish(&res);
	*ret = res;
	return 0;
}

void history_result_free(struct history_result *r)
{
	free(r->points);
	free(r->buckets);
	r->points = NULL;
	r->buckets = NULL;
}
