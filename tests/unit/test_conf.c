#include "base/conf.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct conf_section sections[] = {
	{.name = "agent", .help = "The agent itself."},
	{.name = "mqtt", .help = "The connection to the broker."},
	{.name = "source", .named = true, .help = "Where frames come from."},
};

static const struct conf_key keys[] = {
	{.section = "agent",
	 .key = "vehicle",
	 .type = CONF_STRING,
	 .min = 1,
	 .max = 16,
	 .help = "Id of the vehicle."},
	{.section = "agent",
	 .key = "log_level",
	 .type = CONF_ENUM,
	 .def = "info",
	 .choices = "error|warn|info|debug",
	 .help = "How much is logged.",
	 .reloads = true},
	{.section = "agent",
	 .key = "status_file",
	 .type = CONF_STRING,
	 .def = "",
	 .min = 2,
	 .max = 100,
	 .help = "Where counters go."},
	{.section = "mqtt",
	 .key = "keepalive_s",
	 .type = CONF_INT,
	 .def = "30",
	 .min = 5,
	 .max = 3600,
	 .help = "Time without a packet before a ping is sent."},
	{.section = "mqtt",
	 .key = "offset",
	 .type = CONF_INT,
	 .def = "-3",
	 .help = "An integer without bounds."},
	{.section = "mqtt", .key = "clean", .type = CONF_BOOL, .def = "false", .help = "Clean."},
	{.section = "source",
	 .key = "type",
	 .type = CONF_ENUM,
	 .choices = "replay|socketcan",
	 .help = "Kind."},
	{.section = "source",
	 .key = "signals",
	 .type = CONF_LIST,
	 .def = "*",
	 .min = 1,
	 .max = 5,
	 .help = "Signals."},
	{.section = "source", .key = "tags", .type = CONF_LIST, .def = "", .help = "Tags."},
};

static const struct conf_table table = {
	.sections = sections,
	.n_sections = array_len(sections),
	.keys = keys,
	.n_keys = array_len(keys),
};

#define VEHICLE "[agent]\nvehicle = v1\n"

static int parse(struct conf **ret, const char *text, struct error *err)
{
	return conf_parse(ret, &table, "t.conf", text, strlen(text), err);
}

static struct conf *must_parse(const char *text)
{
	struct error err = {{0}};
	struct conf *c = NULL;

	ck_assert_msg(parse(&c, text, &err) == 0, "%s", err.text);
	return c;
}

static void check_error(const char *text, const char *want)
{
	struct conf *c = NULL;
	struct error err = {{0}};

	ck_assert_int_eq(parse(&c, text, &err), -EINVAL);
	ck_assert_ptr_null(c);
	ck_assert_str_eq(err.text, want);
	ck_assert_int_eq(parse(&c, text, NULL), -EINVAL);
}

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

static char *print(const struct conf_table *t)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	conf_print(t, out);
	fclose(out);
	return text;
}

START_TEST(the_printed_table_is_documentation)
{
	cleanup(free_ptr) char *text = print(&table);
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

	for (size_t i = 0; i < array_len(wanted); i++)
		ck_assert_msg(strstr(text, wanted[i]), "no '%s' in:\n%s", wanted[i], text);
	for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
		ck_assert_uint_le(strcspn(p, "\n"), 80);
}
END_TEST

START_TEST(the_printed_table_can_be_read_back)
{
	cleanup(free_ptr) char *text = print(&table);
	char full[4096];
	struct error err;
	struct conf *c;
	char *at;

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
	text = print(&t);
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
	Suite *suite = suite_create("conf");
	TCase *tc = tcase_create("conf");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, values_and_defaults);
	tcase_add_test(tc, windows_line_ends_bom_and_no_last_newline);
	tcase_add_test(tc, a_section_may_be_opened_again);
	tcase_add_test(tc, bools_and_integers);
	tcase_add_test(tc, named_sections_keep_the_order_of_the_file);
	tcase_add_test(tc, lists);
	tcase_add_test(tc, a_default_list_and_an_empty_one);
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
	tcase_add_test(tc, files);
	tcase_add_test(tc, a_long_path_keeps_its_end_and_the_message);
	tcase_add_test(tc, differences);
	tcase_add_test(tc, the_printed_table_is_documentation);
	tcase_add_test(tc, the_printed_table_can_be_read_back);
	tcase_add_test(tc, long_defaults_and_help_are_wrapped);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
