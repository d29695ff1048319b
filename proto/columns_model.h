/* proto/columns_model.h: the code of a section's decisions, included by what instantiates it for
 * one enum code or several (columns.c; tools/dictionary for training). */
#pragma once

#include "proto/columns.h"

#include <string.h>

enum column_kind {
	COLUMN_CONSTANT, /* all values are the first one */
	COLUMN_DELTA,	 /* expected: the value before */
	COLUMN_LINEAR,	 /* expected: the line through the two values before */
};

/* What a column did in a row, as the next column of the group sees it. */
enum near {
	NEAR_NOTHING, /* it has no value there, or no column was before */
	NEAR_ZERO,    /* as expected */
	NEAR_MORE,
	NEAR_LESS,
};

static inline unsigned int bit_length(uint64_t v)
{
	return v ? 64 - (unsigned int)__builtin_clzll(v) : 0;
}

static inline unsigned int width_class(unsigned int width)
{
	return width <= 2 ? 0 : width <= 8 ? 1 : width <= 16 ? 2 : 3;
}

/* ---- numbers ---- */

/* The bits of v below its leading one, of a v that is `length` bits long. */
range_inline uint64_t low_bits(struct range *r, const enum code code, unsigned int length,
			       uint64_t v)
{
	if (length < 2)
		return length;
	return 1ull << (length - 1) | range_raw(r, code, length - 1, v);
}

range_inline uint64_t number(struct range *r, const enum code code, struct number_model *m,
			     uint64_t v)
{
	unsigned int wanted = bit_length(v), length = 0;

	while (length < LENGTHS - 1 && !range_bit(r, code, &m->length[length], length == wanted))
		length++;
	return low_bits(r, code, length, v);
}

/* ---- residuals ---- */

/* What the last residuals of a column were like. */
struct history {
	unsigned int length, length_before;
	enum near sign;	   /* of the last */
	uint32_t touched;  /* activities that there were, a bit each */
	uint64_t together; /* all magnitudes, ORed: as long as the longest */
};

static inline unsigned int activity(const struct history *h)
{
	unsigned int sum = h->length * 2 + h->length_before;

	if (sum < 16)
		return sum;
	return sum < 44 ? 16 + (sum - 16) / 4 : ACTIVITIES - 1;
}

/* Format 0: from 1 on. */
range_inline unsigned int residual_length_0(struct range *r, const enum code code,
					    struct residual_model *m, unsigned int act,
					    unsigned int wanted)
{
	unsigned int length = 1;

	while (length < LENGTHS_NEAR) {
		if (range_bit(r, code, &m->length[act][length], length == wanted))
			return length;
		length++;
	}
	while (length < LENGTHS - 1 && !range_bit(r, code, &m->longer[length], length == wanted))
		length++;
	return length;
}

/* From the length that the activity lets expect, up or down. */
range_inline unsigned int residual_length(struct range *r, const enum code code,
					  struct residual_model *m, unsigned int act,
					  unsigned int wanted)
{
	static const uint8_t EXPECTED[ACTIVITIES] = {1, 1, 1, 1, 1, 2, 2, 2,  3,  3,  3,  4,
						     4, 4, 5, 5, 6, 7, 8, 10, 11, 12, 14, 15};
	unsigned int length = EXPECTED[act];

	if (code == CODE_DECODE_0)
		return residual_length_0(r, code, m, act, wanted);
	if (length > 1 && range_bit(r, code, &m->length[act][0], wanted < length)) {
		while (--length > 1)
			if (range_bit(r, code, &m->length[act][length], length == wanted))
				return length;
		return length;
	}
	for (; length < LENGTHS_NEAR; length++)
		if (range_bit(r, code, &m->length[act][length], length == wanted))
			return length;
	while (length < LENGTHS - 1 && !range_bit(r, code, &m->longer[length], length == wanted))
		length++;
	return length;
}

/* The two highest bits below the leading one are modelled, the rest is noise. */
range_inline uint64_t residual_magnitude(struct range *r, const enum code code,
					 struct residual_model *m, unsigned int length, uint64_t v)
{
	unsigned int low = length - 1, node = 1;
	uint64_t high = 1;

