/* Ingest without its thread and without a broker: messages are handed in, upkeep is called. */
#include "relay/stream/internal.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { LARGE_SAMPLES = 4000 };

/* n samples, the first of raw `first`, from wall_ns on. */
static void send_at(uint64_t epoch, uint64_t seq, int64_t wall_ns, uint64_t first, size_t n)
{
	send_batch(&(struct sent_batch){.epoch = epoch,
					.seq = seq,
					.class = CLASS_BULK,
					.wall_ns = wall_ns,
					.first = first,
					.n = n});
}

static void send_one(uint64_t epoch, uint64_t seq, uint64_t raw)
{
	send_at(epoch, seq, iw.clk.wall.ns, raw, 1);
}

static uint64_t state_raw(void)
{
	return state_value().raw;
}

static int count_row(void *ctx, const struct stream_row *row)
{
	uint64_t *seen = ctx;

	seen[0]++;
	if (!seen[1] || row->seq < seen[1])
		seen[1] = row->seq;
	return 0;
}

/* ---- durability ---- */

START_TEST(test_a_commit_is_synced)
{
	ck_assert_int_eq(query_number("PRAGMA synchronous"), 2); /* FULL */
	ck_assert_int_eq(query_number("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}
END_TEST

/* ---- retention ---- */

START_TEST(test_retention_by_bytes_takes_the_oldest_alone)
{
	struct stream_usage u;
	uint64_t seen[2] = {0};

	for (uint64_t seq = 1; seq <= 40; seq++)
		send_at(1, seq, iw.clk.wall.ns, seq, LARGE_SAMPLES);
	ingest_commit(iw.in);
	stream_get_usage(iw.stream, &u);
	ck_assert_uint_eq(u.rows, 40);
	ck_assert_uint_gt(u.used_bytes, 40 * LARGE_SAMPLES * 7);
	iw.in->tuning.max_bytes = (int64_t)u.used_bytes / 2;
	maintain_all();
	stream_get_usage(iw.stream, &u);
	ck_assert_uint_le(u.used_bytes, (uint64_t)iw.in->tuning.max_bytes);
	ck_assert_uint_ge(u.rows, 15); /* and not all of it with them */
	ck_assert_uint_eq(iw.in->stats.pruned, 40 - u.rows);
	ck_assert_int_eq(stream_each_after(iw.stream, 0, count_row, seen), 0);
	ck_assert_uint_eq(seen[1], 40 - u.rows + 1);
}
END_TEST

/* Upkeep each minute for a while. */
static void pass(int64_t seconds)
{
	for (int64_t i = 0; i < seconds; i += 60) {
		timebase_fake_advance(&iw.clk, 60 * NS_PER_S);
		maintain_all();
	}
}

START_TEST(test_retention_by_age)
{
	struct stream_usage u;

	send_one(1, 1, 1);
	ingest_commit(iw.in);
	pass(3000);
	send_one(1, 2, 2);
	maintain_all();
	stream_get_usage(iw.stream, &u);
	ck_assert_uint_eq(u.rows, 2);
	pass(780);
	stream_get_usage(iw.stream, &u);
	ck_assert_uint_eq(u.rows, 1);
	send_one(1, 1, 1); /* pruned, and still not stored twice */
	ck_assert_uint_eq(iw.in->stats.results[INGEST_DUPLICATE], 1);
}
END_TEST

enum { YEARS_S = 10 * 365 * 86400 };

static void leap(int64_t seconds)
{
	iw.clk.wall.ns += seconds * NS_PER_S;
}

/* Years ahead and back again, before the wall clock is right and after: none of it deletes what is
 * not old, or keeps what is. */
START_TEST(test_leaps_of_the_clock)
{
	send_one(1, 1, 1);
	pass(600);
	leap(YEARS_S);
	send_one(1, 2, 2);
	pass(600);
	leap(-2 * YEARS_S);
	send_one(1, 3, 3);
	pass(600);
	leap(YEARS_S);
	pass(1680); /* the first is 3480 s old */
	ck_assert_uint_eq(stream_rows(), 3);
	pass(300);
	ck_assert_uint_eq(stream_rows(), 2);
	pass(420);
	ck_assert_uint_eq(stream_rows(), 2);
	pass(240);
	ck_assert_uint_eq(stream_rows(), 1);
	pass(360);
	ck_assert_uint_eq(stream_rows(), 1);
	pass(300);
	ck_assert_uint_eq(stream_rows(), 0);
}
END_TEST

/* A restart neither makes rows older nor, but for a minute, younger. */
START_TEST(test_age_over_restarts)
{
	send_one(1, 1, 1);
	pass(1800);
	ingest_close();
	leap(YEARS_S);
	ingest_open();
	maintain_all();
	pass(1680);
	ck_assert_uint_eq(stream_rows(), 1);
	pass(300);
	ck_assert_uint_eq(stream_rows(), 0);
}
END_TEST

START_TEST(test_age_takes_few_marks)
{
	for (uint64_t hour = 1; hour <= 5; hour++) {
		send_one(1, hour, 1);
		pass(3600);
		ck_assert_uint_le(stream_rows(), 2);
		ck_assert_int_le(query_number("SELECT count(*) FROM age_mark"), 3600 / 60 + 2);
	}
}
END_TEST

START_TEST(test_gaps_go_by_age)
{
	send_gap(CLASS_BULK, &(struct envelope){.epoch = 1, .seq = 1},
		 &(struct gap){.through = 9, .reason = GAP_QUOTA});
	pass(3480);
	leap(YEARS_S);
	pass(60);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 1);
	pass(240);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 0);
}
END_TEST

START_TEST(test_file_limit_follows_the_setting)
{
	struct ingest_tuning t = iw.in->tuning;

	t.max_bytes = 64 << 20;
	ingest_tune(iw.in, &t);
	ck_assert_int_ge(loop_turn(iw.in->loop, 0), 0);
	ck_assert_int_eq(query_number("PRAGMA max_page_count"), ingest_file_max(64 << 20) / 4096);
	t.max_bytes = 0;
	ingest_tune(iw.in, &t);
	ck_assert_int_ge(loop_turn(iw.in->loop, 0), 0);
	ck_assert_int_gt(query_number("PRAGMA max_page_count"), 1 << 30);
}
END_TEST

/* ---- epochs, windows, memory ---- */

START_TEST(test_minted_epochs_are_bounded)
{
	enum { EPOCHS = WINDOWS_MAX + 40 };

	for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
		timebase_fake_advance(&iw.clk, NS_PER_MS);
		send_one(epoch, 1, epoch);
		ingest_commit(iw.in);
		receipts_flush(iw.in, true);
		/* Without a connection they stay untold, and a lane with something to tell stays.
		 */
		for (struct lane *l =
			     ((struct sender *)table_get(&iw.in->senders, "v1/d1", 5))->lanes;
		     l; l = l->next)
			l->untold = false;
	}
	ck_assert_uint_eq(iw.in->stats.results[INGEST_STORED], EPOCHS);
	ck_assert_uint_eq(iw.in->stats.windows_forgotten, EPOCHS - WINDOWS_MAX);
	ck_assert_int_eq(query_number("SELECT count(*) FROM window"), WINDOWS_MAX);
	ck_assert_int_eq(query_number("SELECT min(epoch) FROM window"), EPOCHS - WINDOWS_MAX + 1);
	ck_assert_uint_le(((struct sender *)table_get(&iw.in->senders, "v1/d1", 5))->n_lanes,
			  LANES_MAX);
	send_one(EPOCHS - WINDOWS_MAX + 1, 1, 1); /* read back from the disk */
	ck_assert_uint_eq(iw.in->stats.results[INGEST_DUPLICATE], 1);
}
END_TEST

