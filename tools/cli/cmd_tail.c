/* towline tail: values as they arrive (server-sent events). */
#include "tools/cli/api.h"
#include "tools/cli/options.h"
#include "tools/cli/term.h"
#include "tools/cli/value.h"

#include <getopt.h>
#include <string.h>

struct tail_options {
	const char *relay, *prefix;
	long seconds;
	bool json;
};

static int parse_options(int argc, char **argv, struct tail_options *o)
{
	const struct cli_option options[] = {
		OPTION_RELAY(&o->relay),
		OPTION_JSON(&o->json),
		{.name = "prefix", .letter = 'p', .kind = OPTION_TEXT, .to = &o->prefix},
		{.name = "seconds",
		 .letter = 's',
		 .kind = OPTION_NUMBER,
		 .to = &o->seconds,
		 .min = 1,
		 .max = 86400},
	};

	return cli_options(&cmd_tail, argc, argv, options, array_len(options));
}

static void put_word(const char *before, const char *word, const char *after)
{
	fputs(before, stdout);
	term_put(stdout, word);
	fputs(after, stdout);
}

static void print_signal(const char *vehicle, const json_t *s)
{
	const char *unit = json_string_value(json_object_get(s, "unit"));
	const char *time = json_string_value(json_object_get(s, "time"));
	const char *signal = json_string_value(json_object_get(s, "signal"));
	char value[VALUE_TEXT_MAX];

	put_word(term_dim(stdout), time ? time : "-", term_reset(stdout));
	put_word(" ", vehicle ? vehicle : "-", " ");
	put_word(term_bold(stdout), signal ? signal : "-", term_reset(stdout));
	put_word(" ", value_text(s, value), "");
	if (unit && *unit)
		put_word(" ", unit, "");
	putchar('\n');
}

static void print_samples(const struct tail_options *o, const json_t *samples)
{
	const char *vehicle = json_string_value(json_object_get(samples, "vehicle"));
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(samples, "signals"), i, s)
	{
		const char *signal = json_string_value(json_object_get(s, "signal"));

		if (signal && strncmp(signal, o->prefix, strlen(o->prefix)) == 0)
			print_signal(vehicle, s);
	}
}

static int take_event(void *ctx, const struct api_event *e)
{
	const struct tail_options *o = ctx;
	json_t *json;

	if (o->json) {
		printf("{\"event\":\"%s\",\"data\":%s}\n", e->name, e->data);
	} else if (strcmp(e->name, "samples") == 0) {
		json = json_loads(e->data, 0, NULL);
		if (json)
			print_samples(o, json);
		else
			cli_fail(EXIT_FAILED, "an event that is not JSON was skipped");
		json_decref(json);
	} else {
		cli_fail(EXIT_FAILED, "event %s: %s", e->name, e->data);
	}
	return fflush(stdout) != 0 ? EXIT_FAILED : 0;
}

static int run(int argc, char **argv)
{
	struct tail_options o = {.prefix = ""};
	char *vehicle cleanup(free_ptr) = NULL;
	int code = parse_options(argc, argv, &o);
	char path[512] = "/v1/events";
	struct api *a;

	if (code != EXIT_OK)
		return code;
	if (argc - optind > 1)
		return cli_usage(&cmd_tail, "at most one vehicle");
	if (argc - optind == 1) {
		vehicle = api_escape(argv[optind]);
		if (snprintf(path, sizeof(path), "/v1/vehicles/%s/events", vehicle) >=
		    (int)sizeof(path))
			return cli_usage(&cmd_tail, "the vehicle's id is too long");
	}
	a = api_new(o.relay);
	if (!a)
		return EXIT_USAGE;
	code = api_events(a, path, (int)o.seconds, take_event, &o);
	api_free(a);
	return code;
}

const struct cli_command cmd_tail = {
	.name = "tail",
	.summary = "print values as they arrive",
	.help = "Usage: towline tail [VEHICLE] [--prefix TEXT] [--seconds N] [--json]\n"
		"\n"
		"Without a vehicle: of all. A line is TIME VEHICLE SIGNAL VALUE UNIT: the last "
		"value of\n"
		"each signal in each batch that arrives.\n"
		"\n"
		"  --prefix TEXT   only signals whose path (bus.message.signal) begins with TEXT\n"
		"  --seconds N     stop after N seconds, 1 to 86400\n"
		"  --json          one event a line: {\"event\": NAME, \"data\": {...}}\n"
		"  --relay URL     default $TOWLINE_RELAY, else http://127.0.0.1:8080\n",
	.run = run,
};
