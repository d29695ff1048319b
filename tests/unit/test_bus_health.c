/* The health of a bus as the SocketCAN source tells it: error frames, the interface, what the
 * kernel knows. */
#include "tests/unit/socketcan_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/can/error.h>
#include <string.h>

/* ---- error frames ---- */

START_TEST(error_frames_change_the_state_at_once)
{
	static const struct {
		uint32_t classes;
		uint8_t controller, tx, rx;
		enum bus_state state;
	} steps[] = {
		{CAN_ERR_CRTL, CAN_ERR_CRTL_TX_WARNING, 96, 0, BUS_ERROR_WARNING},
		{CAN_ERR_CRTL, CAN_ERR_CRTL_TX_PASSIVE, 128, 3, BUS_ERROR_PASSIVE},
		{CAN_ERR_BUSOFF, 0, 0, 0, BUS_OFF},
		{CAN_ERR_RESTARTED, 0, 0, 0, BUS_ERROR_ACTIVE},
	};
	size_t before;

	can_start();
	before = can_got.n_statuses;
	for (size_t i = 0; i < array_len(steps); i++) {
		timebase_fake_advance(&can_clock, BUS_HEALTH_GAP_MS * NS_PER_MS);
		can_add_error(steps[i].classes, steps[i].controller, steps[i].tx, steps[i].rx);
		can_turn(1);
		ck_assert_uint_eq(can_got.n_statuses, before + i + 1);
		ck_assert_int_eq(can_last()->state, steps[i].state);
		ck_assert_int_eq(can_got.times[can_got.n_statuses - 1], can_clock.mono.ns);
	}
	ck_assert(can_last()->has_errors);
	ck_assert_uint_eq(can_last()->tx_errors, 128); /* the last that were told */
	ck_assert_uint_eq(can_last()->rx_errors, 3);
	ck_assert_uint_eq(can_last()->bus_offs, 1);
	ck_assert_uint_eq(can_last()->restarts, 1);
	ck_assert_uint_eq(can_last()->error_frames, 4);
	ck_assert_uint_eq(counter_get(&can_counters.frames_error), 4);
	ck_assert_uint_eq(can_got.n, 0); /* no frame of the bus */
}
END_TEST

