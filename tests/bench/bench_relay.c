/* Relay ingest: messages per second until durably acknowledged, next to a bare subscriber on the
 * same broker in the same run, and the time from a publish to the API.
 *
 * bench_relay [--messages N] [--devices N] [--rounds N] [--json FILE]
 * Starts mosquitto, towline-relay (next to this program) and itself as the bare subscriber: a
 * process of its own with Paho's client, that only counts. They take turns with the same messages,
 * each under a topic that only it subscribes to: two cores do not hold both. */
#include "base/loop.h"
#include "base/mqtt.h"
#include "proto/batch.h"
#include "proto/receipt.h"
#include "tests/bench/common.h"
#include "tests/bench/common_bare.h"
#include "tests/bench/common_server.h"
#include "tests/bench/common_versus.h"
#include "tests/fakes/broker.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SIGNALS = 10,
	ROWS = 20,
	DEVICES_MAX = 64,
	PROBES = 300,
	RUN_MS = 120000,
};

struct message {
	uint8_t *data;
	size_t len;
};

struct bench {
	struct bench_servers servers;
	struct loop *loop;
	struct mqtt *mqtt;
	struct catalog *cat;
	struct bare_subscriber bare;
	bool subscribed;
	size_t n_messages, n_devices, rounds; /* messages of all rounds */
	int64_t began_ns;		      /* wall time */
	struct message *messages; /* message i is of device i % n_devices, seq i / n_devices + 1 */
	uint64_t acked[DEVICES_MAX];
	struct versus versus;
	int64_t bare_cpu_ns, relay_cpu_ns; /* of the processes, all rounds */
	double latency_p50_ms, latency_p99_ms, api_p50_ms, api_p99_ms;
	long rss_kib, batch_bytes;
};

static void register_all(struct bench *b)
{
	static char out[BENCH_HTTP_MAX];
	char body[2048] = "{\"id\":\"bench\",\"devices\":[";

	for (size_t i = 0; i < b->n_devices; i++)
		snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s\"d%zu\"",
			 i ? "," : "", i);
	snprintf(body + strlen(body), sizeof(body) - strlen(body), "]}");
	if (bench_http(&b->servers, "POST", "/v1/vehicles", "application/json", body, strlen(body),
		       out) != 201 ||
	    bench_http(&b->servers, "POST", "/v1/catalogs", "application/octet-stream",
		       b->cat->bytes, b->cat->len, out) != 201)
		bench_die("the relay refused: %s", out);
}

/* ---- messages ---- */

static void change_signal(struct catalog_signal *s, uint32_t n)
{
	(void)n;
	s->factor = 0.1;
}

static void make_catalog(struct bench *b)
{
	static const struct bench_shape shape = {.messages = 1,
						 .signals = SIGNALS,
						 .bytes = 2 * SIGNALS,
						 .id = 1,
						 .change = change_signal};

	b->cat = bench_catalog(&shape);
}

static struct message make_message(struct bench *b, struct batch_builder *builder, uint64_t seq)
{
	/* A clock that is known and does not jump, as most of the time. */
	struct batch_header h = {.epoch = 1,
				 .seq = seq,
				 .boot_id = 1,
				 .wall_base_ns = b->began_ns + (int64_t)seq * NS_PER_MS,
				 .mono_base_ns = NS_PER_S + (int64_t)seq * NS_PER_MS,
				 .clock_quality = CLOCK_SYNCED,
				 .catalog_id = b->cat->id,
				 .time_unit_ns = 1000000};
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf out = BUF_INIT(1 << 20);
	struct sample s[SIGNALS];
	uint32_t encoding;

	batch_builder_reset(builder);
	for (uint64_t row = 0; row < ROWS; row++) {
		for (uint32_t i = 0; i < SIGNALS; i++)
			s[i] = (struct sample){.signal = i,
					       .raw = (seq * 31 + row * (i + 3) * 7) & 0xffff};
		if (batch_builder_add(builder, 0, (int64_t)row * 100 * NS_PER_MS, s, SIGNALS))
			bench_die("batch_builder_add");
	}
	if (batch_builder_encode(builder, &h, &body, &encoding) < 0 ||
	    envelope_encode(&(struct envelope){.epoch = h.epoch,
					       .seq = seq,
					       .encoding = encoding,
					       .body = body.data,
					       .body_len = body.len},
			    &out) < 0)
		bench_die("batch_builder_encode");
	return (struct message){.data = out.data, .len = out.len};
}

