/* base/mqtt_backoff.h: how long to wait before the next attempt to connect.
 *
 * Exponential with full jitter between the minimum and the current bound, so that many vehicles
 * that lost one broker do not come back in step. */
#pragma once

#include "base/base.h"

struct mqtt_backoff {
	int min_ms, max_ms;
	int bound_ms; /* of the next wait; doubles up to max_ms */
};

/* 1 <= min_ms <= max_ms. */
void mqtt_backoff_init(struct mqtt_backoff *b, int min_ms, int max_ms);
/* A wait in [min_ms, bound_ms]. The bound is 2 * min_ms for the first, and doubles with each. */
int mqtt_backoff_next(struct mqtt_backoff *b);
void mqtt_backoff_reset(struct mqtt_backoff *b);
