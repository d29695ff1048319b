/* Sizes of packets, topics, waits between attempts: what needs no broker. */
#include "base/mqtt_backoff.h"
#include "base/mqtt_packet.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static size_t size_of(size_t topic, size_t payload, int qos, bool alias, bool expiry)
{
	struct mqtt_packet_publish p = {.topic_len = topic,
					.payload_len = payload,
					.qos = qos,
					.has_alias = alias,
					.has_expiry = expiry};

	return mqtt_packet_publish_size(&p);
}

/* Counted by hand after MQTT 5.0, 3.3. */
START_TEST(publish_sizes)
{
	/* Fixed header 2, topic 2 + 3, properties 1. */
	ck_assert_uint_eq(size_of(3, 0, 0, false, false), 8);
	ck_assert_uint_eq(size_of(3, 0, 1, false, false), 10);
	ck_assert_uint_eq(size_of(3, 5, 1, true, false), 18);
	ck_assert_uint_eq(size_of(0, 5, 1, true, false), 15);
	ck_assert_uint_eq(size_of(0, 5, 1, true, true), 20);
	/* Remaining Length 127 takes one byte, 128 two, 16383 two, 16384 three, 2097152 four. */
	ck_assert_uint_eq(size_of(3, 127 - 6, 0, false, false), 2 + 127);
	ck_assert_uint_eq(size_of(3, 128 - 6, 0, false, false), 3 + 128);
	ck_assert_uint_eq(size_of(3, 16383 - 6, 0, false, false), 3 + 16383);
	ck_assert_uint_eq(size_of(3, 16384 - 6, 0, false, false), 4 + 16384);
	ck_assert_uint_eq(size_of(3, 2097152 - 6, 0, false, false), 5 + 2097152);
	ck_assert_uint_eq(size_of(3, 268435455 - 6, 0, false, false), MQTT_PACKET_MAX);
}
END_TEST

START_TEST(topics)
{
	static char longest[65537];

	ck_assert(mqtt_packet_topic_valid("tl/1/up/0/vehicle/device/bulk"));
	ck_assert(mqtt_packet_topic_valid("/"));
	ck_assert(mqtt_packet_topic_valid("stra\xc3\x9f"
					  "e/\xe2\x82\xac/\xf0\x9f\x9a\x97"));
	ck_assert(!mqtt_packet_topic_valid(NULL));
	ck_assert(!mqtt_packet_topic_valid(""));
	ck_assert(!mqtt_packet_topic_valid("a/+"));
	ck_assert(!mqtt_packet_topic_valid("#"));
	ck_assert(!mqtt_packet_topic_valid("tab\there"));
	ck_assert(!mqtt_packet_topic_valid("\x80"));
	ck_assert(!mqtt_packet_topic_valid("\xc0\xaf"));	 /* overlong */
	ck_assert(!mqtt_packet_topic_valid("\xe0\x80\xaf"));	 /* overlong */
	ck_assert(!mqtt_packet_topic_valid("\xed\xa0\x80"));	 /* surrogate */
	ck_assert(!mqtt_packet_topic_valid("\xf4\x90\x80\x80")); /* above 10FFFF */
	ck_assert(!mqtt_packet_topic_valid("cut\xe2\x82"));
	ck_assert(!mqtt_packet_topic_valid("cut\xf0"));
	memset(longest, 'a', 65536);
	ck_assert(!mqtt_packet_topic_valid(longest));
	longest[65535] = '\0';
	ck_assert(mqtt_packet_topic_valid(longest));
}
END_TEST

/* Within bounds always; the largest of many waits shows that the bound doubles. */
START_TEST(backoff_grows)
{
	static const int bounds[] = {200, 400, 800, 1000, 1000};
	int largest[array_len(bounds)] = {0};

	for (int round = 0; round < 300; round++) {
		struct mqtt_backoff b;

		mqtt_backoff_init(&b, 100, 1000);
		for (size_t i = 0; i < array_len(bounds); i++) {
			int ms = mqtt_backoff_next(&b);

			ck_assert_int_ge(ms, 100);
			ck_assert_int_le(ms, bounds[i]);
			largest[i] = ms > largest[i] ? ms : largest[i];
		}
		mqtt_backoff_reset(&b);
		ck_assert_int_le(mqtt_backoff_next(&b), 200);
	}
	/* All 300 in the lower nine tenths: 300 * log10(0.9) < -13. */
	for (size_t i = 0; i < array_len(bounds); i++)
		ck_assert_int_gt(largest[i], 100 + (bounds[i] - 100) * 9 / 10);
}
END_TEST

START_TEST(backoff_extremes)
{
	struct mqtt_backoff b;

	mqtt_backoff_init(&b, 1, 1);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(mqtt_backoff_next(&b), 1);
	mqtt_backoff_init(&b, 1, INT32_MAX);
	for (int i = 0; i < 100; i++)
		ck_assert_int_ge(mqtt_backoff_next(&b), 1);
	ck_assert_int_eq(b.bound_ms, INT32_MAX);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("pure");

	tcase_add_test(tc, publish_sizes);
	tcase_add_test(tc, topics);
	tcase_add_test(tc, backoff_grows);
	tcase_add_test(tc, backoff_extremes);
	return suite_run("mqtt_packet", &tc, 1);
}