	for (unsigned int i = 0; i < 2 && low > 0; i++) {
		low--;
		int bit = range_bit(r, code, &m->high[length][node], (int)(v >> low & 1));

		node = node * 2 + (unsigned int)bit;
		high = high << 1 | (unsigned int)bit;
		if (i == 0)
			node = bit ? 3 : 2;
	}
	if (low == 0)
		return high;
	return high << low | range_raw(r, code, low, v);
}

range_inline int64_t residual(struct range *r, const enum code code, struct residual_model *m,
			      struct history *h, enum near near, int64_t v)
{
	unsigned int act = activity(h), length;
	uint64_t magnitude = v < 0 ? -(uint64_t)v : (uint64_t)v;
	int less;

	h->length_before = h->length;
	h->touched |= 1u << act;
	if (range_bit(r, code, &m->zero[act][near], v == 0)) {
		h->length = 0;
		h->sign = NEAR_ZERO;
		return 0;
	}
	less = range_bit(r, code, &m->sign[h->sign ? h->sign - 1 : 0][near], v < 0);
	length = residual_length(r, code, m, act, bit_length(magnitude));
	magnitude = residual_magnitude(r, code, m, length, magnitude);
	h->length = length;
	h->together |= magnitude;
	h->sign = less ? NEAR_LESS : NEAR_MORE;
	return (int64_t)(less ? -magnitude : magnitude);
}

/* ---- times ---- */

/* Expects the next time of a periodic message: a clock that is pulled a little towards what came,
 * in phase and in period; and, where another message was sent in step with this one, from that. */
struct clock {
	const int64_t *leader; /* times of the other message */
	size_t n_leader, at;   /* at: the leader's time that belongs to the last time */
	int64_t lag;	       /* of this message behind the leader */
	int64_t phase, step;   /* in 1/16 units: the time last expected, pulled; the period */
	size_t advance;	       /* of at, the last time */
	bool follows;	       /* what was expected is from the leader */
};

enum {
	TIME_BITS = 40, /* beyond any span, and far from overflow */
	CLOCK_SCALE = 16,
	CLOCK_PULL = 4,
	CLOCK_PULL_PERIOD = 32,
};

static inline int64_t distance(int64_t a, int64_t b)
{
	return a < b ? b - a : a - b;
}

/* The leader's time nearest to the one expected belongs to it; but the one as many further as the
 * last was from that before goes first, should it be plausible. */
static inline size_t clock_nearest(const struct clock *k, int64_t time, int64_t tolerance)
{
	size_t at = k->at + k->advance;

	if (at < k->n_leader && distance(k->leader[at] + k->lag, time) <= tolerance)
		return at;
	at = k->at;
	while (at + 1 < k->n_leader &&
	       distance(k->leader[at + 1] + k->lag, time) <= distance(k->leader[at] + k->lag, time))
		at++;
	return at;
}

static inline void clock_start(struct clock *k, int64_t first, int64_t second)
{
	k->phase = second * CLOCK_SCALE;
	k->step = (second - first) * CLOCK_SCALE;
	if (k->n_leader == 0)
		return;
	k->lag = first - k->leader[0];
	k->at = clock_nearest(k, second, 0);
	k->advance = k->at;
	k->lag = second - k->leader[k->at];
}

static inline int64_t clock_expect(struct clock *k)
{
	int64_t free = (k->phase + k->step + CLOCK_SCALE / 2) / CLOCK_SCALE;
	int64_t tolerance = k->step / CLOCK_SCALE * 3 / 4, led;
	size_t at;

	k->follows = false;
	if (k->n_leader == 0)
		return free;
	at = clock_nearest(k, free, tolerance);
	led = k->leader[at] + k->lag;
	k->follows = distance(led, free) <= tolerance;
	k->advance = at - k->at;
	k->at = at;
	return k->follows ? led : free;
}

