/* Configuration: what is refused, with the line and what is allowed there. */
#include "tests/unit/conf_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

START_TEST(unknown_names_suggest_the_nearest)
{
	check_error("[agnet]\n", "t.conf:1: unknown section [agnet]; did you mean [agent]?");
	check_error("\n\n[zzz x]\n", "t.conf:3: unknown section [zzz x]");
	check_error("[mqtt]\nkeepalive = 3\n",
		    "t.conf:2: unknown key 'keepalive' in [mqtt]; did you mean 'keepalive_s'?");
	check_error("[mqtt]\nclena = 1\n",
		    "t.conf:2: unknown key 'clena' in [mqtt]; did you mean 'clean'?");
	check_error("[mqtt]\nwindow = 1\n", "t.conf:2: unknown key 'window' in [mqtt]");
	check_error("[mqtt]\nvehicle = 1\n",
		    "t.conf:2: unknown key 'vehicle' in [mqtt]; it belongs to [agent]");
	check_error("[mqtt]\n= 1\n", "t.conf:2: unknown key '' in [mqtt]");
	check_error("[source x]\nkeepalive_s = 1\n",
		    "t.conf:2: unknown key 'keepalive_s' in [source]; it belongs to [mqtt]");
}
END_TEST

START_TEST(wrong_values_say_what_is_allowed)
{
	static const char int_error[] = ": must be an integer from 5 to 3600";
	static const char *const bad[] = {"4",
					  "3601",
					  "abc",
					  "",
					  "5x",
					  "0x10",
					  "+5",
					  "5.0",
					  "--5",
					  "1e2",
					  "99999999999999999999"};
	char text[100], want[200];

	for (size_t i = 0; i < array_len(bad); i++) {
		snprintf(text, sizeof(text), "[mqtt]\n\nkeepalive_s = %s\n", bad[i]);
		snprintf(want, sizeof(want), "t.conf:3: [mqtt] keepalive_s = '%s'%s", bad[i],
			 int_error);
		check_error(text, want);
	}
	check_error("[mqtt]\noffset = x\n", "t.conf:2: [mqtt] offset = 'x': must be an integer");
	check_error("[mqtt]\nclean = maybe\n",
		    "t.conf:2: [mqtt] clean = 'maybe': must be true or false");
	check_error("[agent]\nlog_level = inf\n",
		    "t.conf:2: [agent] log_level = 'inf': must be one of error, warn, info, debug");
	check_error("[agent]\nlog_level = error|warn\n",
		    "t.conf:2: [agent] log_level = 'error|warn': must be one of error, warn, info, "
		    "debug");
	check_error("[agent]\nlog_level =\n",
		    "t.conf:2: [agent] log_level = '': must be one of error, warn, info, debug");
	check_error("[agent]\nvehicle = 12345678901234567\n",
		    "t.conf:2: [agent] vehicle: must be text of 1 to 16 bytes");
	check_error("[agent]\nvehicle =\n",
		    "t.conf:2: [agent] vehicle: must be text of 1 to 16 bytes");
	check_error("[agent]\nstatus_file = x\n",
		    "t.conf:2: [agent] status_file: must be text of 2 to 100 bytes, or empty");
}
END_TEST

START_TEST(lists_have_bounds)
{
	check_error(VEHICLE "[source s]\ntype=replay\nsignals = a,b,c,d,e,f\n",
		    "t.conf:5: [source] signals: must be a list of 1 to 5 items");
	check_error(VEHICLE "[source s]\ntype=replay\nsignals = a,b,c,d\n e\n f\n",
		    "t.conf:7: [source] signals: must be a list of 1 to 5 items");
	check_error(VEHICLE "[source s]\ntype=replay\nsignals = ,\n\n\n[mqtt]\n",
		    "t.conf:5: [source] signals: must be a list of 1 to 5 items");
}
END_TEST

START_TEST(a_key_twice_names_both_lines)
{
	check_error("[mqtt]\nclean = 1\n\nclean = 1\n",
		    "t.conf:4: [mqtt] clean was given on line 2 already");
	check_error("[source a]\ntype = replay\n[source b]\ntype = replay\n[source a]\n"
		    "type = replay\n",
		    "t.conf:6: [source] type was given on line 2 already");
}
END_TEST

START_TEST(required_keys)
{
	check_error("", "t.conf: [agent] vehicle is required: text of 1 to 16 bytes");
	check_error("[mqtt]\n", "t.conf: [agent] vehicle is required: text of 1 to 16 bytes");
	check_error("\n[agent]\n", "t.conf:2: [agent] vehicle is required: text of 1 to 16 bytes");
	check_error(VEHICLE "[source a]\ntype = replay\n[source b]\n",
		    "t.conf:5: [source b] type is required: one of replay, socketcan");
}
END_TEST