START_TEST(test_removed_vehicle_leaves_nothing)
{
	struct stream_usage u;

	send_one(1, 1, 42);
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->n_unknown, 0);
	ck_assert_int_eq(registry_remove_vehicle(iw.registry, "v1", NULL), 0);
	maintain_all();
	stream_get_usage(iw.stream, &u);
	ck_assert_uint_eq(u.rows, 0);
	ck_assert_uint_eq(iw.in->n_unknown, 1); /* may be swept */
	ck_assert_uint_eq(iw.in->by_device.n, 0);
	send_one(1, 2, 43); /* the vehicle goes on */
	ck_assert_uint_eq(iw.in->stats.results[INGEST_UNKNOWN_DEVICE], 1);
	ingest_add_vehicle();
	send_one(1, 2, 43);
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_STORED], 2);
	ck_assert_uint_eq(state_raw(), 43);
	ck_assert_uint_eq(iw.in->n_unknown, 0);
}
END_TEST

START_TEST(test_device_of_another_vehicle_is_a_stranger)
{
	static const char *const devices[] = {"d1"};
	struct sender *s;

	send_one(1, 1, 1);
	ck_assert_int_eq(registry_add_vehicle(iw.registry, "v2", "", 0, devices, 1, NULL),
			 REGISTRY_EXISTS);
	ck_assert_int_eq(registry_remove_vehicle(iw.registry, "v1", NULL), 0);
	ck_assert_int_eq(registry_add_vehicle(iw.registry, "v2", "", 0, devices, 1, NULL), 0);
	send_one(1, 2, 2); /* it moved, and still says v1 */
	ck_assert_uint_eq(iw.in->stats.results[INGEST_UNKNOWN_DEVICE], 1);
	s = table_get(&iw.in->senders, "v1/d1", 5);
	ck_assert_uint_eq(s->lanes->n_nacks, 1);
	ck_assert_int_eq(s->lanes->nacks[0].code, NACK_UNKNOWN);
	ck_assert_uint_eq(s->lanes->nacks[0].retry_after_s, 7);
}
END_TEST

/* ---- state ---- */

START_TEST(test_wrong_clock_does_not_freeze_the_state)
{
	send_one(1, 1, 10);
	send_at(1, 2, iw.clk.wall.ns + 1000000 * NS_PER_S, 11, 1);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_raw(), 11);
	timebase_fake_advance(&iw.clk, NS_PER_S);
	send_one(1, 3, 12);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_raw(), 12);
}
END_TEST

