/* registry and stream on disk: reopened, full, read-only, cut back. */
#include "base/db.h"
#include "relay/live/history.h"
#include "relay/live/hub.h"
#include "relay/live/live.h"
#include "relay/stream/age.h"
#include "tests/unit/relay_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- registry ---- */

START_TEST(test_registry_survives)
{
	static const char *const devices[] = {"d1", "d2"};
	struct registry *r = open_registry();
	struct registry_ids ids;
	struct registry_vehicle v;
	struct error err;
	const struct catalog *c;
	uint64_t id;
	int64_t gone;

	ck_assert_int_eq(registry_add_vehicle(r, "v1", "one", 7, devices, 2, &err), 0);
	ck_assert_int_eq(registry_add_vehicle(r, "v1", "", 0, NULL, 0, &err), REGISTRY_EXISTS);
	ck_assert_int_eq(registry_add_vehicle(r, "v2", "", 0, devices, 1, &err), REGISTRY_EXISTS);
	ck_assert_ptr_nonnull(strstr(err.text, "d1"));
	ck_assert_int_eq(registry_get_vehicle(r, "v2", &v), -ENOENT); /* all or nothing */
	ck_assert_int_eq(registry_add_device(r, "v1", "d3", &err), 0);
	ck_assert_int_eq(registry_add_device(r, "v9", "d4", &err), -ENOENT);
	ck_assert_int_eq(registry_add_catalog(r, store_cat->bytes, store_cat->len, &id, &err), 0);
	ck_assert_int_eq(registry_add_catalog(r, store_cat->bytes, store_cat->len, &id, &err),
			 REGISTRY_EXISTS);
	ck_assert_int_eq(registry_add_catalog(r, "garbage", 7, &id, &err), -EBADMSG);
	registry_close(r);

	r = open_registry();
	ck_assert_int_eq(registry_find(r, "v1", "d3", &ids), 0);
	ck_assert_uint_eq(ids.part, 7);
	ck_assert_int_eq(registry_find(r, "v2", "d3", &ids), -ENOENT);
	ck_assert_int_eq(registry_get_catalog(r, store_cat->id, &c), 0);
	ck_assert_mem_eq(c->sha256, store_cat->sha256, 32);
	ck_assert_int_eq(registry_get_catalog(r, 1, &c), -ENOENT);
	ck_assert_int_eq(registry_remove_vehicle(r, "v1", &err), 0);
	ck_assert_int_eq(registry_find(r, "v1", "d1", &ids), -ENOENT);
	ck_assert_int_eq(registry_add_vehicle(r, "v1", "", 0, devices, 2, &err), 0);
	ck_assert_int_eq(registry_next_removed(r, &gone), 0);
	ck_assert_int_eq(registry_find(r, "v1", "d1", &ids), 0);
	ck_assert_int_ne(ids.vehicle, gone);
	ck_assert_int_eq(registry_removed_done(r, gone), 0);
	ck_assert_int_eq(registry_next_removed(r, &gone), -ENOENT);
	registry_close(r);
}
END_TEST

