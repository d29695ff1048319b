/* When a row is sent again: after a refusal, a silence, a timeout, or when it was overtaken. */
#include "tests/unit/flight_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

/* The relay answers others all the time, so there is no silence: but of this one it says nothing.
 * After three repeats that are soon it waits for its timeout, which doubles. */
START_TEST(sent_again_after_the_timeout_doubling)
{
	static const int64_t WAITS_S[] = {0, 0, 0, 240, 480, 900, 900}; /* 30 at first, doubling */
	int64_t last = fw.now.ns;
	uint64_t other = 1;

	hear_relay();
	send_to_broker(CLASS_BULK, 1);
	for (size_t repeats = 0; repeats < array_len(WAITS_S); other++) {
		int64_t waited;

		advance_s(1);
		send_to_broker(CLASS_LIVE, other);
		(void)flight_acked(fw.f, CLASS_LIVE, other, other, fw.now);
		hear_relay();
		if (!is_due(CLASS_BULK, 1))
			continue;
		waited = (fw.now.ns - last) / NS_PER_S;
		ck_assert_int_ge(waited, WAITS_S[repeats]);
		ck_assert_int_le(waited, WAITS_S[repeats] * 6 / 5 + 3);
		last = fw.now.ns;
		repeats++;
		send_to_broker(CLASS_BULK, 1);
		ck_assert_uint_eq(flight_rows(fw.f), 1);
	}
}
END_TEST

/* No subscriber, quota exceeded, not authorised: nobody stored it. */
START_TEST(puback_that_refuses_defers)
{
	send_row(CLASS_BULK, 1, 10);
	flight_puback(fw.f, CLASS_BULK, 1, 0x10, fw.now);
	ck_assert(nothing_due());
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 1));
	send_row(CLASS_BULK, 1, 10);
	flight_puback(fw.f, CLASS_BULK, 1, 0x97, fw.now);
	advance_s(1);
	ck_assert(nothing_due());
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

START_TEST(puback_that_accepts_waits_for_the_receipt)
{
	send_row(CLASS_BULK, 1, 10);
	flight_puback(fw.f, CLASS_BULK, 1, 0, fw.now);
	send_row(CLASS_BULK, 2, 10);
	flight_puback(fw.f, CLASS_BULK, 2, 0, fw.now);
	hear_relay(); /* of something else */
	advance_s(7);
	ck_assert(nothing_due());
}
END_TEST

/* A quarter of the timeout (and jitter) after the first question, then half of it. */
START_TEST(silence_asks_with_one_row)
{
	struct mono_time due;

	for (uint64_t seq = 1; seq <= 2; seq++)
		send_to_broker(CLASS_BULK, seq);
	send_to_broker(CLASS_LIVE, 9);
	ck_assert(flight_next_due(fw.f, fw.now, &due));
	ck_assert_int_lt(due.ns, fw.now.ns + 10 * NS_PER_S);
	advance_s(7);
	ck_assert(nothing_due());
	advance_s(3);
	ck_assert(is_due(CLASS_LIVE, 9));
	send_to_broker(CLASS_LIVE, 9);
	ck_assert(nothing_due());
	for (int i = 0; i < 100; i++) { /* however long it takes: no other row, no other pace */
		advance_s(14);
		ck_assert(nothing_due());
		ck_assert(flight_next_due(fw.f, fw.now, &due));
		ck_assert_int_gt(due.ns, fw.now.ns);
		advance_s(5);
		ck_assert(is_due(CLASS_LIVE, 9));
		send_to_broker(CLASS_LIVE, 9);
		ck_assert(nothing_due());
	}
}
END_TEST

START_TEST(the_end_of_a_silence_sends_the_rest)
{
	for (uint64_t seq = 1; seq <= 2; seq++)
		send_to_broker(CLASS_BULK, seq);
	advance_s(10);
	ck_assert(is_due(CLASS_BULK, 1));
	send_to_broker(CLASS_BULK, 1);
	ck_assert_uint_eq(flight_acked(fw.f, CLASS_BULK, 1, 1, fw.now), 1);
	flight_heard(fw.f, fw.now);
	ck_assert(nothing_due()); /* its receipt may be on the way */
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 2));
}
END_TEST

