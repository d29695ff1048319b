/* What will not come, what came under another name, and what is never stored twice or acknowledged
 * without being there. */
#include "relay/stream/internal.h"
#include "relay/stream/report.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { EPOCH = 7, OLD_EPOCH = 6 };

static void send(uint64_t seq)
{
	send_batch(&(struct sent_batch){
		.epoch = EPOCH, .seq = seq, .class = CLASS_BULK, .quality = CLOCK_SYNCED, .n = 10});
}

static void send_from_old(uint64_t seq, uint64_t origin_seq)
{
	send_batch(&(struct sent_batch){.epoch = EPOCH,
					.seq = seq,
					.class = CLASS_BULK,
					.quality = CLOCK_SYNCED,
					.origin_epoch = OLD_EPOCH,
					.origin_seq = origin_seq});
}

static void send_under_old_name(uint64_t seq)
{
	send_batch(&(struct sent_batch){
		.epoch = OLD_EPOCH, .seq = seq, .class = CLASS_BULK, .quality = CLOCK_SYNCED});
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

/* ---- gaps ---- */

START_TEST(test_gap_closes_a_hole_for_good)
{
	send(1);
	send(6);
	lost(2, 5, GAP_QUOTA);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->hi,
			  0); /* nothing is told before its commit */
	ck_assert_uint_eq(sent_by()->in_flight[CLASS_BULK], 3);
	ingest_commit(iw.in);
	ck_assert_uint_eq(sent_by()->in_flight[CLASS_BULK], 0);
	ck_assert_uint_eq(window()->through, 6);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->lo, 1);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->hi, 6);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_STORED], 2);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_GAP], 1);
	ck_assert_uint_eq(iw.in->stats.gap_seqs[CLASS_BULK][GAP_QUOTA], 4);
	reopen();
	lost(2, 5, GAP_QUOTA);
	ck_assert_uint_eq(duplicates(), 1);
	ck_assert_uint_eq(window()->through, 6);
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 1);
	ck_assert_int_eq(query_number("SELECT reason * 1000 + seqs * 100 + batches FROM gap"),
			 GAP_QUOTA * 1000 + 404);
	ck_assert_int_eq(query_number("SELECT samples FROM gap_total"), 40);
}
END_TEST

/* Its receipt was lost, then it was evicted: the batch is there, and the gap is the rest. */
START_TEST(test_gap_around_batches)
{
	send(1);
	send(4);
	lost(2, 6, GAP_EXPIRED);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->through, 6);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap"), 4);
	send(4);
	ck_assert_uint_eq(duplicates(), 1);
	reopen();
	send(3); /* it comes after all */
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.late, 1);
	ck_assert_uint_eq(stream_rows(), 3);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap"), 3);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap_total"), 3);
	send(3);
	send(4);
	ck_assert_uint_eq(duplicates(), 2);
	for (uint64_t seq = 2; seq <= 6; seq++)
		send(seq);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 6);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 0);
	ck_assert_int_eq(query_number("SELECT gaps + seqs + batches + samples FROM gap_total"), 0);
	ck_assert_uint_eq(window()->through, 6);
}
END_TEST

/* The vehicle merges neighbours until it has sent them in this run. */
START_TEST(test_gap_that_has_grown)
{
	send(1);
	lost(3, 4, GAP_QUOTA);
	ingest_commit(iw.in);
	lost(3, 7, GAP_QUOTA);
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 1);
	ck_assert_int_eq(query_number("SELECT seqs * 100 + batches FROM gap"), 505);
	lost(2, 8, GAP_QUOTA);
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 1);
	ck_assert_int_eq(query_number("SELECT seqs * 100 + batches FROM gap_total"), 707);
	ck_assert_int_eq(query_number("SELECT gaps FROM gap_total"), 1);
	ck_assert_uint_eq(window()->through, 8);
	lost(6, 9, GAP_CORRUPT); /* overlaps: what is new of it is 9 */
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT sum(seqs) FROM gap"), 8);
}
END_TEST

