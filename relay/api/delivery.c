/* How delivery of one device stands: stored, in flight, awaited, gaps, duplicates. */
#include "relay/api/internal.h"

#include "relay/ingest/ingest.h"
#include "relay/live/history.h"
#include "relay/registry/registry.h"
#include "relay/stream/report.h"

#include <inttypes.h>
#include <stdio.h>

/* Most of each list that an answer holds; the newest are in it. */
enum { LANES_LISTED = 100, RANGES_LISTED = 32, GAPS_LISTED = 100, CLOCKS_LISTED = 20 };

struct delivery {
	json_t *lanes, *gaps, *clocks;
	json_t *by_lane; /* "epoch/class" -> the lane's object, borrowed by lanes */
};

static json_t *json_hex(uint64_t v)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, v);
	return json_string(text);
}

/* null: of an outbox that is gone, whatever there may have been. */
static json_t *json_through(uint64_t seq)
{
	return seq == GAP_OPEN ? json_null() : json_unsigned(seq);
}

static json_t *json_time_or_null(int64_t ns)
{
	return ns ? json_time(ns) : json_null();
}

/* ---- lanes ---- */

static json_t *json_range(uint64_t from, uint64_t through)
{
	return json_pack("{s:o, s:o}", "from", json_unsigned(from), "through",
			 json_unsigned(through));
}

/* What is missing below the highest seq there is, the lowest first. */
static json_t *json_awaited(const struct window *w)
{
	json_t *ranges = json_array();
	uint64_t at = w->through, seqs = 0;

	for (size_t i = 0; i < w->n; i++) {
		seqs += w->ranges[i].from - at - 1;
		if (i < RANGES_LISTED)
			json_array_append_new(ranges, json_range(at + 1, w->ranges[i].from - 1));
		at = w->ranges[i].to;
	}
	return json_pack("{s:o, s:I, s:o}", "seqs", json_unsigned(seqs), "holes", (json_int_t)w->n,
			 "ranges", ranges);
}

enum { LANE_KEY = 40 };

static void lane_key(uint64_t epoch, enum uplink_class class, char key[static LANE_KEY])
{
	snprintf(key, LANE_KEY, "%016" PRIx64 "/%d", epoch, (int)class);
}

static int add_lane(void *ctx, const struct report_lane *l)
{
	struct delivery *d = ctx;
	char key[LANE_KEY];
	json_t *o = json_pack(
		"{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:[], s:o}", "epoch", json_hex(l->epoch),
		"class", class_name(l->class), "stored_through", json_through(l->window->through),
		"batches", json_unsigned(l->counts.batches), "samples",
		json_unsigned(l->counts.samples), "duplicates", json_unsigned(l->counts.duplicates),
		"awaited", json_awaited(l->window), "gaps", "updated", json_time(l->updated.ns));

	lane_key(l->epoch, l->class, key);
	if (json_object_set(d->by_lane, key, o) < 0 || json_array_append_new(d->lanes, o) < 0)
		return -ENOMEM;
	return 0;
}

static int add_total(void *ctx, const struct report_gaps *g)
{
	struct delivery *d = ctx;
	char key[LANE_KEY];
	json_t *lane;

	lane_key(g->epoch, g->class, key);
	lane = json_object_get(d->by_lane, key);
	if (!lane) /* of a window that is not listed */
		return 0;
	json_array_append_new(
		json_object_get(lane, "gaps"),
		json_pack("{s:s, s:o, s:o, s:o, s:o}", "reason", stream_gap_reason_name(g->reason),
			  "gaps", json_unsigned(g->gaps), "seqs", json_unsigned(g->seqs), "batches",
			  json_unsigned(g->batches), "samples", json_unsigned(g->samples)));
	return 0;
}

/* ---- gaps and clocks ---- */

