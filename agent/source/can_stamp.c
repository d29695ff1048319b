#include "agent/source/can_stamp.h"

/* *ret_sound: the wall clock was not set meanwhile, as far as one can tell. */
static int64_t software_mono(int64_t wall_ns, const struct clock_pair *now, bool *ret_sound)
{
	int64_t age = now->wall_ns - wall_ns;

	*ret_sound = wall_ns > 0 && age >= 0 && age <= CAN_STAMP_AGE_MAX_S * NS_PER_S;
	return *ret_sound ? now->mono_ns - age : now->mono_ns;
}

static void learn_anew(struct can_stamp *c, int64_t difference, int64_t software)
{
	c->least = c->least_before = difference;
	c->window_end = software + CAN_STAMP_WINDOW_S * NS_PER_S;
	c->learnt = true;
}

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void learn(struct can_stamp *c, int64_t difference, int64_t software)
{
	if (!c->learnt || software >= c->window_end + CAN_STAMP_WINDOW_S * NS_PER_S) {
		learn_anew(c, difference, software); /* nothing recent to compare with */
		return;
	}
	if (software >= c->window_end) {
		c->least_before = c->least;
		c->least = difference;
		c->window_end += CAN_STAMP_WINDOW_S * NS_PER_S;
	}
	c->least = min64(c->least, difference);
	if (difference - min64(c->least, c->least_before) > CAN_STAMP_DELAY_MAX_MS * NS_PER_MS) {
		c->relearnt++;
		learn_anew(c, difference, software);
	}
}

/* Frames come in the order of the bus; what is wrong by little must not turn two of them around. */
static int64_t in_order(struct can_stamp *c, int64_t t, int64_t latest)
{
	if (t < c->last && c->last <= latest)
		t = c->last;
	c->last = t;
	return t;
}

int64_t can_stamp_mono(struct can_stamp *c, const struct can_stamps *s,
		       const struct clock_pair *now)
{
	bool sound;
	int64_t software = software_mono(s->wall_ns, now, &sound);
	int64_t difference;

	/* Beyond that, the year 2116 where it tells wall time, it is no clock of nanoseconds. */
	if (s->hardware_ns <= 0 || s->hardware_ns > INT64_MAX / 2 || !sound)
		return in_order(c, software, now->mono_ns);
	difference = software - s->hardware_ns;
	learn(c, difference, software);
	return in_order(c, s->hardware_ns + min64(c->least, c->least_before), now->mono_ns);
}
