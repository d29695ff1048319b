/* base/mqtt.h when things go wrong: brokers that die, stall, refuse or are not there, slow readers.
 */
#include "base/mqtt.h"
#include "tests/fakes/broker.h"
#include "tests/fakes/peer.h"
#include "tests/fakes/tap.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct broker *broker;

static void start(const char *config)
{
	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	ck_assert_int_eq(broker_start(&broker, config), 0);
}

static void stop(void)
{
	broker = broker_free(broker);
	loop = loop_free(loop);
}

static void connect_peer(struct peer *p, const char *client_id)
{
	struct mqtt_options opt = peer_options(broker_uri(broker), client_id);

	peer_start(p, loop, &opt);
	ck_assert(
		peer_wait(loop, p->connects == 1 && (!p->subscribe || p->n_subscribed == 1), 5000));
}

/* mqtt_free may take 1 s; some room for a busy machine. */
static void stop_in_time(struct peer *p)
{
	int64_t before = peer_now_ms();

	peer_stop(p);
	ck_assert_int_lt(peer_now_ms() - before, 1300);
}

START_TEST(broker_restarts)
{
	struct peer p = {.subscribe = "t/#"};
	struct mqtt_stats stats;

	start(NULL);
	connect_peer(&p, "survivor");
	broker_stop(broker, SIGKILL);
	ck_assert(peer_wait(loop, p.disconnects >= 1, 5000));
	ck_assert(!mqtt_is_connected(p.mqtt));
	ck_assert_ptr_nonnull(strstr(p.reason, "lost"));
	ck_assert_int_eq(peer_publish(&p, "t/x", "x", 1), -ENOTCONN);
	ck_assert(peer_wait(loop, p.disconnects >= 2, 10000));
	ck_assert_int_eq(broker_restart(broker), 0);
	ck_assert(peer_wait(loop, p.n_subscribed == 2, 10000));
	ck_assert_int_eq(peer_publish(&p, "t/x", "again", 2), 0);
	ck_assert(peer_wait(loop, p.n_messages == 1 && p.n_published == 1, 5000));
	ck_assert_str_eq((char *)p.messages[0].payload, "again");
	mqtt_get_stats(p.mqtt, &stats);
	ck_assert_uint_eq(stats.connects, 2);
	ck_assert_uint_eq(stats.disconnects, 1);
	ck_assert_uint_ge(stats.failed_attempts, 1);
	peer_stop(&p);
	stop();
}
END_TEST

/* A session that the broker saved: the message that came meanwhile is there after its restart. */
START_TEST(session_survives_restart)
{
	struct peer away = {.subscribe = "t/#"}, other = {0};
	struct mqtt_options opt;

	start("persistence true");
	opt = peer_options(broker_uri(broker), "away");
	opt.session_expiry_s = 3600;
	peer_start(&away, loop, &opt);
	ck_assert(peer_wait(loop, away.n_subscribed == 1, 5000));
	peer_stop(&away);
	away = (struct peer){0};
	connect_peer(&other, "other");
	ck_assert_int_eq(peer_publish(&other, "t/meanwhile", "queued", 1), 0);
	ck_assert(peer_wait(loop, other.n_published == 1, 5000));
	peer_stop(&other);
	broker_stop(broker, SIGTERM);
	ck_assert_int_eq(broker_restart(broker), 0);
	peer_start(&away, loop, &opt);
	ck_assert(peer_wait(loop, away.n_messages == 1, 5000));
	ck_assert(away.session_present);
	ck_assert_str_eq((char *)away.messages[0].payload, "queued");
	peer_stop(&away);
	stop();
}
END_TEST

START_TEST(broker_absent)
{
	enum { ATTEMPTS = 8 };
	struct peer p = {0};
	struct mqtt_options opt;
	struct mqtt_stats stats;
	char uri[64], place[64];
	int port = broker_free_port();
	int64_t before;

	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", port);
	snprintf(place, sizeof(place), "cannot connect to 127.0.0.1:%d: ", port);
	opt = peer_options(uri, "nobody");
	opt.backoff_min_ms = 100;
	before = peer_now_ms();
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == ATTEMPTS, 30000));
	ck_assert_int_ge(peer_now_ms() - before, (ATTEMPTS - 1) * 100);
	ck_assert_msg(strncmp(p.reason, place, strlen(place)) == 0, "%s", p.reason);
	ck_assert_uint_gt(strlen(p.reason), strlen(place));
	mqtt_get_stats(p.mqtt, &stats);
	ck_assert_uint_eq(stats.failed_attempts, ATTEMPTS);
	ck_assert_uint_eq(stats.connects, 0);
	stop_in_time(&p);
	loop = loop_free(loop);
}
END_TEST

