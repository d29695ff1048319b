/* The relay's ingest and stream without memory. What a receipt says is on disk; what is right is
 * not called invalid; what was refused is taken when it comes again. This file has the functions of
 * base/mqtt.h. */
#include "proto/clock.h"
#include "relay/stream/internal.h"
#include "tests/unit/alloc_fixture.h"
#include "tests/unit/ingest_fixture.h"

#include <stdio.h>
#include <string.h>

enum {
	EPOCH = 5,
	OLD_EPOCH = 4,
	MESSAGES = 24,
	PAYLOAD_MAX = 2048,
	ROUNDS_MAX = 40,
	SEQS = 64,
};

/* ---- what is sent ---- */

struct message {
	char topic[TOPIC_MAX];
	uint8_t payload[PAYLOAD_MAX];
	size_t len;
	enum uplink_class class;
	uint64_t seq, through;
	bool batch;	/* becomes a row of its own */
	bool bad, copy; /* bad: is no message at all; copy: of one before */
};
static struct message messages[MESSAGES];
static size_t n_messages;
static bool told[CLASS_COUNT][SEQS];

/* ---- the broker ---- */

struct mqtt {
	const struct mqtt_handlers *on;
	void *ctx;
};

int mqtt_new(struct mqtt **ret, struct loop *loop, const struct mqtt_options *opt,
	     const struct mqtt_handlers *handlers, void *ctx)
{
	struct mqtt *m = calloc(1, sizeof(*m));

	(void)loop;
	(void)opt;
	if (!m)
		return -ENOMEM;
	m->on = handlers;
	m->ctx = ctx;
	*ret = m;
	return 0;
}

struct mqtt *mqtt_free(struct mqtt *m)
{
	free(m);
	return NULL;
}

bool mqtt_is_connected(const struct mqtt *m)
{
	(void)m;
	return true;
}

void mqtt_get_stats(const struct mqtt *m, struct mqtt_stats *ret)
{
	(void)m;
	*ret = (struct mqtt_stats){0};
}

int mqtt_subscribe(struct mqtt *m, const char *filter, int qos)
{
	(void)m;
	(void)filter;
	(void)qos;
	return 0;
}

static void note_told(enum uplink_class class, uint64_t from, uint64_t to)
{
	for (uint64_t seq = from; seq <= to && seq < SEQS; seq++)
		told[class][seq] = true;
}

static void check_nack(enum uplink_class class, const struct receipt_nack *n)
{
	if (n->code == NACK_BUSY)
		return;
	printf("nack of class %d seq %llu: %s\n", (int)class, (unsigned long long)n->seq,
	       nack_name(n->code));
	alloc_lost(1); /* the vehicle gives it up */
}

int mqtt_publish(struct mqtt *m, const struct mqtt_publish *p)
{
	void *copy = malloc(p->len);
	struct receipt r;

	(void)m;
	free(copy);
	if (!copy)
		return -ENOMEM;
	ck_assert_int_eq(receipt_decode(&r, p->payload, p->len, NULL), 0);
	for (size_t i = 0; i < r.n_nacks; i++)
		check_nack(r.class, &r.nacks[i]);
	if (r.epoch != EPOCH)
		return 0;
	note_told(r.class, 1, r.acked_through);
	for (size_t i = 0; i < r.n_ranges; i++)
		note_told(r.class, r.ranges[i].from, r.ranges[i].to);
	return 0;
}

/* ---- messages ---- */

static struct message *add(enum uplink_class class, const struct envelope *e)
{
	struct topic_up t = {.vehicle = "v1", .device = "d1", .class = class};
	struct message *m = &messages[n_messages++];
	struct buf out = {.data = m->payload, .cap = PAYLOAD_MAX, .max = PAYLOAD_MAX};

	ck_assert_uint_le(n_messages, MESSAGES);
	*m = (struct message){.class = class, .seq = e->seq, .through = e->seq};
	topic_format_up(&t, m->topic);
	ck_assert_int_eq(envelope_encode(e, &out), 0);
	m->len = out.len;
	return m;
}

static void add_batch(enum uplink_class class, uint64_t seq, uint64_t origin, uint64_t introduces)
{
	struct sent_batch b = {.epoch = EPOCH,
			       .seq = seq,
			       .class = class,
			       .boot = 9,
			       .mono_ns = (int64_t)seq * NS_PER_S,
			       .quality = seq % 2 ? CLOCK_SYNCED : CLOCK_FREE_RUNNING,
			       .first = seq,
			       .n = 20};
	struct buf body cleanup(buf_free) = BUF_INIT(PAYLOAD_MAX);
	struct envelope e = {.epoch = EPOCH,
			     .seq = seq,
			     .origin_epoch = origin ? OLD_EPOCH : 0,
			     .origin_seq = origin,
			     .introduces = introduces};

	make_batch_body(&b, &body, &e.encoding);
	e.body = body.data;
	e.body_len = body.len;
	add(class, &e)->batch = true;
}

static void add_gap(enum uplink_class class, uint64_t seq, uint64_t through)
{
	struct gap g = {.through = through, .reason = GAP_QUOTA, .batches = 2, .samples = 9};
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 10);
	struct envelope e = {.epoch = EPOCH, .seq = seq, .encoding = ENCODING_GAP};

	ck_assert_int_eq(gap_encode(&g, &body), 0);
	e.body = body.data;
	e.body_len = body.len;
	add(class, &e)->through = through;
}

