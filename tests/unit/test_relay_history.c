/* History from the stream: exact, in buckets, with units. */
#include "relay/live/history.h"
#include "relay/live/hub.h"
#include "relay/live/live.h"
#include "tests/unit/relay_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <sys/stat.h>

struct bench {
	struct registry *reg;
	struct stream *stream;
	struct live *live;
	struct history *history;
};

/* 10 batches of 100 samples: raw 0 to 999, a millisecond apart from 100 s on. */
static void open_history(struct bench *b)
{
	const struct catalog *c;
	struct live_value v = {.wall_ns = 1, .raw = 1};
	uint64_t id;

	b->reg = open_registry();
	b->stream = open_stream(0);
	ck_assert_int_eq(registry_add_catalog(b->reg, store_cat->bytes, store_cat->len, &id, NULL),
			 0);
	ck_assert_int_eq(registry_get_catalog(b->reg, id, &c), 0);
	ck_assert_int_eq(live_new(&b->live), 0);
	ck_assert_int_eq(live_apply(b->live, 1, c, &v, 1, (struct wall_time){1}), 0);
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_int_eq(
			append(b->stream, 1, i + 1, 100000 + 100 * (int64_t)i, 100 * i, 100), 0);
	ck_assert_int_eq(stream_commit(b->stream), 0);
	ck_assert_int_eq(history_new(&b->history, store_path("stream.db"), b->reg, b->live, 100),
			 0);
}

static void close_history(struct bench *b)
{
	history_free(b->history);
	live_free(b->live);
	stream_close(b->stream);
	registry_close(b->reg);
}

START_TEST(test_history_exact)
{
	struct bench b;
	struct history_query q = {.vehicle = 1, .signal = "can0.M.A", .max_points = 1000};
	struct history_result r;

	open_history(&b);
	ck_assert_int_eq(history_query(b.history, &q, &r), 0);
	ck_assert_uint_eq(r.samples, 1000);
	ck_assert_uint_eq(r.n_points, 1000);
	ck_assert_int_eq(r.bucket_ns, 0);
	ck_assert_str_eq(r.unit, "km/h");
	for (size_t i = 0; i < 1000; i++) {
		ck_assert_uint_eq(r.points[i].raw, i);
		ck_assert_int_eq(r.points[i].wall_ns, (100000 + (int64_t)i) * NS_PER_MS);
	}
	history_result_free(&r);
	q.has_from = q.has_to = true;
	q.from_ns = 100150 * NS_PER_MS;
	q.to_ns = 100249 * NS_PER_MS;
	ck_assert_int_eq(history_query(b.history, &q, &r), 0);
	ck_assert_uint_eq(r.samples, 100);
	ck_assert_uint_eq(r.points[0].raw, 150);
	history_result_free(&r);
	q.signal = "can0.M.NONE";
	ck_assert_int_eq(history_query(b.history, &q, &r), -ENOENT);
	q.signal = "can0.M.B"; /* in the catalog, never sent */
	ck_assert_int_eq(history_query(b.history, &q, &r), 0);
	ck_assert_uint_eq(r.samples, 0);
	history_result_free(&r);
	close_history(&b);
}
END_TEST

START_TEST(test_history_buckets)
{
	struct bench b;
	struct history_query q = {.vehicle = 1,
				  .signal = "can0.M.A",
				  .max_points = 10,
				  .has_from = true,
				  .from_ns = 100000 * NS_PER_MS};
	struct history_result r;
	uint64_t count = 0, at = 0;

	open_history(&b);
	ck_assert_int_eq(history_query(b.history, &q, &r), 0);
	ck_assert_uint_eq(r.samples, 1000);
	ck_assert_uint_le(r.n_buckets, 10);
	ck_assert_int_gt(r.bucket_ns, 0);
	for (size_t i = 0; i < r.n_buckets; i++) {
		const struct history_bucket *k = &r.buckets[i];

		ck_assert_int_eq(k->wall_ns, r.from_ns + (int64_t)i * r.bucket_ns);
		ck_assert_double_eq(k->min, 0.5 * (double)at);
		at += k->count;
		ck_assert_double_eq(k->max, 0.5 * (double)(at - 1));
		ck_assert_double_eq(k->last, k->max);
		ck_assert_double_eq_tol(k->mean, (k->min + k->max) / 2, 1e-9);
		count += k->count;
	}
	ck_assert_uint_eq(count, 1000);
	history_result_free(&r);
	close_history(&b);
}
END_TEST

/* The range asked for is a million times as wide as the data. */
START_TEST(test_history_of_a_wide_range)
{
	struct bench b;
	struct history_query q = {.vehicle = 1,
				  .signal = "can0.M.A",
				  .max_points = 10,
				  .has_from = true,
				  .has_to = true,
				  .to_ns = 1000000 * NS_PER_S};
	struct history_result r;
	uint64_t count = 0;

	open_history(&b);
	ck_assert_int_eq(history_query(b.history, &q, &r), 0);
	ck_assert_int_eq(r.from_ns, 0);
	ck_assert_int_eq(r.to_ns, q.to_ns);
	ck_assert_int_eq(r.first_ns, 100000 * NS_PER_MS);
	ck_assert_int_eq(r.last_ns, 100999 * NS_PER_MS);
	ck_assert_uint_eq(r.n_buckets, 10);
	for (size_t i = 0; i < r.n_buckets; i++) {
		ck_assert_uint_ge(r.buckets[i].count, 90);
		count += r.buckets[i].count;
	}
	ck_assert_uint_eq(count, 1000);
	history_result_free(&r);
	close_history(&b);
}
END_TEST

START_TEST(test_unit_of_the_catalog_used_last)
{
	struct live *l;
	struct catalog *other = store_catalog("N");
	const struct catalog *got[LIVE_CATALOGS_MAX];
	struct live_value v = {.wall_ns = 1, .raw = 1};

	ck_assert_int_eq(live_new(&l), 0);
	ck_assert_int_eq(live_apply(l, 1, store_cat, &v, 1, (struct wall_time){1}), 0);
	ck_assert_int_eq(live_apply(l, 1, other, &v, 1, (struct wall_time){1}), 0);
	ck_assert_uint_eq(live_catalogs(l, 1, got), 2);
	ck_assert_ptr_eq(got[0], other);
	ck_assert_int_eq(live_apply(l, 1, store_cat, &v, 1, (struct wall_time){1}), 0);
	ck_assert_uint_eq(live_catalogs(l, 1, got), 2);
	ck_assert_ptr_eq(got[0], store_cat);
	live_free(l);
	catalog_free(other);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("history");

	tcase_add_checked_fixture(tc, store_setup, store_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_history_exact);
	tcase_add_test(tc, test_history_buckets);
	tcase_add_test(tc, test_history_of_a_wide_range);
	tcase_add_test(tc, test_unit_of_the_catalog_used_last);
	return suite_run("relay_history", &tc, 1);
}
