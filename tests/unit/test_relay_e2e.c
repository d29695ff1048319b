/* The relay whole, behind a real Mosquitto: batches in, receipts, state and history out; killed in
 * between. It runs in a child, so that SIGKILL is real. */
#include "proto/batch.h"
#include "proto/receipt.h"
#include "tests/fakes/broker.h"
#include "tests/fakes/peer.h"
#include "tests/fakes/program.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPLY_MAX = 1 << 20, WAIT_MS = 8000, SAMPLES = 50 };

static char dir[64];
static struct broker *broker;
static struct catalog *cat;
static pid_t relay_pid;
static int port;
static struct loop *loop;
static struct peer peer;
static int64_t base_s; /* wall time of batch 0 */
static char reply[REPLY_MAX];

/* ---- the relay in its child ---- */

/* Replaces the child: this process has threads by then. The program lies next to this one. */
static void run_relay(void)
{
	char conf[128], program[512];
	FILE *f;

	snprintf(conf, sizeof(conf), "%s/relay.conf", dir);
	f = fopen(conf, "w");
	if (!f || program_beside(program, sizeof(program), "towline-relay") < 0)
		_exit(1);
	fprintf(f,
		"[relay]\ndata_dir=%s/data\nlog_level=error\n[mqtt]\nuri=%s\nbackoff_min_ms=50\n"
		"[ingest]\nstate_save_ms=100\n[http]\nport=0\n",
		dir, broker_uri(broker));
	fclose(f);
	if (program_exec((const char *[]){program, "-c", conf, NULL}) < 0)
		_exit(1);
}

/* Sends and reads until the end. Returns the status, the body is in reply; 0: no answer. */
static int http(const char *method, const char *path, const char *type, const void *body,
		size_t len)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 5};
	char head[512];
	size_t n = 0;
	ssize_t got = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
	char *end;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	snprintf(head, sizeof(head),
		 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 method, path, type, len);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    send(fd, head, strlen(head), MSG_NOSIGNAL) > 0 &&
	    (!len || send(fd, body, len, MSG_NOSIGNAL) == (ssize_t)len)) {
		while (got > 0 && n < REPLY_MAX - 1) {
			got = recv(fd, reply + n, REPLY_MAX - 1 - n, 0);
			n += got > 0 ? (size_t)got : 0;
		}
	}
	close(fd);
	reply[n] = '\0';
	if (sscanf(reply, "HTTP/1.1 %d", &status) != 1)
		return 0;
	end = strstr(reply, "\r\n\r\n");
	if (end)
		memmove(reply, end + 4, strlen(end + 4) + 1);
	return status;
}

static int get(const char *path)
{
	return http("GET", path, "text/plain", NULL, 0);
}

static int post_json(const char *path, const char *json)
{
	return http("POST", path, "application/json", json, strlen(json));
}

static void start_relay(void)
{
	char path[128];
	int64_t end = peer_now_ms() + WAIT_MS;

	snprintf(path, sizeof(path), "%s/data/http.port", dir);
	unlink(path); /* one that was killed has left it, and the next is not that fast */
	port = 0;
	relay_pid = fork();
	if (relay_pid == 0)
		run_relay();
	while (peer_now_ms() < end) {
		FILE *f = fopen(path, "r");

		if (f) {
			if (fscanf(f, "%d", &port) != 1)
				port = 0;
			fclose(f);
		}
		if (port && get("/healthz") == 200)
			return;
		usleep(20000);
	}
	ck_abort_msg("the relay is not there");
}

