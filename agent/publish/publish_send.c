/* Rows of the outbox to MQTT: which lane is next, what goes again, and what the row becomes. */
#include "agent/publish/publish_private.h"

enum { BUFFER_KEPT_MAX = 256 << 10 }; /* what a large batch needed beyond is given back */

void publish_begin(struct publish *p)
{
	uint64_t last[CLASS_COUNT];

	publish_last_seqs(p, last);
	flight_reset(p->flight, last);
	schedule_reset(&p->schedule);
	p->empty = 0;
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		hole_reset(&p->holes[k]);
}

void publish_settle(struct publish *p)
{
	uint64_t last[CLASS_COUNT];

	publish_last_seqs(p, last);
	flight_settle(p->flight, last);
	p->empty = 0;
}

/* ---- one row ---- */

static uint64_t make_cookie(enum uplink_class class, uint64_t seq)
{
	return (uint64_t) class << PUBLISH_SEQ_BITS | seq;
}

/* Whole seconds, rounded up: the outbox is the one that says when it is too old. */
static uint32_t expiry_s(const struct publish *p, const struct store_row *row)
{
	int64_t left = row->expires_ns - publish_now(p).ns;

	if (row->expires_ns == 0)
		return 0;
	if (left < NS_PER_S)
		return 1;
	left = (left + NS_PER_S - 1) / NS_PER_S;
	return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

/* Puts the body right that was closed under a clock which was wrong. Returns CLOCK_REPAIRED, 0: it
 * was not; -ENOMEM. */
static int mend(struct publish *p, const struct store_row *row, struct envelope *e)
{
	int r;

	if (row->encoding != ENCODING_BATCH)
		return 0;
	buf_clear(&p->body);
	r = clock_repair_send(&p->clock, row->body, row->body_len,
			      row->seq <= p->before[row->class], &p->body);
	if (r == CLOCK_REPAIRED) {
		e->body = p->body.data;
		e->body_len = p->body.len;
	}
	return r == -ENOMEM || r == CLOCK_REPAIRED ? r : 0; /* what it cannot read, the relay may */
}

static int hand_to_mqtt(struct publish *p, const struct store_row *row, bool again,
			uint32_t *ret_context)
{
	struct envelope e = {.epoch = store_epoch(p->store),
			     .seq = row->seq,
			     .encoding = row->encoding,
			     .body = row->body,
			     .body_len = row->body_len,
			     .origin_epoch = row->origin_epoch,
			     .origin_seq = row->origin_seq};
	int mended = mend(p, row, &e), r;

	if (mended < 0)
		return mended;
	buf_clear(&p->envelope);
	r = contexts_encode(p->contexts, row->class, &e, again, &p->envelope, ret_context);
	if (r < 0)
		return r;
	r = mqtt_publish(p->mqtt, &(struct mqtt_publish){
					  .topic = p->topics[row->class],
					  .payload = p->envelope.data,
					  .len = p->envelope.len,
					  .qos = 1,
					  .use_alias = true,
					  .expiry_s = expiry_s(p, row),
					  .cookie = make_cookie(row->class, row->seq),
				  });
	if (r == 0 && mended == CLOCK_REPAIRED)
		counter_add(&p->counters->batches_rebased, 1);
	return r;
}

static void count_sent(struct publish *p, const struct store_row *row, bool again, bool brief)
{
	if (row->encoding == ENCODING_GAP) {
		counter_add(&p->counters->gaps_published, 1);
		return;
	}
	counter_add(&p->counters->batches_published, 1);
	if (again)
		counter_add(&p->counters->batches_resent, 1);
	if (brief)
		counter_add(&p->counters->batches_short, 1);
}

/* Returns 0, or -errno as mqtt_publish and the outbox. */
static int send_row(struct publish *p, unsigned lane, const struct store_row *row)
{
	bool again = flight_holds(p->flight, row->class, row->seq);
	struct flight_row f = {.lane = lane, .seq = row->seq, .through = row->through};
	int r = hand_to_mqtt(p, row, again, &f.context);

	if (r == -EMSGSIZE && mqtt_packet_maximum(p->mqtt) >= PUBLISH_PACKET_LEAST)
		return publish_refuse(p, row->class, row->seq, GAP_TOO_LARGE);
	if (r < 0)
		return r;
	if (row->through > p->sent[row->class])
		p->sent[row->class] = row->through;
	f.bytes = p->envelope.len;
	flight_sent(p->flight, &f, publish_now(p));
	schedule_sent(&p->schedule, lane, f.bytes);
	count_sent(p, row, again, f.context != 0);
	return 0;
}

/* ---- rows that nobody takes ---- */

/* What there is under that seq. STORE_ROW, 0: nothing, -errno. */
static int row_encoding(struct publish *p, enum uplink_class class, uint64_t seq,
			uint32_t *ret_encoding)
{
	struct store_row row;
	int r = store_next(p->store, class, seq - 1, &row);

	if (r != STORE_ROW)
		return r;
	if (row.seq != seq)
		return 0;
	*ret_encoding = row.encoding;
	return STORE_ROW;
}

static void count_refused(struct publish *p, enum uplink_class class, uint64_t seq,
			  enum gap_reason reason, const struct store_count *count)
{
	if (reason == GAP_CONSENT) {
		counter_add(&p->counters->batches_dropped, count->rows);
		counter_add(&p->counters->batches_dropped_purge, count->rows);
		counter_add(&p->counters->samples_dropped, count->samples);
		return;
	}
	counter_add(&p->counters->batches_quarantined, count->rows);
	counter_add(&p->counters->samples_quarantined, count->samples);
	if (count->rows > 0)
		log_error("batch_quarantined",
			  "class=%s seq=%" PRIu64 " samples=%" PRIu64 " reason=%s",
			  class_name(class), seq, count->samples, gap_reason_name(reason));
}

/* A batch to the quarantine, or away, with a gap in its place. Returns 0 or -errno. */
static int refuse_batch(struct publish *p, enum uplink_class class, uint64_t seq,
			enum gap_reason reason)
{
	struct receipt_range range = {seq, seq};
	struct store_count count;
	int r = reason == GAP_CONSENT ? store_purge(p->store, class, &range, reason, &count)
				      : store_quarantine(p->store, class, seq, reason, &count);

	if (r < 0)
		return r;
	count_refused(p, class, seq, reason, &count);
	return 0;
}

/* A gap or a clock, for which a quarantine has no use: of a gap nothing stays, of a clock a gap. So
 * a relay that reads neither ends both. */
static int refuse_notice(struct publish *p, enum uplink_class class, uint64_t seq,
			 enum gap_reason reason, uint32_t encoding)
{
	struct receipt_range range = {seq, seq};
	struct store_count count;
	int r = encoding == ENCODING_GAP ? store_quarantine(p->store, class, seq, reason, &count)
					 : store_purge(p->store, class, &range, reason, &count);

	if (r < 0)
		return r;
	if (encoding == ENCODING_GAP)
		flight_remove(p->flight, class, seq, seq);
	counter_add(&p->counters->notices_refused, 1);
	if (limit_pass(&p->refusals, "notice_refused", publish_now(p)))
		log_warn("notice_refused", "class=%s seq=%" PRIu64 " what=%s reason=%s",
			 class_name(class), seq, encoding == ENCODING_GAP ? "gap" : "clock",
			 gap_reason_name(reason));
	return 0;
}

int publish_refuse(struct publish *p, enum uplink_class class, uint64_t seq, enum gap_reason reason)
{
	uint32_t encoding = ENCODING_BATCH;
	int r = row_encoding(p, class, seq, &encoding);

	if (r == 0) { /* gone from the outbox meanwhile */
		flight_remove(p->flight, class, seq, seq);
		return 0;
	}
	if (r == STORE_ROW)
		r = encoding == ENCODING_GAP || encoding == ENCODING_CLOCK
			    ? refuse_notice(p, class, seq, reason, encoding)
			    : refuse_batch(p, class, seq, reason);
	if (r < 0)
		publish_report(p, "quarantine_failed", class, r);
	return r;
}

void publish_too_large(struct publish *p, enum uplink_class class, uint64_t seq)
{
	struct store_row row;
	int r = store_next(p->store, class, seq - 1, &row);

	if (r == STORE_ROW && row.seq == seq && row.body_len >= PUBLISH_PACKET_LEAST)
		(void)!publish_refuse(p, class, seq, GAP_TOO_LARGE);
}

/* ---- all rows ---- */

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

/* The cursor goes on when the row is in the window. */
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
	return send_row(p, lane, &row);
}

