#include "agent/publish/schedule.h"

#include <string.h>

/* Virtual time: bytes over weight, in units of 1 / SCALE. It lasts for 2^48 bytes and more. */
enum { SCALE = 16 };

unsigned schedule_weight(unsigned lane)
{
	static const unsigned WEIGHTS[CLASS_COUNT] = {
		[CLASS_EVENT] = 16, [CLASS_LIVE] = 8,	[CLASS_BULK] = 4,
		[CLASS_LOG] = 2,    [CLASS_STATUS] = 2,
	};
	unsigned w = WEIGHTS[lane_class(lane)];

	return lane_is_fresh(lane) ? w : w / 2;
}

void schedule_reset(struct schedule *s)
{
	memset(s, 0, sizeof(*s));
}

static uint64_t cost(unsigned lane, size_t bytes)
{
	return (uint64_t)bytes * SCALE / schedule_weight(lane);
}

static bool has_credit(unsigned lane)
{
	return lane_is_fresh(lane) && lane_class(lane) <= CLASS_LIVE;
}

/* When the lane's next row begins. Who was idle begins now, and not in the past, but for a credit:
 * or it would have the link to itself for as long as it was idle. */
static uint64_t start(const struct schedule *s, unsigned lane)
{
	uint64_t credit = has_credit(lane) ? cost(lane, SCHEDULE_CREDIT) : 0;
	uint64_t earliest = s->now > credit ? s->now - credit : 0;

	return s->after[lane] > earliest ? s->after[lane] : earliest;
}

unsigned schedule_pick(const struct schedule *s, unsigned ready)
{
	unsigned best = LANE_NONE;
	uint64_t begins = 0;

	for (unsigned lane = 0; lane < LANES; lane++) {
		uint64_t t;

		if (!(ready & 1u << lane))
			continue;
		t = start(s, lane);
		if (best != LANE_NONE && t >= begins)
			continue;
		best = lane;
		begins = t;
	}
	return best;
}

void schedule_sent(struct schedule *s, unsigned lane, size_t bytes)
{
	uint64_t began = start(s, lane);

	s->after[lane] = began + cost(lane, bytes);
	if (began > s->now)
		s->now = began;
}
