/* BO_ and SG_: messages and their signals. */
#include "tools/dbc/reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BITS_MAX = 64, BYTES_DEFAULT = 8 };

static const char *read_name(struct reader *r, const char *what, struct dbc_span raw)
{
	bool repaired;
	const char *name = dbc_text_name(&r->dbc->arena, raw, &repaired);

	if (repaired)
		dbc_warn(&r->report, r->line, "%s name '%.*s' is not an identifier: taken as '%s'",
			 what, (int)(raw.len < 64 ? raw.len : 64), raw.p, name);
	return name;
}

static const char *ident_of(struct reader *r, struct dbc_span raw)
{
	return dbc_arena_text(&r->dbc->arena, raw.p, raw.len);
}

/* ---- BO_ id name: bytes transmitter ---- */

/* The signals that follow belong to no message. said: also that they are skipped. */
static int without_message(struct reader *r, bool said)
{
	r->message = CATALOG_NONE;
	r->message_said = said;
	return STATEMENT_BAD;
}

static int read_message_id(struct reader *r, uint32_t *ret)
{
	struct lex before = r->lex;
	const char *repair;

	switch (dbc_read_id(r, ret, &repair)) {
	case ID_PSEUDO:
		*ret = DBC_NO_KEY;
		return 0;
	case ID_BAD:
		r->lex = before;
		dbc_unexpected(r, "BO_", "a CAN identifier");
		return without_message(r, false);
	case ID_OK:
		break;
	}
	if (repair)
		dbc_warn(&r->report, r->line, "identifier of the message is %s", repair);
	return 0;
}

static int read_message_name(struct reader *r, struct dbc_span *ret)
{
	if (lex_to_colon(&r->lex, ret) && ret->len > 0)
		return 0;
	if (!lex_word(&r->lex, ret)) {
		dbc_unexpected(r, "BO_", "a name");
		return without_message(r, false);
	}
	dbc_warn(&r->report, r->line, "BO_: ':' is missing after the name");
	return 0;
}

static int read_message_bytes(struct reader *r, uint32_t *ret)
{
	uint64_t bytes;

	if (lex_line_done(&r->lex) || !lex_u64(&r->lex, &bytes)) {
		dbc_warn(&r->report, r->line, "BO_: the length is missing: taken as %d bytes",
			 BYTES_DEFAULT);
		bytes = BYTES_DEFAULT;
	}
	if (bytes > CATALOG_MESSAGE_BYTES_MAX) {
		dbc_error(&r->report, r->line,
			  "message of %llu bytes, more than %d: skipped with its signals",
			  (unsigned long long)bytes, CATALOG_MESSAGE_BYTES_MAX);
		return without_message(r, true);
	}
	*ret = (uint32_t)bytes;
	return 0;
}

static int add_message(struct reader *r, const struct dbc_message *m)
{
	struct dbc *d = r->dbc;
	uint32_t first = dbc_find_message(d, m->key);
	void *array = d->messages;
	int err;

	if (first != CATALOG_NONE) {
		dbc_error(&r->report, m->line,
			  "message %s (%s) was defined at line %u as %s: skipped with its signals",
			  m->name, dbc_id_text(m->key).s, d->messages[first].line,
			  d->messages[first].name);
		(void)without_message(r, true);
		return 0;
	}
	err = dbc_grow(&array, &d->cap_messages, d->n_messages, sizeof(*m));
	d->messages = array;
	if (err == 0)
		err = dbc_map_put(&d->by_key, dbc_key_hash(m->key), (uint32_t)d->n_messages);
	if (err < 0) {
		r->failed = err;
		return 0;
	}
	r->message = (uint32_t)d->n_messages;
	d->messages[d->n_messages++] = *m;
	return 0;
}

/* The transmitter, which says nothing about decoding. */
static int read_transmitter(struct reader *r)
{
	struct dbc_span ignored;

	if (!lex_line_done(&r->lex) && !lex_word(&r->lex, &ignored))
		return dbc_unexpected(r, "BO_", "a transmitter");
	if (!lex_line_done(&r->lex) && lex_peek(&r->lex) != ';')
		return dbc_unexpected(r, "BO_", "the end of the line");
	return 0;
}

int dbc_read_message(struct reader *r)
{
	struct dbc_message m = {.line = r->line};
	struct dbc_span name;
	int result = read_message_id(r, &m.key);

	if (result == 0)
		result = read_message_name(r, &name);
	if (result == 0)
		result = read_message_bytes(r, &m.bytes);
	if (result != 0)
		return result;
	(void)without_message(r, true);
	if (m.key != DBC_NO_KEY) {
		m.ident = ident_of(r, name);
		m.name = read_name(r, "message", name);
		m.first_signal = (uint32_t)r->dbc->n_signals;
		result = add_message(r, &m);
	}
	return result ? result : read_transmitter(r);
}