START_TEST(backoff_waits)
{
	struct peer p = {0};
	struct mqtt_options opt;
	char uri[64];

	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", broker_free_port());
	opt = peer_options(uri, "patient");
	opt.backoff_min_ms = opt.backoff_max_ms = 60000;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == 1, 10000));
	ck_assert(!peer_wait(loop, p.disconnects > 1, 2000));
	stop_in_time(&p);
	loop = loop_free(loop);
}
END_TEST

START_TEST(login_refused)
{
	struct peer p = {0};
	struct mqtt_options opt;

	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	ck_assert_int_eq(broker_start(&broker, "allow_anonymous false"), 0);
	opt = peer_options(broker_uri(broker), "stranger");
	opt.username = "who";
	opt.password = "secret";
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == 1, 5000));
	ck_assert_ptr_nonnull(strstr(p.reason, "refused the connection"));
	ck_assert_ptr_nonnull(strstr(p.reason, "(0x87)"));
	ck_assert_ptr_null(strstr(p.reason, "secret"));
	peer_stop(&p);
	stop();
}
END_TEST

/* The right password gets in, a wrong one does not. */
START_TEST(password)
{
	struct peer p = {0};
	struct mqtt_options opt;
	char path[128], config[256], command[512];

	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	snprintf(path, sizeof(path), "/tmp/towline-passwd-%d", broker_free_port());
	snprintf(command, sizeof(command), "mosquitto_passwd -c -b %s vehicle drive", path);
	ck_assert_int_eq(system(command), 0);
	snprintf(config, sizeof(config), "allow_anonymous false\npassword_file %s", path);
	ck_assert_int_eq(broker_start(&broker, config), 0);
	remove(path);
	opt = peer_options(broker_uri(broker), "login");
	opt.username = "vehicle";
	opt.password = "wrong";
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == 1, 5000));
	ck_assert_int_eq(p.connects, 0);
	peer_stop(&p);
	p = (struct peer){0};
	opt.password = "drive";
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.connects == 1, 5000));
	peer_stop(&p);
	stop();
}
END_TEST

START_TEST(taken_over)
{
	struct peer p = {0}, q = {0};
	struct mqtt_options opt;

	start(NULL);
	opt = peer_options(broker_uri(broker), "same");
	opt.backoff_min_ms = opt.backoff_max_ms = 60000;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.connects == 1, 5000));
	peer_start(&q, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == 1 && q.connects == 1, 5000));
	/* Mosquitto 2.0.11 closes without a word. */
	ck_assert_msg(strstr(p.reason, "lost") || strstr(p.reason, "(0x8e)"), "%s", p.reason);
	peer_stop(&p);
	ck_assert(!peer_wait(loop, q.disconnects > 0, 200));
	peer_stop(&q);
	stop();
}
END_TEST

/* A broker that says why: 0x9a, retain not supported. */
START_TEST(broker_says_goodbye)
{
	struct peer p = {0};
	struct mqtt_publish pub = {
		.topic = "t", .payload = "x", .len = 1, .qos = 1, .retain = true};

	start("retain_available false");
	connect_peer(&p, "keeper");
	ck_assert_int_eq(mqtt_publish(p.mqtt, &pub), 0);
	ck_assert(peer_wait(loop, p.disconnects == 1, 5000));
	ck_assert_msg(strstr(p.reason, "ended the connection: "), "%s", p.reason);
	ck_assert_msg(strstr(p.reason, "(0x9a)"), "%s", p.reason);
	ck_assert_uint_eq(p.n_published, 0);
	ck_assert(peer_wait(loop, p.connects == 2, 5000));
	peer_stop(&p);
	stop();
}
END_TEST

