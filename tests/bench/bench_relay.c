/* Relay ingest: messages per second until durably acknowledged, next to a bare subscriber on the
 * same broker in the same run, and the time from a publish to the API.
 *
 * bench_relay [--messages N] [--devices N] [--json FILE]
 * Starts mosquitto, towline-relay (next to this program) and itself as the bare subscriber: a
 * process of its own with the same MQTT client that only counts. The two are measured one after
 * the other with the same messages: two cores do not hold both. */
#include "base/loop.h"
#include "base/mqtt.h"
#include "proto/batch.h"
#include "proto/receipt.h"
#include "tests/bench/common.h"
#include "tests/bench/common_server.h"
#include "tests/fakes/broker.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
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
	bool subscribed;
	size_t n_messages, n_devices;
	struct message *messages; /* message i is of device i % n_devices, seq i / n_devices + 1 */
	uint64_t acked[DEVICES_MAX];
	double bare_rate, relay_rate, latency_p50_ms, latency_p99_ms, api_p50_ms, api_p99_ms;
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
	struct batch_header h = {.epoch = 1,
				 .seq = seq,
				 .wall_base_ns = timebase_wall(timebase_system()).ns,
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

static const struct mqtt_handlers handlers = {on_connected, on_disconnected, on_message,
					      on_published, on_subscribed};

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

static void publish(struct bench *b, size_t i)
{
	char topic[64];
	struct mqtt_publish p = {.topic = topic,
				 .payload = b->messages[i].data,
				 .len = b->messages[i].len,
				 .qos = 1};
	int r;

	snprintf(topic, sizeof(topic), "tl/1/up/0/bench/d%zu/bulk", i % b->n_devices);
	while ((r = mqtt_publish(b->mqtt, &p)) == -EAGAIN)
		turn(b, 10);
	if (r < 0)
		bench_die("publish: %s", strerror(-r));
	if (i % 16 == 0)
		turn(b, 0);
}

static bool all_acked(const struct bench *b)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < b->n_devices; i++)
		sum += b->acked[i];
	return sum >= b->n_messages;
}

static double rate_since(const struct bench *b, int64_t t0)
{
	return (double)b->n_messages / ((double)(bench_now_ns() - t0) / 1e9);
}

/* ---- the bare subscriber: a process of its own ---- */

struct bare {
	struct mqtt *mqtt;
	size_t left;
	bool ready;
};

static void bare_connected(void *ctx, bool session)
{
	(void)session;
	if (mqtt_subscribe(((struct bare *)ctx)->mqtt, "tl/1/up/#", 1) < 0)
		_exit(1);
}

static void bare_subscribed(void *ctx, const char *filter, int reason)
{
	(void)filter;
	if (reason >= 0x80 || write(STDOUT_FILENO, "r", 1) != 1)
		_exit(1);
	((struct bare *)ctx)->ready = true;
}

static void bare_message(void *ctx, const struct mqtt_message *m)
{
	struct bare *s = ctx;

	(void)m;
	if (s->left)
		s->left--;
}

static void bare_published(void *ctx, uint64_t cookie, int reason)
{
	(void)ctx;
	(void)cookie;
	(void)reason;
}

static void bare_disconnected(void *ctx, const char *reason)
{
	(void)ctx;
	fprintf(stderr, "bare subscriber: %s\n", reason);
	_exit(1);
}

static int run_bare(const char *uri, size_t n)
{
	static const struct mqtt_handlers h = {bare_connected, bare_disconnected, bare_message,
					       bare_published, bare_subscribed};
	struct mqtt_options opt = options(uri, "bench-bare");
	struct bare s = {.left = n};
	struct loop *l;

	if (loop_new(&l, timebase_system()) < 0 || mqtt_new(&s.mqtt, l, &opt, &h, &s) < 0)
		return EXIT_FAILURE;
	while (s.left) {
		if (loop_turn(l, 100) < 0)
			return EXIT_FAILURE;
	}
	if (write(STDOUT_FILENO, "d", 1) != 1)
		return EXIT_FAILURE;
	mqtt_free(s.mqtt);
	loop_free(l);
	return EXIT_SUCCESS;
}

