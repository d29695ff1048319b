/* fault_sim: hours of agents and relay under faults, in seconds. tests/faults/README.md. */
#include "base/db.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/faults/sim/broker.h"
#include "tests/faults/sim/cloud.h"
#include "tests/faults/sim/trouble.h"

#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DRAIN_MIN_MINUTES = 20, DRAIN_MAX_HOURS = 12, FOLDER_BYTES = 64 };

static struct args {
	uint64_t seed;
	double hours;
	unsigned agents;
	int every_s; /* between faults, on average */
	const char *only, *without;
	bool trace, keep;
} args = {.seed = 1, .hours = 24, .agents = 3, .every_s = 150};

static struct vehicle *vehicles[AGENTS_MAX];

static void usage(void)
{
	fprintf(stderr,
		"usage: fault_sim [--seed N] [--hours H] [--agents 1-%d] [--every SECONDS]"
		" [--only KIND] [--without KIND] [--trace] [--keep]\n",
		AGENTS_MAX);
	exit(2);
}

static bool is_kind(const char *begin)
{
	for (unsigned k = 0; k < TROUBLE_KINDS; k++)
		if (strncmp(trouble_name((enum trouble_kind)k), begin, strlen(begin)) == 0)
			return true;
	return false;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", 1, NULL, 's'},	 {"hours", 1, NULL, 'h'}, {"agents", 1, NULL, 'a'},
		{"every", 1, NULL, 'e'}, {"only", 1, NULL, 'o'},  {"without", 1, NULL, 'w'},
		{"trace", 0, NULL, 't'}, {"keep", 0, NULL, 'k'},  {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			args.seed = strtoull(optarg, NULL, 10);
			break;
		case 'h':
			args.hours = strtod(optarg, NULL);
			break;
		case 'a':
			args.agents = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'e':
			args.every_s = (int)strtol(optarg, NULL, 10);
			break;
		case 'o':
			args.only = optarg;
			break;
		case 'w':
			args.without = optarg;
			break;
		case 't':
			args.trace = true;
			break;
		case 'k':
			args.keep = true;
			break;
		default:
			usage();
		}
	}
	if (optind < argc || args.agents < 1 || args.agents > AGENTS_MAX || args.every_s < 1 ||
	    !(args.hours > 0 && args.hours <= 10000))
		usage();
	if ((args.only && !is_kind(args.only)) || (args.without && !is_kind(args.without)))
		usage();
}

/* ---- the run ---- */

static void begin(const char *folder)
{
	struct broker_options opt;

	world_open(args.seed);
	sim.trace = args.trace;
	opt = (struct broker_options){
		.queue_max = chance_is(300) ? 50 : 1000,
		.says_full = chance_is(500),
		.says_no_listener = chance_is(500),
		.latency_ns = (int64_t)(5 + chance_below(200)) * NS_PER_MS,
	};
	sim_broker_open(&opt);
	ledger_open(args.agents);
	cloud_open(folder, args.agents);
	for (unsigned i = 0; i < args.agents; i++)
		vehicles[i] = vehicle_open(i, folder, cloud_catalog());
	trouble_open(vehicles, args.agents, args.every_s * NS_PER_S, args.only, args.without);
}

static bool all_drained(void)
{
	for (unsigned i = 0; i < args.agents; i++)
		if (!vehicle_is_drained(vehicles[i]))
			return false;
	return cloud_is_idle();
}

/* The first probes show a relay what it has forgotten, the last of them are to arrive too. */
static bool drain(void)
{
	int64_t began = sim.now_ns, next = began;

	while (sim.now_ns < began + DRAIN_MAX_HOURS * HOUR_NS) {
		bool probing = sim.now_ns < began + DRAIN_MIN_MINUTES * MINUTE_NS;

		if (!probing && all_drained())
			return true;
		for (unsigned i = 0; probing && i < args.agents; i++)
			vehicle_probe(vehicles[i]);
		next += MINUTE_NS;
		while (world_step(next))
			;
	}
	return false;
}

static bool run(void)
{
	int64_t until = (int64_t)(args.hours * 3600 * (double)NS_PER_S);
	bool good;

	while (world_step(until))
		;
	trouble_end();
	cloud_settle();
	for (unsigned i = 0; i < args.agents; i++)
		vehicle_settle(vehicles[i]);
	good = drain();
	if (!good)
		fprintf(stderr, "sim: not drained %d hours after the last fault\n",
			DRAIN_MAX_HOURS);
	for (unsigned i = 0; i < args.agents; i++)
		good &= vehicle_runs(vehicles[i]) && vehicle_adds_up(vehicles[i]);
	return good;
}

/* TOWLINE_SIM_MUTATE: a wrong relay, which a verdict that is worth something must find. */
static void mutate(void)
{
	const char *how = getenv("TOWLINE_SIM_MUTATE"), *sql = NULL;
	sqlite3 *db;

	if (how && strcmp(how, "drop") == 0)
		sql = "DELETE FROM batch WHERE id = (SELECT id FROM batch ORDER BY id LIMIT 1"
		      " OFFSET (SELECT count(*) / 2 FROM batch))";
	else if (how && strcmp(how, "double") == 0)
		sql = "INSERT INTO batch (vehicle, device, epoch, class, seq, received, first, "
		      "last,"
		      " catalog, samples, state, encoding, body) SELECT vehicle, device, epoch,"
		      " class, seq, received, first, last, catalog, samples, state, encoding, body"
		      " FROM batch ORDER BY id LIMIT 1 OFFSET (SELECT count(*) / 2 FROM batch)";
	else if (how)
		usage();
	if (!sql)
		return;
	if (sqlite3_open(cloud_stream_path(), &db) != SQLITE_OK || db_exec(db, sql) < 0)
		abort();
	sqlite3_close(db);
}