static int refuse_commit(void *ctx)
{
	(void)ctx;
	return 1;
}

START_TEST(test_failed_save_loses_no_state)
{
	int64_t through = 0;

	send_one(1, 1, 5);
	ingest_commit(iw.in);
	ck_assert_uint_eq(live_unsaved(iw.live), 1);
	timebase_fake_advance(&iw.clk, NS_PER_S);
	(void)sqlite3_commit_hook(iw.stream->db, refuse_commit, NULL);
	ck_assert(!ingest_maintain(iw.in));
	ck_assert_int_lt(iw.in->stats.storage, 0);
	(void)sqlite3_commit_hook(iw.stream->db, NULL, NULL);
	ck_assert_uint_eq(live_unsaved(iw.live), 1);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	maintain_all();
	ck_assert_int_eq(iw.in->stats.storage, 0);
	ck_assert_int_eq(stream_get_progress(iw.stream, &through), 0);
	ck_assert_int_eq(through, 1);
	ingest_close();
	ingest_open(); /* from the blob alone: progress is behind the batch */
	ck_assert_uint_eq(state_raw(), 5);
}
END_TEST

START_TEST(test_failed_commit_acknowledges_nothing)
{
	struct sender *s;

	send_one(1, 1, 5);
	(void)sqlite3_commit_hook(iw.stream->db, refuse_commit, NULL);
	ingest_commit(iw.in);
	(void)sqlite3_commit_hook(iw.stream->db, NULL, NULL);
	s = table_get(&iw.in->senders, "v1/d1", 5);
	ck_assert(s->lanes->stale); /* what it has is not what is on disk */
	ck_assert_int_eq(lane_reload(iw.in, s->lanes), 0);
	ck_assert(!window_has(&s->lanes->window, 1));
	ck_assert_int_eq(s->lanes->nacks[0].code, NACK_BUSY);
	ck_assert_uint_eq(s->stats.batches, 0);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	send_one(1, 1, 5);
	ingest_commit(iw.in);
	ck_assert(window_has(&s->lanes->window, 1));
	ck_assert_uint_eq(iw.in->stats.results[INGEST_STORED], 1);
	ingest_close();
	ingest_open();
	send_one(1, 1, 5);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_DUPLICATE], 1);
}
END_TEST

/* As SQLite does by itself when it fails to read. */
static void lose_transaction(void)
{
	ck_assert_int_eq(sqlite3_exec(iw.stream->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
}

START_TEST(test_lost_transaction_acknowledges_nothing)
{
	send_one(1, 1, 5);
	lose_transaction();
	send_one(1, 2, 6); /* must not begin another one behind the back of the first */
	ck_assert_int_eq(nack_of(1, CLASS_BULK, 1), NACK_BUSY);
	ck_assert_int_eq(nack_of(1, CLASS_BULK, 2), NACK_BUSY);
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_STORED], 0);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	send_one(1, 2, 6);
	lose_transaction();
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.commit_failures, 2);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	send_one(1, 1, 5);
	send_one(1, 2, 6);
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_STORED], 2);
	ck_assert_uint_eq(stream_rows(), 2);
	ck_assert_uint_eq(lane_of(1, CLASS_BULK)->window.through, 2);
}
END_TEST

/* What is left of the group must not point to lanes that are gone. */
START_TEST(test_lost_transaction_of_a_removed_vehicle)
{
	send_one(1, 1, 5);
	lose_transaction();
	ck_assert_int_eq(registry_remove_vehicle(iw.registry, "v1", NULL), 0);
	ingest_add_vehicle();
	send_one(2, 1, 6); /* under new keys */
	ck_assert_uint_eq(iw.in->stats.commit_failures, 1);
	ck_assert_int_eq(nack_of(2, CLASS_BULK, 1), NACK_BUSY);
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	send_one(2, 1, 6);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ingest");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_a_commit_is_synced);
	tcase_add_test(t, test_retention_by_bytes_takes_the_oldest_alone);
	tcase_add_test(t, test_retention_by_age);
	tcase_add_test(t, test_leaps_of_the_clock);
	tcase_add_test(t, test_age_over_restarts);
	tcase_add_test(t, test_age_takes_few_marks);
	tcase_add_test(t, test_gaps_go_by_age);
	tcase_add_test(t, test_file_limit_follows_the_setting);
	tcase_add_test(t, test_minted_epochs_are_bounded);
	tcase_add_test(t, test_removed_vehicle_leaves_nothing);
	tcase_add_test(t, test_device_of_another_vehicle_is_a_stranger);
	tcase_add_test(t, test_wrong_clock_does_not_freeze_the_state);
	tcase_add_test(t, test_failed_save_loses_no_state);
	tcase_add_test(t, test_failed_commit_acknowledges_nothing);
	tcase_add_test(t, test_lost_transaction_acknowledges_nothing);
	tcase_add_test(t, test_lost_transaction_of_a_removed_vehicle);
	return suite_run("relay_ingest", &t, 1);
}
