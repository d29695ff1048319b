/* Gaps, ages, and when what is on disk. */
#include "agent/store/store.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 128, BODY = 1000, ROW = BODY + 64 };

static char dir[] = "/tmp/towline-gaps-XXXXXX";
static char path[PATH];
static struct timebase_fake fake;
static struct store_options opt;
static uint8_t body[BODY];

static void remove_all(void)
{
	char pattern[PATH];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/*", dir);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
}

static void setup(void)
{
	remove_all();
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
	opt = (struct store_options){.max_bytes = 1 << 20, .boot_id = 1, .tb = &fake.tb};
	memset(body, 0x5a, sizeof(body));
}

static struct store *open_store(void)
{
	struct store_opened opened;
	struct store *s = NULL;
	struct error err;

	ck_assert_msg(store_open(&s, path, &opt, &opened, &err) == 0, "%s", err.text);
	ck_assert(!opened.set_aside);
	return s;
}

static void put(struct store *s, enum uplink_class class, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct store_item it = {.class = class,
					.samples = 10,
					.first_ns = fake.wall.ns - 2 * NS_PER_S,
					.last_ns = fake.wall.ns - NS_PER_S,
					.body = body,
					.body_len = BODY};
		struct store_dropped dropped;
		struct store_count stored;

		ck_assert_int_eq(store_put(s, &it, 1, &stored, &dropped), 0);
		ck_assert_uint_eq(stored.rows, 1);
	}
}

static void purge(struct store *s, uint64_t from, uint64_t to, enum gap_reason reason)
{
	struct receipt_range range = {from, to};
	struct store_count count;

	ck_assert_int_eq(store_purge(s, CLASS_BULK, &range, reason, &count), 0);
	ck_assert_uint_eq(count.rows, to - from + 1);
}

/* The first row of a class at or above seq has to be a gap from seq on. */
static struct gap gap_at(struct store *s, enum uplink_class class, uint64_t seq)
{
	struct store_row row;
	struct gap gap;

	ck_assert_int_eq(store_next(s, class, seq - 1, &row), STORE_ROW);
	ck_assert_uint_eq(row.seq, seq);
	ck_assert_uint_eq(row.encoding, ENCODING_GAP);
	ck_assert_int_eq(gap_decode(&gap, seq, row.body, row.body_len, NULL), 0);
	ck_assert_uint_eq(gap.through, row.through);
	store_release(s);
	return gap;
}

START_TEST(neighbours_become_one_gap)
{
	struct store *s = open_store();
	struct gap gap;

	put(s, CLASS_BULK, 6);
	purge(s, 3, 3, GAP_CONSENT);
	purge(s, 2, 2, GAP_CONSENT); /* before it */
	purge(s, 4, 5, GAP_CONSENT); /* behind it */
	ck_assert_uint_eq(store_totals(s).gaps, 1);
	ck_assert_uint_eq(store_new_gap(s, CLASS_BULK), 2);
	gap = gap_at(s, CLASS_BULK, 2);
	ck_assert_uint_eq(gap.through, 5);
	ck_assert_int_eq(gap.reason, GAP_CONSENT);
	ck_assert_uint_eq(gap.batches, 4);
	ck_assert_uint_eq(gap.samples, 40);
	ck_assert_int_eq(gap.first_ns, fake.wall.ns - 2 * NS_PER_S);
	ck_assert_int_eq(gap.last_ns, fake.wall.ns - NS_PER_S);
	ck_assert_uint_eq(store_new_gap(s, CLASS_BULK), 0);
	/* The relay may have it as it was, so it does not grow. */
	purge(s, 6, 6, GAP_CONSENT);
	ck_assert_uint_eq(store_totals(s).gaps, 2);
	ck_assert_uint_eq(gap_at(s, CLASS_BULK, 6).batches, 1);
	store_close(s);
}
END_TEST

START_TEST(another_reason_is_another_gap)
{
	struct store_count count;
	struct store *s = open_store();

	put(s, CLASS_BULK, 3);
	purge(s, 1, 1, GAP_CONSENT);
	ck_assert_int_eq(store_quarantine(s, CLASS_BULK, 2, GAP_TOO_LARGE, &count), 0);
	ck_assert_uint_eq(store_totals(s).gaps, 2);
	ck_assert_int_eq(gap_at(s, CLASS_BULK, 2).reason, GAP_TOO_LARGE);
	/* There is no gap of a gap. */
	ck_assert_int_eq(store_quarantine(s, CLASS_BULK, 2, GAP_INVALID, &count), 0);
	ck_assert_uint_eq(count.rows, 0);
	ck_assert_uint_eq(store_totals(s).gaps, 1);
	store_close(s);
}
END_TEST

/* Rows go every other one, and then those between: the oldest neighbours become one. */
START_TEST(gaps_are_bounded)
{
	enum { N = 600 };
	struct store *s = open_store();
	struct store_row row;
	uint64_t at = 0, next = 1;

	put(s, CLASS_BULK, N);
	for (uint64_t q = 1; q < N; q += 2)
		purge(s, q, q, GAP_CONSENT);
	for (uint64_t q = 2; q < N; q += 2)
		purge(s, q, q, GAP_QUOTA);
	ck_assert_uint_le(store_totals(s).gaps, 128);
	while (store_next(s, CLASS_BULK, at, &row) == STORE_ROW) {
		ck_assert_uint_eq(row.seq, next);
		at = row.seq;
		next = row.through + 1;
	}
	ck_assert_uint_eq(next, N + 1);
	ck_assert_uint_eq(store_totals(s).rows, store_totals(s).gaps + 1);
	store_close(s);
}
END_TEST

START_TEST(newcomer_without_room_is_a_gap)
{
	struct store_item big = {.class = CLASS_LOG, .samples = 7, .body = body, .body_len = BODY};
	struct store_dropped dropped;
	struct store_count stored;
	struct store *s;
	struct gap gap;

	opt.max_bytes = 3 * ROW;
	s = open_store();
	put(s, CLASS_EVENT, 3);
	ck_assert_int_eq(store_put(s, &big, 1, &stored, &dropped), 0);
	ck_assert_int_eq(store_put(s, &big, 1, &stored, &dropped), 0);
	ck_assert_uint_eq(dropped.by[GAP_QUOTA].rows, 1);
	ck_assert_int_eq(store_put_lost(s, CLASS_LOG, 5, GAP_UNSAVED), 0);
	gap = gap_at(s, CLASS_LOG, 1);
	ck_assert_uint_eq(gap.through, 2);
	ck_assert_uint_eq(gap.samples, 14);
	ck_assert_uint_eq(gap_at(s, CLASS_LOG, 3).samples, 5);
	ck_assert_uint_eq(store_last_seq(s, CLASS_LOG), 3);
	store_close(s);
	s = open_store(); /* as read from the gap */
	ck_assert_uint_eq(store_last_seq(s, CLASS_LOG), 3);
	store_close(s);
}
END_TEST

START_TEST(receipt_of_a_part_keeps_a_gap)
{
	struct receipt_range part = {1, 3}, rest = {4, 4};
	struct store *s = open_store();
	struct store_count count;

	put(s, CLASS_BULK, 4);
	purge(s, 2, 4, GAP_CONSENT);
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &part, 1, &count), 0);
	ck_assert_uint_eq(count.rows, 1);
	ck_assert_uint_eq(gap_at(s, CLASS_BULK, 2).through, 4);
	ck_assert_uint_eq(store_first_seq(s, CLASS_BULK), 2);
	part.to = 4;
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &rest, 1, &count), 0);
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &part, 1, &count), 0);
	ck_assert_uint_eq(store_totals(s).rows, 0);
	ck_assert_int_eq(store_flush(s), 0);
	ck_assert_uint_eq(store_first_seq(s, CLASS_BULK), 5);
	store_close(s);
}
END_TEST

