/* Ingest without its thread and without a broker: messages are handed in, upkeep is called. */
#include "proto/batch.h"
#include "relay/ingest/internal.h"
#include "relay/stream/internal.h"
#include "tests/unit/relay_fixture.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { LARGE_SAMPLES = 4000 };

static struct timebase_fake clk;
static struct registry *registry;
static struct stream *stream;
static struct live *live;
static struct hub *hub;
static struct ingest *in;

static struct catalog *make_catalog(void)
{
	struct catalog_signal s = {.name = "A",
				   .bits = 64,
				   .kind = SIGNAL_UNSIGNED,
				   .factor = 1,
				   .unit = "",
				   .comment = "",
				   .mux = CATALOG_NONE};
	struct catalog_message m = {
		.name = "M", .comment = "", .id = 1, .bytes = 8, .n_signals = 1};

	return small_catalog(&m, 1, &s);
}

static void open_ingest(void)
{
	struct ingest_options opt = {
		.tb = &clk.tb,
		.registry = registry,
		.live = live,
		.hub = hub,
		.mqtt = {.uri = "mqtt://127.0.0.1:1",
			 .client_id = "test",
			 .backoff_min_ms = 1000,
			 .backoff_max_ms = 1000,
			 .connect_timeout_s = 1,
			 .queue_bytes = 1 << 16},
		.tuning = {.group_commit_ms = 1000,
			   .group_commit_batches = 1000,
			   .receipt_interval_ms = 100,
			   .unknown_retry_s = 7,
			   .retention_ns = 3600 * NS_PER_S},
		.quarantine_rows = 10,
		.state_save_ms = 100,
	};

	ck_assert_int_eq(stream_open(&stream, store_path("stream.db"), 0, NULL), 0);
	opt.stream = stream;
	ck_assert_int_eq(live_new(&live), 0);
	opt.live = live;
	ck_assert_int_eq(ingest_new(&in, &opt, NULL), 0);
}

static void close_ingest(void)
{
	in = ingest_free(in);
	live = live_free(live);
	stream = stream_close(stream);
}

static void add_vehicle(void)
{
	static const char *const devices[] = {"d1"};

	ck_assert_int_eq(registry_add_vehicle(registry, "v1", "", 0, devices, 1, NULL), 0);
}

static void setup(void)
{
	uint64_t id;

	relay_dir_make();
	timebase_fake_init(&clk, 1000 * NS_PER_S, 1700000000 * NS_PER_S);
	store_cat = make_catalog();
	ck_assert_int_eq(registry_open(&registry, store_path("relay.db"), &clk.tb, NULL), 0);
	ck_assert_int_eq(
		registry_add_catalog(registry, store_cat->bytes, store_cat->len, &id, NULL), 0);
	add_vehicle();
	ck_assert_int_eq(hub_new(&hub, 4), 0);
	open_ingest();
}

static void teardown(void)
{
	close_ingest();
	hub = hub_free(hub);
	registry = registry_close(registry);
	store_cat = catalog_free(store_cat);
	relay_dir_remove();
}

/* Nothing that can be compressed. */
static uint64_t noise(uint64_t a, uint64_t b)
{
	uint64_t x = (a << 32) + b;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* n samples, the first of raw `first`, from wall_ns on. */
static void send_at(uint64_t epoch, uint64_t seq, int64_t wall_ns, uint64_t first, size_t n)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = {.epoch = epoch,
				 .seq = seq,
				 .catalog_id = store_cat->id,
				 .wall_base_ns = wall_ns,
				 .time_unit_ns = 1000000};
	struct mqtt_message m = {.topic = "tl/1/up/0/v1/d1/bulk"};
	struct batch_builder *b;
	uint32_t encoding;

	ck_assert_int_eq(batch_builder_new(&b, store_cat, n, 1000000), 0);
	for (size_t i = 0; i < n; i++) {
		struct sample s = {.raw = i ? noise(first, i) : first};

		ck_assert_int_eq(batch_builder_add(b, 0, (int64_t)i * NS_PER_MS, &s, 1), 0);
	}
	ck_assert_int_eq(batch_builder_encode(b, &h, &body, &encoding), 0);
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = epoch,
							    .seq = seq,
							    .encoding = encoding,
							    .body = body.data,
							    .body_len = body.len},
					 &out),
			 0);
	batch_builder_free(b);
	m.payload = out.data;
	m.len = out.len;
	ingest_accept(in, &m);
}

static void send_one(uint64_t epoch, uint64_t seq, uint64_t raw)
{
	send_at(epoch, seq, clk.wall.ns, raw, 1);
}

static uint64_t state_raw(void)
{
	struct live_snapshot s;
	struct registry_ids ids;
	uint64_t raw;

	ck_assert_int_eq(registry_find(registry, "v1", "d1", &ids), 0);
	ck_assert_int_eq(live_get(live, ids.vehicle, &s), 0);
	ck_assert_uint_eq(s.n, 1);
	ck_assert_uint_eq(s.slot[0].n, 1);
	raw = s.slot[0].v[0].raw;
	live_snapshot_free(&s);
	return raw;
}

