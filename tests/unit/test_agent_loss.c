/* The whole agent, killed, offline, or with messages lost: all arrives, once. */
#include "tests/unit/agent_fixture.h"

#include <check.h>
#include <signal.h>
#include <sys/prctl.h>

/* No broker while the log is read; SIGTERM keeps it all; the next run delivers it. */
START_TEST(stored_while_offline)
{
	int64_t began;
	pid_t pid;

	write_replay_config("[batch]\nmax_samples=3000\n");
	broker_stop(e2e_broker, SIGTERM);
	pid = start_agent();
	ck_assert_int_eq(loop_new(&e2e_loop, timebase_system()), 0);
	ck_assert(turn_until(status_counter("frames_received") == FRAMES, WAIT_MS));
	began = now_ms();
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_int_lt(now_ms() - began, 2000);
	e2e_loop = loop_free(e2e_loop);
	ck_assert_uint_eq(status_counter("samples_accepted"), SAMPLES);
	ck_assert_uint_eq(status_counter("outbox_samples"), SAMPLES);

	write_config(broker_uri(e2e_broker), "[agent]\nexit_when_drained=true\n"
					     "[collect all]\nsignals=*\n");
	ck_assert_int_eq(broker_restart(e2e_broker), 0);
	start_relay();
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_uint_eq(e2e_relay.samples, SAMPLES);
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
	e2e_relay.mute = true;
	ck_assert(turn_until(e2e_relay.batches >= 5, WAIT_MS));
	ck_assert(turn_until(status_counter("samples_accepted") == SAMPLES, WAIT_MS));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 128 + SIGKILL);
	accepted = status_counter("samples_accepted");

	write_config(broker_uri(e2e_broker), "[agent]\nexit_when_drained=true\n"
					     "[collect all]\nsignals=*\n");
	e2e_relay.mute = false;
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert_uint_eq(e2e_relay.samples, accepted);
	ck_assert_uint_gt(e2e_relay.duplicates, 0);
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
	e2e_relay.mute = true;
	ck_assert(turn_until(e2e_relay.batches >= 5, WAIT_MS));
	broker_stop(e2e_broker, SIGKILL);
	ck_assert(turn_until(!e2e_relay.subscribed, WAIT_MS));
	e2e_relay.mute = false;
	ck_assert_int_eq(broker_restart(e2e_broker), 0);
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
	ck_assert_int_eq(loop_new(&e2e_loop, timebase_system()), 0);
	pid = start_agent();
	ck_assert(turn_until(status_counter("batches_resent") == 1, WAIT_MS)); /* after 4 s */
	before = status_counter("batches_published");
	ck_assert_uint_le(before, 17); /* of about 40; half the window, and one again */
	e2e_loop = loop_free(e2e_loop);
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
	e2e_relay.judge = lose_one;
	pid = start_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	ck_assert(lost);
	check_sums();
	stop_relay();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("loss");

	tcase_add_test(tc, stored_while_offline);
	tcase_add_test(tc, killed_in_the_middle);
	tcase_add_test(tc, broker_is_killed);
	tcase_add_test(tc, relay_comes_late);
	tcase_add_test(tc, lost_one_is_sent_again_soon);
	return agent_run("agent_loss", tc);
}
