/* What is on its way to the relay: how much may be, of which lane it is, and what ends it. */
#include "tests/unit/flight_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

START_TEST(a_receipt_ends_it)
{
	for (uint64_t seq = 1; seq <= 5; seq++)
		send_row(CLASS_BULK, seq, 10);
	send_row(CLASS_LIVE, 2, 10);
	ck_assert_uint_eq(flight_remove(fw.f, CLASS_BULK, 1, 3), 3);
	ck_assert_uint_eq(flight_remove(fw.f, CLASS_BULK, 1, 3), 0);
	ck_assert_uint_eq(flight_rows(fw.f), 3);
	ck_assert_uint_eq(flight_bytes(fw.f), 30);
	ck_assert(!flight_holds(fw.f, CLASS_BULK, 2));
	ck_assert(flight_holds(fw.f, CLASS_LIVE, 2));
	ck_assert_uint_eq(flight_span(fw.f, lane_of(CLASS_BULK, true)).from, 5);
}
END_TEST

START_TEST(bounded_by_rows_with_a_part_for_the_urgent)
{
	hear_relay();
	for (uint64_t seq = 1; seq <= 6; seq++) {
		ck_assert(flight_admits(fw.f, CLASS_BULK));
		send_row(CLASS_BULK, seq, 1);
	}
	ck_assert(!flight_admits(fw.f, CLASS_BULK));
	ck_assert(!flight_admits(fw.f, CLASS_LOG));
	send_row(CLASS_LIVE, 1, 1);
	ck_assert(flight_admits(fw.f, CLASS_EVENT));
	send_row(CLASS_EVENT, 1, 1);
	ck_assert(!flight_admits(fw.f, CLASS_EVENT));
}
END_TEST

START_TEST(bounded_by_bytes_but_never_stuck)
{
	ck_assert(flight_admits(fw.f, CLASS_BULK));
	send_row(CLASS_BULK, 1, 5000);
	ck_assert(!flight_admits(fw.f, CLASS_BULK));
	ck_assert(flight_admits(fw.f, CLASS_EVENT)); /* a quarter more is for these alone */
	send_row(CLASS_EVENT, 1, 250);
	ck_assert(!flight_admits(fw.f, CLASS_LIVE));
	flight_remove(fw.f, CLASS_BULK, 1, 1);
	ck_assert(flight_admits(fw.f, CLASS_BULK));
}
END_TEST

START_TEST(little_is_sent_before_the_first_receipt)
{
	ck_assert(flight_admits(fw.f, CLASS_BULK));
	send_row(CLASS_BULK, 1, 1);
	send_row(CLASS_BULK, 2, 1);
	ck_assert(!flight_admits(fw.f, CLASS_BULK));
	ck_assert(flight_admits(fw.f, CLASS_EVENT));
	send_row(CLASS_EVENT, 1, 1);
	send_row(CLASS_EVENT, 2, 1);
	ck_assert(!flight_admits(fw.f, CLASS_EVENT));
	ck_assert_uint_eq(flight_acked(fw.f, CLASS_EVENT, 1, 2, fw.now), 2);
	flight_heard(fw.f, fw.now);
	ck_assert(flight_admits(fw.f, CLASS_BULK));
	flight_reset(fw.f, NO_BACKLOG);
	send_row(CLASS_BULK, 1, 1);
	send_row(CLASS_BULK, 2, 1);
	ck_assert(!flight_admits(fw.f, CLASS_BULK));
}
END_TEST

/* The window shrinks below what is in it, and there is room for events all the same. */
START_TEST(refused_bulk_leaves_room_for_the_urgent)
{
	struct flight_options opt = {.rows_max = 256,
				     .bytes_max = 1 << 20,
				     .receipt_timeout_ns = 30 * NS_PER_S,
				     .seed = 1};

	flight_free(fw.f);
	ck_assert_int_eq(flight_new(&fw.f, &opt), 0);
	flight_reset(fw.f, NO_BACKLOG);
	hear_relay();
	for (uint64_t seq = 1; flight_admits(fw.f, CLASS_BULK); seq++)
		send_to_broker(CLASS_BULK, seq);
	ck_assert_uint_ge(flight_rows(fw.f), 20);
	for (uint64_t seq = 1; seq <= flight_rows(fw.f); seq++) {
		flight_nack(fw.f, CLASS_BULK, seq, 3600, fw.now);
		send_to_broker(CLASS_BULK, seq); /* so that each halves */
		flight_nack(fw.f, CLASS_BULK, seq, 3600, fw.now);
	}
	ck_assert_uint_eq(window_rows(flight_window(fw.f)), WINDOW_ROWS_MIN);
	for (uint64_t seq = 1; seq <= WINDOW_ROWS_MIN; seq++) {
		ck_assert(!flight_admits(fw.f, CLASS_BULK));
		ck_assert(flight_admits(fw.f, CLASS_EVENT));
		send_to_broker(CLASS_EVENT, seq);
	}
	ck_assert(!flight_admits(fw.f, CLASS_EVENT));
	ck_assert_uint_eq(flight_acked(fw.f, CLASS_EVENT, 1, 1, fw.now), 1);
	ck_assert(flight_admits(fw.f, CLASS_LIVE));
}
END_TEST

