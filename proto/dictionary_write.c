/* A dictionary's bytes. */
#include "proto/dictionary_private.h"

#include <string.h>

static void put_signal(const struct column_prior *s, struct buf *out)
{
	bool never = s->used == USED_NEVER;
	unsigned int first = (unsigned int)s->used << PRIOR_USED |
			     (unsigned int)s->kind << PRIOR_KIND |
			     (unsigned int)s->class << PRIOR_CLASS;

	if (!never)
		first |= (unsigned int)(s->slot > 0) << PRIOR_SLOT | (unsigned int)(s->ref > 0)
									     << PRIOR_REF;
	buf_put_u8(out, (uint8_t)first);
	if (never)
		return;
	buf_put_u8(out, s->length);
	buf_put_varint(out, zigzag_encode(s->base));
	buf_put_u8(out, s->shape);
	if (s->ref == 0)
		return;
	buf_put_varint(out, s->ref - 1u);
	buf_put_varint(out, zigzag_encode(s->slope));
	buf_put_varint(out, zigzag_encode(s->base_ref));
	buf_put_u8(out, s->shape_ref);
}

static void put_message(const struct dictionary_message *m, uint32_t skip, struct buf *out)
{
	buf_put_varint(out, skip);
	buf_put_u8(out, m->presence);
	buf_put_varint(out, m->leader == CATALOG_NONE ? 0 : m->message - m->leader);
	buf_put_varint(out, (uint64_t)m->rows);
	buf_put_varint(out, zigzag_encode(m->times.period));
	buf_put_varint(out, zigzag_encode(m->times.time));
	buf_put_varint(out, zigzag_encode(m->times.time_led));
	buf_put_u8(out, m->times.shape);
	buf_put_u8(out, m->times.shape_led);
	buf_put_u8(out, m->times.length);
}

/* The byte whose value is nearest to p. */
static uint8_t state_byte(uint16_t p)
{
	uint32_t nearest = UINT32_MAX;
	uint8_t best = 0;

	for (unsigned int q = 0; q < 256; q++) {
		uint32_t v = dictionary_state_value((uint8_t)q), off = v > p ? v - p : p - v;

		if ((q >> STATE_FINE & 15) > STATE_SCALE_MAX || v - 1 >= 65535 || off >= nearest)
			continue;
		nearest = off;
		best = (uint8_t)q;
	}
	return best;
}

static bool is_untouched(const struct bit *b)
{
	return b->seen == 0;
}

static void put_states(const struct section_models *models, struct buf *out)
{
	const struct bit *b = (const struct bit *)models;
	size_t n = dictionary_states(), at = 0;

	while (at < n) {
		size_t from = at;

		while (at < n && is_untouched(&b[at]))
			at++;
		buf_put_varint(out, at - from);
		for (from = at; at < n && !is_untouched(&b[at]);)
			at++;
		buf_put_varint(out, at - from);
		for (; from < at; from++) {
			buf_put_u8(out, (uint8_t)b[from].seen);
			buf_put_u8(out, state_byte(b[from].p));
		}
	}
}

int dictionary_build(struct dictionary **ret, const struct catalog *cat,
		     const struct dictionary *from, struct error *err)
{
	struct buf out cleanup(buf_free) = BUF_INIT(DICTIONARY_BYTES_MAX);
	uint32_t next = 0;

	buf_put_varint(&out, DICTIONARY_FORMAT);
	buf_put_fixed64(&out, cat->id);
	buf_put_varint(&out, from->n_messages);
	for (size_t i = 0; i < from->n_messages; i++) {
		const struct dictionary_message *m = &from->messages[i];

		put_message(m, m->message - next, &out);
		for (uint32_t s = 0; s < cat->messages[m->message].n_signals; s++)
			put_signal(&from->signals[m->first_entry + s], &out);
		next = m->message + 1;
	}
	put_states(&from->models, &out);
	if (out.failed) {
		error_set(err, "dictionary: more than %d bytes, or no memory",
			  DICTIONARY_BYTES_MAX);
		return out.failed;
	}
	return dictionary_load(ret, cat, out.data, out.len, err);
}
