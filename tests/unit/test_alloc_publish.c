/* Publishing without memory: an outbox, and a broker with a relay behind it that are played here:
 * this file has the functions of base/mqtt.h. All that was stored gets to the relay, or is told by
 * a gap that it asked for, once there is memory again; and meanwhile nothing spins. */
#include "agent/publish/uplink.h"
#include "proto/batch_rebase.h"
#include "proto/context.h"
#include "tests/unit/alloc_fixture.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/small_catalog.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	PATH = 128,
	SEQS = 200,
	WAY_MAX = 64, /* messages between vehicle and relay */
	PAYLOAD_MAX = 4096,
	BOOT = 77,
	TURN_MS = 100,
	TURNS = 80,
	TURNS_MAX = 30000, /* until all is delivered; most of the time is waited for receipts */
	PUBLISHES_MAX = 2000,
};

static char dir[64], path[PATH];
static struct store *store;
static struct publish *publish;
static struct counters counters;
static struct error err;
static enum clock_quality quality;

/* ---- the broker ---- */

struct mqtt {
	const struct mqtt_handlers *on;
	void *ctx;
	bool connected, subscribing;
};

static struct {
	uint8_t payload[PAYLOAD_MAX];
	size_t len;
	enum uplink_class class;
	uint64_t cookie;
} way[WAY_MAX];
static size_t n_way, n_publishes;
static struct mqtt *mqtt;

int mqtt_new(struct mqtt **ret, struct loop *loop, const struct mqtt_options *opt,
	     const struct mqtt_handlers *handlers, void *ctx)
{
	(void)loop;
	(void)opt;
	mqtt = calloc(1, sizeof(*mqtt));
	if (!mqtt)
		return -ENOMEM;
	mqtt->on = handlers;
	mqtt->ctx = ctx;
	*ret = mqtt;
	return 0;
}

struct mqtt *mqtt_free(struct mqtt *m)
{
	free(m);
	mqtt = NULL;
	return NULL;
}

bool mqtt_is_connected(const struct mqtt *m)
{
	return m->connected;
}

uint32_t mqtt_packet_maximum(const struct mqtt *m)
{
	(void)m;
	return 256 << 20;
}

void mqtt_get_stats(const struct mqtt *m, struct mqtt_stats *ret)
{
	(void)m;
	*ret = (struct mqtt_stats){.published = n_publishes};
}

/* The real one copies what it is given, too. */
static bool has_memory(size_t len)
{
	void *p = malloc(len);

	free(p);
	return p;
}

int mqtt_subscribe(struct mqtt *m, const char *filter, int qos)
{
	(void)qos;
	if (!has_memory(strlen(filter)))
		return -ENOMEM;
	m->subscribing = true;
	return 0;
}

int mqtt_publish(struct mqtt *m, const struct mqtt_publish *p)
{
	struct topic_up up;

	if (!m->connected)
		return -ENOTCONN;
	if (n_way == WAY_MAX)
		return -EAGAIN;
	if (!has_memory(p->len))
		return -ENOMEM;
	ck_assert_int_eq(topic_parse_up(p->topic, &up, NULL), 0);
	ck_assert_uint_le(p->len, PAYLOAD_MAX);
	memcpy(way[n_way].payload, p->payload, p->len);
	way[n_way].len = p->len;
	way[n_way].class = up.class;
	way[n_way++].cookie = p->cookie;
	ck_assert_uint_lt(n_publishes++, PUBLISHES_MAX);
	return 0;
}

static void connect_agent(bool connected)
{
	n_way = 0;
	mqtt->connected = connected;
	mqtt->subscribing = false;
	if (connected)
		mqtt->on->connected(mqtt->ctx, false);
	else
		mqtt->on->disconnected(mqtt->ctx, "played");
}

/* ---- the relay ---- */

static bool has[CLASS_COUNT][SEQS], in_gap[CLASS_COUNT][SEQS];
static struct context contexts[CLASS_COUNT];
static bool told_busy, deaf;

/* Expanded, where it is short. The relay has a memory of its own. */
static void read_envelope(size_t i, struct envelope *ret)
{
	static uint8_t whole[PAYLOAD_MAX];
	struct buf out = {.data = whole, .cap = sizeof(whole), .max = sizeof(whole)};
	const struct context *c = &contexts[way[i].class];

	if (!context_is_short(way[i].payload, way[i].len)) {
		ck_assert_int_eq(envelope_decode(ret, way[i].payload, way[i].len, &err), 0);
		return;
	}
	ck_assert_int_eq(context_expand(c, way[i].payload, way[i].len, &out, ret, &err), 0);
}

static void send_receipt(const struct receipt *r)
{
	static uint8_t bytes[4096];
	struct buf out = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
	char topic[TOPIC_MAX];
	struct mqtt_message m = {.topic = topic};

	ck_assert_int_eq(receipt_encode(r, &out), 0);
	topic_format_receipt("v1", "d1", topic);
	m.payload = out.data;
	m.len = out.len;
	mqtt->on->message(mqtt->ctx, &m);
}