/* What the broker has not even taken is under way still. */
START_TEST(no_probe_before_the_puback)
{
	send_row(CLASS_BULK, 1, 1);
	advance_s(25);
	ck_assert(nothing_due());
	flight_puback(fw.f, CLASS_BULK, 1, 0, fw.now);
	ck_assert(nothing_due()); /* the relay could not answer before */
	advance_s(10);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

/* After an hour without traffic the clock of the silence begins with the next row. */
START_TEST(idle_is_no_silence)
{
	hear_relay();
	advance_s(3600);
	send_to_broker(CLASS_BULK, 1);
	ck_assert(nothing_due());
	flight_nack(fw.f, CLASS_BULK, 1, 3000, fw.now);
	hear_relay();
	advance_s(1000);
	send_to_broker(CLASS_BULK, 2);
	ck_assert(nothing_due());
}
END_TEST

/* One that was passed by a later one was lost: again at once, but not for ever. */
START_TEST(overtaken_is_sent_again_soon)
{
	uint64_t next = 10;

	hear_relay();
	send_to_broker(CLASS_BULK, 1);
	for (int i = 0; i < 3; i++) {
		send_to_broker(CLASS_BULK, next);
		ck_assert_uint_eq(flight_acked(fw.f, CLASS_BULK, next, next, fw.now), 1);
		hear_relay();
		next++;
		ck_assert(nothing_due());
		advance_s(2);
		ck_assert(is_due(CLASS_BULK, 1));
		send_to_broker(CLASS_BULK, 1);
	}
	send_to_broker(CLASS_BULK, next);
	ck_assert_uint_eq(flight_acked(fw.f, CLASS_BULK, next, next, fw.now), 1);
	hear_relay();
	advance_s(2);
	ck_assert(nothing_due());
}
END_TEST

/* The receipt of one that was sent twice may be for its first copy: it proves nothing about what
 * was sent between the two. */
START_TEST(receipt_of_a_repeat_proves_little)
{
	hear_relay();
	send_to_broker(CLASS_EVENT, 1);
	send_to_broker(CLASS_BULK, 1);
	flight_nack(fw.f, CLASS_EVENT, 1, 1, fw.now);
	hear_relay();
	advance_s(2);
	ck_assert(is_due(CLASS_EVENT, 1));
	send_to_broker(CLASS_EVENT, 1);
	ck_assert_uint_eq(flight_acked(fw.f, CLASS_EVENT, 1, 1, fw.now), 1);
	hear_relay();
	advance_s(2);
	ck_assert(nothing_due());
}
END_TEST

/* A relay that takes 5 s for each is asked later, and nothing is sent twice for that alone. */
START_TEST(late_is_not_lost)
{
	hear_relay();
	for (uint64_t seq = 1; seq < 100; seq += 2) {
		send_to_broker(CLASS_BULK, seq);
		send_to_broker(CLASS_LIVE, seq);
		advance_s(5);
		ck_assert(nothing_due());
		ck_assert_uint_eq(flight_acked(fw.f, CLASS_LIVE, seq, seq, fw.now), 1);
		hear_relay();
		advance_s(5);
		ck_assert_msg(nothing_due(), "%d", (int)seq);
		ck_assert_uint_eq(flight_acked(fw.f, CLASS_BULK, seq, seq, fw.now), 1);
		hear_relay();
	}
	send_to_broker(CLASS_BULK, 100); /* and it is still noticed when none comes */
	advance_s(18);
	ck_assert(is_due(CLASS_BULK, 100));
}
END_TEST

/* The quota drops rows; that is no receipt. */
START_TEST(removal_is_no_answer)
{
	hear_relay();
	send_to_broker(CLASS_BULK, 1);
	send_to_broker(CLASS_BULK, 2);
	ck_assert_uint_eq(flight_remove(fw.f, CLASS_BULK, 2, 2), 1);
	hear_relay();
	advance_s(2);
	ck_assert(nothing_due());
}
END_TEST

START_TEST(nack_waits_as_asked_then_longer)
{
	send_row(CLASS_BULK, 1, 10);
	flight_nack(fw.f, CLASS_BULK, 1, 10, fw.now);
	advance_s(9);
	ck_assert(nothing_due());
	advance_s(4);
	ck_assert(is_due(CLASS_BULK, 1));
	send_row(CLASS_BULK, 1, 10);
	flight_nack(fw.f, CLASS_BULK, 1, 10, fw.now);
	advance_s(19);
	ck_assert(nothing_due());
	advance_s(6);
	ck_assert(is_due(CLASS_BULK, 1));
	for (int i = 0; i < 40; i++) /* doubles up to a bound, and does not overflow */
		flight_nack(fw.f, CLASS_BULK, 1, 1, fw.now);
	advance_s(5 * 60 * 6 / 5 + 1);
	ck_assert(is_due(CLASS_BULK, 1));
	flight_nack(fw.f, CLASS_BULK, 99, 1, fw.now); /* one that is not there */
}
END_TEST

START_TEST(nack_for_longer_than_anybody_lives)
{
	struct mono_time due;

	send_row(CLASS_BULK, 1, 10);
	for (int i = 0; i < 40; i++) {
		flight_nack(fw.f, CLASS_BULK, 1, UINT32_MAX, fw.now);
		ck_assert(flight_next_due(fw.f, fw.now, &due));
		ck_assert_int_ge(due.ns, fw.now.ns + 24 * 3600 * NS_PER_S);
		ck_assert_int_le(due.ns, fw.now.ns + 29 * 3600 * NS_PER_S);
	}
}
END_TEST

/* Who waits for a time that is over, and cannot send, would turn for ever. */
START_TEST(a_full_wire_waits_for_no_time)
{
	struct mono_time due;

	hear_relay();
	send_to_broker(CLASS_BULK, 1);
	flight_nack(fw.f, CLASS_BULK, 1, 1, fw.now);
	send_row(CLASS_BULK, 2, 1000); /* no PUBACK */
	advance_s(60);
	ck_assert(!flight_wire_admits(fw.f, CLASS_BULK, fw.now));
	ck_assert(nothing_due());
	ck_assert(!flight_next_due(fw.f, fw.now, &due) || due.ns > fw.now.ns);

	send_to_broker(CLASS_EVENT, 1); /* an urgent one has its time */
	ck_assert(flight_next_due(fw.f, fw.now, &due));
	ck_assert_int_gt(due.ns, fw.now.ns);
	advance_s(20);
	ck_assert(is_due(CLASS_EVENT, 1));
	send_row(CLASS_EVENT, 1, 1);
	ck_assert(nothing_due());

	flight_puback(fw.f, CLASS_BULK, 2, 0, fw.now);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

START_TEST(urgent_is_due_first)
{
	struct mono_time due;

	ck_assert(!flight_next_due(fw.f, fw.now, &due));
	send_to_broker(CLASS_BULK, 7);
	send_to_broker(CLASS_EVENT, 9);
	send_to_broker(CLASS_EVENT, 8);
	ck_assert(flight_next_due(fw.f, fw.now, &due));
	ck_assert_int_le(due.ns, fw.now.ns + 30 * NS_PER_S);
	advance_s(100);
	ck_assert(is_due(CLASS_EVENT, 8));
}
END_TEST

START_TEST(replaced_is_due_at_once)
{
	hear_relay();
	send_to_broker(CLASS_BULK, 1);
	ck_assert(nothing_due());
	flight_replaced(fw.f, CLASS_BULK, 1, fw.now);
	ck_assert(is_due(CLASS_BULK, 1));
	flight_replaced(fw.f, CLASS_BULK, 2, fw.now); /* not there */
}
END_TEST

/* Only what was sent under that context. */
START_TEST(unread_is_due_at_once)
{
	hear_relay();
	for (uint64_t seq = 1; seq <= 3; seq++) {
		struct flight_row row = {
			.lane = lane_of(CLASS_BULK, true), .seq = seq, .through = seq, .bytes = 1};

		row.context = seq == 1 ? 0 : 7;
		flight_sent(fw.f, &row, fw.now);
		flight_puback(fw.f, CLASS_BULK, seq, 0, fw.now);
	}
	ck_assert_uint_eq(flight_unread(fw.f, CLASS_BULK, 8, fw.now), 0);
	ck_assert_uint_eq(flight_unread(fw.f, CLASS_LIVE, 7, fw.now), 0);
	ck_assert(nothing_due());
	ck_assert_uint_eq(flight_unread(fw.f, CLASS_BULK, 7, fw.now), 2);
	ck_assert(is_due(CLASS_BULK, 2));
	send_to_broker(CLASS_BULK, 2); /* whole */
	ck_assert(is_due(CLASS_BULK, 3));
	send_to_broker(CLASS_BULK, 3);
	ck_assert_uint_eq(flight_unread(fw.f, CLASS_BULK, 7, fw.now), 0);
	ck_assert(nothing_due());
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("again");

	tcase_add_checked_fixture(tc, flight_setup, flight_teardown);
	tcase_add_test(tc, sent_again_after_the_timeout_doubling);
	tcase_add_test(tc, puback_that_refuses_defers);
	tcase_add_test(tc, puback_that_accepts_waits_for_the_receipt);
	tcase_add_test(tc, silence_asks_with_one_row);
	tcase_add_test(tc, the_end_of_a_silence_sends_the_rest);
	tcase_add_test(tc, no_probe_before_the_puback);
	tcase_add_test(tc, idle_is_no_silence);
	tcase_add_test(tc, overtaken_is_sent_again_soon);
	tcase_add_test(tc, receipt_of_a_repeat_proves_little);
	tcase_add_test(tc, late_is_not_lost);
	tcase_add_test(tc, removal_is_no_answer);
	tcase_add_test(tc, nack_waits_as_asked_then_longer);
	tcase_add_test(tc, nack_for_longer_than_anybody_lives);
	tcase_add_test(tc, a_full_wire_waits_for_no_time);
	tcase_add_test(tc, urgent_is_due_first);
	tcase_add_test(tc, replaced_is_due_at_once);
	tcase_add_test(tc, unread_is_due_at_once);
	return suite_run("flight_again", &tc, 1);
}