START_TEST(what_the_relay_forgot_is_a_gap)
{
	struct receipt_range held = {2, 4}, lost = {1, 3}, future = {3, 9};
	struct store *s = open_store();
	struct store_count count;

	put(s, CLASS_BULK, 5);
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &lost, 1, &count), 0);
	ck_assert_int_eq(store_put_receipted(s, CLASS_BULK, &held), -EEXIST);
	ck_assert_int_eq(store_put_receipted(s, CLASS_BULK, &future), -EINVAL);
	ck_assert_int_eq(store_put_receipted(s, CLASS_BULK, &lost), 0);
	ck_assert_int_eq(gap_at(s, CLASS_BULK, 1).reason, GAP_RECEIPTED);
	ck_assert_int_eq(store_put_receipted(s, CLASS_BULK, &lost), -EEXIST);
	store_close(s);
}
END_TEST

/* ---- age ---- */

static uint64_t expire(struct store *s, int64_t *next_s)
{
	struct store_dropped dropped;
	struct mono_time next;

	ck_assert_int_eq(store_expire(s, &dropped, &next), 0);
	*next_s = (next.ns - fake.mono.ns + NS_PER_S - 1) / NS_PER_S;
	return dropped.by[GAP_EXPIRED].rows;
}

START_TEST(old_rows_become_gaps)
{
	struct store_row row;
	struct store *s;
	int64_t next;

	opt.expire_ns[CLASS_LIVE] = 60 * NS_PER_S;
	s = open_store();
	ck_assert_uint_eq(expire(s, &next), 0);
	ck_assert_int_eq(next, 60); /* for what may come */
	put(s, CLASS_LIVE, 2);
	put(s, CLASS_BULK, 1);
	timebase_fake_advance(&fake, 40 * NS_PER_S);
	put(s, CLASS_LIVE, 1);
	ck_assert_uint_eq(expire(s, &next), 0);
	ck_assert_int_eq(next, 20);
	ck_assert_int_eq(store_next(s, CLASS_LIVE, 0, &row), STORE_ROW);
	ck_assert_int_eq(row.expires_ns, fake.mono.ns + 20 * NS_PER_S);
	timebase_fake_advance(&fake, 20 * NS_PER_S);
	ck_assert_uint_eq(expire(s, &next), 2);
	ck_assert_int_eq(next, 40);
	ck_assert_int_eq(gap_at(s, CLASS_LIVE, 1).reason, GAP_EXPIRED);
	ck_assert_uint_eq(gap_at(s, CLASS_LIVE, 1).through, 2);
	ck_assert_int_eq(store_next(s, CLASS_LIVE, 2, &row), STORE_ROW);
	ck_assert_int_eq(store_next(s, CLASS_BULK, 0, &row), STORE_ROW);
	ck_assert_int_eq(row.expires_ns, 0);
	store_close(s);
}
END_TEST

