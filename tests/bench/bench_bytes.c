/* bench_bytes: how many bytes a sample takes on the wire, and what writing and reading it costs.
 *
 *   bench_bytes [--json FILE] [--log NAME=LOG --dbc BUS=FILE [--dbc ...]]...
 *
 * context: bytes a sample when each batch but the first is sent short (proto/context.h). sections:
 * bytes of sections a batch. Each --dbc belongs to the --log before it. The first half of each log
 * is measured, without a dictionary and with one that was trained on the second half, in the shape
 * of the setting. Counted are all bytes of the Envelope, and MQTT_BYTES for each batch. Next to it
 * the row format: a protobuf message a sample {time, signal: varint; value: double}, as it is and
 * deflated as a whole (zlib, level 6), with the same MQTT_BYTES. */
#include "agent/decode/plan.h"
#include "proto/batch.h"
#include "proto/context.h"
#include "tests/bench/common.h"
#include "tools/dictionary/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
	MQTT_BYTES = 30,	 /* PUBLISH with a topic alias, and TCP's share */
	DISTINCT_FRAMES = 20000, /* the signals with the most values in these are chosen */
	SAMPLES_MAX = 1 << 19,
};

#define WALL_NS 1700000000123456789

struct row {
	int64_t t_ns;
	uint64_t frame;
	uint32_t message;
	uint32_t n;
	size_t first;
};

struct data {
	struct catalog *cat;
	struct row *rows;
	size_t n_rows, rows_max;
	struct sample *samples;
	size_t n_samples, samples_max;
	uint8_t *wanted;
};

struct setting {
	const char *name;
	int signals; /* with the most distinct values; 0: all */
	double hz;   /* each message thinned to; 0: as it comes */
	int64_t batch_s;
};

static const struct setting SETTINGS[] = {
	{"50 signals, 1 Hz, 10 s", 50, 1, 10},	    {"50 signals, 10 Hz, 10 s", 50, 10, 10},
	{"50 signals, full rate, 10 s", 50, 0, 10}, {"all signals, full rate, 10 s", 0, 0, 10},
	{"20 signals, 1 Hz, 1 s", 20, 1, 1},
};

struct result {
	const struct dictionary *dictionary;
	size_t samples, batches;
	struct context context; /* that the first batch introduces */
	uint64_t context_bytes; /* all others short */
	uint64_t sections, bytes, rows_bytes, rows_zlib_bytes;
	double encode_ns, decode_ns;
};

static double now_ns(void)
{
	return (double)bench_now_ns();
}

/* What reading the clock costs: taken off where little is measured at a time. */
static double clock_cost_ns(void)
{
	enum { TIMES = 100000 };
	static double cost;
	double start = now_ns();

	if (cost > 0)
		return cost;
	for (int i = 1; i < TIMES; i++)
		now_ns();
	cost = (now_ns() - start) / TIMES;
	return cost;
}

/* ---- data ---- */

static void data_add(struct data *d, int64_t t_ns, uint64_t frame, uint32_t message,
		     const struct sample *s, size_t n)
{
	if (d->n_rows == d->rows_max) {
		d->rows_max = d->rows_max ? d->rows_max * 2 : 4096;
		d->rows = bench_must(realloc(d->rows, d->rows_max * sizeof(*d->rows)));
	}
	while (d->n_samples + n > d->samples_max) {
		d->samples_max = d->samples_max ? d->samples_max * 2 : 65536;
		d->samples = bench_must(realloc(d->samples, d->samples_max * sizeof(*d->samples)));
	}
	d->rows[d->n_rows++] = (struct row){.t_ns = t_ns,
					    .frame = frame,
					    .message = message,
					    .n = (uint32_t)n,
					    .first = d->n_samples};
	memcpy(d->samples + d->n_samples, s, n * sizeof(*s));
	d->n_samples += n;
}

struct loading {
	struct data *data;
	struct plan *plan;
	struct sample *out;
	uint64_t frame;
};

