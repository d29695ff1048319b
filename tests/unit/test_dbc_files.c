/* DBC files as they are: wrong as a whole, at odds with themselves, or made to take long. */
#include "tests/unit/dbc_said.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

START_TEST(test_not_utf8)
{
	struct catalog *cat =
		compile("BO_ 1 M\xf6tor: 8 N\n"
			" SG_ S : 0|8@1+ (1,0) [0|0] \"\xb0"
			"C\x80\x81\" N\n"
			" SG_ T : 8|8@1+ (1,0) [0|0] \"\xc2\xb0"
			"C\" N\n"
			"CM_ SG_ 1 T \"bell \x07\";\n",
			"t.dbc:1: warning: message name 'M?tor' is not an identifier: taken as "
			"'M??tor'\n"
			"t.dbc:2: warning: unit is not UTF-8: read as Windows-1252\n"
			"t.dbc:4: warning: comment holds control characters: replaced by U+FFFD\n");

	ck_assert_str_eq(cat->messages[0].name, "M\xc3\xb6tor");
	ck_assert_str_eq(cat->signals[0].unit, "\xc2\xb0"
					       "C\xe2\x82\xac\xef\xbf\xbd");
	ck_assert_str_eq(cat->signals[1].unit, "\xc2\xb0"
					       "C");
	ck_assert_str_eq(cat->signals[1].comment, "bell \xef\xbf\xbd");
	catalog_free(cat);
}
END_TEST

START_TEST(test_names)
{
	struct catalog *cat = compile(
		"BO_ 1 My Message: 8 N\n"
		" SG_ A-b.c : 0|8@1+ (1,0) [0|0] \"\" N\n"
		" SG_ X : 8|8@1+ (1,0) [0|0] \"\" N\n"
		" SG_ X : 8|8@1+ (1,0) [0|0] \"\" N\n"
		" SG_ X : 16|8@1+ (1,0) [0|0] \"\" N\n"
		"BO_ 2 My_Message: 8 N\n"
		" SG_ Y : 0|8@1+ (1,0) [0|0] \"\" N\n"
		"VAL_ 1 A-b.c 1 \"one\";\n"
		"VAL_ 1 X 1 \"first\";\n",
		"t.dbc:1: warning: message name 'My Message' is not an identifier: taken as "
		"'My_Message'\n"
		"t.dbc:2: warning: signal name 'A-b.c' is not an identifier: taken as 'A_b_c'\n"
		"t.dbc:4: warning: signal X is at line 3 already, the same: skipped\n"
		"t.dbc:5: warning: message My_Message has a signal X already: named X_2\n"
		"t.dbc:6: warning: bus can0 has a message My_Message already: 0x002 is named "
		"My_Message_2\n");

	ck_assert_str_eq(catalog_choice(find(cat, "can0.My_Message.A_b_c"), 1), "one");
	ck_assert_uint_eq(find(cat, "can0.My_Message.X")->start_bit, 8);
	ck_assert_str_eq(catalog_choice(find(cat, "can0.My_Message.X"), 1), "first");
	ck_assert_uint_eq(find(cat, "can0.My_Message.X_2")->start_bit, 16);
	find(cat, "can0.My_Message_2.Y");
	catalog_free(cat);
}
END_TEST

START_TEST(test_beyond_the_end)
{
	struct catalog *cat = compile(
		"BO_ 1 M: 4 N\n SG_ A : 32|16@1+ (1,0) [0|0] \"\" N\n"
		"BO_ 2 F: 12 N\n SG_ B : 96|8@1+ (1,0) [0|0] \"\" N\n"
		" SG_ C : 512|8@1+ (1,0) [0|0] \"\" N\n",
		"t.dbc:2: warning: signal A ends in byte 6 of message M, which has 4: message "
		"taken as longer\n"
		"t.dbc:4: warning: signal B ends in byte 13 of message F, which has 12: message "
		"taken as longer\n"
		"t.dbc:5: error: signal C ends in byte 65 of message F, which has 12: skipped\n");

	ck_assert_uint_eq(cat->messages[0].bytes, 6);
	ck_assert_uint_eq(cat->messages[1].bytes, 13);
	catalog_free(cat);
}
END_TEST

START_TEST(test_string_that_swallows)
{
	struct catalog *cat = compile("BO_ 1 M: 8 N\n" GOOD "CM_ BO_ 1 \"not closed;\n"
				      "CM_ SG_ 1 Good \"and BO_ is a word;\nCM_ is one too\";\n"
				      "CM_ \"C:\\\";\nCM_ BO_ 1 \"last\";\n",
				      "t.dbc:3: error: CM_: the string is not closed\n");

	ck_assert_str_eq(cat->messages[0].comment, "last");
	ck_assert_str_eq(cat->signals[0].comment, "and BO_ is a word;\nCM_ is one too");
	catalog_free(cat);
}
END_TEST

