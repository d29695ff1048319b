/* towline catalog: compiles DBC files to a catalog, and shows what one holds. */
#include "proto/bus_status.h"
#include "tools/cli/catalog_push.h"
#include "tools/cli/file.h"
#include "tools/cli/options.h"
#include "tools/cli/term.h"
#include "tools/dbc/dbc.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

enum { SPECS_MAX = 256, SHA256_HEX = 65, ID_HEX = 17, ID_TEXT_MAX = 16 };
#define EXACT_MAX (INT64_C(1) << 53)

/* ---- build ---- */

struct build_options {
	const char *spec_texts[SPECS_MAX];
	struct option_list specs;
	const char *output;
	bool bus_status;
	bool strict;
	bool quiet;
};

static int build_options(struct build_options *o, int argc, char **argv)
{
	const struct cli_option table[] = {
		{.name = "dbc", .kind = OPTION_LIST, .to = &o->specs, .what = "DBC files"},
		{.name = "output", .letter = 'o', .kind = OPTION_TEXT, .to = &o->output},
		{.name = "bus-status", .kind = OPTION_FLAG, .to = &o->bus_status},
		{.name = "strict", .kind = OPTION_FLAG, .to = &o->strict},
		{.name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .to = &o->quiet},
	};
	int code;

	o->specs = (struct option_list){.texts = o->spec_texts, .max = SPECS_MAX};
	code = cli_options(&cmd_catalog, argc, argv, table, array_len(table));
	if (code != EXIT_OK)
		return code;
	if (optind < argc)
		return cli_usage(&cmd_catalog, "'%s' is not expected", argv[optind]);
	if (o->specs.n == 0 || !o->output)
		return cli_usage(&cmd_catalog, "build needs --dbc BUS=FILE and -o FILE");
	return 0;
}

static void id_text(const struct catalog *cat, char id[static ID_HEX], char sha[static SHA256_HEX])
{
	snprintf(id, ID_HEX, "%016" PRIx64, cat->id);
	hex_encode(cat->sha256, sizeof(cat->sha256), sha);
}

/* A message of the file that has the name keeps it: that is said, for rules name messages. */
static int add_bus_status(struct catalog **cat, bool quiet, struct error *err)
{
	struct catalog *with;
	int r = bus_status_add(&with, *cat, err);

	if (r < 0)
		return r;
	catalog_free(*cat);
	*cat = with;
	for (size_t i = 0; i < with->n_messages && !quiet; i++) {
		const struct catalog_message *m = &with->messages[i];

		if (m->status && strcmp(m->name, BUS_STATUS_NAME) != 0)
			fprintf(stderr,
				"warning: bus %s has a message %s already: its status is named "
				"%s\n",
				with->buses[m->bus], BUS_STATUS_NAME, m->name);
	}
	return 0;
}

static int build(int argc, char **argv)
{
	struct build_options o = {0};
	struct dbc_counts counts = {0};
	struct catalog *cat = NULL;
	struct error err = {"out of memory"};
	char id[ID_HEX], sha[SHA256_HEX];
	int r = build_options(&o, argc, argv);

	if (r != 0)
		return r;
	r = dbc_load_catalog(&cat, o.specs.texts, o.specs.n, o.quiet ? NULL : stderr, &counts,
			     &err);
	if (r == -EINVAL)
		return cli_usage(&cmd_catalog, "%s", err.text);
	if (r == 0 && o.bus_status)
		r = add_bus_status(&cat, o.quiet, &err);
	if (r < 0) {
		catalog_free(cat);
		return cli_fail(EXIT_FAILED, "catalog: %s", err.text);
	}
	if (o.strict && counts.errors > 0) {
		catalog_free(cat);
		return cli_fail(EXIT_FAILED, "catalog: %zu errors, nothing written (--strict)",
				counts.errors);
	}
	r = cli_write_file(o.output, cat->bytes, cat->len, &err);
	if (r == 0) {
		id_text(cat, id, sha);
		printf("catalog %s: %zu buses, %zu messages, %zu signals, %zu bytes; "
		       "%zu errors, %zu warnings\n",
		       id, cat->n_buses, cat->n_messages, cat->n_signals, cat->len, counts.errors,
		       counts.warnings);
	}
	catalog_free(cat);
	return r < 0 ? cli_fail(EXIT_FAILED, "catalog: %s", err.text) : EXIT_OK;
}

/* ---- show ---- */

static const char *kind_name(enum signal_kind kind)
{
	static const char *const names[] = {
		[SIGNAL_UNSIGNED] = "unsigned",
		[SIGNAL_SIGNED] = "signed",
		[SIGNAL_FLOAT32] = "float32",
		[SIGNAL_FLOAT64] = "float64",
	};

	return names[kind];
}

/* As in DBC: "0CF00400" with 8 digits for 29 bits, "1A0" for 11; J1939 matches its PGN alone. What
 * the agent tells of the bus has none. */