START_TEST(test_encodings_of_the_future)
{
	maintain_all();
	send_envelope(CLASS_BULK, &(struct envelope){.epoch = EPOCH,
						     .seq = 1,
						     .encoding = 4,
						     .body = (const uint8_t *)"x",
						     .body_len = 1});
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 1), NACK_INVALID);
	ingest_commit(iw.in);
	ck_assert_int_eq(
		query_number("SELECT reason = 'encoding 4 is unknown to this version' FROM "
			     "quarantine"),
		1);
	ck_assert(!window_has(window(), 1));
}
END_TEST

START_TEST(test_gaps_are_bounded_and_pruned)
{
	for (uint64_t i = 0; i < STREAM_GAPS_MAX + 20; i++)
		lost(10 + 2 * i, 10 + 2 * i, GAP_QUOTA);
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), STREAM_GAPS_MAX);
	ck_assert_int_eq(query_number("SELECT min(from_seq) FROM gap"), 10 + 2 * 20);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap_total"), STREAM_GAPS_MAX + 20);
	maintain_all();
	timebase_fake_advance(&iw.clk, 3000 * NS_PER_S);
	lost(3, 3, GAP_EXPIRED);
	maintain_all();
	for (int i = 0; i < 4; i++) {
		timebase_fake_advance(&iw.clk, 300 * NS_PER_S);
		maintain_all();
	}
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 1);
	ck_assert_int_eq(query_number("SELECT sum(seqs) FROM gap_total"), STREAM_GAPS_MAX + 21);
	ck_assert_int_eq(registry_remove_vehicle(iw.registry, "v1", NULL), 0);
	maintain_all();
	ck_assert_int_eq(query_number("SELECT (SELECT count(*) FROM gap) + (SELECT count(*) FROM "
				      "gap_total) + (SELECT count(*) FROM boot_clock)"),
			 0);
}
END_TEST

/* ---- names of an older outbox ---- */

START_TEST(test_stored_under_its_old_name)
{
	send_under_old_name(5);
	ingest_commit(iw.in);
	send_from_old(1, 5);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 1);
	ck_assert_uint_eq(window()->through, 1);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->hi, 1);
	ck_assert_uint_eq(duplicates(), 1);
	ck_assert_uint_eq(iw.in->stats.origin_known, 1);
	reopen();
	send_from_old(1, 5);
	ck_assert_uint_eq(duplicates(), 1);
	ck_assert_int_eq(query_number("SELECT duplicates FROM window WHERE epoch = 7"), 1);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	maintain_all();
	ck_assert_int_eq(query_number("SELECT duplicates FROM window WHERE epoch = 7"), 2);
}
END_TEST

START_TEST(test_stored_under_its_new_name)
{
	send_from_old(1, 5);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 1);
	reopen();
	send_under_old_name(5); /* it was on its way when the outbox was damaged */
	ck_assert_uint_eq(duplicates(), 1);
	send_from_old(2, 5); /* salvaged once more */
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 1);
	ck_assert_uint_eq(window()->through, 2);
}
END_TEST