/* A relay.db that was lost beside a stream.db that was not. */
START_TEST(test_keys_are_above_what_is_stored)
{
	static const char *const devices[] = {"d1"};
	struct stream_device d = {.batches = 1};
	struct registry *r = open_registry();
	struct stream *s = open_stream(0);
	struct registry_ids ids;
	int64_t vehicle = -1, device = -1;

	ck_assert_int_eq(stream_max_keys(s, &vehicle, &device), 0);
	ck_assert(vehicle == 0 && device == 0);
	ck_assert_int_eq(stream_begin(s), 0);
	ck_assert_int_eq(stream_put_device(s, 41, 76, &d), 0);
	ck_assert_int_eq(stream_put_device(s, 40, 77, &d), 0);
	ck_assert_int_eq(stream_commit(s), 0);
	ck_assert_int_eq(stream_max_keys(s, &vehicle, &device), 0);
	ck_assert_int_eq(registry_keys_above(r, vehicle, device), 0);
	ck_assert_int_eq(registry_add_vehicle(r, "v1", "", 0, devices, 1, NULL), 0);
	ck_assert_int_eq(registry_find(r, "v1", "d1", &ids), 0);
	ck_assert(ids.vehicle == 42 && ids.device == 78);
	ck_assert_int_eq(registry_keys_above(r, 7, 7), 0); /* never down */
	ck_assert_int_eq(registry_add_vehicle(r, "v2", "", 0, NULL, 0, NULL), 0);
	ck_assert_int_eq(registry_add_device(r, "v2", "d2", NULL), 0);
	ck_assert_int_eq(registry_find(r, "v2", "d2", &ids), 0);
	ck_assert(ids.vehicle == 43 && ids.device == 79);
	stream_close(s);
	registry_close(r);
}
END_TEST

/* ---- stream ---- */

static int count_row(void *ctx, const struct stream_row *row)
{
	ck_assert_uint_eq(row->epoch, UINT64_MAX);
	++*(int *)ctx;
	return 0;
}

START_TEST(test_stream_reopens)
{
	struct stream *s = open_stream(0);
	struct window w = {0};
	struct stream_device d = {.batches = 2, .samples = 20, .last_seen_ns = 5, .epoch = 9}, got;
	struct stream_counts counts = {.batches = 2, .samples = 20, .duplicates = 3};
	struct stream_usage u;
	int rows = 0;

	ck_assert_int_eq(append(s, 1, 1, 1000, 0, 10), 0);
	ck_assert_int_eq(append(s, 1, 5, 2000, 10, 10), 0);
	ck_assert_int_eq(window_add(&w, 1), 0);
	ck_assert_int_eq(window_add(&w, 5), 0);
	ck_assert_int_eq(stream_put_window(s, 1, 1, UINT64_MAX, CLASS_BULK, &w, &counts,
					   (struct wall_time){9}),
			 0);
	ck_assert_int_eq(stream_put_device(s, 1, 1, &d), 0);
	ck_assert_int_eq(stream_commit(s), 0);
	ck_assert_int_eq(append(s, 1, 6, 3000, 20, 10), 0); /* is not committed */
	stream_close(s);
	window_free(&w);

	s = open_stream(0);
	ck_assert_int_eq(stream_each_after(s, 0, count_row, &rows), 0);
	ck_assert_int_eq(rows, 2);
	ck_assert_int_eq(stream_get_window(s, 1, UINT64_MAX, CLASS_BULK, &w, &counts), 0);
	ck_assert_uint_eq(counts.duplicates, 3);
	ck_assert(window_has(&w, 1) && window_has(&w, 5) && !window_has(&w, 6));
	window_free(&w);
	ck_assert_int_eq(stream_get_window(s, 1, 7, CLASS_BULK, &w, &counts), 0);
	ck_assert_uint_eq(counts.batches, 0);
	ck_assert_uint_eq(w.through, 0);
	ck_assert_int_eq(stream_get_device(s, 1, &got), 0);
	ck_assert_uint_eq(got.samples, 20);
	ck_assert_int_eq(stream_forget_vehicle(s, 1, 100), 2);
	ck_assert_int_eq(stream_forget_vehicle(s, 1, 100), 0);
	ck_assert_int_eq(stream_get_device(s, 1, &got), 0);
	ck_assert_uint_eq(got.batches, 0);
	ck_assert_int_eq(append(s, 1, 7, 3000, 20, 10), 0);
	ck_assert_int_eq(stream_commit(s), 0);
	stream_get_usage(s, &u);
	ck_assert_int_gt(u.last_id, 2); /* ids are never used again */
	ck_assert_uint_eq(u.rows, 1);
	stream_close(s);
}
END_TEST

