/* The clock of this boot: for the outbox's ages, and for those who have seen wrong times. */
#include "agent/publish/publish_private.h"
#include "agent/store/totals.h"

enum { LOOK_S = 10, NOTICE_BYTES_MAX = 256 };

static void tell_store(struct publish *p)
{
	const struct clock_repair *c = &p->clock;
	const struct clock_pair *best = c->known ? &c->good : &c->pair;
	enum clock_quality q = c->known ? CLOCK_SYNCED : c->quality;
	int r = store_set_clock(p->store, best->wall_ns, best->mono_ns, q);

	if (r < 0)
		log_warn("clock_not_kept", "what=%s", strerror(-r));
}

static int put_notice(struct publish *p, const struct clock_notice *n)
{
	struct buf body cleanup(buf_free) = BUF_INIT(NOTICE_BYTES_MAX);
	struct store_item item = {.class = CLASS_STATUS, .encoding = ENCODING_CLOCK};
	struct store_dropped dropped;
	struct store_count stored;
	int r = clock_notice_encode(n, &body);

	if (r < 0)
		return r;
	item.body = body.data;
	item.body_len = body.len;
	r = store_put(p->store, &item, 1, &stored, &dropped);
	if (r < 0)
		return r;
	store_show_dropped(&dropped, p->counters);
	counter_add(&p->counters->batches_stored, stored.rows);
	return 0;
}

static void tell_relay(struct publish *p)
{
	struct clock_notice n;
	int r;

	if (!clock_repair_owes(&p->clock, &n))
		return;
	r = put_notice(p, &n);
	if (r < 0) { /* tried again with the next look */
		if (!p->clock_failed)
			log_warn("clock_notice_failed", "what=%s retry_s=%d", strerror(-r), LOOK_S);
		p->clock_failed = true;
		return;
	}
	p->clock_failed = false;
	clock_repair_told(&p->clock);
	counter_add(&p->counters->clock_notices, 1);
	p->empty &= ~(1u << lane_of(CLASS_STATUS, true));
	p->opt.changed(p->opt.ctx);
}

void publish_clock_look(struct publish *p)
{
	if (clock_repair_look(&p->clock))
		log_info("clock_known", "wall_less_mono_ms=%" PRId64,
			 (p->clock.good.wall_ns - p->clock.good.mono_ns) / NS_PER_MS);
	tell_store(p);
	tell_relay(p);
}

static void on_look(struct loop_timer *t)
{
	struct publish *p = t->ctx;

	publish_clock_look(p);
	publish_sweep(p);
	publish_freshen(p);
	publish_pump(p);
	loop_timer_in(p->loop, t, LOOK_S * NS_PER_S);
}

void publish_clock_start(struct publish *p)
{
	clock_repair_init(&p->clock, &(struct clock_repair_options){.tb = p->opt.tb,
								    .boot_id = p->opt.boot_id,
								    .quality = p->opt.clock_quality,
								    .ctx = p->opt.ctx});
	p->look = (struct loop_timer){.cb = on_look, .ctx = p};
	tell_store(p);
	loop_timer_in(p->loop, &p->look, LOOK_S * NS_PER_S);
}
