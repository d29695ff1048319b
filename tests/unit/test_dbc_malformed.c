/* DBC files as they are: each malformed line, and exactly what is said about it. */
#include "tests/unit/dbc_said.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>

START_TEST(test_spacing)
{
	struct catalog *cat = compile_signal(
		"SG_ A: 8|4@1-(1E-05,-0)[-1.|+.5]\"u\"N\n"
		"   SG_   B   M   :   12 | 4 @ 1 +   ( 2 , 3 )   [ 0 | 1 ]   \"v\"   N , O\n"
		"\tSG_ C m3 :16|8@0+ (1,0) [0|0] \"\" N",
		"");
	const struct catalog_signal *a = find(cat, "can0.M.A"), *b = find(cat, "can0.M.B");

	ck_assert_uint_eq(a->start_bit, 8);
	ck_assert_uint_eq(a->bits, 4);
	ck_assert_int_eq(a->kind, SIGNAL_SIGNED);
	ck_assert_double_eq(a->factor, 1e-5);
	ck_assert(a->offset == 0 && !__builtin_signbit(a->offset));
	ck_assert_double_eq(a->min, -1);
	ck_assert_double_eq(a->max, 0.5);
	ck_assert_str_eq(a->unit, "u");
	ck_assert_double_eq(b->factor, 2);
	ck_assert_double_eq(b->offset, 3);
	ck_assert(b->is_mux);
	ck_assert(find(cat, "can0.M.C")->big_endian);
	catalog_free(cat);
}
END_TEST

START_TEST(test_line_ends)
{
	static const char text[] = "\xef\xbb\xbf"
				   "BO_ 1 M: 8 N\r\n" GOOD "\rgarbage\rBO_ 2 O: 8 N\r\n\r\nmore";
	struct dbc *d = parse_bytes(text, sizeof(text) - 1);

	ck_assert_uint_eq(dbc_message_count(d), 2);
	ck_assert_str_eq(said, "t.dbc:4: error: not a statement, skipped: 'garbage'\n"
			       "t.dbc:7: error: not a statement, skipped: 'more'\n");
	dbc_free(d);
}
END_TEST

struct line_case {
	const char *line, *expected;
	bool kept; /* the signal S is in the catalog all the same */
};

