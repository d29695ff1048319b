/* A catalog and frames from the input: the plan against a decoder that takes a bit at a time, and
 * ISO-TP with whatever comes. Payloads end where their memory ends. */
#include "agent/decode/decode.h"
#include "base/bytes.h"

#include <stdio.h>
#include <string.h>

enum { SIGNALS = 48, MESSAGES = 6, NAME = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct catalog_signal signals[SIGNALS];
	struct catalog_message messages[MESSAGES];
	struct catalog_range ranges[SIGNALS];
	char names[SIGNALS + MESSAGES][NAME];
	const char *bus;
	struct catalog desc;
};

static void read_signal(struct cursor *c, struct world *w, uint32_t message, uint32_t first)
{
	uint32_t n = (uint32_t)w->desc.n_signals++;
	struct catalog_signal *s = &w->signals[n];
	uint8_t flags = cursor_u8(c);

	snprintf(w->names[n], NAME, "s%u", n);
	*s = (struct catalog_signal){.name = w->names[n],
				     .message = message,
				     .unit = "",
				     .comment = "",
				     .factor = 1,
				     .mux = CATALOG_NONE};
	s->big_endian = flags & 1;
	s->kind = flags & 2 ? SIGNAL_SIGNED : SIGNAL_UNSIGNED;
	s->is_mux = flags & 4;
	s->start_bit = (uint16_t)(cursor_u8(c) | (flags & 8 ? 0x100 : 0));
	s->bits = 1 + cursor_u8(c) % 64;
	if (!(flags & 16) || n == first)
		return;
	s->mux = first + cursor_u8(c) % (n - first);
	w->signals[s->mux].is_mux = true;
	w->ranges[n].from = cursor_u8(c);
	w->ranges[n].to = w->ranges[n].from + cursor_u8(c);
	s->mux_ranges = &w->ranges[n];
	s->n_mux_ranges = 1;
}

static void read_message(struct cursor *c, struct world *w)
{
	uint32_t n = (uint32_t)w->desc.n_messages++;
	struct catalog_message *m = &w->messages[n];
	uint8_t flags = cursor_u8(c);

	snprintf(w->names[SIGNALS + n], NAME, "m%u", n);
	*m = (struct catalog_message){.name = w->names[SIGNALS + n], .comment = ""};
	m->extended = flags & 1;
	m->j1939 = (flags & 3) == 3;
	m->id = n | (m->extended ? (uint32_t)cursor_u8(c) << 16 : 0);
	m->bytes = (uint16_t)(cursor_u8(c) + (flags & 4 ? 64 : 0));
	m->first_signal = (uint32_t)w->desc.n_signals;
	for (uint8_t k = flags >> 3 & 15; k > 0 && w->desc.n_signals < SIGNALS; k--)
		read_signal(c, w, n, m->first_signal);
	m->n_signals = (uint32_t)w->desc.n_signals - m->first_signal;
}

static bool raw_of(const struct catalog_signal *s, const uint8_t *data, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < s->bits; i++) {
		unsigned place = s->start_bit + i, sequence;

		if (s->big_endian) {
			sequence = s->start_bit / 8 * 8 + 7 - s->start_bit % 8 + s->bits - 1 - i;
			place = sequence / 8 * 8 + 7 - sequence % 8;
		}
		if (place / 8 >= len)
			return false;
		v |= (uint64_t)(data[place / 8] >> place % 8 & 1) << i;
	}
	if (s->kind == SIGNAL_SIGNED && s->bits < 64 && v >> (s->bits - 1) & 1)
		v |= UINT64_MAX << s->bits;
	*ret = v;
	return true;
}

static bool present(const struct catalog *cat, const struct catalog_signal *s, const uint8_t *data,
		    size_t len)
{
	uint64_t raw;

	for (; s->mux != CATALOG_NONE; s = &cat->signals[s->mux])
		if (!raw_of(&cat->signals[s->mux], data, len, &raw) ||
		    raw < s->mux_ranges[0].from || raw > s->mux_ranges[0].to)
			return false;
	return true;
}

static void check_plan(const struct plan *p, const struct catalog *cat, uint32_t message,
		       const uint8_t *data, size_t len)
{
	const struct catalog_message *m = &cat->messages[message];
	struct sample out[SIGNALS];
	size_t n = plan_decode(p, message, data, len, out), k = 0;

	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++) {
		uint64_t raw;

		if (!present(cat, &cat->signals[i], data, len) ||
		    !raw_of(&cat->signals[i], data, len, &raw))
			continue;
		assert(k < n && out[k].signal == i && out[k].raw == raw);
		k++;
	}
	assert(k == n && n <= plan_samples_max(p));
}

static void run_frames(struct cursor *c, const struct catalog *cat)
{
	struct sample out[SIGNALS];
	struct decoder *d = NULL;
	struct plan *p = NULL;

	assert(decoder_new(&d, cat, NULL) == 0 && plan_new(&p, cat, NULL) == 0);
	while (cursor_left(c) > 2) {
		uint8_t which = cursor_u8(c), len = cursor_u8(c) & 0x7F;
		uint32_t message = which % cat->n_messages, found;
		struct frame f = {.id = cat->messages[message].id};
		const uint8_t *data;
		uint8_t *exact;

		if (len > cursor_left(c))
			len = (uint8_t)cursor_left(c);
		data = cursor_take(c, len);
		exact = malloc(len ? len : 1);
		assert(exact && data);
		memcpy(exact, data, len);
		check_plan(p, cat, message, exact, len);
		f.len = len > FRAME_DATA_MAX ? FRAME_DATA_MAX : len;
		f.flags = (which & 0x80 ? FRAME_FD : 0) |
			  (cat->messages[message].extended ? FRAME_EXTENDED : 0);
		f.t_ns = (int64_t)(which & 0x70) * 10 * NS_PER_MS;
		memcpy(f.data, exact, f.len);
		assert(decoder_frame(d, &f, &found, out) <= decoder_samples_max(d));
		assert(found != CATALOG_NONE);
		free(exact);
	}
	plan_free(p);
	decoder_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct catalog *cat = NULL;
	struct world w = {.bus = "b"};
	uint8_t n = 1 + cursor_u8(&c) % MESSAGES;

	w.desc = (struct catalog){
		.buses = &w.bus, .n_buses = 1, .messages = w.messages, .signals = w.signals};
	while (n--)
		read_message(&c, &w);
	if (catalog_build(&cat, &w.desc, NULL) < 0)
		return 0;
	run_frames(&c, cat);
	catalog_free(cat);
	return 0;
}
