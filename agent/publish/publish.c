#include "agent/publish/publish.h"

#include "agent/health/limit.h"
#include "agent/publish/flight.h"
#include "agent/store/totals.h"
#include "base/log.h"
#include "proto/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	SEQ_BITS = 48,
	ENVELOPE_BYTES_MAX = 9 << 20,
	BUFFER_KEPT_MAX = 256 << 10, /* what a large batch needed beyond is given back */
	RETRY_MS = 1000,
	SUBSCRIBE_RETRY_S = 30,
	REASON_ERROR = 0x80,
};

struct publish {
	struct publish_options opt;
	struct loop *loop;
	struct store *store;
	struct counters *counters;
	struct mqtt *mqtt;
	struct flight *flight;
	struct loop_timer timer;
	struct loop_timer resubscribe;
	struct schedule schedule;
	unsigned empty; /* bit 1 << lane: nothing more is in the outbox for it */
	bool ready;	/* connected, and receipts are subscribed to */
	struct limit refusals, bad_receipts, foreign_receipts;
	struct buf envelope;
	/* Receipts for anything above are nonsense: it was never sent. */
	uint64_t sent[CLASS_COUNT];
	char vehicle[ID_MAX + 1], device[ID_MAX + 1];
	char topics[CLASS_COUNT][TOPIC_MAX];
	char receipt_topic[TOPIC_MAX];
};

static struct mono_time now(const struct publish *p)
{
	return timebase_mono(p->opt.tb);
}

static void show(struct publish *p)
{
	struct mqtt_stats stats;

	store_show_totals(p->store, p->counters);
	counter_set(&p->counters->in_flight, flight_rows(p->flight));
	mqtt_get_stats(p->mqtt, &stats);
	counter_set(&p->counters->bytes_published, stats.published_bytes);
	counter_set(&p->counters->connects, stats.connects);
	counter_set(&p->counters->connect_failures, stats.failed_attempts);
}

static void read_last(const struct publish *p, uint64_t ret[static CLASS_COUNT])
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		ret[k] = store_last_seq(p->store, (enum uplink_class)k);
}

static void begin_anew(struct publish *p)
{
	uint64_t last[CLASS_COUNT];

	read_last(p, last);
	flight_reset(p->flight, last);
	schedule_reset(&p->schedule);
	p->empty = 0;
}

/* ---- sending ---- */

static uint64_t make_cookie(enum uplink_class class, uint64_t seq)
{
	return (uint64_t) class << SEQ_BITS | seq;
}

static int hand_to_mqtt(struct publish *p, const struct store_row *row)
{
	int r;

	buf_clear(&p->envelope);
	r = envelope_encode(&(struct envelope){.epoch = store_epoch(p->store),
					       .seq = row->seq,
					       .encoding = row->encoding,
					       .body = row->body,
					       .body_len = row->body_len,
					       .origin_epoch = row->origin_epoch,
					       .origin_seq = row->origin_seq},
			    &p->envelope);
	if (r < 0)
		return r;
	return mqtt_publish(p->mqtt, &(struct mqtt_publish){
					     .topic = p->topics[row->class],
					     .payload = p->envelope.data,
					     .len = p->envelope.len,
					     .qos = 1,
					     .use_alias = true,
					     .cookie = make_cookie(row->class, row->seq),
				     });
}

/* Nothing but a damaged outbox is beyond another try. */
static void report_store(struct publish *p, const char *event, enum uplink_class class, int r)
{
	log_error(event, "class=%s what=%s", class_name(class), strerror(-r));
	if (r == -EBADMSG)
		p->opt.corrupt(p->opt.ctx);
}

static void set_aside(struct publish *p, enum uplink_class class, uint64_t seq,
		      enum gap_reason reason)
{
	struct store_count count;
	int r = store_quarantine(p->store, class, seq, reason, &count);

	if (r < 0) {
		report_store(p, "quarantine_failed", class, r);
		return;
	}
	flight_remove(p->flight, class, seq, seq);
	if (count.rows == 0)
		return;
	counter_add(&p->counters->batches_quarantined, count.rows);
	counter_add(&p->counters->samples_quarantined, count.samples);
	log_error("batch_quarantined", "class=%s seq=%" PRIu64 " samples=%" PRIu64 " reason=%s",
		  class_name(class), seq, count.samples, gap_reason_name(reason));
}

