/* What the types of catalog.proto cannot say. */
#include "proto/catalog_private.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { FORMAT = 1, BUSES_MAX = 1024, MUX_DEPTH_MAX = 16 };

/* The place in a catalog that is being checked, for error texts. */
struct place {
	const Towline__V1__Message *message;
	const Towline__V1__Signal *signal;
};

static int reject(const struct place *at, struct error *err, const char *fmt, ...)
	printf_like(3, 4);

static int reject(const struct place *at, struct error *err, const char *fmt, ...)
{
	char what[120];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (at->signal)
		error_set(err, "catalog: message '%.50s' signal '%.50s': %s", at->message->name,
			  at->signal->name, what);
	else if (at->message)
		error_set(err, "catalog: message '%.50s': %s", at->message->name, what);
	else
		error_set(err, "catalog: %s", what);
	return -EBADMSG;
}

/* ---- texts ---- */

/* Length of the UTF-8 sequence at s (RFC 3629: shortest form, no surrogates), 0 if it is none. */
static size_t utf8_sequence(const uint8_t *s)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static bool is_utf8(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	while (*s) {
		size_t n = utf8_sequence(s);

		if (n == 0)
			return false;
		s += n;
	}
	return true;
}

/* Names are levels of paths and words in topics, URLs and CSV: no dots, blanks, controls. */
static bool is_name(const char *text)
{
	if (*text == '\0' || !is_utf8(text))
		return false;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == '.' || *text == 0x7f)
			return false;
	return true;
}

/* ---- checks ---- */

static int check_position(const struct place *at, struct error *err)
{
	const Towline__V1__Signal *s = at->signal;
	uint32_t first = s->start_bit; /* in order of the wire: LSB first, or MSB first */

	if (s->bits < 1 || s->bits > 64)
		return reject(at, err, "%" PRIu32 " bits, not 1 to 64", s->bits);
	if (s->big_endian)
		first = (first & ~7u) + (7 - (first & 7));
	if (s->start_bit >= at->message->bytes * 8 || s->bits > at->message->bytes * 8 - first)
		return reject(at, err,
			      "start bit %" PRIu32 " with %" PRIu32
			      " bits is outside the message's %" PRIu32 " bytes",
			      s->start_bit, s->bits, at->message->bytes);
	return 0;
}

static int check_kind(const struct place *at, struct error *err)
{
	const Towline__V1__Signal *s = at->signal;

	if (s->kind > SIGNAL_FLOAT64)
		return reject(at, err, "kind %" PRIu32 " is unknown", s->kind);
	if ((s->kind == SIGNAL_FLOAT32 && s->bits != 32) ||
	    (s->kind == SIGNAL_FLOAT64 && s->bits != 64))
		return reject(at, err, "a float of %" PRIu32 " bits", s->bits);
	if (!isfinite(s->factor) || !isfinite(s->offset))
		return reject(at, err, "factor or offset is not finite");
	if (!isfinite(s->min) || !isfinite(s->max))
		return reject(at, err, "min or max is not finite");
	return 0;
}

static int check_choices(const struct place *at, struct error *err)
{
	const Towline__V1__Signal *s = at->signal;

	for (size_t i = 0; i < s->n_choices; i++) {
		if (i > 0 && s->choices[i]->raw <= s->choices[i - 1]->raw)
			return reject(at, err, "choices are not ascending at %" PRId64,
				      s->choices[i]->raw);
		if (!is_utf8(s->choices[i]->text))
			return reject(at, err, "text of choice %" PRId64 " is not UTF-8",
				      s->choices[i]->raw);
	}
	return 0;
}

static int check_mux(const struct place *at, struct error *err)
{
	const Towline__V1__Signal *s = at->signal;

	if (s->mux == 0)
		return s->n_mux_ranges ? reject(at, err, "ranges without a multiplexor") : 0;
	if (s->mux > at->message->n_signals)
		return reject(at, err, "multiplexor %" PRIu32 " of %zu signals", s->mux - 1,
			      at->message->n_signals);
	if (!at->message->signals[s->mux - 1]->is_mux)
		return reject(at, err, "'%.50s' is not a multiplexor",
			      at->message->signals[s->mux - 1]->name);
	if (s->n_mux_ranges == 0)
		return reject(at, err, "a multiplexor without ranges");
	for (size_t i = 0; i < s->n_mux_ranges; i++)
		if (s->mux_ranges[i]->to < s->mux_ranges[i]->from)
			return reject(at, err, "range %" PRIu64 " to %" PRIu64,
				      s->mux_ranges[i]->from, s->mux_ranges[i]->to);
	return 0;
}

