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
#include "tests/bench/common.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FRAMES_MAX = 4 << 20, BODY_BYTES_MAX = 16 << 20, SYN_FRAMES = 200000 };

struct bench {
	struct catalog *cat;
	struct bench_frames frames;
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

static bool add_line(void *ctx, const struct candump_line *line)
{
	struct bench *b = ctx;

	bench_frames_add(&b->frames, &line->frame);
	return b->frames.n < FRAMES_MAX;
}

/* A counter, a slow value, a noisy one, a flag. */
static void make_log(struct bench *b)
{
	static const struct bench_shape shape = {
		.messages = 64, .signals = 4, .bytes = 8, .id = 0x100, .id_step = 1};

	b->cat = bench_catalog(&shape);
	for (uint32_t i = 0; i < SYN_FRAMES; i++) {
		uint16_t round = (uint16_t)(i / shape.messages);
		uint16_t words[4] = {round, round / 50, (uint16_t)(1000 + bench_rnd() % 8),
				     round / 500 % 2};
		struct frame f = {
			.t_ns = i * NS_PER_MS / 2, .id = shape.id + i % shape.messages, .len = 8};

		memcpy(f.data, words, sizeof(words));
		bench_frames_add(&b->frames, &f);
	}
}

/* ---- measuring ---- */

static void encode_closed(struct bench *b)
{
	uint64_t before = bench_allocations();
	int64_t start = bench_cpu_ns();
	struct closed_batch closed;
	uint32_t encoding;

	while (batch_queue_get(b->queue, &closed)) {
		buf_clear(&b->body);
		if (batch_builder_encode(closed.builder, &closed.header, &b->body, &encoding) < 0)
			bench_die("encoding failed");
		b->bytes += b->body.len;
		b->encoded += batch_builder_count(closed.builder);
		b->batches++;
		batch_queue_give_back(b->queue, closed.builder);
	}
	b->encode_ns += bench_cpu_ns() - start;
	b->encode_allocations += bench_allocations() - before;
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
	if (batch_queue_new(&b->queue, b->cat, NULL, 2, samples_max + opt.slack, NS_PER_MS) < 0 ||
	    batcher_new(&b->batcher, b->queue, &opt) < 0 ||
	    collect_new(&col, b->cat, &rule, 1, &err) < 0 ||
	    pipeline_new(&b->pipeline, b->cat, col, b->batcher, &b->counters) < 0)
		bench_die("pipeline: %s", err.text);
}

/* The same frames again, later: times go on as in a drive. */
static void pass(struct bench *b)
{
	for (size_t i = 0; i < b->frames.n; i++) {
		struct frame f = b->frames.frames[i];

		f.t_ns += b->shift_ns;
		if (pipeline_frame(b->pipeline, &f) != 0)
			bench_die("the pipeline is busy");
	}
	b->shift_ns +=
		b->frames.frames[b->frames.n - 1].t_ns - b->frames.frames[0].t_ns + NS_PER_MS;
}

static void reset_sums(struct bench *b)
{
	b->bytes = b->batches = b->encoded = b->encode_allocations = 0;
	b->encode_ns = 0;
}

/* Of one log, or NULL: the synthetic one. */
static struct result measure(const struct bench_log *log, double seconds, size_t samples_max)
{
	struct bench b = {0};
	struct result r = {0};
	uint64_t before, collected;
	int64_t start, spent;

	if (log) {
		b.cat = bench_log_catalog(log);
		bench_log_read(log, b.cat, add_line, &b);
	} else {
		make_log(&b);
	}
	if (b.frames.n == 0)
		bench_die("%s: has no frame", log ? log->name : "synthetic");
	build(&b, samples_max);
	pass(&b); /* warms up */
	batcher_flush(b.batcher);
	reset_sums(&b);
	before = bench_allocations();
	collected = counter_get(&b.counters.samples_collected);
	start = bench_cpu_ns();
	do {
		pass(&b);
		r.frames += b.frames.n;
	} while (bench_cpu_ns() - start < (int64_t)(seconds * 1e9));
	batcher_flush(b.batcher);
	spent = bench_cpu_ns() - start;
	r.samples = counter_get(&b.counters.samples_collected) - collected;
	if (r.samples != b.encoded)
		bench_die("samples collected and encoded differ");
	r.batches = b.batches;
	r.encode_allocations = b.encode_allocations;
	r.front_allocations = bench_allocations() - before - b.encode_allocations;
	r.signals_per_s = (double)r.samples * 1e9 / (double)spent;
	r.front_ns = (double)(spent - b.encode_ns) / (double)r.samples;
	r.encode_ns = (double)b.encode_ns / (double)r.samples;
	r.bytes_per_sample = (double)b.bytes / (double)r.samples;
	pipeline_free(b.pipeline);
	batcher_free(b.batcher);
	batch_queue_free(b.queue);
	buf_free(&b.body);
	catalog_free(b.cat);
	bench_frames_free(&b.frames);
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
	if (bench_counts_allocations())
		printf("%" PRIu64 ", %" PRIu64 "\n", r->front_allocations, r->encode_allocations);
	else
		printf("not counted (sanitizer)\n");
}

static json_t *row_json(const char *name, const struct result *r)
{
	bool counts = bench_counts_allocations();

	return bench_must(
		json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:o, s:o}", "log", name,
			  "frames", (json_int_t)r->frames, "samples", (json_int_t)r->samples,
			  "batches", (json_int_t)r->batches, "front_ns_per_signal", r->front_ns,
			  "encode_ns_per_signal", r->encode_ns, "signals_per_s", r->signals_per_s,
			  "bytes_per_sample", r->bytes_per_sample, "front_allocations",
			  counts ? json_integer((json_int_t)r->front_allocations) : json_null(),
			  "encode_allocations",
			  counts ? json_integer((json_int_t)r->encode_allocations) : json_null()));
}

/* Returns how many allocations the front half made. */
static uint64_t run_log(const struct bench_log *log, double seconds, double samples, json_t *json)
{
	const char *name = log ? log->name : "synthetic";
	struct result r = measure(log, seconds, (size_t)samples);

	print_row(name, &r);
	json_array_append_new(json, row_json(name, &r));
	return r.front_allocations;
}

int main(int argc, char **argv)
{
	double seconds = 0.5, samples = 32768;
	const struct bench_number numbers[] = {{"seconds", &seconds, 0.001, 3600},
					       {"samples", &samples, 16, 1 << 20}};
	struct bench_args args = {
		.usage = "[--json FILE] [--seconds S] [--samples N]"
			 " [--log NAME=LOG --dbc BUS=FILE...]...",
		.numbers = numbers,
		.n_numbers = array_len(numbers),
		.takes_logs = true,
	};
	json_t *json = bench_must(json_array());
	uint64_t total = 0;

	bench_args_parse(&args, argc, argv);
	print_header();
	for (size_t i = 0; i < args.n_logs; i++)
		total += run_log(&args.logs[i], seconds, samples, json);
	if (args.n_logs == 0)
		total += run_log(NULL, seconds, samples, json);
	bench_json_write(json, args.json);
	if (total > 0)
		bench_die("the front half allocated");
	return EXIT_SUCCESS;
}
