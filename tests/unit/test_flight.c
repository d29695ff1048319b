#include "agent/publish/flight.h"
#include "tests/unit/suite.h"

#include <check.h>

static struct flight *w;
static struct mono_time now;
static const uint64_t NO_BACKLOG[CLASS_COUNT];

static void setup(void)
{
	struct flight_options opt = {
		.rows_max = 8, .bytes_max = 1000, .receipt_timeout_ns = 30 * NS_PER_S, .seed = 42};

	ck_assert_int_eq(flight_new(&w, &opt), 0);
	flight_reset(w, NO_BACKLOG);
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

static void sent(enum uplink_class class, uint64_t seq, size_t bytes)
{
	flight_sent(
		w,
		&(struct flight_row){
			.lane = lane_of(class, true), .seq = seq, .through = seq, .bytes = bytes},
		now);
}

/* The first of its lane. */
static bool is_due(enum uplink_class class, uint64_t seq)
{
	uint64_t seqs[LANES];
	unsigned lane = lane_of(class, true);

	return flight_due(w, now, seqs) & 1u << lane && seqs[lane] == seq;
}

static bool nothing_due(void)
{
	uint64_t seqs[LANES];

	return flight_due(w, now, seqs) == 0;
}

/* Most tests are about a relay that has answered before. */
static void hear(void)
{
	(void)flight_heard(w, now);
}

static void sent_and_with_broker(enum uplink_class class, uint64_t seq)
{
	sent(class, seq, 1);
	flight_puback(w, class, seq, 0, now);
}

/* The relay answers others all the time, so there is no silence: but of this one it says nothing.
 * After three repeats that are soon it waits for its timeout, which doubles. */
START_TEST(sent_again_after_the_timeout_doubling)
{
	static const int64_t WAITS_S[] = {0, 0, 0, 240, 480, 900, 900}; /* 30 at first, doubling */
	int64_t last = now.ns;
	uint64_t other = 1;

	hear();
	sent_and_with_broker(CLASS_BULK, 1);
	for (size_t repeats = 0; repeats < array_len(WAITS_S); other++) {
		int64_t waited;

		advance_s(1);
		sent_and_with_broker(CLASS_LIVE, other);
		(void)flight_acked(w, CLASS_LIVE, other, other, now);
		hear();
		if (!is_due(CLASS_BULK, 1))
			continue;
		waited = (now.ns - last) / NS_PER_S;
		ck_assert_int_ge(waited, WAITS_S[repeats]);
		ck_assert_int_le(waited, WAITS_S[repeats] * 6 / 5 + 3);
		last = now.ns;
		repeats++;
		sent_and_with_broker(CLASS_BULK, 1);
		ck_assert_uint_eq(flight_rows(w), 1);
	}
}
END_TEST

START_TEST(a_receipt_ends_it)
{
	for (uint64_t seq = 1; seq <= 5; seq++)
		sent(CLASS_BULK, seq, 10);
	sent(CLASS_LIVE, 2, 10);
	ck_assert_uint_eq(flight_remove(w, CLASS_BULK, 1, 3), 3);
	ck_assert_uint_eq(flight_remove(w, CLASS_BULK, 1, 3), 0);
	ck_assert_uint_eq(flight_rows(w), 3);
	ck_assert_uint_eq(flight_bytes(w), 30);
	ck_assert(!flight_holds(w, CLASS_BULK, 2));
	ck_assert(flight_holds(w, CLASS_LIVE, 2));
	ck_assert_uint_eq(flight_span(w, lane_of(CLASS_BULK, true)).from, 5);
}
END_TEST

START_TEST(bounded_by_rows_with_a_part_for_the_urgent)
{
	hear();
	for (uint64_t seq = 1; seq <= 6; seq++) {
		ck_assert(flight_admits(w, CLASS_BULK));
		sent(CLASS_BULK, seq, 1);
	}
	ck_assert(!flight_admits(w, CLASS_BULK));
	ck_assert(!flight_admits(w, CLASS_LOG));
	sent(CLASS_LIVE, 1, 1);
	ck_assert(flight_admits(w, CLASS_EVENT));
	sent(CLASS_EVENT, 1, 1);
	ck_assert(!flight_admits(w, CLASS_EVENT));
}
END_TEST

START_TEST(bounded_by_bytes_but_never_stuck)
{
	ck_assert(flight_admits(w, CLASS_BULK));
	sent(CLASS_BULK, 1, 5000);
	ck_assert(!flight_admits(w, CLASS_BULK));
	ck_assert(flight_admits(w, CLASS_EVENT)); /* a quarter more is for these alone */
	sent(CLASS_EVENT, 1, 250);
	ck_assert(!flight_admits(w, CLASS_LIVE));
	flight_remove(w, CLASS_BULK, 1, 1);
	ck_assert(flight_admits(w, CLASS_BULK));
}
END_TEST

/* No subscriber, quota exceeded, not authorised: nobody stored it. */
START_TEST(puback_that_refuses_defers)
{
	sent(CLASS_BULK, 1, 10);
	flight_puback(w, CLASS_BULK, 1, 0x10, now);
	ck_assert(nothing_due());
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 1));
	sent(CLASS_BULK, 1, 10);
	flight_puback(w, CLASS_BULK, 1, 0x97, now);
	advance_s(1);
	ck_assert(nothing_due());
	advance_s(2);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

