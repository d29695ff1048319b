/* bench_decode: what a frame and a signal cost, from line of text to raw integers.
 *
 *   bench_decode [--json FILE] [--seconds S] [--log NAME=LOG --dbc BUS=FILE [--dbc ...]]...
 *
 * Each --dbc belongs to the --log before it. Without a log, a synthetic one: 64 messages of random
 * signals, random payloads, from a PRNG of its own. The frames are decoded from memory, over and
 * over, at least S seconds (0.5) a log; the allocations inside that loop are counted. */
#include "agent/decode/decode.h"
#include "agent/source/candump.h"
#include "tools/dbc/dbc.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- counting allocations: the C library's own under their inner names ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

static uint64_t allocations;

#if COUNTS_ALLOCATIONS
/* glibc exports these for programs that interpose the public names. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}
#endif

/* ---- logs ---- */

enum { LOGS_MAX = 16, DBCS_MAX = 8, FRAMES_MAX = 4 << 20, SYNTHETIC_FRAMES = 200000 };

struct log_spec {
	char name[32];
	const char *path;
	const char *dbcs[DBCS_MAX];
	size_t n_dbcs;
};

struct bench_log {
	char name[32];
	struct catalog *cat;
	struct frame *frames; /* of buses that the catalog has */
	size_t n_frames, cap;
	char *text; /* the same as lines */
	size_t text_len, n_lines;
};

struct result {
	uint64_t frames, known, samples; /* of one pass */
	double decode_ns_frame, decode_ns_known, decode_ns_signal, signals_per_s;
	double parse_ns_line, both_ns_line;
	uint64_t allocations;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_decode: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void *must(void *p)
{
	if (!p)
		die("memory", "out of it");
	return p;
}

static uint16_t bus_of(const struct catalog *cat, const char *name)
{
	for (size_t i = 0; i < cat->n_buses; i++)
		if (strcmp(cat->buses[i], name) == 0)
			return (uint16_t)i;
	return FRAME_BUS_NONE;
}

static void add_frame(struct bench_log *l, const struct frame *f, const char *bus)
{
	if (l->n_lines == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 4096;
		l->frames = must(reallocarray(l->frames, l->cap, sizeof(*l->frames)));
		l->text = must(reallocarray(l->text, l->cap, CANDUMP_LINE_MAX));
	}
	l->text_len += candump_format(f, bus, l->text + l->text_len);
	l->n_lines++;
	if (f->bus != FRAME_BUS_NONE)
		l->frames[l->n_frames++] = *f;
}

static void load_frames(struct bench_log *l, const char *path)
{
	struct candump_line line = {0};
	struct candump_reader *r = NULL;
	struct error err = {0};
	int got;

	if (candump_open(&r, path, &err) < 0)
		die("log", err.text);
	while ((got = candump_next(r, &line, &err)) != 0 && l->n_lines < FRAMES_MAX) {
		if (got != 1 && got != -EINVAL)
			die("log", err.text);
		if (got != 1)
			continue;
		line.frame.bus = bus_of(l->cat, line.bus);
		add_frame(l, &line.frame, line.bus);
	}
	candump_close(r);
}

static void load_log(struct bench_log *l, const struct log_spec *spec)
{
	struct error err = {0};

	*l = (struct bench_log){0};
	snprintf(l->name, sizeof(l->name), "%s", spec->name);
	if (dbc_load_catalog(&l->cat, spec->dbcs, spec->n_dbcs, NULL, NULL, &err) < 0)
		die("dbc", err.text);
	load_frames(l, spec->path);
}

/* ---- the synthetic log ---- */

static uint64_t rnd_state = 0x2545F4914F6CDD1D;

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

enum { SYN_MESSAGES = 64, SYN_SIGNALS = 8, SYN_NAME = 16 };

static void make_signal(struct catalog_signal *s, char *name, uint32_t n)
{
	unsigned bits = 1 + (unsigned)(rnd() >> 20) % 16, first;
	bool big = rnd() & 1;

	first = (unsigned)(rnd() >> 20) % (64 - bits + 1);
	snprintf(name, SYN_NAME, "s%u", n);
	*s = (struct catalog_signal){.name = name,
				     .message = n / SYN_SIGNALS,
				     .bits = (uint16_t)bits,
				     .big_endian = big,
				     .kind = rnd() & 1 ? SIGNAL_SIGNED : SIGNAL_UNSIGNED,
				     .factor = 0.1,
				     .unit = "",
				     .comment = "",
				     .mux = CATALOG_NONE};
	s->start_bit = (uint16_t)(big ? first / 8 * 8 + 7 - first % 8 : first);
}

static void make_catalog(struct bench_log *l)
{
	static struct catalog_signal signals[SYN_MESSAGES * SYN_SIGNALS];
	static struct catalog_message messages[SYN_MESSAGES];
	static char names[SYN_MESSAGES * SYN_SIGNALS][SYN_NAME];
	static char message_names[SYN_MESSAGES][SYN_NAME];
	static const char *const buses[] = {"can0"};
	struct error err = {0};

	for (uint32_t i = 0; i < SYN_MESSAGES; i++) {
		snprintf(message_names[i], SYN_NAME, "m%u", i);
		messages[i] = (struct catalog_message){.name = message_names[i],
						       .comment = "",
						       .id = 0x100 + i * 13,
						       .bytes = 8,
						       .first_signal = i * SYN_SIGNALS,
						       .n_signals = SYN_SIGNALS};
	}
	for (uint32_t i = 0; i < array_len(signals); i++)
		make_signal(&signals[i], names[i], i);
	if (catalog_build(&l->cat,
			  &(struct catalog){.buses = buses,
					    .n_buses = 1,
					    .messages = messages,
					    .n_messages = SYN_MESSAGES,
					    .signals = signals,
					    .n_signals = array_len(signals)},
			  &err) < 0)
		die("synthetic catalog", err.text);
}

static void make_log(struct bench_log *l)
{
	struct frame f = {.len = 8};

	*l = (struct bench_log){.name = "synthetic"};
	make_catalog(l);
	for (int i = 0; i < SYNTHETIC_FRAMES; i++) {
		uint64_t data = rnd();

		f.t_ns = i * NS_PER_MS;
		f.id = 0x100 + (uint32_t)(rnd() >> 20) % SYN_MESSAGES * 13;
		memcpy(f.data, &data, sizeof(data));
		add_frame(l, &f, "can0");
	}
}

/* ---- measuring ---- */

/* The compiler must not drop the decoding: its results end here. */
static volatile uint64_t sink;

static void pass_decode(const struct bench_log *l, struct decoder *d, struct sample *out,
			struct result *r)
{
	uint64_t sum = 0, known = 0, samples = 0;
	uint32_t message;

