/* Samples in, one message out. Rows are linked by message as they come; encoding walks each
 * message's rows once a signal that it has samples of. */
#include "proto/batch_private.h"

#include <string.h>

/* One call of batch_builder_add. Its samples follow those of the row before. */
struct row {
	int32_t time;	 /* units after the first row's */
	uint32_t first;	 /* its first sample */
	uint32_t next;	 /* row of the same message, or NONE */
	uint16_t n;	 /* samples */
	uint16_t cursor; /* encoding: samples that are encoded */
};

enum {
	NONE = UINT32_MAX,
	LEADER_TRIAL = 48, /* rows */
};

struct batch_builder {
	const struct catalog *cat;
	size_t samples_max, n_samples, n_rows;
	uint32_t time_unit_ns;
	int64_t base_ns; /* of the first row added */
	int64_t first_ns, last_ns;
	int32_t time_min, time_max;
	uint64_t cells; /* see BATCH_CELLS_MAX */
	struct row *rows;
	uint64_t *raws;
	uint16_t *signals; /* less their message's first */
	struct chain {
		uint32_t first, last, rows;
		uint32_t hint; /* the row behind which the last one that was late went */
	} * chains;	       /* a message each */
	/* for one group or column */
	uint64_t *values; /* also its times */
	uint8_t *present, *near;
	uint8_t *used; /* a signal of the message each; zero between groups */
	struct section section;
	const struct section_code *code;
	const struct dictionary *dictionary; /* borrowed, or NULL */
};

static size_t most_signals(const struct catalog *cat)
{
	size_t most = 1;

	for (size_t i = 0; i < cat->n_messages; i++)
		if (cat->messages[i].n_signals > most)
			most = cat->messages[i].n_signals;
	return most;
}

int batch_builder_new(struct batch_builder **ret, const struct catalog *cat, size_t samples_max,
		      uint32_t time_unit_ns)
{
	struct batch_builder *b;

	assert(samples_max > 0 && samples_max <= BATCH_SAMPLES_MAX && time_unit_ns > 0);
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->cat = cat;
	b->samples_max = samples_max;
	b->time_unit_ns = time_unit_ns;
	b->code = &section_encoding;
	/* One more than can be used: gather() reads before it knows, and writes before it counts.
	 */
	b->rows = calloc(samples_max, sizeof(*b->rows));
	b->raws = calloc(samples_max + 1, sizeof(*b->raws));
	b->signals = calloc(samples_max + 1, sizeof(*b->signals));
	b->values = calloc(samples_max + 1, sizeof(*b->values));
	b->present = calloc(samples_max, sizeof(*b->present));
	b->near = calloc(samples_max, sizeof(*b->near));
	b->used = calloc(most_signals(cat), 1);
	b->chains = calloc(cat->n_messages + 1, sizeof(*b->chains));
	if (!b->rows || !b->raws || !b->signals || !b->values || !b->present || !b->near ||
	    !b->used || !b->chains) {
		batch_builder_free(b);
		return -ENOMEM;
	}
	batch_builder_reset(b);
	*ret = b;
	return 0;
}

struct batch_builder *batch_builder_free(struct batch_builder *b)
{
	if (!b)
		return NULL;
	free(b->rows);
	free(b->raws);
	free(b->signals);
	free(b->values);
	free(b->present);
	free(b->near);
	free(b->used);
	free(b->chains);
	free(b->section.slots);
	free(b);
	return NULL;
}

