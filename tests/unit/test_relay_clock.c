/* Units that boot with a wrong clock: what the relay has of them is put right, in whatever order it
 * comes, and the last-known state is never held up by it. */
#include "relay/live/history.h"
#include "relay/stream/internal.h"
#include "relay/stream/report.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { EPOCH = 7, BOOT = 77, NEXT_BOOT = 78 };

#define YEAR_NS (365 * 24 * 3600 * NS_PER_S)

/* The boot began 100 s ago; its clock says that it is 5 years later. */
static int64_t right(int64_t mono_s)
{
	return iw.clk.wall.ns + (mono_s - 100) * NS_PER_S;
}

static int64_t wrong(int64_t mono_s)
{
	return right(mono_s) + 5 * YEAR_NS;
}

static void send(uint64_t seq, uint64_t boot, int64_t mono_s, int64_t wall_ns, enum clock_quality q,
		 uint64_t raw)
{
	send_batch(&(struct sent_batch){.epoch = EPOCH,
					.seq = seq,
					.class = CLASS_LIVE,
					.boot = boot,
					.wall_ns = wall_ns,
					.mono_ns = mono_s * NS_PER_S,
					.quality = q,
					.first = raw});
}

static void send_wrong(uint64_t seq, int64_t mono_s, uint64_t raw)
{
	send(seq, BOOT, mono_s, wrong(mono_s), CLOCK_FREE_RUNNING, raw);
}

static void send_right(uint64_t seq, int64_t mono_s, uint64_t raw)
{
	send(seq, BOOT, mono_s, right(mono_s), CLOCK_SYNCED, raw);
}

static void tell_clock(uint64_t seq, int64_t mono_s)
{
	send_clock(EPOCH, seq, BOOT, right(mono_s), mono_s * NS_PER_S, CLOCK_SYNCED);
}

/* That the state is raw, at the time that this second of the boot really had. */
static void check_state(uint64_t raw, int64_t mono_s)
{
	struct live_value v = state_value();

	ck_assert_uint_eq(v.raw, raw);
	ck_assert_int_eq(v.wall_ns, right(mono_s));
}

/* That the history is raw 1 to n, each at the second of the boot that its raw says. */
static void check_history(size_t n)
{
	struct history *h;
	struct history_query q = {.signal = "can0.M.A", .max_points = 1000};
	struct history_result r;
	struct registry_ids ids;

	ck_assert_int_eq(registry_find(iw.registry, "v1", "d1", &ids), 0);
	q.vehicle = ids.vehicle;
	ck_assert_int_eq(history_new(&h, store_path("stream.db"), iw.registry, iw.live, 1000), 0);
	ck_assert_int_eq(history_query(h, &q, &r), 0);
	ck_assert_uint_eq(r.n_points, n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(r.points[i].raw, i + 1);
		ck_assert_int_eq(r.points[i].wall_ns, right((int64_t)i + 1));
	}
	history_result_free(&r);
	history_free(h);
}

START_TEST(test_clock_gets_right)
{
	send_wrong(1, 1, 1);
	send_wrong(2, 2, 2);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 2);
	ck_assert_int_eq(state_value().wall_ns, wrong(2)); /* nobody knows better yet */
	send_right(3, 3, 3);
	ingest_commit(iw.in);
	check_state(3, 3);
	maintain_all();
	check_state(3, 3);
	check_history(3);
	ck_assert_uint_eq(iw.in->stats.repaired, 2);
	ck_assert_int_eq(query_number("SELECT count(*) FROM unsure WHERE quality < 2"), 0);
	ck_assert_int_eq(query_number("SELECT count(*) FROM boot_clock WHERE todo"), 0);
}
END_TEST

/* What is new goes first, the backlog of the wrong clock comes behind. */
START_TEST(test_backlog_of_a_wrong_clock)
{
	send_right(3, 3, 3);
	ingest_commit(iw.in);
	send_wrong(1, 1, 1);
	send_wrong(2, 2, 2);
	ingest_commit(iw.in);
	check_state(3, 3);
	check_history(3); /* repaired on arrival: upkeep has had no turn */
	ingest_close();
	ingest_open(); /* the state from the stream alone */
	check_state(3, 3);
	check_history(3);
}
END_TEST