static const struct line_case signal_cases[] = {
	{" SG_ S : 0|65@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S has 65 bits, not 1 to 64: skipped\n", false},
	{" SG_ S : 0|0@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S has 0 bits, not 1 to 64: skipped\n", false},
	{" SG_ S : 60|8@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S ends in byte 9 of message M, which has 8: skipped\n", false},
	{" SG_ S : 4294967295|64@0+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S ends in byte 536870919 of message M, which has 8: skipped\n",
	 false},
	{" SG_ S : 0|8@1+ (0,5) [0|0] \"\" N",
	 "t.dbc:2: warning: signal S: factor is 0: taken as 1\n", true},
	{" SG_ S : 0|8@1+ (nan,-inf) [0|0] \"\" N",
	 "t.dbc:2: warning: signal S: factor is nan: taken as 1\n"
	 "t.dbc:2: warning: signal S: offset is -inf: taken as 0\n",
	 true},
	{" SG_ S : 0|8@1+ (1.#QNAN,1e999) [0|0] \"\" N",
	 "t.dbc:2: warning: signal S: factor is nan: taken as 1\n"
	 "t.dbc:2: warning: signal S: offset is inf: taken as 0\n",
	 true},
	{" SG_ S : 0|8@1+ (1,0) [9|0] \"\" N",
	 "t.dbc:2: warning: signal S: [9|0] is no range: taken as not declared\n", true},
	{" SG_ S : 0|8@1 (1,0) [0|0] \"\" N",
	 "t.dbc:2: warning: signal S: '+' or '-' is missing: taken as unsigned\n", true},
	{" SG_ S : 0|8@1+ [0|0] \"\" N",
	 "t.dbc:2: warning: signal S: (factor,offset) is missing: taken as (1,0)\n", true},
	{" SG_ S : 0|8@1+ (1,0) \"\" N", "t.dbc:2: warning: signal S: [min|max] is missing\n",
	 true},
	{" SG_ S : 0|8@1+ (1,0) [0|0] N", "t.dbc:2: warning: signal S: unit is missing\n", true},
	{" SG_ S : 0|8@1+ (1,0) [0|0] \"\"", "", true},
	{" SG_ S : 0|8@1+ (1,0) [0|0] \"\" N;", "", true},
	{" SG_ S : 0|8@1+ (1,0) [0|0] \"open N",
	 "t.dbc:2: error: signal S: unit is not closed: skipped, and what follows it\n", true},
	{" SG_ S : 0|8@1+ (1,0) [0|0] \"\" N (",
	 "t.dbc:2: error: signal S: a receiver expected, found '('\n", true},
	{" SG_ S : 0|8@2+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S: byte order 0 or 1 expected, found '2+ (1,0) [0|0] \"\" N'\n",
	 false},
	{" SG_ S : 0|",
	 "t.dbc:2: error: signal S: number of bits and '@' expected, but the line "
	 "ends\n",
	 false},
	{" SG_ S : -1|8@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S: start bit and '|' expected, found '-1|8@1+ (1,0) [0|0] \"\" "
	 "N'\n",
	 false},
	{" SG_ S : 0|8@1+ (one,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S: a number expected, found 'one,0) [0|0] \"\" N'\n", false},
	{" SG_ S : 0|8@1+ (1) [0|0] \"\" N",
	 "t.dbc:2: error: signal S: a number expected, found ') [0|0] \"\" N'\n", false},
	{" SG_ S 0|8@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: SG_: a name and ':' expected, found 'S 0|8@1+ (1,0) [0|0] \"\" N'\n",
	 false},
	{" SG_ : 0|8@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: SG_: a name before ':' expected, found '0|8@1+ (1,0) [0|0] \"\" N'\n",
	 false},
	{" SG_ S m1x : 0|8@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S: 'm1x' is not a multiplexor mark (M, m<number>, m<number>M): "
	 "skipped\n",
	 false},
	{" SG_ S m0 : 0|8@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:2: error: signal S is multiplexed (m0), but message M has no multiplexor: "
	 "skipped\n",
	 false},
};

START_TEST(test_signal_line)
{
	const struct line_case *c = &signal_cases[_i];
	struct catalog *cat;
	char text[256];

	snprintf(text, sizeof(text), "%s\n" GOOD, c->line);
	cat = compile_signal(text, c->expected);
	find(cat, "can0.M.Good"); /* nothing else is lost */
	ck_assert_int_eq(has(cat, "can0.M.S"), c->kept);
	if (c->kept)
		ck_assert_double_eq(find(cat, "can0.M.S")->factor, 1);
	catalog_free(cat);
}
END_TEST

static const struct line_case message_cases[] = {
	{"BO_ 2 S 8 N", "t.dbc:1: warning: BO_: ':' is missing after the name\n", true},
	{"BO_ 2 S:", "t.dbc:1: warning: BO_: the length is missing: taken as 8 bytes\n", true},
	{"BO_ 2 S: 8", "", true},
	{"BO_ 2 S : 8 N", "", true},
	{"BO_ 0x2 S: 8 N", "", true},
	{"BO_ 2 S: 5000 N",
	 "t.dbc:1: error: message of 5000 bytes, more than 4095: skipped with its signals\n",
	 false},
	{"BO_ two S: 8 N",
	 "t.dbc:1: error: BO_: a CAN identifier expected, found 'two S: 8 N'\n"
	 "t.dbc:2: error: signal without a message, skipped: 'T : 0|8@1+ (1,0) [0|0] \"\" N'\n",
	 false},
	{"BO_ 4294967295 S: 8 N",
	 "t.dbc:1: error: BO_: a CAN identifier expected, found '4294967295 S: 8 N'\n"
	 "t.dbc:2: error: signal without a message, skipped: 'T : 0|8@1+ (1,0) [0|0] \"\" N'\n",
	 false},
	{"BO_ 2",
	 "t.dbc:1: error: BO_: a name expected, but the line ends\n"
	 "t.dbc:2: error: signal without a message, skipped: 'T : 0|8@1+ (1,0) [0|0] \"\" "
	 "N'\n",
	 false},
	{"BO_ 4096 S: 8 N",
	 "t.dbc:1: warning: identifier of the message is more than 11 bits without bit 31: taken "
	 "as "
	 "a 29-bit identifier\n",
	 true},
	{"BO_ -2147483646 S: 8 N",
	 "t.dbc:1: warning: identifier of the message is negative: taken as its 32 bits\n", true},
	{"BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX", "", false},
	{"", "t.dbc:2: error: signal without a message, skipped: 'T : 0|8@1+ (1,0) [0|0] \"\" N'\n",
	 false},
};

