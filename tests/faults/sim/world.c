#include "tests/faults/sim/world.h"

#include "proto/topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

struct world sim;

static struct event *events;
static size_t n_events, events_cap;
static uint64_t first_random;

/* ---- chance ---- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t chance(void)
{
	sim.random += 0x9e3779b97f4a7c15u;
	return mix(sim.random);
}

uint64_t chance_of(uint64_t key)
{
	return mix(mix(first_random + key) + 0x9e3779b97f4a7c15u);
}

uint64_t chance_below(uint64_t n)
{
	return chance() % n;
}

bool chance_is(unsigned per_mille)
{
	return chance_below(1000) < per_mille;
}

int64_t chance_about(int64_t ns)
{
	return ns / 2 + (int64_t)chance_below((uint64_t)ns + 1);
}

/* What the programs take for random (base/bytes.h) is of the seed too. */
ssize_t getrandom(void *data, size_t len, unsigned flags)
{
	uint8_t *p = data;

	(void)flags;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(chance() >> 32);
	return (ssize_t)len;
}

/* ---- clocks ---- */

enum { MONO_AT_BOOT_S = 100 };

static struct mono_time world_mono(void *ctx)
{
	(void)ctx;
	return (struct mono_time){sim.now_ns};
}

static struct wall_time world_wall(void *ctx)
{
	(void)ctx;
	return (struct wall_time){sim.now_ns + SIM_EPOCH_NS};
}

static struct mono_time machine_mono(void *ctx)
{
	const struct machine *m = ctx;

	return (struct mono_time){sim.now_ns - m->booted_ns + MONO_AT_BOOT_S * NS_PER_S};
}

static struct wall_time machine_wall(void *ctx)
{
	const struct machine *m = ctx;

	return (struct wall_time){sim.now_ns + SIM_EPOCH_NS + m->wall_error_ns};
}

int64_t machine_sim_ns(const struct machine *m, int64_t mono_ns)
{
	return mono_ns + m->booted_ns - MONO_AT_BOOT_S * NS_PER_S;
}

void machine_add(struct machine *m, const char *name, const char *root)
{
	assert(sim.n_machines < MACHINES_MAX);
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	(void)snprintf(m->folder, sizeof(m->folder), "%s/%s", root, name);
	m->tb = (struct timebase){machine_mono, machine_wall, m};
	machine_boot(m);
	sim.machines[sim.n_machines++] = m;
}

void machine_boot(struct machine *m)
{
	m->booted_ns = sim.now_ns;
}

/* ---- time ---- */

void world_open(uint64_t seed)
{
	sim = (struct world){.random = mix(seed + 1), .hash = 0xcbf29ce484222325u};
	first_random = sim.random;
	sim.tb = (struct timebase){world_mono, world_wall, NULL};
	if (loop_new(&sim.loop, &sim.tb) < 0)
		abort();
}

void world_close(void)
{
	sim.loop = loop_free(sim.loop);
	free(events);
	events = NULL;
	n_events = events_cap = 0;
}

/* When a machine's loop is to be turned. */
static int64_t due_of(const struct machine *m)
{
	struct mono_time due;
	int64_t at;

	if (!m->loop || !loop_next_due(m->loop, &due))
		return INT64_MAX;
	at = machine_sim_ns(m, due.ns);
	return at > m->frozen_until ? at : m->frozen_until;
}

bool world_step(int64_t until_ns)
{
	struct mono_time own;
	struct loop *next = sim.loop;
	int64_t at = loop_next_due(sim.loop, &own) ? own.ns : INT64_MAX;

	for (size_t i = 0; i < sim.n_machines; i++) {
		int64_t due = due_of(sim.machines[i]);

		if (due < at) {
			at = due;
			next = sim.machines[i]->loop;
		}
	}
	if (at > until_ns) {
		sim.now_ns = until_ns;
		return false;
	}
	if (at > sim.now_ns)
		sim.now_ns = at;
	if (loop_turn(next, 0) < 0)
		abort();
	return true;
}

/* ---- what happened ---- */

void event_hash(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		sim.hash = (sim.hash ^ p[i]) * 0x100000001b3u; /* FNV-1a */
}

static void hash_event(const struct event *e)
{
	uint64_t words[] = {(uint64_t)e->at_ns,
			    (uint64_t)e->kind,
			    (uint64_t)(uint8_t)e->agent,
			    (uint64_t)(uint8_t)e->class,
			    e->epoch,
			    e->from,
			    e->through};

	event_hash(words, sizeof(words));
	event_hash(e->what, strlen(e->what));
	sim.n_events++;
}

static const char *kind_name(enum event_kind k)
{
	static const char *const names[] = {
		[EVENT_FAULT] = "FAULT",
		[EVENT_UP] = "up",
		[EVENT_DOWN] = "down",
		[EVENT_STORED] = "stored",
		[EVENT_PUBLISHED] = "published",
		[EVENT_REFUSED] = "refused",
		[EVENT_LOST] = "lost",
		[EVENT_DELIVERED] = "delivered",
		[EVENT_RECEIPT] = "receipt",
		[EVENT_CONNECTED] = "connected",
		[EVENT_DISCONNECTED] = "disconnected",
	};

	return names[k];
}

static void print_event(const struct event *e)
{
	char when[48];
	int64_t ms = e->at_ns / NS_PER_MS;

	(void)snprintf(when, sizeof(when), "%02" PRId64 ":%02d:%02d.%03d", ms / 3600000,
		       (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
	if (e->agent < 0)
		fprintf(stderr, "  %s %-12s %s\n", when, kind_name(e->kind), e->what);
	else if (e->class < 0)
		fprintf(stderr, "  %s %-12s v%d %s\n", when, kind_name(e->kind), e->agent, e->what);
	else
		fprintf(stderr, "  %s %-12s v%d %-6s %016" PRIx64 " %" PRIu64 "-%" PRIu64 " %s\n",
			when, kind_name(e->kind), e->agent, class_name((enum uplink_class)e->class),
			e->epoch, e->from, e->through, e->what);
}

void event_note(const struct event *e)
{
	struct event mine = *e;

	mine.at_ns = sim.now_ns;
	hash_event(&mine);
	if (sim.trace)
		print_event(&mine);
	if (n_events == events_cap) {
		events_cap = events_cap ? events_cap * 2 : 4096;
		events = realloc(events, events_cap * sizeof(*events));
		if (!events)
			abort();
	}
	events[n_events++] = mine;
}

static bool is_about(const struct event *e, const struct event *lost)
{
	if (e->agent >= 0 && e->agent != lost->agent)
		return false;
	if (e->class < 0)
		return e->at_ns > lost->at_ns - HOUR_NS && e->at_ns < lost->at_ns + HOUR_NS;
	if (e->kind == EVENT_RECEIPT && e->at_ns > lost->at_ns + 5 * MINUTE_NS)
		return false; /* all that come later cover it */
	return e->class == lost->class && e->epoch == lost->epoch && e->from <= lost->through &&
	       e->through >= lost->from;
}

enum { AROUND_MAX = 120 };

void event_print_around(const struct event *lost)
{
	size_t n = 0;

	for (size_t i = 0; i < n_events && n < AROUND_MAX; i++) {
		if (!is_about(&events[i], lost))
			continue;
		print_event(&events[i]);
		n++;
	}
}
