#include "agent/decode/plan_internal.h"

#include <endian.h>
#include <string.h>

enum { TAIL = 16 };

/* A payload made safe to read 9 bytes from any of its bytes on. */
struct padded {
	const uint8_t *data;
	size_t len;
	uint64_t word[2];	 /* all of it when len <= 8: little endian, big endian */
	size_t tail_from;	 /* tail holds the payload from here on, */
	uint8_t tail[TAIL + 16]; /* with zeros after it; filled when len > 8 */
};

static uint64_t load_le(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static void payload_short(struct padded *pl)
{
	uint8_t bytes[8] = {0};

	if (pl->len == 8) {
		pl->word[0] = load_le(pl->data);
	} else {
		for (size_t i = 0; i < pl->len; i++)
			bytes[i] = pl->data[i];
		pl->word[0] = load_le(bytes);
	}
	pl->word[1] = __builtin_bswap64(pl->word[0]);
}

static void payload_init(struct padded *pl, const uint8_t *data, size_t len)
{
	size_t n;

	pl->data = data;
	pl->len = len;
	if (len <= 8) {
		payload_short(pl);
		return;
	}
	pl->tail_from = len > TAIL ? len - TAIL : 0;
	n = len - pl->tail_from;
	memcpy(pl->tail, data + pl->tail_from, n);
	memset(pl->tail + n, 0, sizeof(pl->tail) - n);
}

static uint64_t finish(const struct plan_op *op, uint64_t v)
{
	v &= op->mask;
	return (v ^ op->sign) - op->sign;
}

static uint64_t extract_short(const struct padded *pl, const struct plan_op *op)
{
	return finish(op, pl->word[op->big] >> op->shift8);
}

static uint64_t extract_long(const struct padded *pl, const struct plan_op *op)
{
	const uint8_t *p;
	uint64_t v;

	/* need <= len was checked, so byte < len. */
	if ((size_t)op->byte + 9 <= pl->len)
		p = pl->data + op->byte;
	else
		p = pl->tail + (op->byte - pl->tail_from);
	v = load_le(p);
	if (op->big)
		v = __builtin_bswap64(v);
	if (!op->extra)
		return finish(op, v >> op->shift);
	if (op->big)
		return finish(op, v << op->extra | p[8] >> (8 - op->extra));
	return finish(op, v >> op->shift | (uint64_t)p[8] << (64 - op->shift));
}

static uint64_t extract(const struct padded *pl, const struct plan_op *op)
{
	return pl->len <= 8 ? extract_short(pl, op) : extract_long(pl, op);
}

/* A run of which some signals lie beyond the payload. */
static struct sample *emit_cut(const struct padded *pl, const struct plan_op *op,
			       const struct plan_op *end, struct sample *out)
{
	for (; op < end; op++)
		if (op->need <= pl->len)
			*out++ = (struct sample){.signal = op->signal, .raw = extract(pl, op)};
	return out;
}

static struct sample *emit(const struct plan *p, const struct padded *pl,
			   const struct plan_run *run, struct sample *out)
{
	const struct plan_op *op = p->ops + run->first, *end = op + run->n;

	if (run->need > pl->len)
		return emit_cut(pl, op, end, out);
	if (pl->len <= 8) {
		for (; op < end; op++, out++) {
			out->signal = op->signal;
			out->raw = extract_short(pl, op);
		}
	} else {
		for (; op < end; op++, out++) {
			out->signal = op->signal;
			out->raw = extract_long(pl, op);
		}
	}
	return out;
}

static bool in_ranges(const struct catalog_range *r, size_t n, uint64_t raw)
{
	for (size_t i = 0; i < n; i++)
		if (raw >= r[i].from && raw <= r[i].to)
			return true;
	return false;
}

/* Lists of runs that one frame's multiplexors select, to be merged. */
struct selection {
	struct plan_list lists[PLAN_MUXES_MAX + 1];
	size_t n;
};

static void select_list(struct selection *s, const struct plan_list *l)
{
	if (l->n)
		s->lists[s->n++] = *l;
}

static void select_by_value(struct selection *s, const struct plan *p, const struct plan_mux *m,
			    uint64_t raw)
{
	const struct plan_interval *iv;
	size_t lo = 0, hi = m->n; /* the answer is before hi */

	if (hi == 0)
		return; /* nothing wanted depends on it */
	iv = p->intervals + m->first;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (iv[mid].from <= raw)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo > 0)
		select_list(s, &iv[lo - 1].runs);
}

