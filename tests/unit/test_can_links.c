/* [can NAME] sections at work: set, restarted after bus-off, tried again; under a clock that the
 * test turns, with a socket pair in place of the kernel that tells. */
#include "agent/can/can_links.h"
#include "tests/unit/can_kernel_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static struct can_links *links;
static _Atomic int n_applied, n_again, apply_result, n_restarted, restart_result;
static _Atomic bool hold;  /* restart does not return meanwhile */
static _Atomic bool stuck; /* it never does, but can be cancelled */
static struct can_link_state applied_state;
static char apply_said[64];

static int apply(const struct can_link_settings *s, bool again, struct can_link_state *ret_state,
		 struct error *err)
{
	ck_assert_str_eq(s->interface, "can0");
	n_applied++;
	n_again += again;
	*ret_state = applied_state;
	error_set(err, "%s", apply_said);
	return apply_result;
}

static int restart(const char *interface, struct can_restart_past *past, struct error *err)
{
	int before;

	ck_assert_str_eq(interface, "can0");
	n_restarted++;
	while (hold)
		usleep(1000);
	(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
	while (stuck)
		pause();
	(void)pthread_setcancelstate(before, NULL);
	past->stopped = restart_result < 0;
	error_set(err, "not restarted");
	return restart_result;
}

static const struct can_links_kernel fake_links = {apply, restart};

static void links_start_at(uint32_t bitrate, uint32_t restart_ms)
{
	const struct can_link_settings s = {.interface = "can0",
					    .bitrate = bitrate,
					    .restart_ms = restart_ms,
					    .restart_max_ms = 1000};

	n_applied = n_again = apply_result = n_restarted = 0;
	restart_result = CAN_RESTART_IN_PLACE;
	snprintf(apply_said, sizeof(apply_said), "no");
	applied_state = (struct can_link_state){.ifindex = 3};
	ck_assert_int_eq(can_links_new(&links, watch, l, &s, 1, &fake_links), 0);
	watch = NULL; /* is theirs */
	turn();
	ck_assert_int_eq(n_applied, bitrate > 0);
}

static void links_start(uint32_t restart_ms)
{
	links_start_at(500000, restart_ms);
}

static void links_down(void)
{
	links = can_links_free(links);
	watch_down();
}

static void pass_ms(int64_t ms)
{
	timebase_fake_advance(&fake, ms * NS_PER_MS);
	turn();
	while (links && can_links_busy(links))
		ck_assert_int_eq(loop_turn(l, 10), 0);
}

/* _i: whether the interface is set by others. */
START_TEST(agent_restarts)
{
	links_start_at(_i ? 0 : 500000, 100);
	is("can0", CAN_STATE_ERROR_ACTIVE); /* the one that was set: not again */
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(99);
	ck_assert_int_eq(n_restarted, 0);
	pass_ms(1);
	ck_assert_int_eq(n_restarted, 1);
	is("can0", -1);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF); /* the bus is still broken */
	pass_ms(199);
	ck_assert_int_eq(n_restarted, 1);
	pass_ms(1);
	ck_assert_int_eq(n_restarted, 2);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(COUNTED(bus_off), 2);
	ck_assert_int_eq(COUNTED(bus_restarts), 2);
	pass_ms(1000);
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(100);
	ck_assert_int_eq(n_restarted, 3);
	ck_assert_int_eq(n_applied, !_i);
}
END_TEST

/* The loop goes on while a controller is restarted; what comes up meanwhile is done after it. */
START_TEST(restart_takes_long)
{
	links_start(100);
	is("can0", CAN_STATE_BUS_OFF);
	hold = true;
	timebase_fake_advance(&fake, 100 * NS_PER_MS);
	turn();
	ck_assert(can_links_busy(links));
	ck_assert_int_eq(n_applied, 1);
	say(RTM_NEWLINK, "can0", 4, -1, NULL); /* made again */
	turn();
	applied_state.ifindex = 4;
	hold = false;
	pass_ms(0);
	ck_assert_int_eq(n_restarted, 1);
	ck_assert_int_eq(n_applied, 2);
	pass_ms(60000);
	ck_assert_int_eq(n_applied, 2);
}
END_TEST

/* libsocketcan waits for ever for an interface that goes at the wrong moment. _i: whether the
 * interface is set by others. */
START_TEST(restart_never_ends)
{
	stuck = true;
	links_start_at(_i ? 0 : 500000, 100);
	is("can0", CAN_STATE_BUS_OFF);
	timebase_fake_advance(&fake, 100 * NS_PER_MS);
	turn();
	ck_assert(can_links_busy(links));
	say(RTM_DELLINK, "can0", 3, -1, NULL);
	pass_ms(0);
	ck_assert(!can_links_busy(links));
	stuck = false;
	applied_state.ifindex = 4;
	say(RTM_NEWLINK, "can0", 4, -1, NULL);
	pass_ms(0);
	ck_assert_int_eq(n_applied, _i ? 0 : 2);
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 1);
	ck_assert_int_eq(n_again, 0); /* the new one is not taken down for what the old one was */
}
END_TEST

