/* The group commit: many batches, one sync of the disk; receipts and live state come after. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <string.h>

const double ingest_latency_bounds_s[INGEST_LATENCY_BUCKETS] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
};

static int grow(void **p, size_t *cap, size_t need, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *q;

	if (need <= *cap)
		return 0;
	if (more < need)
		more = need;
	q = realloc(*p, more * size);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = more;
	return 0;
}

/* A pending touches one sender, and so does a clock that is taught by one that is then refused. */
static int reserve(struct ingest *in)
{
	int r = grow((void **)&in->pending, &in->pending_cap, in->n_pending + 1,
		     sizeof(*in->pending));

	if (r == 0)
		r = grow((void **)&in->txn_senders, &in->txn_senders_cap, in->n_txn_senders + 1,
			 sizeof(struct sender *));
	return r;
}

/* Some errors of SQLite, of a mere read too, roll back the transaction without a word. */
static bool is_lost(const struct ingest *in)
{
	return !stream_in_transaction(in->stream) &&
	       (in->n_pending || in->n_txn_lanes || in->n_txn_senders);
}

int txn_begin(struct ingest *in)
{
	int r = is_lost(in) ? -EIO : reserve(in);

	if (r == 0 && !stream_in_transaction(in->stream)) {
		r = stream_begin(in->stream);
		loop_timer_in(in->loop, &in->commit_timer, in->tuning.group_commit_ms * NS_PER_MS);
	}
	return r;
}

int txn_touch(struct ingest *in, struct lane *l)
{
	int r;

	if (l->in_txn)
		return 0;
	r = grow((void **)&in->txn_lanes, &in->txn_lanes_cap, in->n_txn_lanes + 1,
		 sizeof(struct lane *));
	if (r < 0)
		return r;
	l->in_txn = true;
	in->txn_lanes[in->n_txn_lanes++] = l;
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
	s->stats.last_seen_ns = p->received.ns;
	s->stats.epoch = p->lane->epoch;
	if (p->kind != PENDING_BATCH)
		return;
	s->stats.batches++;
	p->lane->counts.batches++;
	p->lane->counts.samples += p->samples;
	if (p->cat)
		s->stats.samples += p->samples;
}

void pending_add(struct ingest *in, const struct pending *p)
{
	in->pending[in->n_pending++] = *p;
	p->lane->sender->in_flight[p->lane->class]++;
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
	for (size_t i = 0; i < in->n_pending; i++)
		in->pending[i].lane->sender->in_flight[in->pending[i].lane->class]--;
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
	stream_rollback(in->stream);
	ingest_storage_is(in, e);
	for (size_t i = 0; i < in->n_pending; i++) {
		const struct pending *p = &in->pending[i];

		receipt_nack(in, p->lane, p->seq, NACK_BUSY, RETRY_BUSY_S);
	}
	/* What is on disk is right again; what is in memory is read from there before its next use.
	 */
	for (size_t i = 0; i < in->n_txn_lanes; i++) {
		in->txn_lanes[i]->stale = true;
		in->txn_lanes[i]->context = 0;
	}
	for (size_t i = 0; i < in->n_txn_senders; i++) {
		in->txn_senders[i]->stats = in->txn_senders[i]->committed;
		in->txn_senders[i]->clock = (struct stream_clock){0};
		contexts_forget(&in->txn_senders[i]->contexts);
	}
	ingest_count(in, results[INGEST_BUSY], in->n_pending);
	end_transaction(in);
}

static int put_lane(struct ingest *in, struct lane *l, struct wall_time now)
{
	const struct sender *s = l->sender;
	int e = stream_put_window(in->stream, s->vehicle_key, s->device_key, l->epoch, l->class,
				  &l->window, &l->counts, now);

	if (e < 0 || !l->fresh)
		return e;
	e = stream_limit_windows(in->stream, s->device_key, WINDOWS_MAX, now);
	if (e <= 0)
		return e;
	log_warn("windows_forgotten", "vehicle=%s device=%s windows=%d kept=%d", s->vehicle,
		 s->device, e, WINDOWS_MAX);
	ingest_count(in, windows_forgotten, (uint64_t)e);
	return 0;
}

