/* Drain: rows a second from a full outbox over the broker to a receiver, until their receipts have
 * come and they are deleted; next to bare Paho, that publishes the same payloads to the same broker
 * with the same window and QoS 1, until a bare subscriber has them all. The two take turns. The
 * receiver is a bare subscriber, too, that gives receipts.
 *
 * bench_drain [--kib N] [--rounds N] [--json FILE]
 * kib: payload of a round. The outbox lies under TMPDIR or /var/tmp, which must be on disk. */
#include "agent/publish/publish.h"
#include "base/loop.h"
#include "proto/batch.h"
#include "proto/receipt.h"
#include "tests/bench/common.h"
#include "tests/bench/common_bare.h"
#include "tests/bench/common_disk.h"
#include "tests/bench/common_server.h"
#include "tests/bench/common_versus.h"
#include "tests/fakes/broker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WINDOW = MQTT_INFLIGHT_MAX, /* without PUBACK, in both */
	WINDOW_ROWS = 1024,	    /* without receipt, as the agent has it */
	WINDOW_BYTES = 4 << 20,
	SIGNALS = 50,
	BODIES = 16, /* different ones */
	PUT_AT_ONCE = 16,
	BODY_MAX = 1 << 20,
	SAMPLES_MAX = 40000,
	RUN_S = 60,
	/* The receiver's: as soon as a relay may say it, and no later. */
	RECEIPT_EVERY = 32,
	RECEIPT_MS = 2,
};

#define RECEIVER_ARG "--receiver"

/* Samples a batch; with random values each takes about two bytes. */
static const size_t sample_counts[] = {300, 1850, 12500};

struct body {
	struct buf data, envelope;
	uint32_t encoding;
};

struct bench {
	struct bench_servers servers;
	struct loop *loop;
	struct store *store;
	struct publish *publish;
	struct counters counters;
	pid_t receiver;
	struct bare_publisher *bare;
	struct body bodies[BODIES];
	size_t payload, rounds; /* bytes a round */
	json_t *json;
};

/* ---- the receiver: a process of its own ---- */

struct progress {
	struct topic_up topic;
	uint64_t epoch, through;
};

struct receiver {
	struct bare_receiver bare; /* first */
	pthread_mutex_t lock;	   /* not held while Paho is called: it holds its own meanwhile */
	struct progress now;
	uint64_t told;
	int waits_ms;
};

/* What Paho has no room for is said with the next one. */
static bool send_receipt(struct receiver *v, const struct progress *p)
{
	struct receipt r = {
		.epoch = p->epoch, .class = p->topic.class, .acked_through = p->through};
	struct buf b cleanup(buf_free) = BUF_INIT(4096);
	char topic[TOPIC_MAX];

	topic_format_receipt(p->topic.vehicle, p->topic.device, topic);
	if (receipt_encode(&r, &b) < 0)
		bench_die("receiver: receipt_encode");
	return bare_send(&v->bare, topic, b.data, b.len);
}

/* Whether so many wait for a receipt, or nothing has come for so long; they are taken for told
 * then. waited_ms 0: one has come. */
static bool receipt_is_due(struct receiver *v, int waited_ms, struct progress *ret)
{
	bool due;

	pthread_mutex_lock(&v->lock);
	v->waits_ms = waited_ms && v->now.through > v->told ? v->waits_ms + waited_ms : 0;
	due = v->now.through - v->told >= RECEIPT_EVERY || v->waits_ms >= RECEIPT_MS;
	if (due) {
		v->told = v->now.through;
		v->waits_ms = 0;
	}
	*ret = v->now;
	pthread_mutex_unlock(&v->lock);
	return due;
}

static void tell(struct receiver *v, int waited_ms)
{
	struct progress p;

	if (!receipt_is_due(v, waited_ms, &p) || send_receipt(v, &p))
		return;
	pthread_mutex_lock(&v->lock);
	v->told = 0;
	pthread_mutex_unlock(&v->lock);
}

static void take(struct bare_receiver *bare, const char *topic, const void *data, size_t len)
{
	struct receiver *v = (struct receiver *)bare;
	struct error err = {""};
	struct topic_up t;
	struct envelope e;

	if (topic_parse_up(topic, &t, &err) < 0 || envelope_decode(&e, data, len, &err) < 0)
		bench_die("receiver: %s", err.text);
	pthread_mutex_lock(&v->lock);
	if (e.seq > v->now.through + 1)
		bench_die("receiver: seq %llu after %llu", (unsigned long long)e.seq,
			  (unsigned long long)v->now.through);
	v->now.topic = t;
	v->now.epoch = e.epoch;
	if (e.seq == v->now.through + 1)
		v->now.through = e.seq;
	pthread_mutex_unlock(&v->lock);
	tell(v, 0);
}

static void tell_the_rest(struct bare_receiver *bare)
{
	tell((struct receiver *)bare, 1);
}

