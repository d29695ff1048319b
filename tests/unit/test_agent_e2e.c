/* The whole agent against a real Mosquitto and a relay that is a fake: what goes in comes out. */
#include "tests/fakes/broker.h"
#include "tests/fakes/fake_relay.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 60000 }; /* machines may be busy */
enum { FRAMES = 20000, STEP_US = 700, PATH = 256, STATUS_BYTES = 16384 };

static char dir[] = "/tmp/towline-e2e-XXXXXX";
static struct catalog *cat;
static struct broker *broker;
static struct loop *loop;
static struct fake_relay relay;

/* ---- the world around the agent ---- */

static void path_of(char out[static PATH], const char *name)
{
	if (snprintf(out, PATH, "%s/%s", dir, name) >= PATH)
		abort();
}

static FILE *create(const char *name)
{
	char path[PATH];
	FILE *f;

	path_of(path, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	return f;
}

/* Two messages on one bus: A (0x100) with two signals, B (0x200) with one. */
static void make_catalog(void)
{
	static const char *const names[] = {"A", "Fast", "Slow", "B", "Event"};
	FILE *f = create("catalog");

	cat = two_messages(names);
	ck_assert_uint_eq(fwrite(cat->bytes, 1, cat->len, f), cat->len);
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

enum { SAMPLES = FRAMES / 10 * 9 * 2 + FRAMES / 10 };

static void make_inputs(void)
{
	make_catalog();
	make_log();
}

static void write_config(const char *uri, const char *more)
{
	FILE *f = create("agent.conf");

	fprintf(f, "[agent]\nvehicle=v1\ndevice=d1\npart=7\ndata_dir=%s/data\n", dir);
	fprintf(f, "status_file=%s/status.json\nlog_level=%s\n", dir,
		getenv("TEST_LOG") ? "debug" : "error");
	fprintf(f, "[catalog]\nfile=%s/catalog\n[mqtt]\nuri=%s\n", dir, uri);
	fprintf(f, "backoff_min_ms=50\nbackoff_max_ms=200\n%s", more);
	fclose(f);
}

#define REPLAY                                                                                     \
	"[source log]\ntype=replay\npath=%s/log\nspeed=max\ntimestamps=log\n"                      \
	"[collect event]\nsignals=can0.B.*\nclass=event\n[collect all]\nsignals=*\n"

static void write_replay_config(const char *more)
{
	char text[2048];

	ck_assert_int_lt(snprintf(text, sizeof(text), "%s" REPLAY, more, dir), sizeof(text));
	write_config(broker_uri(broker), text);
}

/* The program that was built beside this one. */
static void agent_path(char out[static PATH])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH - 32);
	char *slash;

	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	slash = strrchr(out, '/');
	ck_assert_ptr_nonnull(slash);
	snprintf(slash, 32, "/towline-agent");
}

