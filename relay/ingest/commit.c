/* The group commit: many batches, one sync of the disk; receipts and live state come after. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <string.h>

const double ingest_latency_bounds_s[INGEST_LATENCY_BUCKETS] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
};

int pending_reserve(struct ingest *in)
{
	size_t cap = (size_t)in->tuning.group_commit_batches;
	struct pending *p;
	struct lane **lanes;
	struct sender **senders;

	if (in->n_pending < in->pending_cap)
		return 0;
	if (cap <= in->pending_cap)
		cap = in->pending_cap + 1;
	p = realloc(in->pending, cap * sizeof(*p));
	if (p)
		in->pending = p;
	lanes = realloc(in->txn_lanes, cap * sizeof(struct lane *));
	if (lanes)
		in->txn_lanes = lanes;
	senders = realloc(in->txn_senders, cap * sizeof(struct sender *));
	if (senders)
		in->txn_senders = senders;
	if (!p || !lanes || !senders)
		return -ENOMEM;
	in->pending_cap = cap;
	return 0;
}

void sender_touch(struct ingest *in, struct sender *s)
{
	if (s->in_txn)
		return;
	s->in_txn = true;
	in->txn_senders[in->n_txn_senders++] = s;
}

static void count_stats(struct ingest *in, const struct pending *p)
{
	struct sender *s = p->lane->sender;

	sender_touch(in, s);
	s->stats.batches++;
	if (p->cat)
		s->stats.samples += p->samples;
	s->stats.last_seen_ns = p->received.ns;
	s->stats.epoch = p->lane->epoch;
}

void pending_add(struct ingest *in, const struct pending *p)
{
	if (!in->n_pending)
		(void)!loop_timer_in(in->loop, &in->commit_timer,
				     in->tuning.group_commit_ms * NS_PER_MS);
	in->pending[in->n_pending++] = *p;
	if (!p->lane->in_txn) {
		p->lane->in_txn = true;
		in->txn_lanes[in->n_txn_lanes++] = p->lane;
	}
	count_stats(in, p);
	if (in->n_pending >= (size_t)in->tuning.group_commit_batches || in->values.n >= VALUES_MAX)
		ingest_commit(in);
}

void ingest_storage_is(struct ingest *in, int e)
{
	if (e < 0)
		log_error("storage_failed", "error=\"%s\" retry_ms=%d", strerror(-e),
			  STORAGE_PAUSE_MS);
	else if (in->refusing)
		log_info("storage_recovered", "%s", "");
	in->refusing = e < 0;
	in->refuse_until.ns = timebase_mono(in->opt.tb).ns + STORAGE_PAUSE_MS * NS_PER_MS;
	pthread_mutex_lock(&in->lock);
	in->stats.storage = e;
	if (e < 0)
		in->stats.commit_failures++;
	pthread_mutex_unlock(&in->lock);
}

/* The transaction is over, well or not. */
static void end_transaction(struct ingest *in)
{
	for (size_t i = 0; i < in->n_txn_lanes; i++)
		in->txn_lanes[i]->in_txn = false;
	for (size_t i = 0; i < in->n_txn_senders; i++)
		in->txn_senders[i]->in_txn = false;
	in->n_txn_lanes = in->n_txn_senders = in->n_pending = 0;
	in->values.n = 0;
	loop_timer_cancel(&in->commit_timer);
}

void ingest_abort(struct ingest *in, int e)
{
	size_t n = in->n_pending;

	stream_rollback(in->stream);
	ingest_storage_is(in, e);
	while (n-- > 0) {
		const struct pending *p = &in->pending[n];

		window_undo(&p->lane->window, p->seq);
		receipt_nack(in, p->lane, p->seq, NACK_BUSY, RETRY_BUSY_S);
	}
	for (size_t i = 0; i < in->n_txn_senders; i++)
		in->txn_senders[i]->stats = in->txn_senders[i]->committed;
	ingest_count(in, results[INGEST_BUSY], in->n_pending);
	end_transaction(in);
}

static int write_and_commit(struct ingest *in)
{
	struct wall_time now = timebase_wall(in->opt.tb);
	int e = 0;

	for (size_t i = 0; i < in->n_txn_lanes && e == 0; i++) {
		const struct lane *l = in->txn_lanes[i];

		e = stream_put_window(in->stream, l->sender->vehicle_key, l->sender->device_key,
				      l->epoch, l->class, &l->window, now);
		if (e == 0 && l->fresh)
			e = stream_limit_windows(in->stream, l->sender->device_key, WINDOWS_MAX);
	}
	for (size_t i = 0; i < in->n_txn_senders && e == 0; i++) {
		const struct sender *s = in->txn_senders[i];

		e = stream_put_device(in->stream, s->vehicle_key, s->device_key, &s->stats);
	}
	return e < 0 ? e : stream_commit(in->stream);
}

/* ---- what is durable may be seen ---- */

static void show(struct ingest *in, const struct pending *p)
{
	const struct sender *s = p->lane->sender;
	const struct live_value *v;
	int r;

	if (!p->cat || !p->n_values)
		return;
	v = in->values.v + p->first_value;
	r = live_apply(in->opt.live, s->vehicle_key, p->cat, v, p->n_values, p->received);
	if (r == 0)
		r = hub_publish(in->opt.hub, s->vehicle_key, s->vehicle, p->cat, v, p->n_values);
	if (r < 0)
		log_error("live_failed", "vehicle=%s error=\"%s\"", s->vehicle, strerror(-r));
}

static size_t latency_bucket(int64_t ns)
{
	size_t i = 0;

	while (i < INGEST_LATENCY_BUCKETS && (double)ns > ingest_latency_bounds_s[i] * 1e9)
		i++;
	return i;
}

static void count_committed(struct ingest *in)
{
	int64_t now = timebase_mono(in->opt.tb).ns;

	pthread_mutex_lock(&in->lock);
	in->stats.commits++;
	for (size_t i = 0; i < in->n_pending; i++) {
		const struct pending *p = &in->pending[i];

		in->stats.results[p->cat ? INGEST_STORED : INGEST_UNKNOWN_CATALOG]++;
		in->stats.samples += p->cat ? p->samples : 0;
		in->stats.latency[latency_bucket(now - p->at.ns)]++;
		in->stats.latency_sum_us += (uint64_t)((now - p->at.ns) / NS_PER_US);
	}
	pthread_mutex_unlock(&in->lock);
}

static void after_commit(struct ingest *in)
{
	for (size_t i = 0; i < in->n_pending; i++) {
		const struct pending *p = &in->pending[i];

		receipt_mark(in, p->lane, p->seq);
		show(in, p);
		in->applied_id = p->row;
	}
	for (size_t i = 0; i < in->n_txn_lanes; i++)
		in->txn_lanes[i]->fresh = false;
	for (size_t i = 0; i < in->n_txn_senders; i++)
		in->txn_senders[i]->committed = in->txn_senders[i]->stats;
	count_committed(in);
}

void ingest_commit(struct ingest *in)
{
	int e;

	if (!stream_in_transaction(in->stream))
		return;
	e = write_and_commit(in);
	if (e < 0) {
		ingest_abort(in, e);
		return;
	}
	ingest_storage_is(in, 0);
	after_commit(in);
	end_transaction(in);
	receipts_flush(in, false);
}