	for (size_t i = 0; i < l->n_frames; i++) {
		size_t n = decoder_frame(d, &l->frames[i], &message, out);

		known += message != CATALOG_NONE;
		samples += n;
		if (n)
			sum += out[n - 1].raw;
	}
	sink = sum;
	r->known = known;
	r->samples = samples;
}

static void pass_lines(const struct bench_log *l, struct decoder *d, struct sample *out)
{
	struct candump_splitter s = {0};
	struct candump_line line;
	uint64_t sum = 0;
	uint32_t message;

	candump_feed(&s, l->text, l->text_len);
	while (candump_take(&s, "memory", &line, NULL) == 1) {
		sum += line.frame.id;
		if (!d)
			continue;
		line.frame.bus = bus_of(l->cat, line.bus);
		if (line.frame.bus != FRAME_BUS_NONE)
			sum += decoder_frame(d, &line.frame, &message, out);
	}
	sink = sum;
}

static struct result measure(const struct bench_log *l, double seconds)
{
	struct result r = {.frames = l->n_frames};
	struct decoder *d = NULL;
	struct sample *out;
	int64_t start, until;
	uint64_t before, passes = 0;
	double ns;

	if (decoder_new(&d, l->cat, NULL) < 0)
		die("decoder", "out of memory");
	out = must(calloc(decoder_samples_max(d) + 1, sizeof(*out)));
	if (COUNTS_ALLOCATIONS && allocations == 0)
		die("allocations", "are not seen: nothing would be proved");
	pass_decode(l, d, out, &r); /* warms up */
	before = allocations;
	start = now_ns();
	until = start + (int64_t)(seconds * 1e9);
	do {
		pass_decode(l, d, out, &r);
		passes++;
	} while (now_ns() < until);
	ns = (double)(now_ns() - start) / (double)passes;
	r.allocations = allocations - before;
	r.decode_ns_frame = ns / (double)l->n_frames;
	r.decode_ns_known = ns / (double)(r.known ? r.known : 1);
	r.decode_ns_signal = ns / (double)(r.samples ? r.samples : 1);
	r.signals_per_s = 1e9 / r.decode_ns_signal;

