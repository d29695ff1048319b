/* Rows of an outbox that are no batches: gaps and clocks. Stored and acknowledged like these. */
#include "relay/ingest/internal.h"

#include "base/log.h"
#include "proto/clock.h"
#include "proto/gap.h"

#include <inttypes.h>
#include <string.h>

#define GAP_SEQS_MAX ((uint64_t)1 << 48)

static struct pending pending_of(const struct incoming *msg, enum pending_kind kind)
{
	return (struct pending){
		.kind = kind,
		.lane = msg->lane,
		.seq = msg->envelope.seq,
		.through = msg->envelope.seq,
		.received = msg->received,
		.at = msg->at,
	};
}

/* ---- gaps ---- */

static bool decode_gap(struct ingest *in, struct incoming *msg, uint64_t from, struct gap *ret)
{
	struct error err = {0};

	if (gap_decode(ret, from, msg->envelope.body, msg->envelope.body_len, &err) < 0) {
		refuse_invalid(in, msg, err.text);
		return false;
	}
	if (ret->through - from >= GAP_SEQS_MAX) {
		error_set(&err, "gap: from %" PRIu64 " through %" PRIu64 " is no gap of an outbox",
			  from, ret->through);
		refuse_invalid(in, msg, err.text);
		return false;
	}
	return true;
}

/* Of the range that is named, in the open transaction. Returns 0, STREAM_GAP_KNOWN or -errno. */
static int record(struct ingest *in, struct lane *l, struct stream_gap *g)
{
	int e = window_missing(&l->window, g->from, g->through, &g->missing);

	if (e == 0)
		e = lane_add(in, l, g->from, g->through);
	if (e == 0)
		e = stream_add_gap(in->stream, g);
	if (e == 0)
		l->gaps = true;
	return e;
}

static int write_gap(struct ingest *in, struct incoming *msg, struct stream_gap *g,
		     struct pending *p)
{
	int e = txn_begin(in), own = 0;

	if (e == 0)
		e = record(in, msg->origin ? msg->origin : msg->lane, g);
	if (e >= 0 && msg->origin)
		own = lane_add(in, msg->lane, p->seq, p->seq);
	if (own < 0)
		return own;
	if (e == 0) {
		p->reason = g->reason;
		p->missing = g->seqs;
	}
	return e;
}

static void log_gap(const struct incoming *msg, const struct stream_gap *g)
{
	log_info("gap_told",
		 "vehicle=%s device=%s class=%s epoch=%016" PRIx64 " from=%" PRIu64
		 " through=%" PRIu64 " reason=%s batches=%" PRIu64 " samples=%" PRIu64,
		 msg->topic.vehicle, msg->topic.device, class_name(g->class), g->epoch, g->from,
		 g->through, stream_gap_reason_name(g->reason), g->batches, g->samples);
}

/* Only a new name of it is new where it was told before, in an older outbox. */
static void note_gap(struct ingest *in, struct incoming *msg, const struct stream_gap *g,
		     struct pending *p, int recorded)
{
	if (recorded == 0) {
		log_gap(msg, g);
		return;
	}
	p->kind = PENDING_KNOWN;
	lane_count_duplicate(in, msg->lane);
}

static void store_gap(struct ingest *in, struct incoming *msg, struct stream_gap *g)
{
	struct pending p = pending_of(msg, PENDING_GAP);
	int e;

	p.first_value = in->values.n;
	if (!msg->origin)
		p.through = g->through;
	if (!lane_fits(in, msg->lane, p.seq, p.through) ||
	    (msg->origin && !lane_fits(in, msg->origin, g->from, g->through))) {
		refuse_busy(in, msg);
		return;
	}
	e = write_gap(in, msg, g, &p);
	if (e < 0) {
		ingest_abort(in, e);
		refuse_busy(in, msg);
	} else if (e == STREAM_GAP_KNOWN && !msg->origin) {
		accept_known(in, msg, g->through);
	} else {
		note_gap(in, msg, g, &p, e);
		pending_add(in, &p);
	}
}

void accept_gap(struct ingest *in, struct incoming *msg)
{
	const struct envelope *e = &msg->envelope;
	uint64_t from = msg->origin ? e->origin_seq : e->seq;
	struct gap told;

	if (!decode_gap(in, msg, from, &told))
		return;
	struct stream_gap g cleanup(stream_gap_free) = {
		.vehicle = msg->lane->sender->vehicle_key,
		.device = msg->lane->sender->device_key,
		.epoch = msg->origin ? e->origin_epoch : e->epoch,
		.class = msg->topic.class,
		.from = from,
		.through = told.through,
		.reason = told.reason,
		.batches = told.batches,
		.samples = told.samples,
		.first_ns = told.first_ns,
		.last_ns = told.last_ns,
		.received = msg->received,
	};

	store_gap(in, msg, &g);
}

/* ---- clocks ---- */

static int write_clock(struct ingest *in, struct incoming *msg, const struct stream_clock *c,
		       struct pending *p)
{
	struct sender *s = msg->lane->sender;
	struct stream_clock known;
	int e = txn_begin(in), found = 0;

	if (e == 0)
		found = stream_get_clock(in->stream, s->device_key, c->boot, &known);
	if (found < 0)
		return found;
	/* The vehicle says it of its own accord: it knows better than what a batch has taught. */
	if (e == 0 && c->quality > CLOCK_UNKNOWN && (!found || c->quality >= known.quality)) {
		e = clock_learn(in, s, c);
		p->learnt = *c;
	}
	return e < 0 ? e : lane_take(in, msg->lane, p->seq, &p->late);
}

void accept_clock(struct ingest *in, struct incoming *msg)
{
	struct pending p = pending_of(msg, PENDING_CLOCK);
	struct clock_notice n;
	struct stream_clock c;
	struct error err = {0};
	int e;

	if (clock_notice_decode(&n, msg->envelope.body, msg->envelope.body_len, &err) < 0) {
		refuse_invalid(in, msg, err.text);
		return;
	}
	c = (struct stream_clock){n.boot_id, n.wall_ns - n.mono_ns, n.quality};
	p.first_value = in->values.n;
	if (!lane_fits(in, msg->lane, p.seq, p.seq)) {
		refuse_busy(in, msg);
		return;
	}
	e = write_clock(in, msg, &c, &p);
	if (e < 0) {
		ingest_abort(in, e);
		refuse_busy(in, msg);
	} else {
		pending_add(in, &p);
	}
}