static inline void clock_learn(struct clock *k, int64_t time)
{
	int64_t error;

	k->phase += k->step;
	error = time * CLOCK_SCALE - k->phase;
	if (distance(error, 0) * 2 > k->step) {
		k->phase = time * CLOCK_SCALE; /* messages were lost, or it is not periodic */
	} else {
		k->phase += error / CLOCK_PULL;
		k->step += error / CLOCK_PULL_PERIOD;
	}
	if (k->n_leader)
		k->lag = time - k->leader[k->at];
}

/* The first time, less the leader's, less what is expected of that. Modulo 2^64. */
range_inline uint64_t first_time(struct section *s, const enum code code, uint64_t off, bool led,
				 const struct time_prior *prior)
{
	struct number_model *m = &s->models.time;
	uint64_t expected = 0;

	if (prior) {
		m = &s->models.time_off[led ? prior->shape_led : prior->shape];
		expected = (uint64_t)(led ? prior->time_led : prior->time);
	}
	off = number(&s->range, code, m, zigzag_encode((int64_t)(off - expected)));
	return expected + (uint64_t)zigzag_decode(off);
}

range_inline uint64_t first_step(struct section *s, const enum code code, uint64_t step,
				 const struct time_prior *prior)
{
	struct section_models *m = &s->models;
	uint64_t expected;

	if (!prior)
		return number(&s->range, code, &m->period, step);
	expected = (uint64_t)prior->period;
	step = number(&s->range, code, &m->period_off, zigzag_encode((int64_t)(step - expected)));
	return expected + (uint64_t)zigzag_decode(step);
}

static inline int64_t time_bound(uint64_t t)
{
	return (int64_t)(t & ((1ull << TIME_BITS) - 1));
}

range_inline void times(struct section *s, const enum code code, int64_t *t, size_t n,
			const int64_t *leader, size_t n_leader, const struct time_prior *prior)
{
	struct clock k = {.leader = leader, .n_leader = n_leader};
	const int64_t base = n_leader ? leader[0] : 0;
	struct section_models *m = &s->models;
	struct range range;
	struct history h = {0};
	uint64_t v;

	v = first_time(s, code, (uint64_t)(t[0] - base), n_leader > 0, prior);
	t[0] = time_bound((uint64_t)base + v);
	if (n == 1)
		return;
	v = first_step(s, code, (uint64_t)(t[1] - t[0]), prior);
	t[1] = time_bound((uint64_t)t[0] + v);
	clock_start(&k, t[0], t[1]);
	if (prior)
		h.length = h.length_before = prior->length;
	range = s->range;
	for (size_t i = 2; i < n; i++) {
		int64_t expected = clock_expect(&k);
		int64_t error = residual(&range, code, &m->times[k.follows], &h, NEAR_NOTHING,
					 t[i] - expected);

		if (reads(code))
			t[i] = time_bound((uint64_t)expected + (uint64_t)error);
		clock_learn(&k, t[i]);
	}
	s->range = range;
}

/* ---- columns ---- */

/* v as a number of `width` bits, extended to 64. */
static inline uint64_t extend(uint64_t v, unsigned int width, bool is_signed)
{
	unsigned int drop = 64 - width;

	return is_signed ? (uint64_t)((int64_t)(v << drop) >> drop) : v << drop >> drop;
}

range_inline void presence(struct section *s, const enum code code, struct column *c)
{
	struct section_models *m = &s->models;
	unsigned int before = 0;
	struct range range;
	size_t n = 0;

	c->same = range_bit(&s->range, code, &m->same, c->same);
	if (c->same)
		return;
	range = s->range;
	for (size_t i = 0; i < c->rows; i++) {
		unsigned int column_before = c->present[i] >> (reads(code) ? 0 : 1) & 1;
		unsigned int context = before << 1 | column_before;
		int bit = range_bit(&range, code, &m->present[context], c->present[i] & 1);

		before = (before << 1 | (unsigned int)bit) & 7;
		c->present[i] = (uint8_t)bit;
		n += (unsigned int)bit;
	}
	c->n = n;
	s->range = range;
}

