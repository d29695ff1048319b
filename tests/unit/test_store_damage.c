/* A damaged outbox is opened: what was stored comes out under its name, or a gap does. */
#include "tests/unit/store_damage_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { VARIANTS = 60 };

/* ---- whole and in part ---- */

START_TEST(damage_at_random)
{
	struct store_opened opened;
	struct store *s;
	uint8_t byte;

	damage_make_outbox(1 + (uint64_t)_i / 10);
	dw.random += (uint64_t)_i * 7919;
	for (unsigned i = 0; i < 1 + (unsigned)_i % 5; i++) {
		off_t at = (off_t)(damage_random() % (uint64_t)damage_size(dw.path));

		byte = (uint8_t)damage_random();
		if (_i % 4 == 3)
			ck_assert_int_eq(truncate(dw.path, at < 8192 ? 8192 : at), 0);
		else
			damage_overwrite(dw.path, at, &byte, 1);
	}
	damage_suspect();
	s = damage_must_open(&opened);
	damage_check_all_told(s);
	if (opened.set_aside)
		ck_assert_uint_eq(dw.n_rows, opened.salvaged_rows);
	else
		ck_assert_uint_eq(store_epoch(s), dw.epoch);
	store_close(s);
	s = damage_must_open(&opened);
	ck_assert(!opened.set_aside && opened.salvaged_rows == 0);
	damage_check_all_told(s);
	store_close(s);
}
END_TEST

START_TEST(most_of_it_comes_over)
{
	struct store_opened opened;
	struct store *s;

	damage_make_outbox(3);
	damage_some_pages();
	s = damage_must_open(&opened);
	ck_assert(opened.set_aside && !opened.unfinished);
	ck_assert_uint_ne(store_epoch(s), dw.epoch);
	ck_assert_uint_gt(opened.salvaged_rows, DAMAGE_PUTS / 3);
	ck_assert_uint_gt(opened.unreadable_rows, 0);
	damage_check_all_told(s);
	ck_assert_uint_gt(dw.n_gaps, 5);
	ck_assert_int_eq(access(damage_name(".salvage"), F_OK), -1);
	ck_assert_int_eq(access(damage_name(".corrupt-1700000000"), F_OK), 0);
	store_close(s);
}
END_TEST

/* The epoch is read in the note, where nothing else is left. */
START_TEST(nothing_comes_over_and_all_is_told)
{
	struct store_opened opened;
	struct store *s;

	damage_make_outbox(4);
	ck_assert_int_eq(truncate(dw.path, 0), 0);
	damage_overwrite(dw.path, 0, "not a database, but long enough to be one", 40);
	s = damage_must_open(&opened);
	ck_assert(opened.set_aside);
	damage_check_all_told(s);
	ck_assert_uint_eq(dw.n_rows, 0);
	ck_assert_uint_eq(dw.n_gaps, CLASS_COUNT);
	store_close(s);
}
END_TEST

START_TEST(damaged_twice)
{
	struct store_opened opened;
	struct store *s;

	damage_make_outbox(5);
	damage_some_pages();
	s = damage_must_open(&opened);
	damage_check_all_told(s);
	store_close(s);
	timebase_fake_advance(&dw.clk, 60 * NS_PER_S);
	damage_some_pages();
	s = damage_must_open(&opened);
	ck_assert(opened.set_aside);
	ck_assert_uint_gt(opened.salvaged_rows, 10);
	/* Under the first epoch's names, and what is lost is told in the first epoch. */
	damage_check_all_told(s);
	ck_assert_uint_eq(dw.n_rows, opened.salvaged_rows);
	ck_assert_int_eq(access(damage_name(".corrupt-1700000000"), F_OK), -1);
	ck_assert_int_eq(access(damage_name(".corrupt-1700000060"), F_OK), 0);
	store_close(s);
}
END_TEST

/* The second time nothing can be read, not even that there were rows of the first epoch. */
START_TEST(damaged_twice_and_nothing_left)
{
	struct store_opened opened;
	struct store *s;

	damage_make_outbox(5);
	damage_some_pages();
	s = damage_must_open(&opened);
	damage_check_all_told(s);
	store_close(s);
	ck_assert_int_eq(truncate(dw.path, 0), 0);
	if (_i)
		damage_overwrite(dw.path, 0, "not a database, but long enough to be one", 40);
	s = damage_must_open(&opened);
	ck_assert(opened.set_aside);
	damage_check_all_told(s);
	ck_assert_uint_eq(dw.n_rows, 0);
	ck_assert_uint_eq(dw.n_gaps, CLASS_COUNT);
	store_close(s);
}
END_TEST