static void end_relay(int signo)
{
	int status;

	kill(relay_pid, signo);
	ck_assert_int_eq(waitpid(relay_pid, &status, 0), relay_pid);
	if (signo == SIGTERM)
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- batches ---- */

static struct catalog *make_catalog(const char *comment)
{
	struct catalog_signal s = {.name = "Speed",
				   .bits = 16,
				   .kind = SIGNAL_UNSIGNED,
				   .factor = 0.01,
				   .unit = "km/h",
				   .comment = comment,
				   .mux = CATALOG_NONE};
	struct catalog_message m = {
		.name = "Motion", .comment = "", .id = 1, .bytes = 8, .n_signals = 1};

	return small_catalog(&m, 1, &s);
}

/* SAMPLES of Speed a millisecond apart from base_s + seq on; the last has raw 100 * seq. */
static void make_batch(struct buf *out, uint64_t epoch, uint64_t seq, uint64_t catalog)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 16);
	struct batch_builder *b;
	struct batch_header h = {.epoch = epoch,
				 .seq = seq,
				 .catalog_id = catalog,
				 .wall_base_ns = (base_s + (int64_t)seq) * NS_PER_S,
				 .time_unit_ns = 1000000};
	uint32_t encoding;

	ck_assert_int_eq(batch_builder_new(&b, cat, SAMPLES, 1000000), 0);
	for (uint64_t i = 0; i < SAMPLES; i++) {
		struct sample s = {.raw = 100 * seq + 1 + i - SAMPLES};

		ck_assert_int_eq(batch_builder_add(b, 0, (int64_t)i * NS_PER_MS, &s, 1), 0);
	}
	ck_assert_int_eq(batch_builder_encode(b, &h, &body, &encoding), 0);
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = epoch,
							    .seq = seq,
							    .encoding = encoding,
							    .body = body.data,
							    .body_len = body.len},
					 out),
			 0);
	batch_builder_free(b);
}

static void publish(const char *topic, const void *data, size_t len)
{
	struct mqtt_publish p = {.topic = topic, .payload = data, .len = len, .qos = 1};
	int64_t end = peer_now_ms() + WAIT_MS;
	int r;

	/* Not peer_wait: it looks at its condition once more. */
	while ((r = mqtt_publish(peer.mqtt, &p)) == -EAGAIN && peer_now_ms() < end)
		peer_turn(loop, NULL, 20);
	ck_assert_int_eq(r, 0);
}

static void send_batch(uint64_t seq, uint64_t catalog)
{
	struct buf b cleanup(buf_free) = BUF_INIT(1 << 16);

	make_batch(&b, 77, seq, catalog);
	publish("tl/1/up/0/v1/d1/bulk", b.data, b.len);
}

/* A batch that names the catalog, with a signal of a message that the catalog does not have. */
static void send_unknown_signal(uint64_t seq)
{
	static const char *const names[5] = {"Motion", "Speed", "Gear", "Doors", "Open"};
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 16),
			b cleanup(buf_free) = BUF_INIT(1 << 16);
	struct batch_header h = {
		.catalog_id = cat->id, .wall_base_ns = base_s * NS_PER_S, .time_unit_ns = 1000000};
	struct sample open = {.signal = 2, .raw = 1};
	struct catalog *larger = two_messages(names);
	struct batch_builder *builder;
	uint32_t encoding;

	ck_assert_int_eq(batch_builder_new(&builder, larger, 1, 1000000), 0);
	ck_assert_int_eq(batch_builder_add(builder, 1, 0, &open, 1), 0);
	ck_assert_int_eq(batch_builder_encode(builder, &h, &body, &encoding), 0);
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = 77,
							    .seq = seq,
							    .encoding = encoding,
							    .body = body.data,
							    .body_len = body.len},
					 &b),
			 0);
	publish("tl/1/up/0/v1/d1/bulk", b.data, b.len);
	batch_builder_free(builder);
	catalog_free(larger);
}

/* What all receipts so far have said. */
static bool acked(uint64_t seq)
{
	for (size_t i = 0; i < peer.n_messages; i++) {
		struct receipt r;

		ck_assert_int_eq(
			receipt_decode(&r, peer.messages[i].payload, peer.messages[i].len, NULL),
			0);
		if (r.epoch != 77 || r.class != CLASS_BULK)
			continue;
		if (seq <= r.acked_through)
			return true;
		for (size_t k = 0; k < r.n_ranges; k++) {
			if (seq >= r.ranges[k].from && seq <= r.ranges[k].to)
				return true;
		}
	}
	return false;
}

static bool nacked(const char *device, uint64_t seq, enum nack_code code)
{
	for (size_t i = 0; i < peer.n_messages; i++) {
		struct receipt r;

		ck_assert_int_eq(
			receipt_decode(&r, peer.messages[i].payload, peer.messages[i].len, NULL),
			0);
		for (size_t k = 0; k < r.n_nacks && strstr(peer.messages[i].topic, device); k++) {
			if (r.nacks[k].seq == seq && r.nacks[k].code == code)
				return true;
		}
	}
	return false;
}

static bool metric_is(const char *name, unsigned long value)
{
	char line[128];

	snprintf(line, sizeof(line), "\ntowline_relay_%s %lu\n", name, value);
	return get("/metrics") == 200 && strstr(reply, line);
}