START_TEST(test_state_is_right_at_once_when_the_clock_is_told)
{
	send_wrong(1, 1, 1);
	send_wrong(2, 2, 2);
	ingest_commit(iw.in);
	tell_clock(1, 50);
	ingest_commit(iw.in);
	check_state(2, 2);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_CLOCK], 1);
	maintain_all();
	check_history(2);
	tell_clock(1, 50);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_DUPLICATE], 1);
}
END_TEST

/* A month of rows is repaired in steps; what kill -9 interrupts goes on after the start. */
START_TEST(test_repair_in_steps_survives_a_kill)
{
	enum { ROWS = 3 * STEP_ROWS + 5 };

	for (uint64_t seq = 1; seq <= ROWS; seq++)
		send_wrong(seq, (int64_t)seq, seq);
	tell_clock(1, 90);
	ingest_commit(iw.in);
	ck_assert_int_eq(ingest_repair(iw.in), 1);
	ck_assert_int_eq(query_number("SELECT count(*) FROM unsure WHERE quality = 2"), STEP_ROWS);
	ingest_close();
	ingest_open();
	ck_assert_int_eq(query_number("SELECT count(*) FROM unsure WHERE quality = 2"), STEP_ROWS);
	maintain_all();
	check_history(ROWS);
	check_state(ROWS, ROWS);
	ck_assert_int_eq(ingest_repair(iw.in), 0);
}
END_TEST

START_TEST(test_saved_state_is_repaired_after_a_kill)
{
	send_wrong(1, 1, 1);
	ingest_commit(iw.in);
	timebase_fake_advance(&iw.clk, 200 * NS_PER_MS);
	maintain_all(); /* saves the state as it is, wrong */
	ck_assert_int_eq(query_number("SELECT applied_through FROM progress"), 1);
	timebase_fake_advance(&iw.clk, -200 * NS_PER_MS);
	tell_clock(1, 50);
	ingest_commit(iw.in);
	while (ingest_repair(iw.in) == 1)
		;
	check_state(1, 1);
	ingest_close(); /* without a save */
	ingest_open();
	check_state(1, 1);
}
END_TEST

/* Both times the vehicle was sure. Mono time tells what is later. */
START_TEST(test_clock_steps_backwards)
{
	send(1, BOOT, 1, wrong(1), CLOCK_SYNCED, 1);
	send(2, BOOT, 2, right(2), CLOCK_SYNCED, 2);
	ingest_commit(iw.in);
	check_state(2, 2);
	send(3, BOOT, 3, right(3) - 3600 * NS_PER_S, CLOCK_SYNCED, 3);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 3);
	send(4, BOOT, 2, right(2) + 1, CLOCK_SYNCED, 9); /* an old one does not come back */
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 3);
}
END_TEST

/* 1970, and a clock that is never set: what comes is shown all the same. */
START_TEST(test_boot_without_a_clock)
{
	send(1, BOOT, 50, right(50), CLOCK_SYNCED, 1);
	ingest_commit(iw.in);
	send(4, NEXT_BOOT, 5, 5 * NS_PER_S, CLOCK_UNKNOWN, 4);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 4);
	/* The backlog of the boot before: older than what is shown, whatever that one's clock. */
	send(2, BOOT, 51, right(51), CLOCK_SYNCED, 2);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 4);
	/* Some of this boot's own, which was closed earlier. */
	send(3, NEXT_BOOT, 4, 4 * NS_PER_S, CLOCK_UNKNOWN, 3);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 4);
	send_clock(EPOCH, 1, NEXT_BOOT, right(99), 9 * NS_PER_S, CLOCK_SYNCED);
	ingest_commit(iw.in);
	maintain_all();
	check_state(4, 95);
	ck_assert_int_eq(
		query_number("SELECT count(*) FROM batch WHERE first < 1600000000000000000"), 0);
}
END_TEST

