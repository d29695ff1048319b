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

#include <arpa/inet.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SIGNALS = 10,
	ROWS = 20,
	DEVICES_MAX = 64,
	PROBES = 300,
	HTTP_MAX = 1 << 16,
	START_MS = 10000,
	RUN_MS = 120000,
};

struct message {
	uint8_t *data;
	size_t len;
};

struct bench {
	char dir[64];
	int port, http_port;
	pid_t broker, relay;
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

static void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
static struct bench *the_bench; /* for die */

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (the_bench && the_bench->relay > 0)
		kill(the_bench->relay, SIGKILL);
	if (the_bench && the_bench->broker > 0)
		kill(the_bench->broker, SIGKILL);
	exit(EXIT_FAILURE);
}

static int64_t now_ns(void)
{
	return timebase_mono(timebase_system()).ns;
}

/* ---- programs ---- */

static pid_t start(const char *path, char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		execvp(path, argv);
		_exit(127);
	}
	if (pid < 0)
		die("fork: %s", strerror(errno));
	return pid;
}

static char *sibling(const char *name)
{
	static char path[1024];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) / 2);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		die("cannot find where this program lies");
	snprintf(slash + 1, sizeof(path) / 2, "%s", name);
	return path;
}

static void write_file(const struct bench *b, const char *name, const char *fmt, ...)
	printf_like(3, 4);

static void write_file(const struct bench *b, const char *name, const char *fmt, ...)
{
	char path[128];
	va_list ap;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", b->dir, name);
	f = fopen(path, "we");
	if (!f)
		die("%s: %s", path, strerror(errno));
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fclose(f);
}

static int connect_to(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("no free port");
	close(fd);
	return ntohs(a.sin_port);
}

static void start_broker(struct bench *b)
{
	char path[128];
	char name[] = "mosquitto", opt[] = "-c";
	char *argv[] = {name, opt, path, NULL};
	int fd, tries = 100;

	b->port = free_port();
	snprintf(path, sizeof(path), "%s/mosquitto.conf", b->dir);
	write_file(b, "mosquitto.conf",
		   "listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
		   "max_inflight_messages 1000\nlog_dest none\n",
		   b->port);
	b->broker = start(access("/usr/sbin/mosquitto", X_OK) == 0 ? "/usr/sbin/mosquitto" : name,
			  argv);
	while ((fd = connect_to(b->port)) < 0 && tries-- > 0)
		usleep(50000);
	if (fd < 0)
		die("mosquitto does not listen");
	close(fd);
}

static void start_relay(struct bench *b)
{
	char path[128], port_path[128], opt[] = "-c", name[] = "towline-relay";
	char *argv[] = {name, opt, path, NULL};
	int tries = 100;
	FILE *f = NULL;

	snprintf(path, sizeof(path), "%s/relay.conf", b->dir);
	snprintf(port_path, sizeof(port_path), "%s/data/http.port", b->dir);
	write_file(b, "relay.conf",
		   "[relay]\ndata_dir=%s/data\nlog_level=warn\n[mqtt]\nuri=mqtt://127.0.0.1:%d\n"
		   "[http]\nport=0\n",
		   b->dir, b->port);
	b->relay = start(sibling("towline-relay"), argv);
	while (!(f = fopen(port_path, "re")) && tries-- > 0)
		usleep(50000);
	if (!f || fscanf(f, "%d", &b->http_port) != 1)
		die("the relay does not listen");
	fclose(f);
}

/* ---- HTTP, the least of it ---- */

static int http(const struct bench *b, const char *method, const char *path, const char *type,
		const void *body, size_t len, char *out)
{
	char head[512];
	size_t n = 0;
	ssize_t got = 1;
	int fd = connect_to(b->http_port), status = 0;

	snprintf(head, sizeof(head),
		 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 method, path, type, len);
	if (fd < 0 || send(fd, head, strlen(head), MSG_NOSIGNAL) < 0 ||
	    (len && send(fd, body, len, MSG_NOSIGNAL) != (ssize_t)len))
		die("HTTP: %s", strerror(errno));
	while (got > 0 && n < HTTP_MAX - 1) {
		got = recv(fd, out + n, HTTP_MAX - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
	}
	out[n] = '\0';
	close(fd);
	if (sscanf(out, "HTTP/1.1 %d", &status) != 1)
		die("HTTP: no answer");
	return status;
}

static void wait_healthy(struct bench *b)
{
	static char out[HTTP_MAX];
	int64_t end = now_ns() + START_MS * NS_PER_MS;

	while (http(b, "GET", "/healthz", "text/plain", NULL, 0, out) != 200) {
		if (now_ns() > end)
			die("the relay is not healthy: %s", out);
		usleep(50000);
	}
}

static void register_all(struct bench *b)
{
	static char out[HTTP_MAX];
	char body[2048] = "{\"id\":\"bench\",\"devices\":[";

	for (size_t i = 0; i < b->n_devices; i++)
		snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s\"d%zu\"",
			 i ? "," : "", i);
	snprintf(body + strlen(body), sizeof(body) - strlen(body), "]}");
	if (http(b, "POST", "/v1/vehicles", "application/json", body, strlen(body), out) != 201 ||
	    http(b, "POST", "/v1/catalogs", "application/octet-stream", b->cat->bytes, b->cat->len,
		 out) != 201)
		die("the relay refused: %s", out);
}

