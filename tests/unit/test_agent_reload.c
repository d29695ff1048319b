/* The whole agent when SIGHUP makes it read its configuration again. */
#include "tests/unit/agent_fixture.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

static void write_reload_config(const char *age, const char *rule)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "[batch]\nmax_age_ms=%s\n[source log]\ntype=replay\npath=%s/log\nspeed=1\n"
		 "[collect all]\nsignals=%s\n",
		 age, e2e_dir, rule);
	write_config(broker_uri(e2e_broker), text);
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
	ck_assert_uint_eq(e2e_relay.samples, 0);
	write_reload_config("10", "can0.B.Event");
	ck_assert_int_eq(kill(pid, SIGHUP), 0);
	ck_assert(turn_until(e2e_relay.samples > 0, WAIT_MS));
	e2e_relay.column = only_b;
	e2e_relay.ctx = &others;
	write_reload_config("ten", "*");
	ck_assert_int_eq(kill(pid, SIGHUP), 0);
	before = e2e_relay.samples;
	ck_assert(turn_until(e2e_relay.samples > before + 5, WAIT_MS));
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
		 e2e_dir, class);
	write_config(broker_uri(e2e_broker), text);
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
	e2e_relay.column = note_class;
	e2e_relay.ctx = seen;
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
	TCase *tc = tcase_create("reload");

	tcase_add_test(tc, reload_takes_rules);
	tcase_add_test(tc, reload_takes_classes);
	return agent_run("agent_reload", tc);
}