static void select_runs(struct selection *s, const struct plan *p, const struct plan_message *m,
			const struct padded *pl)
{
	uint64_t raw[PLAN_MUXES_MAX];
	uint32_t present = 0;

	s->n = 0;
	select_list(s, &m->always);
	for (uint32_t i = 0; i < m->n_muxes; i++) {
		const struct plan_mux *mux = &p->muxes[m->first_mux + i];

		if (mux->op.need > pl->len)
			continue;
		if (mux->parent != CATALOG_NONE &&
		    (!(present & (uint32_t)1 << mux->parent) ||
		     !in_ranges(mux->ranges, mux->n_ranges, raw[mux->parent])))
			continue;
		present |= (uint32_t)1 << i;
		raw[i] = extract(pl, &mux->op);
		select_by_value(s, p, mux, raw[i]);
	}
}

/* The list whose next run comes first. Seldom more than two or three. */
static struct plan_list *first_list(struct selection *s, const struct plan *p)
{
	struct plan_list *best = &s->lists[0];

	for (size_t i = 1; i < s->n; i++)
		if (p->runs[s->lists[i].first].first < p->runs[best->first].first)
			best = &s->lists[i];
	return best;
}

static struct sample *emit_muxed(const struct plan *p, const struct plan_message *m,
				 const struct padded *pl, struct sample *out)
{
	struct selection s;
	struct plan_list *l;

	select_runs(&s, p, m, pl);
	while (s.n > 0) {
		l = first_list(&s, p);
		out = emit(p, pl, &p->runs[l->first++], out);
		if (--l->n == 0)
			*l = s.lists[--s.n];
	}
	return out;
}

/* Follows the signal's multiplexors upwards. */
static bool is_present(const struct plan *p, uint32_t signal, const struct padded *pl)
{
	const struct catalog_signal *s = &p->cat->signals[signal];
	struct plan_op op;

	for (; s->mux != CATALOG_NONE; s = &p->cat->signals[s->mux]) {
		plan_op_set(&op, &p->cat->signals[s->mux], s->mux);
		if (op.need > pl->len ||
		    !in_ranges(s->mux_ranges, s->n_mux_ranges, extract(pl, &op)))
			return false;
	}
	return true;
}

static struct sample *emit_walk(const struct plan *p, const struct plan_message *m,
				const struct padded *pl, struct sample *out)
{
	const struct plan_op *op = p->ops + m->first_op;

	for (uint32_t i = 0; i < m->n_ops; i++)
		if (op[i].need <= pl->len && is_present(p, op[i].signal, pl))
			out = emit_cut(pl, &op[i], &op[i] + 1, out);
	return out;
}

size_t plan_decode(const struct plan *p, uint32_t message, const uint8_t *data, size_t len,
		   struct sample *out)
{
	const struct plan_message *m;
	const struct sample *first = out;
	struct padded pl;

	if (message >= p->cat->n_messages)
		return 0;
	m = &p->messages[message];
	if (m->n_ops == 0)
		return 0;
	payload_init(&pl, data, len);
	if (m->walk)
		out = emit_walk(p, m, &pl, out);
	else if (m->n_muxes == 0 && m->always.n == 1)
		out = emit(p, &pl, &p->runs[m->always.first], out);
	else
		out = emit_muxed(p, m, &pl, out);
	return (size_t)(out - first);
}

static uint32_t find(const struct plan *p, uint64_t key)
{
	size_t mask = ((size_t)1 << p->slot_bits) - 1;
	size_t i = plan_slot_of(p, key);

	while (p->slots[i].message != CATALOG_NONE && p->slots[i].key != key)
		i = (i + 1) & mask;
	return p->slots[i].message;
}

uint32_t plan_message(const struct plan *p, uint16_t bus, uint32_t id, bool extended)
{
	uint32_t message = find(p, plan_key(bus, id, extended));

	if (message == CATALOG_NONE && extended && p->has_pgns)
		message = find(p, plan_key_pgn(bus, id));
	return message;
}

uint32_t plan_carried(const struct plan *p, uint16_t bus, uint32_t id)
{
	for (uint32_t priority = 0; priority < 8; priority++) {
		uint32_t own = (id & 0x3FFFFFF) | priority << 26;
		uint32_t message = find(p, plan_key(bus, own, true));

		if (message != CATALOG_NONE && p->cat->messages[message].j1939)
			return message;
	}
	return p->has_pgns ? find(p, plan_key_pgn(bus, id)) : CATALOG_NONE;
}

uint32_t plan_status(const struct plan *p, uint16_t bus)
{
	return find(p, plan_key_status(bus));
}

bool plan_wants(const struct plan *p, uint32_t message)
{
	return message < p->cat->n_messages && p->messages[message].n_ops > 0;
}

size_t plan_samples_max(const struct plan *p)
{
	return p->samples_max;
}