START_TEST(test_message_line)
{
	const struct line_case *c = &message_cases[_i];
	struct catalog *cat;
	char text[256];

	snprintf(text, sizeof(text), "%s\n SG_ T : 0|8@1+ (1,0) [0|0] \"\" N\nBO_ 1 M: 8 N\n" GOOD,
		 c->line);
	cat = compile(text, c->expected);
	find(cat, "can0.M.Good");
	ck_assert_int_eq(has(cat, "can0.S.T"), c->kept);
	ck_assert_uint_eq(cat->n_messages, c->kept ? 2 : 1);
	catalog_free(cat);
}
END_TEST

static const struct line_case statement_cases[] = {
	{"VAL_ 1 Good 0 \"a\"", "t.dbc:3: warning: VAL_: ';' is missing at the end\n", false},
	{"CM_ BO_ 1 \"a\"", "t.dbc:3: warning: CM_: ';' is missing at the end\n", false},
	{"EV_ X: 0 [0|1] \"\"", "t.dbc:3: warning: EV_: ';' is missing at the end\n", false},
	{"VAL_ 1 Nope 0 \"a\";", "t.dbc:3: error: VAL_: message M has no signal Nope: skipped\n",
	 false},
	{"VAL_ 99 Good 0 \"a\";", "t.dbc:3: error: VAL_: message 0x063 is unknown: skipped\n",
	 false},
	{"VAL_ 3221225472 Good 0 \"a\";", "", false},
	{"VAL_ EnvironmentVariable 0 \"a\";", "", false},
	{"VAL_ 1 Good Nothing;",
	 "t.dbc:3: error: VAL_: signal Good: there is no VAL_TABLE_ Nothing: skipped\n", false},
	{"VAL_ 1 Good 1.5 \"a\";",
	 "t.dbc:3: error: VAL_: value 1.5 is not an integer of 64 bits: skipped\n", false},
	{"VAL_ 1 Good 1 \"a\" 1 \"b\";",
	 "t.dbc:3: error: VAL_: value 1 is 'a', then 'b': the latter is skipped\n", false},
	{"VAL_ 1 Good 1;", "t.dbc:3: error: VAL_: a text in quotes expected, found ';'\n", false},
	{"VAL_ 1 Good 1 \"open", "t.dbc:3: error: VAL_: the string is not closed\n", false},
	{"VAL_ 1 Good 1 \"a\";\nVAL_ 1 Good 2 \"b\";",
	 "t.dbc:4: error: VAL_: signal Good has value texts already: skipped\n", false},
	{"VAL_TABLE_ T 1 \"a\";\nVAL_TABLE_ T 2 \"b\";",
	 "t.dbc:4: error: VAL_TABLE_ T is defined again: skipped\n", false},
	{"CM_ \"open", "t.dbc:3: error: CM_: the string is not closed\n", false},
	{"CM_ \"open\nfor\ntwo",
	 "t.dbc:3: error: CM_: the string is not closed\n"
	 "t.dbc:4: error: not a statement, skipped up to line 5: 'for'\n",
	 false},
	{"CM_ SG_ 1 Good open;", "t.dbc:3: error: CM_: a text in quotes expected, found 'open;'\n",
	 false},
	{"CM_ BO_ 1 \"a\";\nCM_ BO_ 1 \"b\";",
	 "t.dbc:4: error: CM_: M has a comment already: skipped\n", false},
	{"CM_ BO_ x \"a\";", "t.dbc:3: error: CM_: a CAN identifier expected, found 'x \"a\";'\n",
	 false},
	{"SIG_VALTYPE_ 1 Good : 1;",
	 "t.dbc:3: error: SIG_VALTYPE_: signal Good of 8 bits cannot be of type 1: stays an "
	 "integer\n",
	 false},
	{"SG_MUL_VAL_ 1 Good Nobody 1-2;",
	 "t.dbc:3: error: SG_MUL_VAL_: message M has no signal Nobody: skipped\n", false},
	{"SG_MUL_VAL_ 1 Good Good;", "t.dbc:3: error: SG_MUL_VAL_: a range expected, found ';'\n",
	 false},
	{"BA_ VFrameFormat BO_ 1 0;",
	 "t.dbc:3: error: BA_: a name in quotes expected, found 'VFrameFormat BO_ 1 0;'\n", false},
	{"BA_ \"VFrameFormat\" BO_ 1 \"J1939PG\";",
	 "t.dbc:3: warning: message M (0x001) has 11 bits: not taken as J1939\n", false},
	{"BA_ \"Unknown\" BO_ 1 7;", "", false},
	{"UNKNOWN_ 1 2 3;", "t.dbc:3: error: not a statement, skipped: 'UNKNOWN_ 1 2 3;'\n", false},
	{"%%%\n&&& two\n   three", "t.dbc:3: error: not a statement, skipped up to line 5: '%%%'\n",
	 false},
	{"VAL_ 1", "t.dbc:3: error: VAL_: the name of a signal expected, but the line ends\n",
	 false},
	{"VAL_", "t.dbc:3: error: VAL_: a CAN identifier expected, but the line ends\n", false},
	{"CM_", "t.dbc:3: error: CM_: a text in quotes expected, but the line ends\n", false},
	{"CM_ SG_ 1", "t.dbc:3: error: CM_: the name of a signal expected, but the line ends\n",
	 false},
	{"SG_", "t.dbc:3: error: SG_: a name and ':' expected, but the line ends\n", false},
	{"BU_: A (B) C", "t.dbc:3: error: BU_: a name expected, found '(B) C'\n", false},
	{"VERSION 1", "t.dbc:3: error: VERSION: a string expected, found '1'\n", false},
	{"// a comment of one line", "", false},
	{"BO_ 1 Again: 8 N\n SG_ Lost : 0|8@1+ (1,0) [0|0] \"\" N",
	 "t.dbc:3: error: message Again (0x001) was defined at line 1 as M: skipped with its "
	 "signals\n",
	 false},
};

