/* Configuration: values, files, differences, and the printed table. */
#include "tests/unit/conf_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(values_and_defaults)
{
	struct conf *c = must_parse("; a comment\n"
				    "# another\n"
				    "\n"
				    "[agent]\n"
				    "vehicle = v 1 ; not this\n"
				    "log_level=debug\n"
				    "[mqtt] ; not this\n"
				    "clean: yes\n"
				    "   # indented comment\n"
				    "keepalive_s =   3600   \n");

	ck_assert_str_eq(conf_string(c, "agent", NULL, "vehicle"), "v 1");
	ck_assert_int_eq(conf_enum(c, "agent", NULL, "log_level"), 3);
	ck_assert_str_eq(conf_string(c, "agent", NULL, "status_file"), "");
	ck_assert_int_eq(conf_int(c, "mqtt", NULL, "keepalive_s"), 3600);
	ck_assert_int_eq(conf_int(c, "mqtt", NULL, "offset"), -3);
	ck_assert(conf_bool(c, "mqtt", NULL, "clean"));
	ck_assert_int_eq(conf_line(c, "agent", NULL, "vehicle"), 5);
	ck_assert_int_eq(conf_line(c, "mqtt", NULL, "keepalive_s"), 10);
	ck_assert_int_eq(conf_line(c, "mqtt", NULL, "offset"), 0);
	ck_assert_ptr_null(conf_label(c, "source", 0));
	conf_free(c);
}
END_TEST

START_TEST(windows_line_ends_bom_and_no_last_newline)
{
	struct conf *c = must_parse("\xef\xbb\xbf[agent]\r\nvehicle = v1\r\n\r\n[mqtt]\r\n"
				    "keepalive_s = 7");

	ck_assert_str_eq(conf_string(c, "agent", NULL, "vehicle"), "v1");
	ck_assert_int_eq(conf_int(c, "mqtt", NULL, "keepalive_s"), 7);
	conf_free(c);
}
END_TEST

START_TEST(a_section_may_be_opened_again)
{
	struct conf *c =
		must_parse(VEHICLE "[mqtt]\nclean=on\n[agent]\nlog_level=warn\n"
				   "[source a]\n[mqtt]\noffset=1\n[source a]\ntype=replay\n");

	ck_assert_int_eq(conf_enum(c, "agent", NULL, "log_level"), 1);
	ck_assert_int_eq(conf_int(c, "mqtt", NULL, "offset"), 1);
	ck_assert_str_eq(conf_label(c, "source", 0), "a");
	ck_assert_ptr_null(conf_label(c, "source", 1));
	conf_free(c);
}
END_TEST

START_TEST(bools_and_integers)
{
	static const char *const yes[] = {"true", "yes", "on", "1"};
	static const char *const no[] = {"false", "no", "off", "0"};
	static const int64_t numbers[] = {0, -1, 1, INT64_MAX, INT64_MIN, 1234567890123456789};
	struct conf *c;
	char text[100];

	for (size_t i = 0; i < array_len(yes); i++) {
		snprintf(text, sizeof(text), VEHICLE "[mqtt]\nclean=%s", yes[i]);
		c = must_parse(text);
		ck_assert(conf_bool(c, "mqtt", NULL, "clean"));
		conf_free(c);
		snprintf(text, sizeof(text), VEHICLE "[mqtt]\nclean=%s", no[i]);
		c = must_parse(text);
		ck_assert(!conf_bool(c, "mqtt", NULL, "clean"));
		conf_free(c);
	}
	for (size_t i = 0; i < array_len(numbers); i++) {
		snprintf(text, sizeof(text), VEHICLE "[mqtt]\noffset=%lld", (long long)numbers[i]);
		c = must_parse(text);
		ck_assert_int_eq(conf_int(c, "mqtt", NULL, "offset"), numbers[i]);
		conf_free(c);
	}
}
END_TEST

START_TEST(named_sections_keep_the_order_of_the_file)
{
	struct conf *c = must_parse(VEHICLE "[source  zeta]\ntype = socketcan\n"
					    "[source a-1.b_2]\ntype = replay\nsignals = x, y\n");

	ck_assert_str_eq(conf_label(c, "source", 0), "zeta");
	ck_assert_str_eq(conf_label(c, "source", 1), "a-1.b_2");
	ck_assert_int_eq(conf_enum(c, "source", "zeta", "type"), 1);
	ck_assert_int_eq(conf_enum(c, "source", "a-1.b_2", "type"), 0);
	ck_assert_str_eq(conf_list(c, "source", "a-1.b_2", "signals", 1), "y");
	conf_free(c);
}
END_TEST

