/* towline dictionary: trains a dictionary on logs, shows one, gives one to the relay. */
#include "agent/decode/decode.h"
#include "agent/source/candump.h"
#include "tools/cli/api.h"
#include "tools/cli/file.h"
#include "tools/cli/options.h"
#include "tools/cli/pattern.h"
#include "tools/dictionary/train.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { PATTERNS_MAX = 256, UNIT_US_MAX = 1000000 };

struct build_options {
	const char *catalog, *output;
	const char *pattern_texts[PATTERNS_MAX];
	struct option_list patterns;
	double hz, batch_s;
	long unit_us;
	char **logs;
	int n_logs;
};

struct job {
	struct catalog *cat;
	uint8_t *wanted; /* NULL: all */
	struct decoder *decoder;
	struct sample *samples;
	struct training *training;
	uint64_t frames, bad_lines;
};

/* ---- build: options ---- */

static int take_positive(void *to, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v > 0 && v <= 100000))
		return -EINVAL;
	*(double *)to = v;
	return 0;
}

static int build_options(struct build_options *o, int argc, char **argv)
{
	const struct cli_option table[] = {
		{.name = "catalog", .letter = 'c', .kind = OPTION_TEXT, .to = &o->catalog},
		{.name = "output", .letter = 'o', .kind = OPTION_TEXT, .to = &o->output},
		{.name = "signal",
		 .letter = 's',
		 .kind = OPTION_LIST,
		 .to = &o->patterns,
		 .what = "signals"},
		{.name = "rate",
		 .kind = OPTION_CALL,
		 .to = &o->hz,
		 .take = take_positive,
		 .what = "a number of Hz above 0"},
		{.name = "batch",
		 .kind = OPTION_CALL,
		 .to = &o->batch_s,
		 .take = take_positive,
		 .what = "a number of seconds above 0"},
		{.name = "time-unit-us",
		 .kind = OPTION_NUMBER,
		 .to = &o->unit_us,
		 .min = 1,
		 .max = UNIT_US_MAX},
	};
	int code;

	*o = (struct build_options){.batch_s = 10, .unit_us = 1000};
	o->patterns = (struct option_list){.texts = o->pattern_texts, .max = PATTERNS_MAX};
	code = cli_options(&cmd_dictionary, argc, argv, table, array_len(table));
	if (code != EXIT_OK)
		return code;
	if (!o->catalog || !o->output || optind == argc)
		return cli_usage(&cmd_dictionary, "build needs --catalog FILE, -o FILE and a LOG");
	o->logs = argv + optind;
	o->n_logs = argc - optind;
	return EXIT_OK;
}

/* ---- build: logs ---- */

static int select_signals(struct job *j, const struct option_list *patterns)
{
	if (patterns->n == 0)
		return EXIT_OK;
	j->wanted = calloc(j->cat->n_signals + 1, 1);
	if (!j->wanted)
		return cli_fail(EXIT_FAILED, "dictionary: out of memory");
	for (size_t i = 0; i < patterns->n; i++)
		if (pattern_mark(j->cat, patterns->texts[i], j->wanted) == 0)
			return cli_fail(EXIT_NOT_FOUND,
					"dictionary: --signal: no signal matches '%s'",
					patterns->texts[i]);
	return EXIT_OK;
}

static uint16_t bus_of(const struct catalog *cat, const char *name)
{
	for (size_t i = 0; i < cat->n_buses; i++)
		if (strcmp(cat->buses[i], name) == 0)
			return (uint16_t)i;
	return FRAME_BUS_NONE;
}

static int take_line(struct job *j, struct candump_line *line)
{
	uint32_t message;
	size_t n;

	line->frame.bus = bus_of(j->cat, line->bus);
	j->frames++;
	if (line->frame.bus == FRAME_BUS_NONE)
		return 0;
	n = decoder_frame(j->decoder, &line->frame, &message, j->samples);
	return n ? training_add(j->training, message, line->frame.t_ns, j->samples, n) : 0;
}

static int read_log(struct job *j, const char *path, struct error *err)
{
	struct candump_line line = {0};
	struct candump_reader *log;
	int r = candump_open(&log, path, err), taken = 0;

	if (r < 0)
		return r;
	do {
		r = candump_next(log, &line, err);
		if (r == 1)
			taken = take_line(j, &line);
		j->bad_lines += r == -EINVAL;
	} while ((r == 1 || r == -EINVAL) && taken == 0);
	candump_close(log);
	training_next_log(j->training);
	if (taken == -E2BIG)
		error_set(err, "%s: more than %d samples in all: give fewer logs or signals", path,
			  TRAINING_SAMPLES_MAX);
	return taken < 0 ? taken : r;
}

/* A decoder each: what one log leaves half told is no other's. */
static int read_logs(struct job *j, const struct build_options *o, struct error *err)
{
	int r = 0;

	for (int i = 0; i < o->n_logs && r == 0; i++) {
		j->decoder = decoder_free(j->decoder);
		free(j->samples);
		j->samples = NULL;
		r = decoder_new(&j->decoder, j->cat, j->wanted);
		if (r == 0)
			j->samples =
				calloc(decoder_samples_max(j->decoder) + 1, sizeof(*j->samples));
		if (r == 0)
			r = j->samples ? read_log(j, o->logs[i], err) : -ENOMEM;
	}
	return r;
}

/* ---- build: the whole ---- */