START_TEST(test_stream_full)
{
	struct stream *s = open_stream(240 << 10);
	int rows = 0, stored = 0, r = 0;
	uint64_t seq = 1;

	while (r == 0 && seq < 10000) {
		r = append(s, 1, seq, 1000 * (int64_t)seq, seq * 7919 * 7919, 500);
		if (r == 0)
			r = stream_commit(s);
		if (r == 0)
			stored++;
		seq++;
	}
	ck_assert_int_eq(r, -ENOSPC);
	stream_rollback(s);
	ck_assert_int_gt(stored, 10);
	ck_assert_int_eq(stream_each_after(s, 0, count_row, &rows), 0);
	ck_assert_int_eq(rows, stored); /* what was committed is all there */
	ck_assert_int_gt(stream_prune(s, INT64_MAX, 10), 0);
	ck_assert_int_eq(append(s, 1, seq, 1000, 1, 100), 0); /* there is room again */
	ck_assert_int_eq(stream_commit(s), 0);
	stream_close(s);
}
END_TEST

START_TEST(test_quarantine_is_bounded)
{
	struct stream *s = open_stream(0);
	struct stream_reader *r;
	uint64_t rows = 0;

	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(stream_begin(s), 0);
		ck_assert_int_eq(
			stream_quarantine(s, (struct wall_time){i}, "tl/1/up/x", "why", "xx", 2, 8),
			0);
		ck_assert_int_eq(stream_commit(s), 0);
	}
	ck_assert_int_eq(stream_reader_open(&r, store_path("stream.db"), NULL), 0);
	ck_assert_int_eq(stream_reader_quarantine(r, &rows), 0);
	ck_assert_uint_eq(rows, 8);
	stream_reader_close(r);
	stream_close(s);
}
END_TEST

START_TEST(test_not_a_database)
{
	FILE *f = fopen(store_path("stream.db"), "w");
	struct stream *s;
	struct error err = {0};

	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", f);
	fclose(f);
	ck_assert_int_lt(stream_open(&s, store_path("stream.db"), 0, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "stream.db"));
}
END_TEST

/* Readers hold the log open; once they are through it is cut back. */
START_TEST(test_log_is_cut_back)
{
	struct stream *s = open_stream(0);
	struct stream_reader *r;
	struct stream_usage u;
	uint64_t rows;

	ck_assert_int_eq(append(s, 1, 1, 1000, 1, 10), 0);
	ck_assert_int_eq(stream_commit(s), 0);
	ck_assert_int_eq(stream_reader_open(&r, store_path("stream.db"), NULL), 0);
	ck_assert_int_eq(stream_reader_begin(r), 0);
	ck_assert_int_eq(stream_reader_quarantine(r, &rows), 0); /* now it has its view */
	for (uint64_t seq = 2; seq < 50; seq++) {
		ck_assert_int_eq(append(s, 1, seq, 1000, seq, 100), 0);
		ck_assert_int_eq(stream_commit(s), 0);
	}
	ck_assert_int_eq(stream_trim_log(s, 4096), 0); /* gives up, without an error */
	stream_get_usage(s, &u);
	ck_assert_uint_gt(u.log_bytes, 48 * 4096);
	stream_reader_end(r);
	ck_assert_int_eq(stream_trim_log(s, 4096), 0);
	stream_get_usage(s, &u);
	ck_assert_uint_eq(u.log_bytes, 0);
	ck_assert_uint_eq(u.rows, 49);
	stream_reader_close(r);
	stream_close(s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("store");

	tcase_add_checked_fixture(tc, store_setup, store_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_registry_survives);
	tcase_add_test(tc, test_keys_are_above_what_is_stored);
	tcase_add_test(tc, test_stream_reopens);
	tcase_add_test(tc, test_stream_full);
	tcase_add_test(tc, test_quarantine_is_bounded);
	tcase_add_test(tc, test_not_a_database);
	tcase_add_test(tc, test_log_is_cut_back);
	return suite_run("relay_store", &tc, 1);
}
