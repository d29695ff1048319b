/* Lanes share by weight, in bytes; who was idle is next; and no backlog is before live data. */
#include "agent/publish/flight.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static struct schedule s;
static uint64_t bytes[LANES];

static void setup(void)
{
	schedule_reset(&s);
	memset(bytes, 0, sizeof(bytes));
}

/* n turns of these lanes, which always have a row of their size. */
static void turns(unsigned ready, const size_t sizes[static LANES], int n)
{
	for (int i = 0; i < n; i++) {
		unsigned lane = schedule_pick(&s, ready);

		ck_assert_uint_lt(lane, LANES);
		ck_assert(ready & 1u << lane);
		schedule_sent(&s, lane, sizes[lane]);
		bytes[lane] += sizes[lane];
	}
}

static unsigned bit(enum uplink_class class, bool fresh)
{
	return 1u << lane_of(class, fresh);
}

START_TEST(all_share_by_weight)
{
	static const size_t SIZES[LANES] = {100, 200, 40000, 1000, 300, 100, 900, 70000, 5000, 100};
	double all = 0, weights = 0;

	turns((1u << LANES) - 1, SIZES, 300000);
	for (unsigned lane = 0; lane < LANES; lane++) {
		all += (double)bytes[lane];
		weights += schedule_weight(lane);
	}
	for (unsigned lane = 0; lane < LANES; lane++) {
		double fair = all * schedule_weight(lane) / weights;

		ck_assert_msg((double)bytes[lane] > fair * 0.97 &&
				      (double)bytes[lane] < fair * 1.03,
			      "lane %u: %.0f, fair %.0f", lane, (double)bytes[lane], fair);
	}
}
END_TEST