/* Takes connections, answers nothing. */
static int silent_server(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

START_TEST(no_connack)
{
	struct peer p = {0};
	struct mqtt_options opt;
	char uri[64];
	int port, fd = silent_server(&port);

	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", port);
	opt = peer_options(uri, "ignored");
	opt.connect_timeout_s = 1;
	peer_start(&p, loop, &opt);
	for (int i = 1; i <= 3; i++)
		ck_assert(peer_wait(loop, p.disconnects == i, 3000));
	ck_assert_ptr_nonnull(strstr(p.reason, "no CONNACK within 1 s"));
	stop_in_time(&p);
	close(fd);
	loop = loop_free(loop);
}
END_TEST

START_TEST(free_while_connecting)
{
	char uri[64];
	int port, fd = silent_server(&port);

	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", port);
	for (int ms = 0; ms < 300; ms += 50) {
		struct mqtt_options opt = peer_options(uri, "hasty");
		struct peer p = {0};

		peer_start(&p, loop, &opt);
		peer_wait(loop, false, ms);
		stop_in_time(&p);
	}
	close(fd);
	loop = loop_free(loop);
}
END_TEST

/* The broker stops in its tracks with messages in flight. */
START_TEST(free_with_silent_broker)
{
	struct peer p = {.subscribe = "t/#"};

	start(NULL);
	connect_peer(&p, "caller");
	broker_signal(broker, SIGSTOP);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(peer_publish(&p, "t/x", "anybody?", (uint64_t)i), 0);
	peer_wait(loop, false, 50);
	ck_assert_uint_eq(p.n_published, 0);
	stop_in_time(&p);
	stop();
}
END_TEST

/* Nothing but the keepalive can tell. */
START_TEST(keepalive_finds_silence)
{
	struct peer p = {0};
	struct mqtt_options opt;

	start(NULL);
	opt = peer_options(broker_uri(broker), "listener");
	opt.keepalive_s = 1;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.connects == 1, 5000));
	ck_assert(!peer_wait(loop, p.disconnects > 0, 3000));
	broker_signal(broker, SIGSTOP);
	ck_assert(peer_wait(loop, p.disconnects > 0, 8000));
	broker_signal(broker, SIGCONT);
	ck_assert(peer_wait(loop, p.connects == 2, 8000));
	peer_stop(&p);
	stop();
}
END_TEST

/* In flight when the connection goes: undecided, never reported as published. The next connection
 * has the whole window again. */
START_TEST(undecided_in_flight)
{
	struct peer p = {.subscribe = "t/#"};
	struct mqtt_options opt;
	struct tap *tap;
	char uri[64];

	start("max_inflight_messages 8");
	ck_assert_int_eq(tap_start(&tap, broker_port(broker)), 0);
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", tap_port(tap));
	opt = peer_options(uri, "halfway");
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.n_subscribed == 1, 5000));
	tap_stall(tap, true);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(peer_publish(&p, "t/x", "lost", (uint64_t)i), 0);
	ck_assert_int_eq(peer_publish(&p, "t/x", "lost", 8), -EAGAIN);
	peer_wait(loop, false, 100);
	tap_cut(tap);
	tap_stall(tap, false);
	ck_assert(peer_wait(loop, p.n_subscribed == 2, 8000));
	ck_assert_uint_eq(p.n_published, 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(peer_publish(&p, "t/x", "kept", (uint64_t)(100 + i)), 0);
	ck_assert(peer_wait(loop, p.n_published == 8 && p.n_messages == 8, 5000));
	ck_assert_uint_eq(p.last_cookie, 107);
	ck_assert_str_eq((char *)p.messages[0].payload, "kept");
	peer_stop(&p);
	tap_free(tap);
	stop();
}
END_TEST

/* More than the sockets take: Paho keeps a half-written packet when the connection goes, or when
 * the client is freed. */
START_TEST(half_written)
{
	static char big[200001];
	struct peer p = {.subscribe = "t/#"};
	struct mqtt_options opt;
	struct tap *tap;
	char uri[64];

	start("max_queued_messages 0\nmax_inflight_messages 0");
	ck_assert_int_eq(tap_start(&tap, broker_port(broker)), 0);
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", tap_port(tap));
	memset(big, 'x', sizeof(big) - 1);
	opt = peer_options(uri, "verbose");
	peer_start(&p, loop, &opt);
	for (int round = 1; round <= 2; round++) {
		ck_assert(peer_wait(loop, p.n_subscribed == round, 8000));
		tap_stall(tap, true);
		for (int i = 0; i < 100; i++)
			ck_assert_int_eq(peer_publish(&p, "t/big", big, (uint64_t)i), 0);
		ck_assert(!peer_wait(loop, p.n_published > 0, 300));
		tap_cut(tap);
		tap_stall(tap, false);
	}
	ck_assert(peer_wait(loop, p.n_subscribed == 3, 8000));
	ck_assert_int_eq(peer_publish(&p, "t/small", "fine", 1000), 0);
	ck_assert(peer_wait(loop, p.last_cookie == 1000, 5000));
	tap_stall(tap, true);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(peer_publish(&p, "t/big", big, (uint64_t)i), 0);
	peer_wait(loop, false, 100);
	stop_in_time(&p);
	tap_free(tap);
	stop();
}
END_TEST

