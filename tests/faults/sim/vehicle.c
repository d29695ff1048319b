#include "tests/faults/sim/vehicle.h"

#include "agent/source/clock.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/faults/sim/broker.h"
#include "tests/faults/sim/opened.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BUILDERS = 8,
	WAITING_MAX = 32, /* batches that are neither committed nor lost */
	PATH_BYTES = 256,
	UNSAVED_BYTES = 8192,
	UNIT_NS = 1000000,
	RESTART_S = 5,		/* of an agent that ended by itself */
	KNOWN_S = 90,		/* a clock that is right for so long is told */
	OUTBOXES = 3,		/* kinds of them */
	FAR_PAST_S = 946684800, /* 2000-01-01 */
};

struct vehicle {
	struct machine m;
	unsigned n;
	const struct catalog *cat;
	char path[PATH_BYTES], id[16];
	struct store_options store;
	struct batch_queue *queue;
	struct counters counters;
	struct uplink *uplink;
	uint64_t boot_id;
	enum clock_quality quality;
	int64_t wrong_for_ns; /* of the next boot; 0: it is right at once */
	uint64_t next[CLASS_COUNT];
	unsigned times;
	bool settled;
	struct loop_timer load[CLASS_COUNT], start, failed, synced, known;
	struct ledger_batch waiting[WAITING_MAX]; /* in the order of the queue */
	enum uplink_class waiting_class[WAITING_MAX];
	size_t n_waiting;
};

static struct vehicle *vehicles[AGENTS_MAX];
static struct vehicle *current; /* whose agent is being made */

static void note(const struct vehicle *v, enum event_kind kind, const char *what)
{
	struct event e = {.kind = kind, .agent = (int8_t)v->n, .class = -1};

	(void)snprintf(e.what, sizeof(e.what), "%s", what);
	event_note(&e);
}

/* ---- commits ---- */

static struct vehicle *owner(const struct store *s)
{
	for (unsigned i = 0; i < AGENTS_MAX; i++)
		if (vehicles[i] && vehicles[i]->uplink && opened_store(vehicles[i]->uplink) == s)
			return vehicles[i];
	abort();
}

static void note_stored(struct vehicle *v, struct ledger_batch *b, enum uplink_class class)
{
	struct event e = {.kind = EVENT_STORED,
			  .agent = (int8_t)v->n,
			  .class = (int8_t) class,
			  .epoch = b->epoch,
			  .from = b->seq,
			  .through = b->seq};

	(void)snprintf(e.what, sizeof(e.what), "%" PRIu64 "+%u", b->first, b->n);
	event_note(&e);
	ledger_stored(v->n, class, b->first, b->epoch, b->seq);
}

int opened_store_put(struct store *s, const struct store_item *items, size_t n,
		     struct store_count *ret_stored, struct store_dropped *ret_dropped)
{
	struct vehicle *v = owner(s);
	uint64_t given[CLASS_COUNT] = {0};
	int r = store_put(s, items, n, ret_stored, ret_dropped);

	if (r < 0)
		return r;
	assert(n <= v->n_waiting);
	for (size_t i = n; i > 0; i--) {
		struct ledger_batch *b = &v->waiting[i - 1];
		enum uplink_class class = items[i - 1].class;

		assert(v->waiting_class[i - 1] == class && items[i - 1].samples == b->n);
		b->epoch = store_epoch(s);
		b->seq = store_last_seq(s, class) - given[class]++;
		b->stored_ns = sim.now_ns;
	}
	for (size_t i = 0; i < n; i++)
		note_stored(v, &v->waiting[i], v->waiting_class[i]);
	v->n_waiting -= n;
	memmove(v->waiting, v->waiting + n, v->n_waiting * sizeof(*v->waiting));
	memmove(v->waiting_class, v->waiting_class + n, v->n_waiting * sizeof(*v->waiting_class));
	return 0;
}

/* ---- load ---- */

struct load {
	int64_t every_ns;
	unsigned samples;
};

static const struct load loads[CLASS_COUNT] = {
	[CLASS_EVENT] = {60 * NS_PER_S, 3},
	[CLASS_LIVE] = {12 * NS_PER_S, 8},
	[CLASS_BULK] = {20 * NS_PER_S, BATCH_SAMPLES_TOP},
	[CLASS_LOG] = {300 * NS_PER_S, 4},
	[CLASS_STATUS] = {600 * NS_PER_S, 2},
};