static void receiver_main(const char *uri)
{
	static struct receiver v = {.bare = {.id = "bench-receiver",
					     .filter = "tl/1/up/#",
					     .message = take,
					     .each_ms = tell_the_rest},
				    .lock = PTHREAD_MUTEX_INITIALIZER};

	v.bare.uri = uri;
	bare_receive(&v.bare);
}

static void start_receiver(struct bench *b)
{
	int fds[2];
	char c;

	if (pipe(fds) < 0)
		bench_die("pipe");
	b->receiver = fork();
	if (b->receiver == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl("/proc/self/exe", "bench_drain", RECEIVER_ARG, broker_uri(b->servers.broker),
		      (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1)
		bench_die("the receiver is not there");
	close(fds[0]);
}

/* ---- bodies ---- */

static void encode_body(struct body *body, struct batch_builder *builder, const struct catalog *cat)
{
	struct batch_header h = {.epoch = 1,
				 .seq = 1,
				 .wall_base_ns = timebase_wall(timebase_system()).ns,
				 .catalog_id = cat->id,
				 .time_unit_ns = 1000000};

	buf_clear(&body->data);
	buf_clear(&body->envelope);
	if (batch_builder_encode(builder, &h, &body->data, &body->encoding) < 0 ||
	    envelope_encode(&(struct envelope){.epoch = h.epoch,
					       .seq = h.seq,
					       .encoding = body->encoding,
					       .body = body->data.data,
					       .body_len = body->data.len},
			    &body->envelope) < 0)
		bench_die("cannot encode");
}

static void make_bodies(struct bench *b, size_t samples)
{
	static const struct bench_shape shape = {
		.messages = 1, .signals = SIGNALS, .bytes = 2 * SIGNALS, .id = 1};
	struct catalog *cat = bench_catalog(&shape);
	struct batch_builder *builder;
	struct sample s[SIGNALS];

	if (batch_builder_new(&builder, cat, SAMPLES_MAX, 1000000) < 0)
		bench_die("out of memory");
	for (size_t k = 0; k < BODIES; k++) {
		batch_builder_reset(builder);
		for (size_t row = 0; row < samples / SIGNALS; row++) {
			for (uint32_t i = 0; i < SIGNALS; i++)
				s[i] = (struct sample){.signal = i, .raw = bench_rnd() & 0xffff};
			if (batch_builder_add(builder, 0, (int64_t)row * 100 * NS_PER_MS, s,
					      SIGNALS) != 0)
				bench_die("batch_builder_add");
		}
		encode_body(&b->bodies[k], builder, cat);
	}
	batch_builder_free(builder);
	catalog_free(cat);
}

/* ---- ours ---- */

static void on_changed(void *ctx)
{
	(void)ctx;
}

static void on_corrupt(void *ctx)
{
	(void)ctx;
	bench_die("the outbox is damaged");
}

static void start_ours(struct bench *b)
{
	struct store_options opt = {.max_bytes = (int64_t)4 << 30,
				    .relaxed = 1u << CLASS_BULK,
				    .sync_ns = NS_PER_S,
				    .boot_id = 1,
				    .tb = timebase_system()};
	struct publish_options pub = {.vehicle = "bench",
				      .device = "d0",
				      .mqtt = {.uri = broker_uri(b->servers.broker),
					       .keepalive_s = 60,
					       .session_expiry_s = 60,
					       .backoff_min_ms = 100,
					       .backoff_max_ms = 1000,
					       .connect_timeout_s = 10,
					       .queue_bytes = 1 << 20},
				      .window_rows = WINDOW_ROWS,
				      .window_bytes = WINDOW_BYTES,
				      .receipt_timeout_ns = 30 * NS_PER_S,
				      .tb = timebase_system(),
				      .changed = on_changed,
				      .corrupt = on_corrupt};
	struct store_opened opened;
	struct error err = {""};
	char path[256];

	snprintf(path, sizeof(path), "%s/outbox.db", bench_disk_folder());
	if (store_open(&b->store, path, &opt, &opened, &err) < 0)
		bench_die("%s", err.text);
	if (loop_new(&b->loop, timebase_system()) < 0 ||
	    publish_new(&b->publish, b->loop, b->store, &b->counters, &pub) < 0)
		bench_die("cannot publish");
}

static void put(struct bench *b, size_t n)
{
	struct store_item items[PUT_AT_ONCE];
	struct store_dropped dropped;
	struct store_count stored;

	while (n > 0) {
		size_t k = n < PUT_AT_ONCE ? n : PUT_AT_ONCE;

		for (size_t i = 0; i < k; i++) {
			const struct body *body = &b->bodies[(n - i) % BODIES];

			items[i] = (struct store_item){.class = CLASS_BULK,
						       .samples = 1,
						       .encoding = body->encoding,
						       .body = body->data.data,
						       .body_len = body->data.len};
		}
		if (store_put(b->store, items, k, &stored, &dropped) < 0 || stored.rows != k)
			bench_die("store_put");
		n -= k;
	}
}

static void drain(struct bench *b)
{
	int64_t end = bench_now_ns() + RUN_S * NS_PER_S;

	publish_kick(b->publish);
	while (store_totals(b->store).rows > 0) {
		struct mono_time due;

		if (loop_turn(b->loop, 50) < 0)
			bench_die("loop_turn");
		if (store_flush_due(b->store, &due) &&
		    due.ns <= timebase_mono(timebase_system()).ns && store_tend(b->store) < 0)
			bench_die("store_tend");
		if (bench_now_ns() > end)
			bench_die("not drained: %llu rows left",
				  (unsigned long long)store_totals(b->store).rows);
	}
	if (store_flush(b->store) < 0)
		bench_die("store_flush");
}

static double rate_ours(struct bench *b, size_t n)
{
	int64_t t0;

	put(b, n);
	if (store_flush(b->store) < 0)
		bench_die("store_flush");
	t0 = bench_now_ns();
	drain(b);
	return (double)n / ((double)(bench_now_ns() - t0) / 1e9);
}

/* ---- the limit ---- */

static double rate_bare(struct bench *b, struct bare_subscriber *sub, size_t n)
{
	int64_t t0 = bench_now_ns();

	for (size_t i = 0; i < n; i++) {
		const struct buf *e = &b->bodies[i % BODIES].envelope;

		bare_publish(b->bare, "br/1/up/0/bench/d0/bulk", e->data, e->len);
	}
	bare_subscriber_wait(sub);
	return (double)n / ((double)(bench_now_ns() - t0) / 1e9);
}

/* ---- the whole ---- */

static void measure(struct bench *b, size_t samples)
{
	struct bare_subscriber sub;
	struct versus v = {.unit = "rows"};
	char name[64];
	size_t n;

	make_bodies(b, samples);
	n = b->payload / b->bodies[0].envelope.len + 1;
	snprintf(name, sizeof(name), "drain: %zu bytes, %zu rows a round",
		 b->bodies[0].envelope.len, n);
	v.name = name;
	bare_subscriber_start(&sub, broker_uri(b->servers.broker), "br/1/up/#", n);
	for (size_t i = 0; i < b->rounds; i++) {
		double bare = rate_bare(b, &sub, n);

		versus_add(&v, bare, rate_ours(b, n));
	}
	bare_subscriber_stop(&sub);
	versus_print(&v);
	json_array_append_new(b->json, versus_json(&v));
}

static void run(struct bench *b)
{
	for (size_t i = 0; i < BODIES; i++) {
		b->bodies[i].data = BUF_INIT(BODY_MAX);
		b->bodies[i].envelope = BUF_INIT(BODY_MAX);
	}
	b->json = bench_must(json_array());
	bench_broker_start(&b->servers, "max_queued_messages 0\nmax_inflight_messages 1000");
	start_receiver(b);
	start_ours(b);
	b->bare = bare_publisher_start(broker_uri(b->servers.broker), WINDOW);
	/* The connection, its session and its first receipt are not what is measured. */
	make_bodies(b, sample_counts[0]);
	put(b, WINDOW);
	drain(b);
	printf("window %d; receipts after %d rows, or %d ms without one; outbox on %s\n", WINDOW,
	       RECEIPT_EVERY, RECEIPT_MS, bench_disk_kind());
	versus_print_head();
	for (size_t i = 0; i < array_len(sample_counts); i++)
		measure(b, sample_counts[i]);
}

static void stop(struct bench *b)
{
	publish_free(b->publish);
	store_close(b->store);
	loop_free(b->loop);
	bare_publisher_stop(b->bare);
	kill(b->receiver, SIGKILL);
	waitpid(b->receiver, NULL, 0);
	bench_servers_stop(&b->servers);
	for (size_t i = 0; i < BODIES; i++) {
		buf_free(&b->bodies[i].data);
		buf_free(&b->bodies[i].envelope);
	}
}

int main(int argc, char **argv)
{
	double kib = 8192, rounds = 5;
	const struct bench_number numbers[] = {{"kib", &kib, 64, 1048576},
					       {"rounds", &rounds, 1, VERSUS_ROUNDS_MAX}};
	struct bench_args args = {.usage = "[--kib N] [--rounds N] [--json FILE]",
				  .numbers = numbers,
				  .n_numbers = array_len(numbers)};
	static struct bench b; /* atexit stops its servers */

	bare_main(argc, argv);
	if (argc == 3 && strcmp(argv[1], RECEIVER_ARG) == 0)
		receiver_main(argv[2]);
	bench_args_parse(&args, argc, argv);
	b.payload = (size_t)kib << 10;
	b.rounds = (size_t)rounds;
	run(&b);
	stop(&b);
	bench_json_write(bench_must(json_pack("{s:i, s:s, s:o}", "window", WINDOW, "file_system",
					      bench_disk_kind(), "rates", b.json)),
			 args.json);
	return EXIT_SUCCESS;
}
