#include "agent/publish/flight.h"
#include "tests/unit/suite.h"

#include <check.h>

static struct flight *w;
static struct mono_time now;

static void setup(void)
{
	struct flight_options opt = {
		.rows_max = 8, .bytes_max = 1000, .receipt_timeout_ns = 30 * NS_PER_S, .seed = 42};

	ck_assert_int_eq(flight_new(&w, &opt), 0);
	now.ns = 1000 * NS_PER_S;
}

static void teardown(void)
{
	w = flight_free(w);
}

static void advance_s(int64_t s)
{
	now.ns += s * NS_PER_S;
}

static bool is_due(enum uplink_class class, uint64_t seq)
{
	struct flight_id id;

	return flight_due(w, now, &id) && id.class == class && id.seq == seq;
}

static bool nothing_due(void)
{
	struct flight_id id;

	return !flight_due(w, now, &id);
}

START_TEST(sent_again_after_the_timeout_doubling)
{
	flight_sent(w, CLASS_BULK, 1, 10, now);
	ck_assert_uint_eq(flight_cursor(w, CLASS_BULK), 1);
	advance_s(29);
	ck_assert(nothing_due());
	advance_s(8); /* 30 s and up to a fifth of jitter */
	ck_assert(is_due(CLASS_BULK, 1));
	flight_sent(w, CLASS_BULK, 1, 10, now);
	ck_assert_uint_eq(flight_rows(w), 1);
	advance_s(59);
	ck_assert(nothing_due());
	advance_s(14);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

/* Most tests are about a relay that has answered before. */
static void hear(void)
{
	flight_heard(w, now);
}

static void sent_and_with_broker(enum uplink_class class, uint64_t seq)
{
	flight_sent(w, class, seq, 1, now);
	flight_puback(w, class, seq, 0, now);
}

START_TEST(a_receipt_ends_it)
{
	for (uint64_t seq = 1; seq <= 5; seq++)
		flight_sent(w, CLASS_BULK, seq, 10, now);
	flight_sent(w, CLASS_LIVE, 2, 10, now);
	ck_assert_uint_eq(flight_remove(w, CLASS_BULK, 1, 3), 3);
	ck_assert_uint_eq(flight_remove(w, CLASS_BULK, 1, 3), 0);
	ck_assert_uint_eq(flight_rows(w), 3);
	ck_assert_uint_eq(flight_bytes(w), 30);
	ck_assert(!flight_holds(w, CLASS_BULK, 2));
	ck_assert(flight_holds(w, CLASS_LIVE, 2));
	ck_assert_uint_eq(flight_cursor(w, CLASS_BULK), 5);
}
END_TEST

START_TEST(bounded_by_rows_with_a_part_for_the_urgent)
{
	hear();
	for (uint64_t seq = 1; seq <= 6; seq++) {
		ck_assert(flight_admits(w, CLASS_BULK));
		flight_sent(w, CLASS_BULK, seq, 1, now);
	}
	ck_assert(!flight_admits(w, CLASS_BULK));
	ck_assert(!flight_admits(w, CLASS_LOG));
	flight_sent(w, CLASS_LIVE, 1, 1, now);
	ck_assert(flight_admits(w, CLASS_EVENT));
	flight_sent(w, CLASS_EVENT, 1, 1, now);
	ck_assert(!flight_admits(w, CLASS_EVENT));
}
END_TEST

START_TEST(bounded_by_bytes_but_never_stuck)
{
	ck_assert(flight_admits(w, CLASS_BULK));
	flight_sent(w, CLASS_BULK, 1, 5000, now);
	ck_assert(!flight_admits(w, CLASS_EVENT));
	flight_remove(w, CLASS_BULK, 1, 1);
	ck_assert(flight_admits(w, CLASS_BULK));
}
END_TEST

/* No subscriber, quota exceeded, not authorised: nobody stored it. */
START_TEST(puback_that_refuses_defers)
{
	flight_sent(w, CLASS_BULK, 1, 10, now);
	flight_puback(w, CLASS_BULK, 1, 0x10, now);
	ck_assert(nothing_due());
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 1));
	flight_sent(w, CLASS_BULK, 1, 10, now);
	flight_puback(w, CLASS_BULK, 1, 0x97, now);
	advance_s(1);
	ck_assert(nothing_due());
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

START_TEST(puback_that_accepts_waits_for_the_receipt)
{
	flight_sent(w, CLASS_BULK, 1, 10, now);
	flight_puback(w, CLASS_BULK, 1, 0, now);
	flight_sent(w, CLASS_BULK, 2, 10, now);
	flight_puback(w, CLASS_BULK, 2, 0, now);
	hear(); /* of something else */
	advance_s(7);
	ck_assert(nothing_due());
}
END_TEST