/* ---- the report ---- */

static void print_table(const struct verdict *v, uint64_t injected, double seconds)
{
	struct cloud_counts c = cloud_counts();

	printf("%-8s %10s %10s %10s %10s\n", "class", "accepted", "delivered", "gaps", "lost");
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		printf("%-8s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n",
		       class_name((enum uplink_class)k), v->of[k][0], v->of[k][1], v->of[k][2],
		       v->of[k][3]);
	printf("gaps by reason:");
	for (unsigned r = 0; r < GAP_REASONS; r++)
		if (v->by_reason[r] > 0)
			printf(" %s %" PRIu64,
			       r ? gap_reason_name((enum gap_reason)r) : "unexplained",
			       v->by_reason[r]);
	printf("; rows %" PRIu64 ", at most %" PRIu64 " of a device\n", v->gap_rows,
	       v->gap_rows_most);
	printf("relay: batches %" PRIu64 ", again %" PRIu64 ", late %" PRIu64 ", busy %" PRIu64
	       ", throttled %" PRIu64 ", repaired %" PRIu64 ", contexts unknown %" PRIu64 "\n",
	       v->rows, c.duplicates, c.late, c.busy, c.throttled, c.repaired, c.unknown_contexts);
	printf("faults:");
	for (unsigned k = 0; k < TROUBLE_KINDS; k++)
		printf(" %s %" PRIu64, trouble_name((enum trouble_kind)k),
		       trouble_count((enum trouble_kind)k));
	printf("\nsim: seed=%" PRIu64
	       " hours=%.1f seconds=%.1f hours_per_second=%.1f events=%" PRIu64 " hash=%016" PRIx64
	       " unsynced=%" PRIu64 " open=%" PRIu64 "\n",
	       args.seed, (double)sim.now_ns / (double)HOUR_NS, seconds,
	       (double)sim.now_ns / (double)HOUR_NS / seconds, sim.n_events, sim.hash, v->unsynced,
	       v->open);
	printf("faults: injected=%" PRIu64 " accepted=%" PRIu64 " delivered=%" PRIu64
	       " gaps=%" PRIu64 " lost=%" PRIu64 " duplicated=%" PRIu64 "\n",
	       injected, v->accepted, v->delivered, v->gaps, v->lost, v->duplicated);
}

static bool is_good(const struct verdict *v, uint64_t injected)
{
	uint64_t wrong = v->lost + v->duplicated + v->foreign + v->bad_times + v->unrepaired +
			 v->contradictions + v->quarantined;

	if (wrong > v->lost + v->duplicated)
		fprintf(stderr,
			"sim: foreign=%" PRIu64 " bad_times=%" PRIu64 " unrepaired=%" PRIu64
			" contradictions=%" PRIu64 " unreadable=%" PRIu64 "\n",
			v->foreign, v->bad_times, v->unrepaired, v->contradictions, v->quarantined);
	return wrong == 0 && injected > 0 && v->delivered > 0;
}

static bool judge(bool good, double seconds)
{
	struct verdict v;
	uint64_t injected = 0;
	int r;

	mutate();
	r = ledger_judge(cloud_stream_path(), cloud_registry(), cloud_catalog(), &v);
	for (unsigned k = 0; k < TROUBLE_KINDS; k++)
		injected += trouble_count((enum trouble_kind)k);
	if (r < 0)
		fprintf(stderr, "sim: the relay's stream cannot be read: %s\n", strerror(-r));
	print_table(&v, injected, seconds);
	good &= r == 0 && is_good(&v, injected);
	if (!good)
		fprintf(stderr,
			"sim: failed; again with: fault_sim --seed %" PRIu64
			" --hours %g --agents %u --every %d\n",
			args.seed, args.hours, args.agents, args.every_s);
	return good;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static double now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	char folder[FOLDER_BYTES] = "/dev/shm/fault_sim.XXXXXX";
	double began = now_s();
	bool good;

	parse(argc, argv);
	if (!mkdtemp(folder)) {
		(void)snprintf(folder, sizeof(folder), "/tmp/fault_sim.XXXXXX");
		if (!mkdtemp(folder)) {
			perror("fault_sim: no folder");
			return 1;
		}
	}
	if (faulty_vfs_install() < 0)
		return 1;
	begin(folder);
	good = run();
	for (unsigned i = 0; i < args.agents; i++)
		vehicles[i] = vehicle_close(vehicles[i]);
	cloud_stop();
	good = judge(good, now_s() - began);
	sim_broker_close();
	cloud_close();
	ledger_close();
	world_close();
	faulty_vfs_remove();
	if (args.keep)
		printf("kept: %s\n", folder);
	else
		(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return good ? 0 : 1;
}
