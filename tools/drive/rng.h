/* tools/drive/rng.h: deterministic random numbers (splitmix64): the same on every machine. */
#pragma once

#include "base/base.h"

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* [0, 1) */
static inline double rng_unit(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53;
}

static inline double rng_range(struct rng *r, double from, double to)
{
	return from + (to - from) * rng_unit(r);
}

/* Mean 0, deviation 1, within +-3.5: the sum of four uniform 16-bit numbers, which is close enough
 * to normal for noise and costs one draw. */
static inline double rng_normal(struct rng *r)
{
	uint64_t z = rng_next(r);
	double sum = (double)(z & 0xffff) + (double)(z >> 16 & 0xffff) +
		     (double)(z >> 32 & 0xffff) + (double)(z >> 48);
	return (sum / 65536 - 2) * 1.7320508075688772;
}