START_TEST(test_gap_of_an_older_outbox)
{
	send_under_old_name(1);
	send_under_old_name(2);
	send_gap(CLASS_BULK,
		 &(struct envelope){
			 .epoch = EPOCH, .seq = 1, .origin_epoch = OLD_EPOCH, .origin_seq = 3},
		 &(struct gap){.through = 9, .reason = GAP_CORRUPT});
	send_from_old(2, 10);
	ingest_commit(iw.in);
	ck_assert_uint_eq(lane_of(OLD_EPOCH, CLASS_BULK)->window.through, 10);
	ck_assert_uint_eq(window()->through, 2);
	ck_assert_int_eq(query_number("SELECT from_seq * 100 + through_seq FROM gap WHERE epoch = "
				      "6"),
			 309);
	send_gap(CLASS_BULK,
		 &(struct envelope){
			 .epoch = EPOCH, .seq = 1, .origin_epoch = OLD_EPOCH, .origin_seq = 3},
		 &(struct gap){.through = 9, .reason = GAP_CORRUPT});
	ck_assert_uint_eq(duplicates(), 1);
	send_gap(CLASS_BULK, /* told again under another name */
		 &(struct envelope){
			 .epoch = EPOCH, .seq = 3, .origin_epoch = OLD_EPOCH, .origin_seq = 3},
		 &(struct gap){.through = 9, .reason = GAP_CORRUPT});
	ingest_commit(iw.in);
	ck_assert_uint_eq(duplicates(), 2);
	ck_assert_uint_eq(window()->through, 3);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 1);
	send_under_old_name(4); /* neither lost nor acknowledged: the vehicle was wrong */
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 4);
	send_batch(&(struct sent_batch){.epoch = EPOCH,
					.seq = 4,
					.class = CLASS_BULK,
					.origin_epoch = EPOCH,
					.origin_seq = 3});
	ck_assert_uint_eq(iw.in->stats.results[INGEST_INVALID], 1);
}
END_TEST

/* ---- rollback ---- */

static int refuse_commit(void *ctx)
{
	(void)ctx;
	return 1;
}

static void send_all_kinds(void)
{
	send(1);
	lost(2, 9, GAP_QUOTA);
	send_from_old(10, 5);
	send(4); /* late */
	send_clock(EPOCH, 1, 77, iw.clk.wall.ns, 5, CLOCK_SYNCED);
}

START_TEST(test_rollback_takes_all_back)
{
	send(20);
	ingest_commit(iw.in);
	send_all_kinds();
	(void)sqlite3_commit_hook(iw.stream->db, refuse_commit, NULL);
	ingest_commit(iw.in);
	(void)sqlite3_commit_hook(iw.stream->db, NULL, NULL);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 1), NACK_BUSY);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 2), NACK_BUSY);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 4), NACK_BUSY);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_STATUS, 1), NACK_BUSY);
	ck_assert_uint_eq(sent_by()->clock.boot, 0);
	ck_assert_uint_eq(sent_by()->in_flight[CLASS_BULK], 0);
	ck_assert_int_eq(lane_reload(iw.in, lane_of(EPOCH, CLASS_BULK)), 0);
	ck_assert_int_eq(lane_reload(iw.in, lane_of(OLD_EPOCH, CLASS_BULK)), 0);
	ck_assert_uint_eq(window_count(window()), 1);
	ck_assert_uint_eq(window_count(&lane_of(OLD_EPOCH, CLASS_BULK)->window), 0);
	ck_assert_int_eq(query_number("SELECT (SELECT count(*) FROM gap) + (SELECT count(*) FROM "
				      "boot_clock)"),
			 0);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	send_all_kinds();
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 4);
	ck_assert_uint_eq(window()->through, 10);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap"), 7);
	ck_assert_int_eq(query_number("SELECT count(*) FROM boot_clock"), 1);
	ck_assert_int_eq(query_number("SELECT batches FROM window WHERE epoch = 7 AND class = 2"),
			 4);
}
END_TEST

/* ---- too many holes ---- */

static void make_holes(void)
{
	for (uint64_t i = 0; i < WINDOW_RANGES_MAX; i++)
		send(10 + 2 * i);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->n, WINDOW_RANGES_MAX);
}

