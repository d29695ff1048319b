/* registry, stream, live state and history on disk: reopened, full, read-only, replayed. */
#include "base/db.h"
#include "proto/batch.h"
#include "relay/live/history.h"
#include "relay/live/hub.h"
#include "relay/live/live.h"
#include "relay/registry/registry.h"
#include "relay/stream/stream.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static struct catalog *cat;

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* One bus, one message, two signals: A (unsigned, half a unit a step) and B (signed). */
static struct catalog *make_catalog(const char *message)
{
	static const char *const buses[] = {"can0"};
	struct catalog_signal signals[] = {
		{.name = "A",
		 .bits = 32,
		 .kind = SIGNAL_UNSIGNED,
		 .factor = 0.5,
		 .unit = "km/h",
		 .comment = "",
		 .mux = CATALOG_NONE},
		{.name = "B",
		 .start_bit = 32,
		 .bits = 16,
		 .kind = SIGNAL_SIGNED,
		 .factor = 1,
		 .unit = "",
		 .comment = "",
		 .mux = CATALOG_NONE},
	};
	struct catalog_message m = {
		.name = message, .comment = "", .id = 1, .bytes = 8, .n_signals = 2};
	struct catalog from = {.buses = buses,
			       .n_buses = 1,
			       .messages = &m,
			       .n_messages = 1,
			       .signals = signals,
			       .n_signals = 2};
	struct catalog *c;
	struct error err = {0};

	ck_assert_msg(catalog_build(&c, &from, &err) == 0, "%s", err.text);
	return c;
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/towline-test-relay-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	cat = make_catalog("M");
}

static void teardown(void)
{
	static const char *const names[] = {"relay.db",	 "relay.db-wal",  "relay.db-shm",
					    "stream.db", "stream.db-wal", "stream.db-shm"};

	for (size_t i = 0; i < array_len(names); i++)
		unlink(path_of(names[i]));
	rmdir(dir);
	cat = catalog_free(cat);
}

static struct registry *open_registry(void)
{
	struct registry *r;
	struct error err = {0};

	ck_assert_msg(registry_open(&r, path_of("relay.db"), timebase_system(), &err) == 0, "%s",
		      err.text);
	return r;
}

static struct stream *open_stream(int64_t max)
{
	struct stream *s;
	struct error err = {0};

	ck_assert_msg(stream_open(&s, path_of("stream.db"), max, &err) == 0, "%s", err.text);
	return s;
}

/* n samples of A (raw = first + i) a millisecond apart from t0_ms. */
static void make_body(struct buf *out, uint32_t *encoding, int64_t t0_ms, uint64_t first, size_t n)
{
	struct batch_builder *b;
	struct batch_header h = {.epoch = 1,
				 .seq = 1,
				 .wall_base_ns = t0_ms * NS_PER_MS,
				 .catalog_id = cat->id,
				 .time_unit_ns = 1000000};

	ck_assert_int_eq(batch_builder_new(&b, cat, n, 1000000), 0);
	for (size_t i = 0; i < n; i++) {
		struct sample s = {.signal = 0, .raw = first + i};

		ck_assert_int_eq(batch_builder_add(b, 0, (int64_t)i * NS_PER_MS, &s, 1), 0);
	}
	ck_assert_int_eq(batch_builder_encode(b, &h, out, encoding), 0);
	batch_builder_free(b);
}

