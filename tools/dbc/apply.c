/* Statements about messages and signals, applied once all of these are known. */
#include "tools/dbc/model.h"
#include "tools/dbc/text.h"

#include <string.h>
#include <strings.h>

enum { BYTES_CLASSIC = 8, BYTES_FD = 64 };

/* What a note is about. */
struct subject {
	struct dbc_message *message;
	struct dbc_signal *signal; /* NULL: the message itself */
};

static const char *statement_name(const struct dbc_note *n)
{
	switch (n->kind) {
	case NOTE_COMMENT:
		return "CM_";
	case NOTE_CHOICES:
	case NOTE_TABLE:
		return "VAL_";
	case NOTE_VALTYPE:
		return "SIG_VALTYPE_";
	case NOTE_MUX:
		return "SG_MUL_VAL_";
	case NOTE_ATTRIBUTE:
		return "BA_";
	}
	return "";
}

static bool find_subject(struct dbc *d, const struct dbc_report *r, const struct dbc_note *n,
			 struct subject *ret)
{
	uint32_t m = dbc_find_message(d, n->key), s;

	if (m == CATALOG_NONE) {
		dbc_error(r, n->line, "%s: message %s is unknown: skipped", statement_name(n),
			  dbc_id_text(n->key).s);
		return false;
	}
	ret->message = &d->messages[m];
	ret->signal = NULL;
	if (!n->signal)
		return true;
	s = dbc_find_signal(d, m, n->signal);
	if (s == CATALOG_NONE) {
		dbc_error(r, n->line, "%s: message %s has no signal %s: skipped", statement_name(n),
			  ret->message->name, n->signal);
		return false;
	}
	ret->signal = &d->signals[s];
	return !ret->signal->skipped;
}

static void apply_comment(const struct dbc_report *r, const struct dbc_note *n,
			  const struct subject *to)
{
	const char **comment = to->signal ? &to->signal->comment : &to->message->comment;

	if (!*comment)
		*comment = n->text;
	else if (strcmp(*comment, n->text) != 0)
		dbc_error(r, n->line, "CM_: %s has a comment already: skipped",
			  to->signal ? to->signal->name : to->message->name);
}

static void apply_choices(const struct dbc_report *r, const struct dbc_note *n,
			  struct dbc_signal *s, const struct catalog_choice *choices,
			  size_t n_choices)
{
	if (s->choices) {
		dbc_error(r, n->line, "VAL_: signal %s has value texts already: skipped", s->name);
		return;
	}
	s->choices = choices;
	s->n_choices = n_choices;
}

static void apply_table(struct dbc *d, const struct dbc_report *r, const struct dbc_note *n,
			struct dbc_signal *s)
{
	const struct dbc_table *t = dbc_find_table(d, n->text);

	if (t)
		apply_choices(r, n, s, t->choices, t->n);
	else
		dbc_error(r, n->line, "VAL_: signal %s: there is no VAL_TABLE_ %s: skipped",
			  s->name, n->text);
}

static void apply_valtype(const struct dbc_report *r, const struct dbc_note *n,
			  struct dbc_signal *s)
{
	if (n->number == 0)
		return;
	if (n->number == 1 && s->bits == 32)
		s->kind = SIGNAL_FLOAT32;
	else if (n->number == 2 && s->bits == 64)
		s->kind = SIGNAL_FLOAT64;
	else
		dbc_error(
			r, n->line,
			"SIG_VALTYPE_: signal %s of %u bits cannot be of type %g: stays an integer",
			s->name, s->bits, n->number);
}

static void apply_mux(struct dbc *d, const struct dbc_report *r, const struct dbc_note *n,
		      struct dbc_signal *s)
{
	uint32_t mux = dbc_find_signal(d, s->message, n->text);

	if (mux == CATALOG_NONE) {
		dbc_error(r, n->line, "SG_MUL_VAL_: message %s has no signal %s: skipped",
			  d->messages[s->message].name, n->text);
		return;
	}
	if (s->mux != CATALOG_NONE) {
		dbc_error(r, n->line, "SG_MUL_VAL_: signal %s has ranges already: skipped",
			  s->name);
		return;
	}
	if (!s->marked_muxed)
		dbc_warn(r, n->line, "SG_MUL_VAL_: signal %s is not marked m<number>", s->name);
	s->mux = mux;
	s->ranges = n->ranges;
	s->n_ranges = n->n;
}

static void apply_frame_format(struct dbc *d, const struct dbc_report *r, const struct dbc_note *n,
			       struct dbc_message *m)
{
	const char *format = n->text ? n->text : dbc_frame_format(d, n->number);