int batch_builder_use(struct batch_builder *b, const struct dictionary *dictionary)
{
	struct slot *slots = NULL;

	if (dictionary) {
		assert(dictionary->catalog_id == b->cat->id);
		slots = calloc(dictionary->n_slots + 1, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
	}
	free(b->section.slots);
	b->section.slots = slots;
	b->section.preset = dictionary ? &dictionary->models : NULL;
	b->dictionary = dictionary;
	return 0;
}

void batch_builder_code(struct batch_builder *b, const struct section_code *code)
{
	b->code = code;
}

void batch_builder_reset(struct batch_builder *b)
{
	b->n_samples = 0;
	b->n_rows = 0;
	b->cells = 0;
	b->base_ns = 0;
	b->first_ns = 0;
	b->last_ns = 0;
	b->time_min = 0;
	b->time_max = 0;
	for (size_t i = 0; i < b->cat->n_messages; i++)
		b->chains[i] = (struct chain){.first = NONE, .last = NONE};
}

size_t batch_builder_count(const struct batch_builder *b)
{
	return b->n_samples;
}

int64_t batch_builder_first_ns(const struct batch_builder *b)
{
	return b->first_ns;
}

int64_t batch_builder_last_ns(const struct batch_builder *b)
{
	return b->last_ns;
}

/* To the nearest unit; halves go up, so that equal steps stay equal. */
static int64_t round_units(int64_t ns, uint32_t unit)
{
	int64_t whole = ns / unit, rest = ns % unit;

	if (rest < 0) {
		whole--;
		rest += unit;
	}
	return whole + (rest >= (int64_t)(unit - unit / 2));
}

static uint32_t *link_behind(struct batch_builder *b, struct chain *c, uint32_t row)
{
	return row == NONE ? &c->first : &b->rows[row].next;
}

/* The row that one of this time goes behind, or NONE. Late ones are looked a place for from where
 * the last late one went: after a clock that was set back, or among swapped ones, it is near. */
static uint32_t find_place(struct batch_builder *b, struct chain *c, int32_t time)
{
	uint32_t at = NONE, next;

	if (c->rows > 0 && b->rows[c->last].time <= time)
		return c->last;
	if (c->rows > 0 && b->rows[c->hint].time <= time)
		at = c->hint;
	while ((next = *link_behind(b, c, at)) != NONE && b->rows[next].time <= time)
		at = next;
	return at;
}

/* Keeps the rows of a message in the order of time; those of one time as they came. */
static void link_row(struct batch_builder *b, struct chain *c, uint32_t row)
{
	uint32_t at = find_place(b, c, b->rows[row].time), *link = link_behind(b, c, at);

	if (c->rows == 0 || at != c->last)
		c->hint = at == NONE ? row : at;
	b->rows[row].next = *link;
	if (*link == NONE)
		c->last = row;
	*link = row;
	c->rows++;
}

int batch_builder_add(struct batch_builder *b, uint32_t message, int64_t mono_ns,
		      const struct sample *samples, size_t n)
{
	const struct catalog_message *m = &b->cat->messages[message];
	int64_t since, time;

	assert(message < b->cat->n_messages && n <= m->n_signals && n <= UINT16_MAX);
	if (n == 0)
		return 0;
	if (n > b->samples_max - b->n_samples || m->n_signals > BATCH_CELLS_MAX - b->cells)
		return BATCH_FULL;
	if (b->n_rows == 0) {
		b->base_ns = mono_ns;
		b->first_ns = mono_ns;
		b->last_ns = mono_ns;
	}
	if (__builtin_sub_overflow(mono_ns, b->base_ns, &since))
		return BATCH_FULL;
	time = round_units(since, b->time_unit_ns);
	if (time > INT32_MAX || time < INT32_MIN)
		return BATCH_FULL;
	b->rows[b->n_rows] = (struct row){
		.time = (int32_t)time, .first = (uint32_t)b->n_samples, .n = (uint16_t)n};
	for (size_t i = 0; i < n; i++) {
		uint32_t place = samples[i].signal - m->first_signal;

		assert(place < m->n_signals && place <= UINT16_MAX);
		b->signals[b->n_samples] = (uint16_t)place;
		b->raws[b->n_samples++] = samples[i].raw;
	}
	link_row(b, &b->chains[message], (uint32_t)b->n_rows++);
	b->first_ns = mono_ns < b->first_ns ? mono_ns : b->first_ns;
	b->last_ns = mono_ns > b->last_ns ? mono_ns : b->last_ns;
	b->time_min = time < b->time_min ? (int32_t)time : b->time_min;
	b->time_max = time > b->time_max ? (int32_t)time : b->time_max;
	b->cells += m->n_signals;
	return 0;
}

/* ---- encoding ---- */

/* The last messages of a section, oldest first. */
struct recent {
	uint32_t messages[LEADERS];
	unsigned int n;
};

static void recent_add(struct recent *r, uint32_t message)
{
	if (r->n == LEADERS)
		memmove(r->messages, r->messages + 1, --r->n * sizeof(*r->messages));
	r->messages[r->n++] = message;
}

/* At most n times of a message's rows. Returns how many there are. */
static size_t gather_times(const struct batch_builder *b, uint32_t message, int64_t *times,
			   size_t n)
{
	uint32_t at = b->chains[message].first;
	size_t i = 0;

	for (; at != NONE && i < n; at = b->rows[at].next)
		times[i++] = (int64_t)b->rows[at].time - b->time_min;
	return i;
}

/* Chooses by the beginnings of the groups which of the last ones of the section to follow.
 * Returns how many groups back it is; 0: none. */
static unsigned int choose_leader(const struct batch_builder *b, const uint32_t *recent,
				  unsigned int n_recent, uint32_t message)
{
	int64_t times[LEADER_TRIAL], leader[LEADER_TRIAL * 2];
	size_t n = gather_times(b, message, times, LEADER_TRIAL);
	uint64_t cost = section_times_cost(times, n, NULL, 0);
	unsigned int best = 0;

	for (unsigned int back = 1; back <= n_recent; back++) {
		size_t n_leader =
			gather_times(b, recent[n_recent - back], leader, array_len(leader));
		uint64_t led = section_times_cost(times, n, leader, n_leader);

		if (led < cost) {
			cost = led;
			best = back;
		}
	}
	return best;
}

/* How many groups back the leader is that is expected; 0: none, or it is not there. */
static unsigned int expected_leader(const struct recent *r, const struct dictionary_message *known)
{
	for (unsigned int back = 1; back <= r->n; back++)
		if (r->messages[r->n - back] == known->leader)
			return back;
	return 0;
}

/* Which group to follow: what is expected is good enough, and need not be looked for. */
static unsigned int encode_leader(struct batch_builder *b, const struct recent *recent,
				  uint32_t message, const struct dictionary_message *known)
{
	struct section *s = &b->section;
	unsigned int back;

	if (known) {
		section_flag(s, &s->models.led, true);
		return expected_leader(recent, known);
	}
	back = choose_leader(b, recent->messages, recent->n, message);
	section_number(s, &s->models.leader, back);
	return back;
}

/* Also finds which signals the rows have, and rewinds them. */
static void encode_times(struct batch_builder *b, struct recent *recent, uint32_t message,
			 const struct dictionary_message *known, struct column *column)
{
	int64_t *times = (int64_t *)b->values, *leader = times + column->rows;
	unsigned int back = encode_leader(b, recent, message, known);
	size_t n_leader = 0;

	for (uint32_t at = b->chains[message].first; at != NONE; at = b->rows[at].next) {
		struct row *row = &b->rows[at];

		row->cursor = 0;
		for (uint32_t i = row->first; i < row->first + row->n; i++)
			b->used[b->signals[i]] = 1;
	}
	gather_times(b, message, times, column->rows);
	if (back > 0)
		n_leader = gather_times(b, recent->messages[recent->n - back], leader, SIZE_MAX);
	section_times(&b->section, times, column->rows, leader, n_leader,
		      known ? &known->times : NULL);
	section_columns_start(column, times);
	recent_add(recent, message);
}

/* Gathers the samples of one signal. Signals are asked for in ascending order, as they lie in the
 * rows. */
static void gather(struct batch_builder *b, const struct chain *c, uint16_t signal,
		   struct column *column)
{
	size_t i = 0, n = 0;
	unsigned int differs = 0;

	for (uint32_t at = c->first; at != NONE; at = b->rows[at].next, i++) {
		struct row *row = &b->rows[at];
		uint32_t sample = row->first + row->cursor;
		unsigned int has = row->cursor < row->n && b->signals[sample] == signal;
		unsigned int before = b->present[i] & 1;

		differs |= has ^ before;
		b->present[i] = (uint8_t)(before << 1 | has);
		b->values[n] = b->raws[sample];
		n += has;
		row->cursor = (uint16_t)(row->cursor + has);
	}
	column->n = n;
	column->same = !differs;
}

static void encode_columns(struct batch_builder *b, uint32_t message,
			   const struct dictionary_message *known, struct column *column)
{
	const struct column_prior *priors =
		known ? b->dictionary->signals + known->first_entry : NULL;
	const struct catalog_message *m = &b->cat->messages[message];
	const struct chain *c = &b->chains[message];
	struct section *s = &b->section;
	int before = 0;

	for (uint32_t i = 0; i < m->n_signals; i++) {
		const struct catalog_signal *signal = &b->cat->signals[m->first_signal + i];
		bool used = b->used[i];

		b->used[i] = 0;
		column->prior = known_column(priors, i);
		section_flag(s, used_bit(&s->models, priors, i, before), used);
		before = used;
		if (!used)
			continue;
		gather(b, c, (uint16_t)i, column);
		column->width = signal->bits;
		column->is_signed = signal_is_signed(signal);
		section_column(s, column);
	}
}

static void skip_empty(const struct batch_builder *b, uint32_t *next)
{
	while (*next < b->cat->n_messages && b->chains[*next].rows == 0)
		++*next;
}

/* message: or CATALOG_NONE, the end. */
static void encode_message(struct batch_builder *b, struct expecting *expecting, uint64_t base,
			   uint32_t message)
{
	struct section *s = &b->section;
	uint64_t number = message == CATALOG_NONE ? 0 : message - base + 1;
	bool hit;

	if (expecting->dictionary) {
		expecting_from(expecting, base);
		hit = expecting_message(expecting) == message;
		section_flag(s, expecting_bit(expecting, &s->models), hit);
		if (hit)
			return;
	}
	section_number(s, &s->models.message, number);
}

static void encode_rows(struct section *s, const struct dictionary_message *known, uint64_t more)
{
	if (known)
		section_number(s, &s->models.rows_off, zigzag_encode((int64_t)more - known->rows));
	else
		section_number(s, &s->models.rows, more);
}

static void encode_group(struct batch_builder *b, struct recent *recent, uint32_t message)
{
	const struct dictionary_message *known = dictionary_message(b->dictionary, message);
	struct column column = {.rows = b->chains[message].rows,
				.values = b->values,
				.present = b->present,
				.near = b->near};

	encode_rows(&b->section, known, column.rows - 1);
	encode_times(b, recent, message, known, &column);
	encode_columns(b, message, known, &column);
}

/* Encodes groups from message *next on until the section is large enough; *next moves past them.
 * Groups' messages are counted from `base`. */
static void encode_section(struct batch_builder *b, uint32_t *next, uint32_t base, bool last,
			   struct buf *out)
{
	struct section *s = &b->section;
	struct expecting expecting = {.dictionary = b->dictionary};
	size_t start = out->len;
	struct recent recent = {0};

	section_encode(s, b->code, out);
	while (*next < b->cat->n_messages && (last || out->len - start < SECTION_BYTES)) {
		encode_message(b, &expecting, base, *next);
		encode_group(b, &recent, *next);
		base = ++*next;
		skip_empty(b, next);
	}
	encode_message(b, &expecting, base, CATALOG_NONE);
	section_encode_end(s);
}

/* ---- protobuf ---- */

/* protobuf's wire types */
enum { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES };

static void put_varint(struct buf *out, unsigned int field, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, field << 3 | WIRE_VARINT);
	buf_put_varint(out, v);
}