/* ---- SG_ name [M|m<N>|m<N>M] : start|bits@order sign (factor,offset) [min|max] "unit" nodes ----
 */

/* Splits "name m3M" at its last blank. The mark is empty when there is none. */
static void split_mark(struct dbc_span whole, struct dbc_span *ret_name, struct dbc_span *ret_mark)
{
	size_t n = whole.len;

	*ret_name = whole;
	*ret_mark = (struct dbc_span){whole.p, 0};
	while (n > 0 && whole.p[n - 1] != ' ' && whole.p[n - 1] != '\t')
		n--;
	if (n == 0 || (whole.p[n] != 'M' && whole.p[n] != 'm'))
		return;
	*ret_mark = (struct dbc_span){whole.p + n, whole.len - n};
	while (n > 0 && (whole.p[n - 1] == ' ' || whole.p[n - 1] == '\t'))
		n--;
	ret_name->len = n;
}

static int parse_mark(struct reader *r, struct dbc_span mark, struct dbc_signal *s)
{
	struct lex l = {.p = mark.p, .end = mark.p + mark.len, .line = r->line};

	if (mark.len == 0)
		return 0;
	if (lex_char(&l, 'm')) {
		s->marked_muxed = true;
		if (!lex_u64(&l, &s->mux_value))
			goto bad;
	}
	s->marked_mux = lex_char(&l, 'M');
	if (lex_end(&l))
		return 0;
bad:
	dbc_error(&r->report, r->line,
		  "signal %s: '%.*s' is not a multiplexor mark (M, m<number>, m<number>M): skipped",
		  s->name, (int)(mark.len < 64 ? mark.len : 64), mark.p);
	s->skipped = true;
	return 0;
}

static int read_head(struct reader *r, struct dbc_signal *s)
{
	struct dbc_span whole, name, mark;

	if (!lex_to_colon(&r->lex, &whole))
		return dbc_unexpected(r, r->keyword, "a name and ':'");
	split_mark(whole, &name, &mark);
	if (name.len == 0)
		return dbc_unexpected(r, r->keyword, "a name before ':'");
	s->ident = ident_of(r, name);
	s->name = read_name(r, "signal", name);
	snprintf(r->keyword, sizeof(r->keyword), "signal %.64s", s->name);
	return parse_mark(r, mark, s);
}

