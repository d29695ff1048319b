/* agent/store/totals.h: what the outbox holds, into the counters. */
#pragma once

#include "agent/health/counters.h"
#include "agent/store/store.h"

static inline void store_show_totals(const struct store *s, struct counters *c)
{
	struct store_totals t = store_totals(s);
	struct store_lifetime l = store_lifetime(s);

	counter_set(&c->outbox_rows, t.rows);
	counter_set(&c->outbox_gaps, t.gaps);
	counter_set(&c->outbox_bytes, t.bytes);
	counter_set(&c->outbox_samples, t.samples);
	counter_set(&c->lifetime_samples_accepted, l.samples_stored);
	counter_set(&c->lifetime_samples_acked, l.samples_acked);
	counter_set(&c->lifetime_samples_dropped, l.samples_dropped);
	counter_set(&c->lifetime_samples_quarantined, l.samples_quarantined);
}

/* What was dropped. What went to the quarantine is counted by who put it there. */
static inline void store_show_dropped(const struct store_dropped *d, struct counters *c)
{
	for (size_t i = 0; i < GAP_REASONS; i++) {
		counter_add(&c->batches_dropped, d->by[i].rows);
		counter_add(&c->samples_dropped, d->by[i].samples);
	}
	counter_add(&c->batches_dropped_quota, d->by[GAP_QUOTA].rows);
	counter_add(&c->batches_dropped_expired, d->by[GAP_EXPIRED].rows);
	counter_add(&c->batches_dropped_unsaved, d->by[GAP_UNSAVED].rows);
	counter_add(&c->batches_dropped_purge, d->by[GAP_CONSENT].rows);
}
