#include "agent/publish/clock_repair.h"

enum { STEP_S = 1 }; /* less is what a clock that is disciplined does, and leap seconds */

static enum clock_quality read_quality(void *ctx)
{
	(void)ctx;
	return clock_quality_read();
}

void clock_repair_init(struct clock_repair *c, const struct clock_repair_options *opt)
{
	*c = (struct clock_repair){.opt = *opt};
	if (!c->opt.quality)
		c->opt.quality = read_quality;
	(void)clock_repair_look(c);
}

static int64_t offset_of(const struct clock_pair *p)
{
	return p->wall_ns - p->mono_ns;
}

static bool is_step(int64_t a, int64_t b, int64_t slack_ns)
{
	int64_t by;

	return __builtin_sub_overflow(a, b, &by) || by > STEP_S * NS_PER_S + slack_ns ||
	       by < -STEP_S * NS_PER_S - slack_ns;
}

/* What went out under the clock before is to be mended. */
static void begin(struct clock_repair *c)
{
	if (c->known ? c->sent : c->sent_worse)
		c->owed = true;
	c->known = true;
	c->noted_earlier = false;
	c->told_ns = offset_of(&c->pair);
}

bool clock_repair_look(struct clock_repair *c)
{
	bool changed;

	c->pair = clock_pair_read(c->opt.tb, 1);
	c->quality = c->opt.quality(c->opt.ctx);
	if (c->quality != CLOCK_SYNCED || c->pair.wall_ns < 0)
		return false;
	changed = !c->known || is_step(offset_of(&c->pair), c->told_ns, 0);
	if (changed)
		begin(c);
	c->good = c->pair;
	return changed;
}

/* Batches of other boots have mono times of theirs. */
static bool is_worse(const struct clock_repair *c, const struct batch_clock *b)
{
	int64_t offset;

	if (b->quality != CLOCK_SYNCED || __builtin_sub_overflow(b->wall_ns, b->mono_ns, &offset))
		return true;
	return is_step(offset, offset_of(&c->good), b->unit_ns); /* times are off by that at most */
}

int clock_repair_send(struct clock_repair *c, const void *body, size_t len, bool earlier,
		      struct buf *out)
{
	struct batch_clock clock;
	struct error err;
	int r = batch_clock_read(&clock, body, len, &err);

	if (r < 0)
		return r;
	if (clock.boot_id != c->opt.boot_id)
		return 0;
	c->sent = true;
	if (!c->known) {
		c->sent_worse = c->sent_worse || clock.quality != CLOCK_SYNCED;
		return 0;
	}
	if (!is_worse(c, &clock))
		return 0;
	r = batch_rebase(body, len, c->good.wall_ns, c->good.mono_ns, CLOCK_SYNCED, out, &err);
	if (r < 0)
		return r;
	if (earlier && !c->noted_earlier)
		c->owed = c->noted_earlier = true;
	return CLOCK_REPAIRED;
}

bool clock_repair_owes(const struct clock_repair *c, struct clock_notice *ret)
{
	if (!c->owed)
		return false;
	*ret = (struct clock_notice){
		.boot_id = c->opt.boot_id,
		.wall_ns = c->good.wall_ns,
		.mono_ns = c->good.mono_ns,
		.quality = CLOCK_SYNCED,
	};
	return true;
}

void clock_repair_told(struct clock_repair *c)
{
	c->owed = c->sent_worse = false;
}
