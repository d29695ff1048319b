/* The SocketCAN source: what it opens, filters, reads and refuses. Real sockets: tests/system. */
#include "tests/unit/socketcan_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/can/error.h>
#include <string.h>

/* ---- frames ---- */

START_TEST(frames)
{
	struct canfd_frame in = {.can_id = 0x123, .len = 3, .data = {1, 2, 3}};
	struct frame f;

	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.id, 0x123);
	ck_assert_uint_eq(f.len, 3);
	ck_assert_uint_eq(f.flags, 0);
	ck_assert_mem_eq(f.data, in.data, 3);
	in.can_id = 0x18FEF100 | CAN_EFF_FLAG | CAN_RTR_FLAG;
	in.len = 8;
	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.id, 0x18FEF100);
	ck_assert_uint_eq(f.flags, FRAME_EXTENDED | FRAME_REMOTE);
	in.can_id = 0xFFF; /* 11 bits, whatever stands above */
	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.id, 0x7FF);
	in.len = 64;
	in.flags = CANFD_BRS | CANFD_ESI | CANFD_FDF | 0xF0;
	ck_assert_int_eq(socketcan_convert(&in, CANFD_MTU, &f), 0);
	ck_assert_uint_eq(f.len, 64);
	ck_assert_uint_eq(f.flags, FRAME_FD | FRAME_BRS | FRAME_ESI);
}
END_TEST

/* A classic frame's third byte after the length is a DLC of 9 to 15 with 8 bytes (len8_dlc). */
START_TEST(a_dlc_above_8_has_8_bytes)
{
	struct canfd_frame in = {.can_id = 0x123, .len = 8, .__res1 = 15};
	struct frame f;

	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.len, 8);
}
END_TEST

START_TEST(frames_that_contradict_themselves)
{
	static const struct {
		uint32_t can_id;
		uint8_t len;
		size_t size;
		bool truncated;
	} bad[] = {
		{0x100, 9, CAN_MTU, false},
		{0x100, 255, CAN_MTU, false},
		{0x100, 65, CANFD_MTU, false},
		{0x100, 255, CANFD_MTU, false},
		{0x100, 8, 0, false},
		{0x100, 8, 5, false},
		{0x100, 8, CAN_MTU - 1, false},
		{0x100, 8, CAN_MTU + 1, false},
		{0x100, 8, CANFD_MTU - 1, false},
		{0x100, 8, CANFD_MTU, true},
		{0x100 | CAN_RTR_FLAG, 8, CANFD_MTU, false},
		{CAN_ERR_FLAG | CAN_ERR_BUSOFF, 9, CAN_MTU, false},
	};

	for (size_t i = 0; i < array_len(bad); i++) {
		struct can_item *item = can_add_frame(bad[i].can_id, bad[i].len);

		item->size = bad[i].size;
		item->truncated = bad[i].truncated;
	}
	can_add_frame(0x100, 8);
	can_start();
	ck_assert_uint_eq(counter_get(&can_counters.frames_bad), array_len(bad));
	ck_assert_uint_eq(counter_get(&can_counters.frames_error), 0);
	ck_assert_uint_eq(can_got.n, 1);
	can_pass(NS_PER_S);
	ck_assert_uint_eq(can_last()->frames_bad, array_len(bad));
	ck_assert_uint_eq(can_last()->frames, 1);
}
END_TEST