static void boot(int64_t mono_s, int64_t wall_s)
{
	opt.boot_id++;
	fake.mono.ns = mono_s * NS_PER_S;
	fake.wall.ns = wall_s * NS_PER_S;
}

/* The first boot's clock is wrong until it is told; that of the second is right from the start. */
START_TEST(ages_across_boots)
{
	struct store *s;
	int64_t next;

	opt.expire_ns[CLASS_LIVE] = 3600 * NS_PER_S;
	boot(100, 0);
	s = open_store();
	put(s, CLASS_LIVE, 1);
	timebase_fake_advance(&fake, 10 * NS_PER_S);
	ck_assert_int_eq(store_set_clock(s, 1700000010 * NS_PER_S, fake.mono.ns, CLOCK_SYNCED), 0);
	store_close(s);

	boot(5, 1700001000);
	s = open_store();
	ck_assert_int_eq(store_set_clock(s, fake.wall.ns, fake.mono.ns, CLOCK_SYNCED), 0);
	ck_assert_uint_eq(expire(s, &next), 0);
	ck_assert_int_eq(next, 2600);
	timebase_fake_advance(&fake, 2600 * NS_PER_S);
	ck_assert_uint_eq(expire(s, &next), 1);
	store_close(s);
}
END_TEST

START_TEST(unknown_age_does_not_expire)
{
	struct store *s;
	int64_t next;

	opt.expire_ns[CLASS_LIVE] = 60 * NS_PER_S;
	s = open_store();
	put(s, CLASS_LIVE, 1); /* nobody says that the clock is right */
	store_close(s);
	boot(5, 1800000000);
	s = open_store();
	put(s, CLASS_LIVE, 1);
	ck_assert_int_eq(store_set_clock(s, fake.wall.ns, fake.mono.ns, CLOCK_SYNCED), 0);
	ck_assert_uint_eq(expire(s, &next), 0);
	timebase_fake_advance(&fake, 60 * NS_PER_S);
	ck_assert_uint_eq(expire(s, &next), 1); /* it does not keep those behind it */
	ck_assert_uint_eq(gap_at(s, CLASS_LIVE, 2).batches, 1);
	store_close(s);
}
END_TEST