/* Returns 0, or -errno when nothing can be sent now. */
static int send_row(struct publish *p, unsigned lane, const struct store_row *row)
{
	bool again = flight_holds(p->flight, row->class, row->seq);
	int r = hand_to_mqtt(p, row);

	if (r == -EMSGSIZE || r == -EINVAL) {
		set_aside(p, row->class, row->seq, GAP_TOO_LARGE);
		return 0;
	}
	if (r < 0)
		return r;
	if (row->through > p->sent[row->class])
		p->sent[row->class] = row->through;
	flight_sent(p->flight,
		    &(struct flight_row){.lane = lane,
					 .seq = row->seq,
					 .through = row->through,
					 .bytes = p->envelope.len},
		    now(p));
	schedule_sent(&p->schedule, lane, p->envelope.len);
	counter_add(&p->counters->batches_published, 1);
	if (again)
		counter_add(&p->counters->batches_resent, 1);
	return 0;
}

static int send_again(struct publish *p, unsigned lane, uint64_t seq)
{
	enum uplink_class class = lane_class(lane);
	struct store_row row;
	int r = store_next(p->store, class, seq - 1, &row);

	if (r < 0)
		return r;
	if (r == 0 || row.seq != seq) { /* gone from the outbox */
		flight_remove(p->flight, class, seq, seq);
		return 0;
	}
	return send_row(p, lane, &row);
}

static int send_next(struct publish *p, unsigned lane)
{
	struct flight_span span = flight_span(p->flight, lane);
	struct store_row row;
	int r = store_next(p->store, lane_class(lane), span.from, &row);

	if (r < 0)
		return r;
	if (r == 0 || row.seq > span.to) {
		p->empty |= 1u << lane;
		return 0;
	}
	if (flight_holds(p->flight, row.class, row.seq)) { /* it was sent while it was new */
		flight_pass(p->flight, lane, row.seq);
		return 0;
	}
	r = send_row(p, lane, &row);
	if (r == 0)
		flight_pass(p->flight, lane, row.seq);
	return r;
}

/* Lanes that may send now, if they have something; due: those that have something to send again. */
static unsigned ready_lanes(struct publish *p, unsigned due)
{
	unsigned ready = 0;

	for (unsigned lane = 0; lane < LANES; lane++) {
		enum uplink_class class = lane_class(lane);
		bool has = !(p->empty & 1u << lane) && flight_admits(p->flight, class);

		if ((has || due & 1u << lane) && flight_wire_admits(p->flight, class, now(p)))
			ready |= 1u << lane;
	}
	return ready;
}

static int send_all(struct publish *p)
{
	for (;;) {
		uint64_t seqs[LANES];
		unsigned due = flight_due(p->flight, now(p), seqs);
		unsigned lane = schedule_pick(&p->schedule, ready_lanes(p, due));
		int r;

		if (lane == LANE_NONE)
			return 0;
		r = due & 1u << lane ? send_again(p, lane, seqs[lane]) : send_next(p, lane);
		if (r < 0)
			return r;
	}
}

/* failure: why the pump stopped, 0: it sent what the window admits. */
static void set_timer(struct publish *p, int failure)
{
	struct mono_time due = {now(p).ns + RETRY_MS * NS_PER_MS};

	if (failure == 0 && !flight_next_due(p->flight, &due))
		return;
	if (loop_timer_at(p->loop, &p->timer, due) < 0)
		log_error("publish_failed", "what=no memory for a timer");
}

/* Gaps appear where rows were dropped, so also where the lanes have passed. */
static void look_back(struct publish *p)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		uint64_t seq = store_new_gap(p->store, (enum uplink_class)k);

		if (seq == 0)
			continue;
		flight_rewind(p->flight, (enum uplink_class)k, seq);
		p->empty = 0;
	}
}

static void pump(struct publish *p)
{
	int r;

	if (!p->ready)
		return;
	look_back(p);
	r = send_all(p);
	store_release(p->store);
	if (p->envelope.cap > BUFFER_KEPT_MAX)
		buf_free(&p->envelope);
	if (r < 0 && r != -EAGAIN && r != -ENOTCONN)
		log_error("publish_failed", "what=%s retry_ms=%d", strerror(-r), RETRY_MS);
	if (r == -EBADMSG)
		p->opt.corrupt(p->opt.ctx);
	set_timer(p, r);
	show(p);
}

static void on_timer(struct loop_timer *t)
{
	pump(t->ctx);
}

void publish_kick(struct publish *p)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		p->empty &= ~(1u << lane_of((enum uplink_class)k, true));
	pump(p);
}

/* ---- receipts ---- */

/* Cuts what was never sent off a range. Returns false where nothing is left. */
static bool clamp_range(struct publish *p, enum uplink_class class, struct receipt_range *range)
{
	if (range->to > p->sent[class]) {
		counter_add(&p->counters->receipts_bad, 1);
		if (limit_pass(&p->bad_receipts, "receipt_bad", now(p)))
			log_warn("receipt_bad", "class=%s through=%" PRIu64 " sent=%" PRIu64,
				 class_name(class), range->to, p->sent[class]);
		range->to = p->sent[class];
	}
	return range->from <= range->to;
}

