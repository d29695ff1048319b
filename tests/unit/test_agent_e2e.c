/* The whole agent against a real Mosquitto and a relay that is a fake: what goes in comes out. */
#include "tests/unit/agent_fixture.h"

#include <check.h>
#include <signal.h>
#include <sys/prctl.h>

START_TEST(all_arrives)
{
	pid_t pid;

	write_replay_config("[agent]\nexit_when_drained=true\n[batch]\nmax_samples=1000\n");
	start_relay();
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	check_sums();
	ck_assert_uint_eq(status_counter("frames_received"), FRAMES);
	ck_assert_uint_ge(e2e_relay.batches, SAMPLES / 1000);
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
	e2e_relay.column = check_times;
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
	e2e_relay.judge = refuse_twice;
	refusals = 0;
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_uint_eq(e2e_relay.nacks, 2);
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
	e2e_relay.judge = refuse_first_bulk;
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	set_aside = status_counter("samples_quarantined");
	ck_assert_uint_ge(set_aside, 4000);
	ck_assert_uint_eq(status_counter("batches_quarantined"), 1);
	ck_assert_uint_eq(status_counter("samples_accepted"), SAMPLES);
	ck_assert_uint_eq(status_counter("samples_acked") + set_aside, SAMPLES);
	ck_assert_uint_eq(e2e_relay.samples + set_aside, SAMPLES);
	stop_relay();
}
END_TEST

/* Two agents must not share an outbox. */
START_TEST(data_dir_is_exclusive)
{
	pid_t pid;

	write_config(broker_uri(e2e_broker), "[collect all]\nsignals=*\n");
	pid = start_agent();
	ck_assert_int_eq(loop_new(&e2e_loop, timebase_system()), 0);
	ck_assert(turn_until(status_counter("outbox_rows") == 0, WAIT_MS));
	ck_assert_int_eq(wait_agent(start_agent(), WAIT_MS), 1);
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	e2e_loop = loop_free(e2e_loop);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("agent");

	tcase_add_test(tc, all_arrives);
	tcase_add_test(tc, times_of_the_log_are_kept);
	tcase_add_test(tc, nack_busy_is_sent_again);
	tcase_add_test(tc, nack_invalid_goes_to_quarantine);
	tcase_add_test(tc, data_dir_is_exclusive);
	return agent_run("agent_e2e", tc);
}
