/* towline decode: a bus log as CSV or JSON. */
#include "tools/cli/decode_out.h"
#include "tools/cli/decode_report.h"
#include "tools/cli/options.h"
#include "tools/cli/pattern.h"
#include "tools/dbc/dbc.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

enum { DBCS_MAX = 64 };

struct options {
	const char *dbc_texts[DBCS_MAX];
	struct option_list dbcs;
	const char *catalog;
	const char *signals;
	const char *out;
	const char *log;
	bool json, stats, quiet;
};

struct job {
	struct catalog *cat;
	uint8_t *wanted; /* NULL: all */
	struct decoder *decoder;
	struct sample *samples;
	struct candump_reader *log;
	struct decode_out *out;
	struct decode_report *report;
};

static const char help[] =
	"Usage: towline decode --dbc BUS=FILE [--dbc BUS=FILE...] [OPTION...] LOG\n"
	"       towline decode --catalog FILE [OPTION...] LOG\n"
	"\n"
	"Decodes LOG (candump -l format, plain or gzip; - for standard input) to lines of\n"
	"frame,timestamp,bus,id,message,signal,raw,value on standard output.\n"
	"\n"
	"  --dbc BUS=FILE    the DBC file of a bus, by the bus's name in the log; repeat for more\n"
	"  --catalog FILE    a compiled catalog instead ('towline catalog build')\n"
	"  --signals LIST    only these: bus.message.signal or message.signal, with * as a\n"
	"                    wildcard, separated by commas\n"
	"  --json            a JSON object a line instead of CSV; integers beyond 2^53 as text\n"
	"  -o, --output FILE instead of standard output\n"
	"  --stats           counts per message on stderr at the end\n"
	"  -q, --quiet       on stderr errors only: no warnings, bad lines, progress, summary\n"
	"\n"
	"frame counts from 1 over the log's frames. raw is the unscaled integer (for a float "
	"signal\n"
	"its unscaled value); value = raw * factor + offset, in the fewest digits that read back "
	"to\n"
	"the same double. Signals that do not lie wholly inside a frame are left out. J1939 "
	"messages\n"
	"match by PGN. A message declared longer than its frames is an ISO-TP payload: its line "
	"has\n"
	"the number and time of the frame that completed it.\n"
	"\n"
	"Bad lines are skipped and reported as FILE:LINE (the first 20), and change nothing about\n"
	"the exit code: 0 when the log was read to its end and all output written; 1 when not (a\n"
	"truncated gzip file, a full disk; what came before was decoded), or when every line was\n"
	"bad. 2: wrong usage. 3: no signal matches --signals.\n";

static int parse_options(struct options *o, int argc, char **argv)
{
	const struct cli_option table[] = {
		{.name = "dbc", .kind = OPTION_LIST, .to = &o->dbcs, .what = "--dbc"},
		{.name = "catalog", .kind = OPTION_TEXT, .to = &o->catalog},
		{.name = "signals", .kind = OPTION_TEXT, .to = &o->signals},
		{.name = "json", .kind = OPTION_FLAG, .to = &o->json},
		{.name = "output", .letter = 'o', .kind = OPTION_TEXT, .to = &o->out},
		{.name = "stats", .kind = OPTION_FLAG, .to = &o->stats},
		{.name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .to = &o->quiet},
	};
	int code;

	o->dbcs = (struct option_list){.texts = o->dbc_texts, .max = DBCS_MAX};
	code = cli_options(&cmd_decode, argc, argv, table, array_len(table));
	if (code != EXIT_OK)
		return code;
	if (optind + 1 != argc)
		return cli_usage(&cmd_decode, "expected one LOG, got %d", argc - optind);
	o->log = argv[optind];
	if (!o->catalog == !o->dbcs.n)
		return cli_usage(&cmd_decode, "expected --dbc BUS=FILE or --catalog FILE");
	return EXIT_OK;
}

static int load_catalog(struct job *j, const struct options *o)
{
	struct error err = {0};
	int r;

	if (o->catalog)
		r = catalog_load_file(&j->cat, o->catalog, &err);
	else
		r = dbc_load_catalog(&j->cat, o->dbcs.texts, o->dbcs.n, o->quiet ? NULL : stderr,
				     NULL, &err);
	if (r == -EINVAL && !o->catalog)
		return cli_usage(&cmd_decode, "--dbc: %s", err.text);
	if (r < 0)
		return cli_fail(EXIT_FAILED, "decode: %s", err.text[0] ? err.text : strerror(-r));
	return EXIT_OK;
}

