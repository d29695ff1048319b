/* base/mqtt.h: brokers that die, stall or are not there. */
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

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

START_TEST(broker_absent)
{
	enum { ATTEMPTS = 8 };
	struct peer p = {0};
	struct mqtt_options opt;
	struct mqtt_stats stats;
	char uri[64], place[64];
	int port = broker_free_port();
	int64_t before;

	start_loop();
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
	stop();
}
END_TEST

START_TEST(backoff_waits)
{
	struct peer p = {0};
	struct mqtt_options opt;
	char uri[64];

	start_loop();
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", broker_free_port());
	opt = peer_options(uri, "patient");
	opt.backoff_min_ms = opt.backoff_max_ms = 60000;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == 1, 10000));
	ck_assert(!peer_wait(loop, p.disconnects > 1, 2000));
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

/* A name that does not resolve, however long that takes: mqtt_free does not wait for it. */
START_TEST(unknown_host)
{
	struct peer p = {0};
	struct mqtt_options opt = peer_options("mqtt://no-such-host.invalid:1883", "lost");

	start_loop();
	opt.connect_timeout_s = 2;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.disconnects == 1, 4000));
	ck_assert_ptr_nonnull(strstr(p.reason, "cannot connect to no-such-host.invalid:1883"));
	stop_in_time(&p);
	stop();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("lost");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, broker_restarts);
	tcase_add_test(tc, broker_absent);
	tcase_add_test(tc, backoff_waits);
	tcase_add_test(tc, keepalive_finds_silence);
	tcase_add_test(tc, unknown_host);
	return suite_run("mqtt_lost", &tc, 1);
}