/* What stayed out of the state for its time comes in once the time is known. */
START_TEST(test_repaired_row_enters_the_state)
{
	send(5, BOOT, 10, right(10), CLOCK_SYNCED, 1);
	ingest_commit(iw.in);
	send(4, NEXT_BOOT, 5, 5 * NS_PER_S, CLOCK_UNKNOWN, 2); /* a backlog, of 1970 */
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 1);
	send_clock(EPOCH, 1, NEXT_BOOT, right(99), 9 * NS_PER_S, CLOCK_SYNCED);
	maintain_all();
	check_state(2, 95);
}
END_TEST

START_TEST(test_worse_and_absurd_clocks)
{
	send_right(1, 1, 1);
	send_clock(EPOCH, 1, BOOT, wrong(1), NS_PER_S, CLOCK_FREE_RUNNING);
	send_wrong(2, 2, 2);
	maintain_all();
	check_history(2);
	send_clock(EPOCH, 2, NEXT_BOOT, INT64_MAX, 0, CLOCK_SYNCED);
	send(3, NEXT_BOOT, 2, right(2), CLOCK_FREE_RUNNING, 3);
	maintain_all();
	ck_assert_int_eq(iw.in->stats.storage, 0);
	ck_assert_int_eq(query_number("SELECT count(*) FROM batch WHERE last < first"), 0);
	send_clock(EPOCH, 3, 0, right(1), 0, CLOCK_SYNCED); /* of no boot */
	ck_assert_int_eq(nack_of(EPOCH, CLASS_STATUS, 3), NACK_INVALID);
	maintain_all();
	ck_assert_int_eq(query_number("SELECT count(*) FROM boot_clock"), 2);
}
END_TEST

START_TEST(test_boots_are_bounded)
{
	for (uint64_t i = 1; i <= STREAM_CLOCKS_MAX + 30; i++) {
		timebase_fake_advance(&iw.clk, NS_PER_MS);
		send_clock(EPOCH, i, i, right(1), NS_PER_S, CLOCK_SYNCED);
	}
	maintain_all();
	ck_assert_int_eq(query_number("SELECT count(*) FROM boot_clock"), STREAM_CLOCKS_MAX);
	ck_assert_int_eq(query_number("SELECT min(boot) FROM boot_clock"), 31);
}
END_TEST

START_TEST(test_waiting_batches_are_repaired_too)
{
	struct catalog *known = store_cat;

	store_cat = store_catalog("Later");
	send_wrong(1, 1, 1);
	tell_clock(1, 50);
	maintain_all();
	ck_assert_int_eq(query_number("SELECT state FROM batch"), STREAM_WAITING);
	ck_assert_int_eq(query_number("SELECT first FROM batch"), right(1));
	uint64_t id;

	ck_assert_int_eq(
		registry_add_catalog(iw.registry, store_cat->bytes, store_cat->len, &id, NULL), 0);
	iw.in->wanted_changed = true;
	maintain_all();
	check_state(1, 1);
	catalog_free(store_cat);
	store_cat = known;
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("clock");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_clock_gets_right);
	tcase_add_test(t, test_backlog_of_a_wrong_clock);
	tcase_add_test(t, test_state_is_right_at_once_when_the_clock_is_told);
	tcase_add_test(t, test_repair_in_steps_survives_a_kill);
	tcase_add_test(t, test_saved_state_is_repaired_after_a_kill);
	tcase_add_test(t, test_clock_steps_backwards);
	tcase_add_test(t, test_boot_without_a_clock);
	tcase_add_test(t, test_repaired_row_enters_the_state);
	tcase_add_test(t, test_worse_and_absurd_clocks);
	tcase_add_test(t, test_boots_are_bounded);
	tcase_add_test(t, test_waiting_batches_are_repaired_too);
	return suite_run("relay_clock", &t, 1);
}