static pid_t start_bare(const struct bench *b, int *ret_fd)
{
	char count[32];
	int fds[2];
	pid_t pid;

	snprintf(count, sizeof(count), "%zu", b->n_messages);
	if (pipe(fds) < 0)
		bench_die("pipe");
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl("/proc/self/exe", "bench_relay", "--bare", broker_uri(b->servers.broker),
		      count, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

static void measure_bare(struct bench *b)
{
	int fd, status;
	pid_t pid = start_bare(b, &fd);
	int64_t t0;
	char c;

	if (read(fd, &c, 1) != 1)
		bench_die("the bare subscriber is not there");
	t0 = bench_now_ns();
	for (size_t i = 0; i < b->n_messages; i++)
		publish(b, i);
	/* What is in flight of ours is the client's own threads' matter. */
	if (read(fd, &c, 1) != 1)
		bench_die("the bare subscriber did not get all");
	b->bare_rate = rate_since(b, t0);
	waitpid(pid, &status, 0);
	close(fd);
	for (int i = 0; i < 50; i++)
		turn(b, 10);
}

/* ---- the relay ---- */

static void measure_relay(struct bench *b)
{
	int64_t t0 = bench_now_ns();

	for (size_t i = 0; i < b->n_messages; i++)
		publish(b, i);
	while (!all_acked(b)) {
		turn(b, 50);
		if (bench_now_ns() - t0 > RUN_MS * NS_PER_MS)
			bench_die("not all batches were acknowledged");
	}
	b->relay_rate = rate_since(b, t0);
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

		publish(b, b->n_messages + i * b->n_devices);
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

static void print_table(const struct bench *b)
{
	printf("%-44s %12zu\n", "messages", b->n_messages);
	printf("%-44s %12zu\n", "devices", b->n_devices);
	printf("%-44s %12d\n", "samples a message", SIGNALS * ROWS);
	printf("%-44s %12ld\n", "bytes a message", b->batch_bytes);
	printf("%-44s %12.0f\n", "bare subscriber, messages/s", b->bare_rate);
	printf("%-44s %12.0f\n", "relay to durable receipt, messages/s", b->relay_rate);
	printf("%-44s %12.2f\n", "relay / bare", b->relay_rate / b->bare_rate);
	printf("%-44s %12.2f\n", "publish to API event p50, ms", b->latency_p50_ms);
	printf("%-44s %12.2f\n", "publish to API event p99, ms", b->latency_p99_ms);
	printf("%-44s %12.2f\n", "GET state p50, ms", b->api_p50_ms);
	printf("%-44s %12.2f\n", "GET state p99, ms", b->api_p99_ms);
	printf("%-44s %12ld\n", "relay RSS after load, KiB", b->rss_kib);
}

static json_t *to_json(const struct bench *b)
{
	return bench_must(json_pack(
		"{s:I, s:I, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "messages",
		(json_int_t)b->n_messages, "devices", (json_int_t)b->n_devices,
		"samples_per_message", SIGNALS * ROWS, "bytes_per_message",
		(json_int_t)b->batch_bytes, "bare_messages_per_s", b->bare_rate,
		"relay_messages_per_s", b->relay_rate, "publish_to_api_p50_ms", b->latency_p50_ms,
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
	measure_bare(b);
	bench_relay_start(&b->servers);
	register_all(b);
	measure_relay(b);
	b->rss_kib = read_rss(b->servers.relay);
	measure_latency(b);
	measure_api(b);
}

int main(int argc, char **argv)
{
	double messages = 20000, devices = 16;
	const struct bench_number numbers[] = {{"messages", &messages, DEVICES_MAX, 1000000},
					       {"devices", &devices, 1, DEVICES_MAX}};
	struct bench_args args = {.usage = "[--messages N] [--devices N] [--json FILE]",
				  .numbers = numbers,
				  .n_numbers = array_len(numbers)};
	static struct bench b; /* atexit stops its servers */

	if (argc == 4 && strcmp(argv[1], "--bare") == 0)
		return run_bare(argv[2], strtoul(argv[3], NULL, 10));
	bench_args_parse(&args, argc, argv);
	b.n_devices = (size_t)devices;
	b.n_messages = (size_t)messages - (size_t)messages % b.n_devices;
	run(&b);
	print_table(&b);
	bench_json_write(to_json(&b), args.json);
	stop(&b);
	return EXIT_SUCCESS;
}
