/* proto/range.h: a binary arithmetic coder (range coder) and its adaptive bits.
 *
 * Each binary decision is coded with the probability that a `struct bit` has learnt for it, at a
 * cost of -log2(p): decisions that are nearly certain cost hundredths of a bit. Writer and reader
 * run the same model, so range_bit() is one function for both directions: `decoding` is a constant
 * wherever it is called, and the compiler makes two functions of it.
 *
 * After G. N. N. Martin, "Range encoding" (1979), with the carry propagated into the output. */
#pragma once

#include "base/bytes.h"

#define range_inline static inline __attribute__((always_inline))

/* Probability of a 1, in 1/65536, and how often it was seen: new bits learn fast. */
struct bit {
	uint16_t p;
	uint16_t seen;
};

/* What is done with decisions. Constant wherever it is used. */
enum code {
	CODE_ENCODE,
	CODE_TRAIN, /* as encoding, and each decision is shown to *range_observe */
	CODE_DECODE,
	CODE_DECODE_0, /* a section of format 0 */
};

enum {
	RANGE_SEEN_MAX = 30,
	RANGE_P_BITS = 12, /* of the probability, as used */
	RANGE_TOP = 1 << 24,
};

struct range {
	uint32_t low; /* decoding: the code less low */
	uint32_t range;
	struct buf *out; /* encoding */
	size_t start;	 /* where in out the section starts: carries stop there */
	const uint8_t *in, *end;
};

extern const uint16_t range_rate[RANGE_SEEN_MAX + 1];

range_inline bool reads(const enum code code)
{
	return code >= CODE_DECODE;
}

static inline struct bit bit_init(void)
{
	return (struct bit){.p = 1 << 15};
}

range_inline void bit_learn(struct bit *b, int value)
{
	int32_t aim = -value & 65535;

	b->p = (uint16_t)(b->p + (((aim - b->p) * (int32_t)range_rate[b->seen]) >> 15));
	b->seen = (uint16_t)(b->seen + (b->seen < RANGE_SEEN_MAX));
}

void range_encode_start(struct range *r, struct buf *out);
void range_encode_end(struct range *r); /* errors are in out->failed */
/* Past the end of its bytes a reader sees zeros: the writer drops those. */
void range_decode_start(struct range *r, const uint8_t *data, size_t len);

/* These take no struct range: its address stays unknown, and it can live in registers. */
void range_carry(struct buf *out, size_t start);
void range_put(struct buf *out, uint32_t low);

/* For training: is shown what is coded, before the bit learns it. */
extern void (*range_observe)(struct bit *b, int value);

range_inline void range_normalise(struct range *r, const enum code code)
{
	while (r->range < RANGE_TOP) {
		if (!reads(code))
			range_put(r->out, r->low);
		r->low <<= 8;
		if (reads(code) && r->in < r->end)
			r->low |= *r->in++;
		r->range <<= 8;
	}
}

/* Codes one decision. Encoding: `value` (0 or 1) in; decoding: its value out. Returns it. */
range_inline int range_bit(struct range *r, const enum code code, struct bit *b, int value)
{
	uint32_t p = b->p >> (16 - RANGE_P_BITS);
	uint32_t bound, mask, skip;

	if (code == CODE_TRAIN)
		range_observe(b, value);

	p += p == 0;
	bound = (r->range >> RANGE_P_BITS) * p;
	if (reads(code))
		value = r->low < bound;
	/* Masks: a branch on what nobody can foresee costs more. */
	mask = (uint32_t)value - 1;
	skip = bound & mask;
	r->range = bound + ((r->range - bound - bound) & mask);
	r->low = reads(code) ? r->low - skip : r->low + skip;
	if (!reads(code) && r->low < skip)
		range_carry(r->out, r->start);
	bit_learn(b, value);
	range_normalise(r, code);
	return value;
}

/* The low n bits (0 to 64) of value, as they are. */
range_inline uint64_t range_raw(struct range *r, const enum code code, unsigned int n,
				uint64_t value)
{
	uint64_t got = 0;

	while (n > 0) {
		unsigned int step = n < 8 ? n : 8;
		uint32_t part = (uint32_t)(value >> (n - step)) & ((1u << step) - 1);
		uint32_t add;

		r->range >>= step;
		if (reads(code)) {
			part = r->low / r->range;
			part = part < (1u << step) ? part : (1u << step) - 1;
			r->low -= part * r->range;
		} else {
			add = part * r->range;
			r->low += add;
			if (r->low < add)
				range_carry(r->out, r->start);
		}
		range_normalise(r, code);
		got = got << step | part;
		n -= step;
	}
	return got;
}