static void report(const struct job *j, const struct dictionary *d,
		   const struct training_result *res)
{
	double samples = (double)res->samples;

	printf("dictionary %016" PRIx64 " of catalog %016" PRIx64 ": %zu bytes, %zu messages, "
	       "%zu signals\n",
	       d->id, d->catalog_id, d->len, res->messages, res->signals);
	printf("trained on %" PRIu64 " frames as %zu batches of %.1f samples: %.3f bytes a sample "
	       "without it, %.3f with it\n",
	       j->frames, res->batches, samples / (double)res->batches, res->bytes_before / samples,
	       res->bytes_after / samples);
	if (j->bad_lines > 0)
		fprintf(stderr, "warning: %" PRIu64 " lines were no frames, and skipped\n",
			j->bad_lines);
}

static int train(struct job *j, const struct build_options *o)
{
	const struct training_shape shape = {.hz = o->hz,
					     .batch_ns = (int64_t)llround(o->batch_s * 1e9),
					     .time_unit_ns = (uint32_t)o->unit_us * 1000};
	struct error err = {"out of memory"};
	struct training_result result;
	struct dictionary *d = NULL;
	int r = training_new(&j->training, j->cat, &shape);

	if (r == 0)
		r = read_logs(j, o, &err);
	if (r == 0)
		r = training_run(j->training, &d, &result, &err);
	if (r == 0)
		r = cli_write_file(o->output, d->bytes, d->len, &err);
	if (r == 0)
		report(j, d, &result);
	dictionary_free(d);
	return r < 0 ? cli_fail(EXIT_FAILED, "dictionary: %s", err.text) : EXIT_OK;
}

static int load_catalog(struct catalog **ret, const char *path)
{
	struct error err = {"out of memory"};
	int r = catalog_load_file(ret, path, &err);

	if (r < 0)
		return cli_fail(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "dictionary: %s",
				err.text);
	return EXIT_OK;
}

static int build(int argc, char **argv)
{
	struct build_options o;
	struct job j = {0};
	int code = build_options(&o, argc, argv);

	if (code == EXIT_OK)
		code = load_catalog(&j.cat, o.catalog);
	if (code == EXIT_OK)
		code = select_signals(&j, &o.patterns);
	if (code == EXIT_OK)
		code = train(&j, &o);
	training_free(j.training);
	decoder_free(j.decoder);
	free(j.samples);
	free(j.wanted);
	catalog_free(j.cat);
	return code;
}

/* ---- push ---- */

struct push_options {
	const char *relay, *path;
	bool json;
};

static int push_options(struct push_options *o, int argc, char **argv)
{
	const struct cli_option options[] = {OPTION_RELAY(&o->relay), OPTION_JSON(&o->json)};
	int code = cli_options(&cmd_dictionary, argc, argv, options, array_len(options));

	if (code != EXIT_OK)
		return code;
	if (argc - optind != 1)
		return cli_usage(&cmd_dictionary, "push needs the FILE of a dictionary");
	o->path = argv[optind];
	return EXIT_OK;
}

static int post(const struct push_options *o, const struct buf *bytes, uint64_t catalog)
{
	struct api *a = api_new(o->relay);
	json_t *answer = NULL;
	int code = a ? api_post_bytes(a, "/v1/dictionaries", bytes->data, bytes->len, &answer)
		     : EXIT_USAGE;

	if (code == EXIT_OK && o->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (code == EXIT_OK) {
		printf("dictionary %s of catalog %016" PRIx64 "\n",
		       json_string_value(json_object_get(answer, "id")), catalog);
	}
	json_decref(answer);
	api_free(a);
	return code;
}

/* Whether the rest is good is for the relay to say: it has the catalog. */
static int push(int argc, char **argv)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(DICTIONARY_BYTES_MAX + (128 << 10));
	struct push_options o = {0};
	struct error err = {"out of memory"};
	uint64_t catalog;
	int code = push_options(&o, argc, argv), r;

	if (code != EXIT_OK)
		return code;
	r = cli_read_file(o.path, DICTIONARY_BYTES_MAX, &bytes, &err);
	if (r == 0)
		r = dictionary_peek(bytes.data, bytes.len, &catalog, &err);
	if (r < 0)
		return cli_fail(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "dictionary: %s",
				err.text);
	return post(&o, &bytes, catalog);
}

/* ---- the command ---- */

static const struct {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
} subcommands[] = {
	{"build", build},
	{"push", push},
};

static int run(int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(&cmd_dictionary, "build or push?");
	for (size_t i = 0; i < array_len(subcommands); i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	return cli_usage(&cmd_dictionary, "'%s' is none of build, push", argv[1]);
}

const struct cli_command cmd_dictionary = {
	.name = "dictionary",
	.summary = "train a dictionary on logs, give one to the relay",
	.help = "Usage: towline dictionary build --catalog FILE -o FILE [OPTION...] LOG...\n"
		"       towline dictionary push FILE [--json] [--relay URL]\n"
		"\n"
		"build  learns from LOGs (candump -l format, plain or gzip) what batches of a\n"
		"       catalog look like, so that small ones take fewer bytes. Give the shape\n"
		"       that the vehicle's batches will have: a dictionary of another shape costs\n"
		"       bytes, never samples. The same logs give the same dictionary.\n"
		"         -c, --catalog FILE  the catalog that vehicle and relay share\n"
		"         -o, --output FILE   where to write; replaced only when all went well\n"
		"         -s, --signal NAME   only these: bus.message.signal or message.signal, "
		"with\n"
		"                             * as a wildcard; repeat for more\n"
		"         --rate HZ           each message thinned to that; default: as it comes\n"
		"         --batch SECONDS     length of a batch, default 10\n"
		"         --time-unit-us N    [batch] time_unit_us of the agent, default 1000\n"
		"push   gives a dictionary to the relay, which decodes what waited for it. Its\n"
		"       catalog has to be there.\n"
		"         --json              print the relay's answer\n"
		"         --relay URL         default $TOWLINE_RELAY, else http://127.0.0.1:8080\n"
		"\n"
		"The agent takes it by [catalog] dictionary = FILE.\n",
	.run = run,
};