static void take_acks(struct publish *p, const struct receipt *r)
{
	struct receipt_range ranges[RECEIPT_RANGES_MAX + 1];
	struct store_count count;
	size_t n = 0;
	int e;

	ranges[0] = (struct receipt_range){1, r->acked_through};
	if (r->acked_through > 0 && clamp_range(p, r->class, &ranges[0]))
		n++;
	for (size_t i = 0; i < r->n_ranges; i++) {
		ranges[n] = r->ranges[i];
		n += clamp_range(p, r->class, &ranges[n]);
	}
	if (n == 0)
		return;
	e = store_ack(p->store, r->class, ranges, n, &count);
	if (e < 0) { /* sent again when the receipt is overdue, and then deleted */
		report_store(p, "outbox_delete_failed", r->class, e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		flight_acked(p->flight, r->class, ranges[i].from, ranges[i].to, now(p));
	counter_add(&p->counters->batches_acked, count.rows);
	counter_add(&p->counters->samples_acked, count.samples);
}

static void purge(struct publish *p, enum uplink_class class, uint64_t seq)
{
	struct receipt_range range = {seq, seq};
	struct store_count count;
	int r = store_purge(p->store, class, &range, GAP_CONSENT, &count);

	if (r < 0) {
		report_store(p, "outbox_delete_failed", class, r);
		return;
	}
	flight_remove(p->flight, class, seq, seq);
	counter_add(&p->counters->batches_dropped, count.rows);
	counter_add(&p->counters->batches_dropped_purge, count.rows);
	counter_add(&p->counters->samples_dropped, count.samples);
}

static void take_nack(struct publish *p, enum uplink_class class, const struct receipt_nack *n)
{
	counter_add(&p->counters->batches_nacked, 1);
	if (limit_pass(&p->refusals, "batch_refused", now(p)))
		log_warn("batch_refused",
			 "by=relay class=%s seq=%" PRIu64 " code=%s retry_after_s=%u",
			 class_name(class), n->seq, nack_name(n->code), n->retry_after_s);
	switch (n->code) {
	case NACK_INVALID:
		if (n->seq <= p->sent[class])
			set_aside(p, class, n->seq, GAP_INVALID);
		return;
	case NACK_CONSENT:
		if (n->seq <= p->sent[class])
			purge(p, class, n->seq);
		return;
	case NACK_QUOTA:
	case NACK_UNKNOWN:
	case NACK_BUSY:
		break;
	}
	flight_nack(p->flight, class, n->seq, n->retry_after_s, now(p));
}

/* After a silence what is new goes first again, before what has waited since it began. */
static void settle(struct publish *p)
{
	uint64_t last[CLASS_COUNT];

	read_last(p, last);
	flight_settle(p->flight, last);
	p->empty = 0;
}

void publish_receipt(struct publish *p, const struct receipt *r)
{
	if (r->epoch != store_epoch(p->store)) {
		counter_add(&p->counters->receipts_foreign, 1);
		if (limit_pass(&p->foreign_receipts, "receipt_foreign", now(p)))
			log_warn("receipt_foreign", "epoch=%016" PRIx64, r->epoch);
		return;
	}
	counter_add(&p->counters->receipts_received, 1);
	take_acks(p, r);
	for (size_t i = 0; i < r->n_nacks; i++)
		take_nack(p, r->class, &r->nacks[i]);
	if (flight_heard(p->flight, now(p)))
		settle(p);
	p->opt.changed(p->opt.ctx);
	pump(p);
	show(p);
}

/* ---- what MQTT says ---- */

static void subscribe(struct publish *p)
{
	int r = mqtt_subscribe(p->mqtt, p->receipt_topic, 1);

	if (r < 0)
		log_error("subscribe_failed", "topic=%s what=%s", p->receipt_topic, strerror(-r));
}

static void on_resubscribe(struct loop_timer *t)
{
	struct publish *p = t->ctx;

	if (mqtt_is_connected(p->mqtt) && !p->ready)
		subscribe(p);
}

static void on_connected(void *ctx, bool session_present)
{
	struct publish *p = ctx;

	log_info("mqtt_connected", "session=%s", session_present ? "resumed" : "new");
	counter_set(&p->counters->connected, 1);
	begin_anew(p);
	subscribe(p);
	show(p);
}

static void on_disconnected(void *ctx, const char *reason)
{
	struct publish *p = ctx;
	char quoted[128];

	log_warn("mqtt_disconnected", "what=%s", log_quote(quoted, sizeof(quoted), reason));
	counter_set(&p->counters->connected, 0);
	p->ready = false;
	loop_timer_cancel(&p->timer);
	loop_timer_cancel(&p->resubscribe);
	begin_anew(p);
	show(p);
}

/* Without receipts nothing could be deleted, so nothing is sent before they are subscribed to. */
static void on_subscribed(void *ctx, const char *filter, int reason)
{
	struct publish *p = ctx;

	if (reason >= REASON_ERROR) {
		log_error("subscribe_failed", "topic=%s reason=0x%02x retry_s=%d", filter,
			  (unsigned)reason, SUBSCRIBE_RETRY_S);
		if (loop_timer_in(p->loop, &p->resubscribe, SUBSCRIBE_RETRY_S * NS_PER_S) < 0)
			log_error("subscribe_failed", "what=no memory for a timer");
		return;
	}
	p->ready = true;
	pump(p);
}

static void on_message(void *ctx, const struct mqtt_message *m)
{
	struct publish *p = ctx;
	struct receipt r;
	struct error err;

	if (strcmp(m->topic, p->receipt_topic) != 0)
		return;
	if (receipt_decode(&r, m->payload, m->len, &err) < 0) {
		counter_add(&p->counters->receipts_bad, 1);
		if (limit_pass(&p->bad_receipts, "receipt_bad", now(p)))
			log_warn("receipt_bad", "topic=%s bytes=%zu what=%s", m->topic, m->len,
				 err.text);
		return;
	}
	publish_receipt(p, &r);
}

static void on_published(void *ctx, uint64_t cookie, int reason)
{
	struct publish *p = ctx;
	enum uplink_class class = (enum uplink_class)(cookie >> SEQ_BITS);
	uint64_t seq = cookie & ((UINT64_C(1) << SEQ_BITS) - 1);

	if (reason != 0) {
		counter_add(&p->counters->batches_refused, 1);
		if (limit_pass(&p->refusals, "batch_refused", now(p)))
			log_warn("batch_refused",
				 "by=broker class=%s seq=%" PRIu64 " reason=0x%02x",
				 class_name(class), seq, (unsigned)reason);
	}
	flight_puback(p->flight, class, seq, reason, now(p));
	pump(p);
}

static const struct mqtt_handlers handlers = {
	.connected = on_connected,
	.disconnected = on_disconnected,
	.message = on_message,
	.published = on_published,
	.subscribed = on_subscribed,
};

/* ---- life ---- */

static void make_topics(struct publish *p)
{
	struct topic_up t = {.part = p->opt.part};

	(void)snprintf(p->vehicle, sizeof(p->vehicle), "%s", p->opt.vehicle);
	(void)snprintf(p->device, sizeof(p->device), "%s", p->opt.device);
	memcpy(t.vehicle, p->vehicle, sizeof(t.vehicle));
	memcpy(t.device, p->device, sizeof(t.device));
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		t.class = (enum uplink_class)k;
		topic_format_up(&t, p->topics[k]);
	}
	topic_format_receipt(p->vehicle, p->device, p->receipt_topic);
}

static int start(struct publish *p)
{
	struct flight_options w = {
		.rows_max = p->opt.window_rows,
		.bytes_max = p->opt.window_bytes,
		.receipt_timeout_ns = p->opt.receipt_timeout_ns,
	};
	struct mqtt_options m = p->opt.mqtt;
	int r;

	random_bytes(&w.seed, sizeof(w.seed));
	r = flight_new(&p->flight, &w);
	if (r < 0)
		return r;
	read_last(p, p->sent);
	make_topics(p);
	m.client_id = p->device;
	return mqtt_new(&p->mqtt, p->loop, &m, &handlers, p);
}

int publish_new(struct publish **ret, struct loop *loop, struct store *store,
		struct counters *counters, const struct publish_options *opt)
{
	struct publish *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->opt = *opt;
	p->loop = loop;
	p->store = store;
	p->counters = counters;
	p->timer = (struct loop_timer){.cb = on_timer, .ctx = p};
	p->resubscribe = (struct loop_timer){.cb = on_resubscribe, .ctx = p};
	p->envelope = BUF_INIT(ENVELOPE_BYTES_MAX);
	r = start(p);
	if (r < 0) {
		publish_free(p);
		return r;
	}
	store_show_totals(store, counters);
	*ret = p;
	return 0;
}

struct publish *publish_free(struct publish *p)
{
	if (!p)
		return NULL;
	loop_timer_cancel(&p->timer);
	loop_timer_cancel(&p->resubscribe);
	mqtt_free(p->mqtt);
	flight_free(p->flight);
	buf_free(&p->envelope);
	free(p);
	return NULL;
}