START_TEST(puback_that_accepts_waits_for_the_receipt)
{
	sent(CLASS_BULK, 1, 10);
	flight_puback(w, CLASS_BULK, 1, 0, now);
	sent(CLASS_BULK, 2, 10);
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
	ck_assert(flight_next_due(w, now, &due));
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
		ck_assert(flight_next_due(w, now, &due));
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
	sent(CLASS_BULK, 1, 1);
	advance_s(25);
	ck_assert(nothing_due());
	flight_puback(w, CLASS_BULK, 1, 0, now);
	ck_assert(nothing_due()); /* the relay could not answer before */
	advance_s(10);
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
	sent(CLASS_BULK, 1, 1);
	sent(CLASS_BULK, 2, 1);
	ck_assert(!flight_admits(w, CLASS_BULK));
	ck_assert(flight_admits(w, CLASS_EVENT));
	sent(CLASS_EVENT, 1, 1);
	sent(CLASS_EVENT, 2, 1);
	ck_assert(!flight_admits(w, CLASS_EVENT));
	ck_assert_uint_eq(flight_acked(w, CLASS_EVENT, 1, 2, now), 2);
	flight_heard(w, now);
	ck_assert(flight_admits(w, CLASS_BULK));
	flight_reset(w, NO_BACKLOG);
	sent(CLASS_BULK, 1, 1);
	sent(CLASS_BULK, 2, 1);
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
	sent(CLASS_BULK, 1, 10);
	flight_nack(w, CLASS_BULK, 1, 10, now);
	advance_s(9);
	ck_assert(nothing_due());
	advance_s(4);
	ck_assert(is_due(CLASS_BULK, 1));
	sent(CLASS_BULK, 1, 10);
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

START_TEST(nack_for_longer_than_anybody_lives)
{
	struct mono_time due;

	sent(CLASS_BULK, 1, 10);
	for (int i = 0; i < 40; i++) {
		flight_nack(w, CLASS_BULK, 1, UINT32_MAX, now);
		ck_assert(flight_next_due(w, now, &due));
		ck_assert_int_ge(due.ns, now.ns + 24 * 3600 * NS_PER_S);
		ck_assert_int_le(due.ns, now.ns + 29 * 3600 * NS_PER_S);
	}
}
END_TEST

/* The window shrinks below what is in it, and there is room for events all the same. */
START_TEST(refused_bulk_leaves_room_for_the_urgent)
{
	struct flight_options opt = {.rows_max = 256,
				     .bytes_max = 1 << 20,
				     .receipt_timeout_ns = 30 * NS_PER_S,
				     .seed = 1};

	flight_free(w);
	ck_assert_int_eq(flight_new(&w, &opt), 0);
	flight_reset(w, NO_BACKLOG);
	hear();
	for (uint64_t seq = 1; flight_admits(w, CLASS_BULK); seq++)
		sent_and_with_broker(CLASS_BULK, seq);
	ck_assert_uint_ge(flight_rows(w), 20);
	for (uint64_t seq = 1; seq <= flight_rows(w); seq++) {
		flight_nack(w, CLASS_BULK, seq, 3600, now);
		sent_and_with_broker(CLASS_BULK, seq); /* so that each halves */
		flight_nack(w, CLASS_BULK, seq, 3600, now);
	}
	ck_assert_uint_eq(window_rows(flight_window(w)), WINDOW_ROWS_MIN);
	for (uint64_t seq = 1; seq <= WINDOW_ROWS_MIN; seq++) {
		ck_assert(!flight_admits(w, CLASS_BULK));
		ck_assert(flight_admits(w, CLASS_EVENT));
		sent_and_with_broker(CLASS_EVENT, seq);
	}
	ck_assert(!flight_admits(w, CLASS_EVENT));
	ck_assert_uint_eq(flight_acked(w, CLASS_EVENT, 1, 1, now), 1);
	ck_assert(flight_admits(w, CLASS_LIVE));
}
END_TEST

/* Who waits for a time that is over, and cannot send, would turn for ever. */
START_TEST(a_full_wire_waits_for_no_time)
{
	struct mono_time due;

	hear();
	sent_and_with_broker(CLASS_BULK, 1);
	flight_nack(w, CLASS_BULK, 1, 1, now);
	sent(CLASS_BULK, 2, 1000); /* no PUBACK */
	advance_s(60);
	ck_assert(!flight_wire_admits(w, CLASS_BULK, now));
	ck_assert(nothing_due());
	ck_assert(!flight_next_due(w, now, &due) || due.ns > now.ns);

	sent_and_with_broker(CLASS_EVENT, 1); /* an urgent one has its time */
	ck_assert(flight_next_due(w, now, &due));
	ck_assert_int_gt(due.ns, now.ns);
	advance_s(20);
	ck_assert(is_due(CLASS_EVENT, 1));
	sent(CLASS_EVENT, 1, 1);
	ck_assert(nothing_due());

	flight_puback(w, CLASS_BULK, 2, 0, now);
	ck_assert(is_due(CLASS_BULK, 1));
}
END_TEST

START_TEST(urgent_is_due_first)
{
	struct mono_time due;

	ck_assert(!flight_next_due(w, now, &due));
	sent_and_with_broker(CLASS_BULK, 7);
	sent_and_with_broker(CLASS_EVENT, 9);
	sent_and_with_broker(CLASS_EVENT, 8);
	ck_assert(flight_next_due(w, now, &due));
	ck_assert_int_le(due.ns, now.ns + 30 * NS_PER_S);
	advance_s(100);
	ck_assert(is_due(CLASS_EVENT, 8));
}
END_TEST

START_TEST(a_new_connection_starts_over)
{
	sent(CLASS_BULK, 3, 10);
	flight_reset(w, NO_BACKLOG);
	ck_assert_uint_eq(flight_rows(w), 0);
	ck_assert_uint_eq(flight_bytes(w), 0);
	ck_assert_uint_eq(flight_wire(w), 0);
	ck_assert_uint_eq(flight_span(w, lane_of(CLASS_BULK, true)).from, 0);
	advance_s(1000);
	ck_assert(nothing_due());
	flight_puback(w, CLASS_BULK, 3, 0x10, now); /* late, of the old one */
	ck_assert_uint_eq(flight_rows(w), 0);
}
END_TEST

/* ---- lanes ---- */

START_TEST(what_is_new_and_what_waited_are_apart)
{
	static const uint64_t LAST[CLASS_COUNT] = {[CLASS_BULK] = 100};
	unsigned fresh = lane_of(CLASS_BULK, true), backlog = lane_of(CLASS_BULK, false);
	static const uint64_t LATER[CLASS_COUNT] = {[CLASS_BULK] = 150};

	flight_reset(w, LAST);
	ck_assert_uint_eq(flight_span(w, fresh).from, 100);
	ck_assert_uint_eq(flight_span(w, backlog).from, 0);
	ck_assert_uint_eq(flight_span(w, backlog).to, 100);
	sent(CLASS_BULK, 101, 1);
	ck_assert_uint_eq(flight_span(w, fresh).from, 101);
	flight_pass(w, backlog, 50);
	flight_settle(w, LATER);
	ck_assert_uint_eq(flight_span(w, fresh).from, 150);
	ck_assert_uint_eq(flight_span(w, backlog).from, 50);
	ck_assert_uint_eq(flight_span(w, backlog).to, 150);
	ck_assert(flight_holds(w, CLASS_BULK, 101)); /* who comes to it passes it */
	flight_rewind(w, CLASS_BULK, 7);
	ck_assert_uint_eq(flight_span(w, backlog).from, 6);
	flight_rewind(w, CLASS_BULK, 9);
	ck_assert_uint_eq(flight_span(w, backlog).from, 6);
	sent(CLASS_BULK, 160, 1);
	flight_rewind(w, CLASS_BULK, 155);
	ck_assert_uint_eq(flight_span(w, fresh).from, 154);
	ck_assert_uint_eq(flight_span(w, backlog).from, 6);
}
END_TEST

/* The link is too slow for live data: the newest goes on, and what waited is backlog. Once a
 * minute, and not for a row that just waits its turn. */
START_TEST(live_data_stays_recent)
{
	unsigned backlog = lane_of(CLASS_LIVE, false), fresh = lane_of(CLASS_LIVE, true);
	uint64_t last;

	for (last = 1; last <= 100; last++) { /* keeps up */
		ck_assert(!flight_freshen(w, last, now));
		flight_pass(w, fresh, last - 1);
		advance_s(10);
	}
	for (last = 101; !flight_freshen(w, last, now); last++)
		advance_s(10);
	ck_assert_uint_ge(last, 106);
	ck_assert_uint_le(last, 109);
	ck_assert_uint_eq(flight_span(w, fresh).from, last - 1);
	ck_assert_uint_eq(flight_span(w, backlog).from, 0);
	ck_assert_uint_eq(flight_span(w, backlog).to, last - 1);
	advance_s(50);
	ck_assert(!flight_freshen(w, last + 50, now));
	advance_s(10);
	ck_assert(flight_freshen(w, last + 60, now));

	flight_reset(w, NO_BACKLOG);
	advance_s(3600);
	ck_assert(!flight_freshen(w, 1000, now));
}
END_TEST

/* A row that was passed without being sent is found again; what is in the window is passed. */
START_TEST(a_sweep_begins_with_the_oldest)
{
	static const uint64_t LAST[CLASS_COUNT] = {[CLASS_BULK] = 10};
	unsigned backlog = lane_of(CLASS_BULK, false), fresh = lane_of(CLASS_BULK, true);

	flight_reset(w, LAST);
	flight_pass(w, backlog, 10);
	sent(CLASS_BULK, 13, 1);
	flight_sweep(w, CLASS_BULK);
	ck_assert_uint_eq(flight_span(w, backlog).from, 0);
	ck_assert_uint_eq(flight_span(w, backlog).to, 13);
	ck_assert_uint_eq(flight_span(w, fresh).from, 13);
	flight_sweep(w, CLASS_LIVE);
	ck_assert_uint_eq(flight_span(w, lane_of(CLASS_LIVE, false)).to, 0);
}
END_TEST

START_TEST(lanes_are_due_on_their_own)
{
	static const uint64_t LAST[CLASS_COUNT] = {[CLASS_BULK] = 100};
	unsigned fresh = lane_of(CLASS_BULK, true), backlog = lane_of(CLASS_BULK, false);
	uint64_t seqs[LANES];

	flight_reset(w, LAST);
	flight_sent(w, &(struct flight_row){backlog, 4, 4, 1, 0}, now);
	flight_sent(w, &(struct flight_row){backlog, 3, 3, 1, 0}, now);
	flight_sent(w, &(struct flight_row){fresh, 102, 102, 1, 0}, now);
	flight_sent(w, &(struct flight_row){fresh, 101, 101, 1, 0}, now);
	for (uint64_t seq = 3; seq <= 102; seq++)
		flight_puback(w, CLASS_BULK, seq, 0x97, now);
	advance_s(2);
	ck_assert_uint_eq(flight_due(w, now, seqs), 1u << fresh | 1u << backlog);
	ck_assert_uint_eq(seqs[fresh], 101);
	ck_assert_uint_eq(seqs[backlog], 3);
}
END_TEST

/* A gap stands for several; a receipt for a part of them leaves it. */
START_TEST(gap_ends_with_its_last)
{
	flight_sent(w, &(struct flight_row){lane_of(CLASS_BULK, true), 5, 9, 10, 0}, now);
	ck_assert_uint_eq(flight_acked(w, CLASS_BULK, 1, 8, now), 0);
	ck_assert_uint_eq(flight_rows(w), 1);
	ck_assert_uint_eq(flight_acked(w, CLASS_BULK, 1, 9, now), 1);
	ck_assert_uint_eq(flight_rows(w), 0);
}
END_TEST

START_TEST(replaced_is_due_at_once)
{
	hear();
	sent_and_with_broker(CLASS_BULK, 1);
	ck_assert(nothing_due());
	flight_replaced(w, CLASS_BULK, 1, now);
	ck_assert(is_due(CLASS_BULK, 1));
	flight_replaced(w, CLASS_BULK, 2, now); /* not there */
}
END_TEST

/* Only what was sent under that context. */
START_TEST(unread_is_due_at_once)
{
	hear();
	for (uint64_t seq = 1; seq <= 3; seq++) {
		struct flight_row row = {
			.lane = lane_of(CLASS_BULK, true), .seq = seq, .through = seq, .bytes = 1};

		row.context = seq == 1 ? 0 : 7;
		flight_sent(w, &row, now);
		flight_puback(w, CLASS_BULK, seq, 0, now);
	}
	ck_assert_uint_eq(flight_unread(w, CLASS_BULK, 8, now), 0);
	ck_assert_uint_eq(flight_unread(w, CLASS_LIVE, 7, now), 0);
	ck_assert(nothing_due());
	ck_assert_uint_eq(flight_unread(w, CLASS_BULK, 7, now), 2);
	ck_assert(is_due(CLASS_BULK, 2));
	sent_and_with_broker(CLASS_BULK, 2); /* whole */
	ck_assert(is_due(CLASS_BULK, 3));
	sent_and_with_broker(CLASS_BULK, 3);
	ck_assert_uint_eq(flight_unread(w, CLASS_BULK, 7, now), 0);
	ck_assert(nothing_due());
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
				now);
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
	tcase_add_test(tc, nack_for_longer_than_anybody_lives);
	tcase_add_test(tc, refused_bulk_leaves_room_for_the_urgent);
	tcase_add_test(tc, a_full_wire_waits_for_no_time);
	tcase_add_test(tc, urgent_is_due_first);
	tcase_add_test(tc, a_new_connection_starts_over);
	tcase_add_test(tc, what_is_new_and_what_waited_are_apart);
	tcase_add_test(tc, live_data_stays_recent);
	tcase_add_test(tc, a_sweep_begins_with_the_oldest);
	tcase_add_test(tc, lanes_are_due_on_their_own);
	tcase_add_test(tc, gap_ends_with_its_last);
	tcase_add_test(tc, replaced_is_due_at_once);
	tcase_add_test(tc, unread_is_due_at_once);
	tcase_add_test(tc, finds_what_it_holds);
	return suite_run("flight", &tc, 1);
}
