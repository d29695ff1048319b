/* The J1939 source on a kernel that the test plays: what it opens and hands over, and how it fails.
 * Real sockets: tests/system. */
#include "tests/unit/j1939_fixture.h"
#include "tests/unit/suite.h"

#include <string.h>

/* ---- hearing ---- */

START_TEST(payloads)
{
	j1939_add(0xFEE5, 0x21, 0xFF, 8);
	j1939_add(0xFECA, 0x21, 0xFF, 40);
	j1939_add(0xEF00, 0x21, 0x22, 1785);
	j1939_start(j1939_listener);
	ck_assert_uint_eq(can_got.n, 1);
	ck_assert_uint_eq(can_got.frames[0].id, 0x18FEE521);
	ck_assert_uint_eq(can_got.frames[0].len, 8);
	ck_assert_int_eq(can_got.frames[0].t_ns, 50 * NS_PER_S);
	ck_assert_uint_eq(j1939_got.n, 2);
	ck_assert_uint_eq(j1939_got.payloads[0].id, 0x18FECA21);
	ck_assert_int_eq(j1939_got.payloads[0].t_ns, 50 * NS_PER_S);
	ck_assert_uint_eq(j1939_got.payloads[0].len, 40);
	ck_assert_uint_eq(j1939_got.payloads[1].id, 0x18EF2221);
	ck_assert_uint_eq(j1939_got.payloads[1].len, 1785);
	ck_assert_uint_eq(j1939_got.data[1][1784], 1785 & 0xFF);
	ck_assert_uint_eq(counter_get(&can_counters.j1939_messages), 2);
	ck_assert_uint_eq(counter_get(&can_counters.j1939_errors), 0);
	ck_assert_uint_eq(j1939_fake.n_sent, 0);
}
END_TEST

/* Sessions of other nodes, which the kernel leaves alone, go the way of frames. */
START_TEST(sessions_of_others)
{
	j1939_add(0xEC00, 0x21, 0x22, 8);
	j1939_add(0xEB00, 0x21, 0x22, 8);
	j1939_start(j1939_listener);
	ck_assert_uint_eq(j1939_got.n, 0);
	ck_assert_uint_eq(can_got.n, 2);
	ck_assert_uint_eq(can_got.frames[0].id, 0x18EC2221);
	ck_assert_uint_eq(can_got.frames[1].id, 0x18EB2221);
	ck_assert_uint_eq(can_got.frames[1].len, 8);
	ck_assert_uint_eq(can_got.frames[1].data[7], 8);
}
END_TEST

START_TEST(refused_and_lost)
{
	struct j1939_item *i;

	j1939_add(0xFECA, 0x21, 0xFF, 1786);
	j1939_add(0xFECA, 0xFF, 0xFF, 8);
	i = j1939_add(0xFEE5, 0x21, 0xFF, 8);
	i->has_overflow = true;
	i->overflow = 5;
	j1939_start(j1939_listener);
	ck_assert_uint_eq(can_got.n, 1);
	ck_assert_uint_eq(counter_get(&can_counters.j1939_errors), 1);
	ck_assert_uint_eq(counter_get(&can_counters.frames_bad), 1);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped_socket), 5);
	can_got.busy = true;
	j1939_add(0xFECA, 0x21, 0xFF, 40);
	i = j1939_add(0xFEE5, 0x21, 0xFF, 8);
	i->has_overflow = true;
	i->overflow = 7;
	j1939_pass(1);
	ck_assert_uint_eq(can_got.n, 1);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped_busy), 2);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped_socket), 7);
	ck_assert_uint_eq(counter_get(&can_counters.frames_dropped), 9);
}
END_TEST

/* The bus has a status as that of a socketcan source has. */
START_TEST(tells_the_status_of_the_bus)
{
	size_t before;

	j1939_start(j1939_listener);
	j1939_pass(1000);
	before = j1939_got.n_statuses;
	j1939_pass(1000);
	j1939_pass(1000);
	ck_assert_uint_eq(j1939_got.n_statuses, before + 2);
}
END_TEST

START_TEST(opens_again)
{
	can_fake.find_error = ENETDOWN;
	j1939_start(j1939_listener);
	ck_assert_uint_eq(j1939_fake.opens, 0);
	ck_assert_uint_eq(counter_get(&can_counters.sources_failed), 1);
	can_fake.find_error = 0;
	j1939_fake.open_error = EPROTONOSUPPORT;
	j1939_pass(3000);
	j1939_fake.open_error = 0;
	j1939_pass(3000);
	ck_assert_uint_eq(j1939_fake.opens, 1);
	j1939_add(0, 0, 0, 0)->error = ENETDOWN;
	j1939_add(0xFEE5, 0x21, 0xFF, 8);
	j1939_add(0, 0, 0, 0)->error = ENODEV;
	j1939_add(0xFEE5, 0x21, 0xFF, 8);
	can_fake.find_error = ENETDOWN;
	j1939_pass(1);
	ck_assert_uint_eq(can_got.n, 2); /* what it still held, behind each error */
	can_fake.find_error = 0;
	j1939_pass(3000);
	ck_assert_uint_eq(j1939_fake.opens, 2);
	ck_assert_uint_eq(can_got.n, 2);
	ck_assert_uint_eq(counter_get(&can_counters.sources_failed), 4);
	/* Gone and back already: no wait. */
	j1939_add(0, 0, 0, 0)->error = ENETDOWN;
	j1939_pass(1);
	ck_assert_uint_eq(j1939_fake.opens, 3);
}
END_TEST