static int select_signals(struct job *j, const char *list)
{
	char *copy cleanup(free_ptr) = NULL;
	char *rest, *pattern;

	if (!list)
		return EXIT_OK;
	copy = strdup(list);
	j->wanted = calloc(j->cat->n_signals + 1, 1);
	if (!copy || !j->wanted)
		return cli_fail(EXIT_FAILED, "decode: out of memory");
	rest = copy;
	while ((pattern = strsep(&rest, ",")) != NULL) {
		pattern += strspn(pattern, " ");
		if (*pattern && pattern_mark(j->cat, pattern, j->wanted) == 0)
			return cli_fail(EXIT_NOT_FOUND, "decode: --signals: no signal matches '%s'",
					pattern);
	}
	return EXIT_OK;
}

static int open_files(struct job *j, const struct options *o)
{
	bool progress = !o->quiet && isatty(STDERR_FILENO) && (o->out || !isatty(STDOUT_FILENO));
	struct error err = {0};
	int r;

	r = candump_open(&j->log, o->log, &err);
	if (!r)
		r = decode_out_new(&j->out, j->cat, o->json, o->out, &err);
	if (!r)
		r = decode_report_new(&j->report, j->cat, o->log, o->quiet, progress);
	if (r < 0)
		return cli_fail(EXIT_FAILED, "decode: %s", err.text[0] ? err.text : strerror(-r));
	return EXIT_OK;
}

static int prepare(struct job *j, const struct options *o)
{
	int code;

	code = load_catalog(j, o);
	if (code != EXIT_OK)
		return code;
	code = select_signals(j, o->signals);
	if (code != EXIT_OK)
		return code;
	if (decoder_new(&j->decoder, j->cat, j->wanted) < 0)
		return cli_fail(EXIT_FAILED, "decode: out of memory");
	j->samples = calloc(decoder_samples_max(j->decoder) + 1, sizeof(*j->samples));
	if (!j->samples)
		return cli_fail(EXIT_FAILED, "decode: out of memory");
	return open_files(j, o);
}

static int decode_line(struct job *j, struct candump_line *line)
{
	uint32_t message = CATALOG_NONE;
	size_t n = 0;

	line->frame.bus = decode_report_bus(j->report, line->bus);
	if (line->frame.bus != FRAME_BUS_NONE)
		n = decoder_frame(j->decoder, &line->frame, &message, j->samples);
	decode_report_frame(j->report, &line->frame, message, n);
	decode_report_progress(j->report, j->log);
	return decode_out_frame(j->out, decode_report_frames(j->report), &line->frame, j->samples,
				n);
}

/* Returns 0 at the end of the log, or -errno with err. */
static int decode_log(struct job *j, struct error *err)
{
	struct candump_line line = {0};
	int r, w = 0;

	do {
		r = candump_next(j->log, &line, err);
		if (r == 1)
			w = decode_line(j, &line);
		else if (r == -EINVAL)
			decode_report_bad_line(j->report, err);
	} while ((r == 1 || r == -EINVAL) && w == 0);
	return r == 1 ? 0 : r;
}

static int finish(struct job *j, const struct options *o)
{
	struct error log_err = {0}, out_err = {0};
	int log_result, out_result;

	log_result = decode_log(j, &log_err);
	out_result = decode_out_flush(j->out, &out_err);
	decode_report_end(j->report, j->decoder, o->stats);
	if (log_result < 0)
		cli_fail(EXIT_FAILED, "decode: %s", log_err.text);
	else if (decode_report_no_log(j->report))
		log_result = cli_fail(-EINVAL, "decode: %s: no log of candump -l", o->log);
	if (out_result < 0)
		cli_fail(EXIT_FAILED, "decode: %s", out_err.text);
	return log_result < 0 || out_result < 0 ? EXIT_FAILED : EXIT_OK;
}

static void release(struct job *j)
{
	decode_report_free(j->report);
	decode_out_free(j->out);
	candump_close(j->log);
	free(j->samples);
	decoder_free(j->decoder);
	free(j->wanted);
	catalog_free(j->cat);
}

static int run(int argc, char **argv)
{
	struct options o = {0};
	struct job j = {0};
	int code;

	code = parse_options(&o, argc, argv);
	if (code != EXIT_OK)
		return code;
	code = prepare(&j, &o);
	if (code == EXIT_OK)
		code = finish(&j, &o);
	release(&j);
	return code;
}

const struct cli_command cmd_decode = {
	.name = "decode",
	.summary = "a bus log to CSV or JSON, by DBC files or a catalog",
	.help = help,
	.run = run,
};
