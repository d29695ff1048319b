/* BA_DEF_, BA_DEF_DEF_, BA_: the few attributes that say something about decoding. */
#include "tools/dbc/reader.h"

#include <string.h>
#include <strings.h>

enum { FRAME_FORMATS_MAX = 256 };

static bool concerns_decoding(const char *name)
{
	static const char *const names[] = {
		"VFrameFormat",
		"ProtocolType",
		"SystemMessageLongSymbol",
		"SystemSignalLongSymbol",
	};

	for (size_t i = 0; i < array_len(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* The rest of an attribute that does not concern us: up to its ';', which must be there. */
static int pass_attribute(struct reader *r, const char *statement)
{
	struct dbc_span ignored;

	while (lex_peek(&r->lex) != ';' && !lex_at_statement(&r->lex)) {
		if (lex_peek(&r->lex) == '"') {
			if (!lex_string(&r->lex, &ignored))
				return dbc_unexpected(r, statement, "a text in quotes");
		} else if (!lex_word(&r->lex, &ignored)) {
			(void)lex_char(&r->lex, lex_peek(&r->lex));
		}
	}
	return dbc_read_semicolon(r, statement);
}

static int read_frame_formats(struct reader *r)
{
	const char *names[FRAME_FORMATS_MAX];
	struct dbc *d = r->dbc;
	size_t n = 0;

	while (n < array_len(names) && dbc_read_string(r, "VFrameFormat", &names[n])) {
		n++;
		(void)lex_char(&r->lex, ',');
	}
	d->frame_formats = dbc_arena_alloc(&d->arena, (n + 1) * sizeof(*names));
	if (d->frame_formats && n > 0)
		memcpy(d->frame_formats, names, n * sizeof(*names));
	d->n_frame_formats = d->frame_formats ? n : 0;
	return dbc_read_semicolon(r, "BA_DEF_");
}

/* BA_DEF_ [BU_|BO_|SG_|EV_] "name" type ... ; */
int dbc_read_attribute_definition(struct reader *r)
{
	struct dbc_span type;
	const char *name;

	(void)lex_object(&r->lex);
	if (!dbc_read_string(r, "attribute name", &name))
		return dbc_unexpected(r, "BA_DEF_", "a name in quotes");
	if (strcmp(name, "VFrameFormat") == 0 && lex_word(&r->lex, &type) && type.len == 4 &&
	    memcmp(type.p, "ENUM", 4) == 0)
		return read_frame_formats(r);
	return pass_attribute(r, "BA_DEF_");
}

/* The value of an enumeration is its place or its text. */
const char *dbc_frame_format(const struct dbc *d, double number)
{
	size_t i = number >= 0 && number < FRAME_FORMATS_MAX ? (size_t)number : FRAME_FORMATS_MAX;

	if (d->frame_formats)
		return i < d->n_frame_formats ? d->frame_formats[i] : "";
	return i == 3 ? "J1939PG" : "";
}

static int read_value(struct reader *r, const char *statement, const char **ret_text,
		      double *ret_number)
{
	if (dbc_read_string(r, "attribute value", ret_text))
		return 0;
	*ret_text = NULL;
	if (lex_peek(&r->lex) == '"' || !lex_number(&r->lex, ret_number))
		return dbc_unexpected(r, statement, "a value");
	return 0;
}

/* BA_DEF_DEF_ "name" value ; */
int dbc_read_attribute_default(struct reader *r)
{
	const char *name, *text;
	double number = 0;
	int result;

	if (!dbc_read_string(r, "attribute name", &name))
		return dbc_unexpected(r, "BA_DEF_DEF_", "a name in quotes");
	if (!concerns_decoding(name))
		return pass_attribute(r, "BA_DEF_DEF_");
	result = read_value(r, "BA_DEF_DEF_", &text, &number);
	if (result != 0)
		return result;
	if (strcmp(name, "VFrameFormat") == 0)
		r->dbc->frame_format_default = text ? text : dbc_frame_format(r->dbc, number);
	else if (strcmp(name, "ProtocolType") == 0 && text)
		r->dbc->j1939_protocol = strcasecmp(text, "J1939") == 0;
	return dbc_read_semicolon(r, "BA_DEF_DEF_");
}

/* BA_ "name" [object] value ; */
int dbc_read_attribute(struct reader *r)
{
	struct dbc_note n = {.kind = NOTE_ATTRIBUTE, .line = r->line};
	bool wanted;
	int result;

	if (!dbc_read_string(r, "attribute name", &n.attr))
		return dbc_unexpected(r, "BA_", "a name in quotes");
	if (!concerns_decoding(n.attr))
		return pass_attribute(r, "BA_");
	result = dbc_read_object(r, "BA_", &n, &wanted);
	if (result == 0)
		result = read_value(r, "BA_", &n.text, &n.number);
	if (result != 0)
		return result;
	if (strcmp(n.attr, "ProtocolType") == 0) {
		if (n.text && n.key == DBC_NO_KEY)
			r->dbc->j1939_protocol = strcasecmp(n.text, "J1939") == 0;
	} else if (wanted) {
		dbc_add_note(r, &n);
	}
	return dbc_read_semicolon(r, "BA_");
}