START_TEST(error_frames_are_counted_by_kind)
{
	can_start();
	for (int i = 0; i < 2; i++)
		can_add_error(CAN_ERR_PROT | CAN_ERR_BUSERROR, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		can_add_error(CAN_ERR_ACK, 0, 0, 0);
	for (int i = 0; i < 4; i++)
		can_add_error(CAN_ERR_LOSTARB, 0, 0, 0);
	for (int i = 0; i < 5; i++)
		can_add_error(CAN_ERR_CRTL, CAN_ERR_CRTL_RX_OVERFLOW, 0, 0);
	for (int i = 0; i < 6; i++)
		can_add_error(CAN_ERR_TX_TIMEOUT, 0, 0, 0);
	can_turn(1);
	can_pass(NS_PER_S);
	ck_assert_uint_eq(can_last()->bus_errors, 2);
	ck_assert_uint_eq(can_last()->ack_errors, 3);
	ck_assert_uint_eq(can_last()->arbitration_lost, 4);
	ck_assert_uint_eq(can_last()->controller_overflows, 5);
	ck_assert_uint_eq(can_last()->tx_timeouts, 6);
	ck_assert_uint_eq(can_last()->error_frames, 20);
	ck_assert_int_eq(can_last()->state, BUS_UNKNOWN); /* none of them tells one */
	ck_assert(!can_last()->has_errors);
}
END_TEST

/* A controller that flaps, as fast as a bus allows: few statuses, the last of them right, and the
 * loop sees to others in between. */
START_TEST(a_storm_of_error_frames)
{
	unsigned others = 0;

	can_start();
	can_got.n_statuses = 0;
	for (int i = 0; i < 8000; i++)
		can_add_error(CAN_ERR_CRTL, i % 2 ? CAN_ERR_CRTL_ACTIVE : CAN_ERR_CRTL_RX_PASSIVE,
			      0, i % 2 ? 0 : 130);
	can_fake.most_a_turn = 0;
	while (can_fake.next < can_fake.n) {
		timebase_fake_advance(&can_clock, 10 * NS_PER_MS);
		can_turn(1);
		others++;
	}
	ck_assert_uint_le(can_fake.most_a_turn, 256);
	ck_assert_uint_ge(others, 8000 / 256);
	ck_assert_uint_eq(counter_get(&can_counters.frames_error), 8000);
	ck_assert_uint_le(can_got.n_statuses, 2 + others * 10 / BUS_HEALTH_GAP_MS);
	can_pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_int_eq(can_last()->state, BUS_ERROR_ACTIVE);
	ck_assert_uint_eq(can_last()->error_frames, 8000);
}
END_TEST

/* ---- the interface ---- */

START_TEST(what_is_in_the_socket_is_read_before_it_is_lost)
{
	can_start();
	can_add()->error = ENETDOWN;
	for (int i = 0; i < 6000; i++) { /* more than fit */
		if (i == 50)
			can_add()->error = ENETDOWN;
		can_add_frame(0x100, 1);
	}
	can_fake.find_error = ENETDOWN;
	can_turn(3);
	can_pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(can_got.n, 6000);
	ck_assert_uint_eq(can_fake.opens, 1);
	ck_assert_int_eq(can_last()->state, BUS_STOPPED);
	ck_assert(!can_last()->link_up);
	ck_assert_uint_eq(can_last()->link_downs, 1);
	can_fake.find_error = ENODEV; /* and then it is gone */
	can_pass(CAN_PORT_RETRY_S * NS_PER_S);
	can_pass(NS_PER_S);
	ck_assert_int_eq(can_last()->state, BUS_ABSENT);
	ck_assert_uint_eq(can_last()->link_downs, 1);
	can_fake.find_error = 0;
	can_pass(CAN_PORT_RETRY_S * NS_PER_S);
	ck_assert_uint_eq(can_fake.opens, 2);
	can_pass(NS_PER_S);
	ck_assert_int_eq(can_last()->state, BUS_UNKNOWN);
	ck_assert(can_last()->link_up);
	can_add_frame(0x100, 1);
	can_turn(1);
	ck_assert_uint_eq(can_got.n, 6001);
}
END_TEST

START_TEST(an_interface_that_is_back_at_once)
{
	can_start();
	can_add()->error = ENETDOWN;
	can_turn(3); /* no time passes */
	ck_assert_uint_eq(can_fake.opens, 2);
	can_add_frame(0x100, 1);
	can_turn(1);
	ck_assert_uint_eq(can_got.n, 1);
	can_pass(NS_PER_S);
	ck_assert_uint_eq(can_last()->link_downs, 1);
	ck_assert(can_last()->link_up);
}
END_TEST

/* ---- what the kernel knows ---- */

static void controller(int state, uint16_t tx, uint16_t rx)
{
	can_fake.link_error = 0;
	can_fake.link = (struct can_link_state){
		.up = true,
		.can_state = state,
		.has_berr = true,
		.berr = {.txerr = tx, .rxerr = rx},
		.has_stats = true,
		.stats = {.bus_error = 70, .arbitration_lost = 71, .bus_off = 72, .restarts = 73},
		.bittiming = {.bitrate = 500000},
	};
}

START_TEST(state_of_the_controller)
{
	controller(CAN_STATE_ERROR_WARNING, 100, 2);
	can_start();
	ck_assert_int_eq(can_last()->state, BUS_ERROR_WARNING);
	ck_assert(can_last()->has_errors && can_last()->has_bit_rate && !can_last()->has_load);
	ck_assert_uint_eq(can_last()->tx_errors, 100);
	ck_assert_uint_eq(can_last()->bit_rate, 500000);
	ck_assert_uint_eq(can_last()->data_bit_rate, 0);
	ck_assert_uint_eq(can_last()->bus_errors, 70);
	ck_assert_uint_eq(can_last()->arbitration_lost, 71);
	ck_assert_uint_eq(can_last()->bus_offs, 72);
	ck_assert_uint_eq(can_last()->restarts, 73);
	can_fake.link.ctrlmode = CAN_CTRLMODE_FD;
	can_fake.link.data_bittiming.bitrate = 2000000;
	can_fake.link.has_berr = false;
	can_fake.link.can_state = CAN_STATE_ERROR_ACTIVE;
	can_pass(NS_PER_S);
	ck_assert_int_eq(can_last()->state, BUS_ERROR_ACTIVE);
	ck_assert_uint_eq(can_last()->data_bit_rate, 2000000);
	ck_assert(!can_last()->has_errors);
	can_fake.link.up = false;
	can_fake.link.can_state = CAN_STATE_STOPPED;
	can_pass(NS_PER_S);
	ck_assert_int_eq(can_last()->state, BUS_STOPPED);
	ck_assert(!can_last()->link_up);
}
END_TEST

/* Bus-off is told by the kernel's count and by an error frame, in any order, and counts once. */
START_TEST(what_the_kernel_counts_is_not_counted_twice)
{
	controller(CAN_STATE_ERROR_ACTIVE, 0, 0);
	can_start();
	can_fake.link.can_state = CAN_STATE_BUS_OFF;
	can_fake.link.stats.bus_off = 73;
	can_pass(NS_PER_S); /* the look comes first */
	ck_assert_uint_eq(can_last()->bus_offs, 73);
	can_add_error(CAN_ERR_BUSOFF, 0, 0, 0);
	can_turn(1);
	can_fake.link.stats.restarts = 74;
	timebase_fake_advance(&can_clock, BUS_HEALTH_GAP_MS * NS_PER_MS);
	can_add_error(CAN_ERR_RESTARTED, 0, 0, 0); /* and here the frame */
	can_turn(1);
	ck_assert_int_eq(can_last()->state, BUS_ERROR_ACTIVE);
	ck_assert_uint_eq(can_last()->bus_offs, 73);
	ck_assert_uint_eq(can_last()->restarts, 74);
	ck_assert_uint_eq(can_last()->error_frames, 2);
}
END_TEST

/* Nothing of what was known of the controller outlives the interface. */
START_TEST(the_last_status_of_an_interface)
{
	controller(CAN_STATE_ERROR_ACTIVE, 9, 9);
	can_start();
	can_fake.traffic = (struct can_traffic){1000, 8000};
	can_pass(NS_PER_S);
	ck_assert(can_last()->has_load && can_last()->has_errors);
	can_fake.link_error = ENODEV;
	can_fake.find_error = ENODEV;
	can_got.n_statuses = 0;
	timebase_fake_advance(&can_clock, BUS_HEALTH_GAP_MS * NS_PER_MS);
	can_add()->error = ENODEV;
	can_turn(1);
	ck_assert_uint_eq(can_got.n_statuses, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(can_last()->state, BUS_ABSENT);
		ck_assert(!can_last()->has_load && !can_last()->has_errors && !can_last()->link_up);
		can_pass(NS_PER_S);
	}
	ck_assert(!can_last()->has_bit_rate);
}
END_TEST

START_TEST(no_controller)
{
	controller(CAN_LINK_STATE_NONE, 0, 0);
	can_fake.link.has_berr = can_fake.link.has_stats = false;
	can_fake.link.bittiming.bitrate = 0;
	can_start();
	ck_assert_int_eq(can_last()->state, BUS_UNKNOWN);
	ck_assert(can_last()->link_up && !can_last()->has_errors && !can_last()->has_bit_rate);
}
END_TEST

/* 1000 frames of 8 bytes a second, 47 + 64 bits each, at 500 kbit/s: 22.2 %. */
START_TEST(bus_load)
{
	controller(CAN_STATE_ERROR_ACTIVE, 0, 0);
	can_start();
	ck_assert(!can_last()->has_load);
	can_fake.traffic = (struct can_traffic){1000, 8000};
	can_pass(NS_PER_S);
	ck_assert(can_last()->has_load);
	ck_assert_uint_eq(can_last()->load, 222);
	can_fake.traffic = (struct can_traffic){2000, 16000};
	for (int i = 0; i < 4; i++) /* half of them with 29 bits: 57 + 64 */
		can_add_frame(i % 2 ? 0x100 : 0x100 | CAN_EFF_FLAG, 8);
	can_turn(1);
	can_pass(NS_PER_S);
	ck_assert_uint_eq(can_last()->load, 242);
	can_fake.traffic = (struct can_traffic){90000, 800000};
	can_pass(NS_PER_S);
	ck_assert_uint_eq(can_last()->load, 1000);
	can_fake.traffic = (struct can_traffic){5, 40}; /* made anew */
	can_pass(NS_PER_S);
	ck_assert(!can_last()->has_load);
	can_fake.link.ctrlmode = CAN_CTRLMODE_FD; /* nobody counts what used which bit rate */
	can_fake.link.data_bittiming.bitrate = 2000000;
	can_pass(NS_PER_S);
	can_pass(NS_PER_S);
	ck_assert(!can_last()->has_load);
}
END_TEST

/* ---- telling ---- */

START_TEST(each_period)
{
	can_start_with(&(struct socketcan_options){.status_period_ns = 200 * NS_PER_MS});
	can_turn(2);
	can_got.n_statuses = 0;
	for (int i = 0; i < 100; i++)
		can_pass(100 * NS_PER_MS);
	ck_assert_uint_eq(can_got.n_statuses, 50);
}
END_TEST

START_TEST(nothing_without_a_message_for_it)
{
	can_cat = catalog_free(can_cat);
	can_cat = can_make_catalog(false);
	can_env.cat = can_cat;
	can_start();
	can_add_error(CAN_ERR_BUSOFF, 0, 0, 0);
	can_pass(10 * NS_PER_S);
	ck_assert_uint_eq(can_got.n_statuses, 0);
	ck_assert_uint_eq(counter_get(&can_counters.frames_error), 1);
}
END_TEST

/* A change that finds no free batch is told when there is one. */
START_TEST(busy_when_the_state_changes)
{
	can_start();
	can_got.n_statuses = 0;
	timebase_fake_advance(&can_clock, BUS_HEALTH_GAP_MS * NS_PER_MS);
	can_got.busy = true;
	can_add_error(CAN_ERR_BUSOFF, 0, 0, 0);
	can_turn(2);
	can_pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(can_got.n_statuses, 0);
	can_got.busy = false;
	can_pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(can_got.n_statuses, 1);
	ck_assert_int_eq(can_last()->state, BUS_OFF);
	can_pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(can_got.n_statuses, 1);
}
END_TEST

/* What the kernel's files say of an interface that every machine has, and of none. */
START_TEST(traffic_of_an_interface)
{
	struct can_traffic t;

	ck_assert_int_eq(can_traffic_read("lo", &t), 0);
	ck_assert_int_eq(can_traffic_read("nocan9", &t), -ENOENT);
	ck_assert_int_eq(can_traffic_read("../net/lo", &t), -EINVAL);
	ck_assert_int_eq(can_traffic_read("..", &t), -EINVAL);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("bus_health");

	tcase_add_checked_fixture(tc, can_setup, can_teardown);
	tcase_add_test(tc, error_frames_change_the_state_at_once);
	tcase_add_test(tc, error_frames_are_counted_by_kind);
	tcase_add_test(tc, a_storm_of_error_frames);
	tcase_add_test(tc, what_is_in_the_socket_is_read_before_it_is_lost);
	tcase_add_test(tc, an_interface_that_is_back_at_once);
	tcase_add_test(tc, state_of_the_controller);
	tcase_add_test(tc, what_the_kernel_counts_is_not_counted_twice);
	tcase_add_test(tc, the_last_status_of_an_interface);
	tcase_add_test(tc, no_controller);
	tcase_add_test(tc, bus_load);
	tcase_add_test(tc, each_period);
	tcase_add_test(tc, nothing_without_a_message_for_it);
	tcase_add_test(tc, busy_when_the_state_changes);
	tcase_add_test(tc, traffic_of_an_interface);
	return suite_run("bus_health", &tc, 1);
}