static void publish_numbers(struct peer *p, int n)
{
	char text[200];

	for (int i = 0; i < n; i++) {
		int r;

		memset(text, '.', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		text[snprintf(text, sizeof(text), "%d", i)] = ' ';
		while ((r = peer_publish(p, "t/n", text, (uint64_t)i)) == -EAGAIN)
			peer_turn(p->loop, NULL, 100);
		ck_assert_int_eq(r, 0);
	}
	ck_assert(peer_wait(p->loop, p->n_published == (size_t)n, 10000));
}

/* The reader's loop stands still while 3000 messages come, with a queue of a few: Paho's receive
 * thread waits, and all arrive in order. (The writer is another program: one process has one
 * receive thread.) */
START_TEST(slow_reader_loses_nothing)
{
	enum { N = 3000 };
	struct peer reader = {.subscribe = "t/#"};
	struct mqtt_options opt;
	struct mqtt_stats stats;
	char command[256];

	start("max_queued_messages 0\nmax_inflight_messages 0");
	opt = peer_options(broker_uri(broker), "slow");
	opt.queue_bytes = 2000;
	peer_start(&reader, loop, &opt);
	ck_assert(peer_wait(loop, reader.n_subscribed == 1, 5000));
	snprintf(command, sizeof(command), "seq %d | mosquitto_pub -p %d -V 5 -q 1 -l -t t/n", N,
		 broker_port(broker));
	ck_assert_int_eq(system(command), 0);
	usleep(300000);
	ck_assert_uint_eq(reader.n_messages, 0);
	ck_assert(peer_wait(loop, reader.n_messages == N, 20000));
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(strtol((char *)reader.messages[i].payload, NULL, 10), i + 1);
	mqtt_get_stats(reader.mqtt, &stats);
	ck_assert_uint_gt(stats.queue_waits, 0);
	ck_assert_uint_eq(stats.received, N);
	ck_assert_int_eq(reader.disconnects, 0);
	peer_stop(&reader);
	stop();
}
END_TEST

/* Reader and writer in one process and on one loop, with the queue far too small for both: Paho's
 * one lock is held by the waiting callback over and over, and still all goes through. */
START_TEST(tiny_queue_in_one_process)
{
	enum { N = 1000 };
	struct peer reader = {.subscribe = "t/#"}, writer = {0};
	struct mqtt_options opt;

	start("max_queued_messages 0");
	opt = peer_options(broker_uri(broker), "reader");
	opt.queue_bytes = 1;
	peer_start(&reader, loop, &opt);
	connect_peer(&writer, "writer");
	ck_assert(peer_wait(loop, reader.n_subscribed == 1, 5000));
	publish_numbers(&writer, N);
	ck_assert(peer_wait(loop, reader.n_messages == N, 10000));
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(strtol((char *)reader.messages[i].payload, NULL, 10), i);
	peer_stop(&writer);
	peer_stop(&reader);
	stop();
}
END_TEST

/* A message larger than the queue passes when the queue is empty. */
START_TEST(message_above_the_queue)
{
	static char big[100001];
	struct peer p = {.subscribe = "t/#"};
	struct mqtt_options opt;

	start(NULL);
	opt = peer_options(broker_uri(broker), "big");
	opt.queue_bytes = 100;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.n_subscribed == 1, 5000));
	memset(big, 'x', sizeof(big) - 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(peer_publish(&p, "t/big", big, (uint64_t)i), 0);
	ck_assert(peer_wait(loop, p.n_messages == 3, 5000));
	ck_assert_uint_eq(p.messages[2].len, sizeof(big) - 1);
	peer_stop(&p);
	stop();
}
END_TEST

static pid_t start_stream(void)
{
	char port[16];
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	setpgid(0, 0);
	snprintf(port, sizeof(port), "%d", broker_port(broker));
	execlp("sh", "sh", "-c",
	       "yes something | exec mosquitto_pub -p $0 -V 5 -q 0 -l -t t/stream", port,
	       (char *)NULL);
	_exit(127);
}

