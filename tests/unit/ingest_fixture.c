#include "tests/unit/ingest_fixture.h"

#include "proto/clock.h"
#include "relay/stream/internal.h"
#include "tests/unit/small_catalog.h"

#include <check.h>

struct ingest_world iw;
const char *ingest_uri = "mqtt://127.0.0.1:1";

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

void ingest_open(void)
{
	struct ingest_options opt = {
		.tb = &iw.clk.tb,
		.registry = iw.registry,
		.hub = iw.hub,
		.mqtt = {.uri = ingest_uri,
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

	ck_assert_int_eq(stream_open(&iw.stream, store_path("stream.db"), 0, NULL), 0);
	opt.stream = iw.stream;
	ck_assert_int_eq(live_new(&iw.live), 0);
	opt.live = iw.live;
	ck_assert_int_eq(ingest_new(&iw.in, &opt, NULL), 0);
}

void ingest_close(void)
{
	iw.in = ingest_free(iw.in);
	iw.live = live_free(iw.live);
	iw.stream = stream_close(iw.stream);
}

void ingest_add_vehicle(void)
{
	static const char *const devices[] = {"d1"};

	ck_assert_int_eq(registry_add_vehicle(iw.registry, "v1", "", 0, devices, 1, NULL), 0);
}

void ingest_setup(void)
{
	uint64_t id;

	relay_dir_make();
	timebase_fake_init(&iw.clk, 1000 * NS_PER_S, 1700000000 * NS_PER_S);
	store_cat = make_catalog();
	ck_assert_int_eq(registry_open(&iw.registry, store_path("relay.db"), &iw.clk.tb, NULL), 0);
	ck_assert_int_eq(
		registry_add_catalog(iw.registry, store_cat->bytes, store_cat->len, &id, NULL), 0);
	ingest_add_vehicle();
	ck_assert_int_eq(hub_new(&iw.hub, 4), 0);
	ingest_open();
}

void ingest_teardown(void)
{
	ingest_close();
	iw.hub = hub_free(iw.hub);
	iw.registry = registry_close(iw.registry);
	store_cat = catalog_free(store_cat);
	relay_dir_remove();
}

/* ---- what arrives ---- */

void send_payload(enum uplink_class class, const struct buf *payload)
{
	struct topic_up t = {.vehicle = "v1", .device = "d1", .class = class};
	char topic[TOPIC_MAX];
	struct mqtt_message m = {.topic = topic, .payload = payload->data, .len = payload->len};

	topic_format_up(&t, topic);
	ingest_accept(iw.in, &m);
}

void send_envelope(enum uplink_class class, const struct envelope *e)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);

	ck_assert_int_eq(envelope_encode(e, &out), 0);
	send_payload(class, &out);
}

/* Nothing that can be compressed. */
static uint64_t noise(uint64_t a, uint64_t b)
{
	uint64_t x = (a << 32) + b;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

void make_batch_body(const struct sent_batch *s, struct buf *out, uint32_t *encoding)
{
	size_t n = s->n ? s->n : 1;
	struct batch_header h = {.epoch = s->epoch,
				 .seq = s->seq,
				 .boot_id = s->boot,
				 .catalog_id = store_cat->id,
				 .wall_base_ns = s->wall_ns ? s->wall_ns : iw.clk.wall.ns,
				 .mono_base_ns = s->mono_ns,
				 .clock_quality = s->quality,
				 .time_unit_ns = 1000000};
	struct batch_builder *b;

	ck_assert_int_eq(batch_builder_new(&b, store_cat, n, 1000000), 0);
	for (size_t i = 0; i < n; i++) {
		struct sample v = {.raw = i ? noise(s->first, i) : s->first};

		ck_assert_int_eq(
			batch_builder_add(b, 0, s->mono_ns + (int64_t)i * NS_PER_MS, &v, 1), 0);
	}
	ck_assert_int_eq(batch_builder_encode(b, &h, out, encoding), 0);
	batch_builder_free(b);
}

void send_batch(const struct sent_batch *s)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct envelope e = {.epoch = s->epoch,
			     .seq = s->seq,
			     .origin_epoch = s->origin_epoch,
			     .origin_seq = s->origin_seq};

	make_batch_body(s, &body, &e.encoding);
	e.body = body.data;
	e.body_len = body.len;
	send_envelope(s->class, &e);
}

void send_gap(enum uplink_class class, const struct envelope *named, const struct gap *g)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 10);
	struct envelope e = *named;

	ck_assert_int_eq(gap_encode(g, &body), 0);
	e.encoding = ENCODING_GAP;
	e.body = body.data;
	e.body_len = body.len;
	send_envelope(class, &e);
}

void send_clock(uint64_t epoch, uint64_t seq, uint64_t boot, int64_t wall_ns, int64_t mono_ns,
		enum clock_quality q)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 10);
	struct clock_notice n = {boot, wall_ns, mono_ns, q};
	struct envelope e = {.epoch = epoch, .seq = seq, .encoding = ENCODING_CLOCK};

	ck_assert_int_eq(clock_notice_encode(&n, &body), 0);
	e.body = body.data;
	e.body_len = body.len;
	send_envelope(CLASS_STATUS, &e);
}

/* ---- what it led to ---- */

void maintain_all(void)
{
	ingest_commit(iw.in);
	while (ingest_maintain(iw.in))
		;
}

struct sender *sent_by(void)
{
	struct sender *s = table_get(&iw.in->senders, "v1/d1", 5);

	ck_assert_ptr_nonnull(s);
	return s;
}

struct lane *lane_of(uint64_t epoch, enum uplink_class class)
{
	struct lane *l = sent_by()->lanes;

	while (l && (l->epoch != epoch || l->class != class))
		l = l->next;
	ck_assert_ptr_nonnull(l);
	return l;
}

int nack_of(uint64_t epoch, enum uplink_class class, uint64_t seq)
{
	const struct lane *l = lane_of(epoch, class);

	for (size_t i = l->n_nacks; i > 0; i--) {
		if (l->nacks[i - 1].seq == seq)
			return (int)l->nacks[i - 1].code;
	}
	return 0;
}

uint64_t stream_rows(void)
{
	struct stream_usage u;

	stream_get_usage(iw.stream, &u);
	return u.rows;
}

int64_t query_number(const char *sql)
{
	sqlite3_stmt *st;
	int64_t v;

	ck_assert_msg(sqlite3_prepare_v2(iw.stream->db, sql, -1, &st, NULL) == SQLITE_OK, "%s",
		      sqlite3_errmsg(iw.stream->db));
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

struct live_value state_value(void)
{
	struct live_snapshot s;
	struct registry_ids ids;
	struct live_value v;

	ck_assert_int_eq(registry_find(iw.registry, "v1", "d1", &ids), 0);
	ck_assert_int_eq(live_get(iw.live, ids.vehicle, &s), 0);
	ck_assert_uint_eq(s.n, 1);
	ck_assert_uint_eq(s.slot[0].n, 1);
	v = s.slot[0].v[0];
	live_snapshot_free(&s);
	return v;
}
