/* What the relay says: rows that it has, rows that it refuses, and rows that it has forgotten.
 *
 * Nothing in a receipt is believed beyond what was sent in this epoch: one that is for another
 * epoch, from the future, old or not readable changes nothing, and is counted. */
#include "agent/publish/publish_private.h"

static void count_bad(struct publish *p, enum uplink_class class, uint64_t seq)
{
	counter_add(&p->counters->receipts_bad, 1);
	if (limit_pass(&p->bad_receipts, "receipt_bad", publish_now(p)))
		log_warn("receipt_bad", "class=%s through=%" PRIu64 " sent=%" PRIu64,
			 class_name(class), seq, p->sent[class]);
}

/* The receipt without what was never sent. */
static struct receipt clamp(struct publish *p, const struct receipt *r)
{
	uint64_t sent = p->sent[r->class], beyond = 0;
	struct receipt c = *r;

	if (c.acked_through > sent)
		beyond = c.acked_through, c.acked_through = sent;
	c.n_ranges = c.n_nacks = 0;
	for (size_t i = 0; i < r->n_ranges; i++) {
		struct receipt_range range = r->ranges[i];

		if (range.to > sent)
			beyond = range.to, range.to = sent;
		if (range.from <= range.to)
			c.ranges[c.n_ranges++] = range;
	}
	for (size_t i = 0; i < r->n_nacks; i++) {
		if (r->nacks[i].seq > sent || r->nacks[i].seq == 0)
			beyond = r->nacks[i].seq;
		else
			c.nacks[c.n_nacks++] = r->nacks[i];
	}
	if (c.n_ranges < r->n_ranges || c.n_nacks < r->n_nacks || beyond > 0)
		count_bad(p, r->class, beyond);
	return c;
}

/* Returns the number of rows that were acknowledged, or -errno, logged. */
static int64_t take_acks(struct publish *p, const struct receipt *r)
{
	struct receipt_range ranges[RECEIPT_RANGES_MAX + 1];
	struct store_count count;
	size_t n = 0;
	int e;

	if (r->acked_through > 0)
		ranges[n++] = (struct receipt_range){1, r->acked_through};
	memcpy(ranges + n, r->ranges, r->n_ranges * sizeof(*ranges));
	n += r->n_ranges;
	if (n == 0)
		return 0;
	e = store_ack(p->store, r->class, ranges, n, &count);
	if (e < 0) { /* sent again when the receipt is overdue, and then deleted */
		publish_report(p, "outbox_delete_failed", r->class, e);
		return e;
	}
	for (size_t i = 0; i < n; i++)
		(void)flight_acked(p->flight, r->class, ranges[i].from, ranges[i].to,
				   publish_now(p));
	counter_add(&p->counters->batches_acked, count.rows);
	counter_add(&p->counters->samples_acked, count.samples);
	return (int64_t)count.rows;
}

static void take_nack(struct publish *p, enum uplink_class class, const struct receipt_nack *n)
{
	counter_add(&p->counters->batches_nacked, 1);
	if (limit_pass(&p->refusals, "batch_refused", publish_now(p)))
		log_warn("batch_refused",
			 "by=relay class=%s seq=%" PRIu64 " code=%s retry_after_s=%u",
			 class_name(class), n->seq, nack_name(n->code), n->retry_after_s);
	switch (n->code) {
	case NACK_INVALID:
		(void)!publish_refuse(p, class, n->seq, GAP_INVALID);
		return;
	case NACK_CONSENT:
		(void)!publish_refuse(p, class, n->seq, GAP_CONSENT);
		return;
	case NACK_QUOTA:
	case NACK_UNKNOWN:
	case NACK_BUSY:
		break;
	}
	flight_nack(p->flight, class, n->seq, n->retry_after_s, publish_now(p));
}

/* A mark behind one that was told before: late, replayed, or the relay has forgotten something. */
static void note_mark(struct publish *p, const struct receipt *r, int64_t acked)
{
	uint64_t *told = &p->told[r->class];

	if (r->acked_through >= *told) {
		*told = r->acked_through;
		return;
	}
	if (acked != 0 || r->n_nacks > 0)
		return;
	counter_add(&p->counters->receipts_old, 1);
	if (limit_pass(&p->old_receipts, "receipt_old", publish_now(p)))
		log_info("receipt_old", "class=%s through=%" PRIu64 " before=%" PRIu64,
			 class_name(r->class), r->acked_through, *told);
}

static void check_hole(struct publish *p, const struct receipt *r)
{
	enum uplink_class class = r->class;
	struct hole *h = &p->holes[class];
	struct receipt_range range;
	int e;

	if (hole_check(h, r, store_first_seq(p->store, class), store_last_seq(p->store, class),
		       &range) != HOLE_PROVEN)
		return;
	e = store_put_receipted(p->store, class, &range);
	if (e < 0) {
		publish_report(p, "receipted_gap_failed", class, e);
		return;
	}
	hole_told(h, &range);
	counter_add(&p->counters->gaps_receipted, 1);
	log_error("relay_forgot",
		  "class=%s from=%" PRIu64 " through=%" PRIu64
		  " what=it gave receipts for these rows, and has them no more",
		  class_name(class), range.from, range.to);
}

static void count_foreign(struct publish *p, uint64_t epoch)
{
	counter_add(&p->counters->receipts_foreign, 1);
	if (limit_pass(&p->foreign_receipts, "receipt_foreign", publish_now(p)))
		log_warn("receipt_foreign", "epoch=%016" PRIx64, epoch);
}

/* What the relay could not read goes again, whole: it has lost its disk, or another one answers. */
static void take_unknown_context(struct publish *p, enum uplink_class class, uint32_t id)
{
	size_t rows = flight_unread(p->flight, class, id, publish_now(p));

	if (!contexts_unknown(p->contexts, class, id) && rows == 0)
		return;
	counter_add(&p->counters->contexts_lost, 1);
	if (limit_pass(&p->lost_contexts, "context_lost", publish_now(p)))
		log_warn("context_lost",
			 "class=%s context=%08" PRIx32 " rows=%zu what=the relay does not know it",
			 class_name(class), id, rows);
	publish_pump(p);
}

void publish_receipt(struct publish *p, const struct receipt *r)
{
	struct receipt c;
	int64_t acked;

	if (r->unknown_context != 0)
		take_unknown_context(p, r->class, r->unknown_context);
	if (r->epoch == 0 && r->unknown_context != 0) /* that is all it says */
		return;
	if (r->epoch != store_epoch(p->store)) {
		count_foreign(p, r->epoch);
		return;
	}
	counter_add(&p->counters->receipts_received, 1);
	if (r->context != 0)
		contexts_stored(p->contexts, r->class, r->context);
	c = clamp(p, r);
	acked = take_acks(p, &c);
	for (size_t i = 0; i < c.n_nacks; i++)
		take_nack(p, c.class, &c.nacks[i]);
	note_mark(p, &c, acked);
	if (acked >= 0)
		check_hole(p, &c);
	if (flight_heard(p->flight, publish_now(p)))
		publish_settle(p);
	p->opt.changed(p->opt.ctx);
	publish_pump(p);
	publish_show(p);
}
