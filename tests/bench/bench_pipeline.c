/* bench_pipeline: what a signal costs from a frame in memory to compressed bytes, on one core.
 *
 *   bench_pipeline [--json FILE] [--seconds S] [--samples N]
 *                  [--log NAME=LOG --dbc BUS=FILE [--dbc ...]]...
 *
 * The agent's own front half (decode, collect every signal, batch) and its encoder, on one thread:
 * each batch of N samples (32768) is encoded when it closes. Time is CPU time of the thread.
 * Allocations are counted in the front half and in the encoder apart. Without a log, a synthetic
 * one: 64 messages of counters, slow values and flags. */
#include "agent/batch/pipeline.h"
#include "agent/source/candump.h"
#include "tools/dbc/dbc.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

enum {
	LOGS_MAX = 16,
	DBCS_MAX = 8,
	FRAMES_MAX = 4 << 20,
	BODY_BYTES_MAX = 16 << 20,
	SYN_MESSAGES = 64,
	SYN_SIGNALS = 4,
	SYN_NAME = 16,
	SYN_FRAMES = 200000,
};

struct log_spec {
	char name[32];
	const char *path; /* NULL: synthetic */
	const char *dbcs[DBCS_MAX];
	size_t n_dbcs;
};

struct options {
	struct log_spec logs[LOGS_MAX];
	size_t n_logs;
	const char *json;
	double seconds;
	size_t samples;
};

struct bench {
	struct catalog *cat;
	struct frame *frames;
	size_t n_frames, cap;
	struct batch_queue *queue;
	struct batcher *batcher;
	struct pipeline *pipeline;
	struct counters counters;
	struct buf body;
	int64_t shift_ns; /* of this pass */
	uint64_t bytes, batches, encoded;
	int64_t encode_ns;
	uint64_t encode_allocations;
};

struct result {
	uint64_t frames, samples, batches, front_allocations, encode_allocations;
	double signals_per_s, front_ns, encode_ns, bytes_per_sample;
};

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_pipeline: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void add_frame(struct bench *b, const struct frame *f)
{
	if (b->n_frames == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 4096;
		b->frames = reallocarray(b->frames, b->cap, sizeof(*b->frames));
		if (!b->frames)
			die("memory", "out of it");
	}
	b->frames[b->n_frames++] = *f;
}

static uint16_t bus_of(const struct catalog *cat, const char *name)
{
	for (size_t i = 0; i < cat->n_buses; i++)
		if (strcmp(cat->buses[i], name) == 0)
			return (uint16_t)i;
	return FRAME_BUS_NONE;
}

static void load_log(struct bench *b, const struct log_spec *spec)
{
	struct candump_line line = {0};
	struct candump_reader *r = NULL;
	struct error err = {0};
	int got;

	if (dbc_load_catalog(&b->cat, spec->dbcs, spec->n_dbcs, NULL, NULL, &err) < 0)
		die("dbc", err.text);
	if (candump_open(&r, spec->path, &err) < 0)
		die("log", err.text);
	while ((got = candump_next(r, &line, &err)) != 0 && b->n_frames < FRAMES_MAX) {
		if (got != 1 && got != -EINVAL)
			die("log", err.text);
		if (got != 1)
			continue;
		line.frame.bus = bus_of(b->cat, line.bus);
		add_frame(b, &line.frame);
	}
	candump_close(r);
}

static void make_catalog(struct bench *b)
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
						       .id = 0x100 + i,
						       .bytes = 8,
						       .first_signal = i * SYN_SIGNALS,
						       .n_signals = SYN_SIGNALS};
	}
	for (uint32_t i = 0; i < array_len(signals); i++) {
		snprintf(names[i], SYN_NAME, "s%u", i);
		signals[i] = (struct catalog_signal){.name = names[i],
						     .message = i / SYN_SIGNALS,
						     .start_bit = (uint16_t)(i % SYN_SIGNALS * 16),
						     .bits = 16,
						     .factor = 1,
						     .unit = "",
						     .comment = "",
						     .mux = CATALOG_NONE};
	}
	if (catalog_build(&b->cat,
			  &(struct catalog){.buses = buses,
					    .n_buses = 1,
					    .messages = messages,
					    .n_messages = SYN_MESSAGES,
					    .signals = signals,
					    .n_signals = array_len(signals)},
			  &err) < 0)
		die("synthetic catalog", err.text);
}

