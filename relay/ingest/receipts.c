/* Receipts: coalesced, at most one round an interval and device; sooner where many batches wait for
 * one, so that a backlog drains as fast as it is stored. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <string.h>

enum {
	RECEIPT_EXPIRY_S = 600,
	RECEIPT_BYTES_MAX = 8192,
	EARLY_BATCHES = 32, /* that wait for a receipt: the interval does not */
};

static void queue_push(struct ingest *in, struct sender *s)
{
	s->queued = true;
	s->next_queued = NULL;
	*in->queue_end = s;
	in->queue_end = &s->next_queued;
}

/* Sees to it that the sender is told when its interval has passed. */
static void queue_sender(struct ingest *in, struct sender *s)
{
	if (!s->queued)
		queue_push(in, s);
	if (!loop_timer_is_set(&in->receipt_timer))
		loop_timer_in(in->loop, &in->receipt_timer,
			      (in->tuning.receipt_interval_ms / 8 + 1) * NS_PER_MS);
}

void receipt_mark(struct ingest *in, struct lane *l, uint64_t from, uint64_t through)
{
	if (!l->lo || from < l->lo)
		l->lo = from;
	if (through > l->hi)
		l->hi = through;
	l->untold = true;
	l->sender->n_untold++;
	queue_sender(in, l->sender);
}

/* What does not fit is not answered; the sender tries again by itself. */
void receipt_nack(struct ingest *in, struct lane *l, uint64_t seq, enum nack_code code,
		  uint32_t retry_after_s)
{
	if (!l->nacks)
		l->nacks = calloc(RECEIPT_NACKS_MAX, sizeof(*l->nacks));
	if (l->nacks && l->n_nacks < RECEIPT_NACKS_MAX) {
		l->nacks[l->n_nacks++] = (struct receipt_nack){
			.seq = seq, .code = code, .retry_after_s = retry_after_s};
		ingest_count(in, nacks, 1);
	}
	l->untold = true;
	queue_sender(in, l->sender);
}

void receipt_unknown_context(struct ingest *in, struct sender *s, enum uplink_class class,
			     uint32_t id)
{
	s->unknown_context[class] = id;
	queue_sender(in, s);
}

static int publish(struct ingest *in, const struct sender *s, const struct receipt *r)
{
	char topic[TOPIC_MAX];
	struct mqtt_publish p = {.topic = topic, .qos = 1, .expiry_s = RECEIPT_EXPIRY_S};
	int e;

	buf_clear(&in->scratch);
	e = receipt_encode(r, &in->scratch);
	if (e < 0)
		return e;
	topic_format_receipt(s->vehicle, s->device, topic);
	p.payload = in->scratch.data;
	p.len = in->scratch.len;
	return mqtt_publish(in->mqtt, &p);
}

static void lane_told(struct lane *l)
{
	l->untold = false;
	l->lo = l->hi = 0;
	free(l->nacks);
	l->nacks = NULL;
	l->n_nacks = 0;
	l->context = 0;
}

/* One receipt, or more where the gaps do not fit into one. */
static int tell_lane(struct ingest *in, struct lane *l)
{
	struct receipt r = {
		.epoch = l->epoch, .class = l->class, .n_nacks = l->n_nacks, .context = l->context};
	uint64_t from = l->lo;
	int e = l->stale ? lane_reload(in, l) : 0;

	if (e < 0)
		return e;
	if (l->n_nacks)
		memcpy(r.nacks, l->nacks, l->n_nacks * sizeof(*r.nacks));
	do {
		from = window_describe(&l->window, from, l->hi, &r);
		e = publish(in, l->sender, &r);
		if (e < 0)
			return e;
		r.n_nacks = 0;
		ingest_count(in, receipts, 1);
	} while (from);
	lane_told(l);
	return 0;
}

static int tell_unknown_context(struct ingest *in, struct sender *s, enum uplink_class class)
{
	struct receipt r = {.class = class, .unknown_context = s->unknown_context[class]};
	int e = r.unknown_context ? publish(in, s, &r) : 0;

	if (e == 0)
		s->unknown_context[class] = 0;
	return e;
}

static int tell_sender(struct ingest *in, struct sender *s)
{
	int e = 0;

	for (unsigned k = 0; k < CLASS_COUNT && e == 0; k++)
		e = tell_unknown_context(in, s, (enum uplink_class)k);
	for (struct lane *l = s->lanes; l && e == 0; l = l->next) {
		if (l->untold)
			e = tell_lane(in, l);
	}
	return e;
}

static bool is_due(const struct ingest *in, const struct sender *s, struct mono_time now)
{
	return !s->told.ns || s->n_untold >= EARLY_BATCHES ||
	       now.ns - s->told.ns >= in->tuning.receipt_interval_ms * NS_PER_MS;
}

/* Without a connection, or with too many in flight, it stays queued. */
static bool tell(struct ingest *in, struct sender *s, struct mono_time now, bool all)
{
	int e;

	if (!all && !is_due(in, s, now))
		return false;
	e = tell_sender(in, s);
	if (e < 0) {
		ingest_count(in, receipts_failed, 1);
		if (e != -ENOTCONN && e != -EAGAIN)
			log_warn("receipt_failed", "vehicle=%s device=%s error=\"%s\"", s->vehicle,
				 s->device, strerror(-e));
		return false;
	}
	s->told = now;
	s->n_untold = 0;
	s->receipt_ns = timebase_wall(in->opt.tb).ns;
	return true;
}

void receipts_flush(struct ingest *in, bool all)
{
	struct sender *s = in->queue;
	struct mono_time now = timebase_mono(in->opt.tb);

	if (!s || !mqtt_is_connected(in->mqtt))
		return;
	in->queue = NULL;
	in->queue_end = &in->queue;
	while (s) {
		struct sender *next = s->next_queued;

		s->queued = false;
		if (!tell(in, s, now, all))
			queue_sender(in, s);
		s = next;
	}
}