/* ---- what is on disk ---- */

static uint64_t syncs_of(struct store *s, enum uplink_class class)
{
	faulty_vfs_plan(NULL);
	put(s, class, 1);
	return faulty_vfs_calls(FAULTY_SYNC);
}

START_TEST(urgent_classes_are_synced_at_once)
{
	struct mono_time due;
	struct store *s;

	ck_assert_int_eq(faulty_vfs_install(), 0);
	opt.relaxed = 1u << CLASS_BULK;
	opt.sync_ns = 5 * NS_PER_S;
	s = open_store();
	put(s, CLASS_BULK, 1); /* reserves seqs, which is synced */
	ck_assert_int_eq(store_flush(s), 0);
	ck_assert(!store_flush_due(s, &due));
	ck_assert_uint_eq(syncs_of(s, CLASS_BULK), 0);
	ck_assert(store_flush_due(s, &due));
	ck_assert_int_eq(due.ns, fake.mono.ns + 5 * NS_PER_S);
	faulty_vfs_plan(NULL);
	ck_assert_int_eq(store_flush(s), 0);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_SYNC), 1);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_WRITE), 0);
	ck_assert(!store_flush_due(s, &due));
	ck_assert_uint_eq(syncs_of(s, CLASS_BULK), 0);
	ck_assert_uint_ge(syncs_of(s, CLASS_EVENT), 1); /* and what came before with it */
	ck_assert(!store_flush_due(s, &due));
	store_close(s);
	faulty_vfs_remove();
}
END_TEST

/* Receipts write nothing by themselves. */
START_TEST(receipts_are_taken_along)
{
	struct receipt_range range = {1, 3};
	struct store_count count;
	struct mono_time due;
	struct store *s;

	ck_assert_int_eq(faulty_vfs_install(), 0);
	s = open_store();
	put(s, CLASS_BULK, 4);
	faulty_vfs_plan(NULL);
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &range, 1, &count), 0);
	ck_assert_uint_eq(count.rows, 3);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_CHANGES), 0);
	ck_assert_uint_eq(store_totals(s).rows, 1);
	ck_assert_uint_eq(store_first_seq(s, CLASS_BULK), 4);
	ck_assert(store_flush_due(s, &due));
	ck_assert_int_eq(store_flush(s), 0);
	ck_assert_uint_gt(faulty_vfs_calls(FAULTY_WRITE), 0);
	ck_assert(!store_flush_due(s, &due));
	store_close(s);
	faulty_vfs_remove();
}
END_TEST

/* A unit that is switched off: seqs that may have been seen do not come again, and are told. */
START_TEST(power_cut_is_told)
{
	struct store *s;
	uint64_t last;
	struct gap gap;

	ck_assert_int_eq(faulty_vfs_install(), 0);
	opt.relaxed = 1u << CLASS_BULK;
	opt.sync_ns = 5 * NS_PER_S;
	s = open_store();
	put(s, CLASS_BULK, 1);
	ck_assert_int_eq(store_flush(s), 0);
	put(s, CLASS_BULK, 5);
	last = store_last_seq(s, CLASS_BULK);
	faulty_vfs_cut();
	store_close(s);
	(void)faulty_vfs_power_on();
	opt.boot_id++;
	s = open_store();
	ck_assert_uint_ge(store_last_seq(s, CLASS_BULK), last);
	gap = gap_at(s, CLASS_BULK, store_totals(s).rows);
	ck_assert_uint_eq(gap.through, store_last_seq(s, CLASS_BULK));
	ck_assert_int_eq(gap.reason, GAP_UNSAVED);
	store_close(s);
	faulty_vfs_remove();
}
END_TEST

START_TEST(clean_end_is_no_power_cut)
{
	struct store *s;

	opt.relaxed = 1u << CLASS_BULK;
	opt.sync_ns = 5 * NS_PER_S;
	s = open_store();
	put(s, CLASS_BULK, 3);
	store_close(s);
	opt.boot_id++;
	s = open_store();
	ck_assert_uint_eq(store_last_seq(s, CLASS_BULK), 3);
	ck_assert_uint_eq(store_totals(s).gaps, 0);
	store_close(s);
}
END_TEST

