/* Topics: built and parsed back, and refused by field. */
#include "proto/topic.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

#define ID_64 "0123456789012345678901234567890123456789012345678901234567890123"

START_TEST(ids_are_checked)
{
	ck_assert(id_is_valid("a"));
	ck_assert(id_is_valid("A-Z_0.9"));
	ck_assert(id_is_valid(ID_64));
	ck_assert(!id_is_valid(ID_64 "4"));
	ck_assert(!id_is_valid(""));
	ck_assert(!id_is_valid("a/b"));
	ck_assert(!id_is_valid("a b"));
	ck_assert(!id_is_valid("a+"));
	ck_assert(!id_is_valid("#"));
	ck_assert(!id_is_valid("\xc3\xa4"));
}
END_TEST

START_TEST(classes_have_names)
{
	enum uplink_class c;

	for (int i = 0; i < CLASS_COUNT; i++) {
		ck_assert_int_eq(class_parse(class_name((enum uplink_class)i), &c), 0);
		ck_assert_int_eq((int)c, i);
	}
	ck_assert_str_eq(class_name(CLASS_COUNT), "unknown");
	ck_assert_int_eq(class_parse("Bulk", &c), -EINVAL);
	ck_assert_int_eq(class_parse("", &c), -EINVAL);
}
END_TEST

START_TEST(up_topics_come_back)
{
	struct topic_up t = {
		.part = 65535, .vehicle = ID_64, .device = "tcu-1", .class = CLASS_LOG};
	struct topic_up back;
	char text[TOPIC_MAX];

	topic_format_up(&t, text);
	ck_assert_str_eq(text, "tl/1/up/65535/" ID_64 "/tcu-1/log");
	ck_assert_int_eq(topic_parse_up(text, &back, NULL), 0);
	ck_assert_uint_eq(back.part, 65535);
	ck_assert_str_eq(back.vehicle, t.vehicle);
	ck_assert_str_eq(back.device, "tcu-1");
	ck_assert_int_eq(back.class, CLASS_LOG);
	memcpy(t.device, ID_64, sizeof(ID_64));
	t.class = CLASS_STATUS;
	topic_format_up(&t, text);
	ck_assert_int_eq(topic_parse_up(text, &back, NULL), 0);
	topic_format_receipt(ID_64, ID_64, text);
	ck_assert_str_eq(text, "tl/1/down/" ID_64 "/" ID_64 "/receipt");
}
END_TEST

static const struct {
	const char *topic, *says;
} BAD[] = {
	{"", "does not start"},
	{"tl/1/up", "does not start"},
	{"tl/2/up/0/v/d/bulk", "does not start"},
	{"tl/1/up/", "part"},
	{"tl/1/up/0", "part"},
	{"tl/1/up//v/d/bulk", "part"},
	{"tl/1/up/65536/v/d/bulk", "part"},
	{"tl/1/up/-1/v/d/bulk", "part"},
	{"tl/1/up/00/v/d/bulk", "part"},
	{"tl/1/up/1x/v/d/bulk", "part"},
	{"tl/1/up/99999999999999999999/v/d/bulk", "part"},
	{"tl/1/up/0//d/bulk", "vehicle"},
	{"tl/1/up/0/v v/d/bulk", "vehicle"},
	{"tl/1/up/0/" ID_64 "4/d/bulk", "vehicle"},
	{"tl/1/up/0/v", "vehicle"},
	{"tl/1/up/0/v//bulk", "device"},
	{"tl/1/up/0/v/d+/bulk", "device"},
	{"tl/1/up/0/v/d", "device"},
	{"tl/1/up/0/v/d/", "class"},
	{"tl/1/up/0/v/d/bulky", "class"},
	{"tl/1/up/0/v/d/bulk/", "class"},
	{"tl/1/up/0/v/d/bulk/x", "class"},
	{"tl/1/up/0/v/d/averyveryverylongclass", "class"},
};

START_TEST(bad_topics_are_refused_by_field)
{
	struct topic_up t = {.part = 7};
	struct error err;

	ck_assert_int_eq(topic_parse_up(BAD[_i].topic, &t, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, BAD[_i].says), "'%s' lacks '%s'", err.text, BAD[_i].says);
	ck_assert_uint_eq(t.part, 7);
}
END_TEST

START_TEST(errors_quote_no_control_characters)
{
	struct topic_up t;
	struct error err;

	ck_assert_int_eq(topic_parse_up("x\n\x1b[31m", &t, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "'x??[31m'"));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("topic");

	tcase_add_test(t, ids_are_checked);
	tcase_add_test(t, classes_have_names);
	tcase_add_test(t, up_topics_come_back);
	tcase_add_loop_test(t, bad_topics_are_refused_by_field, 0, (int)array_len(BAD));
	tcase_add_test(t, errors_quote_no_control_characters);
	return suite_run("topic", &t, 1);
}