/* ---- messages ---- */

static void make_catalog(struct bench *b)
{
	static const char *const buses[] = {"can0"};
	static char names[SIGNALS][8];
	struct catalog_signal signals[SIGNALS];
	struct catalog_message m = {
		.name = "M", .comment = "", .id = 1, .bytes = 2 * SIGNALS, .n_signals = SIGNALS};
	struct catalog from = {.buses = buses,
			       .n_buses = 1,
			       .messages = &m,
			       .n_messages = 1,
			       .signals = signals,
			       .n_signals = SIGNALS};
	struct error err = {0};

	for (uint16_t i = 0; i < SIGNALS; i++) {
		snprintf(names[i], sizeof(names[i]), "S%u", i);
		signals[i] = (struct catalog_signal){.name = names[i],
						     .start_bit = (uint16_t)(16 * i),
						     .bits = 16,
						     .factor = 0.1,
						     .unit = "",
						     .comment = "",
						     .mux = CATALOG_NONE};
	}
	if (catalog_build(&b->cat, &from, &err) < 0)
		die("catalog: %s", err.text);
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
			die("batch_builder_add");
	}
	if (batch_builder_encode(builder, &h, &body, &encoding) < 0 ||
	    batch_envelope_encode(h.epoch, seq, encoding, body.data, body.len, &out) < 0)
		die("batch_builder_encode");
	return (struct message){.data = out.data, .len = out.len};
}

static void make_messages(struct bench *b)
{
	struct batch_builder *builder;

	/* One round more a device, for the probes. */
	b->messages = calloc(b->n_messages + PROBES * b->n_devices, sizeof(*b->messages));
	if (!b->messages || batch_builder_new(&builder, b->cat, SIGNALS * ROWS, 1000000) < 0)
		die("out of memory");
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
		die("subscribe");
}

static void on_disconnected(void *ctx, const char *reason)
{
	(void)ctx;
	die("lost the broker: %s", reason);
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
		die("the relay refused a batch: %s", nack_name(r.nacks[0].code));
	if (r.acked_through > b->acked[device])
		b->acked[device] = r.acked_through;
}

static void on_published(void *ctx, uint64_t cookie, int reason)
{
	(void)ctx;
	(void)cookie;
	if (reason >= 0x80)
		die("publish refused: 0x%02x", (unsigned)reason);
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
		die("loop_turn");
}

static void connect_publisher(struct bench *b)
{
	char uri[64];
	struct mqtt_options opt;

	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", b->port);
	opt = options(uri, "bench-publisher");
	if (loop_new(&b->loop, timebase_system()) < 0 ||
	    mqtt_new(&b->mqtt, b->loop, &opt, &handlers, b) < 0)
		die("mqtt_new");
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
		die("publish: %s", strerror(-r));
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
	return (double)b->n_messages / ((double)(now_ns() - t0) / 1e9);
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
	char uri[64], count[32], mode[] = "--bare";
	int fds[2];
	pid_t pid;

	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", b->port);
	snprintf(count, sizeof(count), "%zu", b->n_messages);
	if (pipe(fds) < 0)
		die("pipe");
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl("/proc/self/exe", "bench_relay", mode, uri, count, (char *)NULL);
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
		die("the bare subscriber is not there");
	t0 = now_ns();
	for (size_t i = 0; i < b->n_messages; i++)
		publish(b, i);
	/* What is in flight of ours is the client's own threads' matter. */
	if (read(fd, &c, 1) != 1)
		die("the bare subscriber did not get all");
	b->bare_rate = rate_since(b, t0);
	waitpid(pid, &status, 0);
	close(fd);
	for (int i = 0; i < 50; i++)
		turn(b, 10);
}

/* ---- the relay ---- */

