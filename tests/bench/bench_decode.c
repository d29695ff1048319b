/* bench_decode: what a frame and a signal cost, from line of text to raw integers.
 *
 *   bench_decode [--json FILE] [--seconds S] [--log NAME=LOG --dbc BUS=FILE [--dbc ...]]...
 *
 * Each --dbc belongs to the --log before it. Without a log, a synthetic one: 64 messages of random
 * signals, random payloads, from a PRNG of its own. The frames are decoded from memory, over and
 * over, at least S seconds (0.5) a log; the allocations inside that loop are counted. */
#include "agent/decode/decode.h"
#include "tests/bench/common.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FRAMES_MAX = 4 << 20, TEXT_MAX = 1 << 30, SYN_FRAMES = 200000 };

/* ---- logs ---- */

struct data {
	const char *name;
	struct catalog *cat;
	struct bench_frames frames; /* of buses that the catalog has */
	struct buf text;	    /* all frames as lines */
	size_t n_lines;
};

struct result {
	uint64_t frames, known, samples; /* of one pass */
	double decode_ns_frame, decode_ns_known, decode_ns_signal, signals_per_s;
	double parse_ns_line, both_ns_line;
	uint64_t allocations;
};

static void add_frame(struct data *d, const struct frame *f, const char *bus)
{
	char line[CANDUMP_LINE_MAX];

	if (buf_put(&d->text, line, candump_format(f, bus, line)) < 0)
		bench_die("%s: too long", d->name);
	d->n_lines++;
	if (f->bus != FRAME_BUS_NONE)
		bench_frames_add(&d->frames, f);
}

static bool add_line(void *ctx, const struct candump_line *line)
{
	struct data *d = ctx;

	add_frame(d, &line->frame, line->bus);
	return d->n_lines < FRAMES_MAX;
}

static void load_log(struct data *d, const struct bench_log *log)
{
	d->name = log->name;
	d->cat = bench_log_catalog(log);
	bench_log_read(log, d->cat, add_line, d);
}

/* ---- the synthetic log ---- */

static void random_signal(struct catalog_signal *s, uint32_t n)
{
	unsigned bits = 1 + (unsigned)(bench_rnd() >> 20) % 16, first;
	bool big = bench_rnd() & 1;

	(void)n;
	first = (unsigned)(bench_rnd() >> 20) % (64 - bits + 1);
	s->bits = (uint16_t)bits;
	s->big_endian = big;
	s->kind = bench_rnd() & 1 ? SIGNAL_SIGNED : SIGNAL_UNSIGNED;
	s->factor = 0.1;
	s->start_bit = (uint16_t)(big ? first / 8 * 8 + 7 - first % 8 : first);
}

static void make_log(struct data *d)
{
	static const struct bench_shape shape = {.messages = 64,
						 .signals = 8,
						 .bytes = 8,
						 .id = 0x100,
						 .id_step = 13,
						 .change = random_signal};
	struct frame f = {.len = 8};

	d->name = "synthetic";
	d->cat = bench_catalog(&shape);
	for (int i = 0; i < SYN_FRAMES; i++) {
		uint64_t data = bench_rnd();

		f.t_ns = i * NS_PER_MS;
		f.id = shape.id + (uint32_t)(bench_rnd() >> 20) % shape.messages * shape.id_step;
		memcpy(f.data, &data, sizeof(data));
		add_frame(d, &f, "can0");
	}
}

/* ---- measuring ---- */

/* The compiler must not drop the decoding: its results end here. */
static volatile uint64_t sink;

static void pass_decode(const struct data *l, struct decoder *d, struct sample *out,
			struct result *r)
{
	uint64_t sum = 0, known = 0, samples = 0;
	uint32_t message;

	for (size_t i = 0; i < l->frames.n; i++) {
		size_t n = decoder_frame(d, &l->frames.frames[i], &message, out);

		known += message != CATALOG_NONE;
		samples += n;
		if (n)
			sum += out[n - 1].raw;
	}
	sink = sum;
	r->known = known;
	r->samples = samples;
}

static void pass_lines(const struct data *l, struct decoder *d, struct sample *out)
{
	struct candump_splitter s = {0};
	struct candump_line line;
	uint64_t sum = 0;
	uint32_t message;

	candump_feed(&s, (const char *)l->text.data, l->text.len);
	while (candump_take(&s, "memory", &line, NULL) == 1) {
		sum += line.frame.id;
		if (!d)
			continue;
		line.frame.bus = bench_bus(l->cat, line.bus);
		if (line.frame.bus != FRAME_BUS_NONE)
			sum += decoder_frame(d, &line.frame, &message, out);
	}
	sink = sum;
}

