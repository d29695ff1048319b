#include "tests/faults/sim/cloud.h"

#include "relay/ingest/internal.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/faults/sim/broker.h"
#include "tests/faults/sim/ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 256, RESTART_S = 5, COPY_BYTES = 1 << 16 };

static struct cloud {
	struct machine m;
	char path[PATH_BYTES], folder[PATH_BYTES - 32];
	struct catalog *cat;
	struct registry *registry;
	struct stream *stream;
	struct live *live;
	struct hub *hub;
	struct ingest *in;
	struct loop_timer start;
	int64_t batches_per_s;
	int64_t copied_ns;	    /* simulated; 0: there is no copy */
	struct cloud_counts counts; /* of those that have ended */
} cloud;

static void note(enum event_kind kind, const char *what)
{
	struct event e = {.kind = kind, .agent = -1, .class = -1};

	(void)snprintf(e.what, sizeof(e.what), "%s", what);
	event_note(&e);
}

/* ---- what it is made of ---- */

static void make_catalog(void)
{
	static const char *const buses[] = {"can0"};
	static const struct catalog_signal signal = {.name = "A",
						     .bits = 64,
						     .kind = SIGNAL_UNSIGNED,
						     .factor = 1,
						     .unit = "",
						     .comment = "",
						     .mux = CATALOG_NONE};
	static const struct catalog_message message = {
		.name = "M", .comment = "", .id = 1, .bytes = 8, .n_signals = 1};
	struct catalog from = {.buses = buses,
			       .n_buses = 1,
			       .messages = &message,
			       .n_messages = 1,
			       .signals = &signal,
			       .n_signals = 1};

	if (catalog_build(&cloud.cat, &from, NULL) < 0)
		abort();
}

static void fill_registry(unsigned vehicles)
{
	uint64_t id;

	if (registry_add_catalog(cloud.registry, cloud.cat->bytes, cloud.cat->len, &id, NULL) != 0)
		abort();
	for (unsigned i = 0; i < vehicles; i++) {
		char vehicle[16], device[16];
		const char *devices[] = {device};

		(void)snprintf(vehicle, sizeof(vehicle), "v%u", i);
		(void)snprintf(device, sizeof(device), "a%u", i);
		if (registry_add_vehicle(cloud.registry, vehicle, "", 0, devices, 1, NULL) != 0)
			abort();
	}
}

/* ---- life ---- */

static struct ingest_options options(void)
{
	return (struct ingest_options){
		.tb = &cloud.m.tb,
		.registry = cloud.registry,
		.stream = cloud.stream,
		.live = cloud.live,
		.hub = cloud.hub,
		.mqtt = {.uri = "mqtt://sim",
			 .client_id = cloud.m.name,
			 .keepalive_s = 30,
			 .session_expiry_s = 3600,
			 .backoff_min_ms = 200,
			 .backoff_max_ms = 10000,
			 .connect_timeout_s = 10,
			 .receive_maximum = 1000,
			 .queue_bytes = 16 << 20},
		.tuning = {.group_commit_ms = 3,
			   .group_commit_batches = 512,
			   .receipt_interval_ms = 200,
			   .unknown_retry_s = 60,
			   .retention_ns = 87600 * HOUR_NS,
			   .device_batches_per_s = cloud.batches_per_s},
		.quarantine_rows = 256,
		.state_save_ms = 5000,
	};
}

static void keep_counts(void)
{
	cloud.counts = cloud_counts();
}

static void free_all(void)
{
	if (cloud.in)
		keep_counts();
	cloud.m.loop = NULL;
	cloud.in = ingest_free(cloud.in);
	cloud.live = live_free(cloud.live);
	cloud.stream = stream_close(cloud.stream);
}

static int start(void)
{
	struct ingest_options opt;
	int r = stream_open(&cloud.stream, cloud.path, 0, NULL);

	if (r == 0)
		r = live_new(&cloud.live);
	opt = options();
	if (r == 0)
		r = ingest_new(&cloud.in, &opt, NULL);
	if (r == 0)
		cloud.m.loop = cloud.in->loop;
	else
		free_all();
	return r;
}

static void on_start(struct loop_timer *t)
{
	if (start() == 0) {
		note(EVENT_UP, "relay");
		return;
	}
	note(EVENT_DOWN, "relay does not start");
	loop_timer_in(sim.loop, t, RESTART_S * NS_PER_S);
}

/* As the ingest's thread ends. */
static void stop(void)
{
	ingest_commit(cloud.in);
	receipts_flush(cloud.in, true);
	ingest_save_all(cloud.in);
	free_all();
}

static void kill_relay(void)
{
	client_killed(&cloud.m);
	faulty_vfs_select(cloud.m.folder);
	faulty_vfs_cut();
	free_all();
	faulty_vfs_resume();
}

void cloud_end(enum cloud_end how, int64_t away_ns)
{
	if (!cloud.in)
		return;
	cloud.m.frozen_until = 0;
	if (how == CLOUD_STOPPED)
		stop();
	else
		kill_relay();
	if (how == CLOUD_CUT)
		(void)faulty_vfs_power_on();
	loop_timer_in(sim.loop, &cloud.start, away_ns);
}

