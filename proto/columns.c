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

static unsigned int width_class(unsigned int width)
{
	return width <= 2 ? 0 : width <= 8 ? 1 : width <= 16 ? 2 : 3;
}

/* ---- numbers ---- */

/* The bits of v below its leading one, of a v that is `length` bits long. */
range_inline uint64_t low_bits(struct range *r, const bool decoding, unsigned int length,
			       uint64_t v)
{
	if (length < 2)
		return length;
	return 1ull << (length - 1) | range_raw(r, decoding, length - 1, v);
}

range_inline uint64_t number(struct range *r, const bool decoding, struct number_model *m,
			     uint64_t v)
{
	unsigned int wanted = bit_length(v), length = 0;

	while (length < LENGTHS - 1 &&
	       !range_bit(r, decoding, &m->length[length], length == wanted))
		length++;
	return low_bits(r, decoding, length, v);
}

uint64_t section_number(struct section *s, struct number_model *m, uint64_t v)
{
	return s->decoding ? number(&s->range, true, m, v) : number(&s->range, false, m, v);
}

bool section_flag(struct section *s, struct bit *b, bool v)
{
	return s->decoding ? range_bit(&s->range, true, b, v) : range_bit(&s->range, false, b, v);
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

range_inline unsigned int residual_length(struct range *r, const bool decoding,
					  struct residual_model *m, unsigned int act,
					  unsigned int wanted)
{
	unsigned int length = 1;

	while (length < LENGTHS_NEAR) {
		if (range_bit(r, decoding, &m->length[act][length], length == wanted))
			return length;
		length++;
	}
	while (length < LENGTHS - 1 &&
	       !range_bit(r, decoding, &m->longer[length], length == wanted))
		length++;
	return length;
}

/* The two highest bits below the leading one are modelled, the rest is noise. */
range_inline uint64_t residual_magnitude(struct range *r, const bool decoding,
					 struct residual_model *m, unsigned int length, uint64_t v)
{
	unsigned int low = length - 1, node = 1;
	uint64_t high = 1;

	for (unsigned int i = 0; i < 2 && low > 0; i++) {
		low--;
		int bit = range_bit(r, decoding, &m->high[length][node], (int)(v >> low & 1));

		node = node * 2 + (unsigned int)bit;
		high = high << 1 | (unsigned int)bit;
		if (i == 0)
			node = bit ? 3 : 2;
	}
	if (low == 0)
		return high;
	return high << low | range_raw(r, decoding, low, v);
}

range_inline int64_t residual(struct range *r, const bool decoding, struct residual_model *m,
			      struct history *h, enum near near, int64_t v)
{
	unsigned int act = activity(h), length;
	uint64_t magnitude = v < 0 ? -(uint64_t)v : (uint64_t)v;
	int less;

	h->length_before = h->length;
	h->touched |= 1u << act;
	if (range_bit(r, decoding, &m->zero[act][near], v == 0)) {
		h->length = 0;
		h->sign = NEAR_ZERO;
		return 0;
	}
	less = range_bit(r, decoding, &m->sign[h->sign ? h->sign - 1 : 0][near], v < 0);
	length = residual_length(r, decoding, m, act, bit_length(magnitude));
	magnitude = residual_magnitude(r, decoding, m, length, magnitude);
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

range_inline void times(struct section *s, const bool decoding, int64_t *t, size_t n,
			const int64_t *leader, size_t n_leader)
{
	struct clock k = {.leader = leader, .n_leader = n_leader};
	const int64_t base = n_leader ? leader[0] : 0;
	struct section_models *m = &s->models;
	struct range range;
	struct history h = {0};
	uint64_t v;

	v = number(&s->range, decoding, &m->time, zigzag_encode(t[0] - base));
	t[0] = (base + zigzag_decode(v)) & ((1ll << TIME_BITS) - 1);
	if (n == 1)
		return;
	v = number(&s->range, decoding, &m->period, (uint64_t)(t[1] - t[0]));
	t[1] = (int64_t)((uint64_t)t[0] + v) & ((1ll << TIME_BITS) - 1);
	clock_start(&k, t[0], t[1]);
	range = s->range;
	for (size_t i = 2; i < n; i++) {
		int64_t expected = clock_expect(&k);
		int64_t error = residual(&range, decoding, &m->times[k.follows], &h, NEAR_NOTHING,
					 t[i] - expected);

		if (decoding)
			t[i] = (int64_t)((uint64_t)expected + (uint64_t)error) &
			       ((1ll << TIME_BITS) - 1);
		clock_learn(&k, t[i]);
	}
	s->range = range;
}

void section_times(struct section *s, int64_t *t, size_t n, const int64_t *leader, size_t n_leader)
{
	if (s->decoding)
		times(s, true, t, n, leader, n_leader);
	else
		times(s, false, t, n, leader, n_leader);
}

uint64_t section_times_cost(const int64_t *t, size_t n, const int64_t *leader, size_t n_leader)
{
	struct clock k = {.leader = leader, .n_leader = n_leader};
	uint64_t cost = bit_length(zigzag_encode(t[0] - (n_leader ? leader[0] : 0)));

	if (n > 1)
		clock_start(&k, t[0], t[1]);
	for (size_t i = 2; i < n; i++) {
		cost += bit_length(zigzag_encode(t[i] - clock_expect(&k)));
		clock_learn(&k, t[i]);
	}
	return cost;
}

/* ---- columns ---- */

/* v as a number of `width` bits, extended to 64. */
static inline uint64_t extend(uint64_t v, unsigned int width, bool is_signed)
{
	unsigned int drop = 64 - width;

	return is_signed ? (uint64_t)((int64_t)(v << drop) >> drop) : v << drop >> drop;
}

range_inline void presence(struct section *s, const bool decoding, struct column *c)
{
	struct section_models *m = &s->models;
	unsigned int before = 0;
	struct range range;
	size_t n = 0;

	c->same = range_bit(&s->range, decoding, &m->same, c->same);
	if (c->same)
		return;
	range = s->range;
	for (size_t i = 0; i < c->rows; i++) {
		unsigned int column_before = c->present[i] >> (decoding ? 0 : 1) & 1;
		unsigned int context = before << 1 | column_before;
		int bit = range_bit(&range, decoding, &m->present[context], c->present[i] & 1);

		before = (before << 1 | (unsigned int)bit) & 7;
		c->present[i] = (uint8_t)bit;
		n += (unsigned int)bit;
	}
	c->n = n;
	s->range = range;
}

static bool is_narrow(const struct column *c)
{
	uint64_t odd = 0;

	for (size_t i = 0; i < c->n; i++)
		odd |= c->values[i] ^ extend(c->values[i], c->width, c->is_signed);
	return odd == 0;
}

static enum column_kind best_kind(const struct column *c)
{
	uint64_t delta_bits = 0, linear_bits = 0, before = 0;

	for (size_t i = 1; i < c->n; i++) {
		uint64_t delta = extend(c->values[i] - c->values[i - 1], c->width, true);
		uint64_t linear = extend(delta - before, c->width, true);

		delta_bits += bit_length(zigzag_encode((int64_t)delta));
		linear_bits += bit_length(zigzag_encode((int64_t)linear));
		before = delta;
	}
	if (delta_bits == 0)
		return COLUMN_CONSTANT;
	return linear_bits < delta_bits ? COLUMN_LINEAR : COLUMN_DELTA;
}

range_inline enum column_kind kind(struct section *s, const bool decoding, unsigned int class,
				   enum column_kind k)
{
	struct bit *m = s->models.kind[class];

	if (range_bit(&s->range, decoding, &m[0], k == COLUMN_CONSTANT))
		return COLUMN_CONSTANT;
	return range_bit(&s->range, decoding, &m[1], k == COLUMN_LINEAR) ? COLUMN_LINEAR
									 : COLUMN_DELTA;
}

static void cut(struct bit *b, size_t n)
{
	enum { TRUST = 4 };

	for (size_t i = 0; i < n; i++)
		b[i].seen = b[i].seen < TRUST ? b[i].seen : TRUST;
}

/* What a column has learnt is where the next of its width begins, but soon forgotten. Only bits
 * that this column may have seen can need it. */
static void forget(struct residual_model *m, const struct history *h)
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

range_inline void changes(struct section *s, const bool decoding, struct column *c,
			  enum column_kind k, struct residual_model *m)
{
	struct range range = s->range; /* in registers */
	struct history h = {0};
	uint64_t value = c->values[0], step = 0;
	size_t row = 0;

	while (!c->present[row])
		row++;
	for (size_t i = 1; i < c->n; i++) {
		uint64_t expected = value + (k == COLUMN_LINEAR ? step : 0);
		int64_t diff = 0;

		do
			row++;
		while (!c->present[row]);
		if (!decoding)
			diff = (int64_t)extend(c->values[i] - expected, c->width, true);
		diff = residual(&range, decoding, m, &h, (enum near)c->near[row], diff);
		c->near[row] = (uint8_t)h.sign;
		if (decoding)
			c->values[i] = extend(expected + (uint64_t)diff, c->width, c->is_signed);
		step = c->values[i] - value;
		value = c->values[i];
	}
	s->range = range;
	forget(m, &h);
}

/* As it is, or as its difference from the first value of the last column of about its width:
 * counters, wheels and radar tracks come in herds. */
range_inline uint64_t first_value(struct section *s, const bool decoding, const struct column *c,
				  unsigned int class)
{
	struct section_models *m = &s->models;
	uint64_t v = decoding ? 0 : extend(c->values[0], c->width, false);
	uint64_t last = s->last_first[class];
	uint64_t diff = zigzag_encode((int64_t)extend(v - last, c->width, true));

	if (range_bit(&s->range, decoding, &m->alike[class],
		      bit_length(diff) + 2 < bit_length(v))) {
		diff = number(&s->range, decoding, &m->diff[class], diff);
		v = extend(last + (uint64_t)zigzag_decode(diff), c->width, false);
	} else {
		v = extend(number(&s->range, decoding, &m->first[class], v), c->width, false);
	}
	s->last_first[class] = v;
	return extend(v, c->width, c->is_signed);
}

range_inline void column(struct section *s, const bool decoding, struct column *c)
{
	unsigned int class = width_class(c->width);
	enum column_kind k = COLUMN_CONSTANT;

	presence(s, decoding, c);
	if (c->n == 0 || (decoding && c->n > c->room))
		return;
	if (!range_bit(&s->range, decoding, &s->models.narrow, decoding || is_narrow(c)))
		c->width = 64;
	c->values[0] = first_value(s, decoding, c, class);
	if (c->n == 1)
		return;
	k = kind(s, decoding, class, decoding ? k : best_kind(c));
	if (k == COLUMN_CONSTANT) {
		for (size_t i = 1; decoding && i < c->n; i++)
			c->values[i] = c->values[0];
		return;
	}
	changes(s, decoding, c, k, &s->models.residuals[class]);
}

void section_columns_start(struct column *c, const int64_t *t)
{
	memset(c->present, 1, c->rows);
	memset(c->near, NEAR_NOTHING, c->rows);
	c->n = c->rows;
	for (size_t i = 2; i < c->rows; i++) {
		int64_t step = t[i - 1] - t[i - 2], more = t[i] - t[i - 1] - step;

		c->near[i] = more > step / 4 ? NEAR_MORE : -more > step / 4 ? NEAR_LESS : NEAR_ZERO;
	}
}

void section_column(struct section *s, struct column *c)
{
	if (s->decoding)
		column(s, true, c);
	else
		column(s, false, c);
}

/* ---- sections ---- */

/* Copies what is there until all is: memcpy is the fastest way to fill 23 KB, and small batches
 * cost little more than this. */
static void models_init(struct section_models *m)
{
	const size_t n = sizeof(*m) / sizeof(struct bit);
	struct bit *b = (struct bit *)m;

	b[0] = bit_init();
	for (size_t have = 1; have < n; have *= 2)
		memcpy(b + have, b, (have < n - have ? have : n - have) * sizeof(*b));
}

void section_encode(struct section *s, struct buf *out)
{
	models_init(&s->models);
	memset(s->last_first, 0, sizeof(s->last_first));
	s->decoding = false;
	range_encode_start(&s->range, out);
}

void section_encode_end(struct section *s)
{
	range_encode_end(&s->range);
}

void section_decode(struct section *s, const uint8_t *data, size_t len)
{
	models_init(&s->models);
	memset(s->last_first, 0, sizeof(s->last_first));
	s->decoding = true;
	range_decode_start(&s->range, data, len);
}
