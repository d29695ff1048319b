/* proto/dictionary_private.h: bits of a dictionary's bytes, for dictionary*.c alone. */
#pragma once

#include "proto/dictionary.h"

/* The first byte of a signal. */
enum {
	PRIOR_USED = 0,	 /* 2 bits */
	PRIOR_KIND = 2,	 /* 2 bits */
	PRIOR_CLASS = 4, /* 2 bits */
	PRIOR_SLOT = 6,
	PRIOR_REF = 7,
};

enum {
	STATE_FINE = 3, /* bits of a state's mantissa below the leading one */
	STATE_SCALE_MAX = 12,
};

#define DICTIONARY_TIME_MAX (1ll << 40) /* units, either way */

static inline size_t dictionary_states(void)
{
	return sizeof(struct section_models) / sizeof(struct bit);
}

/* A probability in a byte: the smaller of p and 1 - p as (8 + low 3 bits) << (the next 4). Bit 7:
 * it is 1 - p. */
static inline uint32_t dictionary_state_value(uint8_t q)
{
	uint32_t v = (8u + (q & 7u)) << (q >> STATE_FINE & 15);

	return q & 0x80 ? 65536 - v : v;
}
