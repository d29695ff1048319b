#include "tests/faults/sim/trouble.h"

#include "tests/fakes/faulty_vfs.h"
#include "tests/faults/sim/broker.h"
#include "tests/faults/sim/cloud.h"

#include <stdio.h>
#include <string.h>

enum { REASON_FULL = 0x97, REASON_NOT_AUTHORIZED = 0x87 };

/* What lasts, each with its end. */
enum lasting { LASTS_LINK, LASTS_DISK, LASTS_CLOCK, LASTS_BURST, LASTS_KINDS };

static struct trouble {
	struct vehicle *const *vehicles;
	unsigned n;
	int64_t every_ns;
	const char *only, *without;
	struct loop_timer next, broker_back, broker_well, unthrottled, restore;
	struct loop_timer ends[MACHINES_MAX][LASTS_KINDS];
	int64_t moved_ns[MACHINES_MAX]; /* of a wall clock */
	bool ended;
	uint64_t counts[TROUBLE_KINDS];
} trouble;

static const struct {
	const char *name;
	unsigned weight;
} kinds[TROUBLE_KINDS] = {
	[TROUBLE_AGENT_KILL] = {"agent-kill", 10},
	[TROUBLE_AGENT_STOP] = {"agent-stop", 5},
	[TROUBLE_AGENT_POWER] = {"agent-power", 8},
	[TROUBLE_AGENT_DISK] = {"agent-disk", 8},
	[TROUBLE_AGENT_FREEZE] = {"agent-freeze", 2},
	[TROUBLE_AGENT_CLOCK] = {"agent-clock", 3},
	[TROUBLE_AGENT_BOOT_WRONG] = {"agent-boot-wrong", 4},
	[TROUBLE_AGENT_BURST] = {"agent-burst", 3},
	[TROUBLE_AGENT_OFFLINE] = {"agent-offline", 3},
	[TROUBLE_RELAY_KILL] = {"relay-kill", 6},
	[TROUBLE_RELAY_STOP] = {"relay-stop", 3},
	[TROUBLE_RELAY_POWER] = {"relay-power", 4},
	[TROUBLE_RELAY_DISK] = {"relay-disk", 5},
	[TROUBLE_RELAY_FREEZE] = {"relay-freeze", 2},
	[TROUBLE_RELAY_CLOCK] = {"relay-clock", 2},
	[TROUBLE_RELAY_RESTORE] = {"relay-restore", 2},
	[TROUBLE_RELAY_THROTTLE] = {"relay-throttle", 3},
	[TROUBLE_BROKER_DOWN] = {"broker-down", 5},
	[TROUBLE_BROKER_LOSES] = {"broker-loses", 3},
	[TROUBLE_BROKER_REFUSES] = {"broker-refuses", 3},
	[TROUBLE_RECEIPTS_LOST] = {"receipts-lost", 4},
	[TROUBLE_NET_DOWN] = {"net-down", 6},
	[TROUBLE_NET_RESET] = {"net-reset", 6},
	[TROUBLE_NET_STALL] = {"net-stall", 4},
	[TROUBLE_NET_SLOW] = {"net-slow", 4},
	[TROUBLE_NET_TWICE] = {"net-twice", 3},
};

const char *trouble_name(enum trouble_kind k)
{
	return kinds[k].name;
}

uint64_t trouble_count(enum trouble_kind k)
{
	return trouble.counts[k];
}

/* ---- what of it ends ---- */

/* 0: the relay; others: vehicle i - 1. */
static struct machine *machine_of(size_t i)
{
	return i == 0 ? cloud_machine() : vehicle_machine(trouble.vehicles[i - 1]);
}

static void clock_moves(size_t i, int64_t by_ns)
{
	trouble.moved_ns[i] += by_ns;
	if (i == 0)
		cloud_clock_moves(by_ns);
	else
		vehicle_clock_moves(trouble.vehicles[i - 1], by_ns);
}

static void on_end(struct loop_timer *t)
{
	static const struct link_trouble none;
	size_t at = (size_t)(t - &trouble.ends[0][0]);
	size_t i = at / LASTS_KINDS;

	switch ((enum lasting)(at % LASTS_KINDS)) {
	case LASTS_LINK:
		link_trouble(machine_of(i), &none);
		break;
	case LASTS_DISK:
		faulty_vfs_select(machine_of(i)->folder);
		faulty_vfs_plan(NULL);
		break;
	case LASTS_CLOCK:
		clock_moves(i, -trouble.moved_ns[i]);
		break;
	case LASTS_BURST:
		vehicle_load(trouble.vehicles[i - 1], trouble.ended ? 0 : 1);
		break;
	case LASTS_KINDS:
		break;
	}
}

static void on_broker_back(struct loop_timer *t)
{
	(void)t;
	sim_broker_up();
}

static void on_broker_well(struct loop_timer *t)
{
	static const struct broker_trouble none;

	(void)t;
	sim_broker_trouble(&none);
}

