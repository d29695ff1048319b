/* What the J1939 source says: requests, and its claims of an address. */
#include "tests/unit/j1939_fixture.h"
#include "tests/unit/log_kept.h"
#include "tests/unit/suite.h"

#include <check.h>

/* ---- asking ---- */

START_TEST(asks_for_what_is_wanted)
{
	j1939_start(j1939_asker);
	j1939_pass(999);
	ck_assert_uint_eq(j1939_fake.n_sent, 1);
	ck_assert_uint_eq(j1939_fake.sent[0].pgn, 0xEA00);
	ck_assert_uint_eq(j1939_fake.sent[0].destination, 0xFF);
	ck_assert_uint_eq(j1939_fake.sent[0].len, 3);
	ck_assert_mem_eq(j1939_fake.sent[0].data, "\xE5\xFE\x00", 3);
	for (int i = 0; i < 10; i++)
		j1939_pass(1000);
	ck_assert_uint_eq(j1939_fake.n_sent, 11);
	ck_assert_uint_eq(counter_get(&can_counters.j1939_requests), 11);
	/* A rule for the other one comes, then none is left. */
	can_got.matches[can_got.n_matches++] = (struct frame_match){0x0FEDA00, 0x3FFFF00, true};
	source_matches_changed(can_source);
	j1939_fake.n_sent = 0;
	for (int i = 0; i < 10; i++)
		j1939_pass(500);
	ck_assert_uint_ge(j1939_fake.n_sent, 9);
	ck_assert_uint_le(j1939_fake.n_sent, 11);
	ck_assert(j1939_fake.sent[0].destination != j1939_fake.sent[1].destination);
	can_got.n_matches = 0;
	source_matches_changed(can_source);
	j1939_fake.n_sent = 0;
	j1939_pass(5000);
	ck_assert_uint_eq(j1939_fake.n_sent, 0);
}
END_TEST

START_TEST(asking_fails)
{
	j1939_fake.send_error = ENOBUFS;
	j1939_start(j1939_asker);
	j1939_pass(1000);
	ck_assert_uint_eq(counter_get(&can_counters.j1939_requests), 0);
	j1939_fake.send_error = 0;
	j1939_pass(1000);
	ck_assert_uint_eq(counter_get(&can_counters.j1939_requests), 1);
	/* Nothing is sent while it is closed. */
	j1939_add(0, 0, 0, 0)->error = ENETDOWN;
	can_fake.find_error = ENETDOWN;
	j1939_pass(1);
	j1939_pass(2500);
	ck_assert_uint_eq(j1939_fake.n_sent, 1);
	can_fake.find_error = 0;
	j1939_pass(3000);
	j1939_pass(1000);
	ck_assert_uint_gt(j1939_fake.n_sent, 1);
}
END_TEST

static void add_answer(uint8_t control, uint8_t to, uint32_t pgn)
{
	struct j1939_item *i = j1939_add(J1939_PGN_ACK, 0x21, 0xFF, 8);

	i->data[0] = control;
	i->data[4] = to;
	j1939_put_pgn(i->data + 5, pgn);
	j1939_pass(1);
}

/* Refusals to us are told once a PGN; what others were refused is not ours. */
START_TEST(refusals)
{
	log_keep(LOG_LEVEL_WARN);
	j1939_start(j1939_asker);
	add_answer(0, J1939_OWN, 0xFEE5); /* not a refusal */
	add_answer(1, 0x33, 0xFEE5);
	add_answer(1, J1939_OWN, 0xFEE6);
	ck_assert_uint_eq(log_times("j1939_refused"), 0);
	add_answer(1, J1939_OWN, 0xFEE5);
	add_answer(1, J1939_OWN, 0xFEE5);
	ck_assert_uint_eq(log_times("j1939_refused"), 1);
	ck_assert_uint_eq(log_times("pgn=65253 from=33 code=1"), 1);
	add_answer(3, 0xFF, 0xFEDA);
	ck_assert_uint_eq(log_times("j1939_refused"), 2);
	ck_assert_uint_eq(can_got.n, 6); /* and go on like any message */
}
END_TEST

/* ---- the address ---- */

static void add_claim(uint64_t name)
{
	struct j1939_item *i = j1939_add(J1939_PGN_ADDRESS_CLAIMED, J1939_OWN, 0xFF, 8);

	j1939_put_name(i->data, name);
}