static pid_t start_agent(void)
{
	char conf[PATH], program[PATH];
	pid_t pid;

	path_of(conf, "agent.conf");
	agent_path(program);
	pid = fork();
	if (pid == 0) { /* no ck_ here: Check would take it for the test's */
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no agent behind */
		execl(program, program, "-c", conf, (char *)NULL);
		fprintf(stderr, "%s: %s\n", program, strerror(errno));
		_exit(127);
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

static int64_t now_ms(void)
{
	return timebase_mono(timebase_system()).ns / NS_PER_MS;
}

/* What the agent counted, for whoever reads why a test failed. */
static void show_status(void)
{
	static char text[STATUS_BYTES];
	char path[PATH];
	FILE *f;

	path_of(path, "status.json");
	f = fopen(path, "r");
	if (!f)
		return;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	fputs(text, stderr);
	fprintf(stderr, "relay: batches=%llu duplicates=%llu nacks=%llu\n",
		(unsigned long long)relay.batches, (unsigned long long)relay.duplicates,
		(unsigned long long)relay.nacks);
}

/* Turns the relay until the agent has ended. Returns its exit code; -1: still running. */
static int wait_agent(pid_t pid, int64_t ms)
{
	int64_t end = now_ms() + ms;
	int status;

	while (now_ms() < end) {
		pid_t w = waitpid(pid, &status, WNOHANG);

		ck_assert_int_ge(w, 0);
		if (w == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		ck_assert_int_eq(loop_turn(loop, 10), 0);
	}
	show_status();
	return -1;
}

#define turn_until(cond, ms)                                                                       \
	({                                                                                         \
		int64_t end_ = now_ms() + (ms);                                                    \
		while (!(cond) && now_ms() < end_)                                                 \
			ck_assert_int_eq(loop_turn(loop, 10), 0);                                  \
		(cond);                                                                            \
	})

/* A counter of the status file; UINT64_MAX: not there. */
static uint64_t status_counter(const char *name)
{
	static char text[STATUS_BYTES];
	char path[PATH], key[64];
	const char *at;
	FILE *f;
	size_t n;

	path_of(path, "status.json");
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
					    "data/outbox.db-shm", "data/agent.lock",
					    "status.json",	  "agent.conf"};
	char path[PATH];

	for (size_t i = 0; i < array_len(names); i++) {
		path_of(path, names[i]);
		(void)unlink(path);
	}
	path_of(path, "data");
	(void)rmdir(path);
}

static void setup(void)
{
	remove_data(); /* of a test that failed */
	ck_assert_int_eq(broker_start(&broker, NULL), 0);
}

static void start_relay(void)
{
	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	relay = (struct fake_relay){.loop = loop, .cat = cat};
	fake_relay_start(&relay, broker_uri(broker));
	ck_assert(turn_until(relay.subscribed, WAIT_MS));
}

static void stop_relay(void)
{
	fake_relay_stop(&relay);
	loop = loop_free(loop);
}

static void teardown(void)
{
	broker = broker_free(broker);
	remove_data();
}

static void check_sums(void)
{
	ck_assert_msg(relay.bad == 0, "%s", relay.text);
	ck_assert_uint_eq(relay.samples, SAMPLES);
	ck_assert_uint_eq(status_counter("samples_accepted"), SAMPLES);
	ck_assert_uint_eq(status_counter("samples_acked"), SAMPLES);
	ck_assert_uint_eq(status_counter("samples_dropped"), 0);
	ck_assert_uint_eq(status_counter("outbox_rows"), 0);
}

/* ---- tests ---- */

START_TEST(all_arrives)
{
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\nmax_samples=1000\n");
	start_relay();
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	check_sums();
	ck_assert_uint_eq(status_counter("frames_received"), FRAMES);
	ck_assert_uint_ge(relay.batches, SAMPLES / 1000);
	stop_relay();
}
END_TEST

static size_t exact_times;

static void check_times(void *ctx, const struct topic_up *t, const struct batch_column *col)
{
	(void)ctx;
	if (col->signal == 2)
		ck_assert_int_eq(t->class, CLASS_EVENT);
	for (size_t i = 0; i < col->n; i++) {
		int64_t us = (col->wall_ns[i] - INT64_C(1700000000) * NS_PER_S) / NS_PER_US;

		ck_assert_int_eq(us % STEP_US, 0);
		ck_assert_int_eq(col->wall_ns[i] % NS_PER_US, 0);
		exact_times++;
	}
}

START_TEST(times_of_the_log_are_kept)
{
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\ntime_unit_us=100\n");
	start_relay();
	pid = start_agent();
	relay.column = check_times;
	exact_times = 0;
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	check_sums();
	ck_assert_uint_eq(exact_times, SAMPLES);
	stop_relay();
}
END_TEST

static unsigned refusals;

static int refuse_twice(void *ctx, const struct topic_up *t, const struct envelope *e)
{
	(void)ctx;
	(void)t;
	return e->seq == 1 && refusals++ < 2 ? NACK_BUSY : 0;
}

START_TEST(nack_busy_is_sent_again)
{
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\nmax_samples=4000\n");
	start_relay();
	pid = start_agent();
	relay.judge = refuse_twice;
	refusals = 0;
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_uint_eq(relay.nacks, 2);
	check_sums();
	stop_relay();
}
END_TEST

static int refuse_first_bulk(void *ctx, const struct topic_up *t, const struct envelope *e)
{
	(void)ctx;
	return t->class == CLASS_BULK && e->seq == 1 ? NACK_INVALID : 0;
}

START_TEST(nack_invalid_goes_to_quarantine)
{
	uint64_t set_aside;
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\nmax_samples=4000\n");
	start_relay();
	pid = start_agent();
	relay.judge = refuse_first_bulk;
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	set_aside = status_counter("samples_quarantined");
	ck_assert_uint_ge(set_aside, 4000);
	ck_assert_uint_eq(status_counter("batches_quarantined"), 1);
	ck_assert_uint_eq(status_counter("samples_accepted"), SAMPLES);
	ck_assert_uint_eq(status_counter("samples_acked") + set_aside, SAMPLES);
	ck_assert_uint_eq(relay.samples + set_aside, SAMPLES);
	stop_relay();
}
END_TEST

/* No broker while the log is read; SIGTERM keeps it all; the next run delivers it. */
START_TEST(stored_while_offline)
{
	int64_t began;
	pid_t pid;

	write_replay_config("[batch]\nmax_samples=3000\n");
	broker_stop(broker, SIGTERM);
	pid = start_agent();
	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	ck_assert(turn_until(status_counter("frames_received") == FRAMES, WAIT_MS));
	began = now_ms();
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_int_lt(now_ms() - began, 2000);
	loop = loop_free(loop);
	ck_assert_uint_eq(status_counter("samples_accepted"), SAMPLES);
	ck_assert_uint_eq(status_counter("outbox_samples"), SAMPLES);

	write_config(broker_uri(broker), "[agent]\nexit_when_drained=true\n"
					 "[collect all]\nsignals=*\n");
	ck_assert_int_eq(broker_restart(broker), 0);
	start_relay();
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_uint_eq(relay.samples, SAMPLES);
	ck_assert_uint_eq(status_counter("samples_acked"), SAMPLES);
	ck_assert_uint_eq(status_counter("lifetime_samples_accepted"), SAMPLES);
	ck_assert_uint_eq(status_counter("lifetime_samples_acked"), SAMPLES);
	stop_relay();
}
END_TEST

/* kill -9 in the middle: what was accepted before is delivered once, whatever the relay saw. */
START_TEST(killed_in_the_middle)
{
	uint64_t accepted;
	pid_t pid;

	write_replay_config("[batch]\nmax_samples=500\nmax_age_ms=50\n");
	start_relay();
	pid = start_agent();
	relay.mute = true;
	ck_assert(turn_until(relay.batches >= 5, WAIT_MS));
	ck_assert(turn_until(status_counter("samples_accepted") == SAMPLES, WAIT_MS));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 128 + SIGKILL);
	accepted = status_counter("samples_accepted");

	write_config(broker_uri(broker), "[agent]\nexit_when_drained=true\n"
					 "[collect all]\nsignals=*\n");
	relay.mute = false;
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_uint_eq(relay.samples, accepted);
	ck_assert_uint_gt(relay.duplicates, 0);
	ck_assert_uint_eq(status_counter("lifetime_samples_acked"), SAMPLES);
	stop_relay();
}
END_TEST

/* The broker dies and comes back without its memory: the agent sends again what has no receipt. */
START_TEST(broker_is_killed)
{
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\nmax_samples=500\n");
	start_relay();
	pid = start_agent();
	relay.mute = true;
	ck_assert(turn_until(relay.batches >= 5, WAIT_MS));
	broker_stop(broker, SIGKILL);
	ck_assert(turn_until(!relay.subscribed, WAIT_MS));
	relay.mute = false;
	ck_assert_int_eq(broker_restart(broker), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	check_sums();
	stop_relay();
}
END_TEST

/* Nobody listens, and the broker says nothing of it. When a relay comes it gets all within seconds,
 * not after the receipt timeout; and meanwhile not everything was sent again and again. */
START_TEST(relay_comes_late)
{
	uint64_t before;
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\nmax_samples=1000\n"
			    "[publish]\nreceipt_timeout_s=16\n");
	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	pid = start_agent();
	ck_assert(turn_until(status_counter("batches_resent") == 1, WAIT_MS)); /* after 4 s */
	before = status_counter("batches_published");
	ck_assert_uint_le(before, 17); /* of about 40; half the window, and one again */
	loop = loop_free(loop);
	start_relay();
	ck_assert_int_eq(wait_agent(pid, 15000), 0); /* the next question comes after 8 s */
	check_sums();
	stop_relay();
}
END_TEST

static bool lost;

static int lose_one(void *ctx, const struct topic_up *t, const struct envelope *e)
{
	(void)ctx;
	if (lost || t->class != CLASS_BULK || e->seq != 4)
		return 0;
	lost = true;
	return FAKE_RELAY_LOSE;
}

/* One batch is lost on the way, others are not: it does not wait for the receipt timeout. */
START_TEST(lost_one_is_sent_again_soon)
{
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\nmax_samples=1000\n"
			    "[publish]\nreceipt_timeout_s=3600\n");
	start_relay();
	lost = false;
	relay.judge = lose_one;
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert(lost);
	check_sums();
	stop_relay();
}
END_TEST

