/* What vehicles said: last-known state, and the short history of one signal. */
#include "relay/api/internal.h"

#include "relay/live/history.h"
#include "relay/live/live.h"
#include "relay/registry/registry.h"

#include <stdio.h>
#include <string.h>

enum { POINTS_DEFAULT = 500, SIGNAL_TEXT_MAX = 1024 };

/* ---- state ---- */

/* One value a name: the same signal may be in several catalogs of a vehicle. */
struct pick {
	const struct catalog *cat;
	const struct live_value *v;
};

struct picks {
	struct pick *p;
	size_t n;
	json_t *by_name; /* name -> place in p */
	const char *prefix;
	int64_t limit_ns; /* times beyond are those of a wrong clock */
};

/* A value of a wrong clock must not hide what came with another catalog. */
static bool is_newer(const struct picks *ps, const struct live_value *a, const struct live_value *b)
{
	bool same_boot = a->boot && a->boot == b->boot;

	if (!same_boot && (a->order_ns > ps->limit_ns) != (b->order_ns > ps->limit_ns))
		return b->order_ns > ps->limit_ns;
	return live_is_newer(a, b, INT64_MAX);
}

static int pick_value(struct picks *ps, const struct catalog *cat, const struct live_value *v)
{
	char name[SIGNAL_TEXT_MAX];
	const json_t *old;
	struct pick *p;

	catalog_path(cat, v->signal, name, sizeof(name));
	if (strncmp(name, ps->prefix, strlen(ps->prefix)) != 0)
		return 0;
	old = json_object_get(ps->by_name, name);
	p = &ps->p[old ? (size_t)json_integer_value(old) : ps->n];
	if (!old && json_object_set_new(ps->by_name, name, json_integer((json_int_t)ps->n++)))
		return -ENOMEM;
	if (!old || is_newer(ps, v, p->v))
		*p = (struct pick){.cat = cat, .v = v};
	return 0;
}

static int pick_all(struct picks *ps, const struct live_snapshot *s)
{
	size_t most = 1;
	int e = 0;

	for (size_t i = 0; i < s->n; i++)
		most += s->slot[i].n;
	ps->p = calloc(most, sizeof(*ps->p));
	ps->by_name = json_object();
	if (!ps->p || !ps->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = 0; j < s->slot[i].n && e == 0; j++)
			e = pick_value(ps, s->slot[i].cat, &s->slot[i].v[j]);
	}
	return e;
}

/* NULL without memory. */
static json_t *snapshot_json(const struct api *a, const struct live_snapshot *s, const char *prefix)
{
	struct picks ps = {.prefix = prefix,
			   .limit_ns = timebase_wall(a->opt.tb).ns + LIVE_FUTURE_MAX_S * NS_PER_S};
	json_t *array = pick_all(&ps, s) == 0 ? json_array() : NULL;

	for (size_t i = 0; array && i < ps.n; i++)
		json_array_append_new(array, json_signal(ps.p[i].cat, ps.p[i].v, true));
	json_decref(ps.by_name);
	free(ps.p);
	return array;
}

enum MHD_Result handle_state(struct request *rq)
{
	struct live_snapshot s cleanup(live_snapshot_free) = {0};
	const char *prefix = query_text(rq, "prefix");
	json_t *signals;
	int64_t vehicle;
	int e;

	if (!request_vehicle(rq, &vehicle))
		return MHD_YES;
	e = live_get(rq->api->opt.live, vehicle, &s);
	if (e < 0 && e != -ENOENT)
		return reply_errno(rq, e);
	signals = snapshot_json(rq->api, &s, prefix ? prefix : "");
	if (!signals)
		return reply_errno(rq, -ENOMEM);
	return reply_json(rq, 200,
			  json_pack("{s:s, s:o}", "vehicle", rq->params[0], "signals", signals));
}

/* ---- history ---- */

static json_t *points_json(const struct history_result *res)
{
	json_t *array = json_array();

	for (size_t i = 0; i < res->n_points; i++) {
		const struct history_point *p = &res->points[i];
		json_t *o = json_pack("{s:o}", "time", json_time(p->wall_ns));

		(void)!json_set_value(o, p->signal, p->raw);
		json_array_append_new(array, o);
	}
	return array;
}

static json_t *buckets_json(const struct history_result *res)
{
	json_t *array = json_array();

	for (size_t i = 0; i < res->n_buckets; i++) {
		const struct history_bucket *b = &res->buckets[i];

		if (!b->count)
			continue;
		json_array_append_new(
			array,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "time", json_time(b->wall_ns),
				  "count", json_unsigned(b->count), "min", json_number(b->min),
				  "max", json_number(b->max), "mean", json_number(b->mean), "last",
				  json_number(b->last)));
	}
	return array;
}

static json_t *history_json(const struct request *rq, const struct history_result *res)
{
	json_t *bucket = res->bucket_ns ? json_integer(res->bucket_ns / NS_PER_MS) : json_null();
	json_t *points = res->bucket_ns ? buckets_json(res) : points_json(res);

	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "vehicle", rq->params[0],
			 "signal", rq->params[1], "unit", res->unit, "from",
			 json_time(res->from_ns), "to", json_time(res->to_ns), "samples",
			 json_unsigned(res->samples), "bucket_ms", bucket, "points", points);
}

/* False: 400 is queued. */
static bool history_params(struct request *rq, struct history_query *q)
{
	int64_t points = POINTS_DEFAULT;
	int from = query_time(rq, "from", &q->from_ns);
	int to = from < 0 ? from : query_time(rq, "to", &q->to_ns);

	if (to < 0 || query_int(rq, "max_points", 1, HISTORY_POINTS_MAX, &points) < 0)
		return false;
	q->has_from = from == 1;
	q->has_to = to == 1;
	q->max_points = (size_t)points;
	if (q->has_from && q->has_to && q->to_ns < q->from_ns) {
		(void)!reply_problem(rq, 400, "to: must not be before from.");
		return false;
	}
	return true;
}

enum MHD_Result handle_history(struct request *rq)
{
	struct history_query q = {.signal = rq->params[1]};
	struct history_result res cleanup(history_result_free) = {0};
	int e;

	if (!request_vehicle(rq, &q.vehicle) || !history_params(rq, &q))
		return MHD_YES;
	e = history_query(rq->api->opt.history, &q, &res);
	if (e == -ENOENT)
		return reply_problem(rq, 404, "The vehicle has sent no signal %.200s.",
				     rq->params[1]);
	if (e == HISTORY_TOO_MUCH)
		return reply_problem(rq, 400, "from: the range holds too many batches; narrow it.");
	return e < 0 ? reply_errno(rq, e) : reply_json(rq, 200, history_json(rq, &res));
}
