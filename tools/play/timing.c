#include "tools/play/timing.h"

#define ROUND_GAP_MIN_NS NS_PER_MS

/* Both from 0. Logs may claim any time: sums end at the far end of time. */
static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int timing_place(struct timing *s, int64_t logged_ns, int64_t *ret_position_ns)
{
	int64_t step = s->placed ? logged_ns - s->latest_ns : 0;
	bool back = step <= -TIMING_STEP_NS;

	if (!s->placed || step > 0 || back)
		s->latest_ns = logged_ns;
	s->placed = true;
	if (step > 0)
		s->position_ns = add(s->position_ns, step);
	*ret_position_ns = s->position_ns;
	return back ? TIMING_STEPPED : 0;
}

static int64_t real_time(const struct timing *s)
{
	double ns = (double)s->elapsed_ns / s->speed;

	return ns < 0x1p62 ? (int64_t)ns : INT64_C(1) << 62;
}

int64_t timing_due(struct timing *s, int64_t position_ns, int64_t now_ns)
{
	int64_t gap = s->round_frames ? position_ns - s->last_ns : s->round_gap_ns;

	if (!s->started) {
		s->started = true;
		s->origin_ns = now_ns;
		gap = 0;
	}
	if (s->round_frames++ == 0)
		s->first_ns = position_ns;
	s->last_ns = position_ns;
	s->gap_ns = gap;
	if (gap > s->gap_max_ns) {
		gap = s->gap_max_ns;
		s->gaps_cut++;
	}
	s->elapsed_ns = add(s->elapsed_ns, gap);
	return add(s->origin_ns, real_time(s));
}

void timing_next_round(struct timing *s)
{
	int64_t span = s->last_ns - s->first_ns;

	s->round_gap_ns = ROUND_GAP_MIN_NS;
	if (s->round_frames > 1 && span / (int64_t)(s->round_frames - 1) > ROUND_GAP_MIN_NS)
		s->round_gap_ns = span / (int64_t)(s->round_frames - 1);
	s->placed = false;
	s->position_ns = 0;
	s->round_frames = 0;
}