/* A counter, a slow value, a noisy one, a flag. */
static void make_log(struct bench *b)
{
	uint64_t noise = 0x2545F4914F6CDD1D;

	make_catalog(b);
	for (uint32_t i = 0; i < SYN_FRAMES; i++) {
		uint16_t round = (uint16_t)(i / SYN_MESSAGES);
		uint16_t words[4];
		struct frame f = {
			.t_ns = i * NS_PER_MS / 2, .id = 0x100 + i % SYN_MESSAGES, .len = 8};

		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		words[0] = round;
		words[1] = round / 50;
		words[2] = (uint16_t)(1000 + noise % 8);
		words[3] = round / 500 % 2;
		memcpy(f.data, words, sizeof(words));
		add_frame(b, &f);
	}
}

/* ---- measuring ---- */

static void encode_closed(struct bench *b)
{
	uint64_t before = allocations;
	int64_t start = cpu_ns();
	struct closed_batch closed;
	uint32_t encoding;

	while (batch_queue_get(b->queue, &closed)) {
		buf_clear(&b->body);
		if (batch_builder_encode(closed.builder, &closed.header, &b->body, &encoding) < 0)
			die("encode", "failed");
		b->bytes += b->body.len;
		b->encoded += batch_builder_count(closed.builder);
		b->batches++;
		batch_queue_give_back(b->queue, closed.builder);
	}
	b->encode_ns += cpu_ns() - start;
	b->encode_allocations += allocations - before;
}

static void on_closed(void *ctx, size_t samples)
{
	(void)samples;
	encode_closed(ctx);
}

static void build(struct bench *b, size_t samples_max)
{
	struct batcher_options opt = {
		.samples_max = samples_max,
		.slack = pipeline_slack(b->cat),
		.age_max_ns = INT64_MAX / 4,
		.header = {.catalog_id = b->cat->id, .time_unit_ns = NS_PER_MS},
		.tb = timebase_system(),
		.closed = on_closed,
		.ctx = b,
	};
	struct collect_rule rule = {.pattern = "*", .class = CLASS_BULK, .origin = "bench"};
	struct collect *col;
	struct error err = {"out of memory"};

	b->body = BUF_INIT(BODY_BYTES_MAX);
	if (batch_queue_new(&b->queue, b->cat, 2, samples_max + opt.slack, NS_PER_MS) < 0 ||
	    batcher_new(&b->batcher, b->queue, &opt) < 0 ||
	    collect_new(&col, b->cat, &rule, 1, &err) < 0 ||
	    pipeline_new(&b->pipeline, b->cat, col, b->batcher, &b->counters) < 0)
		die("pipeline", err.text);
}

/* The same frames again, later: times go on as in a drive. */
static void pass(struct bench *b)
{
	for (size_t i = 0; i < b->n_frames; i++) {
		struct frame f = b->frames[i];

		f.t_ns += b->shift_ns;
		if (pipeline_frame(b->pipeline, &f) != 0)
			die("pipeline", "is busy");
	}
	b->shift_ns += b->frames[b->n_frames - 1].t_ns - b->frames[0].t_ns + NS_PER_MS;
}

static void reset_sums(struct bench *b)
{
	b->bytes = b->batches = b->encoded = b->encode_allocations = 0;
	b->encode_ns = 0;
}

static struct result measure(const struct log_spec *spec, double seconds, size_t samples_max)
{
	struct bench b = {0};
	struct result r = {0};
	uint64_t before, collected;
	int64_t start, spent;

	if (spec->path)
		load_log(&b, spec);
	else
		make_log(&b);
	if (b.n_frames == 0)
		die(spec->name, "has no frame");
	if (COUNTS_ALLOCATIONS && allocations == 0)
		die("allocations", "are not seen: nothing would be proved");
	build(&b, samples_max);
	pass(&b); /* warms up */
	batcher_flush(b.batcher);
	reset_sums(&b);
	before = allocations;
	collected = counter_get(&b.counters.samples_collected);
	start = cpu_ns();
	do {
		pass(&b);
		r.frames += b.n_frames;
	} while (cpu_ns() - start < (int64_t)(seconds * 1e9));
	batcher_flush(b.batcher);
	spent = cpu_ns() - start;
	r.samples = counter_get(&b.counters.samples_collected) - collected;
	if (r.samples != b.encoded)
		die(spec->name, "samples collected and encoded differ");
	r.batches = b.batches;
	r.encode_allocations = b.encode_allocations;
	r.front_allocations = allocations - before - b.encode_allocations;
	r.signals_per_s = (double)r.samples * 1e9 / (double)spent;
	r.front_ns = (double)(spent - b.encode_ns) / (double)r.samples;
	r.encode_ns = (double)b.encode_ns / (double)r.samples;
	r.bytes_per_sample = (double)b.bytes / (double)r.samples;
	pipeline_free(b.pipeline);
	batcher_free(b.batcher);
	batch_queue_free(b.queue);
	buf_free(&b.body);
	catalog_free(b.cat);
	free(b.frames);
	return r;
}