static inline bool is_narrow(const struct column *c)
{
	uint64_t odd = 0;

	for (size_t i = 0; i < c->n; i++)
		odd |= c->values[i] ^ extend(c->values[i], c->width, c->is_signed);
	return odd == 0;
}

/* bits: about what its changes take. */
static inline enum column_kind best_kind(const struct column *c, uint64_t *ret_bits)
{
	uint64_t delta_bits = 0, linear_bits = 0, before = 0;

	for (size_t i = 1; i < c->n; i++) {
		uint64_t delta = extend(c->values[i] - c->values[i - 1], c->width, true);
		uint64_t linear = extend(delta - before, c->width, true);

		delta_bits += bit_length(zigzag_encode((int64_t)delta));
		linear_bits += bit_length(zigzag_encode((int64_t)linear));
		before = delta;
	}
	*ret_bits = linear_bits < delta_bits ? linear_bits : delta_bits;
	if (delta_bits == 0)
		return COLUMN_CONSTANT;
	return linear_bits < delta_bits ? COLUMN_LINEAR : COLUMN_DELTA;
}

range_inline enum column_kind kind(struct section *s, const enum code code, const struct column *c,
				   unsigned int class, enum column_kind k)
{
	bool known = c->prior && c->prior->kind;
	struct bit *m = known ? s->models.kind_off[c->prior->kind - 1] : s->models.kind[class];

	if (range_bit(&s->range, code, &m[0], k == COLUMN_CONSTANT))
		return COLUMN_CONSTANT;
	return range_bit(&s->range, code, &m[1], k == COLUMN_LINEAR) ? COLUMN_LINEAR : COLUMN_DELTA;
}

enum { LONG_COLUMN = 256 };

static inline void cut(struct bit *b, size_t n)
{
	enum { TRUST = 4 };

	for (size_t i = 0; i < n; i++)
		b[i].seen = b[i].seen < TRUST ? b[i].seen : TRUST;
}

/* What a long column has learnt is where the next of its class begins, but soon forgotten. */
static inline void forget(struct residual_model *m)
{
	cut(m->zero[0], sizeof(m->zero) / sizeof(struct bit));
	cut(m->sign[0], sizeof(m->sign) / sizeof(struct bit));
	cut(m->length[0], sizeof(m->length) / sizeof(struct bit));
}

/* Format 0: all of the model, after any column. Only bits that this column may have seen can need
 * it. */
static inline void forget_0(struct residual_model *m, const struct history *h)
{
	unsigned int longest = bit_length(h->together);
	size_t lengths = longest < LENGTHS_NEAR ? longest + 1 : LENGTHS_NEAR;

	for (uint32_t left = h->touched; left; left &= left - 1) {
		unsigned int act = (unsigned int)__builtin_ctz(left);

		cut(m->zero[act], array_len(m->zero[act]));
		cut(m->length[act], lengths);
	}
	cut(m->sign[0], sizeof(m->sign) / sizeof(struct bit));
	cut(m->high[0], (longest + 1) * array_len(m->high[0]));
	if (longest >= LENGTHS_NEAR)
		cut(m->longer, longest + 1);
}

range_inline void changes(struct section *s, const enum code code, struct column *c,
			  enum column_kind k, struct residual_model *m)
{
	struct range range = s->range; /* in registers */
	struct history h = {0};
	uint64_t value = c->values[0], step = 0;
	size_t row = 0;

	if (c->prior)
		h.length = h.length_before = c->prior->length;
	while (!c->present[row])
		row++;
	for (size_t i = 1; i < c->n; i++) {
		uint64_t expected = value + (k == COLUMN_LINEAR ? step : 0);
		int64_t diff = 0;

		do
			row++;
		while (!c->present[row]);
		if (!reads(code))
			diff = (int64_t)extend(c->values[i] - expected, c->width, true);
		diff = residual(&range, code, m, &h, (enum near)c->near[row], diff);
		c->near[row] = (uint8_t)h.sign;
		if (reads(code))
			c->values[i] = extend(expected + (uint64_t)diff, c->width, c->is_signed);
		step = c->values[i] - value;
		value = c->values[i];
	}
	s->range = range;
	if (code == CODE_DECODE_0)
		forget_0(m, &h);
	else if (c->n >= LONG_COLUMN)
		forget(m);
}