static void take_gap(enum uplink_class class, const struct envelope *e)
{
	struct gap gap;

	ck_assert_int_eq(gap_decode(&gap, e->seq, e->body, e->body_len, &err), 0);
	ck_assert_uint_ne(gap.reason, GAP_CORRUPT);
	ck_assert_uint_ne(gap.reason, GAP_RECEIPTED);
	for (uint64_t seq = e->seq; seq <= gap.through && seq < SEQS; seq++)
		in_gap[class][seq] = true;
}

static void acknowledge(enum uplink_class class, struct receipt *r)
{
	uint64_t through = 0;

	while (through + 1 < SEQS && (has[class][through + 1] || in_gap[class][through + 1]))
		through++;
	r->acked_through = through;
	for (uint64_t seq = through + 2; seq < SEQS && r->n_ranges < RECEIPT_RANGES_MAX; seq++)
		if (has[class][seq] || in_gap[class][seq])
			r->ranges[r->n_ranges++] = (struct receipt_range){seq, seq};
}

/* Bulk 3 cannot be read, and live 2 must wait a little. */
static void take_message(size_t i)
{
	enum uplink_class class = way[i].class;
	struct receipt r = {.class = class};
	struct envelope e;

	read_envelope(i, &e);
	ck_assert_uint_lt(e.seq, SEQS);
	r.epoch = e.epoch;
	if (e.encoding == ENCODING_GAP) {
		take_gap(class, &e);
	} else if (class == CLASS_BULK && e.seq == 3) {
		r.nacks[r.n_nacks++] = (struct receipt_nack){e.seq, NACK_INVALID, 0};
	} else if (class == CLASS_LIVE && e.seq == 2 && !told_busy) {
		told_busy = true;
		r.nacks[r.n_nacks++] = (struct receipt_nack){e.seq, NACK_BUSY, 1};
	} else {
		has[class][e.seq] = true;
	}
	if (e.introduces && context_make(&contexts[class], &e, (uint64_t)(e.introduces - 1)) == 0)
		r.context = contexts[class].id;
	acknowledge(class, &r);
	send_receipt(&r);
}

static void serve(void)
{
	size_t n = n_way;

	if (!mqtt || !mqtt->connected)
		return;
	if (mqtt->subscribing) {
		mqtt->subscribing = false;
		mqtt->on->subscribed(mqtt->ctx, "x", 1);
	}
	for (size_t i = 0; i < n; i++)
		mqtt->on->published(mqtt->ctx, way[i].cookie, 0);
	for (size_t i = 0; i < n && !deaf; i++)
		take_message(i);
	memmove(way, way + n, (n_way - n) * sizeof(*way));
	n_way -= n;
}

/* ---- the vehicle ---- */

