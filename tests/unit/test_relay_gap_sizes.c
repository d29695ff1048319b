/* Gaps that are larger than anything, that make no sense, or that have no end. */
#include "relay/stream/internal.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { EPOCH = 7 };

static void send(uint64_t seq)
{
	send_batch(&(struct sent_batch){
		.epoch = EPOCH, .seq = seq, .class = CLASS_BULK, .quality = CLOCK_SYNCED, .n = 10});
}

static void lost(uint64_t from, uint64_t through, enum gap_reason reason)
{
	send_gap(CLASS_BULK, &(struct envelope){.epoch = EPOCH, .seq = from},
		 &(struct gap){.through = through,
			       .reason = reason,
			       .batches = through - from + 1,
			       .samples = 10 * (through - from + 1),
			       .first_ns = 1000,
			       .last_ns = 2000});
}

static const struct window *window(void)
{
	return &lane_of(EPOCH, CLASS_BULK)->window;
}

static uint64_t duplicates(void)
{
	return iw.in->stats.results[INGEST_DUPLICATE];
}

static void reopen(void)
{
	ingest_close();
	ingest_open();
}

START_TEST(test_huge_and_bad_gaps)
{
	static const uint64_t HUGE = (uint64_t)1 << 48;

	maintain_all(); /* from now on there is a quarantine */
	lost(1, HUGE, GAP_QUOTA);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->through, HUGE);
	send(HUGE / 2);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 1);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap"), (int64_t)HUGE - 1);
	reopen();
	maintain_all();
	send(HUGE / 2);
	ck_assert_uint_eq(duplicates(), 1);

	lost(HUGE + 5, HUGE + 4, GAP_QUOTA);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, HUGE + 5), NACK_INVALID);
	lost(HUGE + 6, HUGE + 7, (enum gap_reason)0);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, HUGE + 6), NACK_INVALID);
	lost(HUGE + 7, 2 * HUGE + 7, GAP_QUOTA);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, HUGE + 7), NACK_INVALID);
	send_envelope(CLASS_BULK, &(struct envelope){.epoch = EPOCH,
						     .seq = HUGE + 8,
						     .encoding = ENCODING_GAP,
						     .body = (const uint8_t *)"\xff",
						     .body_len = 1});
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, HUGE + 8), NACK_INVALID);
	lost(HUGE + 9, HUGE + 9, (enum gap_reason)77); /* of the future: kept, counted as unknown */
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap WHERE reason = 77"), 1);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap_total WHERE reason = 0"), 1);
	ck_assert_int_eq(query_number("SELECT count(*) FROM quarantine"), 4);
	ck_assert_uint_eq(window()->through, HUGE);
}
END_TEST

START_TEST(test_claims_do_not_overflow)
{
	for (uint64_t seq = 1; seq <= 40; seq++)
		send_gap(CLASS_BULK, &(struct envelope){.epoch = EPOCH, .seq = seq << 50},
			 &(struct gap){.through = (seq << 50) + ((uint64_t)1 << 48) - 1,
				       .reason = GAP_QUOTA,
				       .batches = INT64_MAX,
				       .samples = INT64_MAX});
	ingest_commit(iw.in);
	ck_assert_int_eq(iw.in->stats.storage, 0);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_GAP], 40);
	ck_assert_int_eq(query_number("SELECT typeof(samples) = 'integer' FROM gap_total"), 1);
	ck_assert_int_gt(query_number("SELECT samples FROM gap_total"), 0);
}
END_TEST

/* The row and the sums of all. */
static void check_seqs(int64_t row, int64_t all)
{
	ck_assert_int_eq(query_number("SELECT sum(seqs) FROM gap"), row);
	ck_assert_int_eq(query_number("SELECT sum(seqs) FROM gap_total"), all);
}

/* What a damaged outbox may have had beyond is not so many lost. */
/* What a damaged outbox may have had beyond is not so many lost. */
START_TEST(test_open_end_counts_as_nothing)
{
	send(1);
	send(6);
	lost(2, GAP_OPEN, GAP_CORRUPT);
	ingest_commit(iw.in);
	check_seqs(4, 4); /* 2 to 5 */
	ck_assert_uint_eq(iw.in->stats.gap_seqs[CLASS_BULK][GAP_CORRUPT], 4);
	ck_assert_uint_eq(window()->through, GAP_OPEN);
	send(20); /* comes after all: so 7 to 19 were there, too */
	ingest_commit(iw.in);
	check_seqs(17, 17);
	send(3);
	ingest_commit(iw.in);
	check_seqs(16, 16);
	reopen();
	lost(2, GAP_OPEN, GAP_CORRUPT); /* again */
	ingest_commit(iw.in);
	check_seqs(16, 16);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 1);
}
END_TEST

START_TEST(test_open_end_alone)
{
	lost(1, GAP_OPEN, GAP_CORRUPT);
	ingest_commit(iw.in);
	check_seqs(0, 0);
	ck_assert_uint_eq(iw.in->stats.gap_seqs[CLASS_BULK][GAP_CORRUPT], 0);
	ck_assert_uint_eq(iw.in->stats.gaps[CLASS_BULK][GAP_CORRUPT], 1);
	send(GAP_OPEN);
	send(4);
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.late, 2);
	check_seqs((int64_t)GAP_OPEN - 2, (int64_t)GAP_OPEN - 2);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("gap_sizes");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_huge_and_bad_gaps);
	tcase_add_test(t, test_claims_do_not_overflow);
	tcase_add_test(t, test_open_end_counts_as_nothing);
	tcase_add_test(t, test_open_end_alone);
	return suite_run("relay_gap_sizes", &t, 1);
}