START_TEST(section_headers)
{
	check_error("[source]\n", "t.conf:1: [source] needs a name: [source NAME]");
	check_error("[agent x]\n", "t.conf:1: [agent] takes no name");
	check_error("[source a b]\n", "t.conf:1: [source a b]: a name has at most 40 letters, "
				      "digits, '_', '-' and '.'");
	check_error("[source ü]\n", "t.conf:1: [source ü]: a name has at most 40 letters, digits, "
				    "'_', '-' and '.'");
	check_error("[source 12345678901234567890123456789012345678901]\n",
		    "t.conf:1: [source 12345678901234567890123456789012345678901]: a name has at "
		    "most 40 letters, digits, '_', '-' and '.'");
	check_error("[source 123456789012345678901234567890123456789012345678901234567890]\n",
		    "t.conf:1: not a section header: expected [name] of at most 49 bytes");
	check_error("[agent\n", "t.conf:1: not a section header: expected [name] of at most 49 "
				"bytes");
	check_error("[mqtt]\n[agent ;]\n",
		    "t.conf:2: not a section header: expected [name] of at most 49 bytes");
	check_error("[agent] x\n", "t.conf:1: text after the section header");
	check_error("[]\n", "t.conf:1: unknown section []");
}
END_TEST

START_TEST(lines_that_are_neither)
{
	check_error("[agent]\nvehicle\n", "t.conf:2: neither a [section] nor key = value");
	check_error("[agent]\nvehicle ; = 1", "t.conf:2: neither a [section] nor key = value");
	check_error("vehicle = 1\n", "t.conf:1: key 'vehicle' before the first [section]");
	check_error("[agent]\n\n  vehicle = 1\n",
		    "t.conf:3: an indented line goes on with a list, and there is none above; "
		    "begin in the first column");
	check_error("[agent]\nvehicle = 1\n\tlog_level = info\n",
		    "t.conf:3: an indented line goes on with a list, and there is none above; "
		    "begin in the first column");
	check_error("  [agent]\n",
		    "t.conf:1: an indented line goes on with a list, and there is none above; "
		    "begin in the first column");
	check_error("[agent]\nvehicle = a\x01z\n", "t.conf:2: control character 0x01");
	check_error("[agent]\r\rvehicle = a\n", "t.conf:1: control character 0x0d");
	check_error("\x01=1\n", "t.conf:1: control character 0x01");
}
END_TEST

START_TEST(a_nul_byte_does_not_hide_the_rest)
{
	static const char text[] = VEHICLE "\0[mqtt]\nclean=9\n";
	struct conf *c = NULL;
	struct error err;

	ck_assert_int_eq(conf_parse(&c, &table, "t.conf", text, sizeof(text) - 1, &err), -EINVAL);
	ck_assert_str_eq(err.text, "t.conf:3: control character 0x00");
}
END_TEST

/* Every length around libinih's buffer: a line is taken whole or refused, never split. */
START_TEST(long_lines_are_whole_or_refused)
{
	static const char head[] = "status_file = ";
	char text[600], want[100];
	struct error err;
	struct conf *c;

	for (size_t len = 190; len < 420; len++) {
		char *p = text + snprintf(text, sizeof(text), VEHICLE);

		/* Blanks at the end fill the line up and are no part of the value. */
		memset(p, ' ', len);
		memcpy(p, head, strlen(head));
		memcpy(p + strlen(head), "value", 5);
		p[len] = '\0';
		if (parse(&c, text, &err) == 0) {
			ck_assert_uint_le(len, 197);
			ck_assert_str_eq(conf_string(c, "agent", NULL, "status_file"), "value");
			conf_free(c);
			continue;
		}
		ck_assert_uint_gt(len, 197);
		snprintf(want, sizeof(want),
			 "t.conf:3: the line has %zu bytes; at most 197 are allowed", len);
		ck_assert_str_eq(err.text, want);
	}
}
END_TEST

START_TEST(limits_on_sections_and_lists)
{
	static char text[200000];
	struct conf *c = NULL;
	struct error err;
	size_t at;

	at = (size_t)snprintf(text, sizeof(text), VEHICLE);
	for (int i = 0; i < 257; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "[source s%d]\ntype=replay\n",
				       i);
	ck_assert_int_eq(parse(&c, text, &err), -EINVAL);
	ck_assert_str_eq(err.text, "t.conf:515: more than 256 named sections");
	at = (size_t)snprintf(text, sizeof(text), VEHICLE "[source s]\ntype=replay\ntags=\n");
	for (int i = 0; i < 700; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %0150d\n", i);
	ck_assert_int_eq(parse(&c, text, &err), -EINVAL);
	ck_assert_str_eq(err.text, "t.conf:440: [source] tags: the list has more than 65536 bytes");
}
END_TEST

START_TEST(a_long_path_keeps_its_end_and_the_message)
{
	char name[400];
	struct error err;
	struct conf *c;

	memset(name, 'd', sizeof(name));
	snprintf(name + 390, 10, "/a.conf");
	ck_assert_int_eq(conf_parse(&c, &table, name, "[agnet]", 7, &err), -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(err.text, "d/a.conf:1: unknown section [agnet]; did you mean [agent]?"));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("refused");

	tcase_add_test(tc, unknown_names_suggest_the_nearest);
	tcase_add_test(tc, wrong_values_say_what_is_allowed);
	tcase_add_test(tc, lists_have_bounds);
	tcase_add_test(tc, a_key_twice_names_both_lines);
	tcase_add_test(tc, required_keys);
	tcase_add_test(tc, section_headers);
	tcase_add_test(tc, lines_that_are_neither);
	tcase_add_test(tc, a_nul_byte_does_not_hide_the_rest);
	tcase_add_test(tc, long_lines_are_whole_or_refused);
	tcase_add_test(tc, limits_on_sections_and_lists);
	tcase_add_test(tc, a_long_path_keeps_its_end_and_the_message);
	return suite_run("conf_refused", &tc, 1);
}