static void add_clock(uint64_t seq)
{
	struct clock_notice n = {9, iw.clk.wall.ns, 5 * NS_PER_S, CLOCK_SYNCED};
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 10);
	struct envelope e = {.epoch = EPOCH, .seq = seq, .encoding = ENCODING_CLOCK};

	ck_assert_int_eq(clock_notice_encode(&n, &body), 0);
	e.body = body.data;
	e.body_len = body.len;
	add(CLASS_STATUS, &e);
}

static void add_copy(size_t i)
{
	messages[n_messages] = messages[i];
	messages[n_messages++].copy = true;
}

static void add_garbage(void)
{
	messages[n_messages] = messages[0];
	messages[n_messages].payload[0] ^= 0x55;
	messages[n_messages++].bad = true;
}

static void set_up(void)
{
	memset(told, 0, sizeof(told));
	n_messages = 0;
	ingest_setup();
	for (uint64_t seq = 1; seq <= 6; seq++)
		add_batch(CLASS_EVENT, seq, 0, seq == 2 ? 1001 : 0);
	add_gap(CLASS_EVENT, 7, 9);
	add_copy(2);
	add_batch(CLASS_BULK, 1, 11, 0);
	add_batch(CLASS_BULK, 2, 12, 0);
	add_garbage();
	add_clock(1);
	add_batch(CLASS_LIVE, 1, 0, 0);
	add_gap(CLASS_LIVE, 3, 3);
	add_batch(CLASS_LIVE, 2, 0, 0);
	add_batch(CLASS_EVENT, 10, 0, 0);
}

/* ---- what happens ---- */

static void hand_in(const struct message *m)
{
	struct mqtt_message in = {.topic = m->topic, .payload = m->payload, .len = m->len};

	ingest_accept(iw.in, &in);
}

static void pass(int64_t ns)
{
	timebase_fake_advance(&iw.clk, ns);
	ck_assert_int_eq(loop_turn(iw.in->loop, 0), 0);
}

static void run_ingest(void)
{
	for (size_t i = 0; i < n_messages; i++) {
		hand_in(&messages[i]);
		pass(NS_PER_S / 4);
		if (i % 5 == 4)
			ingest_commit(iw.in);
	}
	ingest_commit(iw.in);
	(void)ingest_maintain(iw.in);
}

static bool all_told(void)
{
	for (size_t i = 0; i < n_messages; i++)
		for (uint64_t q = messages[i].seq; !messages[i].bad && q <= messages[i].through;
		     q++)
			if (!told[messages[i].class][q])
				return false;
	return true;
}

static bool is_stored(const struct message *m)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM %s WHERE epoch = %d AND class = %d AND %s = %llu",
		 m->batch ? "batch" : "gap", EPOCH, (int)m->class, m->batch ? "seq" : "from_seq",
		 (unsigned long long)m->seq);
	return query_number(sql) == 1;
}

/* As after a kill: what is not on disk is gone, and what was told must not be. */
static void check_kept(void)
{
	ingest_close();
	ingest_open();
	for (size_t i = 0; i < n_messages; i++) {
		const struct message *m = &messages[i];

		if (m->bad || m->class == CLASS_STATUS)
			continue;
		if (!told[m->class][m->seq] || is_stored(m))
			continue;
		printf("class %d seq %llu was told\n", (int)m->class, (unsigned long long)m->seq);
		alloc_lost(1);
	}
}

static void check_ingest(void)
{
	int64_t rows = 0;
	int rounds = 0;

	check_kept();
	while (!all_told() && rounds++ < ROUNDS_MAX) {
		for (size_t i = 0; i < n_messages; i++)
			if (!messages[i].bad)
				hand_in(&messages[i]);
		pass(10 * NS_PER_S);
		maintain_all();
		pass(10 * NS_PER_S);
	}
	ck_assert(all_told());
	check_kept();
	for (size_t i = 0; i < n_messages; i++)
		rows += messages[i].batch && !messages[i].bad && !messages[i].copy;
	ck_assert_int_eq(query_number("SELECT count(*) FROM batch"), rows);
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap WHERE reason <> 0"), 2);
}

/* ---- the relay starts ---- */

static void set_up_start(void)
{
	set_up();
	run_ingest();
	ingest_close();
}

static int open_ingest(void)
{
	struct ingest_options opt = {
		.tb = &iw.clk.tb,
		.registry = iw.registry,
		.hub = iw.hub,
		.mqtt = {.uri = ingest_uri,
			 .client_id = "x",
			 .backoff_min_ms = 1000,
			 .backoff_max_ms = 1000,
			 .connect_timeout_s = 1,
			 .queue_bytes = 1 << 16},
		.tuning = {.group_commit_ms = 1000, .group_commit_batches = 1000},
	};
	struct error err = {""};
	int r = stream_open(&iw.stream, store_path("stream.db"), 0, &err);

	if (r == 0)
		r = live_new(&iw.live);
	opt.stream = iw.stream;
	opt.live = iw.live;
	if (r == 0)
		r = ingest_new(&iw.in, &opt, &err);
	ck_assert_msg(r == 0 || r == -ENOMEM, "%d %s", r, err.text);
	return r;
}

static void run_start(void)
{
	(void)open_ingest();
	ingest_close();
}

static void check_start(void)
{
	ck_assert_int_eq(open_ingest(), 0);
	check_ingest();
}

static const struct alloc_scenario scenarios[] = {
	{"ingest", set_up, run_ingest, check_ingest, ingest_teardown},
	{"start the relay's ingest", set_up_start, run_start, check_start, ingest_teardown},
};

int main(void)
{
	return alloc_main("alloc_relay", scenarios, array_len(scenarios));
}