/* A quarter of the timeout (and jitter) after the first question, then half of it. */
START_TEST(silence_asks_with_one_row)
{
	struct mono_time due;

	for (uint64_t seq = 1; seq <= 2; seq++)
		sent_and_with_broker(CLASS_BULK, seq);
	sent_and_with_broker(CLASS_LIVE, 9);
	ck_assert(flight_next_due(w, &due));
	ck_assert_int_lt(due.ns, now.ns + 10 * NS_PER_S);
	advance_s(7);
	ck_assert(nothing_due());
	advance_s(3);
	ck_assert(is_due(CLASS_LIVE, 9));
	sent_and_with_broker(CLASS_LIVE, 9);
	ck_assert(nothing_due());
	for (int i = 0; i < 100; i++) { /* however long it takes: no other row, no other pace */
		advance_s(14);
		ck_assert(nothing_due());
		ck_assert(flight_next_due(w, &due));
		ck_assert_int_gt(due.ns, now.ns);
		advance_s(5);
		ck_assert(is_due(CLASS_LIVE, 9));
		sent_and_with_broker(CLASS_LIVE, 9);
		ck_assert(nothing_due());
	}
}
END_TEST

START_TEST(the_end_of_a_silence_sends_the_rest)
{
	for (uint64_t seq = 1; seq <= 2; seq++)
		sent_and_with_broker(CLASS_BULK, seq);
	advance_s(10);
	ck_assert(is_due(CLASS_BULK, 1));
	sent_and_with_broker(CLASS_BULK, 1);
	ck_assert_uint_eq(flight_acked(w, CLASS_BULK, 1, 1, now), 1);
	flight_heard(w, now);
	ck_assert(nothing_due()); /* its receipt may be on the way */
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 2));
}
END_TEST