static int append(struct stream *s, int64_t vehicle, uint64_t seq, int64_t t0_ms, uint64_t first,
		  size_t n)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct stream_row row = {.vehicle = vehicle,
				 .device = 1,
				 .epoch = UINT64_MAX,
				 .seq = seq,
				 .class = CLASS_BULK,
				 .received.ns = t0_ms * NS_PER_MS,
				 .first_ns = t0_ms * NS_PER_MS,
				 .last_ns = (t0_ms + (int64_t)n - 1) * NS_PER_MS,
				 .catalog = cat->id,
				 .samples = n};
	int r;

	make_body(&body, &row.encoding, t0_ms, first, n);
	row.body = body.data;
	row.len = body.len;
	r = stream_begin(s);
	return r < 0 ? r : stream_append(s, &row);
}

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
	ck_assert_int_eq(registry_add_catalog(r, cat->bytes, cat->len, &id, &err), 0);
	ck_assert_int_eq(registry_add_catalog(r, cat->bytes, cat->len, &id, &err), REGISTRY_EXISTS);
	ck_assert_int_eq(registry_add_catalog(r, "garbage", 7, &id, &err), -EBADMSG);
	registry_close(r);

	r = open_registry();
	ck_assert_int_eq(registry_find(r, "v1", "d3", &ids), 0);
	ck_assert_uint_eq(ids.part, 7);
	ck_assert_int_eq(registry_find(r, "v2", "d3", &ids), -ENOENT);
	ck_assert_int_eq(registry_get_catalog(r, cat->id, &c), 0);
	ck_assert_mem_eq(c->sha256, cat->sha256, 32);
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
	struct stream_usage u;
	int rows = 0;

	ck_assert_int_eq(append(s, 1, 1, 1000, 0, 10), 0);
	ck_assert_int_eq(append(s, 1, 5, 2000, 10, 10), 0);
	ck_assert_int_eq(window_add(&w, 1), 0);
	ck_assert_int_eq(window_add(&w, 5), 0);
	ck_assert_int_eq(
		stream_put_window(s, 1, 1, UINT64_MAX, CLASS_BULK, &w, (struct wall_time){9}), 0);
	ck_assert_int_eq(stream_put_device(s, 1, 1, &d), 0);
	ck_assert_int_eq(stream_commit(s), 0);
	ck_assert_int_eq(append(s, 1, 6, 3000, 20, 10), 0); /* is not committed */
	stream_close(s);
	window_free(&w);

	s = open_stream(0);
	ck_assert_int_eq(stream_each_after(s, 0, count_row, &rows), 0);
	ck_assert_int_eq(rows, 2);
	ck_assert_int_eq(stream_get_window(s, 1, UINT64_MAX, CLASS_BULK, &w), 0);
	ck_assert(window_has(&w, 1) && window_has(&w, 5) && !window_has(&w, 6));
	window_free(&w);
	ck_assert_int_eq(stream_get_window(s, 1, 7, CLASS_BULK, &w), 0);
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
	struct stream *s = open_stream(200 << 10);
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
	ck_assert_int_gt(stream_prune(s, (struct wall_time){INT64_MAX}, 10), 0);
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
	ck_assert_int_eq(stream_reader_open(&r, path_of("stream.db"), NULL), 0);
	ck_assert_int_eq(stream_reader_quarantine(r, &rows), 0);
	ck_assert_uint_eq(rows, 8);
	stream_reader_close(r);
	stream_close(s);
}
END_TEST

START_TEST(test_not_a_database)
{
	FILE *f = fopen(path_of("stream.db"), "w");
	struct stream *s;
	struct error err = {0};

	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", f);
	fclose(f);
	ck_assert_int_lt(stream_open(&s, path_of("stream.db"), 0, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "stream.db"));
}
END_TEST

/* ---- live ---- */

static int keep_state(void *ctx, int64_t vehicle, const void *blob, size_t len)
{
	return stream_put_state(ctx, vehicle, 1, blob, len);
}

struct restore {
	struct live *live;
	struct registry *reg;
};

static int take_state(void *ctx, int64_t vehicle, const void *blob, size_t len)
{
	struct restore *r = ctx;

	return live_restore(r->live, r->reg, vehicle, blob, len);
}