/* A flood of live data takes its share, not all. */
START_TEST(bulk_does_not_starve)
{
	static const size_t SIZES[LANES] = {[CLASS_LIVE] = 300, [CLASS_BULK] = 30000};

	turns(bit(CLASS_LIVE, true) | bit(CLASS_BULK, true), SIZES, 100000);
	ck_assert_uint_gt(bytes[CLASS_BULK] * 3,
			  (bytes[CLASS_BULK] + bytes[CLASS_LIVE]) * 98 / 100);
	setup();
	turns((1u << LANES) - 1, (size_t[LANES]){1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 5500);
	for (unsigned lane = 0; lane < LANES; lane++)
		ck_assert_uint_gt(bytes[lane], 0);
}
END_TEST

START_TEST(urgent_and_new_is_next)
{
	static const size_t SIZES[LANES] = {10, 10, 10, 10, 10, 10, 10, 10, 10, 10};
	unsigned waiting = (1u << LANES) - 1 - bit(CLASS_LIVE, true) - bit(CLASS_EVENT, true);

	for (int i = 0; i < 1000; i++) {	  /* whenever it comes */
		turns(waiting, SIZES, 8 + i % 7); /* it keeps to its share */
		ck_assert_uint_eq(schedule_pick(&s, waiting | bit(CLASS_LIVE, true)),
				  lane_of(CLASS_LIVE, true));
		turns(waiting | bit(CLASS_LIVE, true), SIZES, 1);
	}
}
END_TEST

/* A burst goes first, to its credit; idleness saves up no more than that. */
START_TEST(burst_goes_first_to_its_credit)
{
	static const size_t SIZES[LANES] = {
		[CLASS_LIVE] = 1024, [CLASS_BULK] = 10240, [CLASS_COUNT + CLASS_BULK] = 10240};
	unsigned bulk = bit(CLASS_BULK, true) | bit(CLASS_BULK, false);

	turns(bulk, SIZES, 10000);
	memset(bytes, 0, sizeof(bytes));
	turns(bulk | bit(CLASS_LIVE, true), SIZES, SCHEDULE_CREDIT / 1024);
	ck_assert_uint_eq(bytes[CLASS_LIVE], SCHEDULE_CREDIT);
	turns(bulk | bit(CLASS_LIVE, true), SIZES, 2000);
	ck_assert_uint_gt(bytes[CLASS_BULK] + bytes[CLASS_COUNT + CLASS_BULK], 0);
	ck_assert_uint_lt(bytes[CLASS_LIVE],
			  (bytes[CLASS_BULK] + bytes[CLASS_COUNT + CLASS_BULK]) * 8 / 6 +
				  2 * SCHEDULE_CREDIT);
}
END_TEST

START_TEST(none_where_none_is_ready)
{
	ck_assert_uint_eq(schedule_pick(&s, 0), LANE_NONE);
}
END_TEST

/* ---- a link ----
 *
 * A wire of bytes in order, as TCP has it: what enters leaves at the link's rate, its PUBACK comes
 * a round trip later, and its receipt with the relay's next round. */

enum { ROWS = 1000000, STEP_MS = 5, RECEIPTS_MS = 200, WIRE_ROWS = 4096 };

struct packet {
	unsigned lane;
	uint64_t seq;
	size_t bytes;
	int64_t out_ns; /* when its last byte has left the link */
};

static struct {
	struct flight *flight;
	struct mono_time now;
	int64_t rate, trip_ns;
	uint64_t last[CLASS_COUNT]; /* in the outbox */
	size_t size[LANES];	    /* of a row */
	struct packet wire[WIRE_ROWS];
	size_t head, n, with_broker; /* of the wire; n: without a receipt */
	int64_t free_ns;	     /* the link is busy until then */
	int64_t live_at[ROWS / 50];  /* when a live row was stored */
	uint64_t live_passed;	     /* bytes of others on the wire before it, at most */
	int64_t live_waited_ns;	     /* from stored to with the broker, at most */
	uint64_t newest;	     /* live row with the broker */
	bool live_sent[ROWS / 50];
	uint64_t sent[LANES];
} net;

static void net_init(int64_t rate, int64_t trip_ms, uint64_t backlog)
{
	struct flight_options opt = {.rows_max = FLIGHT_ROWS_MAX,
				     .bytes_max = 4 << 20,
				     .receipt_timeout_ns = 30 * NS_PER_S,
				     .seed = 1};

	memset(&net, 0, sizeof(net));
	ck_assert_int_eq(flight_new(&net.flight, &opt), 0);
	net.now.ns = NS_PER_S;
	net.rate = rate;
	net.trip_ns = trip_ms * NS_PER_MS;
	net.last[CLASS_BULK] = backlog;
	flight_reset(net.flight, net.last);
	for (unsigned lane = 0; lane < LANES; lane++)
		net.size[lane] = lane_class(lane) == CLASS_BULK ? 2000 : 200;
	schedule_reset(&s);
}

static uint64_t on_wire_of_others(void)
{
	uint64_t sum = 0;

	for (size_t i = net.with_broker; i < net.n; i++) {
		const struct packet *p = &net.wire[(net.head + i) % WIRE_ROWS];

		sum += p->lane == lane_of(CLASS_LIVE, true) ? 0 : p->bytes;
	}
	return sum;
}

static void net_send(unsigned lane, uint64_t seq)
{
	size_t size = net.size[lane];
	int64_t begins = net.free_ns > net.now.ns ? net.free_ns : net.now.ns;

	if (lane == lane_of(CLASS_LIVE, true)) {
		uint64_t before = on_wire_of_others();

		if (before > net.live_passed)
			net.live_passed = before;
	}
	ck_assert_uint_lt(net.n, WIRE_ROWS);
	net.free_ns = begins + (int64_t)size * NS_PER_S / net.rate;
	net.wire[(net.head + net.n++) % WIRE_ROWS] = (struct packet){lane, seq, size, net.free_ns};
	flight_sent(net.flight, &(struct flight_row){lane, seq, seq, size, 0}, net.now);
	schedule_sent(&s, lane, size);
	net.sent[lane] += size;
	if (lane_class(lane) == CLASS_LIVE)
		net.live_sent[seq] = true;
}

/* The outbox has them no more, or they are in the window. */
static void pass_sent(void)
{
	unsigned lane = lane_of(CLASS_LIVE, false);
	uint64_t seq;

	while ((seq = flight_span(net.flight, lane).from + 1) <= net.last[CLASS_LIVE] &&
	       net.live_sent[seq])
		flight_pass(net.flight, lane, seq);
}

/* As publish_send.c has it; the outbox is what net.last says. */
static void net_pump(void)
{
	for (;;) {
		unsigned ready = 0, lane;

		pass_sent();
		for (lane = 0; lane < LANES; lane++) {
			struct flight_span span = flight_span(net.flight, lane);
			uint64_t last = net.last[lane_class(lane)];

			if (span.from < (span.to < last ? span.to : last) &&
			    flight_admits(net.flight, lane_class(lane)) &&
			    flight_wire_admits(net.flight, lane_class(lane), net.now))
				ready |= 1u << lane;
		}
		lane = schedule_pick(&s, ready);
		if (lane == LANE_NONE)
			return;
		net_send(lane, flight_span(net.flight, lane).from + 1);
	}
}

static void net_pubacks(void)
{
	while (net.with_broker < net.n) {
		const struct packet *p = &net.wire[(net.head + net.with_broker) % WIRE_ROWS];
		int64_t waited;

		if (p->out_ns + net.trip_ns > net.now.ns)
			return;
		flight_puback(net.flight, lane_class(p->lane), p->seq, 0, net.now);
		if (p->lane == lane_of(CLASS_LIVE, true)) {
			waited = net.now.ns - net.live_at[p->seq];
			if (waited > net.live_waited_ns)
				net.live_waited_ns = waited;
			net.newest = p->seq;
		}
		net.with_broker++;
	}
}

static void net_receipts(void)
{
	for (; net.with_broker > 0; net.with_broker--, net.n--) {
		const struct packet *p = &net.wire[net.head];

		ck_assert_uint_eq(
			flight_acked(net.flight, lane_class(p->lane), p->seq, p->seq, net.now), 1);
		net.head = (net.head + 1) % WIRE_ROWS;
	}
	(void)flight_heard(net.flight, net.now);
}

/* A live row each live_ms; 0: none. */
static void net_run(int64_t ms, int64_t live_ms)
{
	for (int64_t t = 0; t < ms; t += STEP_MS) {
		net.now.ns += STEP_MS * NS_PER_MS;
		if (live_ms && t % live_ms == 0)
			net.live_at[++net.last[CLASS_LIVE]] = net.now.ns;
		net_pubacks();
		if (t % RECEIPTS_MS == 0)
			net_receipts();
		net_pump();
	}
}

static void net_end(void)
{
	flight_free(net.flight);
}

static const struct {
	int64_t rate, trip_ms;
} LINKS[] = {
	{10 << 10, 50},	  /* a bad one */
	{100 << 10, 100}, /* a usual one */
	{1 << 20, 40},	  /* a good one */
	{200 << 10, 600}, /* by satellite */
};

/* A million rows wait. A live row has before it what the link takes in its round trip and a quarter
 * of a second, and two rows; the link is busy all the same. */
START_TEST(a_backlog_is_not_before_live_data)
{
	int64_t rate = LINKS[_i].rate, trip_ms = LINKS[_i].trip_ms;
	uint64_t bound = (uint64_t)(rate * (trip_ms + WIRE_QUEUE_MS + STEP_MS) / 1000) + 2 * 2000;
	uint64_t before;

	net_init(rate, trip_ms, ROWS);
	net_run(20000, 1000); /* it finds out what the link is */
	net.live_passed = 0;
	net.live_waited_ns = 0;
	before = net.sent[lane_of(CLASS_BULK, false)];
	net_run(100000, 1000);
	ck_assert_msg(net.live_passed <= bound, "%d bytes before a live row, bound %d",
		      (int)net.live_passed, (int)bound);
	ck_assert_int_le(net.live_waited_ns, (int64_t)bound * NS_PER_S / rate +
						     (trip_ms + 2 * STEP_MS) * NS_PER_MS +
						     200 * NS_PER_S / rate);
	before = net.sent[lane_of(CLASS_BULK, false)] - before;
	ck_assert_msg(before > (uint64_t)rate * 90, "%d bytes of backlog in 100 s",
		      (int)before); /* 90 % of the link */
	net_end();
}
END_TEST

START_TEST(live_data_leaves_bulk_its_share)
{
	net_init(10 << 10, 50, ROWS);
	net_run(60000, STEP_MS); /* 40,000 bytes/s of live data on 10,240 */
	ck_assert_uint_gt(net.sent[lane_of(CLASS_BULK, false)],
			  (uint64_t)(10 << 10) * 60 * 2 / 10 * 8 / 10);
	ck_assert_uint_gt(net.sent[lane_of(CLASS_LIVE, true)],
			  (uint64_t)(10 << 10) * 60 * 8 / 10 * 8 / 10);
	net_end();
}
END_TEST

/* Twice what the link takes, for ten minutes, next to bulk: what is known is a minute old and what
 * it takes to be through, and not five minutes. What waited goes beside it, oldest first. */
START_TEST(live_data_above_the_link_is_recent)
{
	int64_t oldest = 0;

	net_init(10 << 10, 50, ROWS);
	net.size[lane_of(CLASS_LIVE, true)] = net.size[lane_of(CLASS_LIVE, false)] = 1000;
	for (int passed_s = 0; passed_s < 600; passed_s += 10) {
		int64_t age;

		net_run(10000, 50);
		age = net.now.ns - net.live_at[net.newest];
		oldest = age > oldest ? age : oldest;
		(void)flight_freshen(net.flight, net.last[CLASS_LIVE], net.now);
	}
	ck_assert_int_le(oldest / NS_PER_S, 75);
	ck_assert_uint_gt(net.sent[lane_of(CLASS_LIVE, false)],
			  (uint64_t)(10 << 10) * 600 * 4 / 16 / 2);
	net_end();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("schedule"), *link = tcase_create("link");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, all_share_by_weight);
	tcase_add_test(tc, bulk_does_not_starve);
	tcase_add_test(tc, urgent_and_new_is_next);
	tcase_add_test(tc, burst_goes_first_to_its_credit);
	tcase_add_test(tc, none_where_none_is_ready);
	tcase_set_timeout(link, 60);
	tcase_add_loop_test(link, a_backlog_is_not_before_live_data, 0, (int)array_len(LINKS));
	tcase_add_test(link, live_data_leaves_bulk_its_share);
	tcase_add_test(link, live_data_above_the_link_is_recent);
	return suite_run("schedule", (TCase *const[]){tc, link}, 2);
}
