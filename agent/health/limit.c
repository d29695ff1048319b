#include "agent/health/limit.h"

#include "base/log.h"

#include <limits.h>

bool limit_pass(struct limit *l, const char *event, struct mono_time now)
{
	if (l->n == 0 || now.ns - l->begun.ns >= LIMIT_PERIOD_S * NS_PER_S) {
		if (l->n > LIMIT_BURST)
			log_warn("log_held_back", "event=%s times=%u", event, l->n - LIMIT_BURST);
		*l = (struct limit){.begun = now};
	}
	if (l->n < UINT_MAX)
		l->n++;
	return l->n <= LIMIT_BURST;
}