START_TEST(test_multiplexors)
{
	struct catalog *cat = compile(
		"BO_ 1 Circle: 8 N\n"
		" SG_ A m0M : 0|8@1+ (1,0) [0|0] \"\" N\n"
		" SG_ B m0M : 8|8@1+ (1,0) [0|0] \"\" N\n"
		"BO_ 2 Two: 8 N\n"
		" SG_ P M : 0|4@1+ (1,0) [0|0] \"\" N\n"
		" SG_ Q M : 4|4@1+ (1,0) [0|0] \"\" N\n"
		" SG_ R m3 : 8|4@1+ (1,0) [0|0] \"\" N\n"
		" SG_ S m16 : 12|4@1+ (1,0) [0|0] \"\" N\n"
		"BO_ 3 Gone: 8 N\n"
		" SG_ T M : 60|8@1+ (1,0) [0|0] \"\" N\n"
		" SG_ U m1 : 0|8@1+ (1,0) [0|0] \"\" N\n"
		"BO_ 4 Float: 8 N\n"
		" SG_ V M : 0|32@1+ (1,0) [0|0] \"\" N\n"
		" SG_ W m1 : 32|8@1+ (1,0) [0|0] \"\" N\n"
		"SG_MUL_VAL_ 1 A B 0-0;\n"
		"SG_MUL_VAL_ 1 B A 9-0;\n"
		"SG_MUL_VAL_ 1 B A 1-1;\n"
		"SG_MUL_VAL_ 2 Q P 1-1;\n"
		"SIG_VALTYPE_ 4 V : 1;\n",
		"t.dbc:16: warning: SG_MUL_VAL_: range 9-0 is turned around\n"
		"t.dbc:17: error: SG_MUL_VAL_: signal B has ranges already: skipped\n"
		"t.dbc:18: warning: SG_MUL_VAL_: signal Q is not marked m<number>\n"
		"t.dbc:10: error: signal T ends in byte 9 of message Gone, which has 8: skipped\n"
		"t.dbc:11: error: signal U is multiplexed (m1), but message Gone has no "
		"multiplexor: skipped\n"
		"t.dbc:2: error: signal A: its multiplexors form a circle or are nested too deep: "
		"skipped\n"
		"t.dbc:3: error: signal B: its multiplexor is skipped: skipped\n"
		"t.dbc:14: error: signal W: its multiplexor is a floating point number: skipped\n"
		"t.dbc:8: warning: signal S is never present: multiplexor P cannot be 16\n");

	ck_assert_uint_eq(cat->n_signals, 5);
	ck_assert_str_eq(cat->signals[find(cat, "can0.Two.R")->mux].name, "P");
	catalog_free(cat);
}
END_TEST

START_TEST(test_two_multiplexors)
{
	struct catalog *cat = compile("BO_ 2 Two: 8 N\n"
				      " SG_ P M : 0|4@1+ (1,0) [0|0] \"\" N\n"
				      " SG_ Q M : 4|4@1+ (1,0) [0|0] \"\" N\n"
				      " SG_ R m3 : 8|4@1+ (1,0) [0|0] \"\" N\n",
				      "t.dbc:3: warning: message Two has two multiplexors without "
				      "a value of their own: P "
				      "decides where SG_MUL_VAL_ does not say otherwise\n");

	ck_assert_str_eq(cat->signals[find(cat, "can0.Two.R")->mux].name, "P");
	catalog_free(cat);
}
END_TEST

START_TEST(test_not_a_dbc)
{
	struct error err = {""};
	struct dbc *d = NULL;

	ck_assert_int_eq(dbc_parse(&d, "t.dbc", "\xff\xfe\x42\x00", 4, &sink, &err), -EBADMSG);
	ck_assert_str_eq(err.text, "t.dbc: the text is UTF-16; save it as UTF-8");
	ck_assert_int_eq(dbc_parse(&d, "t.dbc", "", (size_t)DBC_FILE_MAX + 1, &sink, &err), -EFBIG);
	ck_assert_str_eq(err.text, "t.dbc: more than 64 MiB");
	ck_assert_ptr_null(d);
	ck_assert_ptr_null(compile("", ""));
}
END_TEST

START_TEST(test_zero_bytes)
{
	static const char text[] = "BO_ 1 M: 8 N\n SG_ S : 0|8@1+ (1,0) [0|0] \"a\0b\" N\n\0\n";
	struct dbc *d = parse_bytes(text, sizeof(text) - 1);

	ck_assert_uint_eq(dbc_signal_count(d), 1);
	ck_assert_str_eq(said,
			 "t.dbc:2: warning: unit holds control characters: replaced by U+FFFD\n"
			 "t.dbc:3: error: not a statement, skipped: ''\n");
	dbc_free(d);
}
END_TEST