static void stop_stream(pid_t pid)
{
	kill(-pid, SIGKILL); /* all of the pipe: messages came, so setpgid was called */
	waitpid(pid, NULL, 0);
}

static void free_in_handler(struct peer *p)
{
	if (p->n_messages == 50)
		p->mqtt = mqtt_free(p->mqtt);
}

/* Turns a little, frees in the middle of the stream: from outside, and with the queue full. */
START_TEST(free_while_streaming)
{
	pid_t stream;

	start("max_queued_messages 100");
	stream = start_stream();
	for (int i = 0; i < 4; i++) {
		struct peer p = {.subscribe = "t/#"};
		struct mqtt_options opt = peer_options(broker_uri(broker), "leaver");

		opt.queue_bytes = i % 2 ? 500 : 1 << 20;
		peer_start(&p, loop, &opt);
		ck_assert(peer_wait(loop, p.n_messages > 100, 10000));
		if (i / 2)
			usleep(50000);
		stop_in_time(&p);
	}
	stop_stream(stream);
	stop();
}
END_TEST

/* Paho has one lock for all clients, and holds it while it waits for room in a queue. mqtt_free of
 * another client gives up after its second, and its worker ends when the queue moves again. */
START_TEST(free_beside_a_full_queue)
{
	struct peer full = {.subscribe = "t/#"}, other = {0};
	struct mqtt_options opt;
	size_t before;
	pid_t stream;

	start("max_queued_messages 100");
	opt = peer_options(broker_uri(broker), "full");
	opt.queue_bytes = 500;
	connect_peer(&other, "other");
	peer_start(&full, loop, &opt);
	ck_assert(peer_wait(loop, full.n_subscribed == 1, 5000));
	stream = start_stream();
	ck_assert(peer_wait(loop, full.n_messages > 100, 10000));
	usleep(100000);
	stop_in_time(&other);
	before = full.n_messages;
	ck_assert(peer_wait(loop, full.n_messages > before + 1000, 5000));
	stop_in_time(&full);
	stop_stream(stream);
	stop();
}
END_TEST

START_TEST(free_in_message_handler)
{
	pid_t stream;

	start("max_queued_messages 100");
	stream = start_stream();
	for (int i = 0; i < 2; i++) {
		struct peer p = {.subscribe = "t/#", .on_message = free_in_handler};
		struct mqtt_options opt = peer_options(broker_uri(broker), "leaver");

		peer_start(&p, loop, &opt);
		ck_assert(peer_wait(loop, !p.mqtt, 10000));
		ck_assert_uint_eq(p.n_messages, 50);
		ck_assert(!peer_wait(loop, p.n_messages > 50, 100));
		peer_stop(&p);
	}
	stop_stream(stream);
	stop();
}
END_TEST

/* A name that does not resolve, however long that takes: mqtt_free does not wait for it. */
START_TEST(unknown_host)
{
	struct peer p = {0};
	struct mqtt_options opt = peer_options("mqtt://no-such-host.invalid:1883", "lost");

	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
	opt.connect_timeout_s = 2;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == 1, 4000));
	ck_assert_ptr_nonnull(strstr(p.reason, "cannot connect to no-such-host.invalid:1883"));
	stop_in_time(&p);
	loop = loop_free(loop);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mqtt_trouble");
	TCase *tc = tcase_create("trouble");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, broker_restarts);
	tcase_add_test(tc, session_survives_restart);
	tcase_add_test(tc, broker_absent);
	tcase_add_test(tc, backoff_waits);
	tcase_add_test(tc, login_refused);
	tcase_add_test(tc, password);
	tcase_add_test(tc, taken_over);
	tcase_add_test(tc, broker_says_goodbye);
	tcase_add_test(tc, no_connack);
	tcase_add_test(tc, free_while_connecting);
	tcase_add_test(tc, free_with_silent_broker);
	tcase_add_test(tc, keepalive_finds_silence);
	tcase_add_test(tc, undecided_in_flight);
	tcase_add_test(tc, half_written);
	tcase_add_test(tc, slow_reader_loses_nothing);
	tcase_add_test(tc, tiny_queue_in_one_process);
	tcase_add_test(tc, message_above_the_queue);
	tcase_add_test(tc, free_while_streaming);
	tcase_add_test(tc, free_beside_a_full_queue);
	tcase_add_test(tc, free_in_message_handler);
	tcase_add_test(tc, unknown_host);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