static bool read_u32(struct reader *r, uint32_t *ret)
{
	uint64_t v;

	if (!lex_u64(&r->lex, &v) || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static void read_sign(struct reader *r, struct dbc_signal *s)
{
	s->kind = SIGNAL_UNSIGNED;
	if (lex_char(&r->lex, '-'))
		s->kind = SIGNAL_SIGNED;
	else if (!lex_char(&r->lex, '+'))
		dbc_warn(&r->report, r->line, "signal %s: '+' or '-' is missing: taken as unsigned",
			 s->name);
}

static int read_position(struct reader *r, struct dbc_signal *s)
{
	if (!read_u32(r, &s->start_bit) || !lex_char(&r->lex, '|'))
		return dbc_unexpected(r, r->keyword, "start bit and '|'");
	if (!read_u32(r, &s->bits) || !lex_char(&r->lex, '@'))
		return dbc_unexpected(r, r->keyword, "number of bits and '@'");
	s->big_endian = lex_char(&r->lex, '0');
	if (!s->big_endian && !lex_char(&r->lex, '1'))
		return dbc_unexpected(r, r->keyword, "byte order 0 or 1");
	read_sign(r, s);
	return 0;
}

/* Two numbers in brackets. Returns 0; STATEMENT_BAD; or 2 with nothing taken: no such bracket. */
static int read_pair(struct reader *r, const char brackets[static 3], double *a, double *b)
{
	if (!lex_char(&r->lex, brackets[0]))
		return 2;
	if (!lex_number(&r->lex, a) || !lex_char(&r->lex, brackets[1]))
		return dbc_unexpected(r, r->keyword, "a number");
	if (!lex_number(&r->lex, b) || !lex_char(&r->lex, brackets[2]))
		return dbc_unexpected(r, r->keyword, "a second number");
	return 0;
}

static int read_scale(struct reader *r, struct dbc_signal *s)
{
	int result = read_pair(r, "(,)", &s->factor, &s->offset);

	if (result == 2) {
		dbc_warn(&r->report, r->line,
			 "signal %s: (factor,offset) is missing: taken as (1,0)", s->name);
		s->factor = 1;
		return 0;
	}
	if (result != 0)
		return result;
	if (!isfinite(s->factor) || s->factor == 0) {
		dbc_warn(&r->report, r->line, "signal %s: factor is %g: taken as 1", s->name,
			 s->factor);
		s->factor = 1;
	}
	if (!isfinite(s->offset)) {
		dbc_warn(&r->report, r->line, "signal %s: offset is %g: taken as 0", s->name,
			 s->offset);
		s->offset = 0;
	}
	return 0;
}

static int read_limits(struct reader *r, struct dbc_signal *s)
{
	int result = read_pair(r, "[|]", &s->min, &s->max);

	if (result == 2) {
		dbc_warn(&r->report, r->line, "signal %s: [min|max] is missing", s->name);
		return 0;
	}
	if (result != 0)
		return result;
	if (!isfinite(s->min) || !isfinite(s->max) || s->min > s->max) {
		dbc_warn(&r->report, r->line,
			 "signal %s: [%g|%g] is no range: taken as not declared", s->name, s->min,
			 s->max);
		s->min = s->max = 0;
	}
	return 0;
}

static int read_unit(struct reader *r, struct dbc_signal *s)
{
	s->unit = "";
	if (dbc_read_string(r, "unit", &s->unit))
		return 0;
	if (lex_peek(&r->lex) == '"') {
		dbc_error(&r->report, r->line,
			  "signal %s: unit is not closed: skipped, and what "
			  "follows it",
			  s->name);
		(void)lex_line_rest(&r->lex);
		return 0;
	}
	dbc_warn(&r->report, r->line, "signal %s: unit is missing", s->name);
	return 0;
}

/* Who receives says nothing about decoding. */
static int read_receivers(struct reader *r)
{
	struct dbc_span ignored;

	while (!lex_line_done(&r->lex) && lex_peek(&r->lex) != ';')
		if (!lex_word(&r->lex, &ignored) && !lex_char(&r->lex, ','))
			return dbc_unexpected(r, r->keyword, "a receiver");
	return 0;
}

static bool same_definition(const struct dbc_signal *a, const struct dbc_signal *b)
{
	return a->start_bit == b->start_bit && a->bits == b->bits &&
	       a->big_endian == b->big_endian && a->kind == b->kind && a->factor == b->factor &&
	       a->offset == b->offset && a->marked_mux == b->marked_mux &&
	       a->marked_muxed == b->marked_muxed && a->mux_value == b->mux_value;
}

/* What is wrong with a signal that can be read but not used. */
static void check_signal(struct reader *r, struct dbc_signal *s)
{
	uint32_t first = dbc_find_signal(r->dbc, r->message, s->ident);

	if (s->skipped)
		return;
	if (s->bits == 0 || s->bits > BITS_MAX) {
		dbc_error(&r->report, s->line, "signal %s has %u bits, not 1 to %d: skipped",
			  s->name, s->bits, BITS_MAX);
		s->skipped = true;
	} else if (first != CATALOG_NONE && same_definition(&r->dbc->signals[first], s)) {
		dbc_warn(&r->report, s->line, "signal %s is at line %u already, the same: skipped",
			 s->name, r->dbc->signals[first].line);
		s->skipped = true;
	}
}

static int add_signal(struct reader *r, const struct dbc_signal *s)
{
	struct dbc *d = r->dbc;
	void *array = d->signals;
	int err = dbc_grow(&array, &d->cap_signals, d->n_signals, sizeof(*s));

	d->signals = array;
	/* The first of a name is the one that other statements mean. */
	if (err == 0 && dbc_find_signal(d, s->message, s->ident) == CATALOG_NONE)
		err = dbc_map_put(&d->by_signal, dbc_hash(s->message, s->ident),
				  (uint32_t)d->n_signals);
	if (err < 0) {
		r->failed = err;
		return 0;
	}
	d->signals[d->n_signals++] = *s;
	d->messages[s->message].n_signals++;
	return 0;
}

/* A signal whose message was not read. Said once for each, unless it was said of the message. */
static int skip_orphan(struct reader *r)
{
	struct dbc_span rest = lex_line_rest(&r->lex);

	if (!r->message_said)
		dbc_error(&r->report, r->line, "signal without a message, skipped: '%.*s'",
			  (int)(rest.len < 40 ? rest.len : 40), rest.p);
	return 0;
}

int dbc_read_signal(struct reader *r)
{
	static int (*const parts[])(struct reader *, struct dbc_signal *) = {
		read_head, read_position, read_scale, read_limits, read_unit,
	};
	struct dbc_signal s = {.line = r->line, .message = r->message, .mux = CATALOG_NONE};

	if (r->message == CATALOG_NONE)
		return skip_orphan(r);
	for (size_t i = 0; i < array_len(parts); i++) {
		int result = parts[i](r, &s);

		if (result != 0)
			return result;
	}
	check_signal(r, &s);
	if (add_signal(r, &s) != 0)
		return STATEMENT_BAD;
	return read_receivers(r);
}
