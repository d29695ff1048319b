#include "base/mqtt_backoff.h"

#include "base/bytes.h"

static int double_up_to(int ms, int max_ms)
{
	return ms > max_ms / 2 ? max_ms : ms * 2;
}

void mqtt_backoff_init(struct mqtt_backoff *b, int min_ms, int max_ms)
{
	assert(min_ms >= 1 && min_ms <= max_ms);
	b->min_ms = min_ms;
	b->max_ms = max_ms;
	mqtt_backoff_reset(b);
}

void mqtt_backoff_reset(struct mqtt_backoff *b)
{
	b->bound_ms = double_up_to(b->min_ms, b->max_ms);
}

int mqtt_backoff_next(struct mqtt_backoff *b)
{
	uint32_t span = (uint32_t)(b->bound_ms - b->min_ms) + 1;
	uint32_t random;

	random_bytes(&random, sizeof(random));
	b->bound_ms = double_up_to(b->bound_ms, b->max_ms);
	return b->min_ms + (int)(random % span);
}