START_TEST(filters)
{
	j1939_start(j1939_listener);
	ck_assert_uint_eq(j1939_fake.n_filters, 1);
	ck_assert_uint_eq(j1939_fake.filters[0].pgn, 0xFEE5);
	source_matches_changed(can_source); /* the same: nothing to do */
	ck_assert_uint_eq(j1939_fake.filter_calls, 0);
	can_got.matches[can_got.n_matches++] = (struct frame_match){0x0FECA00, 0x3FFFF00, true};
	source_matches_changed(can_source);
	ck_assert_uint_eq(j1939_fake.filter_calls, 1);
	ck_assert_uint_eq(j1939_fake.n_filters, 2);
	/* With an own address all passes. */
	can_source = source_free(can_source);
	j1939_start((struct j1939_options){.address = J1939_OWN});
	ck_assert_uint_eq(j1939_fake.n_filters, 0);
	ck_assert_uint_eq(j1939_fake.address, J1939_OWN);
}
END_TEST

/* ---- without the kernel's J1939 ---- */

START_TEST(falls_back)
{
	j1939_fake.probe_error = EPROTONOSUPPORT;
	j1939_start(j1939_asker);
	ck_assert_uint_eq(j1939_fake.opens, 0);
	ck_assert_uint_eq(can_fake.opens, 1);
	ck_assert_uint_eq(j1939_fake.raw_opens, 1);
	j1939_pass(1000);
	ck_assert_uint_eq(j1939_fake.n_sent, 2);
	ck_assert_uint_eq(j1939_fake.sent[0].id, 0x18EAFF80);
	ck_assert_mem_eq(j1939_fake.sent[0].data, "\xE5\xFE\x00", 3);
	ck_assert_uint_eq(counter_get(&can_counters.j1939_requests), 2);
	source_matches_changed(can_source);
}
END_TEST

START_TEST(protocol_is_chosen)
{
	struct j1939_options opt = j1939_listener;

	opt.protocol = J1939_RAW;
	j1939_start(opt);
	ck_assert_uint_eq(can_fake.opens, 1);
	ck_assert_uint_eq(j1939_fake.raw_opens, 0); /* nothing to send */
	can_source = source_free(can_source);
	j1939_fake.probe_error = EPROTONOSUPPORT;
	opt.protocol = J1939_KERNEL;
	j1939_start(opt);
	ck_assert_uint_eq(can_fake.opens, 1);
	ck_assert_uint_eq(j1939_fake.opens, 1);
	/* Without the kernel an address is not claimed, so nothing is asked from it. */
	can_source = source_free(can_source);
	j1939_start(j1939_claimer);
	j1939_pass(3000);
	ck_assert_uint_eq(j1939_fake.raw_opens, 0);
	ck_assert_uint_eq(j1939_fake.n_sent, 0);
}
END_TEST

START_TEST(refuses_options)
{
	struct j1939_options opt = j1939_asker;
	struct error err;

	opt.address = J1939_ADDRESS_NONE;
	ck_assert_int_eq(j1939_make(opt, &err), -EINVAL);
	ck_assert_str_eq(err.text, "requests need an own address");
	opt = j1939_asker;
	opt.n_requests = J1939_REQUESTS_MAX + 1;
	ck_assert_int_eq(j1939_make(opt, &err), -EINVAL);
	opt = j1939_listener;
	opt.can.bus = "can9";
	ck_assert_int_eq(j1939_make(opt, &err), -EINVAL);
	ck_assert_str_eq(err.text, "no bus of the catalog is 'can9', it has 'can0'");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("j1939");

	tcase_add_checked_fixture(tc, j1939_setup, can_teardown);
	tcase_add_test(tc, payloads);
	tcase_add_test(tc, sessions_of_others);
	tcase_add_test(tc, refused_and_lost);
	tcase_add_test(tc, tells_the_status_of_the_bus);
	tcase_add_test(tc, opens_again);
	tcase_add_test(tc, filters);
	tcase_add_test(tc, falls_back);
	tcase_add_test(tc, protocol_is_chosen);
	tcase_add_test(tc, refuses_options);
	return suite_run("j1939", &tc, 1);
}
