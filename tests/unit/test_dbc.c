/* DBC files as the format means them: every construct, and the real files of the shared data. */
#include "tests/unit/suite.h"
#include "tools/dbc/dbc.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct dbc_counts counts;

static void count(void *ctx, const struct dbc_diag *d)
{
	(void)ctx;
	if (d->severity == DBC_ERROR)
		counts.errors++;
	else
		counts.warnings++;
}

static const struct dbc_sink sink = {.report = count};

static struct dbc *parse(const char *name, const char *text)
{
	struct error err = {""};
	struct dbc *d = NULL;

	counts = (struct dbc_counts){0};
	ck_assert_msg(dbc_parse(&d, name, text, strlen(text), &sink, &err) == 0, "%s", err.text);
	return d;
}

/* Compiles a file about which there is nothing to say. */
static struct catalog *compile(const char *text)
{
	struct dbc *d = parse("t.dbc", text);
	struct catalog *cat = NULL;
	struct error err = {""};
	int r = dbc_catalog(&cat, &(struct dbc_bus){"can0", d}, 1, &sink, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	ck_assert_uint_eq(counts.errors + counts.warnings, 0);
	dbc_free(d);
	return cat;
}

static const struct catalog_signal *find(const struct catalog *cat, const char *path)
{
	uint32_t i;

	ck_assert_msg(catalog_find(cat, path, &i) == 0, "no signal %s", path);
	return &cat->signals[i];
}

START_TEST(test_signal)
{
	struct catalog *cat = compile(
		"VERSION \"1\"\n\nNS_ :\n\tCM_\n\tBA_\n\nBS_: 500000 : 1,2\n\nBU_: A B\n C D\n\n"
		"BO_ 291 M: 8 A\n"
		" SG_ Le : 3|12@1+ (0.5,-40) [-40|2007.5] \"deg C\" B,C\n"
		" SG_ Be : 23|16@0- (1,0) [0|0] \"\" B C\n");
	const struct catalog_message *m = &cat->messages[0];
	const struct catalog_signal *le = find(cat, "can0.M.Le"), *be = find(cat, "can0.M.Be");

	ck_assert_uint_eq(cat->n_buses, 1);
	ck_assert_str_eq(cat->buses[0], "can0");
	ck_assert_str_eq(m->name, "M");
	ck_assert_uint_eq(m->id, 291);
	ck_assert(!m->extended && !m->j1939);
	ck_assert_uint_eq(m->bytes, 8);
	ck_assert_uint_eq(m->n_signals, 2);
	ck_assert_uint_eq(le->start_bit, 3);
	ck_assert_uint_eq(le->bits, 12);
	ck_assert(!le->big_endian);
	ck_assert_int_eq(le->kind, SIGNAL_UNSIGNED);
	ck_assert_double_eq(le->factor, 0.5);
	ck_assert_double_eq(le->offset, -40);
	ck_assert_double_eq(le->min, -40);
	ck_assert_double_eq(le->max, 2007.5);
	ck_assert_str_eq(le->unit, "deg C");
	ck_assert_uint_eq(le->mux, CATALOG_NONE);
	ck_assert(be->big_endian);
	ck_assert_int_eq(be->kind, SIGNAL_SIGNED);
	catalog_free(cat);
}
END_TEST

START_TEST(test_identifiers_and_lengths)
{
	struct catalog *cat = compile("BO_ 2047 Last11: 0 A\n"
				      "BO_ 2147483648 First29: 64 A\n"
				      " SG_ S : 448|64@1- (1,0) [0|0] \"\" A\n"
				      "BO_ 2684354559 Last29: 4095 A\n"
				      " SG_ S : 32759|8@0+ (1,0) [0|0] \"\" A\n");

	ck_assert_uint_eq(cat->messages[0].id, 0x7ff);
	ck_assert(!cat->messages[0].extended);
	ck_assert_uint_eq(cat->messages[0].bytes, 0);
	ck_assert_uint_eq(cat->messages[1].id, 0);
	ck_assert(cat->messages[1].extended);
	ck_assert_uint_eq(cat->messages[1].bytes, 64);
	ck_assert_uint_eq(cat->messages[2].id, 0x1fffffff);
	ck_assert_uint_eq(cat->messages[2].bytes, 4095);
	ck_assert_uint_eq(cat->signals[1].start_bit, 32759);
	catalog_free(cat);
}
END_TEST

#define CHOICES_HEAD                                                                               \
	"VAL_TABLE_ Shared 1 \"one\" 0 \"zero\" ;\n"                                               \
	"BO_ 1 M: 8 A\n"                                                                           \
	" SG_ S : 0|64@1- (1,0) [0|0] \"\" A\n"                                                    \
	"BO_ 2 N: 8 A\n"                                                                           \
	" SG_ S : 0|64@1+ (1,0) [0|0] \"\" A\n"                                                    \
	" SG_ T : 0|8@1+ (1,0) [0|0] \"\" A\n"

START_TEST(test_choices)
{
	struct catalog *cat =
		compile(CHOICES_HEAD "VAL_ 1 S 3 \"three\" -2 \"minus \\\"two\\\"\" 1.0 \"one\"\n"
				     "  9007199254740993 \"exact\" ;\n"
				     "VAL_ 2 S 18446744073709551615 \"all\" ;\n"
				     "VAL_ 2 T Shared ;\n");
	const struct catalog_signal *s = find(cat, "M.S");

	ck_assert_uint_eq(s->n_choices, 4);
	ck_assert_str_eq(catalog_choice(s, 3), "three");
	ck_assert_str_eq(catalog_choice(s, (uint64_t)-2), "minus \"two\"");
	ck_assert_str_eq(catalog_choice(s, 1), "one");
	ck_assert_str_eq(catalog_choice(s, 9007199254740993), "exact");
	ck_assert_ptr_null(catalog_choice(s, 9007199254740992));
	ck_assert_str_eq(catalog_choice(find(cat, "N.S"), UINT64_MAX), "all");
	ck_assert_str_eq(catalog_choice(find(cat, "N.T"), 0), "zero");
	catalog_free(cat);
}
END_TEST

/* Statements may come before what they are about. */
START_TEST(test_any_order)
{
	struct catalog *cat = compile("CM_ SG_ 1 S \"early\";\nVAL_ 1 S 1 \"one\";\n"
				      "SIG_VALTYPE_ 1 S : 1;\nBO_ 1 M: 8 A\n"
				      " SG_ S : 0|32@1- (1,0) [0|0] \"\" A\n");

	ck_assert_str_eq(cat->signals[0].comment, "early");
	ck_assert_uint_eq(cat->signals[0].n_choices, 1);
	ck_assert_int_eq(cat->signals[0].kind, SIGNAL_FLOAT32);
	catalog_free(cat);
}
END_TEST

START_TEST(test_comments)
{
	struct catalog *cat = compile("BO_ 1 M: 8 A\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" A\n"
				      "CM_ \"of the file\";\nCM_ BU_ A \"of a node\";\n"
				      "CM_ EV_ E \"of a variable\";\n"
				      "CM_ BO_ 1 \"two\r\nlines; with \\\"quotes\\\"\";\n"
				      "CM_ SG_ 1 S \"\xc2\xb0\";\n");

	ck_assert_str_eq(cat->messages[0].comment, "two\nlines; with \"quotes\"");
	ck_assert_str_eq(cat->signals[0].comment, "\xc2\xb0");
	catalog_free(cat);
}
END_TEST

START_TEST(test_floats)
{
	struct catalog *cat = compile("BO_ 1 M: 16 A\n SG_ F : 0|32@1- (1,0) [0|0] \"\" A\n"
				      " SG_ D : 39|64@0- (2,1) [0|0] \"\" A\n"
				      " SG_ I : 96|32@1- (1,0) [0|0] \"\" A\n"
				      "SIG_VALTYPE_ 1 F : 1;\nSIG_VALTYPE_ 1 D 2;\n"
				      "SIG_VALTYPE_ 1 I : 0;\n");

	ck_assert_int_eq(cat->signals[0].kind, SIGNAL_FLOAT32);
	ck_assert_int_eq(cat->signals[1].kind, SIGNAL_FLOAT64);
	ck_assert_int_eq(cat->signals[2].kind, SIGNAL_SIGNED);
	catalog_free(cat);
}
END_TEST

static void expect_ranges(const struct catalog *cat, const char *path, const char *mux,
			  const char *expected)
{
	const struct catalog_signal *s = find(cat, path);
	char text[128] = "";
	size_t n = 0;

	ck_assert_uint_ne(s->mux, CATALOG_NONE);
	ck_assert_str_eq(cat->signals[s->mux].name, mux);
	ck_assert(cat->signals[s->mux].is_mux);
	for (size_t i = 0; i < s->n_mux_ranges; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%llu-%llu", i ? " " : "",
				      (unsigned long long)s->mux_ranges[i].from,
				      (unsigned long long)s->mux_ranges[i].to);
	ck_assert_str_eq(text, expected);
}

START_TEST(test_simple_mux)
{
	struct catalog *cat = compile("BO_ 1 M: 8 A\n"
				      " SG_ Late m7 : 8|8@1+ (1,0) [0|0] \"\" A\n"
				      " SG_ Mux M : 0|8@1+ (1,0) [0|0] \"\" A\n"
				      " SG_ Always : 16|8@1+ (1,0) [0|0] \"\" A\n");

	expect_ranges(cat, "M.Late", "Mux", "7-7");
	ck_assert_uint_eq(find(cat, "M.Always")->mux, CATALOG_NONE);
	ck_assert(!find(cat, "M.Always")->is_mux);
	catalog_free(cat);
}
END_TEST

START_TEST(test_nested_mux)
{
	struct catalog *cat = compile("BO_ 1 M: 8 A\n"
				      " SG_ Root M : 0|8@1+ (1,0) [0|0] \"\" A\n"
				      " SG_ Inner m1M : 8|8@1+ (1,0) [0|0] \"\" A\n"
				      " SG_ Leaf m2 : 16|8@1+ (1,0) [0|0] \"\" A\n"
				      " SG_ Plain m3 : 16|8@1+ (1,0) [0|0] \"\" A\n"
				      "SG_MUL_VAL_ 1 Inner Root 1-1;\n"
				      "SG_MUL_VAL_ 1 Leaf Inner 9-12, 2-3, 4-4 , 20-20;\n");

	expect_ranges(cat, "M.Inner", "Root", "1-1");
	expect_ranges(cat, "M.Leaf", "Inner", "2-4 9-12 20-20");
	expect_ranges(cat, "M.Plain", "Root", "3-3");
	catalog_free(cat);
}
END_TEST

#define FORMATS                                                                                    \
	"BA_DEF_ BO_ \"VFrameFormat\" ENUM \"StandardCAN\",\"ExtendedCAN\",\"StandardCAN_FD\","    \
	"\"ExtendedCAN_FD\",\"J1939PG\";\nBA_DEF_ \"ProtocolType\" STRING ;\n"

struct j1939_case {
	const char *attributes;
	bool first, second, third; /* of two with 29 bits and one with 11 */
};

static const struct j1939_case j1939_cases[] = {
	{"", false, false, false},
	{FORMATS "BA_ \"VFrameFormat\" BO_ 2364540158 4;\n", true, false, false},
	{FORMATS "BA_ \"VFrameFormat\" BO_ 2364540158 \"J1939PG\";\n", true, false, false},
	{"BA_ \"VFrameFormat\" BO_ 2364540158 3;\n", true, false, false},
	{FORMATS "BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\n", true, true, false},
	{FORMATS "BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\n"
		 "BA_ \"VFrameFormat\" BO_ 2364540158 1;\n",
	 false, true, false},
	{FORMATS "BA_DEF_DEF_ \"ProtocolType\" \"\";\nBA_ \"ProtocolType\" \"J1939\";\n", true,
	 true, false},
	{FORMATS "BA_DEF_DEF_ \"ProtocolType\" \"J1939\";\n", true, true, false},
	{FORMATS "BA_DEF_DEF_ \"ProtocolType\" \"J1939\";\nBA_ \"ProtocolType\" \"CAN\";\n", false,
	 false, false},
	{FORMATS "BA_ \"ProtocolType\" \"J1939\";\nBA_ \"VFrameFormat\" BO_ 2566844926 3;\n", true,
	 false, false},
};

START_TEST(test_j1939)
{
	const struct j1939_case *c = &j1939_cases[_i];
	struct catalog *cat;
	char text[1024];

	snprintf(text, sizeof(text),
		 "BO_ 2364540158 A: 8 X\nBO_ 2566844926 B: 8 X\nBO_ 1 C: 8 X\n%s", c->attributes);
	cat = compile(text);
	ck_assert_int_eq(cat->messages[0].j1939, c->first);
	ck_assert_int_eq(cat->messages[1].j1939, c->second);
	ck_assert_int_eq(cat->messages[2].j1939, c->third);
	catalog_free(cat);
}
END_TEST

START_TEST(test_long_names)
{
	struct catalog *cat = compile("BO_ 1 Short: 8 A\n"
				      " SG_ Sho M : 0|8@1+ (1,0) [0|0] \"\" A\n"
				      " SG_ Other m1 : 8|8@1+ (1,0) [0|0] \"\" A\n"
				      "BA_ \"SystemMessageLongSymbol\" BO_ 1 \"ShortNoMore\";\n"
				      "BA_ \"SystemSignalLongSymbol\" SG_ 1 Sho \"ShoNoMore\";\n"
				      "BA_ \"SystemSignalLongSymbol\" SG_ 1 Other \"\";\n"
				      "CM_ SG_ 1 Sho \"by its short name\";\n");

	ck_assert_str_eq(find(cat, "ShortNoMore.ShoNoMore")->comment, "by its short name");
	expect_ranges(cat, "ShortNoMore.Other", "ShoNoMore", "1-1");
	catalog_free(cat);
}
END_TEST

START_TEST(test_passed_over)
{
	struct catalog *cat = compile(
		"BO_ 1 M: 8 A\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" A\n"
		"BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX\n"
		" SG_ Unused : 0|8@1+ (1,0) [0|0] \"\" Vector__XXX\n"
		"BO_TX_BU_ 1 : A,B;\nEV_ E: 0 [0|1] \"V\" 0 1 DUMMY_NODE_VECTOR0 A;\n"
		"ENVVAR_DATA_ E: 5;\nSIG_GROUP_ 1 G 1 : S;\nBU_SG_REL_ x;\n"
		"BA_DEF_REL_ BU_SG_REL_ \"R;R\" INT 0 1;\nBA_DEF_DEF_REL_ \"R\" 0;\n"
		"BA_REL_ \"R\" BU_SG_REL_ A SG_ 1 S 1;\nBA_DEF_ BO_ \"X\" ENUM \"a;b\",\"c\";\n"
		"BA_DEF_DEF_ \"X\" \"a;b\";\nBA_ \"X\" BO_ 1 0;\nSGTYPE_ t;\nVAL_ E 0 \"off\";\n"
		"CAT_DEF_ 1 c 0;\nSIG_TYPE_REF_ 1 S : t;\nFILTER 1;\n");

	ck_assert_uint_eq(cat->n_messages, 1);
	ck_assert_uint_eq(cat->n_signals, 1);
	catalog_free(cat);
}
END_TEST

START_TEST(test_namespace_in_any_form)
{
	static const char *const forms[] = {
		"NS_ :\n\tBA_\n\tVAL_\n\tBO_TX_BU_\nBS_:\nBU_:\n",
		"NS_ : BA_ VAL_\nBS_:\nBU_:\n",
		"NS_:\n\nBS_:\n\nBU_:\n",
		"NS_\nBA_\n",
		"BU_:\n",
		"",
	};
	char text[256];

	for (size_t i = 0; i < array_len(forms); i++) {
		struct catalog *cat;

		snprintf(text, sizeof(text), "VERSION \"\"\n%sBO_ 1 M: 8 A\n", forms[i]);
		cat = compile(text);
		ck_assert_uint_eq(cat->n_messages, 1);
		catalog_free(cat);
	}
}
END_TEST

/* ---- several files ---- */

START_TEST(test_buses)
{
	struct dbc *a = parse("a.dbc", "BO_ 2 M: 8 A\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" A\n");
	struct dbc *b = parse("b.dbc", "BO_ 1 O: 8 A\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" A\n"
				       "BO_ 2 N: 8 A\n SG_ T : 0|8@1+ (1,0) [0|0] \"\" A\n");
	const struct dbc_bus buses[] = {{"can1", a}, {"can0", b}, {"can1", b}};
	struct catalog *cat = NULL, *again = NULL;

	ck_assert_int_eq(dbc_catalog(&cat, buses, 3, &sink, NULL), 0);
	ck_assert_uint_eq(counts.errors, 1); /* b's 2 is on can1 already */
	ck_assert_uint_eq(cat->n_buses, 2);
	ck_assert_str_eq(cat->buses[0], "can1");
	ck_assert_uint_eq(cat->n_messages, 4);
	find(cat, "can1.M.S");
	find(cat, "can0.O.S");
	find(cat, "can0.N.T");
	find(cat, "can1.O.S");
	ck_assert_int_eq(dbc_catalog(&again, buses, 3, NULL, NULL), 0);
	ck_assert_uint_eq(again->id, cat->id);
	ck_assert_mem_eq(again->bytes, cat->bytes, cat->len);
	catalog_free(cat);
	catalog_free(again);
	dbc_free(a);
	dbc_free(b);
}
END_TEST

START_TEST(test_bus_names)
{
	struct dbc *d = parse("a.dbc", "BO_ 2 M: 8 A\n");
	struct catalog *cat = NULL;
	struct error err;

	ck_assert_int_eq(dbc_catalog(&cat, &(struct dbc_bus){"can.0", d}, 1, &sink, &err), -EINVAL);
	ck_assert_str_eq(err.text, "'can.0' is not the name of a bus: 1 to 64 of [A-Za-z0-9_-]");
	ck_assert_int_eq(dbc_catalog(&cat, NULL, 0, &sink, &err), -EBADMSG);
	ck_assert_ptr_null(cat);
	ck_assert(dbc_bus_is_valid("vcan-0_A"));
	ck_assert(!dbc_bus_is_valid(""));
	dbc_free(d);
}
END_TEST

struct spec_case {
	const char *spec;
	int code;
	const char *text;
};

static const struct spec_case spec_cases[] = {
	{"can0", -EINVAL, "'can0' is not BUS=FILE"},
	{"can0=", -EINVAL, "'can0=' is not BUS=FILE"},
	{"=x.dbc", -EINVAL, "'' in '=x.dbc' is not the name of a bus"},
	{"can0=/nowhere/x.dbc", -ENOENT,
	 "/nowhere/x.dbc: cannot be opened: No such file or directory"},
	{"can0=/", -EISDIR, "/: cannot be read: Is a directory"},
	{"can0=/dev/null", -EBADMSG, "/dev/null: there is no message in it"},
};

START_TEST(test_load_errors)
{
	const struct spec_case *c = &spec_cases[_i];
	struct catalog *cat = NULL;
	struct error err = {""};

	ck_assert_int_eq(dbc_load_catalog(&cat, &c->spec, 1, NULL, NULL, &err), c->code);
	ck_assert_str_eq(err.text, c->text);
	ck_assert_ptr_null(cat);
}
END_TEST

START_TEST(test_load)
{
	const char *specs[] = {"can1=" TEST_DATA "/obd2.dbc", "can0=" TEST_DATA "/malformed.dbc"};
	struct dbc_counts found;
	struct catalog *cat = NULL;
	struct error err = {""};
	char *said = NULL;
	size_t len;
	FILE *f = open_memstream(&said, &len);

	ck_assert_msg(dbc_load_catalog(&cat, specs, 2, f, &found, &err) == 0, "%s", err.text);
	fclose(f);
	expect_ranges(cat, "can1.OBD2_ECM.EngineSpeed", "PID", "12-12");
	expect_ranges(cat, "can1.OBD2_ECM.PID", "Service", "65-65");
	ck_assert_ptr_nonnull(strstr(said,
				     "/malformed.dbc:10: error: signal Big has 65 bits, not 1 "
				     "to 64: skipped\n"));
	ck_assert_uint_gt(found.errors, 20);
	ck_assert_uint_gt(found.warnings, 20);
	free(said);
	catalog_free(cat);
}
END_TEST

/* ---- the files of the shared data: counts by cantools 45.1.0 ---- */

struct real_file {
	const char *path;
	size_t messages, signals, choices, muxed, errors, warnings;
};

static const struct real_file real_files[] = {
	{"audi_gps_obd/canmod-gps.dbc", 9, 39, 39, 0, 0, 0},
	{"j1939_gps/CSS-Electronics-SAE-J1939-DEMO.dbc", 2, 2, 0, 0, 0, 0},
	{"j1939_gps/canmod-gps.dbc", 9, 39, 39, 0, 0, 0},
	{"j1939_truck/CSS-Electronics-SAE-J1939-DEMO.dbc", 2, 2, 0, 0, 0, 0},
	{"rav4_2017/toyota_adas.dbc", 33, 179, 5, 0, 0, 0},
	{"rav4_2017/toyota_new_mc_pt_generated.dbc", 58, 353, 192, 0, 0, 0},
	{"subaru/sample_can_spec.dbc", 8, 20, 0, 0, 0, 0},
	{"subaru/subaru_forester_2017_generated.dbc", 28, 145, 9, 0, 1, 0},
	{"synthetic/Model3CAN.dbc", 148, 3172, 4644, 1976, 0, 6},
	{"synthetic/hyundai_canfd_generated.dbc", 88, 761, 1746, 0, 0, 0},
	{"uds_isotp/tp_uds.dbc", 2, 7, 0, 4, 0, 1},
	{"uds_isotp/tp_uds_nissan.dbc", 1, 6, 0, 5, 0, 0},
};

START_TEST(test_real_files)
{
	const struct real_file *f = &real_files[_i];
	struct catalog *cat = NULL;
	struct dbc *d = NULL;
	struct error err = {""};
	size_t choices = 0, muxed = 0;
	char path[512];

	if (access(SHARED_DATA, R_OK) < 0) {
		printf("skipped: %s is not there\n", SHARED_DATA);
		return;
	}
	snprintf(path, sizeof(path), "%s/%s", SHARED_DATA, f->path);
	counts = (struct dbc_counts){0};
	ck_assert_msg(dbc_parse_file(&d, path, &sink, &err) == 0, "%s", err.text);
	ck_assert_msg(dbc_catalog(&cat, &(struct dbc_bus){"can0", d}, 1, &sink, &err) == 0, "%s",
		      err.text);
	for (size_t i = 0; i < cat->n_signals; i++) {
		choices += cat->signals[i].n_choices;
		muxed += cat->signals[i].mux != CATALOG_NONE;
	}
	ck_assert_uint_eq(cat->n_messages, f->messages);
	ck_assert_uint_eq(cat->n_signals, f->signals);
	ck_assert_uint_eq(choices, f->choices);
	ck_assert_uint_eq(muxed, f->muxed);
	ck_assert_uint_eq(counts.errors, f->errors);
	ck_assert_uint_eq(counts.warnings, f->warnings);
	dbc_free(d);
	catalog_free(cat);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, test_signal);
	tcase_add_test(tc, test_identifiers_and_lengths);
	tcase_add_test(tc, test_choices);
	tcase_add_test(tc, test_any_order);
	tcase_add_test(tc, test_comments);
	tcase_add_test(tc, test_floats);
	tcase_add_test(tc, test_simple_mux);
	tcase_add_test(tc, test_nested_mux);
	tcase_add_loop_test(tc, test_j1939, 0, array_len(j1939_cases));
	tcase_add_test(tc, test_long_names);
	tcase_add_test(tc, test_passed_over);
	tcase_add_test(tc, test_namespace_in_any_form);
	tcase_add_test(tc, test_buses);
	tcase_add_test(tc, test_bus_names);
	tcase_add_loop_test(tc, test_load_errors, 0, array_len(spec_cases));
	tcase_add_test(tc, test_load);
	tcase_add_loop_test(tc, test_real_files, 0, array_len(real_files));
	return suite_run("dbc", &tc, 1);
}