START_TEST(times_of_the_kernel_and_of_the_controller)
{
	struct can_item *i = can_add_frame(0x100, 1);

	i->stamps.wall_ns = can_clock.wall.ns - 5 * NS_PER_MS;
	i = can_add_frame(0x101, 1);
	i->stamps = (struct can_stamps){can_clock.wall.ns - 3 * NS_PER_MS, 1000 * NS_PER_S};
	i = can_add_frame(0x102,
			  1); /* 1 ms later, and 2 ms late: only its software time shows that */
	i->stamps = (struct can_stamps){can_clock.wall.ns, 1000 * NS_PER_S + NS_PER_MS};
	can_add_frame(0x103, 1);
	can_start();
	ck_assert_uint_eq(can_got.n, 4);
	ck_assert_int_eq(can_got.frames[0].t_ns, can_clock.mono.ns - 5 * NS_PER_MS);
	ck_assert_int_eq(can_got.frames[1].t_ns, can_clock.mono.ns - 3 * NS_PER_MS);
	ck_assert_int_eq(can_got.frames[2].t_ns, can_clock.mono.ns - 2 * NS_PER_MS);
	ck_assert_int_eq(can_got.frames[3].t_ns, can_clock.mono.ns);
	ck_assert_uint_eq(can_got.frames[3].bus, 0);
	ck_assert(can_fake.hardware);
}
END_TEST

START_TEST(times_of_the_kernel_if_so_set)
{
	can_start_with(&(struct socketcan_options){.kernel_times = true});
	can_turn(2);
	ck_assert(!can_fake.hardware);
}
END_TEST

/* The counter of the socket wraps at 2^32, and begins anew with another socket. */
START_TEST(lost_in_the_socket)
{
	static const uint32_t totals[] = {5, 5, 9, UINT32_MAX - 1, 3};
	uint64_t expected = (uint64_t)UINT32_MAX - 1 + 5; /* 2^32 + 3 */

	for (size_t i = 0; i < array_len(totals); i++) {
		struct can_item *item = can_add_frame(0x100, 1);

		item->has_overflow = true;
		item->overflow = totals[i];
	}
	can_add_frame(0x100, 1); /* says nothing of it */
	can_start();
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped_socket), expected);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped), expected);
	ck_assert_uint_eq(can_got.n, 6);
	can_add()->error = ENETDOWN;
	can_turn(3);
	ck_assert_uint_eq(can_fake.opens, 2);
	can_add_frame(0x100, 1)->has_overflow = true;
	can_fake.items[can_fake.n - 1].overflow = 2;
	can_turn(2);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped_socket), expected + 2);
	can_pass(NS_PER_S);
	ck_assert_uint_eq(can_last()->frames_lost, (uint32_t)(expected + 2));
}
END_TEST

/* No frame tells what was lost after the last one that got in. */
START_TEST(lost_in_the_socket_at_its_end)
{
	can_start();
	can_add()->error = ENETDOWN;
	can_add_frame(0x100, 1)->has_overflow = true;
	can_fake.items[can_fake.n - 1].overflow = 5;
	can_fake.lost = 12;
	can_turn(3);
	ck_assert_uint_eq(can_got.n, 1);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped_socket), 12);
	can_pass(NS_PER_S);
	ck_assert_uint_eq(can_last()->frames_lost, 12);
}
END_TEST

START_TEST(no_free_batch)
{
	can_got.busy = true;
	for (int i = 0; i < 10; i++)
		can_add_frame(0x100, 1);
	can_start();
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped_busy), 10);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped), 10);
	ck_assert_uint_eq(can_got.n, 0);
}
END_TEST

/* ---- filters ---- */

START_TEST(filters_follow_the_rules)
{
	can_start();
	ck_assert_uint_eq(can_fake.filters.n, 1);
	ck_assert_uint_eq(can_fake.filters.filters[0].can_id, 0x100);
	source_matches_changed(can_source); /* the same */
	ck_assert_uint_eq(can_fake.filter_calls, 0);
	can_got.matches[1] = (struct frame_match){0x200, 0x7FF, false};
	can_got.n_matches = 2;
	source_matches_changed(can_source);
	ck_assert_uint_eq(can_fake.filter_calls, 1);
	ck_assert_uint_eq(can_fake.filters.n, 2);
	can_got.n_matches = 0;
	source_matches_changed(can_source);
	ck_assert_uint_eq(can_fake.filters.n, 0);
	ck_assert(!can_fake.filters.all);
	ck_assert_uint_eq(can_fake.opens, 1);
}
END_TEST