START_TEST(a_new_connection_starts_over)
{
	send_row(CLASS_BULK, 3, 10);
	flight_reset(fw.f, NO_BACKLOG);
	ck_assert_uint_eq(flight_rows(fw.f), 0);
	ck_assert_uint_eq(flight_bytes(fw.f), 0);
	ck_assert_uint_eq(flight_wire(fw.f), 0);
	ck_assert_uint_eq(flight_span(fw.f, lane_of(CLASS_BULK, true)).from, 0);
	advance_s(1000);
	ck_assert(nothing_due());
	flight_puback(fw.f, CLASS_BULK, 3, 0x10, fw.now); /* late, of the old one */
	ck_assert_uint_eq(flight_rows(fw.f), 0);
}
END_TEST

/* ---- lanes ---- */

START_TEST(what_is_new_and_what_waited_are_apart)
{
	static const uint64_t LAST[CLASS_COUNT] = {[CLASS_BULK] = 100};
	unsigned fresh = lane_of(CLASS_BULK, true), backlog = lane_of(CLASS_BULK, false);
	static const uint64_t LATER[CLASS_COUNT] = {[CLASS_BULK] = 150};

	flight_reset(fw.f, LAST);
	ck_assert_uint_eq(flight_span(fw.f, fresh).from, 100);
	ck_assert_uint_eq(flight_span(fw.f, backlog).from, 0);
	ck_assert_uint_eq(flight_span(fw.f, backlog).to, 100);
	send_row(CLASS_BULK, 101, 1);
	ck_assert_uint_eq(flight_span(fw.f, fresh).from, 101);
	flight_pass(fw.f, backlog, 50);
	flight_settle(fw.f, LATER);
	ck_assert_uint_eq(flight_span(fw.f, fresh).from, 150);
	ck_assert_uint_eq(flight_span(fw.f, backlog).from, 50);
	ck_assert_uint_eq(flight_span(fw.f, backlog).to, 150);
	ck_assert(flight_holds(fw.f, CLASS_BULK, 101)); /* who comes to it passes it */
	flight_rewind(fw.f, CLASS_BULK, 7);
	ck_assert_uint_eq(flight_span(fw.f, backlog).from, 6);
	flight_rewind(fw.f, CLASS_BULK, 9);
	ck_assert_uint_eq(flight_span(fw.f, backlog).from, 6);
	send_row(CLASS_BULK, 160, 1);
	flight_rewind(fw.f, CLASS_BULK, 155);
	ck_assert_uint_eq(flight_span(fw.f, fresh).from, 154);
	ck_assert_uint_eq(flight_span(fw.f, backlog).from, 6);
}
END_TEST

/* The link is too slow for live data: the newest goes on, and what waited is backlog. Once a
 * minute, and not for a row that just waits its turn. */
START_TEST(live_data_stays_recent)
{
	unsigned backlog = lane_of(CLASS_LIVE, false), fresh = lane_of(CLASS_LIVE, true);
	uint64_t last;

	for (last = 1; last <= 100; last++) { /* keeps up */
		ck_assert(!flight_freshen(fw.f, last, fw.now));
		flight_pass(fw.f, fresh, last - 1);
		advance_s(10);
	}
	for (last = 101; !flight_freshen(fw.f, last, fw.now); last++)
		advance_s(10);
	ck_assert_uint_ge(last, 106);
	ck_assert_uint_le(last, 109);
	ck_assert_uint_eq(flight_span(fw.f, fresh).from, last - 1);
	ck_assert_uint_eq(flight_span(fw.f, backlog).from, 0);
	ck_assert_uint_eq(flight_span(fw.f, backlog).to, last - 1);
	advance_s(50);
	ck_assert(!flight_freshen(fw.f, last + 50, fw.now));
	advance_s(10);
	ck_assert(flight_freshen(fw.f, last + 60, fw.now));

	flight_reset(fw.f, NO_BACKLOG);
	advance_s(3600);
	ck_assert(!flight_freshen(fw.f, 1000, fw.now));
}
END_TEST

/* A row that was passed without being sent is found again; what is in the window is passed. */
START_TEST(a_sweep_begins_with_the_oldest)
{
	static const uint64_t LAST[CLASS_COUNT] = {[CLASS_BULK] = 10};
	unsigned backlog = lane_of(CLASS_BULK, false), fresh = lane_of(CLASS_BULK, true);

	flight_reset(fw.f, LAST);
	flight_pass(fw.f, backlog, 10);
	send_row(CLASS_BULK, 13, 1);
	flight_sweep(fw.f, CLASS_BULK);
	ck_assert_uint_eq(flight_span(fw.f, backlog).from, 0);
	ck_assert_uint_eq(flight_span(fw.f, backlog).to, 13);
	ck_assert_uint_eq(flight_span(fw.f, fresh).from, 13);
	flight_sweep(fw.f, CLASS_LIVE);
	ck_assert_uint_eq(flight_span(fw.f, lane_of(CLASS_LIVE, false)).to, 0);
}
END_TEST