/* Two agents must not share an outbox. */
START_TEST(data_dir_is_exclusive)
{
	pid_t pid;

	write_config(broker_uri(broker), "[collect all]\nsignals=*\n");
	pid = start_agent();
	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	ck_assert(turn_until(status_counter("outbox_rows") == 0, WAIT_MS));
	ck_assert_int_eq(wait_agent(start_agent(), WAIT_MS), 1);
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	loop = loop_free(loop);
}
END_TEST

static void write_reload_config(const char *age, const char *rule)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "[batch]\nmax_age_ms=%s\n[source log]\ntype=replay\npath=%s/log\nspeed=1\n"
		 "[collect all]\nsignals=%s\n",
		 age, dir, rule);
	write_config(broker_uri(broker), text);
}

static void only_b(void *ctx, const struct topic_up *t, const struct batch_column *col)
{
	(void)t;
	*(bool *)ctx = *(bool *)ctx || col->signal != 2;
}

/* SIGHUP: a shorter age and other rules are used at once; a file that is wrong changes nothing. */
START_TEST(reload_takes_rules)
{
	bool others = false;
	uint64_t before;
	pid_t pid;

	write_reload_config("60000", "*");
	start_relay();
	pid = start_agent();
	ck_assert(turn_until(status_counter("samples_collected") + 1 > 101, WAIT_MS));
	ck_assert_uint_eq(relay.samples, 0);
	write_reload_config("10", "can0.B.Event");
	ck_assert_int_eq(kill(pid, SIGHUP), 0);
	ck_assert(turn_until(relay.samples > 0, WAIT_MS));
	relay.column = only_b;
	relay.ctx = &others;
	write_reload_config("ten", "*");
	ck_assert_int_eq(kill(pid, SIGHUP), 0);
	before = relay.samples;
	ck_assert(turn_until(relay.samples > before + 5, WAIT_MS));
	ck_assert(!others);
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	stop_relay();
}
END_TEST