static void measure_relay(struct bench *b)
{
	int64_t t0 = now_ns();

	for (size_t i = 0; i < b->n_messages; i++)
		publish(b, i);
	while (!all_acked(b)) {
		turn(b, 50);
		if (now_ns() - t0 > RUN_MS * NS_PER_MS)
			die("not all batches were acknowledged");
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
	static char text[HTTP_MAX];
	size_t n = 0;
	char *at;

	for (;;) {
		ssize_t got = recv(fd, text + n, sizeof(text) - 1 - n, 0);

		if (got <= 0)
			die("no event came");
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
	int fd = connect_to(b->http_port);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0 ||
	    recv(fd, head, sizeof(head), 0) <= 0)
		die("no events");
	usleep(300000);
	(void)!recv(fd, head, sizeof(head), MSG_DONTWAIT);
	for (size_t i = 0; i < PROBES; i++) {
		int64_t t0 = now_ns();

		publish(b, b->n_messages + i * b->n_devices);
		wait_event(fd);
		ms[i] = (double)(now_ns() - t0) / 1e6;
		turn(b, 5);
	}
	close(fd);
	quantiles(ms, PROBES, &b->latency_p50_ms, &b->latency_p99_ms);
}

static void measure_api(struct bench *b)
{
	static char out[HTTP_MAX];
	static double ms[PROBES];

	for (size_t i = 0; i < PROBES; i++) {
		int64_t t0 = now_ns();

		if (http(b, "GET", "/v1/vehicles/bench/state", "text/plain", NULL, 0, out) != 200)
			die("state: %s", out);
		ms[i] = (double)(now_ns() - t0) / 1e6;
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

static void write_json(const struct bench *b, const char *path)
{
	json_t *o = json_pack("{s:I, s:I, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "messages",
			      (json_int_t)b->n_messages, "devices", (json_int_t)b->n_devices,
			      "samples_per_message", SIGNALS * ROWS, "bytes_per_message",
			      (json_int_t)b->batch_bytes, "bare_messages_per_s", b->bare_rate,
			      "relay_messages_per_s", b->relay_rate, "publish_to_api_p50_ms",
			      b->latency_p50_ms, "publish_to_api_p99_ms", b->latency_p99_ms,
			      "get_state_p50_ms", b->api_p50_ms, "get_state_p99_ms", b->api_p99_ms,
			      "relay_rss_kib", (json_int_t)b->rss_kib);

	if (!o || json_dump_file(o, path, JSON_INDENT(1)) != 0)
		die("%s: cannot be written", path);
	json_decref(o);
}

static void stop(struct bench *b)
{
	char command[128];
	int status;

	mqtt_free(b->mqtt);
	loop_free(b->loop);
	kill(b->relay, SIGTERM);
	waitpid(b->relay, &status, 0);
	kill(b->broker, SIGTERM);
	waitpid(b->broker, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	if (system(command) != 0)
		fprintf(stderr, "%s stays\n", b->dir);
	for (size_t i = 0; i < b->n_messages + PROBES * b->n_devices; i++)
		free(b->messages[i].data);
	free(b->messages);
	catalog_free(b->cat);
}

static void run(struct bench *b)
{
	the_bench = b;
	snprintf(b->dir, sizeof(b->dir), "/tmp/towline-bench-XXXXXX");
	if (!mkdtemp(b->dir))
		die("mkdtemp: %s", strerror(errno));
	make_catalog(b);
	make_messages(b);
	start_broker(b);
	connect_publisher(b);
	measure_bare(b);
	start_relay(b);
	wait_healthy(b);
	register_all(b);
	measure_relay(b);
	b->rss_kib = read_rss(b->relay);
	measure_latency(b);
	measure_api(b);
}

static size_t count_arg(const char *text, size_t max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || v < 1 || v > max)
		die("%s: must be from 1 to %zu", text, max);
	return v;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{"messages", required_argument, NULL, 'n'},
		{"devices", required_argument, NULL, 'd'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	struct bench b = {.n_messages = 20000, .n_devices = 16};
	const char *json = NULL;
	int c;

	if (argc == 4 && strcmp(argv[1], "--bare") == 0)
		return run_bare(argv[2], count_arg(argv[3], 10000000));
	while ((c = getopt_long(argc, argv, "", opts, NULL)) >= 0) {
		if (c == 'n')
			b.n_messages = count_arg(optarg, 1000000);
		else if (c == 'd')
			b.n_devices = count_arg(optarg, DEVICES_MAX);
		else if (c == 'j')
			json = optarg;
		else
			die("usage: bench_relay [--messages N] [--devices N] [--json FILE]");
	}
	b.n_messages -= b.n_messages % b.n_devices;
	run(&b);
	print_table(&b);
	if (json)
		write_json(&b, json);
	stop(&b);
	return EXIT_SUCCESS;
}
