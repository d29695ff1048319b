/* base/mqtt.h: topic aliases, and what they save on the wire. */
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static void publish_aliased(struct peer *p, const char *topic, int n)
{
	char text[32];
	struct mqtt_publish pub = {.topic = topic, .payload = text, .qos = 1, .use_alias = true};
	int r;

	snprintf(text, sizeof(text), "%s=%d", topic, n);
	pub.len = strlen(text);
	pub.expiry_s = n % 2 ? 100 : 0;
	while ((r = mqtt_publish(p->mqtt, &pub)) == -EAGAIN)
		peer_turn(p->loop, NULL, 100);
	ck_assert_int_eq(r, 0);
}

/* Fourteen topics: Mosquitto grants ten aliases, four go without. Each payload names its topic. */
START_TEST(aliases)
{
	enum { TOPICS = 14, ROUNDS = 10 };
	struct peer sub = {.subscribe = "tl/#"}, pub = {0};
	struct mqtt_options opt;
	struct mqtt_stats stats;
	char topic[64];
	uint64_t before;

	start_tapped(NULL);
	connect_peer(&sub, "reader");
	opt = peer_options(tap_uri, "writer");
	peer_start(&pub, loop, &opt);
	ck_assert(peer_wait(loop, pub.connects == 1, 5000));
	before = tap_bytes_up(tap);
	for (int i = 0; i < ROUNDS * TOPICS; i++) {
		snprintf(topic, sizeof(topic), "tl/1/up/0/vehicle/device/%d", i % TOPICS);
		publish_aliased(&pub, topic, i);
	}
	ck_assert(peer_wait(loop, sub.n_messages == ROUNDS * TOPICS, 5000));
	ck_assert(peer_wait(loop, pub.n_published == ROUNDS * TOPICS, 5000));
	for (size_t i = 0; i < sub.n_messages; i++) {
		snprintf(topic, sizeof(topic), "%s=%d", sub.messages[i].topic, (int)i);
		ck_assert_str_eq((char *)sub.messages[i].payload, topic);
	}
	mqtt_get_stats(pub.mqtt, &stats);
	ck_assert_uint_eq(stats.published, ROUNDS * TOPICS);
	/* Nothing but PUBLISH goes up on this connection: our count is the wire's. */
	ck_assert_uint_eq(stats.published_bytes, tap_bytes_up(tap) - before);
	ck_assert_uint_lt(stats.published_bytes, ROUNDS * TOPICS * 64);
	ck_assert_int_eq(pub.disconnects, 0);
	peer_stop(&pub);
	peer_stop(&sub);
	stop();
}
END_TEST

/* Aliases die with their connection: after a cut the first publish names its topic again. */
START_TEST(aliases_after_reconnect)
{
	struct peer sub = {.subscribe = "tl/#"}, pub = {0};
	struct mqtt_options opt;

	start_tapped(NULL);
	connect_peer(&sub, "reader");
	opt = peer_options(tap_uri, "writer");
	peer_start(&pub, loop, &opt);
	for (int i = 1; i <= 3; i++) {
		ck_assert(peer_wait(loop, pub.connects == i && mqtt_is_connected(pub.mqtt), 5000));
		publish_aliased(&pub, "tl/topic", 2 * i);
		publish_aliased(&pub, "tl/topic", 2 * i + 1);
		ck_assert(peer_wait(loop, sub.n_messages == (size_t)(2 * i), 5000));
		tap_cut(tap);
		ck_assert(peer_wait(loop, pub.disconnects == i, 5000));
	}
	for (size_t i = 0; i < sub.n_messages; i++)
		ck_assert_str_eq(sub.messages[i].topic, "tl/topic");
	peer_stop(&pub);
	peer_stop(&sub);
	stop();
}
END_TEST

/* The packet that the broker is sent is the one of MQTT 5.0, 3.3, byte for byte: with and without
 * Message Expiry Interval, 3.3.2.3.3. Paho 1.3.12 would write 0xffffffff as 0x000000ff. */
START_TEST(expiry_on_the_wire)
{
	static const uint32_t expiries[] = {0, 1, 86400, INT32_MAX, UINT32_MAX};
	struct peer pub = {0};
	struct mqtt_options opt;
	uint8_t seen[TAP_KEPT];

	start_tapped(NULL);
	opt = peer_options(tap_uri, "writer");
	peer_start(&pub, loop, &opt);
	ck_assert(peer_wait(loop, pub.connects == 1, 5000));
	for (size_t i = 0; i < array_len(expiries); i++) {
		uint32_t e = expiries[i] > INT32_MAX ? INT32_MAX : expiries[i];
		uint8_t want[] = {'t',
				  0,
				  (uint8_t)(i + 1),
				  5,
				  0x02,
				  (uint8_t)(e >> 24),
				  (uint8_t)(e >> 16),
				  (uint8_t)(e >> 8),
				  (uint8_t)e,
				  'x'};
		const uint8_t without[] = {'t', 0, (uint8_t)(i + 1), 0, 'x'};
		const uint8_t *end = e ? want : without;
		size_t len = e ? sizeof(want) : sizeof(without), n;

		ck_assert_int_eq(
			mqtt_publish(pub.mqtt, &(struct mqtt_publish){.topic = "t",
								      .payload = "x",
								      .len = 1,
								      .qos = 1,
								      .expiry_s = expiries[i]}),
			0);
		ck_assert(peer_wait(loop, pub.n_published == i + 1, 5000));
		n = tap_last_up(tap, seen);
		ck_assert_uint_ge(n, len);
		ck_assert_mem_eq(seen + n - len, end, len);
	}
	peer_stop(&pub);
	stop();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("alias");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, aliases);
	tcase_add_test(tc, aliases_after_reconnect);
	tcase_add_test(tc, expiry_on_the_wire);
	return suite_run("mqtt_alias", &tc, 1);
}