static void check_list(const char *text, size_t n, const char *const *want)
{
	char file[400];
	struct conf *c;

	snprintf(file, sizeof(file), VEHICLE "[source s]\ntype=replay\nsignals =%s\n[mqtt]\n",
		 text);
	c = must_parse(file);
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(conf_list(c, "source", "s", "signals", i), want[i]);
	ck_assert_ptr_null(conf_list(c, "source", "s", "signals", n));
	ck_assert_ptr_null(conf_list(c, "source", "s", "signals", SIZE_MAX));
	ck_assert_int_eq(conf_line(c, "source", "s", "signals"), 5);
	conf_free(c);
}

START_TEST(lists)
{
	static const char *const abc[] = {"a", "b b", "c.*"};

	check_list("a", 1, abc);
	check_list(" a ,b b,\tc.* ", 3, abc);
	check_list(" ,, a ,, b b, c.*,,", 3, abc);
	check_list(" a\n b b\n\tc.*", 3, abc);
	check_list("\n  a, b b, ; comment\n  # comment\n\n  c.*,", 3, abc);
}
END_TEST

START_TEST(a_default_list_and_an_empty_one)
{
	struct conf *c = must_parse(VEHICLE "[source s]\ntype=replay\ntags =\n");

	ck_assert_str_eq(conf_list(c, "source", "s", "signals", 0), "*");
	ck_assert_ptr_null(conf_list(c, "source", "s", "signals", 1));
	ck_assert_ptr_null(conf_list(c, "source", "s", "tags", 0));
	conf_free(c);
}
END_TEST

START_TEST(files)
{
	static const char text[] = VEHICLE;
	char path[] = "/tmp/test_conf_XXXXXX", want[300];
	int fd = mkstemp(path);
	struct conf *c = NULL;
	struct error err;

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(conf_load(&c, &table, path, &err), 0);
	ck_assert_str_eq(conf_string(c, "agent", NULL, "vehicle"), "v1");
	c = conf_free(c);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	ck_assert_int_eq(conf_load(&c, &table, path, &err), -EINVAL);
	snprintf(want, sizeof(want), "%s:3: neither a [section] nor key = value", path);
	ck_assert_str_eq(err.text, want);
	ck_assert_int_eq(ftruncate(fd, 1048577), 0);
	ck_assert_int_eq(conf_load(&c, &table, path, &err), -EINVAL);
	snprintf(want, sizeof(want), "%s: more than 1048576 bytes", path);
	ck_assert_str_eq(err.text, want);
	close(fd);
	unlink(path);
	ck_assert_int_eq(conf_load(&c, &table, path, &err), -ENOENT);
	snprintf(want, sizeof(want), "%s: No such file or directory", path);
	ck_assert_str_eq(err.text, want);
	ck_assert_int_eq(conf_load(&c, &table, "/tmp", &err), -EISDIR);
	ck_assert_str_eq(err.text, "/tmp: Is a directory");
	ck_assert_int_eq(conf_load(&c, &table, NULL, &err), -EINVAL);
	ck_assert_str_eq(err.text, "defaults: [agent] vehicle is required: text of 1 to 16 bytes");
	ck_assert_ptr_null(c);
}
END_TEST

static char diffs[400];

static void note_diff(void *ctx, const struct conf_key *key, const char *label)
{
	size_t at = strlen(diffs);

	ck_assert_ptr_eq(ctx, &diffs);
	snprintf(diffs + at, sizeof(diffs) - at, "%s/%s/%s ", key->section, label ? label : "-",
		 key->key);
}

static void check_diff(const char *a_text, const char *b_text, const char *want)
{
	struct conf *a = must_parse(a_text), *b = must_parse(b_text);

	diffs[0] = '\0';
	conf_diff(a, b, note_diff, &diffs);
	ck_assert_str_eq(diffs, want);
	conf_free(a);
	conf_free(b);
}

START_TEST(differences)
{
	check_diff(VEHICLE, VEHICLE, "");
	check_diff(VEHICLE, VEHICLE "[mqtt]\nkeepalive_s=30\nclean=off\n", "");
	check_diff(VEHICLE "[mqtt]\nclean=1\nkeepalive_s=0031\n",
		   VEHICLE "[mqtt]\nkeepalive_s=31\n", "mqtt/-/clean ");
	check_diff(VEHICLE, "[agent]\nvehicle=v2\nlog_level=warn\n",
		   "agent/-/vehicle agent/-/log_level ");
	check_diff(VEHICLE "[source a]\ntype=replay\nsignals=a,b",
		   VEHICLE "[source a]\ntype=replay\nsignals= a\n b\n", "");
	check_diff(VEHICLE "[source a]\ntype=replay\nsignals=a,b",
		   VEHICLE "[source a]\ntype=replay\nsignals=a,b,c", "source/a/signals ");
	check_diff(VEHICLE "[source a]\ntype=replay", VEHICLE "[source b]\ntype=replay",
		   "source/a/type source/a/signals source/a/tags source/b/type source/b/signals "
		   "source/b/tags ");
}
END_TEST