static void on_unthrottled(struct loop_timer *t)
{
	(void)t;
	cloud_throttle(0);
}

static void on_restore(struct loop_timer *t)
{
	(void)t;
	cloud_restore(chance_about(20 * NS_PER_S));
}

static void ends_in(size_t i, enum lasting l, int64_t ns)
{
	loop_timer_in(sim.loop, &trouble.ends[i][l], ns);
}

/* ---- what begins ---- */

/* Most are short, some are not. */
static int64_t away(void)
{
	return chance_is(800) ? chance_about(10 * NS_PER_S) : chance_about(20 * MINUTE_NS);
}

static void disk(size_t i)
{
	static const enum faulty_how hows[] = {FAULTY_EIO, FAULTY_ENOSPC, FAULTY_SHORT};
	static const unsigned ops[] = {FAULTY_WRITE, FAULTY_SYNC, FAULTY_CHANGES, FAULTY_READ,
				       FAULTY_CHANGES | FAULTY_READ | FAULTY_OPEN};
	struct faulty_plan p = {.ops = ops[chance_below(array_len(ops))],
				.how = hows[chance_below(array_len(hows))],
				.seed = chance()};

	if (chance_is(500)) {
		p.nth = 1 + chance_below(20);
		p.stays = true;
	} else {
		p.per_mille = 20 + (unsigned)chance_below(300);
	}
	faulty_vfs_select(machine_of(i)->folder);
	faulty_vfs_plan(&p);
	ends_in(i, LASTS_DISK, chance_about(2 * MINUTE_NS));
}

static void link_begins(size_t i, const struct link_trouble *t, int64_t for_ns)
{
	link_trouble(machine_of(i), t);
	ends_in(i, LASTS_LINK, for_ns);
}

static void net(enum trouble_kind k)
{
	size_t i = (size_t)chance_below(trouble.n + 1);
	struct link_trouble t = {0};

	switch ((int)k) {
	case TROUBLE_NET_DOWN:
		t.down = true;
		break;
	case TROUBLE_NET_STALL:
		t.stalled = true;
		break;
	case TROUBLE_NET_SLOW:
		t.extra_ns = (int64_t)chance_below(5000) * NS_PER_MS;
		t.bytes_per_s = 200 + (int64_t)chance_below(20000);
		break;
	case TROUBLE_NET_TWICE:
		t.twice_per_mille = 300;
		break;
	default:
		link_reset(machine_of(i));
		return;
	}
	link_begins(i, &t, away());
}

static void broker_begins(enum trouble_kind k)
{
	struct broker_trouble t = {0};

	if (k == TROUBLE_BROKER_DOWN) {
		sim_broker_down((enum broker_loss)chance_below(3));
		loop_timer_in(sim.loop, &trouble.broker_back, away());
		return;
	}
	t.lose_receipts = k == TROUBLE_RECEIPTS_LOST;
	if (k == TROUBLE_BROKER_LOSES)
		t.lose_per_mille = 50 + (unsigned)chance_below(950);
	if (k == TROUBLE_BROKER_REFUSES)
		t.refuse_per_mille = 50 + (unsigned)chance_below(950);
	t.refuse_reason = chance_is(500) ? REASON_FULL : REASON_NOT_AUTHORIZED;
	sim_broker_trouble(&t);
	loop_timer_in(sim.loop, &trouble.broker_well, away());
}

static int64_t some_jump(void)
{
	int64_t by = chance_about(chance_is(500) ? 3 * HOUR_NS : 100 * 24 * HOUR_NS);

	return chance_is(500) ? by : -by;
}

static void clock_begins(size_t i)
{
	if (trouble.moved_ns[i] != 0)
		return;
	clock_moves(i, some_jump());
	ends_in(i, LASTS_CLOCK, chance_about(30 * MINUTE_NS));
}

static void relay_begins(enum trouble_kind k)
{
	switch ((int)k) {
	case TROUBLE_RELAY_KILL:
		cloud_end(CLOUD_KILLED, away());
		break;
	case TROUBLE_RELAY_STOP:
		cloud_end(CLOUD_STOPPED, away());
		break;
	case TROUBLE_RELAY_POWER:
		cloud_end(CLOUD_CUT, away());
		break;
	case TROUBLE_RELAY_DISK:
		disk(0);
		break;
	case TROUBLE_RELAY_FREEZE:
		cloud_freeze(chance_about(30 * NS_PER_S));
		break;
	case TROUBLE_RELAY_CLOCK:
		clock_begins(0);
		break;
	case TROUBLE_RELAY_RESTORE:
		if (loop_timer_is_set(&trouble.restore))
			break;
		cloud_copy();
		loop_timer_in(sim.loop, &trouble.restore, chance_about(20 * MINUTE_NS));
		break;
	case TROUBLE_RELAY_THROTTLE:
		cloud_throttle(1);
		loop_timer_in(sim.loop, &trouble.unthrottled, chance_about(10 * MINUTE_NS));
		break;
	default:
		break;
	}
}