static void make_messages(struct bench *b)
{
	struct batch_builder *builder;

	/* One round more a device, for the probes. */
	b->messages = calloc(b->n_messages + PROBES * b->n_devices, sizeof(*b->messages));
	if (!b->messages || batch_builder_new(&builder, b->cat, SIGNALS * ROWS, 1000000) < 0)
		bench_die("out of memory");
	for (size_t i = 0; i < b->n_messages + PROBES * b->n_devices; i++)
		b->messages[i] = make_message(b, builder, i / b->n_devices + 1);
	b->batch_bytes = (long)b->messages[b->n_messages / 2].len;
	batch_builder_free(builder);
}

/* ---- the publisher ---- */

static void on_connected(void *ctx, bool session)
{
	struct bench *b = ctx;

	(void)session;
	if (mqtt_subscribe(b->mqtt, "tl/1/down/#", 1) < 0)
		bench_die("subscribe");
}

static void on_disconnected(void *ctx, const char *reason)
{
	(void)ctx;
	bench_die("lost the broker: %s", reason);
}

static void on_message(void *ctx, const struct mqtt_message *m)
{
	struct bench *b = ctx;
	struct receipt r;
	unsigned device;

	if (sscanf(m->topic, "tl/1/down/bench/d%u/receipt", &device) != 1 ||
	    device >= b->n_devices || receipt_decode(&r, m->payload, m->len, NULL) < 0)
		return;
	if (r.n_nacks)
		bench_die("the relay refused a batch: %s", nack_name(r.nacks[0].code));
	if (r.acked_through > b->acked[device])
		b->acked[device] = r.acked_through;
}

static void on_published(void *ctx, uint64_t cookie, int reason)
{
	(void)ctx;
	(void)cookie;
	if (reason >= 0x80)
		bench_die("publish refused: 0x%02x", (unsigned)reason);
}

static void on_subscribed(void *ctx, const char *filter, int reason)
{
	(void)filter;
	(void)reason;
	((struct bench *)ctx)->subscribed = true;
}

static const struct mqtt_handlers handlers = {.connected = on_connected,
					      .disconnected = on_disconnected,
					      .message = on_message,
					      .published = on_published,
					      .subscribed = on_subscribed};

static struct mqtt_options options(const char *uri, const char *id)
{
	return (struct mqtt_options){.uri = uri,
				     .client_id = id,
				     .keepalive_s = 60,
				     .backoff_min_ms = 100,
				     .backoff_max_ms = 1000,
				     .connect_timeout_s = 10,
				     .receive_maximum = 1000,
				     .queue_bytes = 16 << 20};
}

static void turn(struct bench *b, int ms)
{
	if (loop_turn(b->loop, ms) < 0)
		bench_die("loop_turn");
}

static void connect_publisher(struct bench *b)
{
	struct mqtt_options opt = options(broker_uri(b->servers.broker), "bench-publisher");

	if (loop_new(&b->loop, timebase_system()) < 0 ||
	    mqtt_new(&b->mqtt, b->loop, &opt, &handlers, b) < 0)
		bench_die("mqtt_new");
	while (!b->subscribed)
		turn(b, 100);
}

/* root: "tl" for the relay, "br" for the bare subscriber. */
static void publish(struct bench *b, const char *root, size_t i)
{
	char topic[64];
	struct mqtt_publish p = {.topic = topic,
				 .payload = b->messages[i].data,
				 .len = b->messages[i].len,
				 .qos = 1};
	int r;

	snprintf(topic, sizeof(topic), "%s/1/up/0/bench/d%zu/bulk", root, i % b->n_devices);
	while ((r = mqtt_publish(b->mqtt, &p)) == -EAGAIN)
		turn(b, 10);
	if (r < 0)
		bench_die("publish: %s", strerror(-r));
	if (i % 16 == 0)
		turn(b, 0);
}

/* The messages of a round are n from first on, a multiple of the devices. */
static bool all_acked(const struct bench *b, size_t end)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < b->n_devices; i++)
		sum += b->acked[i];
	return sum >= end;
}

