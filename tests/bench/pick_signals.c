/* The signals of a log that are hardest to compress: those with the most distinct raw values in its
 * first 20,000 frames, as bench_bytes picks them. One a line, hardest first, as a rule names it:
 * "can0.MESSAGE.SIGNAL".
 *
 * pick_signals --log NAME=FILE --dbc BUS=FILE [--dbc ...] [--count N] */
#include "agent/decode/plan.h"
#include "tests/bench/common.h"

#include <stdio.h>

enum { FRAMES = 20000 };

struct picking {
	struct plan *plan;
	struct sample *out, *samples;
	size_t n, max, frames;
};

struct distinct {
	uint32_t signal;
	size_t n;
};

static bool take(void *ctx, const struct candump_line *line)
{
	struct picking *p = ctx;
	const struct frame *f = &line->frame;
	uint32_t m = plan_message(p->plan, f->bus, f->id, f->flags & FRAME_EXTENDED);
	size_t n = m == CATALOG_NONE ? 0 : plan_decode(p->plan, m, f->data, f->len, p->out);

	if (p->n + n > p->max) {
		p->max = 2 * p->max + n + 4096;
		p->samples = bench_must(reallocarray(p->samples, p->max, sizeof(*p->samples)));
	}
	for (size_t i = 0; i < n; i++)
		p->samples[p->n++] = p->out[i];
	return ++p->frames < FRAMES;
}

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
	return x->signal < y->signal ? -1 : x->signal > y->signal;
}

static void print_hardest(struct picking *p, const struct catalog *cat, size_t count)
{
	struct distinct *d = bench_must(calloc(cat->n_signals + 1, sizeof(*d)));

	qsort(p->samples, p->n, sizeof(*p->samples), by_raw);
	for (uint32_t i = 0; i < cat->n_signals; i++)
		d[i].signal = i;
	for (size_t i = 0; i < p->n; i++)
		d[p->samples[i].signal].n +=
			i == 0 || by_raw(&p->samples[i - 1], &p->samples[i]) != 0;
	qsort(d, cat->n_signals, sizeof(*d), by_distinct);
	for (size_t i = 0; i < count && i < cat->n_signals && d[i].n > 0; i++) {
		const struct catalog_signal *s = &cat->signals[d[i].signal];
		const struct catalog_message *m = &cat->messages[s->message];

		printf("%s.%s.%s\n", cat->buses[m->bus], m->name, s->name);
	}
	free(d);
}

int main(int argc, char **argv)
{
	double count = 50;
	const struct bench_number numbers[] = {{"count", &count, 1, 10000}};
	struct bench_args args = {.usage = "--log NAME=FILE --dbc BUS=FILE... [--count N]",
				  .numbers = numbers,
				  .n_numbers = array_len(numbers),
				  .takes_logs = true};
	struct picking p = {0};
	struct catalog *cat;

	bench_args_parse(&args, argc, argv);
	if (args.n_logs != 1)
		bench_die("one --log is needed");
	cat = bench_log_catalog(&args.logs[0]);
	if (plan_new(&p.plan, cat, NULL) < 0)
		bench_die("out of memory");
	p.out = bench_must(calloc(plan_samples_max(p.plan) + 1, sizeof(*p.out)));
	bench_log_read(&args.logs[0], cat, take, &p);
	print_hardest(&p, cat, (size_t)count);
	free(p.out);
	free(p.samples);
	plan_free(p.plan);
	catalog_free(cat);
	return EXIT_SUCCESS;
}