static void maintain_all(void)
{
	ingest_commit(in);
	while (ingest_maintain(in))
		;
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

static int64_t pragma(const char *sql)
{
	sqlite3_stmt *st;
	int64_t v;

	ck_assert_int_eq(sqlite3_prepare_v2(stream->db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

START_TEST(test_a_commit_is_synced)
{
	ck_assert_int_eq(pragma("PRAGMA synchronous"), 2); /* FULL */
	ck_assert_int_eq(pragma("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}
END_TEST

/* ---- retention ---- */

START_TEST(test_retention_by_bytes_takes_the_oldest_alone)
{
	struct stream_usage u;
	uint64_t seen[2] = {0};

	for (uint64_t seq = 1; seq <= 40; seq++)
		send_at(1, seq, clk.wall.ns, seq, LARGE_SAMPLES);
	ingest_commit(in);
	stream_get_usage(stream, &u);
	ck_assert_uint_eq(u.rows, 40);
	ck_assert_uint_gt(u.used_bytes, 40 * LARGE_SAMPLES * 7);
	in->tuning.max_bytes = (int64_t)u.used_bytes / 2;
	maintain_all();
	stream_get_usage(stream, &u);
	ck_assert_uint_le(u.used_bytes, (uint64_t)in->tuning.max_bytes);
	ck_assert_uint_ge(u.rows, 15); /* and not all of it with them */
	ck_assert_uint_eq(in->stats.pruned, 40 - u.rows);
	ck_assert_int_eq(stream_each_after(stream, 0, count_row, seen), 0);
	ck_assert_uint_eq(seen[1], 40 - u.rows + 1);
}
END_TEST

START_TEST(test_retention_by_age)
{
	struct stream_usage u;

	send_one(1, 1, 1);
	ingest_commit(in);
	timebase_fake_advance(&clk, 3000 * NS_PER_S);
	send_one(1, 2, 2);
	maintain_all();
	stream_get_usage(stream, &u);
	ck_assert_uint_eq(u.rows, 2);
	timebase_fake_advance(&clk, 700 * NS_PER_S);
	maintain_all();
	stream_get_usage(stream, &u);
	ck_assert_uint_eq(u.rows, 1);
	send_one(1, 1, 1); /* pruned, and still not stored twice */
	ck_assert_uint_eq(in->stats.results[INGEST_DUPLICATE], 1);
}
END_TEST

START_TEST(test_file_limit_follows_the_setting)
{
	struct ingest_tuning t = in->tuning;

	t.max_bytes = 64 << 20;
	ingest_tune(in, &t);
	ck_assert_int_ge(loop_turn(in->loop, 0), 0);
	ck_assert_int_eq(pragma("PRAGMA max_page_count"), ingest_file_max(64 << 20) / 4096);
	t.max_bytes = 0;
	ingest_tune(in, &t);
	ck_assert_int_ge(loop_turn(in->loop, 0), 0);
	ck_assert_int_gt(pragma("PRAGMA max_page_count"), 1 << 30);
}
END_TEST

/* ---- epochs, windows, memory ---- */

START_TEST(test_minted_epochs_are_bounded)
{
	enum { EPOCHS = WINDOWS_MAX + 40 };

	for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
		timebase_fake_advance(&clk, NS_PER_MS);
		send_one(epoch, 1, epoch);
		ingest_commit(in);
		receipts_flush(in, true);
		/* Without a connection they stay untold, and a lane with something to tell stays.
		 */
		for (struct lane *l = ((struct sender *)table_get(&in->senders, "v1/d1", 5))->lanes;
		     l; l = l->next)
			l->untold = false;
	}
	ck_assert_uint_eq(in->stats.results[INGEST_STORED], EPOCHS);
	ck_assert_uint_eq(in->stats.windows_forgotten, EPOCHS - WINDOWS_MAX);
	ck_assert_int_eq(pragma("SELECT count(*) FROM window"), WINDOWS_MAX);
	ck_assert_int_eq(pragma("SELECT min(epoch) FROM window"), EPOCHS - WINDOWS_MAX + 1);
	ck_assert_uint_le(((struct sender *)table_get(&in->senders, "v1/d1", 5))->n_lanes,
			  LANES_MAX);
	send_one(EPOCHS - WINDOWS_MAX + 1, 1, 1); /* read back from the disk */
	ck_assert_uint_eq(in->stats.results[INGEST_DUPLICATE], 1);
}
END_TEST

START_TEST(test_removed_vehicle_leaves_nothing)
{
	struct stream_usage u;

	send_one(1, 1, 42);
	ingest_commit(in);
	ck_assert_uint_eq(in->n_unknown, 0);
	ck_assert_int_eq(registry_remove_vehicle(registry, "v1", NULL), 0);
	maintain_all();
	stream_get_usage(stream, &u);
	ck_assert_uint_eq(u.rows, 0);
	ck_assert_uint_eq(in->n_unknown, 1); /* may be swept */
	ck_assert_uint_eq(in->by_device.n, 0);
	send_one(1, 2, 43); /* the vehicle goes on */
	ck_assert_uint_eq(in->stats.results[INGEST_UNKNOWN_DEVICE], 1);
	add_vehicle();
	send_one(1, 2, 43);
	ingest_commit(in);
	ck_assert_uint_eq(in->stats.results[INGEST_STORED], 2);
	ck_assert_uint_eq(state_raw(), 43);
	ck_assert_uint_eq(in->n_unknown, 0);
}
END_TEST

START_TEST(test_device_of_another_vehicle_is_a_stranger)
{
	static const char *const devices[] = {"d1"};
	struct sender *s;

	send_one(1, 1, 1);
	ck_assert_int_eq(registry_add_vehicle(registry, "v2", "", 0, devices, 1, NULL),
			 REGISTRY_EXISTS);
	ck_assert_int_eq(registry_remove_vehicle(registry, "v1", NULL), 0);
	ck_assert_int_eq(registry_add_vehicle(registry, "v2", "", 0, devices, 1, NULL), 0);
	send_one(1, 2, 2); /* it moved, and still says v1 */
	ck_assert_uint_eq(in->stats.results[INGEST_UNKNOWN_DEVICE], 1);
	s = table_get(&in->senders, "v1/d1", 5);
	ck_assert_uint_eq(s->lanes->n_nacks, 1);
	ck_assert_int_eq(s->lanes->nacks[0].code, NACK_UNKNOWN);
	ck_assert_uint_eq(s->lanes->nacks[0].retry_after_s, 7);
}
END_TEST

/* ---- state ---- */

START_TEST(test_wrong_clock_does_not_freeze_the_state)
{
	send_one(1, 1, 10);
	send_at(1, 2, clk.wall.ns + 1000000 * NS_PER_S, 11, 1);
	ingest_commit(in);
	ck_assert_uint_eq(state_raw(), 11);
	timebase_fake_advance(&clk, NS_PER_S);
	send_one(1, 3, 12);
	ingest_commit(in);
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
	ingest_commit(in);
	ck_assert_uint_eq(live_unsaved(live), 1);
	timebase_fake_advance(&clk, NS_PER_S);
	(void)sqlite3_commit_hook(stream->db, refuse_commit, NULL);
	ck_assert(!ingest_maintain(in));
	ck_assert_int_lt(in->stats.storage, 0);
	(void)sqlite3_commit_hook(stream->db, NULL, NULL);
	ck_assert_uint_eq(live_unsaved(live), 1);
	timebase_fake_advance(&clk, 2 * NS_PER_S);
	maintain_all();
	ck_assert_int_eq(in->stats.storage, 0);
	ck_assert_int_eq(stream_get_progress(stream, &through), 0);
	ck_assert_int_eq(through, 1);
	close_ingest();
	open_ingest(); /* from the blob alone: progress is behind the batch */
	ck_assert_uint_eq(state_raw(), 5);
}
END_TEST

START_TEST(test_failed_commit_acknowledges_nothing)
{
	struct sender *s;

	send_one(1, 1, 5);
	(void)sqlite3_commit_hook(stream->db, refuse_commit, NULL);
	ingest_commit(in);
	(void)sqlite3_commit_hook(stream->db, NULL, NULL);
	s = table_get(&in->senders, "v1/d1", 5);
	ck_assert(s->lanes->stale); /* what it has is not what is on disk */
	ck_assert_int_eq(lane_reload(in, s->lanes), 0);
	ck_assert(!window_has(&s->lanes->window, 1));
	ck_assert_int_eq(s->lanes->nacks[0].code, NACK_BUSY);
	ck_assert_uint_eq(s->stats.batches, 0);
	timebase_fake_advance(&clk, 2 * NS_PER_S);
	send_one(1, 1, 5);
	ingest_commit(in);
	ck_assert(window_has(&s->lanes->window, 1));
	ck_assert_uint_eq(in->stats.results[INGEST_STORED], 1);
	close_ingest();
	open_ingest();
	send_one(1, 1, 5);
	ck_assert_uint_eq(in->stats.results[INGEST_DUPLICATE], 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ingest");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_a_commit_is_synced);
	tcase_add_test(t, test_retention_by_bytes_takes_the_oldest_alone);
	tcase_add_test(t, test_retention_by_age);
	tcase_add_test(t, test_file_limit_follows_the_setting);
	tcase_add_test(t, test_minted_epochs_are_bounded);
	tcase_add_test(t, test_removed_vehicle_leaves_nothing);
	tcase_add_test(t, test_device_of_another_vehicle_is_a_stranger);
	tcase_add_test(t, test_wrong_clock_does_not_freeze_the_state);
	tcase_add_test(t, test_failed_save_loses_no_state);
	tcase_add_test(t, test_failed_commit_acknowledges_nothing);
	return suite_run("relay_ingest", &t, 1);
}
