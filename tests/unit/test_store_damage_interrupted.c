/* No power cut, full disk or crash while a damaged outbox is taken over loses or doubles any. */
#include "agent/store/salvage.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/store_damage_fixture.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the disk ---- */

START_TEST(power_cut_while_salvaging)
{
	const struct faulty_plan none = {0};
	struct store_opened opened;
	struct store *s;
	uint64_t n, rows;

	damage_make_outbox(7);
	damage_some_pages();
	faulty_vfs_plan(&none);
	s = damage_must_open(&opened);
	n = faulty_vfs_calls(FAULTY_CHANGES);
	rows = opened.salvaged_rows;
	store_close(s);
	for (uint64_t at = 1 + (uint64_t)_i; at <= n; at += 37) {
		const struct faulty_plan plan = {.cut_at = at, .seed = at};

		faulty_vfs_remove();
		damage_make_outbox(7);
		damage_some_pages();
		ck_assert_int_eq(faulty_vfs_install(), 0);
		faulty_vfs_plan(&plan);
		if (damage_open(&s, &opened, 4 << 20) == 0)
			store_close(s);
		ck_assert(faulty_vfs_is_off());
		(void)faulty_vfs_power_on();
		s = damage_must_open(&opened);
		ck_assert(!opened.unfinished);
		damage_check_all_told(s);
		ck_assert_uint_eq(dw.n_rows, rows);
		store_close(s);
	}
}
END_TEST

/* The disk is full: the agent works with what there was room for, and goes on at the next start. */
START_TEST(disk_full_while_salvaging)
{
	const struct faulty_plan none = {0};
	struct store_opened opened;
	unsigned unfinished = 0;
	struct store *s;
	uint64_t rows, n;

	damage_make_outbox(8);
	damage_some_pages();
	faulty_vfs_plan(&none);
	s = damage_must_open(&opened);
	n = faulty_vfs_calls(FAULTY_WRITE);
	rows = opened.salvaged_rows;
	store_close(s);
	for (uint64_t nth = 1; nth <= n; nth += (n + 11) / 12) {
		const struct faulty_plan plan = {
			.ops = FAULTY_WRITE, .how = FAULTY_ENOSPC, .nth = nth, .stays = true};

		damage_make_outbox(8);
		damage_some_pages();
		faulty_vfs_plan(&plan);
		s = NULL;
		if (damage_open(&s, &opened, 4 << 20) == 0)
			unfinished += opened.unfinished;
		faulty_vfs_plan(NULL);
		store_close(s);
		s = damage_must_open(&opened);
		ck_assert(!opened.set_aside && !opened.unfinished);
		damage_check_all_told(s);
		ck_assert_uint_eq(dw.n_rows, rows);
		store_close(s);
	}
	ck_assert_uint_gt(unfinished, 2);
}
END_TEST

static uint64_t count_told(struct store *s, enum gap_reason reason)
{
	uint64_t batches = 0;

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct store_row row;
		uint64_t at = 0;
		struct gap gap;

		while (store_next(s, (enum uplink_class)k, at, &row) == STORE_ROW) {
			uint64_t from = row.origin_seq ? row.origin_seq : row.seq;

			at = row.through;
			if (row.encoding != ENCODING_GAP)
				continue;
			ck_assert_int_eq(gap_decode(&gap, from, row.body, row.body_len, NULL), 0);
			batches += gap.reason == reason ? gap.batches : 0;
		}
		store_release(s);
	}
	return batches;
}

/* What was dropped while the disk got full is counted once, where it was committed. */
START_TEST(dropped_is_counted_once)
{
	const struct faulty_plan none = {0};
	struct store_opened opened;
	struct store *s = NULL;
	uint64_t n;

	damage_make_outbox(6);
	damage_some_pages();
	faulty_vfs_plan(&none);
	ck_assert_int_eq(damage_open(&s, &opened, 24 << 10), 0);
	n = faulty_vfs_calls(FAULTY_WRITE);
	store_close(s);
	for (uint64_t nth = 1; nth <= n; nth += (n + 39) / 40) {
		const struct faulty_plan plan = {
			.ops = FAULTY_WRITE, .how = FAULTY_ENOSPC, .nth = nth, .stays = true};
		uint64_t dropped = 0;

		damage_make_outbox(6);
		damage_some_pages();
		faulty_vfs_plan(&plan);
		s = NULL;
		if (damage_open(&s, &opened, 24 << 10) == 0)
			dropped = opened.dropped.by[GAP_QUOTA].rows;
		faulty_vfs_plan(NULL);
		store_close(s);
		s = NULL;
		ck_assert_int_eq(damage_open(&s, &opened, 24 << 10), 0);
		dropped += opened.dropped.by[GAP_QUOTA].rows;
		ck_assert_uint_gt(dropped, 10);
		ck_assert_uint_eq(count_told(s, GAP_QUOTA), dropped);
		store_close(s);
	}
}
END_TEST

