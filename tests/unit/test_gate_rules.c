/* Which topics a device and the relay may use at the gate. */
#include "relay/gate/rules.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

#define ID_64 "0123456789012345678901234567890123456789012345678901234567890123"

static const struct gate_device DEVICE = {.id = "tcu", .vehicle = "car"};
static const struct gate_service RELAY = {.name = "relay", .role = GATE_RELAY};

static const struct {
	const char *topic;
	int class; /* -EACCES: refused */
} PUBLISHES[] = {
	{"tl/1/up/0/car/tcu/event", CLASS_EVENT},
	{"tl/1/up/65535/car/tcu/live", CLASS_LIVE},
	{"tl/1/up/0/car/tcu/bulk", CLASS_BULK},
	{"tl/1/up/0/car/tcu/log", CLASS_LOG},
	{"tl/1/up/0/car/tcu/status", CLASS_STATUS},
	{"tl/1/up/0/car/tcu/reply/app", GATE_REPLY},
	{"tl/1/up/0/car/tcu/reply/" ID_64, GATE_REPLY},
	{"tl/1/up/0/car/tcu/reply/reply", GATE_REPLY},
	{"tl/1/up/0/car/tcu/reply", -EACCES},
	{"tl/1/up/0/car/tcu/reply/", -EACCES},
	{"tl/1/up/0/car/tcu/reply/a/b", -EACCES},
	{"tl/1/up/0/car/tcu/reply/" ID_64 "4", -EACCES},
	{"tl/1/up/0/car/tcu/bulk/app", -EACCES},
	{"tl/1/up/0/car/tcu2/bulk", -EACCES},
	{"tl/1/up/0/car/tc/bulk", -EACCES},
	{"tl/1/up/0/car2/tcu/bulk", -EACCES},
	{"tl/1/up/0/ca/tcu/bulk", -EACCES},
	{"tl/1/up/0/tcu/car/bulk", -EACCES},
	{"tl/1/up/0/car/tcu2/reply/app", -EACCES},
	{"tl/1/up/0/car2/tcu/reply/app", -EACCES},
	{"tl/1/up/65536/car/tcu/reply/app", -EACCES},
	{"tl/1/up/65536/car/tcu/bulk", -EACCES},
	{"tl/2/up/0/car/tcu/bulk", -EACCES},
	{"tl/1/down/car/tcu/receipt", -EACCES},
	{"tl/1/presence/car/tcu", -EACCES},
	{"/reply/app", -EACCES},
	{"reply/app", -EACCES},
	{"/", -EACCES},
	{"", -EACCES},
};

START_TEST(a_device_publishes_as_itself)
{
	ck_assert_int_eq(gate_device_publishes(&DEVICE, PUBLISHES[_i].topic, false),
			 PUBLISHES[_i].class);
	ck_assert_int_eq(gate_device_publishes(&DEVICE, PUBLISHES[_i].topic, true), -EACCES);
}
END_TEST

START_TEST(a_topic_of_any_length_is_judged)
{
	static char topic[70000];
	static const char BEGIN[] = "tl/1/up/0/car/tcu/";

	for (size_t n = sizeof(BEGIN); n < sizeof(topic) - 16; n = n < 1200 ? n + 1 : n * 2) {
		memset(topic, 'x', n);
		memcpy(topic, BEGIN, sizeof(BEGIN) - 1);
		memcpy(topic + n, "/reply/app", sizeof("/reply/app"));
		ck_assert_int_eq(gate_device_publishes(&DEVICE, topic, false), -EACCES);
		ck_assert(!gate_device_gets(&DEVICE, topic));
		ck_assert(!gate_service_publishes(&RELAY, topic, false));
	}
}
END_TEST