/* The whole file that the fuzzer also starts from: everything at once, with the lines. */
START_TEST(test_malformed_file)
{
	struct error err = {""};
	struct dbc *d = NULL;

	ck_assert_msg(dbc_parse_file(&d, TEST_DATA "/malformed.dbc", &sink, &err) == 0, "%s",
		      err.text);
	ck_assert_uint_eq(dbc_message_count(d), 6);
	ck_assert_uint_eq(dbc_signal_count(d), 13);
	ck_assert_ptr_nonnull(strstr(said, "/malformed.dbc:7: warning: unit is not UTF-8"));
	ck_assert_ptr_nonnull(strstr(said, "/malformed.dbc:23: error: not a statement, skipped up "
					   "to line 24: '%%% garbage in'"));
	ck_assert_ptr_nonnull(strstr(said, "/malformed.dbc:62: error: CM_: message 0x069 is "
					   "unknown: skipped"));
	dbc_free(d);
}
END_TEST

/* Lines of which each could make the parser look through all that follow: what an open string, a
 * doubtful end of one, and a name without a colon cost must not grow with the file. Were it
 * quadratic, a file of this size would take minutes. */
static const struct {
	const char *line, *end, *first; /* first: what is said of the first line */
} hostile_cases[] = {
	{"EV_ \\\"\n", "", "t.dbc:1: error: EV_: the string is not closed\n"},
	{"EV_ \\\";\n", "", ""},
	{"VAL_TABLE_ \\\"\n", "\";\n",
	 "t.dbc:1: error: VAL_TABLE_: a number expected, found '\"'\n"},
	{"VAL_TABLE_ \\\"\n", "\\\";\n",
	 "t.dbc:1: error: VAL_TABLE_: a number expected, found '\"'\n"},
	{"BO_ 1 A 8 X;", "\n", "t.dbc:1: warning: BO_: ':' is missing after the name\n"},
};

START_TEST(test_time_is_linear)
{
	enum { BYTES = 512 << 10 };
	const char *line = hostile_cases[_i].line, *first = hostile_cases[_i].first;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	for (size_t n = 0; n < BYTES; n += strlen(line))
		fputs(line, f);
	fputs(hostile_cases[_i].end, f);
	fclose(f);
	dbc_free(parse_bytes(text, len));
	free(text);
	ck_assert_msg(strncmp(said_len ? said : "", first, strlen(first)) == 0, "%.200s", said);
	ck_assert(*first || said_len == 0);
}
END_TEST

/* 90 kB that ask for five million value texts: refused before they take memory. */
START_TEST(test_one_table_for_many_signals)
{
	enum { CHOICES = 5000, SIGNALS = 1000 };
	struct catalog *cat = NULL;
	struct error err = {""};
	struct dbc *d;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	fputs("VAL_TABLE_ T", f);
	for (int i = 0; i < CHOICES; i++)
		fprintf(f, " %d \"\"", i);
	fputs(";\nBO_ 1 M: 8 N\n", f);
	for (int i = 0; i < SIGNALS; i++)
		fprintf(f, " SG_ S%d : 0|16@1+ (1,0) [0|0] \"\" N\n", i);
	for (int i = 0; i < SIGNALS; i++)
		fprintf(f, "VAL_ 1 S%d T ;\n", i);
	fclose(f);
	d = parse_bytes(text, len);
	free(text);
	ck_assert_int_eq(dbc_catalog(&cat, &(struct dbc_bus){"can0", d}, 1, &sink, &err), -EBADMSG);
	ck_assert_str_eq(err.text, "t.dbc: the signals have 5000000 value texts, at most 4194304");
	ck_assert_uint_eq(said_len, 0);
	dbc_free(d);
}
END_TEST

int main(void)
{
	TCase *cases[] = {tcase_create("files"), tcase_create("time")};

	for (size_t i = 0; i < array_len(cases); i++)
		tcase_add_checked_fixture(cases[i], said_setup, said_teardown);
	tcase_add_test(cases[0], test_not_utf8);
	tcase_add_test(cases[0], test_names);
	tcase_add_test(cases[0], test_beyond_the_end);
	tcase_add_test(cases[0], test_string_that_swallows);
	tcase_add_test(cases[0], test_multiplexors);
	tcase_add_test(cases[0], test_two_multiplexors);
	tcase_add_test(cases[0], test_not_a_dbc);
	tcase_add_test(cases[0], test_zero_bytes);
	tcase_add_test(cases[0], test_malformed_file);
	tcase_add_test(cases[0], test_one_table_for_many_signals);
	tcase_set_timeout(cases[1], 10);
	tcase_add_loop_test(cases[1], test_time_is_linear, 0, array_len(hostile_cases));
	return suite_run("dbc_files", cases, array_len(cases));
}
