/* towline state: the last known values of a vehicle. */
#include "tools/cli/api.h"
#include "tools/cli/options.h"
#include "tools/cli/term.h"
#include "tools/cli/value.h"

#include <getopt.h>
#include <string.h>
#include <time.h>

struct state_options {
	const char *relay, *prefix;
	double interval_s;
	bool json, watch;
};

static int take_interval(void *to, const char *text)
{
	double *interval_s = to;
	char *end;

	*interval_s = strtod(text, &end);
	return end != text && !*end && *interval_s >= 0.1 && *interval_s <= 3600 ? 0 : -EINVAL;
}

static int parse_options(int argc, char **argv, struct state_options *o)
{
	const struct cli_option options[] = {
		OPTION_RELAY(&o->relay),
		OPTION_JSON(&o->json),
		{.name = "prefix", .letter = 'p', .kind = OPTION_TEXT, .to = &o->prefix},
		{.name = "watch", .letter = 'w', .kind = OPTION_FLAG, .to = &o->watch},
		{.name = "interval",
		 .letter = 'i',
		 .kind = OPTION_CALL,
		 .to = &o->interval_s,
		 .take = take_interval,
		 .what = "0.1 to 3600 seconds"},
	};

	return cli_options(&cmd_state, argc, argv, options, array_len(options));
}

static void print_state(const json_t *state)
{
	json_t *signals = json_object_get(state, "signals");
	struct table *t = table_new(4);
	json_t *s;
	size_t i;

	if (!t)
		return;
	table_cell(t, "SIGNAL");
	table_cell(t, "VALUE");
	table_cell(t, "UNIT");
	table_cell(t, "TIME");
	table_align_right(t, 1);
	json_array_foreach(signals, i, s)
	{
		char value[VALUE_TEXT_MAX];

		table_cell(t, json_string_value(json_object_get(s, "signal")));
		table_cell(t, value_text(s, value));
		table_cell(t, json_string_value(json_object_get(s, "unit")));
		table_cell(t, json_string_value(json_object_get(s, "time")));
	}
	table_print(t, stdout);
	table_free(t);
}

static int show_once(struct api *a, const struct state_options *o, const char *vehicle,
		     const char *prefix)
{
	json_t *state = NULL;
	int code = api_get(a, &state, "/v1/vehicles/%s/state?prefix=%s", vehicle, prefix);

	if (code != EXIT_OK)
		return code;
	if (o->watch && !o->json)
		term_clear(stdout);
	if (o->json) {
		json_dumpf(state, stdout, o->watch ? JSON_COMPACT : JSON_INDENT(2));
		putchar('\n');
	} else {
		print_state(state);
	}
	json_decref(state);
	return fflush(stdout) != 0 ? EXIT_FAILED : EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct state_options o = {.prefix = "", .interval_s = 1};
	int code = parse_options(argc, argv, &o);
	struct api *a;
	char *vehicle cleanup(free_ptr) = NULL;
	char *prefix cleanup(free_ptr) = NULL;

	if (code != EXIT_OK)
		return code;
	if (argc - optind != 1)
		return cli_usage(&cmd_state, "which vehicle? Give one");
	vehicle = api_escape(argv[optind]);
	prefix = api_escape(o.prefix);
	a = api_new(o.relay);
	if (!a)
		return EXIT_USAGE;
	code = show_once(a, &o, vehicle, prefix);
	while (o.watch && code == EXIT_OK) {
		struct timespec ts = {.tv_sec = (time_t)o.interval_s};

		ts.tv_nsec = (long)((o.interval_s - (double)ts.tv_sec) * 1e9);
		nanosleep(&ts, NULL);
		code = show_once(a, &o, vehicle, prefix);
	}
	api_free(a);
	return code;
}

const struct cli_command cmd_state = {
	.name = "state",
	.summary = "show the last known value of each signal of a vehicle",
	.help = "Usage: towline state VEHICLE [--prefix TEXT] [--watch [--interval S]] [--json]\n"
		"\n"
		"  --prefix TEXT   only signals whose path (bus.message.signal) begins with TEXT\n"
		"  --watch         again and again, until interrupted\n"
		"  --interval S    seconds between two looks, 0.1 to 3600 (default 1)\n"
		"  --json          the relay's answer; with --watch one object a line\n"
		"  --relay URL     default $TOWLINE_RELAY, else http://127.0.0.1:8080\n",
	.run = run,
};
