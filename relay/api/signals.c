/* What vehicles said: last-known state, and the short history of one signal. */
#include "relay/api/internal.h"

#include "relay/live/history.h"
#include "relay/live/live.h"
#include "relay/registry/registry.h"

#include <stdio.h>
#include <string.h>

enum { POINTS_DEFAULT = 500 };

/* ---- state ---- */

/* The same signal may be in several catalogs of a vehicle: the newest value is shown. */
static int add_signal(json_t *by_name, const struct catalog *cat, const struct live_value *v,
		      const char *prefix)
{
	json_t *o = json_signal(cat, v, true);
	const char *name = json_string_value(json_object_get(o, "signal"));
	const json_t *old;

	if (!name)
		return -ENOMEM;
	old = json_object_get(by_name, name);
	if (strncmp(name, prefix, strlen(prefix)) != 0 ||
	    (old && strcmp(json_string_value(json_object_get(old, "time")),
			   json_string_value(json_object_get(o, "time"))) > 0)) {
		json_decref(o);
		return 0;
	}
	return json_object_set_new(by_name, name, o) ? -ENOMEM : 0;
}

static json_t *snapshot_json(const struct live_snapshot *s, const char *prefix)
{
	json_t *by_name = json_object(), *array = json_array(), *o;
	const char *name;

	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = 0; j < s->slot[i].n; j++)
			(void)!add_signal(by_name, s->slot[i].cat, &s->slot[i].v[j], prefix);
	}
	json_object_foreach(by_name, name, o) json_array_append(array, o);
	json_decref(by_name);
	return array;
}

enum MHD_Result handle_state(struct request *rq)
{
	struct live_snapshot s cleanup(live_snapshot_free) = {0};
	const char *prefix = query_text(rq, "prefix");
	int64_t vehicle;
	int e;

	if (!request_vehicle(rq, &vehicle))
		return MHD_YES;
	e = live_get(rq->api->opt.live, vehicle, &s);
	if (e < 0 && e != -ENOENT)
		return reply_errno(rq, e);
	return reply_json(rq, 200,
			  json_pack("{s:s, s:o}", "vehicle", rq->params[0], "signals",
				    snapshot_json(&s, prefix ? prefix : "")));
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
