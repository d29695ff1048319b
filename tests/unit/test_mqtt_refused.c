/* base/mqtt.h: brokers that refuse, throw out, or do not answer. */
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(login_refused)
{
	struct peer p = {0};
	struct mqtt_options opt;

	start("allow_anonymous false");
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

	private_file(path, sizeof(path));
	snprintf(command, sizeof(command), "mosquitto_passwd -c -b %s vehicle drive", path);
	ck_assert_int_eq(system(command), 0);
	snprintf(config, sizeof(config), "allow_anonymous false\npassword_file %s", path);
	start(config);
	private_file_remove(path);
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

START_TEST(no_connack)
{
	struct peer p = {0};
	struct mqtt_options opt;
	char uri[64];
	int port, fd = silent_server(&port);

	start_loop();
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", port);
	opt = peer_options(uri, "ignored");
	opt.connect_timeout_s = 1;
	peer_start(&p, loop, &opt);
	for (int i = 1; i <= 3; i++)
		ck_assert(peer_wait(loop, p.disconnects == i, 3000));
	ck_assert_ptr_nonnull(strstr(p.reason, "no CONNACK within 1 s"));
	stop_in_time(&p);
	close(fd);
	stop();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("refused");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, login_refused);
	tcase_add_test(tc, password);
	tcase_add_test(tc, taken_over);
	tcase_add_test(tc, broker_says_goodbye);
	tcase_add_test(tc, no_connack);
	return suite_run("mqtt_refused", &tc, 1);
}