static struct result measure(const struct data *l, double seconds)
{
	struct result r = {.frames = l->frames.n};
	struct decoder *d = NULL;
	struct sample *out;
	int64_t start, until;
	uint64_t before, passes = 0;
	double ns;

	if (decoder_new(&d, l->cat, NULL) < 0)
		bench_die("out of memory");
	out = bench_must(calloc(decoder_samples_max(d) + 1, sizeof(*out)));
	pass_decode(l, d, out, &r); /* warms up */
	before = bench_allocations();
	start = bench_now_ns();
	until = start + (int64_t)(seconds * 1e9);
	do {
		pass_decode(l, d, out, &r);
		passes++;
	} while (bench_now_ns() < until);
	ns = (double)(bench_now_ns() - start) / (double)passes;
	r.allocations = bench_allocations() - before;
	r.decode_ns_frame = ns / (double)l->frames.n;
	r.decode_ns_known = ns / (double)(r.known ? r.known : 1);
	r.decode_ns_signal = ns / (double)(r.samples ? r.samples : 1);
	r.signals_per_s = 1e9 / r.decode_ns_signal;

	start = bench_now_ns();
	pass_lines(l, NULL, out);
	r.parse_ns_line = (double)(bench_now_ns() - start) / (double)l->n_lines;
	before = bench_allocations();
	start = bench_now_ns();
	pass_lines(l, d, out);
	r.both_ns_line = (double)(bench_now_ns() - start) / (double)l->n_lines;
	r.allocations += bench_allocations() - before;
	free(out);
	decoder_free(d);
	return r;
}

/* ---- reporting ---- */

static void print_header(void)
{
	printf("%-14s %8s %8s %9s | %8s %9s %10s | %9s %10s | %s\n", "log", "frames", "known",
	       "samples", "ns/frame", "ns/signal", "Msignals/s", "parse ns", "+decode ns",
	       "allocations");
}

static void print_row(const char *name, const struct result *r)
{
	printf("%-14s %8" PRIu64 " %8" PRIu64 " %9" PRIu64
	       " | %8.1f %9.2f %10.1f | %9.1f %10.1f | ",
	       name, r->frames, r->known, r->samples, r->decode_ns_frame, r->decode_ns_signal,
	       r->signals_per_s / 1e6, r->parse_ns_line, r->both_ns_line);
	if (bench_counts_allocations())
		printf("%" PRIu64 "\n", r->allocations);
	else
		printf("not counted (sanitizer)\n");
}

static json_t *row_json(const char *name, const struct result *r)
{
	return bench_must(json_pack(
		"{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "log", name, "frames",
		(json_int_t)r->frames, "known_frames", (json_int_t)r->known, "samples",
		(json_int_t)r->samples, "decode_ns_per_frame", r->decode_ns_frame,
		"decode_ns_per_known_frame", r->decode_ns_known, "decode_ns_per_signal",
		r->decode_ns_signal, "signals_per_s", r->signals_per_s, "parse_ns_per_line",
		r->parse_ns_line, "parse_and_decode_ns_per_line", r->both_ns_line, "allocations",
		bench_counts_allocations() ? json_integer((json_int_t)r->allocations)
					   : json_null()));
}

/* Of one log, or NULL: the synthetic one. Returns how many allocations the measured loops made. */
static uint64_t run_log(const struct bench_log *log, double seconds, json_t *json)
{
	struct data d = {.text = BUF_INIT(TEXT_MAX)};
	struct result r;

	if (log)
		load_log(&d, log);
	else
		make_log(&d);
	if (d.frames.n == 0)
		bench_die("%s: no frame of a bus that the catalog has", d.name);
	r = measure(&d, seconds);
	print_row(d.name, &r);
	json_array_append_new(json, row_json(d.name, &r));
	catalog_free(d.cat);
	bench_frames_free(&d.frames);
	buf_free(&d.text);
	return r.allocations;
}

int main(int argc, char **argv)
{
	double seconds = 0.5;
	const struct bench_number numbers[] = {{"seconds", &seconds, 0.001, 3600}};
	struct bench_args args = {
		.usage = "[--json FILE] [--seconds S] [--log NAME=LOG --dbc BUS=FILE...]...",
		.numbers = numbers,
		.n_numbers = array_len(numbers),
		.takes_logs = true,
	};
	json_t *json = bench_must(json_array());
	uint64_t total = 0;

	bench_args_parse(&args, argc, argv);
	print_header();
	for (size_t i = 0; i < args.n_logs; i++)
		total += run_log(&args.logs[i], seconds, json);
	if (args.n_logs == 0)
		total += run_log(NULL, seconds, json);
	bench_json_write(json, args.json);
	if (total > 0)
		bench_die("decoding allocates");
	return EXIT_SUCCESS;
}
