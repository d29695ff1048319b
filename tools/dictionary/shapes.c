/* Kinds of numbers: what their lengths are like. Each kind then has a number model of its own in a
 * section. Sorted by k-means, with what they would cost as the distance. */
#include "proto/columns_model.h"
#include "tools/dictionary/priors.h"

#include <math.h>

enum { ROUNDS = 12 };

void lengths_count(struct lengths *l, int64_t off)
{
	l->n[bit_length(zigzag_encode(off))]++;
}

static double mean_of(const struct lengths *l)
{
	double sum = 0, n = 0;

	for (size_t i = 0; i < LENGTHS; i++) {
		sum += (double)(i * l->n[i]);
		n += l->n[i];
	}
	return n > 0 ? sum / n : 0;
}

/* What lengths would cost, in each shape, in 1/256 bits. */
struct shape {
	uint64_t n[LENGTHS];
	uint32_t cost[LENGTHS];
};

static void shape_costs(struct shape *s)
{
	const double least = 0.05;
	double all = LENGTHS * least;

	for (size_t i = 0; i < LENGTHS; i++)
		all += (double)s->n[i];
	for (size_t i = 0; i < LENGTHS; i++)
		s->cost[i] = (uint32_t)(-log2(((double)s->n[i] + least) / all) * 256);
}

static uint8_t nearest_shape(const struct shape *shapes, uint8_t n, const struct lengths *l)
{
	uint64_t least = UINT64_MAX;
	uint8_t best = 0;

	for (uint8_t s = 0; s < n; s++) {
		uint64_t cost = 0;

		for (size_t i = 0; i < LENGTHS; i++)
			cost += (uint64_t)l->n[i] * shapes[s].cost[i];
		if (cost < least) {
			least = cost;
			best = s;
		}
	}
	return best;
}

static void shapes_fill(struct shape *shapes, uint8_t n_shapes, const struct lengths *all, size_t n)
{
	for (size_t s = 0; s < n_shapes; s++)
		shapes[s] = (struct shape){0};
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < LENGTHS; k++)
			shapes[*all[i].shape].n[k] += all[i].n[k];
	for (size_t s = 0; s < n_shapes; s++)
		shape_costs(&shapes[s]);
}

int shapes_sort(struct lengths *all, size_t n, uint8_t n_shapes)
{
	struct shape *shapes = calloc(n_shapes, sizeof(*shapes));

	if (!shapes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		double mean = mean_of(&all[i]);

		*all[i].shape = mean < n_shapes - 1 ? (uint8_t)mean : (uint8_t)(n_shapes - 1);
	}
	for (int round = 0; round < ROUNDS; round++) {
		shapes_fill(shapes, n_shapes, all, n);
		for (size_t i = 0; i < n; i++)
			*all[i].shape = nearest_shape(shapes, n_shapes, &all[i]);
	}
	free(shapes);
	return 0;
}