static void fill(struct vehicle *v, struct batch_builder *b, enum uplink_class class,
		 const struct ledger_batch *l)
{
	int64_t mono = l->first_ns - machine_sim_ns(&v->m, 0);

	for (unsigned i = 0; i < l->n; i++) {
		struct sample s = {.raw = ledger_value(v->n, class, l->first + i)};

		if (batch_builder_add(b, 0, mono + (int64_t)i * l->step_ns, &s, 1) != 0)
			abort();
	}
}

/* The samples' last one is now. */
static void make_batch(struct vehicle *v, enum uplink_class class)
{
	struct clock_pair pair = clock_pair_read(&v->m.tb, UNIT_NS);
	struct closed_batch c = {.class = class};
	struct ledger_batch l = {.first = v->next[class], .boot = v->boot_id};

	l.n = 1 + (unsigned)chance_below(loads[class].samples);
	l.step_ns = (1 + (int64_t)chance_below(1000)) * NS_PER_MS;
	l.first_ns = sim.now_ns - (l.n - 1) * l.step_ns;
	if (!v->uplink || v->m.frozen_until > sim.now_ns || v->n_waiting == WAITING_MAX)
		return;
	c.builder = batch_queue_take(v->queue);
	if (!c.builder) /* the disk refuses: sources wait */
		return;
	c.header = (struct batch_header){.boot_id = v->boot_id,
					 .wall_base_ns = pair.wall_ns,
					 .mono_base_ns = pair.mono_ns,
					 .clock_quality = v->quality,
					 .catalog_id = v->cat->id,
					 .time_unit_ns = UNIT_NS};
	fill(v, c.builder, class, &l);
	v->next[class] += l.n;
	ledger_made(v->n, class, &l);
	v->waiting[v->n_waiting] = l;
	v->waiting_class[v->n_waiting++] = class;
	batch_queue_put(v->queue, &c);
	uplink_kick(v->uplink);
	if (loop_turn(v->m.loop, 0) < 0)
		abort();
}

static void on_load(struct loop_timer *t)
{
	struct vehicle *v = t->ctx;
	enum uplink_class class = (enum uplink_class)(t - v->load);

	if (v->times > 0)
		make_batch(v, class);
	loop_timer_in(sim.loop, t, chance_about(loads[class].every_ns) / (v->times ? v->times : 1));
}

void vehicle_load(struct vehicle *v, unsigned times)
{
	v->times = times;
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		loop_timer_in(sim.loop, &v->load[k],
			      chance_about(loads[k].every_ns) / (times ? times : 1));
}

void vehicle_probe(struct vehicle *v)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		make_batch(v, (enum uplink_class)k);
}

/* ---- the agent's life ---- */

static void back_room(void *ctx)
{
	(void)ctx;
}

static void back_failed(void *ctx)
{
	struct vehicle *v = ctx;

	loop_timer_in(sim.loop, &v->failed, 0);
}

static enum clock_quality back_quality(void *ctx)
{
	(void)ctx;
	return current->quality;
}

static enum clock_quality quality_of(void *ctx)
{
	for (unsigned i = 0; i < AGENTS_MAX; i++)
		if (vehicles[i] && vehicles[i]->uplink == ctx)
			return vehicles[i]->quality;
	return back_quality(ctx);
}

static struct uplink_options options(struct vehicle *v)
{
	return (struct uplink_options){
		.outbox_path = v->path,
		.store = v->store,
		.publish = {.vehicle = v->id,
			    .device = v->m.name,
			    .mqtt = {.uri = "mqtt://sim",
				     .keepalive_s = 30,
				     .session_expiry_s = 86400,
				     .backoff_min_ms = 500,
				     .backoff_max_ms = 60000,
				     .connect_timeout_s = 10,
				     .receive_maximum = 64,
				     .queue_bytes = 1 << 20},
			    .window_rows = 1024,
			    .window_bytes = 4 << 20,
			    .receipt_timeout_ns = 30 * NS_PER_S,
			    .boot_id = v->boot_id,
			    .tb = &v->m.tb,
			    .clock_quality = quality_of},
		.tb = &v->m.tb,
	};
}

static int start(struct vehicle *v, struct error *err)
{
	struct uplink_handlers on = {back_room, back_room, back_failed, back_room, v};
	struct uplink_options opt = options(v);
	int r = batch_queue_new(&v->queue, v->cat, NULL, BUILDERS, BATCH_SAMPLES_TOP, UNIT_NS);

	opt.store.boot_id = v->boot_id;
	opt.store.tb = &v->m.tb;
	current = v;
	if (r == 0)
		r = uplink_new(&v->uplink, v->queue, &v->counters, &opt, &on, err);
	if (r == 0)
		v->m.loop = opened_loop(v->uplink);
	else
		v->queue = batch_queue_free(v->queue);
	return r;
}