START_TEST(test_live_state)
{
	static const struct wall_time now = {.ns = 1000 * NS_PER_S};
	struct registry *reg = open_registry();
	struct stream *s = open_stream(0);
	struct restore res = {.reg = reg};
	struct live *l;
	struct live_snapshot snap;
	const struct catalog *c;
	uint64_t id;
	struct live_value v[] = {{0, 500 * NS_PER_S, 10}, {1, 500 * NS_PER_S, (uint64_t)-3}},
			  old = {0, 400 * NS_PER_S, 99}, future = {1, 9999 * NS_PER_S, 5},
			  later = {1, 600 * NS_PER_S, 6};

	ck_assert_int_eq(registry_add_catalog(reg, cat->bytes, cat->len, &id, NULL), 0);
	ck_assert_int_eq(registry_get_catalog(reg, id, &c), 0);
	ck_assert_int_eq(live_new(&l), 0);
	ck_assert_int_eq(live_get(l, 1, &snap), -ENOENT);
	ck_assert_int_eq(live_apply(l, 1, c, v, 2, now), 0);
	ck_assert_int_eq(live_apply(l, 1, c, &old, 1, now), 0); /* older: stays out */
	ck_assert_int_eq(live_apply(l, 1, c, &future, 1, now), 0);
	ck_assert_int_eq(live_apply(l, 1, c, &later, 1, now), 0); /* a wrong clock gives way */
	ck_assert_int_eq(stream_begin(s), 0);
	ck_assert_int_eq(live_save(l, 100, keep_state, s), 1);
	ck_assert_uint_eq(live_unsaved(l), 0);
	ck_assert_int_eq(stream_commit(s), 0);
	live_free(l);

	ck_assert_int_eq(live_new(&l), 0);
	res.live = l;
	ck_assert_int_eq(stream_each_state(s, take_state, &res), 0);
	ck_assert_int_eq(live_get(l, 1, &snap), 0);
	ck_assert_uint_eq(snap.n, 1);
	ck_assert_uint_eq(snap.slot[0].n, 2);
	ck_assert_uint_eq(snap.slot[0].v[0].raw, 10);
	ck_assert_uint_eq(snap.slot[0].v[1].raw, 6);
	ck_assert_int_eq(snap.slot[0].v[1].wall_ns, 600 * NS_PER_S);
	live_snapshot_free(&snap);
	ck_assert_int_eq(live_restore(l, reg, 2, "\x07garbage", 8), -EBADMSG);
	live_forget(l, 1);
	ck_assert_int_eq(live_get(l, 1, &snap), -ENOENT);
	live_free(l);
	stream_close(s);
	registry_close(reg);
}
END_TEST

/* ---- history ---- */

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
	struct live_value v = {0, 1, 1};
	uint64_t id;

	b->reg = open_registry();
	b->stream = open_stream(0);
	ck_assert_int_eq(registry_add_catalog(b->reg, cat->bytes, cat->len, &id, NULL), 0);
	ck_assert_int_eq(registry_get_catalog(b->reg, id, &c), 0);
	ck_assert_int_eq(live_new(&b->live), 0);
	ck_assert_int_eq(live_apply(b->live, 1, c, &v, 1, (struct wall_time){1}), 0);
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_int_eq(
			append(b->stream, 1, i + 1, 100000 + 100 * (int64_t)i, 100 * i, 100), 0);
	ck_assert_int_eq(stream_commit(b->stream), 0);
	ck_assert_int_eq(history_new(&b->history, path_of("stream.db"), b->reg, b->live, 100), 0);
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
	struct catalog *other = make_catalog("N");
	const struct catalog *got[LIVE_CATALOGS_MAX];
	struct live_value v = {0, 1, 1};

	ck_assert_int_eq(live_new(&l), 0);
	ck_assert_int_eq(live_apply(l, 1, cat, &v, 1, (struct wall_time){1}), 0);
	ck_assert_int_eq(live_apply(l, 1, other, &v, 1, (struct wall_time){1}), 0);
	ck_assert_uint_eq(live_catalogs(l, 1, got), 2);
	ck_assert_ptr_eq(got[0], other);
	ck_assert_int_eq(live_apply(l, 1, cat, &v, 1, (struct wall_time){1}), 0);
	ck_assert_uint_eq(live_catalogs(l, 1, got), 2);
	ck_assert_ptr_eq(got[0], cat);
	live_free(l);
	catalog_free(other);
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
	ck_assert_int_eq(stream_reader_open(&r, path_of("stream.db"), NULL), 0);
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

