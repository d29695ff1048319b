/* Any bytes as a configuration: parsed or refused with a message that names the file, and what was
 * parsed keeps its bounds. */
#include "base/conf.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct conf_section sections[] = {
	{.name = "agent", .help = "Plain."},
	{.name = "mqtt", .help = "Plain."},
	{.name = "source", .named = true, .help = "Named."},
};

static const struct conf_key keys[] = {
	{.section = "agent",
	 .key = "vehicle",
	 .type = CONF_STRING,
	 .def = "v",
	 .min = 1,
	 .max = 16},
	{.section = "agent",
	 .key = "log_level",
	 .type = CONF_ENUM,
	 .def = "info",
	 .choices = "error|warn|info|debug"},
	{.section = "mqtt",
	 .key = "keepalive_s",
	 .type = CONF_INT,
	 .def = "30",
	 .min = 5,
	 .max = 3600},
	{.section = "mqtt", .key = "clean", .type = CONF_BOOL, .def = "false"},
	{.section = "source", .key = "type", .type = CONF_ENUM, .choices = "replay|socketcan"},
	{.section = "source", .key = "signals", .type = CONF_LIST, .def = "*", .min = 1, .max = 8},
	{.section = "source", .key = "tags", .type = CONF_LIST, .def = ""},
};

static const struct conf_table table = {
	.sections = sections,
	.n_sections = array_len(sections),
	.keys = keys,
	.n_keys = array_len(keys),
};

static void check_source(const struct conf *c, const char *label)
{
	size_t n = 0;

	assert(strlen(label) > 0 && strlen(label) <= 40);
	assert(conf_enum(c, "source", label, "type") <= 1);
	while (conf_list(c, "source", label, "signals", n)) {
		assert(*conf_list(c, "source", label, "signals", n));
		n++;
	}
	assert(n >= 1 && n <= 8);
	for (n = 0; conf_list(c, "source", label, "tags", n); n++)
		assert(!strpbrk(conf_list(c, "source", label, "tags", n), ",\n"));
}

static void count_diff(void *ctx, const struct conf_key *key, const char *label)
{
	(void)key;
	(void)label;
	++*(size_t *)ctx;
}

static void check_values(const struct conf *c)
{
	size_t vehicle = strlen(conf_string(c, "agent", NULL, "vehicle")), n_diff = 0;
	int64_t keepalive = conf_int(c, "mqtt", NULL, "keepalive_s");

	assert(vehicle >= 1 && vehicle <= 16);
	assert(keepalive >= 5 && keepalive <= 3600);
	assert(conf_enum(c, "agent", NULL, "log_level") <= 3);
	assert(conf_line(c, "mqtt", NULL, "clean") > 0 || !conf_bool(c, "mqtt", NULL, "clean"));
	for (size_t i = 0; conf_label(c, "source", i); i++)
		check_source(c, conf_label(c, "source", i));
	conf_diff(c, c, count_diff, &n_diff);
	assert(n_diff == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {{0}};
	struct conf *c = NULL;
	int r = conf_parse(&c, &table, "fuzz", (const char *)data, size, &err);

	if (r == 0) {
		check_values(c);
		conf_free(c);
		return 0;
	}
	assert(r == -EINVAL && !c);
	assert(strncmp(err.text, "fuzz:", 5) == 0 && err.text[5]);
	return 0;
}