bool cloud_runs(void)
{
	return cloud.in;
}

void cloud_freeze(int64_t for_ns)
{
	if (cloud.in)
		cloud.m.frozen_until = sim.now_ns + for_ns;
}

/* ---- copies ---- */

static void copy_file(const char *from, const char *to)
{
	static char buffer[COPY_BYTES];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n;

	(void)unlink(to);
	if (in < 0)
		return;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0)
		abort();
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, (size_t)n) != n)
			abort();
	(void)close(in);
	(void)close(out);
}

static void copy_all(const char *from, const char *to)
{
	static const char *const parts[] = {"", "-wal"};

	for (size_t i = 0; i < array_len(parts); i++) {
		char a[PATH_BYTES + 16], b[PATH_BYTES + 16];

		(void)snprintf(a, sizeof(a), "%s%s", from, parts[i]);
		(void)snprintf(b, sizeof(b), "%s%s", to, parts[i]);
		copy_file(a, b);
	}
}

static const char *copy_path(void)
{
	static char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/older.db", cloud.folder);
	return path;
}

void cloud_copy(void)
{
	copy_all(cloud.path, copy_path());
	cloud.copied_ns = sim.now_ns;
}

void cloud_restore(int64_t away_ns)
{
	char shm[PATH_BYTES + 16];

	if (!cloud.in || !cloud.copied_ns)
		return;
	cloud_end(CLOUD_KILLED, away_ns);
	(void)snprintf(shm, sizeof(shm), "%s-shm", cloud.path);
	(void)unlink(shm);
	copy_all(copy_path(), cloud.path);
	ledger_restored(cloud.copied_ns, sim.now_ns);
}

/* ---- what else may be ---- */

void cloud_throttle(int64_t batches_per_s)
{
	struct ingest_tuning t;

	cloud.batches_per_s = batches_per_s;
	if (!cloud.in)
		return;
	t = cloud.in->tuning;
	t.device_batches_per_s = batches_per_s;
	ingest_tune(cloud.in, &t);
	if (cloud.m.frozen_until <= sim.now_ns && loop_turn(cloud.m.loop, 0) < 0)
		abort();
}

void cloud_settle(void)
{
	cloud.m.frozen_until = 0;
	if (loop_timer_is_set(&cloud.start))
		loop_timer_in(sim.loop, &cloud.start, 0);
}

void cloud_clock_moves(int64_t by_ns)
{
	cloud.m.wall_error_ns += by_ns;
}

bool cloud_is_idle(void)
{
	return cloud.in && cloud.in->n_pending == 0 && !cloud.in->queue &&
	       !cloud.in->clocks_changed;
}

struct cloud_counts cloud_counts(void)
{
	struct cloud_counts c = cloud.counts;
	struct ingest_stats s;

	if (!cloud.in)
		return c;
	ingest_get_stats(cloud.in, &s);
	c.duplicates += s.results[INGEST_DUPLICATE];
	c.gaps += s.results[INGEST_GAP];
	c.throttled += s.results[INGEST_THROTTLED];
	c.busy += s.results[INGEST_BUSY];
	c.unknown_contexts += s.results[INGEST_UNKNOWN_CONTEXT];
	c.late += s.late;
	c.repaired += s.repaired;
	return c;
}

struct machine *cloud_machine(void)
{
	return &cloud.m;
}

const struct catalog *cloud_catalog(void)
{
	return cloud.cat;
}

struct registry *cloud_registry(void)
{
	return cloud.registry;
}

const char *cloud_stream_path(void)
{
	return cloud.path;
}

void cloud_open(const char *root, unsigned vehicles)
{
	char path[PATH_BYTES];

	cloud = (struct cloud){.start = {.cb = on_start}};
	machine_add(&cloud.m, "relay", root);
	(void)snprintf(cloud.folder, sizeof(cloud.folder), "%s/registry", root);
	if (mkdir(cloud.m.folder, 0700) < 0 || mkdir(cloud.folder, 0700) < 0)
		abort();
	faulty_vfs_select(cloud.m.folder);
	(void)snprintf(cloud.path, sizeof(cloud.path), "%s/stream.db", cloud.m.folder);
	(void)snprintf(path, sizeof(path), "%s/relay.db", cloud.folder);
	make_catalog();
	if (registry_open(&cloud.registry, path, &cloud.m.tb, NULL) < 0 ||
	    hub_new(&cloud.hub, 1) < 0)
		abort();
	fill_registry(vehicles);
	loop_timer_in(sim.loop, &cloud.start, 0);
}

void cloud_stop(void)
{
	loop_timer_cancel(&cloud.start);
	if (cloud.in)
		stop();
}

void cloud_close(void)
{
	cloud_stop();
	cloud.hub = hub_free(cloud.hub);
	cloud.registry = registry_close(cloud.registry);
	cloud.cat = catalog_free(cloud.cat);
}