static void print(const struct conf_table *t, char **ret)
{
	size_t len = 0;
	FILE *out = open_memstream(ret, &len);

	conf_print(t, out);
	fclose(out);
}

START_TEST(the_printed_table_is_documentation)
{
	cleanup(free_ptr) char *text = NULL;
	static const char *const wanted[] = {
		"# The agent itself.\n[agent]\n",
		"\n# Id of the vehicle.\n# Must be text of 1 to 16 bytes. Required.\n#vehicle =\n",
		"\n# How much is logged.\n# Must be one of error, warn, info, debug. Reloads with "
		"SIGHUP.\nlog_level = info\n",
		"\n# Must be text of 2 to 100 bytes, or empty. Not set by default.\nstatus_file "
		"=\n",
		"\n# Must be an integer from 5 to 3600, seconds.\nkeepalive_s = 30\n",
		"\n# Must be true or false.\nclean = false\n",
		"\n#[source NAME]\n",
		"\n# Must be one of replay, socketcan. Required.\n#type =\n",
		"\n# Must be a list of 1 to 5 items.\n#signals = *\n",
	};

	print(&table, &text);
	for (size_t i = 0; i < array_len(wanted); i++)
		ck_assert_msg(strstr(text, wanted[i]), "no '%s' in:\n%s", wanted[i], text);
	for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
		ck_assert_uint_le(strcspn(p, "\n"), 80);
}
END_TEST

START_TEST(the_printed_table_can_be_read_back)
{
	cleanup(free_ptr) char *text = NULL;
	char full[4096];
	struct error err;
	struct conf *c;
	char *at;

	print(&table, &text);
	ck_assert_int_eq(parse(&c, text, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "[agent] vehicle is required"));
	at = strstr(text, "#vehicle =");
	snprintf(full, sizeof(full), "%.*svehicle = v1%s", (int)(at - text), text,
		 at + strlen("#vehicle ="));
	c = must_parse(full);
	ck_assert_int_gt(conf_line(c, "mqtt", NULL, "keepalive_s"), 0);
	conf_free(c);
	check_diff(VEHICLE, full, "");
}
END_TEST

START_TEST(long_defaults_and_help_are_wrapped)
{
	static const char word[] = "signal_with_a_rather_long_name";
	static char list[400], help[400];
	static const struct conf_section section = {.name = "a", .help = "First.\n\nSecond."};
	static const struct conf_key key = {
		.section = "a", .key = "k", .type = CONF_LIST, .def = list, .help = help};
	static const struct conf_table t = {&section, 1, &key, 1};
	cleanup(free_ptr) char *text = NULL;
	struct error err;
	struct conf *c;

	for (int i = 0; i < 10; i++) {
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			 word);
		snprintf(help + strlen(help), sizeof(help) - strlen(help), "%s ", word);
	}
	print(&t, &text);
	for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
		ck_assert_uint_le(strcspn(p, "\n"), 80);
	ck_assert_ptr_nonnull(strstr(text, "# First.\n# Second.\n[a]\n"));
	ck_assert_int_eq(conf_parse(&c, &t, "x", text, strlen(text), &err), 0);
	for (size_t i = 0; i < 10; i++)
		ck_assert_str_eq(conf_list(c, "a", NULL, "k", i), word);
	ck_assert_ptr_null(conf_list(c, "a", NULL, "k", 10));
	conf_free(c);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("conf");

	tcase_add_test(tc, values_and_defaults);
	tcase_add_test(tc, windows_line_ends_bom_and_no_last_newline);
	tcase_add_test(tc, a_section_may_be_opened_again);
	tcase_add_test(tc, bools_and_integers);
	tcase_add_test(tc, named_sections_keep_the_order_of_the_file);
	tcase_add_test(tc, lists);
	tcase_add_test(tc, a_default_list_and_an_empty_one);
	tcase_add_test(tc, files);
	tcase_add_test(tc, differences);
	tcase_add_test(tc, the_printed_table_is_documentation);
	tcase_add_test(tc, the_printed_table_can_be_read_back);
	tcase_add_test(tc, long_defaults_and_help_are_wrapped);
	return suite_run("conf", &tc, 1);
}
