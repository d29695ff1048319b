/* agent/store/totals.h: what the outbox holds, into the counters. */
#pragma once

#include "agent/health/counters.h"
#include "agent/store/store.h"

static inline void store_show_totals(const struct store *s, struct counters *c)
{
	struct store_totals t = store_totals(s);
	struct store_lifetime l = store_lifetime(s);

	counter_set(&c->outbox_rows, t.rows);
	counter_set(&c->outbox_bytes, t.bytes);
	counter_set(&c->outbox_samples, t.samples);
	counter_set(&c->lifetime_samples_accepted, l.samples_stored);
	counter_set(&c->lifetime_samples_acked, l.samples_acked);
	counter_set(&c->lifetime_samples_dropped, l.samples_dropped);
	counter_set(&c->lifetime_samples_quarantined, l.samples_quarantined);
}