static int write_and_commit(struct ingest *in)
{
	struct wall_time now = timebase_wall(in->opt.tb);
	int e = 0;

	for (size_t i = 0; i < in->n_txn_lanes && e == 0; i++)
		e = put_lane(in, in->txn_lanes[i], now);
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

	if (p->kind != PENDING_BATCH || !p->cat || !p->n_values)
		return;
	v = in->values.v + p->first_value;
	r = live_apply(in->opt.live, s->vehicle_key, p->cat, v, p->n_values, p->received);
	if (r == 0)
		r = hub_publish(in->opt.hub, s->vehicle_key, s->vehicle, p->cat, v, p->n_values);
	if (r < 0)
		log_error("live_failed", "vehicle=%s error=\"%s\"", s->vehicle, strerror(-r));
}

/* Values that are shown already get their right times at once; rows follow by and by. */
static void show_clock(struct ingest *in, const struct pending *p)
{
	const struct sender *s = p->lane->sender;

	if (p->learnt.boot)
		live_set_clock(in->opt.live, s->vehicle_key, s->device_key, p->learnt.boot,
			       p->learnt.clock_ns, p->learnt.quality);
}

static size_t latency_bucket(int64_t ns)
{
	size_t i = 0;

	while (i < INGEST_LATENCY_BUCKETS && (double)ns > ingest_latency_bounds_s[i] * 1e9)
		i++;
	return i;
}

static enum ingest_result result_of(const struct pending *p)
{
	switch (p->kind) {
	case PENDING_GAP:
		return INGEST_GAP;
	case PENDING_CLOCK:
		return INGEST_CLOCK;
	case PENDING_KNOWN:
		return INGEST_DUPLICATE;
	case PENDING_BATCH:
	default:
		return p->cat ? INGEST_STORED : INGEST_UNKNOWN_CATALOG;
	}
}

/* Under the lock. */
static void count_one(struct ingest_stats *s, const struct pending *p)
{
	uint32_t reason = p->reason < GAP_REASONS ? p->reason : GAP_UNEXPLAINED;

	s->results[result_of(p)]++;
	s->samples += p->cat ? p->samples : 0;
	s->late += p->late;
	s->origin_known += p->kind == PENDING_KNOWN;
	if (p->kind == PENDING_GAP) {
		s->gaps[p->lane->class][reason]++;
		s->gap_seqs[p->lane->class][reason] += p->missing;
	}
}

static void count_committed(struct ingest *in)
{
	int64_t now = timebase_mono(in->opt.tb).ns;

	pthread_mutex_lock(&in->lock);
	in->stats.commits++;
	for (size_t i = 0; i < in->n_pending; i++) {
		const struct pending *p = &in->pending[i];

		count_one(&in->stats, p);
		in->stats.latency[latency_bucket(now - p->at.ns)]++;
		in->stats.latency_sum_us += (uint64_t)((now - p->at.ns) / NS_PER_US);
	}
	pthread_mutex_unlock(&in->lock);
}

static void after_commit(struct ingest *in)
{
	for (size_t i = 0; i < in->n_pending; i++) {
		const struct pending *p = &in->pending[i];

		if (p->context)
			p->lane->context = p->context;
		receipt_mark(in, p->lane, p->seq, p->through);
		show(in, p);
		show_clock(in, p);
		if (p->row)
			in->applied_id = p->row;
	}
	for (size_t i = 0; i < in->n_txn_lanes; i++)
		in->txn_lanes[i]->fresh = in->txn_lanes[i]->uncounted = false;
	for (size_t i = 0; i < in->n_txn_senders; i++)
		in->txn_senders[i]->committed = in->txn_senders[i]->stats;
	count_committed(in);
}

void ingest_commit(struct ingest *in)
{
	int e;

	if (is_lost(in)) {
		ingest_abort(in, -EIO);
		return;
	}
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