static void agent_begins(enum trouble_kind k)
{
	unsigned i = (unsigned)chance_below(trouble.n);
	struct vehicle *v = trouble.vehicles[i];
	struct link_trouble down = {.down = true};

	switch ((int)k) {
	case TROUBLE_AGENT_KILL:
		vehicle_end(v, VEHICLE_KILLED, away());
		break;
	case TROUBLE_AGENT_STOP:
		vehicle_end(v, VEHICLE_STOPPED, away());
		break;
	case TROUBLE_AGENT_BOOT_WRONG:
		vehicle_boots_wrong(v, chance_about(chance_is(500) ? MINUTE_NS : 2 * HOUR_NS));
		vehicle_end(v, VEHICLE_CUT, away());
		break;
	case TROUBLE_AGENT_POWER:
		vehicle_end(v, VEHICLE_CUT, away());
		break;
	case TROUBLE_AGENT_DISK:
		disk(i + 1);
		break;
	case TROUBLE_AGENT_FREEZE:
		vehicle_freeze(v, chance_about(30 * NS_PER_S));
		break;
	case TROUBLE_AGENT_CLOCK:
		clock_begins(i + 1);
		break;
	case TROUBLE_AGENT_BURST:
		vehicle_load(v, 40);
		ends_in(i + 1, LASTS_BURST, chance_about(30 * NS_PER_S));
		break;
	case TROUBLE_AGENT_OFFLINE:
		link_begins(i + 1, &down, chance_about(2 * HOUR_NS));
		break;
	default:
		break;
	}
}

static bool begins(enum trouble_kind k, const char *with)
{
	return strncmp(kinds[k].name, with, strlen(with)) == 0;
}

static bool is_chosen(enum trouble_kind k)
{
	return (!trouble.only || begins(k, trouble.only)) &&
	       (!trouble.without || !begins(k, trouble.without));
}

static enum trouble_kind choose(void)
{
	uint64_t sum = 0, at;
	unsigned k = 0;

	for (unsigned i = 0; i < TROUBLE_KINDS; i++)
		sum += is_chosen((enum trouble_kind)i) ? kinds[i].weight : 0;
	at = chance_below(sum);
	for (;; k++) {
		unsigned weight = is_chosen((enum trouble_kind)k) ? kinds[k].weight : 0;

		if (at < weight)
			return (enum trouble_kind)k;
		at -= weight;
	}
}

static void on_next(struct loop_timer *t)
{
	enum trouble_kind k = choose();
	struct event e = {.kind = EVENT_FAULT, .agent = -1, .class = -1};

	(void)snprintf(e.what, sizeof(e.what), "%s", kinds[k].name);
	event_note(&e);
	trouble.counts[k]++;
	if (k <= TROUBLE_AGENT_OFFLINE)
		agent_begins(k);
	else if (k <= TROUBLE_RELAY_THROTTLE)
		relay_begins(k);
	else if (k <= TROUBLE_RECEIPTS_LOST)
		broker_begins(k);
	else
		net(k);
	loop_timer_in(sim.loop, t, chance_about(trouble.every_ns));
}

/* ---- life ---- */

void trouble_open(struct vehicle *const *vehicles, unsigned n, int64_t every_ns, const char *only,
		  const char *without)
{
	trouble = (struct trouble){.vehicles = vehicles, .n = n, .every_ns = every_ns};
	trouble.only = only;
	trouble.without = without;
	trouble.next = (struct loop_timer){.cb = on_next};
	trouble.broker_back = (struct loop_timer){.cb = on_broker_back};
	trouble.broker_well = (struct loop_timer){.cb = on_broker_well};
	trouble.unthrottled = (struct loop_timer){.cb = on_unthrottled};
	trouble.restore = (struct loop_timer){.cb = on_restore};
	for (size_t i = 0; i < MACHINES_MAX; i++)
		for (size_t k = 0; k < LASTS_KINDS; k++)
			trouble.ends[i][k] = (struct loop_timer){.cb = on_end};
	loop_timer_in(sim.loop, &trouble.next, every_ns);
}

static void end_now(struct loop_timer *t)
{
	if (!loop_timer_is_set(t))
		return;
	loop_timer_cancel(t);
	t->cb(t);
}

void trouble_end(void)
{
	trouble.ended = true;
	loop_timer_cancel(&trouble.next);
	end_now(&trouble.broker_back);
	end_now(&trouble.broker_well);
	end_now(&trouble.unthrottled);
	end_now(&trouble.restore);
	for (size_t i = 0; i < MACHINES_MAX; i++)
		for (size_t k = 0; k < LASTS_KINDS; k++)
			end_now(&trouble.ends[i][k]);
}