static enum clock_quality say_quality(void *ctx)
{
	(void)ctx;
	return quality;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void on_corrupt(void *ctx)
{
	(void)ctx;
	ck_abort_msg("the outbox was called damaged");
}

static struct publish_options publish_options(void)
{
	return (struct publish_options){
		.vehicle = "v1",
		.device = "d1",
		.window_rows = 64,
		.window_bytes = 64 << 10,
		.receipt_timeout_ns = 2 * NS_PER_S,
		.boot_id = BOOT,
		.tb = &fake.tb,
		.clock_quality = say_quality,
		.changed = nothing,
		.corrupt = on_corrupt,
	};
}

static int start_publish(void)
{
	struct publish_options opt = publish_options();

	return publish_new(&publish, l, store, &counters, &opt);
}

static void put_field(struct buf *b, unsigned field, uint64_t v)
{
	buf_put_varint(b, field << 3);
	buf_put_varint(b, v);
}

/* A batch of one sample, of which the header alone is right. */
static void make_body(struct buf *out, uint64_t i)
{
	static const uint8_t zeros[100];

	buf_put_varint(out, 2 << 3 | 1);
	buf_put_fixed64(out, BOOT);
	put_field(out, 4, zigzag_encode((int64_t)(fake.wall.ns / NS_PER_MS)));
	put_field(out, 6, zigzag_encode((int64_t)(1000 + i * 50)));
	put_field(out, 7, 1);
	put_field(out, 9, (uint64_t)(CLOCK_SYNCED - quality));
	buf_put_varint(out, 100 << 3 | 2);
	buf_put_varint(out, 30 + i % 40);
	ck_assert_int_eq(buf_put(out, zeros, 30 + i % 40), 0);
}

/* May fail without memory: then there is one less to deliver. */
static void put(enum uplink_class class)
{
	uint8_t bytes[256];
	struct buf body = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
	struct store_item item = {.class = class, .samples = 1, .encoding = ENCODING_BATCH};
	struct store_dropped dropped;
	struct store_count stored;

	make_body(&body, store_last_seq(store, class));
	item.body = body.data;
	item.body_len = body.len;
	if (ck_assert_enomem(store_put(store, &item, 1, &stored, &dropped)) == 0 && publish)
		publish_kick(publish);
}

static void open_store(void)
{
	struct store_options opt = {.max_bytes = 1 << 20, .boot_id = BOOT, .tb = &fake.tb};
	struct store_opened opened;

	ck_assert_msg(store_open(&store, path, &opt, &opened, &err) == 0, "%s", err.text);
}

static void remove_files(void)
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

static void set_up_world(void)
{
	set_up();
	timebase_fake_init(&fake, 100 * NS_PER_S, 1000 * NS_PER_S);
	quality = CLOCK_FREE_RUNNING;
	memset(&counters, 0, sizeof(counters));
	memset(has, 0, sizeof(has));
	memset(in_gap, 0, sizeof(in_gap));
	n_way = n_publishes = 0;
	told_busy = deaf = false;
	open_store();
}

static void set_up_backlog(void)
{
	set_up_world();
	for (int i = 0; i < 8; i++)
		for (unsigned k = 0; k < CLASS_COUNT; k++)
			put((enum uplink_class)k);
}

static void tear_down_world(void)
{
	publish = publish_free(publish);
	store = store_close(store);
	tear_down();
	remove_files();
}

static void turn_once(void)
{
	timebase_fake_advance(&fake, TURN_MS * NS_PER_MS);
	turn();
	serve();
}

/* New rows, a clock that becomes known, a connection that breaks. */
static void story(void)
{
	for (int i = 0; i < TURNS; i++) {
		if (i % 3 == 0)
			put((enum uplink_class)(i / 3 % CLASS_COUNT));
		if (i == 20 || i == 40)
			connect_agent(i == 40 ? false : mqtt->connected);
		if (i == 45)
			connect_agent(true);
		if (i == 50) {
			quality = CLOCK_SYNCED;
			fake.wall.ns = 1700000000 * NS_PER_S;
		}
		deaf = i > 55 && i < 60;
		turn_once();
	}
}

static void run_publish(void)
{
	if (ck_assert_enomem(start_publish()) < 0)
		return;
	connect_agent(true);
	story();
}

static void count_lost(void)
{
	uint64_t lost = 0;

	for (unsigned k = 0; k < CLASS_COUNT; k++)
		for (uint64_t q = 1; q <= store_last_seq(store, (enum uplink_class)k); q++)
			lost += !has[k][q] && !(in_gap[k][q] && k == CLASS_BULK && q == 3);
	alloc_lost(lost);
}

static void check_publish(void)
{
	int turns = 0;

	deaf = false;
	if (!publish) {
		ck_assert_int_eq(start_publish(), 0);
		connect_agent(true);
	}
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		put((enum uplink_class)k);
	while (store_totals(store).rows > 0 && turns++ < TURNS_MAX)
		turn_once();
	ck_assert_uint_eq(store_totals(store).rows, 0);
	count_lost();
	ck_assert(in_gap[CLASS_BULK][3] && told_busy);
	if (!alloc_heal()) /* else they may have been too late */
		ck_assert_uint_gt(counter_get(&counters.batches_short), 0);
	ck_assert_uint_eq(counter_get(&counters.gaps_receipted), 0);
	ck_assert_uint_eq(counter_get(&counters.batches_corrupt), 0);
}

/* ---- the back thread's life, but for its thread ---- */

static struct uplink *uplink;
static struct batch_queue *queue;
static struct catalog *cat;

static void set_up_uplink(void)
{
	static const char *const names[5] = {"A", "a1", "a2", "B", "b1"};

	set_up();
	timebase_fake_init(&fake, 100 * NS_PER_S, 1700000000 * NS_PER_S);
	quality = CLOCK_SYNCED;
	memset(&counters, 0, sizeof(counters));
	cat = two_messages(names);
	ck_assert_int_eq(batch_queue_new(&queue, cat, NULL, 2, 64, 1000000), 0);
}

static int make_uplink(void)
{
	static const struct uplink_handlers on = {nothing, nothing, on_corrupt, nothing, NULL};
	struct uplink_options opt = {
		.outbox_path = path,
		.store = {.max_bytes = 1 << 20, .boot_id = BOOT, .tb = &fake.tb},
		.publish = publish_options(),
		.tb = &fake.tb,
	};

	opt.publish.mqtt.uri = "mqtt://played";
	return uplink_new(&uplink, queue, &counters, &opt, &on, &err);
}

static void run_uplink(void)
{
	int r = make_uplink();

	ck_assert_msg(r == 0 || (r == -ENOMEM && *err.text), "%d %s", r, err.text);
	uplink = uplink_free(uplink);
}

static void check_uplink(void)
{
	ck_assert_msg(make_uplink() == 0, "%s", err.text);
}

static void tear_down_uplink(void)
{
	uplink = uplink_free(uplink);
	queue = batch_queue_free(queue);
	cat = catalog_free(cat);
	tear_down();
	remove_files();
}

static const struct alloc_scenario scenarios[] = {
	{"publish", set_up_backlog, run_publish, check_publish, tear_down_world},
	{"make an uplink", set_up_uplink, run_uplink, check_uplink, tear_down_uplink},
};

int main(void)
{
	int failed;

	snprintf(dir, sizeof(dir), "%s/towline-alloc-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	failed = alloc_main("alloc_publish", scenarios, array_len(scenarios));
	remove_files();
	(void)rmdir(dir);
	return failed;
}
