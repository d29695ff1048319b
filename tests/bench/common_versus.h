/* tests/bench/common_versus.h: the rate of a part of ours next to that of the bare limit, in rounds
 * that take turns, so that what else the machine does hits both. */
#pragma once

#include <jansson.h>
#include <stddef.h>

enum { VERSUS_ROUNDS_MAX = 32 };

struct versus {
	const char *name; /* borrowed, as unit */
	const char *unit; /* of what is counted a second */
	size_t n;
	double bare[VERSUS_ROUNDS_MAX], ours[VERSUS_ROUNDS_MAX]; /* rates, by round */
};

/* One round; dies beyond VERSUS_ROUNDS_MAX. */
void versus_add(struct versus *v, double bare_rate, double our_rate);
/* The median of the rounds' ratios ours / bare. */
double versus_ratio(const struct versus *v);

void versus_print_head(void);
void versus_print(const struct versus *v); /* a line: medians of the rates, ratio, its range */
json_t *versus_json(const struct versus *v);