START_TEST(claims)
{
	j1939_start(j1939_claimer);
	ck_assert_uint_eq(j1939_fake.name, 0x0102030405060708);
	ck_assert_uint_eq(j1939_fake.n_sent, 1);
	ck_assert_uint_eq(j1939_fake.sent[0].pgn, 0xEE00);
	ck_assert_uint_eq(j1939_fake.sent[0].destination, 0xFF);
	ck_assert_mem_eq(j1939_fake.sent[0].data, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	j1939_pass(299);
	ck_assert_uint_eq(j1939_fake.n_sent, 1); /* nothing is asked before the wait is over */
	j1939_pass(1);
	j1939_pass(1);
	ck_assert_uint_eq(j1939_fake.n_sent, 2);
	ck_assert_uint_eq(j1939_fake.sent[1].pgn, 0xEA00);
	/* Somebody asks who is there: all, us, another. */
	for (unsigned i = 0; i < 3; i++) {
		static const uint8_t to[] = {0xFF, J1939_OWN, 0x21};

		j1939_put_pgn(j1939_add(J1939_PGN_REQUEST, 0x21, to[i], 3)->data, 0xEE00);
	}
	j1939_put_pgn(j1939_add(J1939_PGN_REQUEST, 0x21, 0xFF, 3)->data, 0xFEDA);
	add_claim(0x0102030405060709); /* a higher NAME wants our address */
	j1939_pass(1);
	ck_assert_uint_eq(j1939_fake.n_sent, 5);
	for (unsigned i = 2; i < 5; i++)
		ck_assert_uint_eq(j1939_fake.sent[i].pgn, 0xEE00);
	ck_assert_uint_eq(j1939_fake.binds, 0);
}
END_TEST

/* Another node has our address: told once, claims of a node with a NAME are another matter. */
START_TEST(address_doubled)
{
	log_keep(LOG_LEVEL_WARN);
	j1939_start(j1939_asker);
	j1939_add(0xFEE5, 0x21, 0xFF, 8);
	j1939_pass(1);
	ck_assert_uint_eq(log_times("j1939_address_doubled"), 0);
	for (int i = 0; i < 3; i++)
		j1939_add(J1939_PGN_ADDRESS_CLAIMED, J1939_OWN, 0xFF, 8);
	j1939_pass(1);
	ck_assert_uint_eq(log_times("j1939_address_doubled"), 1);
	ck_assert_uint_eq(log_times("address=128 pgn=60928"), 1);
	can_source = source_free(can_source);
	j1939_start(j1939_claimer);
	j1939_pass(300);
	add_claim(0x0102030405060709);
	j1939_pass(1);
	ck_assert_uint_eq(log_times("j1939_address_doubled"), 1);
	j1939_add(0xFEE5, J1939_OWN, 0xFF, 8);
	j1939_pass(1);
	ck_assert_uint_eq(log_times("j1939_address_doubled"), 2);
}
END_TEST

/* After a defence the kernel sends nothing for a while: nothing is asked meanwhile. */
START_TEST(defends_before_it_asks)
{
	j1939_start(j1939_claimer);
	for (int i = 0; i < 30; i++)
		j1939_pass(100);
	j1939_fake.n_sent = 0;
	for (int i = 0; i < 15; i++) {
		add_claim(0x0102030405060709);
		j1939_pass(100);
	}
	ck_assert_uint_eq(j1939_fake.n_sent, 15);
	for (unsigned i = 0; i < 15; i++)
		ck_assert_uint_eq(j1939_fake.sent[i].pgn, 0xEE00);
	for (int i = 0; i < 15; i++)
		j1939_pass(100);
	ck_assert_uint_gt(j1939_fake.n_sent, 15);
	ck_assert_uint_eq(j1939_fake.sent[15].pgn, 0xEA00);
}
END_TEST

static void expect_claim_and_request(void)
{
	j1939_pass(1000);
	ck_assert_uint_eq(j1939_fake.n_sent, 1);
	ck_assert_uint_eq(j1939_fake.sent[0].pgn, 0xEE00);
	j1939_pass(300);
	ck_assert_uint_eq(j1939_fake.n_sent, 2);
	ck_assert_uint_eq(j1939_fake.sent[1].pgn, 0xEA00);
}

/* A claim that could not be sent is sent again, and so is one that the kernel never saw on the bus;
 * nothing is asked before. */
START_TEST(claims_again)
{
	j1939_fake.send_error = ENOBUFS;
	j1939_start(j1939_claimer);
	j1939_pass(5000);
	ck_assert_uint_eq(j1939_fake.n_sent, 0);
	j1939_fake.send_error = 0;
	expect_claim_and_request();
	j1939_fake.send_error = EADDRNOTAVAIL;
	j1939_pass(1000);
	j1939_fake.send_error = 0;
	j1939_fake.n_sent = 0;
	expect_claim_and_request();
}
END_TEST

START_TEST(loses_the_address)
{
	j1939_start(j1939_claimer);
	j1939_pass(300);
	j1939_fake.n_sent = 0;
	add_claim(1);
	j1939_pass(1);
	j1939_pass(J1939_CLAIM_YIELD_MS);
	ck_assert_uint_eq(j1939_fake.binds, 1);
	ck_assert_uint_eq(j1939_fake.address, 254);
	ck_assert_uint_eq(j1939_fake.sent[j1939_fake.n_sent - 1].pgn, 0xEE00);
	j1939_fake.n_sent = 0;
	j1939_pass(5000);
	ck_assert_uint_eq(j1939_fake.n_sent, 0); /* and asks no more */
	/* Who asks for the address means its new owner; who asks all, also us, and often. */
	j1939_put_pgn(j1939_add(J1939_PGN_REQUEST, 0x21, J1939_OWN, 3)->data, 0xEE00);
	j1939_pass(J1939_CLAIM_YIELD_MS);
	ck_assert_uint_eq(j1939_fake.n_sent, 0);
	for (int i = 0; i < 4; i++) {
		j1939_put_pgn(j1939_add(J1939_PGN_REQUEST, 0x21, 0xFF, 3)->data, 0xEE00);
		j1939_pass(J1939_CLAIM_YIELD_MS / 3 + 1);
	}
	ck_assert_uint_ge(j1939_fake.n_sent, 1);
	ck_assert_uint_eq(j1939_fake.sent[0].pgn, 0xEE00);
	j1939_add(0xFEE5, 0x21, 0xFF, 8);
	j1939_pass(1);
	ck_assert_uint_eq(can_got.frames[can_got.n - 1].id, 0x18FEE521); /* but listens */
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("j1939_says");

	tcase_add_checked_fixture(tc, j1939_setup, can_teardown);
	tcase_add_test(tc, asks_for_what_is_wanted);
	tcase_add_test(tc, asking_fails);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, claims);
	tcase_add_test(tc, address_doubled);
	tcase_add_test(tc, defends_before_it_asks);
	tcase_add_test(tc, claims_again);
	tcase_add_test(tc, loses_the_address);
	return suite_run("j1939_says", &tc, 1);
}