static void message_id(const struct catalog_message *m, char out[static ID_TEXT_MAX])
{
	snprintf(out, ID_TEXT_MAX, m->extended ? "%08" PRIX32 : "%03" PRIX32, m->id);
}

static void mux_cell(struct table *t, const struct catalog *cat, const struct catalog_signal *s)
{
	char *text cleanup(free_ptr) = NULL;
	size_t len = 0;
	FILE *f;

	if (s->mux == CATALOG_NONE) {
		table_cell(t, s->is_mux ? "M" : NULL);
		return;
	}
	f = open_memstream(&text, &len);
	if (!f)
		return;
	fprintf(f, "%s%s=", s->is_mux ? "M, " : "", cat->signals[s->mux].name);
	for (size_t i = 0; i < s->n_mux_ranges; i++) {
		const struct catalog_range *range = &s->mux_ranges[i];

		fprintf(f, "%s%" PRIu64, i ? "," : "", range->from);
		if (range->to != range->from)
			fprintf(f, "-%" PRIu64, range->to);
	}
	fclose(f);
	table_cell(t, text);
}

static void signal_row(struct table *t, const struct catalog *cat, const struct catalog_signal *s)
{
	const struct catalog_message *m = &cat->messages[s->message];
	char id[ID_TEXT_MAX];

	message_id(m, id);
	table_cell(t, cat->buses[m->bus]);
	table_cellf(t, "%s%s", m->status ? "agent" : id, m->j1939 ? " pgn" : "");
	table_cell(t, m->name);
	table_cell(t, s->name);
	table_cellf(t, "%u|%u@%c%c", s->start_bit, s->bits, s->big_endian ? '0' : '1',
		    s->kind == SIGNAL_UNSIGNED ? '+' : '-');
	table_cell(t, kind_name(s->kind));
	table_cellf(t, "%.10g", s->factor);
	table_cellf(t, "%.10g", s->offset);
	table_cell(t, s->unit);
	if (s->n_choices > 0)
		table_cellf(t, "%zu", s->n_choices);
	else
		table_cell(t, NULL);
	mux_cell(t, cat, s);
}

static int show_table(const struct catalog *cat)
{
	static const char *const header[] = {"BUS",  "ID",    "MESSAGE", "SIGNAL",
					     "BITS", "KIND",  "FACTOR",	 "OFFSET",
					     "UNIT", "TEXTS", "MUX"};
	struct table *t = table_new(array_len(header));
	char id[ID_HEX], sha[SHA256_HEX];

	if (!t)
		return cli_fail(EXIT_FAILED, "catalog: out of memory");
	id_text(cat, id, sha);
	printf("id        %s\nsha256    %s\nbuses     ", id, sha);
	for (size_t i = 0; i < cat->n_buses; i++)
		printf("%s%s", i ? ", " : "", cat->buses[i]);
	printf("\nmessages  %zu\nsignals   %zu\nbytes     %zu\n\n", cat->n_messages, cat->n_signals,
	       cat->len);
	for (size_t i = 0; i < array_len(header); i++)
		table_cell(t, header[i]);
	for (size_t i = 0; i < cat->n_signals; i++)
		signal_row(t, cat, &cat->signals[i]);
	table_align_right(t, 6);
	table_align_right(t, 7);
	table_align_right(t, 9);
	table_print(t, stdout);
	table_free(t);
	return EXIT_OK;
}

/* As in the HTTP API: an integer where every reader of JSON keeps it exactly, else its digits. */
static json_t *raw_json(uint64_t raw, bool is_signed)
{
	int64_t value = (int64_t)raw;
	char text[24];

	if (value <= EXACT_MAX && value >= (is_signed ? -EXACT_MAX : 0))
		return json_integer((json_int_t)value);
	if (is_signed)
		snprintf(text, sizeof(text), "%" PRId64, value);
	else
		snprintf(text, sizeof(text), "%" PRIu64, raw);
	return json_string(text);
}

static json_t *mux_json(const struct catalog *cat, const struct catalog_signal *s)
{
	json_t *ranges = json_array();

	for (size_t i = 0; i < s->n_mux_ranges; i++)
		json_array_append_new(ranges,
				      json_pack("[o, o]", raw_json(s->mux_ranges[i].from, false),
						raw_json(s->mux_ranges[i].to, false)));
	return json_pack("{s:s, s:o}", "signal", cat->signals[s->mux].name, "ranges", ranges);
}

static json_t *choices_json(const struct catalog_signal *s)
{
	json_t *choices = json_array();

	for (size_t i = 0; i < s->n_choices; i++)
		json_array_append_new(choices, json_pack("{s:o, s:s}", "raw",
							 raw_json((uint64_t)s->choices[i].raw,
								  s->kind != SIGNAL_UNSIGNED),
							 "text", s->choices[i].text));
	return choices;
}

