/* Parsed files to a catalog. */
#include "tools/dbc/model.h"
#include "tools/dbc/names.h"
#include "tools/dbc/report.h"

#include <string.h>

enum {
	BUS_NAME_MAX = 64,
	/* Many signals may name one VAL_TABLE_, so a small file can ask for far more value texts
	 * than fit. Each takes at least 4 bytes, but for one of a signal: 0, without a text. */
	CHOICES_MAX = CATALOG_BYTES_MAX / 4,
};

/* A message that goes into the catalog, where it came from, and its bus. */
struct place {
	const struct dbc *dbc;
	const struct dbc_message *message;
	uint16_t bus;
};

struct compiler {
	const struct dbc_sink *sink;
	const char **buses;
	size_t n_buses;
	struct place *places;
	size_t n_places, cap_places;
	struct dbc_map by_key; /* of bus and key, to a place */
	struct dbc_names names;
	struct dbc_arena arena;
	struct catalog_message *messages;
	struct catalog_signal *signals;
	size_t n_signals;
	size_t n_choices;
	uint32_t *numbers; /* in the catalog, of the signals of one message */
};

static void compiler_free(struct compiler *c)
{
	free(c->buses);
	free(c->places);
	free(c->messages);
	free(c->signals);
	free(c->numbers);
	dbc_map_free(&c->by_key);
	dbc_names_free(&c->names);
	dbc_arena_free(&c->arena);
}