START_TEST(test_statement)
{
	const struct line_case *c = &statement_cases[_i];
	struct catalog *cat;
	char text[512];

	snprintf(text, sizeof(text),
		 "BO_ 1 M: 8 N\n" GOOD "%s\nBO_ 2 After: 8 N\n"
		 " SG_ S : 0|8@1+ (1,0) [0|0] \"\" N\nCM_ SG_ 2 S \"said of S\";\n",
		 c->line);
	cat = compile(text, c->expected);
	ck_assert_uint_eq(cat->n_messages, 2);
	ck_assert_uint_eq(cat->n_signals, 2);
	ck_assert(!find(cat, "can0.M.Good")->is_mux);
	ck_assert_str_eq(find(cat, "can0.After.S")->comment, "said of S");
	catalog_free(cat);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("lines");

	tcase_add_checked_fixture(tc, said_setup, said_teardown);
	tcase_add_test(tc, test_spacing);
	tcase_add_test(tc, test_line_ends);
	tcase_add_loop_test(tc, test_signal_line, 0, array_len(signal_cases));
	tcase_add_loop_test(tc, test_message_line, 0, array_len(message_cases));
	tcase_add_loop_test(tc, test_statement, 0, array_len(statement_cases));
	return suite_run("dbc_malformed", &tc, 1);
}