/* The vehicle has time to fill them; then the lowest is closed, and recorded. */
START_TEST(test_too_many_holes)
{
	static const uint64_t FAR = 1000000;

	make_holes();
	send(FAR);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, FAR), NACK_BUSY);
	send(11); /* fills one, and so does not need room */
	send(FAR);
	ingest_commit(iw.in);
	ck_assert(window_has(window(), FAR));
	send(FAR + 2);
	timebase_fake_advance(&iw.clk, (WINDOW_GRACE_S - 1) * NS_PER_S);
	send(FAR + 2);
	ck_assert(!window_has(window(), FAR + 2));
	ck_assert_uint_eq(iw.in->stats.gaps[CLASS_BULK][GAP_UNEXPLAINED], 0);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	send(FAR + 2);
	ingest_commit(iw.in);
	ck_assert(window_has(window(), FAR + 2));
	ck_assert_uint_eq(iw.in->stats.gaps[CLASS_BULK][GAP_UNEXPLAINED], 1);
	ck_assert_uint_eq(window()->through, 12);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap WHERE reason = 0"), 9);
	reopen();
	send(5); /* it comes after all */
	send(5);
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM batch WHERE seq = 5"), 1);
	ck_assert_uint_eq(duplicates(), 1);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap WHERE reason = 0"), 8);
	lost(1, 9, GAP_EXPIRED); /* it is explained after all */
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap WHERE reason = 0"), 0);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap"), 8);
	ck_assert_int_eq(query_number("SELECT seqs FROM gap_total WHERE reason = 0"), 0);
}
END_TEST

START_TEST(test_newcomer_in_the_lowest_hole)
{
	make_holes();
	send(5);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 5), NACK_BUSY);
	timebase_fake_advance(&iw.clk, (WINDOW_GRACE_S + 1) * NS_PER_S);
	send(5);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->through, 5); /* 1 to 4 are closed, 6 to 9 are not */
	ck_assert_int_eq(query_number("SELECT through_seq FROM gap"), 4);
	ck_assert_int_eq(query_number("SELECT count(*) FROM batch WHERE seq = 5"), 1);
}
END_TEST

/* ---- throttle ---- */

START_TEST(test_a_device_is_slowed_down)
{
	const struct lane *l;

	iw.in->tuning.device_batches_per_s = 2;
	for (uint64_t seq = 1; seq <= 5; seq++)
		send(seq);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 2), 0);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 3), NACK_QUOTA);
	l = lane_of(EPOCH, CLASS_BULK);
	ck_assert_uint_ge(l->nacks[0].retry_after_s, 1);
	ck_assert_uint_le(l->nacks[0].retry_after_s, 2);
	send(1); /* what is there already is acknowledged */
	ingest_commit(iw.in);
	ck_assert_uint_eq(duplicates(), 1);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_THROTTLED], 3);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	send(3);
	send(4);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 4);

	iw.in->tuning.device_batches_per_s = 0;
	iw.in->tuning.device_bytes_per_s = 10; /* less than a batch */
	timebase_fake_advance(&iw.clk, 10 * NS_PER_S);
	send(5);
	send(6);
	ck_assert_int_eq(nack_of(EPOCH, CLASS_BULK, 6), NACK_QUOTA);
	ck_assert_uint_ge(l->nacks[l->n_nacks - 1].retry_after_s, 2);
	timebase_fake_advance(&iw.clk, 60 * NS_PER_S);
	send(6); /* a large one passes all the same, it only takes longer */
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 6);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("gaps");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_gap_closes_a_hole_for_good);
	tcase_add_test(t, test_gap_around_batches);
	tcase_add_test(t, test_gap_that_has_grown);
	tcase_add_test(t, test_encodings_of_the_future);
	tcase_add_test(t, test_gaps_are_bounded_and_pruned);
	tcase_add_test(t, test_stored_under_its_old_name);
	tcase_add_test(t, test_stored_under_its_new_name);
	tcase_add_test(t, test_gap_of_an_older_outbox);
	tcase_add_test(t, test_rollback_takes_all_back);
	tcase_add_test(t, test_too_many_holes);
	tcase_add_test(t, test_newcomer_in_the_lowest_hole);
	tcase_add_test(t, test_a_device_is_slowed_down);
	return suite_run("relay_gaps", &t, 1);
}
