#include "tests/unit/conf_fixture.h"

#include <check.h>
#include <string.h>

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

const struct conf_table table = {
	.sections = sections,
	.n_sections = array_len(sections),
	.keys = keys,
	.n_keys = array_len(keys),
};

int parse(struct conf **ret, const char *text, struct error *err)
{
	return conf_parse(ret, &table, "t.conf", text, strlen(text), err);
}

struct conf *must_parse(const char *text)
{
	struct error err = {{0}};
	struct conf *c = NULL;

	ck_assert_msg(parse(&c, text, &err) == 0, "%s", err.text);
	return c;
}

void check_error(const char *text, const char *want)
{
	struct conf *c = NULL;
	struct error err = {{0}};

	ck_assert_int_eq(parse(&c, text, &err), -EINVAL);
	ck_assert_ptr_null(c);
	ck_assert_str_eq(err.text, want);
	ck_assert_int_eq(parse(&c, text, NULL), -EINVAL);
}