/* What the relay has makes room on a full disk. */
START_TEST(receipts_make_room)
{
	struct store_item it = {.class = CLASS_BULK, .samples = 1, .body = body, .body_len = BODY};
	struct receipt_range range = {1, 10};
	struct store_dropped dropped;
	struct store_count count;
	struct store *s;
	int r;

	opt.file_max_bytes = 64 << 10;
	s = open_store();
	do
		r = store_put(s, &it, 1, &count, &dropped);
	while (r == 0);
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &range, 1, &count), 0);
	ck_assert_uint_eq(count.rows, 10);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(store_put(s, &it, 1, &count, &dropped), 0);
	store_close(s);
}
END_TEST

/* ---- damage, and versions ---- */

static void exec(const char *sql)
{
	sqlite3 *db = NULL;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

START_TEST(damaged_row_is_quarantined)
{
	struct store *s = open_store();
	struct store_row row;

	put(s, CLASS_BULK, 4);
	store_close(s);
	exec("UPDATE batch_bulk SET body = zeroblob(length(body)) WHERE id & 0xffff IN (2, 3)");
	s = open_store();
	ck_assert_int_eq(store_next(s, CLASS_BULK, 0, &row), STORE_ROW);
	ck_assert_uint_eq(row.seq, 1);
	ck_assert_uint_eq(row.encoding, 0);
	ck_assert_int_eq(gap_at(s, CLASS_BULK, 2).reason, GAP_CORRUPT);
	ck_assert_uint_eq(gap_at(s, CLASS_BULK, 3).batches, 1);
	ck_assert_uint_eq(store_corrupt_found(s).rows, 2);
	ck_assert_uint_eq(store_corrupt_found(s).rows, 0);
	ck_assert_uint_eq(store_lifetime(s).samples_quarantined, 20);
	ck_assert_int_eq(store_next(s, CLASS_BULK, 3, &row), STORE_ROW);
	ck_assert_uint_eq(row.seq, 4);
	store_close(s);
}
END_TEST

START_TEST(damaged_gap_stands_for_all_up_to_the_next_row)
{
	struct store *s = open_store();

	put(s, CLASS_BULK, 6);
	purge(s, 2, 5, GAP_CONSENT);
	store_close(s);
	exec("UPDATE batch_bulk SET body = x'ff' WHERE encoding = 2");
	s = open_store();
	ck_assert_uint_eq(gap_at(s, CLASS_BULK, 2).through, 5);
	ck_assert_int_eq(gap_at(s, CLASS_BULK, 2).reason, GAP_CORRUPT);
	store_close(s);
}
END_TEST

START_TEST(newer_version_is_left_alone)
{
	struct store *s = open_store();
	struct store_opened opened;
	struct error err;

	put(s, CLASS_BULK, 2);
	store_close(s);
	exec("PRAGMA user_version = 99");
	ck_assert_int_eq(store_open(&s, path, &opt, &opened, &err), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_ptr_nonnull(strstr(err.text, "newer"));
	exec("PRAGMA user_version = 2");
	s = open_store();
	ck_assert_uint_eq(store_totals(s).rows, 2);
	store_close(s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("gaps");
	int failed;

	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, neighbours_become_one_gap);
	tcase_add_test(tc, another_reason_is_another_gap);
	tcase_add_test(tc, gaps_are_bounded);
	tcase_add_test(tc, newcomer_without_room_is_a_gap);
	tcase_add_test(tc, receipt_of_a_part_keeps_a_gap);
	tcase_add_test(tc, what_the_relay_forgot_is_a_gap);
	tcase_add_test(tc, old_rows_become_gaps);
	tcase_add_test(tc, ages_across_boots);
	tcase_add_test(tc, unknown_age_does_not_expire);
	tcase_add_test(tc, urgent_classes_are_synced_at_once);
	tcase_add_test(tc, receipts_are_taken_along);
	tcase_add_test(tc, power_cut_is_told);
	tcase_add_test(tc, clean_end_is_no_power_cut);
	tcase_add_test(tc, receipts_make_room);
	tcase_add_test(tc, damaged_row_is_quarantined);
	tcase_add_test(tc, damaged_gap_stands_for_all_up_to_the_next_row);
	tcase_add_test(tc, newer_version_is_left_alone);
	failed = suite_run("store_gaps", &tc, 1);
	remove_all();
	(void)rmdir(dir);
	return failed;
}
