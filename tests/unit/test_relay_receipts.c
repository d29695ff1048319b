/* When the relay's ingest sends receipts: behind a real Mosquitto, with a clock that stands still
 * unless it is moved. */
#include "tests/fakes/broker.h"
#include "tests/fakes/peer.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { EARLY = 32, WAIT_MS = 5000 };

static struct broker *broker;

static void setup(void)
{
	ck_assert_int_eq(broker_start(&broker, NULL), 0);
	ingest_uri = broker_uri(broker);
	ingest_setup();
	ck_assert(peer_wait(iw.in->loop, mqtt_is_connected(iw.in->mqtt), WAIT_MS));
}

static void teardown(void)
{
	ingest_teardown();
	broker = broker_free(broker);
}

static void store(uint64_t from, uint64_t to)
{
	for (uint64_t seq = from; seq <= to; seq++)
		send_batch(&(struct sent_batch){.epoch = 1, .seq = seq, .class = CLASS_BULK});
	ingest_commit(iw.in);
}

static uint64_t receipts(void)
{
	struct ingest_stats s;

	ingest_get_stats(iw.in, &s);
	return s.receipts;
}

START_TEST(test_one_an_interval)
{
	store(1, 1);
	ck_assert_uint_eq(receipts(), 1); /* the first at once */
	store(2, 3);
	store(4, 4);
	ck_assert_uint_eq(receipts(), 1);
	iw.clk.mono.ns += 100 * NS_PER_MS;
	store(5, 5);
	ck_assert_uint_eq(receipts(), 2);
	ck_assert(!lane_of(1, CLASS_BULK)->untold);
}
END_TEST

/* Many in less than an interval: a device that drains its backlog waits for them. */
START_TEST(test_many_are_told_at_once)
{
	uint64_t seq = 1;

	store(seq, seq);
	for (int round = 1; round <= 3; round++) {
		store(seq + 1, seq + EARLY - 1);
		ck_assert_uint_eq(receipts(), (uint64_t)round);
		ck_assert(lane_of(1, CLASS_BULK)->untold);
		store(seq + EARLY, seq + EARLY);
		ck_assert_uint_eq(receipts(), (uint64_t)round + 1);
		ck_assert(!lane_of(1, CLASS_BULK)->untold);
		seq += EARLY;
	}
	/* In one commit: one receipt. */
	store(seq + 1, seq + 5 * EARLY);
	ck_assert_uint_eq(receipts(), 5);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("receipts");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_one_an_interval);
	tcase_add_test(tc, test_many_are_told_at_once);
	return suite_run("relay_receipts", &tc, 1);
}
