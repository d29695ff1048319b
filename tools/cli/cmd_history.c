/* towline history: a signal's recent samples. */
#include "tools/cli/api.h"
#include "tools/cli/options.h"
#include "tools/cli/term.h"
#include "tools/cli/value.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

struct history_options {
	const char *relay;
	int64_t from_ms, to_ms;
	long points;
	bool json, csv;
};

static int64_t now_ms(void)
{
	return (int64_t)time(NULL) * 1000;
}

static int take_time(void *to, const char *text)
{
	return term_parse_time(text, now_ms(), to);
}

static int parse_options(int argc, char **argv, struct history_options *o)
{
	static const char a_time[] = "a time (RFC 3339, Unix milliseconds, now, or an age: 10m)";
	const struct cli_option options[] = {
		OPTION_RELAY(&o->relay),
		OPTION_JSON(&o->json),
		{.name = "csv", .letter = 'c', .kind = OPTION_FLAG, .to = &o->csv},
		{.name = "from",
		 .letter = 'f',
		 .kind = OPTION_CALL,
		 .to = &o->from_ms,
		 .take = take_time,
		 .what = a_time},
		{.name = "to",
		 .letter = 't',
		 .kind = OPTION_CALL,
		 .to = &o->to_ms,
		 .take = take_time,
		 .what = a_time},
		{.name = "points",
		 .letter = 'n',
		 .kind = OPTION_NUMBER,
		 .to = &o->points,
		 .min = 1,
		 .max = 10000},
	};

	o->from_ms = now_ms() - 3600000;
	o->to_ms = now_ms() + 1000;
	return cli_options(&cmd_history, argc, argv, options, array_len(options));
}

static void number_cell(struct table *t, const json_t *point, const char *key)
{
	const json_t *value = json_object_get(point, key);
	char text[VALUE_TEXT_MAX];

	if (json_is_string(value))
		table_cell(t, json_string_value(value));
	else
		table_cell(t, json_is_number(value) ? value_number(json_number_value(value), text)
						    : "");
}

static const char *const sample_columns[] = {"time", "raw", "value"};
static const char *const bucket_columns[] = {"time", "count", "min", "max", "mean", "last"};

static void print_csv(const json_t *points, const char *const *columns, size_t n)
{
	json_t *point;
	size_t i;

	for (size_t k = 0; k < n; k++)
		printf("%s%s", k ? "," : "", columns[k]);
	putchar('\n');
	json_array_foreach(points, i, point)
	{
		for (size_t k = 0; k < n; k++) {
			const json_t *v = json_object_get(point, columns[k]);
			char text[VALUE_TEXT_MAX] = "";

			if (json_is_number(v))
				value_number(json_number_value(v), text);
			printf("%s%s", k ? "," : "",
			       json_is_string(v) ? json_string_value(v) : text);
		}
		putchar('\n');
	}
}

static void print_table(const json_t *points, const char *const *columns, size_t n)
{
	struct table *t = table_new(n);
	json_t *point;
	size_t i;

	if (!t)
		return;
	for (size_t k = 0; k < n; k++) {
		table_cell(t, columns[k]);
		if (k > 0)
			table_align_right(t, k);
	}
	json_array_foreach(points, i, point) for (size_t k = 0; k < n; k++)
		number_cell(t, point, columns[k]);
	table_print(t, stdout);
	table_free(t);
}

static void print_history(const struct history_options *o, const json_t *h)
{
	const json_t *points = json_object_get(h, "points");
	bool buckets = json_is_integer(json_object_get(h, "bucket_ms"));
	const char *const *columns = buckets ? bucket_columns : sample_columns;
	size_t n = buckets ? array_len(bucket_columns) : array_len(sample_columns);

	if (o->csv)
		print_csv(points, columns, n);
	else
		print_table(points, columns, n);
	fprintf(stderr, "%" JSON_INTEGER_FORMAT " samples, %zu rows",
		json_integer_value(json_object_get(h, "samples")), json_array_size(points));
	if (buckets)
		fprintf(stderr, " of %" JSON_INTEGER_FORMAT " ms",
			json_integer_value(json_object_get(h, "bucket_ms")));
	fputc('\n', stderr);
}

static int fetch(struct api *a, const struct history_options *o, const char *vehicle,
		 const char *signal, json_t **ret)
{
	if (o->points)
		return api_get(a, ret,
			       "/v1/vehicles/%s/signals/%s/history?from=%" PRId64 "&to=%" PRId64
			       "&max_points=%ld",
			       vehicle, signal, o->from_ms, o->to_ms, o->points);
	return api_get(a, ret, "/v1/vehicles/%s/signals/%s/history?from=%" PRId64 "&to=%" PRId64,
		       vehicle, signal, o->from_ms, o->to_ms);
}

static int run(int argc, char **argv)
{
	struct history_options o = {0};
	char *vehicle cleanup(free_ptr) = NULL;
	char *signal cleanup(free_ptr) = NULL;
	int code = parse_options(argc, argv, &o);
	json_t *h = NULL;
	struct api *a;

	if (code != EXIT_OK)
		return code;
	if (argc - optind != 2)
		return cli_usage(&cmd_history, "give a vehicle and a signal (bus.message.signal)");
	vehicle = api_escape(argv[optind]);
	signal = api_escape(argv[optind + 1]);
	a = api_new(o.relay);
	if (!a)
		return EXIT_USAGE;
	code = fetch(a, &o, vehicle, signal, &h);
	api_free(a);
	if (code != EXIT_OK)
		return code;
	if (o.json) {
		json_dumpf(h, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_history(&o, h);
	}
	json_decref(h);
	return EXIT_OK;
}

const struct cli_command cmd_history = {
	.name = "history",
	.summary = "print a signal's recent samples, downsampled where they are many",
	.help = "Usage: towline history VEHICLE SIGNAL [--from TIME] [--to TIME] [--points N]\n"
		"                       [--csv | --json]\n"
		"\n"
		"SIGNAL is bus.message.signal. Up to N samples are printed as they are; more are "
		"put\n"
		"into at most N buckets of equal time with count, min, max, mean and last.\n"
		"\n"
		"  --from TIME   default 1h; --to TIME: default now. A TIME is RFC 3339\n"
		"                (2026-03-01T12:00:00Z), Unix milliseconds, now, or an age: 90s "
		"10m 2h 1d\n"
		"  --points N    1 to 10000; the relay's default is 500\n"
		"  --csv         comma-separated values\n"
		"  --json        the relay's answer\n"
		"  --relay URL   default $TOWLINE_RELAY, else http://127.0.0.1:8080\n",
	.run = run,
};