/* As it is, or as its difference from the first value of the last column of about its width:
 * counters, wheels and radar tracks come in herds. */
range_inline uint64_t first_unknown(struct section *s, const enum code code, const struct column *c,
				    unsigned int class)
{
	struct section_models *m = &s->models;
	uint64_t v = reads(code) ? 0 : extend(c->values[0], c->width, false);
	uint64_t last = s->last_first[class];
	uint64_t diff = zigzag_encode((int64_t)extend(v - last, c->width, true));

	if (range_bit(&s->range, code, &m->alike[class], bit_length(diff) + 2 < bit_length(v))) {
		diff = number(&s->range, code, &m->diff[class], diff);
		v = extend(last + (uint64_t)zigzag_decode(diff), c->width, false);
	} else {
		v = extend(number(&s->range, code, &m->first[class], v), c->width, false);
	}
	s->last_first[class] = v;
	return extend(v, c->width, c->is_signed);
}

/* As its difference from what a dictionary expects, if it can from another's first value. */
range_inline uint64_t first_known(struct section *s, const enum code code, const struct column *c)
{
	const struct column_prior *p = c->prior;
	uint64_t v = reads(code) ? 0 : c->values[0], expected = (uint64_t)p->base, diff;
	unsigned int shape = p->shape;

	if (p->ref && s->slots[p->ref - 1].section == s->number) {
		uint64_t ref = s->slots[p->ref - 1].value * (uint64_t)(int64_t)p->slope;

		expected = (uint64_t)p->base_ref + (uint64_t)((int64_t)ref >> 16);
		shape = p->shape_ref;
	}
	diff = zigzag_encode((int64_t)extend(v - expected, c->width, true));
	diff = number(&s->range, code, &s->models.first_off[shape], diff);
	v = extend(expected + (uint64_t)zigzag_decode(diff), c->width, c->is_signed);
	if (p->slot)
		s->slots[p->slot - 1] = (struct slot){.value = v, .section = s->number};
	return v;
}

range_inline void column(struct section *s, const enum code code, struct column *c)
{
	unsigned int class = width_class(c->width);
	enum column_kind k = COLUMN_CONSTANT;
	uint64_t bits;

	presence(s, code, c);
	if (c->n == 0 || (reads(code) && c->n > c->room))
		return;
	if (!range_bit(&s->range, code, &s->models.narrow, reads(code) || is_narrow(c)))
		c->width = 64;
	c->values[0] = c->prior ? first_known(s, code, c) : first_unknown(s, code, c, class);
	if (c->n == 1)
		return;
	k = kind(s, code, c, class, reads(code) ? k : best_kind(c, &bits));
	if (k == COLUMN_CONSTANT) {
		for (size_t i = 1; reads(code) && i < c->n; i++)
			c->values[i] = c->values[0];
		return;
	}
	changes(s, code, c, k, &s->models.residuals[c->prior ? c->prior->class : class]);
}

/* The four directions of a section. */
#define SECTION_CODE(name, code)                                                                   \
	static uint64_t name##_number(struct section *s, struct number_model *m, uint64_t v)       \
	{                                                                                          \
		return number(&s->range, code, m, v);                                              \
	}                                                                                          \
	static bool name##_flag(struct section *s, struct bit *b, bool v)                          \
	{                                                                                          \
		return range_bit(&s->range, code, b, v);                                           \
	}                                                                                          \
	static void name##_times(struct section *s, int64_t *t, size_t n, const int64_t *leader,   \
				 size_t n_leader, const struct time_prior *prior)                  \
	{                                                                                          \
		times(s, code, t, n, leader, n_leader, prior);                                     \
	}                                                                                          \
	static void name##_column(struct section *s, struct column *c)                             \
	{                                                                                          \
		column(s, code, c);                                                                \
	}                                                                                          \
	const struct section_code name = {name##_number, name##_flag, name##_times, name##_column}