static void note_class(void *ctx, const struct topic_up *t, const struct batch_column *col)
{
	unsigned *classes = ctx;

	(void)col;
	classes[t->class]++;
}

static void write_class_config(const char *class)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "[batch]\nmax_age_ms=50\nqueue=1\n[source log]\ntype=replay\npath=%s/log\n"
		 "speed=1\nloop=true\n[collect all]\nsignals=*\nclass=%s\n",
		 dir, class);
	write_config(broker_uri(broker), text);
}

/* SIGHUP with a class that was not there before, again and again: none starves for want of a
 * builder. */
START_TEST(reload_takes_classes)
{
	static const char *const names[] = {"bulk", "event", "log", "status", "live"};
	static const enum uplink_class classes[] = {CLASS_BULK, CLASS_EVENT, CLASS_LOG,
						    CLASS_STATUS, CLASS_LIVE};
	unsigned seen[CLASS_COUNT] = {0};
	pid_t pid;

	write_class_config("bulk");
	start_relay();
	relay.column = note_class;
	relay.ctx = seen;
	pid = start_agent();
	for (size_t i = 0; i < array_len(names); i++) {
		if (i > 0) {
			write_class_config(names[i]);
			ck_assert_int_eq(kill(pid, SIGHUP), 0);
		}
		ck_assert_msg(turn_until(seen[classes[i]] > 0, WAIT_MS), "%s", names[i]);
	}
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_uint_eq(status_counter("samples_dropped"), 0);
	stop_relay();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("agent");
	char path[PATH];
	int failed;

	if (!mkdtemp(dir))
		return 1;
	tcase_add_unchecked_fixture(tc, make_inputs, NULL);
	tcase_set_timeout(tc, 200);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, all_arrives);

	tcase_add_test(tc, times_of_the_log_are_kept);
	tcase_add_test(tc, nack_busy_is_sent_again);
	tcase_add_test(tc, nack_invalid_goes_to_quarantine);
	tcase_add_test(tc, stored_while_offline);
	tcase_add_test(tc, killed_in_the_middle);
	tcase_add_test(tc, broker_is_killed);
	tcase_add_test(tc, relay_comes_late);
	tcase_add_test(tc, lost_one_is_sent_again_soon);
	tcase_add_test(tc, data_dir_is_exclusive);
	tcase_add_test(tc, reload_takes_rules);
	tcase_add_test(tc, reload_takes_classes);
	failed = suite_run("agent_e2e", &tc, 1);
	catalog_free(cat);
	remove_data();
	path_of(path, "catalog");
	(void)unlink(path);
	path_of(path, "log");
	(void)unlink(path);
	(void)rmdir(dir);
	return failed;
}
