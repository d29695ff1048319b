/* mqtt_free: soon, whatever goes on, and with what is queued sent. */
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* What was published before mqtt_free arrives, though nobody waited for its PUBACK. */
START_TEST(free_sends_what_is_queued)
{
	struct peer p = {0}, q = {.subscribe = "t/#"};

	start(NULL);
	connect_peer(&q, "reader");
	connect_peer(&p, "writer");
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(peer_publish(&p, "t/last", "words", (uint64_t)i), 0);
	peer_stop(&p);
	ck_assert(peer_wait(loop, q.n_messages == 20, 5000));
	peer_stop(&q);
	stop();
}
END_TEST

START_TEST(free_while_connecting)
{
	char uri[64];
	int port, fd = silent_server(&port);

	start_loop();
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", port);
	for (int ms = 0; ms < 300; ms += 50) {
		struct mqtt_options opt = peer_options(uri, "hasty");
		struct peer p = {0};

		peer_start(&p, loop, &opt);
		peer_wait(loop, false, ms);
		stop_in_time(&p);
	}
	close(fd);
	stop();
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

int main(void)
{
	TCase *tc = tcase_create("free");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, free_sends_what_is_queued);
	tcase_add_test(tc, free_while_connecting);
	tcase_add_test(tc, free_with_silent_broker);
	tcase_add_test(tc, free_while_streaming);
	tcase_add_test(tc, free_beside_a_full_queue);
	tcase_add_test(tc, free_in_message_handler);
	return suite_run("mqtt_free", &tc, 1);
}
