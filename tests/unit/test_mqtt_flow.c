/* base/mqtt.h: full windows, half-written packets, slow readers. */
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In flight when the connection goes: undecided, never reported as published. The next connection
 * has the whole window again. */
START_TEST(undecided_in_flight)
{
	struct peer p = {.subscribe = "t/#"};
	struct mqtt_options opt;

	start_tapped("max_inflight_messages 8");
	opt = peer_options(tap_uri, "halfway");
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
	stop();
}
END_TEST

/* A connection that is up, and in which no PUBACK comes, is given up. */
START_TEST(no_puback)
{
	struct peer p = {.subscribe = "t/#"};
	struct mqtt_options opt;

	start_tapped(NULL);
	opt = peer_options(tap_uri, "patient");
	opt.puback_timeout_s = 1;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.n_subscribed == 1, 5000));
	ck_assert_int_eq(peer_publish(&p, "t/x", "answered", 1), 0);
	ck_assert(peer_wait(loop, p.n_published == 1, 5000));
	ck_assert(!peer_wait(loop, p.disconnects > 0, 1500)); /* none is due */
	tap_stall(tap, true);
	ck_assert_int_eq(peer_publish(&p, "t/x", "unanswered", 2), 0);
	ck_assert(peer_wait(loop, p.disconnects == 1, 5000));
	ck_assert_ptr_nonnull(strstr(p.reason, "no PUBACK from"));
	tap_cut(tap);
	tap_stall(tap, false);
	ck_assert(peer_wait(loop, p.connects == 2, 8000));
	peer_stop(&p);
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

	start_tapped("max_queued_messages 0\nmax_inflight_messages 0");
	memset(big, 'x', sizeof(big) - 1);
	opt = peer_options(tap_uri, "verbose");
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
 * thread is held up before the loop turns again, and all arrive in order. (The writer is another
 * program: one process has one receive thread.) */
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
	for (int i = 0; i < 500; i++) {
		mqtt_get_stats(reader.mqtt, &stats);
		if (stats.queue_waits > 0)
			break;
		usleep(10000);
	}
	ck_assert_uint_gt(stats.queue_waits, 0);
	ck_assert(peer_wait(loop, reader.n_messages == N, 20000));
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(strtol((char *)reader.messages[i].payload, NULL, 10), i + 1);
	mqtt_get_stats(reader.mqtt, &stats);
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

int main(void)
{
	TCase *tc = tcase_create("flow");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, undecided_in_flight);
	tcase_add_test(tc, no_puback);
	tcase_add_test(tc, half_written);
	tcase_add_test(tc, slow_reader_loses_nothing);
	tcase_add_test(tc, tiny_queue_in_one_process);
	tcase_add_test(tc, message_above_the_queue);
	return suite_run("mqtt_flow", &tc, 1);
}