/* _i: whether it would ever end. */
START_TEST(freed_while_busy)
{
	stuck = _i;
	links_start(100);
	is("can0", CAN_STATE_BUS_OFF);
	timebase_fake_advance(&fake, 100 * NS_PER_MS);
	turn();
	ck_assert(can_links_busy(links));
	links = can_links_free(links);
	stuck = false;
}
END_TEST

/* Then it is set anew. */
START_TEST(restart_fails)
{
	links_start(100);
	is("can0", CAN_STATE_BUS_OFF);
	restart_result = -EBUSY;
	pass_ms(100);
	ck_assert_int_eq(n_restarted, 1);
	is("can0", -1); /* by us */
	apply_result = -EBUSY;
	pass_ms(CAN_LINKS_RETRY_MIN_S * 1000);
	ck_assert_int_eq(n_applied, 2);
	apply_result = 0;
	pass_ms(2 * CAN_LINKS_RETRY_MIN_S * 1000);
	ck_assert_int_eq(n_applied, 3);
	ck_assert_int_eq(n_again, 2);
	pass_ms(60000);
	ck_assert_int_eq(n_applied, 3);
	ck_assert_int_eq(n_restarted, 1);
}
END_TEST

/* An interface that others set is not set anew, but what we took down is taken up. */
START_TEST(restart_fails_of_others)
{
	links_start_at(0, 100);
	is("can0", CAN_STATE_BUS_OFF);
	restart_result = -EBUSY;
	pass_ms(100);
	ck_assert_int_eq(n_restarted, 1);
	is("can0", -1); /* by us */
	restart_result = CAN_RESTART_DOWN_UP;
	pass_ms(CAN_LINKS_RETRY_MIN_S * 1000);
	ck_assert_int_eq(n_restarted, 2);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF);
	is("can0", -1); /* by somebody else */
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 2);
	ck_assert_int_eq(n_applied, 0);
}
END_TEST

START_TEST(others_restart)
{
	static const struct can_device_stats stats = {0};

	links_start(100);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF);
	is("can0", -1); /* somebody takes it down, and it stays so */
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 0);
	say(RTM_NEWLINK, "can0", 3, CAN_STATE_ERROR_ACTIVE, &stats);
	is("can0", CAN_STATE_BUS_OFF);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 0);
}
END_TEST

START_TEST(nobody_restarts)
{
	links_start(0);
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 0);
	ck_assert_int_eq(COUNTED(bus_off), 1);
}
END_TEST

START_TEST(appears_again)
{
	links_start(100);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	say(RTM_DELLINK, "can0", 3, -1, NULL);
	pass_ms(10);
	ck_assert_int_eq(n_applied, 1);
	applied_state.ifindex = 4;
	say(RTM_NEWLINK, "can0", 4, -1, NULL);
	pass_ms(0);
	ck_assert_int_eq(n_applied, 2);
	ck_assert_int_eq(n_again, 0);
	say(RTM_NEWLINK, "can0", 4, CAN_STATE_ERROR_ACTIVE, NULL);
	pass_ms(1000);
	ck_assert_int_eq(n_applied, 2);
}
END_TEST

/* Waits 1, 2, 4, ... and at most 30 s. */
START_TEST(tried_again)
{
	static const int64_t waits_s[] = {1, 2, 4, 8, 16, 30, 30};
	const struct can_link_settings s = {.interface = "can0", .bitrate = 1};

	n_applied = 0;
	apply_result = -EPERM;
	ck_assert_int_eq(can_links_new(&links, watch, l, &s, 1, &fake_links), 0);
	watch = NULL;
	turn();
	for (size_t i = 0; i < array_len(waits_s); i++) {
		pass_ms(waits_s[i] * 1000 - 1);
		ck_assert_int_eq(n_applied, (int)i + 1);
		pass_ms(1);
		ck_assert_int_eq(n_applied, (int)i + 2);
	}
}
END_TEST

/* bitrate=0: only watched. */
START_TEST(left_alone)
{
	const struct can_link_settings s = {.interface = "can0"};

	n_applied = n_restarted = 0;
	ck_assert_int_eq(can_links_new(&links, watch, l, &s, 1, &fake_links), 0);
	watch = NULL;
	turn();
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(60000);
	ck_assert_int_eq(n_applied + n_restarted, 0);
	ck_assert_int_eq(COUNTED(bus_off), 1);
}
END_TEST

int main(void)
{
	TCase *k = tcase_create("links");

	tcase_add_checked_fixture(k, watch_up, links_down);
	tcase_add_loop_test(k, agent_restarts, 0, 2);
	tcase_add_test(k, restart_takes_long);
	tcase_add_loop_test(k, restart_never_ends, 0, 2);
	tcase_add_loop_test(k, freed_while_busy, 0, 2);
	tcase_add_test(k, restart_fails);
	tcase_add_test(k, restart_fails_of_others);
	tcase_add_test(k, others_restart);
	tcase_add_test(k, nobody_restarts);
	tcase_add_test(k, appears_again);
	tcase_add_test(k, tried_again);
	tcase_add_test(k, left_alone);
	return suite_run("can_links", (TCase *const[]){k}, 1);
}