/* Lanes that may send now, if they have something; due: those that have something to send again. */
static unsigned ready_lanes(struct publish *p, unsigned due)
{
	struct mono_time now = publish_now(p);
	unsigned ready = 0;

	for (unsigned lane = 0; lane < LANES; lane++) {
		enum uplink_class class = lane_class(lane);
		bool has = !(p->empty & 1u << lane) && flight_admits(p->flight, class);

		if ((has || due & 1u << lane) && flight_wire_admits(p->flight, class, now))
			ready |= 1u << lane;
	}
	return ready;
}

static bool concerns_all(int r)
{
	return r == -EAGAIN || r == -ENOTCONN || r == -ENOMEM || r == -EBADMSG;
}

/* A row that cannot be read, sent or moved holds up its lane, and no other. Returns 0, or the
 * latest failure. */
static int send_all(struct publish *p)
{
	unsigned failed = 0;
	int failure = 0;

	for (;;) {
		uint64_t seqs[LANES];
		unsigned due = flight_due(p->flight, publish_now(p), seqs);
		unsigned lane = schedule_pick(&p->schedule, ready_lanes(p, due) & ~failed);
		int r;

		if (lane == LANE_NONE)
			return failure;
		r = due & 1u << lane ? send_again(p, lane, seqs[lane]) : send_next(p, lane);
		if (r >= 0)
			continue;
		if (concerns_all(r))
			return r;
		failed |= 1u << lane;
		failure = r;
	}
}

