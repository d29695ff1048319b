#include "tests/bench/common_versus.h"

#include "tests/bench/common.h"

#include <stdio.h>
#include <string.h>

struct summary {
	double low, median, high;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct summary summarize(const double *values, size_t n)
{
	double sorted[VERSUS_ROUNDS_MAX];

	if (n == 0)
		bench_die("no rounds");
	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), by_value);
	return (struct summary){sorted[0], (sorted[(n - 1) / 2] + sorted[n / 2]) / 2,
				sorted[n - 1]};
}

static struct summary ratios(const struct versus *v)
{
	double r[VERSUS_ROUNDS_MAX];

	for (size_t i = 0; i < v->n; i++)
		r[i] = v->ours[i] / v->bare[i];
	return summarize(r, v->n);
}

void versus_add(struct versus *v, double bare_rate, double our_rate)
{
	if (v->n == VERSUS_ROUNDS_MAX)
		bench_die("too many rounds");
	v->bare[v->n] = bare_rate;
	v->ours[v->n++] = our_rate;
}

double versus_ratio(const struct versus *v)
{
	return ratios(v).median;
}

void versus_print_head(void)
{
	printf("%-40s %10s %10s %6s  %-13s %s\n", "", "bare/s", "ours/s", "ratio", "rounds", "of");
}

void versus_print(const struct versus *v)
{
	struct summary r = ratios(v);

	printf("%-40s %10.0f %10.0f %6.2f  %.2f to %.2f  %s\n", v->name,
	       summarize(v->bare, v->n).median, summarize(v->ours, v->n).median, r.median, r.low,
	       r.high, v->unit);
}

json_t *versus_json(const struct versus *v)
{
	struct summary r = ratios(v);

	return bench_must(json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f}", "name", v->name,
				    "unit", v->unit, "rounds", (json_int_t)v->n, "bare_per_s",
				    summarize(v->bare, v->n).median, "ours_per_s",
				    summarize(v->ours, v->n).median, "ratio", r.median, "ratio_min",
				    r.low, "ratio_max", r.high));
}