static void arm_known(struct vehicle *v)
{
	if (v->quality == CLOCK_SYNCED)
		loop_timer_in(sim.loop, &v->known, KNOWN_S * NS_PER_S);
}

static void on_start(struct loop_timer *t)
{
	struct vehicle *v = t->ctx;
	struct error err = {0};

	v->n_waiting = 0;
	if (start(v, &err) < 0) {
		note(v, EVENT_DOWN, "does not start");
		if (sim.trace)
			fprintf(stderr, "  %s\n", err.text);
		loop_timer_in(sim.loop, t, RESTART_S * NS_PER_S);
		return;
	}
	note(v, EVENT_UP, "agent");
	arm_known(v);
}

static void free_agent(struct vehicle *v)
{
	v->m.loop = NULL;
	v->uplink = uplink_free(v->uplink);
	v->queue = batch_queue_free(v->queue);
	v->n_waiting = 0;
	loop_timer_cancel(&v->failed);
	loop_timer_cancel(&v->known);
}

static void stop(struct vehicle *v)
{
	opened_finish(v->uplink);
	free_agent(v);
}

/* What does not go through SQLite must not change either when the agent's objects end. */
static void kill_agent(struct vehicle *v)
{
	char path[PATH_BYTES + 16], was[UNSAVED_BYTES];
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "%s.unsaved", v->path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		n = pread(fd, was, sizeof(was), 0);
	client_killed(&v->m);
	faulty_vfs_select(v->m.folder);
	faulty_vfs_cut();
	free_agent(v);
	faulty_vfs_select(v->m.folder);
	faulty_vfs_resume();
	if (n > 0 && (pwrite(fd, was, (size_t)n, 0) != n || ftruncate(fd, n) < 0))
		abort();
	if (fd >= 0)
		(void)close(fd);
}

static void on_failed(struct loop_timer *t)
{
	struct vehicle *v = t->ctx;

	if (!v->uplink)
		return;
	note(v, EVENT_DOWN, "agent ends with 1");
	stop(v);
	loop_timer_in(sim.loop, &v->start, RESTART_S * NS_PER_S);
}

/* ---- boots and clocks ---- */

static void on_synced(struct loop_timer *t)
{
	struct vehicle *v = t->ctx;

	v->m.wall_error_ns = 0;
	v->quality = CLOCK_SYNCED;
	note(v, EVENT_FAULT, "clock is synced");
	if (v->uplink)
		arm_known(v);
}

static void on_known(struct loop_timer *t)
{
	struct vehicle *v = t->ctx;

	if (v->n % OUTBOXES == 0) /* others may have no room for that row */
		ledger_clock_known(v->boot_id);
}

static void boot(struct vehicle *v)
{
	machine_boot(&v->m);
	v->boot_id = chance() | 1;
	v->m.wall_error_ns = 0;
	v->quality = CLOCK_SYNCED;
	loop_timer_cancel(&v->synced);
	if (v->wrong_for_ns > 0 && !v->settled) {
		v->m.wall_error_ns = FAR_PAST_S * NS_PER_S - SIM_EPOCH_NS - sim.now_ns;
		v->quality = chance_is(500) ? CLOCK_UNKNOWN : CLOCK_FREE_RUNNING;
		loop_timer_in(sim.loop, &v->synced, v->wrong_for_ns);
	}
	v->wrong_for_ns = 0;
}

void vehicle_boots_wrong(struct vehicle *v, int64_t until_synced_ns)
{
	v->wrong_for_ns = until_synced_ns;
}

void vehicle_clock_moves(struct vehicle *v, int64_t by_ns)
{
	v->m.wall_error_ns += by_ns;
	if (v->quality == CLOCK_SYNCED)
		ledger_clock_lied(v->boot_id);
}

static void lose_power(struct vehicle *v)
{
	int64_t since = sim.now_ns - v->store.sync_ns - 40 * NS_PER_S;

	kill_agent(v);
	faulty_vfs_select(v->m.folder);
	(void)faulty_vfs_power_on();
	ledger_power_cut(v->n, v->store.relaxed, since);
	boot(v);
}