START_TEST(lanes_are_due_on_their_own)
{
	static const uint64_t LAST[CLASS_COUNT] = {[CLASS_BULK] = 100};
	unsigned fresh = lane_of(CLASS_BULK, true), backlog = lane_of(CLASS_BULK, false);
	uint64_t seqs[LANES];

	flight_reset(fw.f, LAST);
	flight_sent(fw.f, &(struct flight_row){backlog, 4, 4, 1, 0}, fw.now);
	flight_sent(fw.f, &(struct flight_row){backlog, 3, 3, 1, 0}, fw.now);
	flight_sent(fw.f, &(struct flight_row){fresh, 102, 102, 1, 0}, fw.now);
	flight_sent(fw.f, &(struct flight_row){fresh, 101, 101, 1, 0}, fw.now);
	for (uint64_t seq = 3; seq <= 102; seq++)
		flight_puback(fw.f, CLASS_BULK, seq, 0x97, fw.now);
	advance_s(2);
	ck_assert_uint_eq(flight_due(fw.f, fw.now, seqs), 1u << fresh | 1u << backlog);
	ck_assert_uint_eq(seqs[fresh], 101);
	ck_assert_uint_eq(seqs[backlog], 3);
}
END_TEST

/* A gap stands for several; a receipt for a part of them leaves it. */
START_TEST(gap_ends_with_its_last)
{
	flight_sent(fw.f, &(struct flight_row){lane_of(CLASS_BULK, true), 5, 9, 10, 0}, fw.now);
	ck_assert_uint_eq(flight_acked(fw.f, CLASS_BULK, 1, 8, fw.now), 0);
	ck_assert_uint_eq(flight_rows(fw.f), 1);
	ck_assert_uint_eq(flight_acked(fw.f, CLASS_BULK, 1, 9, fw.now), 1);
	ck_assert_uint_eq(flight_rows(fw.f), 0);
}
END_TEST

/* Whatever is added, found and dropped in whatever order: as a plain list would say. */
START_TEST(finds_what_it_holds)
{
	struct flight_options opt = {.rows_max = FLIGHT_ROWS_MAX,
				     .bytes_max = 1 << 30,
				     .receipt_timeout_ns = 30 * NS_PER_S,
				     .seed = 1};
	static bool held[CLASS_COUNT][3000];
	uint64_t random = 88172645463325252u;
	struct flight *big;
	size_t n = 0;

	ck_assert_int_eq(flight_new(&big, &opt), 0);
	flight_reset(big, NO_BACKLOG);
	for (int i = 0; i < 20000; i++) {
		enum uplink_class class;
		uint64_t seq;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		class = (enum uplink_class)(random % CLASS_COUNT);
		seq = 1 + random / 7 % 2999;
		ck_assert_int_eq(flight_holds(big, class, seq), held[class][seq]);
		if (held[class][seq]) {
			ck_assert_uint_eq(flight_remove(big, class, seq, seq), 1);
			n--;
		} else if (n < FLIGHT_ROWS_MAX) {
			flight_sent(
				big,
				&(struct flight_row){lane_of(class, random % 2), seq, seq, seq, 0},
				fw.now);
			n++;
		} else {
			continue;
		}
		held[class][seq] = !held[class][seq];
		ck_assert_uint_eq(flight_rows(big), n);
	}
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		(void)flight_remove(big, (enum uplink_class)k, 1, 3000);
	ck_assert_uint_eq(flight_rows(big), 0);
	ck_assert_uint_eq(flight_bytes(big), 0);
	ck_assert_uint_eq(flight_wire(big), 0);
	flight_free(big);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("window");

	tcase_add_checked_fixture(tc, flight_setup, flight_teardown);
	tcase_add_test(tc, a_receipt_ends_it);
	tcase_add_test(tc, bounded_by_rows_with_a_part_for_the_urgent);
	tcase_add_test(tc, bounded_by_bytes_but_never_stuck);
	tcase_add_test(tc, little_is_sent_before_the_first_receipt);
	tcase_add_test(tc, refused_bulk_leaves_room_for_the_urgent);
	tcase_add_test(tc, a_new_connection_starts_over);
	tcase_add_test(tc, what_is_new_and_what_waited_are_apart);
	tcase_add_test(tc, live_data_stays_recent);
	tcase_add_test(tc, a_sweep_begins_with_the_oldest);
	tcase_add_test(tc, lanes_are_due_on_their_own);
	tcase_add_test(tc, gap_ends_with_its_last);
	tcase_add_test(tc, finds_what_it_holds);
	return suite_run("flight", &tc, 1);
}