static int add_gap(void *ctx, const struct stream_gap *g)
{
	struct delivery *d = ctx;
	bool timed = g->first_ns || g->last_ns;

	json_array_append_new(
		d->gaps,
		json_pack("{s:o, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "epoch",
			  json_hex(g->epoch), "class", class_name(g->class), "from",
			  json_unsigned(g->from), "through", json_through(g->through), "reason",
			  stream_gap_reason_name(g->reason), "seqs", json_unsigned(g->seqs),
			  "batches", json_unsigned(g->batches), "samples",
			  json_unsigned(g->samples), "first",
			  timed ? json_time(g->first_ns) : json_null(), "last",
			  timed ? json_time(g->last_ns) : json_null(), "received",
			  json_time(g->received.ns)));
	return 0;
}

static const char *quality_name(enum clock_quality q)
{
	switch (q) {
	case CLOCK_SYNCED:
		return "synced";
	case CLOCK_FREE_RUNNING:
		return "free_running";
	case CLOCK_UNKNOWN:
	default:
		return "unknown";
	}
}

static int add_clock(void *ctx, const struct report_clock *c)
{
	struct delivery *d = ctx;

	json_array_append_new(
		d->clocks,
		json_pack("{s:o, s:o, s:s, s:o, s:b}", "boot", json_hex(c->clock.boot), "started",
			  json_time(c->clock.clock_ns), "quality", quality_name(c->clock.quality),
			  "updated", json_time(c->updated.ns), "repairing", c->repairing));
	return 0;
}

/* ---- the whole ---- */

static int read_all(struct stream_reader *r, int64_t device, struct delivery *d,
		    struct stream_device *stats)
{
	int e = stream_reader_begin(r);

	if (e == 0)
		e = stream_reader_device(r, device, stats);
	if (e == 0)
		e = report_each_lane(r, device, LANES_LISTED, add_lane, d);
	if (e == 0)
		e = report_each_total(r, device, add_total, d);
	if (e == 0)
		e = report_each_gap(r, device, GAPS_LISTED, add_gap, d);
	if (e == 0)
		e = report_each_clock(r, device, CLOCKS_LISTED, add_clock, d);
	stream_reader_end(r);
	return e;
}

static json_t *json_in_flight(const struct ingest_device *d)
{
	json_t *o = json_object();

	for (unsigned c = 0; c < CLASS_COUNT; c++)
		json_object_set_new(o, class_name((enum uplink_class)c),
				    json_unsigned(d->in_flight[c]));
	return o;
}

static json_t *delivery_json(const struct request *rq, int64_t device, struct delivery *d,
			     const struct stream_device *stats)
{
	struct ingest_device now = {0};

	(void)ingest_get_device(rq->api->opt.ingest, device, &now);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:O, s:O, s:O}", "vehicle", rq->params[0],
			 "device", rq->params[1], "last_seen",
			 json_time_or_null(stats->last_seen_ns), "last_receipt",
			 json_time_or_null(now.receipt.ns), "in_flight", json_in_flight(&now),
			 "lanes", d->lanes, "gaps", d->gaps, "clocks", d->clocks);
}

static enum MHD_Result reply_delivery(struct request *rq, int64_t device, struct delivery *d)
{
	struct stream_device stats = {0};
	struct stream_reader *reader;
	int e = history_borrow(rq->api->opt.history, &reader);

	if (e < 0)
		return reply_errno(rq, e);
	e = read_all(reader, device, d, &stats);
	history_return(rq->api->opt.history, reader);
	return e < 0 ? reply_errno(rq, e)
		     : reply_json(rq, 200, delivery_json(rq, device, d, &stats));
}

enum MHD_Result handle_delivery(struct request *rq)
{
	struct delivery d;
	struct registry_ids ids;
	enum MHD_Result ret;
	int64_t vehicle;

	if (!request_vehicle(rq, &vehicle))
		return MHD_YES;
	if (registry_find(rq->api->opt.registry, rq->params[0], rq->params[1], &ids) < 0)
		return reply_problem(rq, 404, "The vehicle %.64s has no device %.64s.",
				     rq->params[0], rq->params[1]);
	d = (struct delivery){json_array(), json_array(), json_array(), json_object()};
	ret = reply_delivery(rq, ids.device, &d);
	json_decref(d.by_lane);
	json_decref(d.lanes);
	json_decref(d.gaps);
	json_decref(d.clocks);
	return ret;
}
