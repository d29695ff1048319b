/* towline delivery: what the relay has of a device, what it awaits, what will not come. */
#include "tools/cli/api.h"
#include "tools/cli/options.h"
#include "tools/cli/term.h"

#include <getopt.h>
#include <string.h>

struct delivery_options {
	const char *relay;
	bool json;
};

/* Numbers beyond 2^53 come as texts; null, where there is no end, is none. */
enum { NUMBER_TEXT = 24 };

static const char *number_text(const json_t *o, const char *key, char text[static NUMBER_TEXT])
{
	const json_t *v = json_object_get(o, key);

	if (json_is_string(v))
		return json_string_value(v);
	if (!json_is_integer(v))
		return "";
	snprintf(text, NUMBER_TEXT, "%lld", (long long)json_integer_value(v));
	return text;
}

static void number_cell(struct table *t, const json_t *o, const char *key)
{
	char text[NUMBER_TEXT];

	table_cell(t, number_text(o, key, text));
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "-";
}

static void text_cell(struct table *t, const json_t *o, const char *key)
{
	table_cell(t, text_of(o, key));
}

/* A table of what is in an array; none where that is empty. */
static void print_rows(const char *const *head, size_t columns, unsigned right, const json_t *array,
		       void (*row)(struct table *t, const json_t *o))
{
	struct table *t = json_array_size(array) ? table_new(columns) : NULL;
	json_t *o;
	size_t i;

	if (!t)
		return;
	for (i = 0; i < columns; i++) {
		table_cell(t, head[i]);
		if (right >> i & 1)
			table_align_right(t, i);
	}
	json_array_foreach(array, i, o) row(t, o);
	putchar('\n');
	table_print(t, stdout);
	table_free(t);
}

static void lane_row(struct table *t, const json_t *lane)
{
	const json_t *awaited = json_object_get(lane, "awaited"), *g;
	char through[NUMBER_TEXT];
	long long missing = 0;
	size_t i;

	json_array_foreach(json_object_get(lane, "gaps"), i, g) missing +=
		(long long)json_number_value(json_object_get(g, "seqs"));
	text_cell(t, lane, "epoch");
	text_cell(t, lane, "class");
	table_cell(t, json_is_null(json_object_get(lane, "stored_through"))
			      ? "end"
			      : number_text(lane, "stored_through", through));
	number_cell(t, lane, "batches");
	number_cell(t, lane, "samples");
	number_cell(t, lane, "duplicates");
	number_cell(t, awaited, "seqs");
	table_cellf(t, "%lld", missing);
}

static void gap_row(struct table *t, const json_t *g)
{
	char from[NUMBER_TEXT], through[NUMBER_TEXT];

	text_cell(t, g, "epoch");
	text_cell(t, g, "class");
	table_cellf(t, "%s-%s", number_text(g, "from", from), number_text(g, "through", through));
	text_cell(t, g, "reason");
	number_cell(t, g, "seqs");
	number_cell(t, g, "batches");
	number_cell(t, g, "samples");
	text_cell(t, g, "first");
	text_cell(t, g, "last");
}

static void clock_row(struct table *t, const json_t *c)
{
	text_cell(t, c, "boot");
	text_cell(t, c, "started");
	text_cell(t, c, "quality");
	table_cell(t, json_is_true(json_object_get(c, "repairing")) ? "repairing" : "");
}

static void print_in_flight(const json_t *in_flight)
{
	const char *class;
	json_t *n;

	fputs("in flight   ", stdout);
	json_object_foreach((json_t *)(uintptr_t)in_flight, class, n)
	{
		fputs("  ", stdout);
		term_put(stdout, class);
		printf(" %lld", (long long)json_integer_value(n));
	}
	putchar('\n');
}

static void print_delivery(const json_t *d)
{
	static const char *const LANE[] = {"EPOCH",   "CLASS",	    "THROUGH", "BATCHES",
					   "SAMPLES", "DUPLICATES", "AWAITED", "MISSING"};
	static const char *const GAP[] = {"EPOCH",   "CLASS",	"GAP",	 "REASON", "MISSING",
					  "BATCHES", "SAMPLES", "FIRST", "LAST"};
	static const char *const CLOCK[] = {"BOOT", "STARTED", "CLOCK", ""};

	fputs("last seen     ", stdout);
	term_put(stdout, text_of(d, "last_seen"));
	fputs("\nlast receipt  ", stdout);
	term_put(stdout, text_of(d, "last_receipt"));
	putchar('\n');
	print_in_flight(json_object_get(d, "in_flight"));
	print_rows(LANE, array_len(LANE), 0xfc, json_object_get(d, "lanes"), lane_row);
	print_rows(GAP, array_len(GAP), 0x70, json_object_get(d, "gaps"), gap_row);
	print_rows(CLOCK, array_len(CLOCK), 0, json_object_get(d, "clocks"), clock_row);
}

static int show(struct api *a, const struct delivery_options *o, const char *vehicle,
		const char *device)
{
	json_t *answer = NULL;
	int code = api_get(a, &answer, "/v1/vehicles/%s/devices/%s/delivery", vehicle, device);

	if (code != EXIT_OK)
		return code;
	if (o->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_delivery(answer);
	}
	json_decref(answer);
	return EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct delivery_options o = {0};
	const struct cli_option options[] = {OPTION_RELAY(&o.relay), OPTION_JSON(&o.json)};
	int code = cli_options(&cmd_delivery, argc, argv, options, array_len(options));
	char *vehicle cleanup(free_ptr) = NULL;
	char *device cleanup(free_ptr) = NULL;
	struct api *a;

	if (code != EXIT_OK)
		return code;
	if (argc - optind != 2)
		return cli_usage(&cmd_delivery, "which device? Give a vehicle and a device");
	vehicle = api_escape(argv[optind]);
	device = api_escape(argv[optind + 1]);
	a = api_new(o.relay);
	if (!a)
		return EXIT_USAGE;
	code = show(a, &o, vehicle, device);
	api_free(a);
	return code;
}

const struct cli_command cmd_delivery = {
	.name = "delivery",
	.summary = "show what of a device is stored, awaited, and told missing",
	.help = "Usage: towline delivery VEHICLE DEVICE [--json]\n"
		"\n"
		"A line an outbox (epoch) and class: THROUGH, up to where the relay has an answer "
		"for\n"
		"every sequence number; AWAITED, holes above that, which nobody has explained "
		"yet;\n"
		"MISSING, what gaps say will not come. THROUGH is 'end' where an outbox is gone, "
		"and a\n"
		"gap has no end where nobody knows how far that had counted. Then the last gaps "
		"with\n"
		"their reasons, and the clocks of the device's boots.\n"
		"\n"
		"  --json        the relay's answer\n"
		"  --relay URL   default $TOWLINE_RELAY, else http://127.0.0.1:8080\n",
	.run = run,
};