static bool load_line(void *ctx, const struct candump_line *line)
{
	struct loading *l = ctx;
	const struct frame *f = &line->frame;
	uint32_t m = plan_message(l->plan, f->bus, f->id, f->flags & FRAME_EXTENDED);
	size_t n;

	l->frame++;
	if (m == CATALOG_NONE)
		return true;
	n = plan_decode(l->plan, m, f->data, f->len, l->out);
	if (n > 0)
		data_add(l->data, f->t_ns, l->frame, m, l->out, n);
	return true;
}

static void data_load(struct data *d, const struct bench_log *log)
{
	struct loading l = {.data = d};

	*d = (struct data){.cat = bench_log_catalog(log)};
	if (plan_new(&l.plan, d->cat, NULL) < 0)
		bench_die("out of memory");
	l.out = bench_must(calloc(plan_samples_max(l.plan) + 1, sizeof(*l.out)));
	bench_log_read(log, d->cat, load_line, &l);
	free(l.out);
	plan_free(l.plan);
	d->wanted = bench_must(calloc(d->cat->n_signals, 1));
}

static void data_free(struct data *d)
{
	catalog_free(d->cat);
	free(d->rows);
	free(d->samples);
	free(d->wanted);
}

/* ---- which signals ---- */

struct distinct {
	uint32_t signal;
	size_t n;
};

static int by_raw(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	if (x->signal != y->signal)
		return x->signal < y->signal ? -1 : 1;
	return x->raw < y->raw ? -1 : x->raw > y->raw;
}

static int by_distinct(const void *a, const void *b)
{
	const struct distinct *x = a, *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return x->signal < y->signal ? -1 : 1;
}

static void choose(struct data *d, int signals)
{
	struct distinct *distinct = bench_must(calloc(d->cat->n_signals, sizeof(*distinct)));
	struct sample *s;
	size_t n = 0;

	memset(d->wanted, signals == 0, d->cat->n_signals);
	for (size_t i = 0; i < d->n_rows && d->rows[i].frame <= DISTINCT_FRAMES; i++)
		n = d->rows[i].first + d->rows[i].n;
	s = bench_must(calloc(n + 1, sizeof(*s)));
	memcpy(s, d->samples, n * sizeof(*s));
	qsort(s, n, sizeof(*s), by_raw);
	for (uint32_t i = 0; i < d->cat->n_signals; i++)
		distinct[i].signal = i;
	for (size_t i = 0; i < n; i++)
		distinct[s[i].signal].n += i == 0 || by_raw(&s[i - 1], &s[i]) != 0;
	qsort(distinct, d->cat->n_signals, sizeof(*distinct), by_distinct);
	for (size_t i = 0; i < (size_t)signals && i < d->cat->n_signals; i++)
		d->wanted[distinct[i].signal] = distinct[i].n > 0;
	free(s);
	free(distinct);
}

/* ---- formats ---- */

/* The samples of one batch as rows. */
static void put_row(struct buf *out, uint64_t time, uint32_t signal, double value)
{
	struct buf row cleanup(buf_free) = BUF_INIT(64);
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	buf_put_u8(&row, 1 << 3);
	buf_put_varint(&row, time);
	buf_put_u8(&row, 2 << 3);
	buf_put_varint(&row, signal);
	buf_put_u8(&row, 3 << 3 | 1);
	buf_put_fixed64(&row, bits);
	buf_put_u8(out, 1 << 3 | 2);
	buf_put_varint(out, row.len);
	if (buf_put(out, row.data, row.len) < 0)
		bench_die("rows: out of memory");
}

static void count_rows(struct result *r, struct buf *rows)
{
	uLongf packed_len = compressBound(rows->len);
	uint8_t *packed = bench_must(malloc(packed_len));

	if (compress2(packed, &packed_len, rows->data, rows->len, 6) != Z_OK)
		bench_die("zlib: cannot compress");
	r->rows_bytes += rows->len + MQTT_BYTES;
	r->rows_zlib_bytes += packed_len + MQTT_BYTES;
	free(packed);
	buf_clear(rows);
}

