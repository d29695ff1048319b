#include "proto/columns_model.h"

SECTION_CODE(section_encoding, CODE_ENCODE);
SECTION_CODE(section_decoding, CODE_DECODE);
SECTION_CODE(section_decoding_0, CODE_DECODE_0);

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

/* ---- sections ---- */

/* Copies what is there until all is: memcpy is the fastest way to fill 30 KB, and small batches
 * cost little more than this. */
void section_models_init(struct section_models *m)
{
	const size_t n = sizeof(*m) / sizeof(struct bit);
	struct bit *b = (struct bit *)m;

	b[0] = bit_init();
	for (size_t have = 1; have < n; have *= 2)
		memcpy(b + have, b, (have < n - have ? have : n - have) * sizeof(*b));
}

static void start(struct section *s)
{
	if (s->preset)
		s->models = *s->preset;
	else
		section_models_init(&s->models);
	memset(s->last_first, 0, sizeof(s->last_first));
	s->number++;
}

void section_encode(struct section *s, const struct section_code *code, struct buf *out)
{
	start(s);
	s->code = code;
	range_encode_start(&s->range, out);
}

void section_encode_end(struct section *s)
{
	range_encode_end(&s->range);
}

void section_decode(struct section *s, const struct section_code *code, const uint8_t *data,
		    size_t len)
{
	start(s);
	s->code = code;
	range_decode_start(&s->range, data, len);
}