	m->format_given = true;
	m->j1939 = strcasecmp(format, "J1939PG") == 0;
	if (m->j1939 && !(m->key & DBC_EXTENDED)) {
		dbc_warn(r, n->line, "message %s (%s) has 11 bits: not taken as J1939", m->name,
			 dbc_id_text(m->key).s);
		m->j1939 = false;
	}
}

static void apply_attribute(struct dbc *d, const struct dbc_report *r, const struct dbc_note *n,
			    const struct subject *to)
{
	const char **name = to->signal ? &to->signal->name : &to->message->name;
	const char *attr = to->signal ? "SystemSignalLongSymbol" : "SystemMessageLongSymbol";
	struct dbc_span raw;
	bool repaired;

	if (strcmp(n->attr, "VFrameFormat") == 0 && !to->signal) {
		apply_frame_format(d, r, n, to->message);
		return;
	}
	if (strcmp(n->attr, attr) != 0 || !n->text || !*n->text)
		return;
	raw = (struct dbc_span){n->text, strlen(n->text)};
	*name = dbc_text_name(&d->arena, raw, &repaired);
	if (repaired)
		dbc_warn(r, n->line, "long name '%s' is not an identifier: taken as '%s'", n->text,
			 *name);
}

static void apply_to_signal(struct dbc *d, const struct dbc_report *r, const struct dbc_note *n,
			    struct dbc_signal *s)
{
	if (n->kind == NOTE_CHOICES)
		apply_choices(r, n, s, n->choices, n->n);
	else if (n->kind == NOTE_TABLE)
		apply_table(d, r, n, s);
	else if (n->kind == NOTE_VALTYPE)
		apply_valtype(r, n, s);
	else if (n->kind == NOTE_MUX)
		apply_mux(d, r, n, s);
}

static void apply_note(struct dbc *d, const struct dbc_report *r, const struct dbc_note *n)
{
	struct subject to;

	if (!find_subject(d, r, n, &to))
		return;
	if (n->kind == NOTE_COMMENT)
		apply_comment(r, n, &to);
	else if (n->kind == NOTE_ATTRIBUTE)
		apply_attribute(d, r, n, &to);
	else if (to.signal) /* always: their grammar names one */
		apply_to_signal(d, r, n, to.signal);
}

/* A message without a VFrameFormat of its own is J1939 when the file is, by the default of that
 * attribute or by ProtocolType, and the identifier has 29 bits. */
static void default_formats(struct dbc *d)
{
	bool j1939 = d->j1939_protocol || (d->frame_format_default &&
					   strcasecmp(d->frame_format_default, "J1939PG") == 0);

	for (size_t i = 0; i < d->n_messages; i++) {
		struct dbc_message *m = &d->messages[i];

		if (!m->format_given)
			m->j1939 = j1939 && (m->key & DBC_EXTENDED);
	}
}

void dbc_apply_notes(struct dbc *d, const struct dbc_report *r)
{
	for (size_t i = 0; i < d->n_notes; i++)
		apply_note(d, r, &d->notes[i]);
	default_formats(d);
}

/* ---- signals beyond the end of their message ---- */

/* Bytes that a message needs to hold the signal. */
static uint64_t bytes_needed(const struct dbc_signal *s)
{
	uint64_t first = s->start_bit; /* in the order of the wire */

	if (s->big_endian)
		first = (first & ~(uint64_t)7) + (7 - (first & 7));
	return (first + s->bits + 7) / 8;
}

/* A length of the same kind of frame: classic, FD, or transported. */
static uint32_t bytes_possible(uint32_t declared)
{
	if (declared <= BYTES_CLASSIC)
		return BYTES_CLASSIC;
	return declared <= BYTES_FD ? BYTES_FD : CATALOG_MESSAGE_BYTES_MAX;
}

static void fit_message(struct dbc *d, const struct dbc_report *r, struct dbc_message *m)
{
	uint32_t declared = m->bytes;

	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++) {
		struct dbc_signal *s = &d->signals[i];
		uint64_t bytes = bytes_needed(s);

		if (s->skipped || bytes <= declared)
			continue;
		if (bytes > bytes_possible(declared)) {
			dbc_error(
				r, s->line,
				"signal %s ends in byte %llu of message %s, which has %u: skipped",
				s->name, (unsigned long long)bytes, m->name, declared);
			s->skipped = true;
			continue;
		}
		dbc_warn(
			r, s->line,
			"signal %s ends in byte %llu of message %s, which has %u: message taken as "
			"longer",
			s->name, (unsigned long long)bytes, m->name, declared);
		if (bytes > m->bytes)
			m->bytes = (uint32_t)bytes;
	}
}

void dbc_fit_messages(struct dbc *d, const struct dbc_report *r)
{
	for (size_t i = 0; i < d->n_messages; i++)
		fit_message(d, r, &d->messages[i]);
}