static double rate_since(size_t n, int64_t t0)
{
	return (double)n / ((double)(bench_now_ns() - t0) / 1e9);
}

/* PUBACKs that are still due belong to the round that they came from. */
static void settle(struct bench *b)
{
	for (int i = 0; i < 20; i++)
		turn(b, 10);
}

static double measure_bare(struct bench *b, size_t first, size_t n)
{
	int64_t t0 = bench_now_ns(), cpu0 = bench_process_cpu_ns(b->bare.pid);
	double rate;

	for (size_t i = 0; i < n; i++)
		publish(b, "br", first + i);
	/* What is in flight of ours is the client's own threads' matter. */
	bare_subscriber_wait(&b->bare);
	rate = rate_since(n, t0);
	b->bare_cpu_ns += bench_process_cpu_ns(b->bare.pid) - cpu0;
	settle(b);
	return rate;
}

static double measure_relay(struct bench *b, size_t first, size_t n)
{
	int64_t t0 = bench_now_ns(), cpu0 = bench_process_cpu_ns(b->servers.relay);
	double rate;

	for (size_t i = 0; i < n; i++)
		publish(b, "tl", first + i);
	while (!all_acked(b, first + n)) {
		turn(b, 50);
		if (bench_now_ns() - t0 > RUN_MS * NS_PER_MS)
			bench_die("not all batches were acknowledged");
	}
	rate = rate_since(n, t0);
	b->relay_cpu_ns += bench_process_cpu_ns(b->servers.relay) - cpu0;
	settle(b);
	return rate;
}

static void measure_rates(struct bench *b)
{
	size_t n = b->n_messages / b->rounds;

	bare_subscriber_start(&b->bare, broker_uri(b->servers.broker), "br/1/up/#", n);
	for (size_t round = 0; round < b->rounds; round++) {
		double bare = measure_bare(b, round * n, n);

		versus_add(&b->versus, bare, measure_relay(b, round * n, n));
	}
	bare_subscriber_stop(&b->bare);
}

static long read_rss(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	}
	if (f)
		fclose(f);
	return kib;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void quantiles(double *ms, size_t n, double *p50, double *p99)
{
	qsort(ms, n, sizeof(*ms), by_value);
	*p50 = ms[n / 2];
	*p99 = ms[n * 99 / 100];
}

/* Reads events until the end of one of samples. */
static void wait_event(int fd)
{
	static char text[BENCH_HTTP_MAX];
	size_t n = 0;
	char *at;

	for (;;) {
		ssize_t got = recv(fd, text + n, sizeof(text) - 1 - n, 0);

		if (got <= 0)
			bench_die("no event came");
		n += (size_t)got;
		text[n] = '\0';
		at = strstr(text, "event: samples");
		if (at && strstr(at, "\n\n"))
			return;
		if (n > sizeof(text) / 2)
			n = 0;
	}
}

/* One batch at a time: from mqtt_publish until its event is read from the API. */
static void measure_latency(struct bench *b)
{
	static const char ask[] = "GET /v1/vehicles/bench/events HTTP/1.1\r\nHost: x\r\n\r\n";
	static double ms[PROBES];
	struct timeval limit = {.tv_sec = 10};
	char head[4096];
	int fd = bench_connect(b->servers.http_port);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0 ||
	    recv(fd, head, sizeof(head), 0) <= 0)
		bench_die("no events");
	usleep(300000);
	(void)!recv(fd, head, sizeof(head), MSG_DONTWAIT);
	for (size_t i = 0; i < PROBES; i++) {
		int64_t t0 = bench_now_ns();

		publish(b, "tl", b->n_messages + i * b->n_devices);
		wait_event(fd);
		ms[i] = (double)(bench_now_ns() - t0) / 1e6;
		turn(b, 5);
	}
	close(fd);
	quantiles(ms, PROBES, &b->latency_p50_ms, &b->latency_p99_ms);
}

static void measure_api(struct bench *b)
{
	static char out[BENCH_HTTP_MAX];
	static double ms[PROBES];

	for (size_t i = 0; i < PROBES; i++) {
		int64_t t0 = bench_now_ns();

		if (bench_http(&b->servers, "GET", "/v1/vehicles/bench/state", "text/plain", NULL,
			       0, out) != 200)
			bench_die("state: %s", out);
		ms[i] = (double)(bench_now_ns() - t0) / 1e6;
	}
	quantiles(ms, PROBES, &b->api_p50_ms, &b->api_p99_ms);
}