bool dbc_bus_is_valid(const char *bus)
{
	size_t n = strspn(bus, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return n >= 1 && n <= BUS_NAME_MAX && bus[n] == '\0';
}

static uint16_t intern_bus(struct compiler *c, const char *bus)
{
	for (size_t i = 0; i < c->n_buses; i++)
		if (strcmp(c->buses[i], bus) == 0)
			return (uint16_t)i;
	c->buses[c->n_buses] = bus;
	return (uint16_t)c->n_buses++;
}

static const struct place *find_place(const struct compiler *c, uint16_t bus, uint32_t key)
{
	uint64_t hash = dbc_hash((uint64_t)bus << 32 | key, "");
	uint32_t i;

	for (size_t pos = 0; dbc_map_next(&c->by_key, hash, &pos, &i);)
		if (c->places[i].bus == bus && c->places[i].message->key == key)
			return &c->places[i];
	return NULL;
}

static int put_place(struct compiler *c, const struct place *p)
{
	uint64_t hash = dbc_hash((uint64_t)p->bus << 32 | p->message->key, "");
	void *array = c->places;
	int r = dbc_grow(&array, &c->cap_places, c->n_places, sizeof(*p));

	c->places = array;
	if (r == 0)
		r = dbc_map_put(&c->by_key, hash, (uint32_t)c->n_places);
	if (r == 0)
		c->places[c->n_places++] = *p;
	return r;
}

static int place_messages(struct compiler *c, const struct dbc *d, uint16_t bus)
{
	const struct dbc_report report = {.sink = c->sink, .file = d->file};

	for (size_t i = 0; i < d->n_messages; i++) {
		const struct dbc_message *m = &d->messages[i];
		const struct place *first = find_place(c, bus, m->key);
		int r;

		if (first) {
			dbc_error(&report, m->line,
				  "message %s (%s) of bus %s is in %s:%u already: skipped with its "
				  "signals",
				  m->name, dbc_id_text(m->key).s, c->buses[bus], first->dbc->file,
				  first->message->line);
			continue;
		}
		r = put_place(c, &(struct place){.dbc = d, .message = m, .bus = bus});
		if (r < 0)
			return r;
		c->n_signals += m->n_signals;
	}
	return 0;
}

/* ---- what the catalog holds ---- */

static void fill_signal(struct catalog_signal *out, const struct dbc_signal *s, uint32_t message)
{
	*out = (struct catalog_signal){
		.name = s->name,
		.message = message,
		.start_bit = (uint16_t)s->start_bit,
		.bits = (uint16_t)s->bits,
		.big_endian = s->big_endian,
		.kind = s->kind,
		.factor = s->factor,
		.offset = s->offset,
		.min = s->min,
		.max = s->max,
		.unit = s->unit,
		.comment = s->comment ? s->comment : "",
		.is_mux = s->is_mux,
		.mux = CATALOG_NONE,
		.mux_ranges = s->ranges,
		.n_mux_ranges = s->n_ranges,
		.choices = s->choices,
		.n_choices = s->n_choices,
	};
}

/* Signals that are skipped have no number in the catalog; the others are counted on. */
static void fill_signals(struct compiler *c, const struct place *p, uint32_t message)
{
	const struct dbc_signal *signals;
	uint32_t n = p->message->n_signals, next = (uint32_t)c->n_signals;

	if (n == 0)
		return;
	signals = &p->dbc->signals[p->message->first_signal];
	for (uint32_t i = 0; i < n; i++)
		c->numbers[i] = signals[i].skipped ? CATALOG_NONE : next++;
	for (uint32_t i = 0; i < n; i++) {
		struct catalog_signal *out = &c->signals[c->n_signals];

		if (signals[i].skipped)
			continue;
		fill_signal(out, &signals[i], message);
		if (signals[i].mux != CATALOG_NONE)
			out->mux = c->numbers[signals[i].mux - p->message->first_signal];
		c->n_choices += out->n_choices;
		c->n_signals++;
	}
}

static int fill_message(struct compiler *c, uint32_t at)
{
	const struct place *p = &c->places[at];
	const struct dbc_message *m = p->message;
	const struct dbc_report report = {.sink = c->sink, .file = p->dbc->file};
	struct catalog_message *out = &c->messages[at];
	int r;

	*out = (struct catalog_message){
		.comment = m->comment ? m->comment : "",
		.bus = p->bus,
		.id = m->key & ~DBC_EXTENDED,
		.extended = (m->key & DBC_EXTENDED) != 0,
		.j1939 = m->j1939,
		.bytes = (uint16_t)m->bytes,
		.first_signal = (uint32_t)c->n_signals,
	};
	r = dbc_names_add(&c->names, &c->arena, p->bus, m->name, &out->name);
	if (r < 0)
		return r;
	if (out->name != m->name)
		dbc_warn(&report, m->line, "bus %s has a message %s already: %s is named %s",
			 c->buses[p->bus], m->name, dbc_id_text(m->key).s, out->name);
	fill_signals(c, p, at);
	out->n_signals = (uint32_t)c->n_signals - out->first_signal;
	return 0;
}

static int fill(struct compiler *c)
{
	c->messages = calloc(c->n_places + 1, sizeof(*c->messages));
	c->signals = calloc(c->n_signals + 1, sizeof(*c->signals));
	c->numbers = calloc(c->n_signals + 1, sizeof(*c->numbers));
	if (!c->messages || !c->signals || !c->numbers)
		return -ENOMEM;
	c->n_signals = 0;
	for (uint32_t i = 0; i < c->n_places; i++) {
		int r = fill_message(c, i);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Before the catalog is built: what is too large would need its memory first. */
static int check_choices(const struct compiler *c, struct error *err)
{
	if (c->n_choices <= CHOICES_MAX)
		return 0;
	error_set(err, "%s: the signals have %zu value texts, at most %d", c->places[0].dbc->file,
		  c->n_choices, CHOICES_MAX);
	return -EBADMSG;
}

static int gather(struct compiler *c, const struct dbc_bus *buses, size_t n, struct error *err)
{
	c->buses = calloc(n + 1, sizeof(*c->buses));
	if (!c->buses)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r;

		if (!dbc_bus_is_valid(buses[i].bus)) {
			error_set(err, "'%.40s' is not the name of a bus: 1 to %d of [A-Za-z0-9_-]",
				  buses[i].bus, BUS_NAME_MAX);
			return -EINVAL;
		}
		r = place_messages(c, buses[i].dbc, intern_bus(c, buses[i].bus));
		if (r < 0)
			return r;
	}
	if (c->n_places > 0)
		return 0;
	error_set(err, "%s: there is no message in it", n > 0 ? buses[0].dbc->file : "no DBC file");
	return -EBADMSG;
}

int dbc_catalog(struct catalog **ret, const struct dbc_bus *buses, size_t n,
		const struct dbc_sink *sink, struct error *err)
{
	struct compiler c cleanup(compiler_free) = {.sink = sink};
	int r;

	if (n > UINT16_MAX) {
		error_set(err, "%zu files, at most %d", n, UINT16_MAX);
		return -EINVAL;
	}
	r = gather(&c, buses, n, err);
	if (r == 0)
		r = fill(&c);
	if (r == 0)
		r = check_choices(&c, err);
	if (r == -ENOMEM)
		error_set(err, "out of memory");
	if (r < 0)
		return r;
	return catalog_build(ret,
			     &(struct catalog){.buses = c.buses,
					       .n_buses = c.n_buses,
					       .messages = c.messages,
					       .n_messages = c.n_places,
					       .signals = c.signals,
					       .n_signals = c.n_signals},
			     err);
}