	start = now_ns();
	pass_lines(l, NULL, out);
	r.parse_ns_line = (double)(now_ns() - start) / (double)l->n_lines;
	before = allocations;
	start = now_ns();
	pass_lines(l, d, out);
	r.both_ns_line = (double)(now_ns() - start) / (double)l->n_lines;
	r.allocations += allocations - before;
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
	if (COUNTS_ALLOCATIONS)
		printf("%" PRIu64 "\n", r->allocations);
	else
		printf("not counted (sanitizer)\n");
}

static void print_json(FILE *f, const char *name, const struct result *r, bool first)
{
	fprintf(f,
		"%s\n  {\"log\": \"%s\", \"frames\": %" PRIu64 ", \"known_frames\": %" PRIu64
		", \"samples\": %" PRIu64 ", \"decode_ns_per_frame\": %.2f"
		", \"decode_ns_per_known_frame\": %.2f, \"decode_ns_per_signal\": %.3f"
		", \"signals_per_s\": %.0f, \"parse_ns_per_line\": %.1f"
		", \"parse_and_decode_ns_per_line\": %.1f, \"allocations\": ",
		first ? "" : ",", name, r->frames, r->known, r->samples, r->decode_ns_frame,
		r->decode_ns_known, r->decode_ns_signal, r->signals_per_s, r->parse_ns_line,
		r->both_ns_line);
	if (COUNTS_ALLOCATIONS)
		fprintf(f, "%" PRIu64 "}", r->allocations);
	else
		fputs("null}", f);
}

struct options {
	struct log_spec logs[LOGS_MAX];
	size_t n_logs;
	const char *json;
	double seconds;
};

static void usage(void)
{
	fputs("Usage: bench_decode [--json FILE] [--seconds S]\n"
	      "                    [--log NAME=LOG --dbc BUS=FILE [--dbc BUS=FILE]...]...\n",
	      stderr);
	exit(2);
}

static void add_log(struct options *o, const char *arg)
{
	const char *equals = strchr(arg, '=');
	struct log_spec *spec = &o->logs[o->n_logs];

	if (o->n_logs == LOGS_MAX || !equals || equals == arg ||
	    strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
		    (size_t)(equals - arg))
		usage();
	snprintf(spec->name, sizeof(spec->name), "%.*s", (int)(equals - arg), arg);
	spec->path = equals + 1;
	o->n_logs++;
}

static void add_dbc(struct options *o, const char *arg)
{
	struct log_spec *spec = o->n_logs ? &o->logs[o->n_logs - 1] : NULL;

	if (!spec || spec->n_dbcs == DBCS_MAX)
		usage();
	spec->dbcs[spec->n_dbcs++] = arg;
}

static void parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", required_argument, NULL, 'j'},
		{"seconds", required_argument, NULL, 's'},
		{"log", required_argument, NULL, 'l'},
		{"dbc", required_argument, NULL, 'd'},
		{0},
	};
	char *end = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j') {
			o->json = optarg;
		} else if (c == 's') {
			o->seconds = strtod(optarg, &end);
			if (*end || !(o->seconds > 0 && o->seconds <= 3600))
				usage();
		} else if (c == 'l') {
			add_log(o, optarg);
		} else if (c == 'd') {
			add_dbc(o, optarg);
		} else {
			usage();
		}
	}
	if (optind != argc)
		usage();
}

/* Returns how many allocations the measured loops made. */
static uint64_t run_log(const struct log_spec *spec, double seconds, FILE *json, bool first)
{
	struct bench_log l;
	struct result r;

	if (spec)
		load_log(&l, spec);
	else
		make_log(&l);
	if (l.n_frames == 0)
		die(l.name, "no frame of a bus that the catalog has");
	r = measure(&l, seconds);
	print_row(l.name, &r);
	if (json)
		print_json(json, l.name, &r, first);
	catalog_free(l.cat);
	free(l.frames);
	free(l.text);
	return r.allocations;
}

int main(int argc, char **argv)
{
	struct options o = {.seconds = 0.5};
	uint64_t total = 0;
	FILE *json = NULL;

	parse_options(&o, argc, argv);
	if (o.json) {
		json = fopen(o.json, "w");
		if (!json)
			die(o.json, strerror(errno));
		fputs("[", json);
	}
	print_header();
	for (size_t i = 0; i < o.n_logs; i++)
		total += run_log(&o.logs[i], o.seconds, json, i == 0);
	if (o.n_logs == 0)
		total += run_log(NULL, o.seconds, json, true);
	if (json && (fputs("\n]\n", json) < 0 || fclose(json) != 0))
		die(o.json, "cannot be written");
	if (total > 0)
		die("decode", "allocates per frame");
	return EXIT_SUCCESS;
}