static int count_column(void *ctx, const struct batch_column *col)
{
	size_t *n = ctx;

	*n += col->n;
	return 0;
}

static void decode(const struct data *d, struct result *r, const struct buf *bytes, size_t samples)
{
	struct error err = {0};
	double start = now_ns();
	struct envelope e;
	struct batch *b = NULL;
	size_t n = 0;

	if (envelope_decode(&e, bytes->data, bytes->len, &err) < 0 || batch_read(&b, &e, &err) < 0)
		bench_die("decode: %s", err.text);
	batch_use(b, r->dictionary);
	if (batch_columns(b, d->cat, CATALOG_NONE, count_column, &n, &err) < 0)
		bench_die("decode: %s", err.text);
	batch_free(b);
	r->decode_ns += now_ns() - start;
	if (n != samples)
		bench_die("decode: samples were lost");
}

/* What is left of a body without its header: sections, their tags and lengths. */
static size_t section_bytes(const struct buf *body)
{
	struct cursor c = cursor_of(body->data, body->len);
	const uint8_t *at = c.p;

	while (cursor_left(&c) > 0) {
		uint64_t tag = cursor_varint(&c);

		if ((tag & 7) == 2)
			break;
		if ((tag & 7) == 0)
			(void)cursor_varint(&c);
		else
			(void)cursor_fixed64(&c);
		at = c.p;
	}
	return (size_t)(body->data + body->len - at);
}

/* As it is sent once the relay has the context of the first one. */
static void count_short(struct result *r, const struct envelope *e, int64_t batch_ns,
			uint32_t unit_ns, size_t whole)
{
	struct buf brief cleanup(buf_free) = BUF_INIT(64 << 20);
	int sent = 0;

	if (r->batches == 0) {
		if (context_make(&r->context, e, (uint64_t)(batch_ns / unit_ns)) < 0)
			bench_die("context: cannot be made");
	} else {
		sent = context_compress(&r->context, e, &brief);
		if (sent < 0)
			bench_die("context: out of memory");
	}
	r->context_bytes += (sent > 0 ? brief.len : whole) + MQTT_BYTES;
}

static void close_batch(const struct data *d, struct batch_builder *b, struct result *r,
			const struct setting *s, uint32_t unit_ns, struct buf *body,
			struct buf *envelope)
{
	struct batch_header h = {.boot_id = 0x3141592653589793,
				 .wall_base_ns =
					 WALL_NS + batch_builder_first_ns(b) - d->rows[0].t_ns,
				 .mono_base_ns = batch_builder_first_ns(b),
				 .clock_quality = CLOCK_SYNCED,
				 .catalog_id = d->cat->id,
				 .time_unit_ns = unit_ns};
	struct envelope e = {.epoch = 0x2718281828459045, .seq = 1000 + r->batches};
	double start = now_ns();

	buf_clear(body);
	buf_clear(envelope);
	if (batch_builder_encode(b, &h, body, &e.encoding) < 0)
		bench_die("encode: out of memory");
	r->encode_ns += now_ns() - start;
	e.body = body->data;
	e.body_len = body->len;
	if (envelope_encode(&e, envelope) < 0)
		bench_die("encode: out of memory");
	count_short(r, &e, s->batch_s * NS_PER_S, unit_ns, envelope->len);
	r->batches++;
	r->samples += batch_builder_count(b);
	r->bytes += envelope->len + MQTT_BYTES;
	r->sections += section_bytes(body);
	decode(d, r, envelope, batch_builder_count(b));
	batch_builder_reset(b);
}

/* ---- a setting ---- */

struct run {
	const struct data *d;
	const struct setting *s;
	uint32_t unit_ns;
	struct batch_builder *b;
	struct buf body, envelope, rows;
	int64_t *next; /* of each message when thinned */
	int64_t opened;
};

static bool thinned_out(struct run *run, const struct row *row)
{
	int64_t period = run->s->hz > 0 ? (int64_t)(1e9 / run->s->hz) : 0;
	int64_t *next = &run->next[row->message];

	if (period == 0)
		return false;
	if (*next != 0 && row->t_ns < *next)
		return true;
	*next = *next == 0 ? row->t_ns : *next;
	while (*next <= row->t_ns)
		*next += period;
	return false;
}