static void put_fixed64(struct buf *out, unsigned int field, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, field << 3 | WIRE_FIXED64);
	buf_put_fixed64(out, v);
}

/* Puts the length before what was appended since `start`. */
static void put_length(struct buf *out, size_t start)
{
	size_t len = out->len - start, more;

	buf_put_varint(out, len);
	if (out->failed)
		return;
	more = out->len - start - len;
	memmove(out->data + start + more, out->data + start, len);
	out->len = start;
	buf_put_varint(out, len); /* over the hole: it fits, as it did behind */
	out->len = start + more + len;
}

/* Up, to three significant bits: the same in most batches, which a context makes use of. */
static uint64_t round_span(uint64_t span)
{
	uint64_t step = 1;

	while (span / step >= 8)
		step *= 2;
	span = (span + step - 1) / step * step;
	return span < UINT32_MAX ? span : UINT32_MAX; /* as much as is read */
}

static void put_header(struct batch_builder *b, const struct batch_header *h, struct buf *out)
{
	static const uint8_t QUALITY[] = {
		[CLOCK_SYNCED] = 0, [CLOCK_FREE_RUNNING] = 1, [CLOCK_UNKNOWN] = 2};
	int64_t mono = b->base_ns + (int64_t)b->time_min * b->time_unit_ns;
	uint64_t wall = (uint64_t)h->wall_base_ns + ((uint64_t)mono - (uint64_t)h->mono_base_ns);

	put_varint(out, FIELD_FORMAT, BATCH_FORMAT);
	put_fixed64(out, FIELD_BOOT_ID, h->boot_id);
	put_fixed64(out, FIELD_CATALOG, h->catalog_id);
	put_varint(out, FIELD_FIRST, zigzag_encode(round_units((int64_t)wall, b->time_unit_ns)));
	put_varint(out, FIELD_SPAN, round_span((uint64_t)((int64_t)b->time_max - b->time_min)));
	put_varint(out, FIELD_MONO, zigzag_encode(round_units(mono, b->time_unit_ns)));
	put_varint(out, FIELD_SAMPLES, b->n_samples);
	put_varint(out, FIELD_TIME_UNIT,
		   b->time_unit_ns == BATCH_UNIT_DEFAULT_NS ? 0 : b->time_unit_ns);
	put_varint(out, FIELD_CLOCK_QUALITY, QUALITY[h->clock_quality]);
	put_varint(out, FIELD_CAMPAIGN, h->campaign);
	put_varint(out, FIELD_CONSENT_EPOCH, h->consent_epoch);
	put_fixed64(out, FIELD_DICTIONARY, b->dictionary ? b->dictionary->id : 0);
}