void vehicle_end(struct vehicle *v, enum vehicle_end how, int64_t away_ns)
{
	if (!v->uplink)
		return;
	v->m.frozen_until = 0;
	switch (how) {
	case VEHICLE_KILLED:
		kill_agent(v);
		break;
	case VEHICLE_STOPPED:
		stop(v);
		break;
	case VEHICLE_CUT:
		lose_power(v);
		break;
	}
	loop_timer_in(sim.loop, &v->start, away_ns);
}

void vehicle_freeze(struct vehicle *v, int64_t for_ns)
{
	if (v->uplink)
		v->m.frozen_until = sim.now_ns + for_ns;
}

bool vehicle_runs(const struct vehicle *v)
{
	return v->uplink;
}

void vehicle_settle(struct vehicle *v)
{
	v->settled = true;
	v->m.frozen_until = 0;
	if (loop_timer_is_set(&v->start))
		loop_timer_in(sim.loop, &v->start, 0);
	if (loop_timer_is_set(&v->synced))
		loop_timer_in(sim.loop, &v->synced, 0);
	else if (v->m.wall_error_ns != 0)
		vehicle_clock_moves(v, -v->m.wall_error_ns);
	vehicle_load(v, 0);
}

bool vehicle_is_drained(const struct vehicle *v)
{
	return v->uplink && v->n_waiting == 0 && store_totals(opened_store(v->uplink)).rows == 0;
}

bool vehicle_adds_up(const struct vehicle *v)
{
	struct store_lifetime life = store_lifetime(opened_store(v->uplink));
	uint64_t in = store_totals(opened_store(v->uplink)).samples;

	if (life.samples_stored ==
	    life.samples_acked + life.samples_dropped + life.samples_quarantined + in)
		return true;
	fprintf(stderr,
		"sim: v%u: stored %" PRIu64 " is not acked %" PRIu64 " + dropped %" PRIu64
		" + quarantined %" PRIu64 " + in the outbox %" PRIu64 "\n",
		v->n, life.samples_stored, life.samples_acked, life.samples_dropped,
		life.samples_quarantined, in);
	return false;
}

/* ---- making ---- */

/* One has room for months, one for little, and one whose batches are soon worth nothing. */
static void choose_outbox(struct vehicle *v)
{
	v->store = (struct store_options){.max_bytes = 256 << 20, .sync_ns = 10 * NS_PER_S};
	v->store.relaxed = 1u << CLASS_BULK | 1u << CLASS_LOG | 1u << CLASS_STATUS;
	switch (v->n % OUTBOXES) {
	case 1:
		v->store.max_bytes = 64 << 10;
		break;
	case 2:
		v->store.expire_ns[CLASS_LIVE] = 20 * MINUTE_NS;
		v->store.expire_ns[CLASS_BULK] = 3 * HOUR_NS;
		v->store.max_bytes = 512 << 10;
		break;
	default:
		break;
	}
}

struct machine *vehicle_machine(struct vehicle *v)
{
	return &v->m;
}

struct vehicle *vehicle_open(unsigned n, const char *root, const struct catalog *cat)
{
	struct vehicle *v = calloc(1, sizeof(*v));
	char name[16];

	if (!v || n >= AGENTS_MAX)
		abort();
	v->n = n;
	v->cat = cat;
	(void)snprintf(name, sizeof(name), "a%u", n);
	(void)snprintf(v->id, sizeof(v->id), "v%u", n);
	machine_add(&v->m, name, root);
	if (mkdir(v->m.folder, 0700) < 0)
		abort();
	faulty_vfs_select(v->m.folder);
	(void)snprintf(v->path, sizeof(v->path), "%s/outbox.db", v->m.folder);
	choose_outbox(v);
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		v->load[k] = (struct loop_timer){.cb = on_load, .ctx = v};
	v->start = (struct loop_timer){.cb = on_start, .ctx = v};
	v->failed = (struct loop_timer){.cb = on_failed, .ctx = v};
	v->synced = (struct loop_timer){.cb = on_synced, .ctx = v};
	v->known = (struct loop_timer){.cb = on_known, .ctx = v};
	vehicles[n] = v;
	boot(v);
	loop_timer_in(sim.loop, &v->start, 0);
	vehicle_load(v, 1);
	return v;
}

struct vehicle *vehicle_close(struct vehicle *v)
{
	if (!v)
		return NULL;
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		loop_timer_cancel(&v->load[k]);
	loop_timer_cancel(&v->start);
	loop_timer_cancel(&v->synced);
	if (v->uplink)
		stop(v);
	vehicles[v->n] = NULL;
	free(v);
	return NULL;
}