static json_t *signal_json(const struct catalog *cat, const struct catalog_signal *s)
{
	json_t *o = json_pack("{s:s, s:i, s:i, s:b, s:s, s:f, s:f, s:f, s:f, s:s, s:s, s:b}",
			      "name", s->name, "start_bit", s->start_bit, "bits", s->bits,
			      "big_endian", s->big_endian, "kind", kind_name(s->kind), "factor",
			      s->factor, "offset", s->offset, "min", s->min, "max", s->max, "unit",
			      s->unit, "comment", s->comment, "is_mux", s->is_mux);

	json_object_set_new(o, "choices", choices_json(s));
	if (s->mux != CATALOG_NONE)
		json_object_set_new(o, "mux", mux_json(cat, s));
	return o;
}

static json_t *message_json(const struct catalog *cat, const struct catalog_message *m)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:b, s:b, s:b, s:i, s:s}", "bus", cat->buses[m->bus],
			      "name", m->name, "id", (json_int_t)m->id, "extended", m->extended,
			      "j1939", m->j1939, "status", m->status, "bytes", m->bytes, "comment",
			      m->comment);
	json_t *signals = json_array();

	for (uint32_t i = 0; i < m->n_signals; i++)
		json_array_append_new(signals,
				      signal_json(cat, &cat->signals[m->first_signal + i]));
	json_object_set_new(o, "signals", signals);
	return o;
}

static int show_json(const struct catalog *cat)
{
	json_t *buses = json_array(), *messages = json_array(), *o;
	char id[ID_HEX], sha[SHA256_HEX];
	int r;

	id_text(cat, id, sha);
	for (size_t i = 0; i < cat->n_buses; i++)
		json_array_append_new(buses, json_string(cat->buses[i]));
	for (size_t i = 0; i < cat->n_messages; i++)
		json_array_append_new(messages, message_json(cat, &cat->messages[i]));
	o = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "id", id, "sha256", sha, "bytes",
		      (json_int_t)cat->len, "signals", (json_int_t)cat->n_signals, "buses", buses,
		      "messages", messages);
	r = o ? json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : -1;
	putchar('\n');
	json_decref(o);
	return r < 0 ? cli_fail(EXIT_FAILED, "catalog: cannot write JSON") : EXIT_OK;
}

static int show(int argc, char **argv)
{
	struct catalog *cat = NULL;
	const char *path = NULL;
	struct error err = {"out of memory"};
	bool json = false;
	const struct cli_option options[] = {OPTION_JSON(&json)};
	int r;

	r = cli_options(&cmd_catalog, argc, argv, options, array_len(options));
	if (r != EXIT_OK)
		return r;
	path = argv[optind]; /* NULL where there is none */
	if (argc - optind > 1)
		return cli_usage(&cmd_catalog, "'%s' is not expected", argv[optind + 1]);
	if (!path)
		return cli_usage(&cmd_catalog, "show needs the FILE of a catalog");
	r = catalog_load_file(&cat, path, &err);
	if (r < 0)
		return cli_fail(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "catalog: %s",
				err.text);
	r = json ? show_json(cat) : show_table(cat);
	catalog_free(cat);
	return r;
}

/* ---- the command ---- */

static const struct {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
} subcommands[] = {
	{"build", build},
	{"show", show},
	{"push", catalog_push},
};

static int run(int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(&cmd_catalog, "build, show or push?");
	for (size_t i = 0; i < array_len(subcommands); i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	return cli_usage(&cmd_catalog, "'%s' is none of build, show, push", argv[1]);
}

const struct cli_command cmd_catalog = {
	.name = "catalog",
	.summary = "compile DBC files to a catalog, show one, give one to the relay",
	.help = "Usage: towline catalog build --dbc BUS=FILE [--dbc BUS=FILE...] -o FILE\n"
		"       towline catalog show FILE [--json]\n"
		"       towline catalog push FILE [--json] [--relay URL]\n"
		"\n"
		"build  compiles DBC files to the catalog that vehicle and relay share. What a\n"
		"       file holds that had to be skipped or repaired is on stderr with its line.\n"
		"         --dbc BUS=FILE    the DBC of a bus; several files of one bus merge\n"
		"         -o, --output FILE where to write; replaced only when all went well\n"
		"         --bus-status      add to each bus a message BusStatus, by which the "
		"agent\n"
		"                           tells its state, errors, losses, bit rate and load\n"
		"         --strict          write nothing when anything had to be skipped\n"
		"         -q, --quiet       say nothing of what was skipped or repaired\n"
		"show   prints id, SHA-256, counts and every signal of a catalog.\n"
		"         --json            as one JSON object\n"
		"push   gives a catalog to the relay, which decodes what waited for it.\n"
		"         --json            print the relay's answer\n"
		"         --relay URL       default $TOWLINE_RELAY, else http://127.0.0.1:8080\n",
	.run = run,
};