static void put_section_messages(const uint32_t *firsts, size_t n, struct buf *out)
{
	size_t start;

	if (n < 2)
		return;
	buf_put_varint(out, FIELD_SECTION_MESSAGES << 3 | WIRE_BYTES);
	start = out->len;
	for (size_t i = 1; i < n; i++)
		buf_put_varint(out, firsts[i] - firsts[i - 1]);
	put_length(out, start);
}

/* The last section takes all the rest. */
static void put_sections(struct batch_builder *b, struct buf *out)
{
	uint32_t firsts[BATCH_SECTIONS_MAX] = {0}, next = 0;
	size_t n = 0;

	skip_empty(b, &next);
	while (next < b->cat->n_messages) {
		size_t start;

		if (n > 0)
			firsts[n] = next;
		buf_put_varint(out, FIELD_SECTIONS << 3 | WIRE_BYTES);
		start = out->len;
		encode_section(b, &next, firsts[n], n == BATCH_SECTIONS_MAX - 1, out);
		put_length(out, start);
		n++;
	}
	put_section_messages(firsts, n, out);
}

int batch_builder_encode(struct batch_builder *b, const struct batch_header *h, struct buf *out,
			 uint32_t *ret_encoding)
{
	put_header(b, h, out);
	put_sections(b, out);
	*ret_encoding = ENCODING_BATCH;
	return out->failed;
}
