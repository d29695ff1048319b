/* A catalog to its bytes. */
#include "proto/bounded.h"
#include "proto/catalog.pb-c.h"
#include "proto/catalog_private.h"

static void *make(struct bounded *b, size_t n, size_t size)
{
	return b->allocator.alloc(b, n * size);
}

/* protobuf-c's strings are not const; packing only reads them. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

static int describe_ranges(struct bounded *b, const struct catalog_signal *s,
			   Towline__V1__Signal *to)
{
	Towline__V1__Range *r = make(b, s->n_mux_ranges, sizeof(*r));

	to->n_mux_ranges = s->n_mux_ranges;
	to->mux_ranges = make(b, s->n_mux_ranges, sizeof(*to->mux_ranges));
	if (!r || !to->mux_ranges)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_mux_ranges; i++) {
		towline__v1__range__init(&r[i]);
		r[i].from = s->mux_ranges[i].from;
		r[i].to = s->mux_ranges[i].to;
		to->mux_ranges[i] = &r[i];
	}
	return 0;
}

static int describe_choices(struct bounded *b, const struct catalog_signal *s,
			    Towline__V1__Signal *to)
{
	Towline__V1__Choice *c = make(b, s->n_choices, sizeof(*c));

	to->n_choices = s->n_choices;
	to->choices = make(b, s->n_choices, sizeof(*to->choices));
	if (!c || !to->choices)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_choices; i++) {
		towline__v1__choice__init(&c[i]);
		c[i].raw = s->choices[i].raw;
		c[i].text = text(s->choices[i].text);
		to->choices[i] = &c[i];
	}
	return 0;
}

static int describe_signal(struct bounded *b, const struct catalog_signal *s, uint32_t first,
			   Towline__V1__Signal *to)
{
	int r;

	towline__v1__signal__init(to);
	to->name = text(s->name);
	to->start_bit = s->start_bit;
	to->bits = s->bits;
	to->big_endian = s->big_endian;
	to->kind = (uint32_t)s->kind;
	to->factor = s->factor;
	to->offset = s->offset;
	to->min = s->min;
	to->max = s->max;
	to->unit = text(s->unit);
	to->comment = text(s->comment);
	to->is_mux = s->is_mux;
	to->mux = s->mux == CATALOG_NONE ? 0 : s->mux - first + 1;
	r = describe_ranges(b, s, to);
	return r < 0 ? r : describe_choices(b, s, to);
}

static int describe_message(struct bounded *b, const struct catalog *c, size_t number,
			    Towline__V1__Message *to)
{
	const struct catalog_message *m = &c->messages[number];
	Towline__V1__Signal *signals = make(b, m->n_signals, sizeof(*signals));
	int r = 0;

	towline__v1__message__init(to);
	to->name = text(m->name);
	to->comment = text(m->comment);
	to->bus = m->bus;
	to->id = m->id;
	to->extended = m->extended;
	to->j1939 = m->j1939;
	to->status = m->status;
	to->bytes = m->bytes;
	to->n_signals = m->n_signals;
	to->signals = make(b, m->n_signals, sizeof(*to->signals));
	if (!signals || !to->signals)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n_signals && !r; i++) {
		to->signals[i] = &signals[i];
		r = describe_signal(b, &c->signals[m->first_signal + i], m->first_signal,
				    &signals[i]);
	}
	return r;
}

/* What the serialised form cannot say: it numbers signals by their place in their messages. */
static int check_numbers(const struct catalog *c, struct error *err)
{
	size_t next = 0;

	for (size_t i = 0; i < c->n_messages; i++) {
		const struct catalog_message *m = &c->messages[i];

		if (m->first_signal != next || m->n_signals > c->n_signals - next) {
			error_set(err,
				  "catalog: message '%.90s': its signals do not follow those "
				  "of the message before it",
				  text(m->name));
			return -EBADMSG;
		}
		for (size_t j = next; j < next + m->n_signals; j++) {
			uint32_t mux = c->signals[j].mux;

			if (c->signals[j].message != i ||
			    (mux != CATALOG_NONE && (mux < next || mux - next >= m->n_signals))) {
				error_set(err,
					  "catalog: message '%.90s' signal '%.90s': it or its "
					  "multiplexor is of another message",
					  text(m->name), text(c->signals[j].name));
				return -EBADMSG;
			}
		}
		next += m->n_signals;
	}
	if (next != c->n_signals) {
		error_set(err, "catalog: %zu signals without a message", c->n_signals - next);
		return -EBADMSG;
	}
	return 0;
}

static int describe(struct bounded *b, const struct catalog *from, Towline__V1__Catalog *to)
{
	Towline__V1__Message *messages = make(b, from->n_messages, sizeof(*messages));
	int r = 0;

	to->format = 1;
	to->n_buses = from->n_buses;
	to->buses = make(b, from->n_buses, sizeof(*to->buses));
	to->n_messages = from->n_messages;
	to->messages = make(b, from->n_messages, sizeof(*to->messages));
	if (!messages || !to->buses || !to->messages)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_buses; i++)
		to->buses[i] = text(from->buses[i]);
	for (size_t i = 0; i < from->n_messages && !r; i++) {
		to->messages[i] = &messages[i];
		r = describe_message(b, from, i, &messages[i]);
	}
	return r;
}

int catalog_build(struct catalog **ret, const struct catalog *from, struct error *err)
{
	struct bounded arena cleanup(bounded_free);
	Towline__V1__Catalog to = TOWLINE__V1__CATALOG__INIT;
	uint8_t *bytes cleanup(free_ptr) = NULL;
	size_t len;
	int r;

	bounded_init(&arena, SIZE_MAX / 2);
	r = check_numbers(from, err);
	if (r < 0)
		return r;
	r = describe(&arena, from, &to);
	if (r < 0)
		return r;
	len = towline__v1__catalog__get_packed_size(&to);
	if (len > CATALOG_BYTES_MAX) {
		error_set(err, "catalog: %zu bytes, at most %d", len, CATALOG_BYTES_MAX);
		return -EBADMSG;
	}
	bytes = malloc(len + 1);
	if (!bytes)
		return -ENOMEM;
	towline__v1__catalog__pack(&to, bytes);
	return catalog_load(ret, bytes, len, err);
}
