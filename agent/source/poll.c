#include "agent/source/poll.h"

static struct poll_item *earliest(struct poll *p)
{
	struct poll_item *first = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (!first || p->items[i].due.ns < first->due.ns)
			first = &p->items[i];
	return first;
}

static void set_timer(struct poll *p)
{
	const struct poll_item *it = earliest(p);
	struct mono_time due;

	if (!p->running || p->asking || !it)
		return;
	due = it->due.ns > p->not_before.ns ? it->due : p->not_before;
	loop_timer_at(p->loop, &p->timer, due);
}

/* To the first time of its grid that is still ahead. */
static void advance(struct poll *p, struct poll_item *it, struct mono_time now)
{
	int64_t turns = (now.ns - it->due.ns) / it->period_ns + 1;

	it->due.ns += turns * it->period_ns;
	p->skipped += (uint64_t)(turns - 1);
}

static void on_timer(struct loop_timer *t)
{
	struct poll *p = t->ctx;
	struct poll_item *it = earliest(p);

	if (!it)
		return; /* set only with an item */
	advance(p, it, loop_now(p->loop));
	p->asking = true;
	p->ask(p, (size_t)(it - p->items));
}

int poll_init(struct poll *p, size_t max)
{
	p->timer = (struct loop_timer){.cb = on_timer, .ctx = p};
	p->items = calloc(max + 1, sizeof(*p->items));
	p->max = max;
	return p->items ? 0 : -ENOMEM;
}

void poll_free(struct poll *p)
{
	poll_clear(p);
	free(p->items);
	p->items = NULL;
}

int poll_add(struct poll *p, int64_t period_ns)
{
	assert(period_ns > 0);
	if (p->n == p->max)
		return -ENOSPC;
	p->items[p->n++] = (struct poll_item){.period_ns = period_ns, .due = {INT64_MAX}};
	return 0;
}

void poll_clear(struct poll *p)
{
	poll_stop(p);
	p->n = 0;
}

void poll_start(struct poll *p)
{
	struct mono_time now = loop_now(p->loop);

	for (size_t i = 0; i < p->n; i++) {
		struct poll_item *it = &p->items[i];
		int64_t most = POLL_SPREAD_S * NS_PER_S;
		int64_t over = it->period_ns < most ? it->period_ns : most;

		it->due.ns = now.ns + over / (int64_t)p->n * (int64_t)i;
	}
	p->running = true;
	loop_timer_cancel(&p->timer);
	set_timer(p);
}

void poll_stop(struct poll *p)
{
	p->running = p->asking = false;
	p->not_before = (struct mono_time){0};
	loop_timer_cancel(&p->timer);
}

static void wait_at_least(struct poll *p, int64_t ns)
{
	int64_t until = loop_now(p->loop).ns + ns;

	if (until > p->not_before.ns)
		p->not_before.ns = until;
}

void poll_done(struct poll *p)
{
	if (!p->asking)
		return;
	p->asking = false;
	wait_at_least(p, p->gap_ns);
	set_timer(p);
}

void poll_hold(struct poll *p, int64_t ns)
{
	wait_at_least(p, ns);
	set_timer(p);
}