/* ---- hub ---- */

static int sleeps, wakes;

static void note_sleep(void *ctx)
{
	(void)ctx;
	sleeps++;
}

static void note_wake(void *ctx)
{
	(void)ctx;
	wakes++;
}

START_TEST(test_slow_listener_is_told)
{
	static const struct hub_callbacks cb = {note_sleep, note_wake};
	struct hub *h;
	struct hub_sub *s, *none;
	struct hub_event *e = NULL;
	struct live_value v = {0, 1, 0};
	uint64_t dropped = 0;

	sleeps = wakes = 0;
	ck_assert_int_eq(hub_new(&h, 1), 0);
	ck_assert_int_eq(hub_subscribe(h, 1, &cb, NULL, &s), 0);
	ck_assert_int_eq(hub_subscribe(h, 1, &cb, NULL, &none), -ENOSPC);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_SLEEPS);
	ck_assert_int_eq(hub_publish(h, 2, "other", cat, &v, 1), 0); /* not its vehicle */
	ck_assert_int_eq(wakes, 0);
	for (v.raw = 0; v.raw < HUB_QUEUE + 44; v.raw++)
		ck_assert_int_eq(hub_publish(h, 1, "v1", cat, &v, 1), 0);
	ck_assert_int_eq(wakes, 1);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_DROPPED);
	ck_assert_uint_eq(dropped, 44);
	for (uint64_t i = 44; i < HUB_QUEUE + 44; i++) {
		ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_EVENT);
		ck_assert_uint_eq(e->v[0].raw, i);
		hub_release(h, e);
	}
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_SLEEPS);
	hub_beat(h);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_BEAT);
	hub_shutdown(h);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_CLOSED);
	hub_unsubscribe(s);
	hub_free(h);
}
END_TEST

START_TEST(test_listener_is_bounded_in_bytes_and_ends_with_its_vehicle)
{
	static const struct hub_callbacks cb = {note_sleep, note_wake};
	enum { LARGE = HUB_QUEUE_BYTES / sizeof(struct live_value) / 4 };
	struct live_value *v = calloc(LARGE, sizeof(*v));
	struct hub *h;
	struct hub_sub *s, *all;
	struct hub_event *e = NULL;
	uint64_t dropped = 0;

	sleeps = wakes = 0;
	ck_assert_int_eq(hub_new(&h, 2), 0);
	ck_assert_int_eq(hub_subscribe(h, 1, &cb, NULL, &s), 0);
	ck_assert_int_eq(hub_subscribe(h, 0, &cb, NULL, &all), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(hub_publish(h, 1, "v1", cat, v, LARGE), 0);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_DROPPED);
	ck_assert_uint_eq(dropped, 7);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_EVENT);
		hub_release(h, e);
	}
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_SLEEPS);
	hub_end(h, 1);
	ck_assert_int_eq(wakes, 1);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_CLOSED);
	ck_assert_int_eq(hub_next(all, &e, &dropped), HUB_DROPPED); /* goes on */
	hub_unsubscribe(s);
	hub_unsubscribe(all);
	hub_free(h);
	free(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("store");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_registry_survives);
	tcase_add_test(t, test_stream_reopens);
	tcase_add_test(t, test_stream_full);
	tcase_add_test(t, test_quarantine_is_bounded);
	tcase_add_test(t, test_not_a_database);
	tcase_add_test(t, test_live_state);
	tcase_add_test(t, test_slow_listener_is_told);
	tcase_add_test(t, test_listener_is_bounded_in_bytes_and_ends_with_its_vehicle);
	tcase_add_test(t, test_log_is_cut_back);
	tcase_add_test(t, test_unit_of_the_catalog_used_last);
	tcase_add_test(t, test_history_of_a_wide_range);
	tcase_add_test(t, test_history_exact);
	tcase_add_test(t, test_history_buckets);
	return suite_run("relay_store", &t, 1);
}
