#include "tests/unit/agent_fixture.h"

#include "tests/fakes/program.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_BYTES = 16384 };

char e2e_dir[] = "/tmp/towline-e2e-XXXXXX";
static struct catalog *e2e_cat;
struct broker *e2e_broker;
struct loop *e2e_loop;
struct fake_relay e2e_relay;

void e2e_path(char out[static PATH], const char *name)
{
	if (snprintf(out, PATH, "%s/%s", e2e_dir, name) >= PATH)
		abort();
}

FILE *create(const char *name)
{
	char path[PATH];
	FILE *f;

	e2e_path(path, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	return f;
}

/* Two messages on one bus: A (0x100) with two signals, B (0x200) with one. */
static void make_catalog(void)
{
	static const char *const names[] = {"A", "Fast", "Slow", "B", "Event"};
	FILE *f = create("catalog");

	e2e_cat = two_messages(names);
	ck_assert_uint_eq(fwrite(e2e_cat->bytes, 1, e2e_cat->len, f), e2e_cat->len);
	fclose(f);
}

/* Every tenth frame is a B; Slow changes every 1,000 frames. */
static void make_log(void)
{
	FILE *f = create("log");

	for (unsigned i = 0; i < FRAMES; i++) {
		uint64_t us = (uint64_t)i * STEP_US;
		double s = 1700000000;

		fprintf(f, "(%.0f.%06llu) can0 ", s + (double)(us / 1000000),
			(unsigned long long)(us % 1000000));
		if (i % 10 == 9)
			fprintf(f, "200#%02X00000000000000\n", i / 10 % 256);
		else
			fprintf(f, "100#%02X%02X%02X0000000000\n", i & 0xff, i >> 8 & 0xff,
				i / 1000);
	}
	fclose(f);
}

static void make_inputs(void)
{
	make_catalog();
	make_log();
}

void write_config(const char *uri, const char *more)
{
	FILE *f = create("agent.conf");

	fprintf(f, "[agent]\nvehicle=v1\ndevice=d1\npart=7\ndata_dir=%s/data\n", e2e_dir);
	fprintf(f, "status_file=%s/status.json\nlog_level=%s\n", e2e_dir,
		getenv("TEST_LOG") ? "debug" : "error");
	fprintf(f, "[catalog]\nfile=%s/catalog\n[mqtt]\nuri=%s\n", e2e_dir, uri);
	fprintf(f, "backoff_min_ms=50\nbackoff_max_ms=200\n%s", more);
	fclose(f);
}

#define REPLAY                                                                                     \
	"[source log]\ntype=replay\npath=%s/log\nspeed=max\ntimestamps=log\n"                      \
	"[collect event]\nsignals=can0.B.*\nclass=event\n[collect all]\nsignals=*\n"

void write_replay_config(const char *more)
{
	char text[2048];

	ck_assert_int_lt(snprintf(text, sizeof(text), "%s" REPLAY, more, e2e_dir), sizeof(text));
	write_config(broker_uri(e2e_broker), text);
}

pid_t start_agent(void)
{
	char conf[PATH], program[PATH];
	pid_t pid;

	e2e_path(conf, "agent.conf");
	ck_assert_int_eq(program_beside(program, sizeof(program), "towline-agent"), 0);
	pid = fork();
	if (pid == 0) { /* no ck_ here: Check would take it for the test's */
		int r;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no agent behind */
		r = program_exec((const char *[]){program, "-c", conf, NULL});
		fprintf(stderr, "%s: %s\n", program, strerror(-r));
		_exit(127);
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

int64_t now_ms(void)
{
	return timebase_mono(timebase_system()).ns / NS_PER_MS;
}

/* What the agent counted, for whoever reads why a test failed. */
static void show_status(void)
{
	static char text[STATUS_BYTES];
	char path[PATH];
	FILE *f;

	e2e_path(path, "status.json");
	f = fopen(path, "r");
	if (!f)
		return;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	fputs(text, stderr);
	fprintf(stderr, "relay: batches=%llu duplicates=%llu nacks=%llu\n",
		(unsigned long long)e2e_relay.batches, (unsigned long long)e2e_relay.duplicates,
		(unsigned long long)e2e_relay.nacks);
}

int wait_agent(pid_t pid, int64_t ms)
{
	int64_t end = now_ms() + ms;
	int status;

	while (now_ms() < end) {
		pid_t w = waitpid(pid, &status, WNOHANG);

		ck_assert_int_ge(w, 0);
		if (w == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		ck_assert_int_eq(loop_turn(e2e_loop, 10), 0);
	}
	show_status();
	return -1;
}

uint64_t status_counter(const char *name)
{
	static char text[STATUS_BYTES];
	char path[PATH], key[64];
	const char *at;
	FILE *f;
	size_t n;

	e2e_path(path, "status.json");
	f = fopen(path, "r");
	if (!f)
		return UINT64_MAX;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

static void remove_data(void)
{
	static const char *const names[] = {"data/outbox.db",	  "data/outbox.db-wal",
					    "data/outbox.db-shm", "data/outbox.db.unsaved",
					    "data/agent.lock",	  "status.json",
					    "agent.conf"};
	char path[PATH];

	for (size_t i = 0; i < array_len(names); i++) {
		e2e_path(path, names[i]);
		(void)unlink(path);
	}
	e2e_path(path, "data");
	(void)rmdir(path);
}

static void setup(void)
{
	remove_data(); /* of a test that failed */
	ck_assert_int_eq(broker_start(&e2e_broker, NULL), 0);
}

void start_relay(void)
{
	ck_assert_int_eq(loop_new(&e2e_loop, timebase_system()), 0);
	e2e_relay = (struct fake_relay){.loop = e2e_loop, .cat = e2e_cat};
	fake_relay_start(&e2e_relay, broker_uri(e2e_broker));
	ck_assert(turn_until(e2e_relay.subscribed, WAIT_MS));
}

void stop_relay(void)
{
	fake_relay_stop(&e2e_relay);
	e2e_loop = loop_free(e2e_loop);
}

static void teardown(void)
{
	e2e_broker = broker_free(e2e_broker);
	remove_data();
}

void check_sums(void)
{
	ck_assert_msg(e2e_relay.bad == 0, "%s", e2e_relay.text);
	ck_assert_uint_eq(e2e_relay.samples, SAMPLES);
	ck_assert_uint_eq(status_counter("samples_accepted"), SAMPLES);
	ck_assert_uint_eq(status_counter("samples_acked"), SAMPLES);
	ck_assert_uint_eq(status_counter("samples_dropped"), 0);
	ck_assert_uint_eq(status_counter("outbox_rows"), 0);
}

int agent_run(const char *suite, TCase *tc)
{
	char path[PATH];
	int status;

	if (!mkdtemp(e2e_dir))
		return EXIT_FAILURE;
	tcase_add_unchecked_fixture(tc, make_inputs, NULL);
	tcase_set_timeout(tc, 200);
	tcase_add_checked_fixture(tc, setup, teardown);
	status = suite_run(suite, &tc, 1);
	catalog_free(e2e_cat);
	remove_data();
	e2e_path(path, "catalog");
	(void)unlink(path);
	e2e_path(path, "log");
	(void)unlink(path);
	(void)rmdir(e2e_dir);
	return status;
}