static void setup(void)
{
	struct mqtt_options opt;

	snprintf(dir, sizeof(dir), "/tmp/towline-test-e2e-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(broker_start(&broker, NULL), 0);
	cat = make_catalog("");
	base_s = 1000;
	start_relay();
	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	opt = peer_options(broker_uri(broker), "vehicle");
	peer = (struct peer){.subscribe = "tl/1/down/#"};
	peer_start(&peer, loop, &opt);
	ck_assert(peer_wait(loop, peer.n_subscribed > 0, WAIT_MS));
	ck_assert_int_eq(
		post_json("/v1/vehicles", "{\"id\":\"v1\",\"name\":\"x\",\"devices\":[\"d1\"]}"),
		201);
}

static void teardown(void)
{
	char command[128];

	peer_stop(&peer);
	loop = loop_free(loop);
	broker = broker_free(broker);
	cat = catalog_free(cat);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void post_catalog(int status)
{
	ck_assert_int_eq(
		http("POST", "/v1/catalogs", "application/octet-stream", cat->bytes, cat->len),
		status);
}

static void check_state(double value)
{
	json_t *root, *o;

	ck_assert_int_eq(get("/v1/vehicles/v1/state"), 200);
	root = json_loads(reply, 0, NULL);
	o = json_array_get(json_object_get(root, "signals"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(o, "signal")), "can0.Motion.Speed");
	ck_assert_double_eq_tol(json_number_value(json_object_get(o, "value")), value, 1e-9);
	json_decref(root);
}

static void check_history(long long samples)
{
	json_t *o;

	ck_assert_int_eq(get("/v1/vehicles/v1/signals/can0.Motion.Speed/history?max_points=10000"),
			 200);
	o = json_loads(reply, 0, NULL);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "samples")), samples);
	json_decref(o);
}

static void forget_receipts(void)
{
	while (peer.n_messages > 0) {
		peer.n_messages--;
		free(peer.messages[peer.n_messages].topic);
		free(peer.messages[peer.n_messages].payload);
	}
}

/* ---- tests ---- */

START_TEST(test_exactly_once_through_kill)
{
	post_catalog(201);
	post_catalog(200);
	for (uint64_t seq = 1; seq <= 10; seq++)
		send_batch(seq, cat->id);
	send_batch(12, cat->id); /* a gap */
	ck_assert(peer_wait(loop, acked(10) && acked(12), WAIT_MS));
	ck_assert(!acked(11));
	check_state(12.0);
	end_relay(SIGKILL);

	start_relay();
	check_state(12.0); /* from the blob, or from the stream */
	check_history(11 * SAMPLES);
	forget_receipts();
	for (uint64_t seq = 9; seq <= 13; seq++)
		send_batch(seq, cat->id);
	ck_assert(peer_wait(loop, acked(13), WAIT_MS));
	ck_assert(metric_is("samples_total", 2 * SAMPLES)); /* 11 and 13 */
	ck_assert(metric_is("batches_total{result=\"duplicate\"}", 3));
	check_history(13 * SAMPLES);
	check_state(13.0);
	end_relay(SIGTERM);
	start_relay();
	check_state(13.0);
	end_relay(SIGTERM);
}
END_TEST

START_TEST(test_catalog_comes_later)
{
	send_batch(1, cat->id);
	ck_assert(peer_wait(loop, acked(1), WAIT_MS));
	ck_assert(metric_is("batches_total{result=\"unknown_catalog\"}", 1));
	end_relay(SIGKILL);
	start_relay();
	post_catalog(201);
	ck_assert(peer_wait(loop, metric_is("samples_total", SAMPLES), WAIT_MS));
	check_state(1.0);
	check_history(SAMPLES);
	end_relay(SIGTERM);
}
END_TEST