START_TEST(filters_that_the_kernel_refuses)
{
	can_start();
	can_fake.filter_error = ENOMEM;
	can_got.n_matches = 0;
	source_matches_changed(can_source);
	can_turn(2);
	ck_assert_uint_eq(counter_get(&can_counters.sources_failed), 1);
	can_pass(CAN_PORT_RETRY_S * NS_PER_S);
	ck_assert_uint_eq(can_fake.opens, 2);
	ck_assert_uint_eq(can_fake.filters.n, 0);
	ck_assert_uint_eq(can_last()->link_downs, 0);
}
END_TEST

/* The rules change in the moment that the interface vanishes. */
START_TEST(filters_of_an_interface_that_is_gone)
{
	can_start();
	can_add_frame(0x100, 1);
	can_add()->error = ENODEV;
	can_add_frame(0x100, 1);
	can_fake.filter_error = ENODEV;
	can_fake.find_error = ENODEV;
	can_got.n_matches = 0;
	source_matches_changed(can_source);
	ck_assert_uint_eq(can_got.n, 2);
	can_pass(NS_PER_S);
	ck_assert_int_eq(can_last()->state, BUS_ABSENT);
	ck_assert_uint_eq(can_last()->link_downs, 1);
}
END_TEST

START_TEST(rules_that_change_while_the_interface_is_down)
{
	can_fake.find_error = ENETDOWN;
	can_start_with(&(struct socketcan_options){0});
	can_turn(2);
	can_got.n_matches = 0;
	source_matches_changed(can_source);
	ck_assert_uint_eq(can_fake.filter_calls, 0);
	can_fake.find_error = 0;
	can_pass(CAN_PORT_RETRY_S * NS_PER_S);
	ck_assert_uint_eq(can_fake.opens, 1);
	ck_assert_uint_eq(can_fake.filters.n, 0);
}
END_TEST

START_TEST(all_of_the_bus)
{
	can_start_with(&(struct socketcan_options){.take_all = true});
	can_turn(2);
	ck_assert(can_fake.filters.all);
	can_source = source_free(can_source);
	for (uint32_t i = 0; i < CAN_MATCHES_MAX; i++)
		can_got.matches[i] = (struct frame_match){i, 0x7FF, false};
	can_got.n_matches = CAN_MATCHES_MAX; /* more than the kernel takes */
	can_start_with(&(struct socketcan_options){0});
	can_turn(2);
	ck_assert(can_fake.filters.all);
}
END_TEST

START_TEST(options_that_are_wrong)
{
	struct socketcan_options opt = {.interface = "can7", .bus = "can9"};
	struct error err;

	ck_assert_int_eq(socketcan_new(&can_source, &can_env, "c", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "can9"));
	opt = (struct socketcan_options){.interface = "", .bus = "can0"};
	ck_assert_int_eq(socketcan_new(&can_source, &can_env, "c", &opt, &err), -EINVAL);
	opt.interface = "sixteencharacter";
	ck_assert_int_eq(socketcan_new(&can_source, &can_env, "c", &opt, &err), -EINVAL);
	can_source = NULL;
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("socketcan");

	tcase_add_checked_fixture(tc, can_setup, can_teardown);
	tcase_add_test(tc, frames);
	tcase_add_test(tc, a_dlc_above_8_has_8_bytes);
	tcase_add_test(tc, frames_that_contradict_themselves);
	tcase_add_test(tc, times_of_the_kernel_and_of_the_controller);
	tcase_add_test(tc, times_of_the_kernel_if_so_set);
	tcase_add_test(tc, lost_in_the_socket);
	tcase_add_test(tc, lost_in_the_socket_at_its_end);
	tcase_add_test(tc, no_free_batch);
	tcase_add_test(tc, filters_follow_the_rules);
	tcase_add_test(tc, filters_that_the_kernel_refuses);
	tcase_add_test(tc, filters_of_an_interface_that_is_gone);
	tcase_add_test(tc, rules_that_change_while_the_interface_is_down);
	tcase_add_test(tc, all_of_the_bus);
	tcase_add_test(tc, options_that_are_wrong);
	return suite_run("socketcan", &tc, 1);
}
