/* DBC files as they are: each malformation, and exactly what is said about it. */
#include "tools/dbc/dbc.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *said; /* all diagnostics of a test, a line each */
static size_t said_len;
static FILE *said_file;

static void setup(void)
{
	said_file = open_memstream(&said, &said_len);
	ck_assert_ptr_nonnull(said_file);
}

static void teardown(void)
{
	fclose(said_file);
	free(said);
}

static void report(void *ctx, const struct dbc_diag *d)
{
	(void)ctx;
	fprintf(said_file, "%s:%u: %s: %s\n", d->file, d->line,
		d->severity == DBC_ERROR ? "error" : "warning", d->text);
	fflush(said_file);
}

static const struct dbc_sink sink = {.report = report};

static struct dbc *parse_bytes(const char *text, size_t len)
{
	struct error err = {""};
	struct dbc *d = NULL;
	int r = dbc_parse(&d, "t.dbc", text, len, &sink, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	return d;
}

/* Parses, compiles, checks what was said. NULL when there is no message. */
static struct catalog *compile(const char *text, const char *expected)
{
	struct dbc *d = parse_bytes(text, strlen(text));
	struct catalog *cat = NULL;
	struct error err = {""};
	int r = dbc_catalog(&cat, &(struct dbc_bus){"can0", d}, 1, &sink, &err);

	ck_assert_str_eq(said_len ? said : "", expected);
	if (r != 0) {
		ck_assert_int_eq(r, -EBADMSG);
		ck_assert_str_eq(err.text, "t.dbc: there is no message in it");
		cat = NULL;
	}
	dbc_free(d);
	return cat;
}

static const struct catalog_signal *find(const struct catalog *cat, const char *path)
{
	uint32_t i;

	ck_assert_msg(cat && catalog_find(cat, path, &i) == 0, "no signal %s", path);
	return &cat->signals[i];
}

static bool has(const struct catalog *cat, const char *path)
{
	uint32_t i;

	return catalog_find(cat, path, &i) == 0;
}

/* One signal line, in a message of 8 bytes. */
static struct catalog *compile_signal(const char *line, const char *expected)
{
	char text[512];

	snprintf(text, sizeof(text), "BO_ 1 M: 8 N\n%s\n", line);
	return compile(text, expected);
}

#define GOOD " SG_ Good : 56|8@1+ (1,0) [0|0] \"\" N\n"

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
	Suite *s = suite_create("dbc_malformed");
	TCase *tc = tcase_create("all");
	TCase *time = tcase_create("time");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_spacing);
	tcase_add_test(tc, test_line_ends);
	tcase_add_loop_test(tc, test_signal_line, 0, array_len(signal_cases));
	tcase_add_loop_test(tc, test_message_line, 0, array_len(message_cases));
	tcase_add_loop_test(tc, test_statement, 0, array_len(statement_cases));
	tcase_add_test(tc, test_not_utf8);
	tcase_add_test(tc, test_names);
	tcase_add_test(tc, test_beyond_the_end);
	tcase_add_test(tc, test_string_that_swallows);
	tcase_add_test(tc, test_multiplexors);
	tcase_add_test(tc, test_two_multiplexors);
	tcase_add_test(tc, test_not_a_dbc);
	tcase_add_test(tc, test_zero_bytes);
	tcase_add_test(tc, test_malformed_file);
	tcase_add_test(tc, test_one_table_for_many_signals);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(time, setup, teardown);
	tcase_set_timeout(time, 10);
	tcase_add_loop_test(time, test_time_is_linear, 0, array_len(hostile_cases));
	suite_add_tcase(s, time);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