static void finish(struct run *run, struct result *r)
{
	if (batch_builder_count(run->b) == 0)
		return;
	close_batch(run->d, run->b, r, run->s, run->unit_ns, &run->body, &run->envelope);
	count_rows(r, &run->rows);
}

static void take_row(struct run *run, const struct row *row, struct result *r)
{
	static struct sample chosen[4096];
	const struct data *d = run->d;
	double start;
	size_t n = 0;

	while (row->t_ns >= run->opened + run->s->batch_s * NS_PER_S) {
		finish(run, r);
		run->opened += run->s->batch_s * NS_PER_S;
	}
	if (thinned_out(run, row))
		return;
	for (size_t i = row->first; i < row->first + row->n && n < array_len(chosen); i++) {
		const struct sample *s = &d->samples[i];

		if (!d->wanted[s->signal])
			continue;
		chosen[n++] = *s;
		put_row(&run->rows, (uint64_t)((row->t_ns - run->opened) / run->unit_ns), s->signal,
			catalog_value(&d->cat->signals[s->signal], s->raw));
	}
	start = now_ns();
	if (batch_builder_add(run->b, row->message, row->t_ns, chosen, n) != 0)
		bench_die("add: the builder is full");
	r->encode_ns += now_ns() - start - clock_cost_ns();
}

/* The rows from one to before the other. */
struct part {
	size_t from, to;
};

static struct result measure(struct data *d, const struct setting *s, uint32_t unit_ns,
			     const struct part *part, const struct dictionary *dictionary)
{
	struct run run = {.d = d,
			  .s = s,
			  .unit_ns = unit_ns,
			  .body = BUF_INIT(64 << 20),
			  .envelope = BUF_INIT(64 << 20),
			  .rows = BUF_INIT(64 << 20),
			  .next = bench_must(calloc(d->cat->n_messages + 1, sizeof(int64_t))),
			  .opened = d->n_rows ? d->rows[part->from].t_ns : 0};
	struct result r = {.dictionary = dictionary};

	if (batch_builder_new(&run.b, d->cat, SAMPLES_MAX, unit_ns) < 0)
		bench_die("builder: out of memory");
	if (batch_builder_use(run.b, dictionary) < 0)
		bench_die("builder: out of memory");
	for (size_t i = part->from; i < part->to; i++)
		take_row(&run, &d->rows[i], &r);
	finish(&run, &r);
	batch_builder_free(run.b);
	buf_free(&run.body);
	buf_free(&run.envelope);
	buf_free(&run.rows);
	free(run.next);
	return r;
}

static double per(double total, size_t n)
{
	return n ? total / (double)n : 0;
}

static void report(json_t *results, const char *log, const struct setting *s, uint32_t unit_ns,
		   const struct result *r)
{
	double bytes = per((double)r->bytes, r->samples);
	double rows = per((double)r->rows_bytes, r->samples);
	double rows_zlib = per((double)r->rows_zlib_bytes, r->samples);

	printf("%-12s %-29s %7" PRIu32 " %-4s %9zu %8.3f %8.3f %8.1f %9.2f %7.1f %8.1f %8.1f\n",
	       log, s->name, unit_ns / 1000, r->dictionary ? "yes" : "no", r->samples, bytes,
	       per((double)r->context_bytes, r->samples), per((double)r->sections, r->batches),
	       rows_zlib, bytes > 0 ? rows_zlib / bytes : 0, per(r->encode_ns, r->samples),
	       per(r->decode_ns, r->samples));
	json_array_append_new(
		results,
		json_pack("{s:s, s:s, s:b, s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
			  "log", log, "setting", s->name, "dictionary", r->dictionary != NULL,
			  "time_unit_us", (int)(unit_ns / 1000), "samples", (json_int_t)r->samples,
			  "batches", (json_int_t)r->batches, "bytes_per_sample", bytes,
			  "context_bytes_per_sample", per((double)r->context_bytes, r->samples),
			  "section_bytes_per_batch", per((double)r->sections, r->batches),
			  "rows_bytes_per_sample", rows, "rows_zlib_bytes_per_sample", rows_zlib,
			  "encode_ns_per_sample", per(r->encode_ns, r->samples),
			  "decode_ns_per_sample", per(r->decode_ns, r->samples)));
}