/* ---- the whole ---- */

static double us_a_message(const struct bench *b, int64_t cpu_ns)
{
	return (double)cpu_ns / 1e3 / (double)b->n_messages;
}

static void print_table(const struct bench *b)
{
	versus_print_head();
	versus_print(&b->versus);
	printf("\n%-44s %12zu\n", "messages", b->n_messages);
	printf("%-44s %12zu\n", "devices", b->n_devices);
	printf("%-44s %12d\n", "samples a message", SIGNALS * ROWS);
	printf("%-44s %12ld\n", "bytes a message", b->batch_bytes);
	printf("%-44s %12.1f\n", "bare subscriber, us of CPU a message",
	       us_a_message(b, b->bare_cpu_ns));
	printf("%-44s %12.1f\n", "relay, us of CPU a message", us_a_message(b, b->relay_cpu_ns));
	printf("%-44s %12.2f\n", "publish to API event p50, ms", b->latency_p50_ms);
	printf("%-44s %12.2f\n", "publish to API event p99, ms", b->latency_p99_ms);
	printf("%-44s %12.2f\n", "GET state p50, ms", b->api_p50_ms);
	printf("%-44s %12.2f\n", "GET state p99, ms", b->api_p99_ms);
	printf("%-44s %12ld\n", "relay RSS after load, KiB", b->rss_kib);
}

static json_t *to_json(const struct bench *b)
{
	return bench_must(json_pack(
		"{s:o, s:I, s:I, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "ingest",
		versus_json(&b->versus), "messages", (json_int_t)b->n_messages, "devices",
		(json_int_t)b->n_devices, "samples_per_message", SIGNALS * ROWS,
		"bytes_per_message", (json_int_t)b->batch_bytes, "bare_cpu_us_per_message",
		us_a_message(b, b->bare_cpu_ns), "relay_cpu_us_per_message",
		us_a_message(b, b->relay_cpu_ns), "publish_to_api_p50_ms", b->latency_p50_ms,
		"publish_to_api_p99_ms", b->latency_p99_ms, "get_state_p50_ms", b->api_p50_ms,
		"get_state_p99_ms", b->api_p99_ms, "relay_rss_kib", (json_int_t)b->rss_kib));
}

static void stop(struct bench *b)
{
	mqtt_free(b->mqtt);
	loop_free(b->loop);
	bench_servers_stop(&b->servers);
	for (size_t i = 0; i < b->n_messages + PROBES * b->n_devices; i++)
		free(b->messages[i].data);
	free(b->messages);
	catalog_free(b->cat);
}

static void run(struct bench *b)
{
	make_catalog(b);
	make_messages(b);
	bench_broker_start(&b->servers, "max_queued_messages 0\nmax_inflight_messages 1000");
	connect_publisher(b);
	bench_relay_start(&b->servers);
	register_all(b);
	measure_rates(b);
	b->rss_kib = read_rss(b->servers.relay);
	measure_latency(b);
	measure_api(b);
}

int main(int argc, char **argv)
{
	double messages = 20000, devices = 16, rounds = 5;
	const struct bench_number numbers[] = {{"messages", &messages, 1, 1000000},
					       {"devices", &devices, 1, DEVICES_MAX},
					       {"rounds", &rounds, 1, VERSUS_ROUNDS_MAX}};
	struct bench_args args = {.usage =
					  "[--messages N] [--devices N] [--rounds N] [--json FILE]",
				  .numbers = numbers,
				  .n_numbers = array_len(numbers)};
	static struct bench b = {
		.versus = {.name = "relay: broker to durable receipt", .unit = "messages"}};
	size_t step; /* each device has as many messages in each round */

	bare_main(argc, argv);
	bench_args_parse(&args, argc, argv);
	b.n_devices = (size_t)devices;
	b.rounds = (size_t)rounds;
	step = b.n_devices * b.rounds;
	b.n_messages = ((size_t)messages / step + 1) * step;
	b.began_ns = timebase_wall(timebase_system()).ns - 3600 * NS_PER_S;
	run(&b);
	print_table(&b);
	bench_json_write(to_json(&b), args.json);
	stop(&b);
	return EXIT_SUCCESS;
}