void publish_sweep(struct publish *p)
{
	struct mono_time now = publish_now(p);

	if (now.ns - p->swept_at.ns < PUBLISH_SWEEP_S * NS_PER_S)
		return;
	p->swept_at = now;
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		unsigned fresh = 1u << lane_of((enum uplink_class)k, true);
		unsigned backlog = 1u << lane_of((enum uplink_class)k, false);

		if (!(p->empty & fresh) || !(p->empty & backlog))
			continue;
		flight_sweep(p->flight, (enum uplink_class)k);
		p->empty &= ~backlog;
	}
}

void publish_freshen(struct publish *p)
{
	uint64_t last = store_last_seq(p->store, CLASS_LIVE);

	if (p->ready && flight_freshen(p->flight, last, publish_now(p)))
		p->empty &= ~(1u << lane_of(CLASS_LIVE, false));
}

/* Gaps take the place of rows that were dropped, also of those that lanes have passed. */
static void find_new_gaps(struct publish *p)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		enum uplink_class class = (enum uplink_class)k;
		uint64_t seq = store_new_gap(p->store, class);

		if (seq == 0)
			continue;
		if (flight_holds(p->flight, class, seq))
			flight_replaced(p->flight, class, seq, publish_now(p));
		else
			flight_rewind(p->flight, class, seq);
		p->empty &= ~(1u << lane_of(class, true) | 1u << lane_of(class, false));
	}
}

/* failure: why the pump stopped, or left a lane out; 0: it sent what the windows admit. */
static void set_timer(struct publish *p, int failure)
{
	struct mono_time now = publish_now(p), due = {now.ns + PUBLISH_RETRY_MS * NS_PER_MS};

	if (failure != 0 || flight_next_due(p->flight, now, &due))
		loop_timer_at(p->loop, &p->timer, due);
}

static void count_corrupt(struct publish *p)
{
	struct store_count c = store_corrupt_found(p->store);

	if (c.rows == 0)
		return;
	counter_add(&p->counters->batches_quarantined, c.rows);
	counter_add(&p->counters->samples_quarantined, c.samples);
	counter_add(&p->counters->batches_corrupt, c.rows);
	log_error("batch_corrupt", "rows=%" PRIu64 " samples=%" PRIu64, c.rows, c.samples);
}

/* Once, however often it is tried again. */
static void log_failure(struct publish *p, int r)
{
	if (r == -EMSGSIZE && r != p->failure)
		log_error("publish_failed",
			  "what=the broker takes %" PRIu32
			  " bytes a packet, which is below %d: larger rows wait",
			  mqtt_packet_maximum(p->mqtt), PUBLISH_PACKET_LEAST);
	else if (r < 0 && r != p->failure)
		log_error("publish_failed", "what=%s retry_ms=%d", strerror(-r), PUBLISH_RETRY_MS);
	p->failure = r;
}

void publish_pump(struct publish *p)
{
	int r;

	if (!p->ready)
		return;
	find_new_gaps(p);
	r = send_all(p);
	store_release(p->store);
	count_corrupt(p);
	if (p->envelope.cap > BUFFER_KEPT_MAX)
		buf_free(&p->envelope);
	if (p->body.cap > BUFFER_KEPT_MAX)
		buf_free(&p->body);
	if (r == -EAGAIN || r == -ENOTCONN)
		log_failure(p, 0);
	else
		log_failure(p, r);
	if (r == -EBADMSG)
		p->opt.corrupt(p->opt.ctx);
	set_timer(p, r);
	publish_show(p);
}