/* The relay has all of it, says so, and forgets it: also what had the old names. */
START_TEST(relay_forgets_what_came_over)
{
	struct receipt_range range = {1, 0};
	struct store_opened opened;
	struct store_count count;
	struct store *s;

	damage_make_outbox(5);
	damage_some_pages();
	s = damage_must_open(&opened);
	range.to = store_last_seq(s, CLASS_BULK) - 1;
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &range, 1, &count), 0);
	ck_assert_uint_gt(count.rows, 10);
	ck_assert_int_eq(store_put_receipted(s, CLASS_BULK, &range), 0);
	damage_check_all_told(s);
	for (uint64_t seq = 1; seq <= dw.last_seq[CLASS_BULK]; seq++)
		ck_assert_uint_eq(dw.here[CLASS_BULK][seq] + dw.in_gap[CLASS_BULK][seq], 1);
	store_close(s);
}
END_TEST

START_TEST(quota_holds)
{
	struct store_opened opened;
	struct store *s = NULL;

	damage_make_outbox(6);
	damage_some_pages();
	ck_assert_int_eq(damage_open(&s, &opened, 24 << 10), 0);
	ck_assert(opened.set_aside && !opened.unfinished);
	ck_assert_uint_gt(opened.dropped.by[GAP_QUOTA].rows, 10);
	damage_check_all_told(s);
	ck_assert_uint_gt(dw.n_rows, 5);
	store_close(s);
}
END_TEST

/* ---- its log ---- */

static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char block[4096];
	ssize_t n;

	ck_assert(in >= 0 && out >= 0);
	while ((n = read(in, block, sizeof(block))) > 0)
		ck_assert_int_eq(write(out, block, (size_t)n), n);
	ck_assert_int_eq(n, 0);
	close(in);
	close(out);
}

/* What was taken over is in the file: a log that is lost right after takes nothing along. */
START_TEST(log_is_lost_after_salvaging)
{
	struct store_opened opened;
	char work[DAMAGE_PATH + 32], note[DAMAGE_PATH + 32];
	struct store *s;
	uint64_t rows;

	damage_make_outbox(3);
	damage_some_pages();
	s = damage_must_open(&opened);
	rows = opened.salvaged_rows;
	snprintf(work, sizeof(work), "%s.copy", dw.path);
	snprintf(note, sizeof(note), "%s.copy.unsaved", dw.path);
	copy_file(dw.path, work);
	copy_file(damage_name(".unsaved"), note);
	store_close(s);
	ck_assert_int_eq(rename(work, dw.path), 0);
	ck_assert_int_eq(rename(note, damage_name(".unsaved")), 0);
	s = damage_must_open(&opened);
	ck_assert(!opened.set_aside);
	damage_check_all_told(s);
	ck_assert_uint_eq(dw.n_rows, rows);
	store_close(s);
}
END_TEST

/* A killed agent's log has a bad spot. SQLite takes it for the end of the log, and would go on with
 * seqs that are given already. */
START_TEST(bad_spot_in_the_log)
{
	struct store_opened opened;
	char work[DAMAGE_PATH + 32], log[DAMAGE_PATH + 32];
	struct store *s;
	off_t at;

	damage_make_outbox(11);
	s = damage_must_open(&opened);
	for (unsigned i = 0; i < 20; i++)
		damage_put(s, i % 2 ? CLASS_BULK : CLASS_EVENT);
	snprintf(work, sizeof(work), "%s.copy", dw.path);
	snprintf(log, sizeof(log), "%s.copy-wal", dw.path);
	copy_file(dw.path, work);
	copy_file(damage_name("-wal"), log);
	store_close(s);
	ck_assert_int_eq(rename(work, dw.path), 0);
	ck_assert_int_eq(rename(log, damage_name("-wal")), 0);
	at = _i == 0 ? 8 : 32 + (512 + 24) * (4 + (off_t)_i * 3) + 100;
	ck_assert_int_gt(damage_size(damage_name("-wal")), at + 5000);
	damage_overwrite(damage_name("-wal"), at, "\xee\xdd\xcc", 3);
	s = damage_must_open(&opened);
	ck_assert(opened.set_aside);
	damage_check_all_told(s);
	/* All but what lay on the bad spot. */
	ck_assert_uint_gt(opened.salvaged_rows, DAMAGE_ROWS + 20 - 5);
	store_close(s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("damage");

	tcase_add_loop_test(tc, damage_at_random, 0, VARIANTS);
	tcase_add_test(tc, most_of_it_comes_over);
	tcase_add_test(tc, nothing_comes_over_and_all_is_told);
	tcase_add_test(tc, damaged_twice);
	tcase_add_loop_test(tc, damaged_twice_and_nothing_left, 0, 2);
	tcase_add_test(tc, relay_forgets_what_came_over);
	tcase_add_test(tc, quota_holds);
	tcase_add_test(tc, log_is_lost_after_salvaging);
	tcase_add_loop_test(tc, bad_spot_in_the_log, 0, 4);
	return damage_run("store_damage", tc);
}