/* Follows the chain of multiplexors: one that is too long is, or may as well be, a circle. */
static int check_mux_depth(const struct place *at, struct error *err)
{
	Towline__V1__Signal *const *signals = at->message->signals;
	uint32_t mux = at->signal->mux;

	for (int depth = 0; mux != 0; depth++) {
		if (depth == MUX_DEPTH_MAX)
			return reject(at, err,
				      "its multiplexors form a circle or are nested over %d deep",
				      MUX_DEPTH_MAX);
		mux = signals[mux - 1]->mux;
	}
	return 0;
}

static int check_signal(const struct place *at, struct error *err)
{
	const Towline__V1__Signal *s = at->signal;
	int r;

	if (!is_name(s->name))
		return reject(at, err, "its name is empty or has blanks, dots or bad UTF-8");
	if (!is_utf8(s->unit))
		return reject(at, err, "unit is not UTF-8");
	if (!is_utf8(s->comment))
		return reject(at, err, "comment is not UTF-8");
	r = check_position(at, err);
	if (!r)
		r = check_kind(at, err);
	if (!r)
		r = check_choices(at, err);
	if (!r)
		r = check_mux(at, err);
	return r;
}

static int check_signals(struct place at, struct error *err)
{
	const Towline__V1__Message *m = at.message;
	int r;

	for (size_t i = 0; i < m->n_signals; i++) {
		at.signal = m->signals[i];
		r = check_signal(&at, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < m->n_signals; i++) {
		at.signal = m->signals[i];
		r = check_mux_depth(&at, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_message(const Towline__V1__Catalog *c, const Towline__V1__Message *m,
			 struct error *err)
{
	struct place at = {.message = m};

	if (!is_name(m->name))
		return reject(&at, err, "its name is empty or has blanks, dots or bad UTF-8");
	if (!is_utf8(m->comment))
		return reject(&at, err, "comment is not UTF-8");
	if (m->bus >= c->n_buses)
		return reject(&at, err, "bus %" PRIu32 " of %zu", m->bus, c->n_buses);
	if (m->id > (m->extended ? 0x1fffffffu : 0x7ffu))
		return reject(&at, err, "id %" PRIx32 " has over %d bits", m->id,
			      m->extended ? 29 : 11);
	if (m->j1939 && !m->extended)
		return reject(&at, err, "J1939 needs an identifier of 29 bits");
	if (m->status && (m->id != 0 || m->extended))
		return reject(&at, err, "the status of a bus has no id");
	if (m->bytes > CATALOG_MESSAGE_BYTES_MAX)
		return reject(&at, err, "%" PRIu32 " bytes, at most %d", m->bytes,
			      CATALOG_MESSAGE_BYTES_MAX);
	if (m->n_signals > CATALOG_MESSAGE_SIGNALS_MAX)
		return reject(&at, err, "%zu signals, at most %d", m->n_signals,
			      CATALOG_MESSAGE_SIGNALS_MAX);
	return check_signals(at, err);
}

int catalog_check(const Towline__V1__Catalog *c, struct error *err)
{
	const struct place top = {0};
	size_t signals = 0;

	if (c->format != FORMAT)
		return reject(&top, err, "format %" PRIu32 ", this version reads %d", c->format,
			      FORMAT);
	if (c->n_buses > BUSES_MAX)
		return reject(&top, err, "%zu buses, at most %d", c->n_buses, BUSES_MAX);
	for (size_t i = 0; i < c->n_buses; i++)
		if (!is_name(c->buses[i]))
			return reject(&top, err, "the name of bus %zu is empty or odd", i);
	for (size_t i = 0; i < c->n_messages; i++) {
		int r = check_message(c, c->messages[i], err);

		if (r < 0)
			return r;
		signals += c->messages[i]->n_signals;
	}
	if (signals > CATALOG_SIGNALS_MAX)
		return reject(&top, err, "%zu signals, at most %d", signals, CATALOG_SIGNALS_MAX);
	return 0;
}