/* What the broker has not even taken is under way still. */
START_TEST(no_probe_before_the_puback)
{
	flight_sent(w, CLASS_BULK, 1, 1, now);
	advance_s(25);
	ck_assert(nothing_due());
	flight_puback(w, CLASS_BULK, 1, 0, now);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

/* After an hour without traffic the clock of the silence begins with the next row. */
START_TEST(idle_is_no_silence)
{
	hear();
	advance_s(3600);
	sent_and_with_broker(CLASS_BULK, 1);
	ck_assert(nothing_due());
	flight_nack(w, CLASS_BULK, 1, 3000, now);
	hear();
	advance_s(1000);
	sent_and_with_broker(CLASS_BULK, 2);
	ck_assert(nothing_due());
}
END_TEST

START_TEST(little_is_sent_before_the_first_receipt)
{
	ck_assert(flight_admits(w, CLASS_BULK));
	flight_sent(w, CLASS_BULK, 1, 1, now);
	flight_sent(w, CLASS_BULK, 2, 1, now);
	ck_assert(!flight_admits(w, CLASS_BULK));
	ck_assert(flight_admits(w, CLASS_EVENT));
	flight_sent(w, CLASS_EVENT, 1, 1, now);
	flight_sent(w, CLASS_EVENT, 2, 1, now);
	ck_assert(!flight_admits(w, CLASS_EVENT));
	ck_assert_uint_eq(flight_acked(w, CLASS_EVENT, 1, 2, now), 2);
	flight_heard(w, now);
	ck_assert(flight_admits(w, CLASS_BULK));
	flight_reset(w);
	flight_sent(w, CLASS_BULK, 1, 1, now);
	flight_sent(w, CLASS_BULK, 2, 1, now);
	ck_assert(!flight_admits(w, CLASS_BULK));
}
END_TEST

/* One that was passed by a later one was lost: again at once, but not for ever. */
START_TEST(overtaken_is_sent_again_soon)
{
	uint64_t next = 10;

	hear();
	sent_and_with_broker(CLASS_BULK, 1);
	for (int i = 0; i < 3; i++) {
		sent_and_with_broker(CLASS_BULK, next);
		ck_assert_uint_eq(flight_acked(w, CLASS_BULK, next, next, now), 1);
		hear();
		next++;
		ck_assert(nothing_due());
		advance_s(2);
		ck_assert(is_due(CLASS_BULK, 1));
		sent_and_with_broker(CLASS_BULK, 1);
	}
	sent_and_with_broker(CLASS_BULK, next);
	ck_assert_uint_eq(flight_acked(w, CLASS_BULK, next, next, now), 1);
	hear();
	advance_s(2);
	ck_assert(nothing_due());
}
END_TEST

/* The receipt of one that was sent twice may be for its first copy: it proves nothing about what
 * was sent between the two. */
START_TEST(receipt_of_a_repeat_proves_little)
{
	hear();
	sent_and_with_broker(CLASS_EVENT, 1);
	sent_and_with_broker(CLASS_BULK, 1);
	flight_nack(w, CLASS_EVENT, 1, 1, now);
	hear();
	advance_s(2);
	ck_assert(is_due(CLASS_EVENT, 1));
	sent_and_with_broker(CLASS_EVENT, 1);
	ck_assert_uint_eq(flight_acked(w, CLASS_EVENT, 1, 1, now), 1);
	hear();
	advance_s(2);
	ck_assert(nothing_due());
}
END_TEST

/* A relay that takes 5 s for each is asked later, and nothing is sent twice for that alone. */
START_TEST(late_is_not_lost)
{
	hear();
	for (uint64_t seq = 1; seq < 100; seq += 2) {
		sent_and_with_broker(CLASS_BULK, seq);
		sent_and_with_broker(CLASS_LIVE, seq);
		advance_s(5);
		ck_assert(nothing_due());
		ck_assert_uint_eq(flight_acked(w, CLASS_LIVE, seq, seq, now), 1);
		hear();
		advance_s(5);
		ck_assert_msg(nothing_due(), "%d", (int)seq);
		ck_assert_uint_eq(flight_acked(w, CLASS_BULK, seq, seq, now), 1);
		hear();
	}
	sent_and_with_broker(CLASS_BULK, 100); /* and it is still noticed when none comes */
	advance_s(18);
	ck_assert(is_due(CLASS_BULK, 100));
}
END_TEST

/* The quota drops rows; that is no receipt. */
START_TEST(removal_is_no_answer)
{
	hear();
	sent_and_with_broker(CLASS_BULK, 1);
	sent_and_with_broker(CLASS_BULK, 2);
	ck_assert_uint_eq(flight_remove(w, CLASS_BULK, 2, 2), 1);
	hear();
	advance_s(2);
	ck_assert(nothing_due());
}
END_TEST

START_TEST(nack_waits_as_asked_then_longer)
{
	flight_sent(w, CLASS_BULK, 1, 10, now);
	flight_nack(w, CLASS_BULK, 1, 10, now);
	advance_s(9);
	ck_assert(nothing_due());
	advance_s(4);
	ck_assert(is_due(CLASS_BULK, 1));
	flight_sent(w, CLASS_BULK, 1, 10, now);
	flight_nack(w, CLASS_BULK, 1, 10, now);
	advance_s(19);
	ck_assert(nothing_due());
	advance_s(6);
	ck_assert(is_due(CLASS_BULK, 1));
	for (int i = 0; i < 40; i++) /* doubles up to a bound, and does not overflow */
		flight_nack(w, CLASS_BULK, 1, 1, now);
	advance_s(5 * 60 * 6 / 5 + 1);
	ck_assert(is_due(CLASS_BULK, 1));
	flight_nack(w, CLASS_BULK, 99, 1, now); /* one that is not there */
}
END_TEST

START_TEST(urgent_is_due_first)
{
	struct mono_time due;

	ck_assert(!flight_next_due(w, &due));
	flight_sent(w, CLASS_BULK, 7, 1, now);
	flight_sent(w, CLASS_EVENT, 9, 1, now);
	flight_sent(w, CLASS_EVENT, 8, 1, now);
	ck_assert(flight_next_due(w, &due));
	ck_assert_int_ge(due.ns, now.ns + 30 * NS_PER_S);
	advance_s(100);
	ck_assert(is_due(CLASS_EVENT, 8));
}
END_TEST

START_TEST(a_new_connection_starts_over)
{
	flight_sent(w, CLASS_BULK, 3, 10, now);
	flight_reset(w);
	ck_assert_uint_eq(flight_rows(w), 0);
	ck_assert_uint_eq(flight_bytes(w), 0);
	ck_assert_uint_eq(flight_cursor(w, CLASS_BULK), 0);
	advance_s(1000);
	ck_assert(nothing_due());
	flight_puback(w, CLASS_BULK, 3, 0x10, now); /* late, of the old one */
	ck_assert_uint_eq(flight_rows(w), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("window");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, sent_again_after_the_timeout_doubling);
	tcase_add_test(tc, a_receipt_ends_it);
	tcase_add_test(tc, bounded_by_rows_with_a_part_for_the_urgent);
	tcase_add_test(tc, bounded_by_bytes_but_never_stuck);
	tcase_add_test(tc, puback_that_refuses_defers);
	tcase_add_test(tc, puback_that_accepts_waits_for_the_receipt);
	tcase_add_test(tc, silence_asks_with_one_row);
	tcase_add_test(tc, the_end_of_a_silence_sends_the_rest);
	tcase_add_test(tc, no_probe_before_the_puback);
	tcase_add_test(tc, idle_is_no_silence);
	tcase_add_test(tc, little_is_sent_before_the_first_receipt);
	tcase_add_test(tc, overtaken_is_sent_again_soon);
	tcase_add_test(tc, receipt_of_a_repeat_proves_little);
	tcase_add_test(tc, late_is_not_lost);
	tcase_add_test(tc, removal_is_no_answer);
	tcase_add_test(tc, nack_waits_as_asked_then_longer);
	tcase_add_test(tc, urgent_is_due_first);
	tcase_add_test(tc, a_new_connection_starts_over);
	return suite_run("flight", &tc, 1);
}