START_TEST(test_bad_input_harms_nothing)
{
	struct buf b cleanup(buf_free) = BUF_INIT(1 << 16);
	uint8_t noise[512];

	post_catalog(201);
	for (int i = 0; i < 40; i++) {
		random_bytes(noise, sizeof(noise));
		publish("tl/1/up/0/v1/d1/bulk", noise, sizeof(noise));
	}
	publish("tl/1/up/0/v1/d1/nonsense", noise, 3);
	publish("tl/1/up/0/v1/d1/bulk", NULL, 0);
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = 77,
							    .seq = 3,
							    .encoding = 0,
							    .body = noise,
							    .body_len = sizeof(noise)},
					 &b),
			 0);
	publish("tl/1/up/0/v1/d1/bulk", b.data, b.len); /* the envelope is good, the body is not */
	buf_clear(&b);
	make_batch(&b, 5, 9, cat->id);
	publish("tl/1/up/0/v1/stranger/bulk", b.data, b.len);
	send_unknown_signal(4);
	send_batch(1, cat->id);
	ck_assert(peer_wait(loop,
			    acked(1) && nacked("d1", 3, NACK_INVALID) &&
				    nacked("d1", 4, NACK_INVALID) &&
				    nacked("stranger", 9, NACK_UNKNOWN),
			    WAIT_MS));
	ck_assert(!acked(3) && !acked(4));
	send_batch(3, cat->id); /* the real one */
	ck_assert(peer_wait(loop, acked(3), WAIT_MS));
	check_history(2 * SAMPLES);
	ck_assert_msg(metric_is("batches_total{result=\"unknown_device\"}", 1), "%s", reply);
	end_relay(SIGTERM);
}
END_TEST

/* A clock that was wrong while one catalog was in use must not hide what comes with the next. */
START_TEST(test_wrong_clock_and_two_catalogs)
{
	struct catalog *first = cat;

	post_catalog(201);
	base_s = timebase_wall(timebase_system()).ns / NS_PER_S + 1000000;
	send_batch(1, cat->id);
	ck_assert(peer_wait(loop, acked(1), WAIT_MS));
	check_state(1.0);
	cat = make_catalog("another");
	ck_assert_uint_ne(cat->id, first->id);
	post_catalog(201);
	base_s = 1000;
	send_batch(2, cat->id);
	ck_assert(peer_wait(loop, acked(2), WAIT_MS));
	check_state(2.0);
	check_history(2 * SAMPLES);
	end_relay(SIGTERM);
	catalog_free(first);
}
END_TEST

START_TEST(test_removed_vehicle)
{
	post_catalog(201);
	send_batch(1, cat->id);
	ck_assert(peer_wait(loop, acked(1), WAIT_MS));
	ck_assert_int_eq(http("DELETE", "/v1/vehicles/v1", "", NULL, 0), 204);
	ck_assert_int_eq(get("/v1/vehicles/v1/state"), 404);
	send_batch(2, cat->id);
	ck_assert(peer_wait(loop, nacked("d1", 2, NACK_UNKNOWN), WAIT_MS));
	ck_assert_int_eq(post_json("/v1/vehicles", "{\"id\":\"v1\",\"devices\":[\"d1\"]}"), 201);
	ck_assert_int_eq(get("/v1/vehicles/v1/state"), 200);
	ck_assert_ptr_nonnull(strstr(reply, "\"signals\":[]"));
	send_batch(2, cat->id);
	ck_assert(peer_wait(loop, acked(2), WAIT_MS));
	check_history(SAMPLES); /* nothing of the old one */
	end_relay(SIGTERM);
}
END_TEST

START_TEST(test_events)
{
	static const char ask[] = "GET /v1/vehicles/v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t n = 0;
	ssize_t got;

	post_catalog(201);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_gt(send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL), 0);
	got = recv(fd, reply, REPLY_MAX - 1, 0);
	ck_assert_int_gt(got, 0);
	send_batch(1, cat->id);
	ck_assert(peer_wait(loop, ({
				    got = recv(fd, reply + n, REPLY_MAX - 1 - n, MSG_DONTWAIT);
				    n += got > 0 ? (size_t)got : 0;
				    reply[n] = '\0';
				    strstr(reply, "event: samples") && strstr(reply, "}\n\n");
			    }),
			    WAIT_MS));
	ck_assert_ptr_nonnull(strstr(reply, "\"signal\":\"can0.Motion.Speed\""));
	ck_assert_ptr_nonnull(strstr(reply, "\"value\":1.0"));
	end_relay(SIGTERM); /* with a listener that sleeps */
	close(fd);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("e2e");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_exactly_once_through_kill);
	tcase_add_test(t, test_catalog_comes_later);
	tcase_add_test(t, test_bad_input_harms_nothing);
	tcase_add_test(t, test_wrong_clock_and_two_catalogs);
	tcase_add_test(t, test_removed_vehicle);
	tcase_add_test(t, test_events);
	return suite_run("relay_e2e", &t, 1);
}
