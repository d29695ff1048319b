/* towline history: a signal's recent samples. */
#include "tools/cli/api.h"
#include "tools/cli/cli.h"
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

static const struct option long_options[] = {
	{"relay", required_argument, NULL, 'r'},
	{"json", no_argument, NULL, 'j'},
	{"csv", no_argument, NULL, 'c'},
	{"from", required_argument, NULL, 'f'},
	{"to", required_argument, NULL, 't'},
	{"points", required_argument, NULL, 'n'},
	{0},
};

static int parse_points(const char *text, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	if (errno || end == text || *end || *ret < 1 || *ret > 10000)
		return cli_usage(&cmd_history, "--points %s: not 1 to 10000", text);
	return EXIT_OK;
}

static int parse_options(int argc, char **argv, struct history_options *o)
{
	int64_t now_ms = (int64_t)time(NULL) * 1000;
	int c, code;

	optind = 1;
	o->from_ms = now_ms - 3600000;
	o->to_ms = now_ms + 1000;
	while ((c = getopt_long(argc, argv, "r:jcf:t:n:", long_options, NULL)) != -1) {
		switch (c) {
		case 'r':
			o->relay = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'c':
			o->csv = true;
			break;
		case 'f':
		case 't':
			if (term_parse_time(optarg, now_ms, c == 'f' ? &o->from_ms : &o->to_ms) < 0)
				return cli_usage(&cmd_history, "'%s' is not a time", optarg);
			break;
		case 'n':
			code = parse_points(optarg, &o->points);
			if (code != EXIT_OK)
				return code;
			break;
		default:
			return cli_usage(&cmd_history, "wrong option");
		}
	}
	return EXIT_OK;
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