static const char *const DEVICE_GETS[] = {
	"tl/1/down/car/tcu/receipt", "tl/1/down/car/tcu/config",     "tl/1/down/car/tcu/cmd",
	"tl/1/down/car/direct/app",  "tl/1/down/car/direct/receipt",
};
static const char *const DEVICE_DOES_NOT_GET[] = {
	"#",
	"+",
	"",
	"tl/1/down/#",
	"tl/1/down/car/#",
	"tl/1/down/car/tcu",
	"tl/1/down/car/tcu/",
	"tl/1/down/car/tcu/#",
	"tl/1/down/car/tcu/+",
	"tl/1/down/car/tcu/receipt/#",
	"tl/1/down/car/tcu/receipt/x",
	"tl/1/down/car/tcu/other",
	"tl/1/down/car/+/receipt",
	"tl/1/down/+/tcu/receipt",
	"tl/1/down/car/tcu2/receipt",
	"tl/1/down/car2/tcu/receipt",
	"tl/1/down/car/direct/+",
	"tl/1/down/car/direct/#",
	"tl/1/down/car/direct/",
	"tl/1/down/car/direct",
	"tl/1/down/car/direct/a/b",
	"tl/1/down/car2/direct/app",
	"tl/1/down/group/red/direct/app",
	"$share/x/tl/1/down/car/tcu/receipt",
	"tl/1/up/0/car/tcu/bulk",
	"tl/1/presence/car/tcu",
	"$SYS/#",
};

START_TEST(a_device_gets_its_own_by_exact_topics)
{
	for (size_t i = 0; i < array_len(DEVICE_GETS); i++)
		ck_assert_msg(gate_device_gets(&DEVICE, DEVICE_GETS[i]), "%s", DEVICE_GETS[i]);
	for (size_t i = 0; i < array_len(DEVICE_DOES_NOT_GET); i++)
		ck_assert_msg(!gate_device_gets(&DEVICE, DEVICE_DOES_NOT_GET[i]), "%s",
			      DEVICE_DOES_NOT_GET[i]);
}
END_TEST

static const struct {
	const char *topic;
	bool may, retained;
} RELAY_PUBLISHES[] = {
	{"tl/1/down/car/tcu/receipt", true, false},
	{"tl/1/down/car/tcu/cmd", true, false},
	{"tl/1/down/car/tcu/config", true, true},
	{"tl/1/down/car/tcu/other", false, false},
	{"tl/1/down/car/tcu/receipt/x", false, false},
	{"tl/1/down/car/receipt", false, false},
	{"tl/1/down//tcu/receipt", false, false},
	{"tl/1/down/" ID_64 "4/tcu/receipt", false, false},
	{"tl/1/down/c r/tcu/receipt", false, false},
	{"tl/1/up/0/car/tcu/bulk", false, false},
	{"tl/1/presence/car/tcu", false, false},
	{"", false, false},
};

START_TEST(the_relay_publishes_orders)
{
	for (size_t i = 0; i < array_len(RELAY_PUBLISHES); i++) {
		const char *topic = RELAY_PUBLISHES[i].topic;

		ck_assert_msg(gate_service_publishes(&RELAY, topic, false) ==
				      RELAY_PUBLISHES[i].may,
			      "%s", topic);
		ck_assert_msg(gate_service_publishes(&RELAY, topic, true) ==
				      RELAY_PUBLISHES[i].retained,
			      "%s", topic);
	}
}
END_TEST

START_TEST(the_relay_gets_what_comes_up)
{
	ck_assert(gate_service_gets(&RELAY, "tl/1/up/#"));
	ck_assert(gate_service_gets(&RELAY, "tl/1/up/3/#"));
	ck_assert(gate_service_gets(&RELAY, "tl/1/up/0/car/tcu/bulk"));
	ck_assert(gate_service_gets(&RELAY, "tl/1/presence/+/+"));
	ck_assert(gate_service_gets(&RELAY, "$share/relays/tl/1/up/#"));
	ck_assert(!gate_service_gets(&RELAY, "$share/relays/#"));
	ck_assert(!gate_service_gets(&RELAY, "$share/relays"));
	ck_assert(!gate_service_gets(&RELAY, "$share//tl/1/up/#"));
	ck_assert(!gate_service_gets(&RELAY, "#"));
	ck_assert(!gate_service_gets(&RELAY, "tl/#"));
	ck_assert(!gate_service_gets(&RELAY, "tl/1/+/#"));
	ck_assert(!gate_service_gets(&RELAY, "tl/1/down/car/tcu/cmd"));
	ck_assert(!gate_service_gets(&RELAY, ""));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("rules");

	tcase_add_loop_test(t, a_device_publishes_as_itself, 0, (int)array_len(PUBLISHES));
	tcase_add_test(t, a_topic_of_any_length_is_judged);
	tcase_add_test(t, a_device_gets_its_own_by_exact_topics);
	tcase_add_test(t, the_relay_publishes_orders);
	tcase_add_test(t, the_relay_gets_what_comes_up);
	return suite_run("gate_rules", &t, 1);
}