/* Of the second part, in the shape of the setting. */
static struct dictionary *train(struct data *d, const struct setting *s, uint32_t unit_ns,
				const struct part *part)
{
	struct training_shape shape = {
		.hz = s->hz, .batch_ns = s->batch_s * NS_PER_S, .time_unit_ns = unit_ns};
	struct sample chosen[4096];
	struct training_result result;
	struct dictionary *dict = NULL;
	struct training *t;
	struct error err;

	if (training_new(&t, d->cat, &shape) < 0)
		bench_die("training: out of memory");
	for (size_t i = part->from; i < part->to; i++) {
		const struct row *row = &d->rows[i];
		size_t n = 0;

		for (size_t k = row->first; k < row->first + row->n && n < array_len(chosen); k++)
			if (d->wanted[d->samples[k].signal])
				chosen[n++] = d->samples[k];
		if (training_add(t, row->message, row->t_ns, chosen, n) < 0)
			bench_die("training: out of memory");
	}
	if (training_run(t, &dict, &result, &err) < 0)
		bench_die("training: %s", err.text);
	training_free(t);
	return dict;
}

static void run_setting(struct data *d, const char *log, const struct setting *s, uint32_t unit_ns,
			const struct part parts[2], json_t *results)
{
	struct dictionary *dictionary;
	struct result r;

	choose(d, s->signals);
	r = measure(d, s, unit_ns, &parts[0], NULL);
	report(results, log, s, unit_ns, &r);
	dictionary = train(d, s, unit_ns, &parts[1]);
	r = measure(d, s, unit_ns, &parts[0], dictionary);
	report(results, log, s, unit_ns, &r);
	dictionary_free(dictionary);
}

/* The first half of its time, and the second. */
static void split(const struct data *d, struct part ret[2])
{
	int64_t first = d->n_rows ? d->rows[0].t_ns : 0;
	int64_t last = d->n_rows ? d->rows[d->n_rows - 1].t_ns : 0;
	size_t half = 0;

	while (half < d->n_rows && d->rows[half].t_ns - first < (last - first) / 2)
		half++;
	ret[0] = (struct part){0, half};
	ret[1] = (struct part){half, d->n_rows};
}

static void run_log(const struct bench_log *a, json_t *results)
{
	static const uint32_t UNITS[] = {1000000, 1000};
	struct part parts[2];
	struct data d;

	data_load(&d, a);
	split(&d, parts);
	for (size_t u = 0; u < array_len(UNITS); u++)
		for (size_t i = 0; i < array_len(SETTINGS); i++)
			run_setting(&d, a->name, &SETTINGS[i], UNITS[u], parts, results);
	data_free(&d);
}

int main(int argc, char **argv)
{
	static struct bench_args args = {
		.usage = "[--json FILE] [--log NAME=LOG --dbc BUS=FILE...]...",
		.takes_logs = true,
	};
	json_t *root = bench_must(json_pack("{s:s, s:[]}", "bench", "bytes", "results"));

	bench_args_parse(&args, argc, argv);
	printf("%-12s %-29s %7s %4s %9s %8s %8s %8s %9s %7s %8s %8s\n", "log", "setting", "unit us",
	       "dict", "samples", "B/sample", "context", "sections", "rows zlib", "factor",
	       "enc ns", "dec ns");
	for (size_t i = 0; i < args.n_logs; i++)
		run_log(&args.logs[i], json_object_get(root, "results"));
	if (args.n_logs == 0)
		puts("bench_bytes: no --log given: nothing was measured");
	bench_json_write(root, args.json);
	return EXIT_SUCCESS;
}