/* ---- reporting ---- */

static void print_header(void)
{
	printf("%-14s %9s %10s %7s | %9s %10s %10s | %8s | %s\n", "log", "frames", "samples",
	       "batches", "front ns", "encode ns", "Msignals/s", "B/sample",
	       "allocations: front, encoder");
}

static void print_row(const char *name, const struct result *r)
{
	printf("%-14s %9" PRIu64 " %10" PRIu64 " %7" PRIu64 " | %9.1f %10.1f %10.2f | %8.3f | ",
	       name, r->frames, r->samples, r->batches, r->front_ns, r->encode_ns,
	       r->signals_per_s / 1e6, r->bytes_per_sample);
	if (COUNTS_ALLOCATIONS)
		printf("%" PRIu64 ", %" PRIu64 "\n", r->front_allocations, r->encode_allocations);
	else
		printf("not counted (sanitizer)\n");
}

static void print_json(FILE *f, const char *name, const struct result *r, bool first)
{
	fprintf(f,
		"%s\n  {\"log\": \"%s\", \"frames\": %" PRIu64 ", \"samples\": %" PRIu64
		", \"batches\": %" PRIu64 ", \"front_ns_per_signal\": %.2f"
		", \"encode_ns_per_signal\": %.2f, \"signals_per_s\": %.0f"
		", \"bytes_per_sample\": %.4f",
		first ? "" : ",", name, r->frames, r->samples, r->batches, r->front_ns,
		r->encode_ns, r->signals_per_s, r->bytes_per_sample);
	if (COUNTS_ALLOCATIONS)
		fprintf(f, ", \"front_allocations\": %" PRIu64 ", \"encode_allocations\": %" PRIu64,
			r->front_allocations, r->encode_allocations);
	fputs("}", f);
}

static void usage(void)
{
	fputs("Usage: bench_pipeline [--json FILE] [--seconds S] [--samples N]\n"
	      "                      [--log NAME=LOG --dbc BUS=FILE [--dbc BUS=FILE]...]...\n",
	      stderr);
	exit(2);
}

static void add_log(struct options *o, const char *arg)
{
	const char *equals = strchr(arg, '=');
	struct log_spec *spec = &o->logs[o->n_logs];

	if (o->n_logs == LOGS_MAX || !equals || equals == arg)
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
		{"samples", required_argument, NULL, 'n'},
		{"log", required_argument, NULL, 'l'},
		{"dbc", required_argument, NULL, 'd'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j')
			o->json = optarg;
		else if (c == 's')
			o->seconds = strtod(optarg, NULL);
		else if (c == 'n')
			o->samples = strtoul(optarg, NULL, 10);
		else if (c == 'l')
			add_log(o, optarg);
		else if (c == 'd')
			add_dbc(o, optarg);
		else
			usage();
	}
	if (optind < argc || o->seconds <= 0 || o->samples < 16 || o->samples > 1 << 20)
		usage();
	if (o->n_logs == 0)
		snprintf(o->logs[o->n_logs++].name, sizeof(o->logs[0].name), "synthetic");
}

int main(int argc, char **argv)
{
	struct options o = {.seconds = 0.5, .samples = 32768};
	bool allocated = false;
	FILE *json = NULL;

	parse_options(&o, argc, argv);
	if (o.json) {
		json = fopen(o.json, "w");
		if (!json)
			die(o.json, strerror(errno));
		fputs("[", json);
	}
	print_header();
	for (size_t i = 0; i < o.n_logs; i++) {
		struct result r = measure(&o.logs[i], o.seconds, o.samples);

		print_row(o.logs[i].name, &r);
		allocated = allocated || r.front_allocations > 0;
		if (json)
			print_json(json, o.logs[i].name, &r, i == 0);
	}
	if (json) {
		fputs("\n]\n", json);
		if (fclose(json) != 0)
			die(o.json, strerror(errno));
	}
	if (allocated)
		fputs("bench_pipeline: the front half allocated\n", stderr);
	return allocated ? EXIT_FAILURE : EXIT_SUCCESS;
}