/* ---- the files beside it ---- */

/* What a crash leaves at each of the steps of setting aside. */
START_TEST(setting_aside_is_made_good)
{
	struct store_opened opened;
	struct salvage_aside aside;
	struct error err;
	struct store *s;
	FILE *marker;

	damage_make_outbox(9);
	damage_touch(damage_name("-wal"));
	marker = fopen(damage_name(".salvage"), "w");
	fprintf(marker, "%016" PRIx64 " .corrupt-1699999999\n", dw.epoch);
	fclose(marker);
	if (_i > 0)
		ck_assert_int_eq(
			rename(damage_name("-wal"), damage_name(".corrupt-1699999999-wal")), 0);
	if (_i > 1)
		ck_assert_int_eq(rename(dw.path, damage_name(".corrupt-1699999999")), 0);
	ck_assert_int_eq(salvage_pending(dw.path, &aside, &err), SALVAGE_PENDING);
	ck_assert_uint_eq(aside.epoch, dw.epoch);
	ck_assert_str_eq(aside.path, damage_name(".corrupt-1699999999"));
	s = damage_must_open(&opened);
	/* It was not even damaged, but once it is set aside there is no way back. */
	ck_assert_uint_ne(store_epoch(s), dw.epoch);
	ck_assert_uint_eq(opened.salvaged_rows, DAMAGE_ROWS);
	damage_check_all_told(s);
	ck_assert_int_eq(salvage_pending(dw.path, &aside, &err), 0);
	store_close(s);
}
END_TEST

START_TEST(marker_that_says_nothing)
{
	struct store_opened opened;
	struct store *s;

	damage_make_outbox(10);
	ck_assert_int_eq(rename(dw.path, damage_name(".corrupt-1699999999")), 0);
	damage_touch(damage_name(".salvage"));
	s = damage_must_open(&opened);
	ck_assert_uint_eq(opened.salvaged_rows, DAMAGE_ROWS);
	damage_check_all_told(s);
	store_close(s);
	damage_clear();
	damage_touch(damage_name(".salvage"));
	s = damage_must_open(&opened);
	ck_assert_uint_eq(opened.salvaged_rows, 0);
	store_close(s);
}
END_TEST

/* Told once, whenever the agent ends after that. */
START_TEST(unsaved_batches_are_told_once)
{
	struct store_opened opened;
	struct store *s = damage_must_open(&opened);
	uint64_t gaps;

	ck_assert_int_eq(store_note_unsaved(s, CLASS_BULK, 3, 30), 0);
	ck_assert_int_eq(store_note_unsaved(s, CLASS_BULK, 1, 5), 0);
	store_close(s);
	s = damage_must_open(&opened);
	ck_assert_uint_eq(opened.unsaved_batches, 4);
	gaps = store_totals(s).gaps;
	ck_assert_uint_eq(gaps, 1);
	store_close(s);
	s = damage_must_open(&opened);
	ck_assert_uint_eq(opened.unsaved_batches, 0);
	ck_assert_uint_eq(store_totals(s).gaps, gaps);
	store_close(s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("damage");

	tcase_add_loop_test(tc, power_cut_while_salvaging, 0, 4);
	tcase_add_test(tc, disk_full_while_salvaging);
	tcase_add_test(tc, dropped_is_counted_once);
	tcase_add_loop_test(tc, setting_aside_is_made_good, 0, 3);
	tcase_add_test(tc, marker_that_says_nothing);
	tcase_add_test(tc, unsaved_batches_are_told_once);
	return damage_run("store_damage_interrupted", tc);
}
