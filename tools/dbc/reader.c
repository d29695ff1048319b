#include "tools/dbc/reader.h"

#include <math.h>

enum { SHOWN_MAX = 40 };

int dbc_unexpected(struct reader *r, const char *statement, const char *expected)
{
	bool open_string = lex_open_string(&r->lex);
	struct lex at = r->lex;
	struct dbc_span rest;

	if (lex_end(&at))
		dbc_error(&r->report, at.taken, "%s: %s expected, but the file ends", statement,
			  expected);
	else if (open_string)
		dbc_error(&r->report, at.line, "%s: the string is not closed", statement);
	else if (lex_at_statement(&r->lex))
		dbc_error(&r->report, r->lex.taken, "%s: %s expected, but the line ends", statement,
			  expected);
	else {
		at = r->lex;
		rest = lex_line_rest(&at);
		dbc_error(&r->report, at.line, "%s: %s expected, found '%.*s'", statement, expected,
			  (int)(rest.len < SHOWN_MAX ? rest.len : SHOWN_MAX), rest.p);
	}
	return STATEMENT_BAD;
}

int dbc_read_semicolon(struct reader *r, const char *statement)
{
	if (lex_char(&r->lex, ';'))
		return 0;
	if (!lex_at_statement(&r->lex))
		return dbc_unexpected(r, statement, "';'");
	dbc_warn(&r->report, r->lex.taken, "%s: ';' is missing at the end", statement);
	return 0;
}

bool dbc_read_string(struct reader *r, const char *what, const char **ret)
{
	struct dbc_text_repairs repairs;
	struct dbc_span raw;
	unsigned line;

	(void)lex_peek(&r->lex);
	line = r->lex.line;
	if (!lex_string(&r->lex, &raw))
		return false;
	*ret = dbc_text_string(&r->dbc->arena, raw, &repairs);
	if (repairs.recoded)
		dbc_warn(&r->report, line, "%s is not UTF-8: read as Windows-1252", what);
	if (repairs.control)
		dbc_warn(&r->report, line, "%s holds control characters: replaced by U+FFFD", what);
	return true;
}

enum { ID_11_MAX = 0x7ff, ID_29_MAX = 0x1fffffff };
static const uint32_t id_pseudo = 0xc0000000; /* VECTOR__INDEPENDENT_SIG_MSG */

static enum dbc_id_result to_key(uint32_t id, uint32_t *ret_key, const char **ret_repair)
{
	if (id == id_pseudo)
		return ID_PSEUDO;
	if ((id & ~DBC_EXTENDED) > ID_29_MAX)
		return ID_BAD;
	if (id < DBC_EXTENDED && id > ID_11_MAX) {
		*ret_repair = "more than 11 bits without bit 31: taken as a 29-bit identifier";
		id |= DBC_EXTENDED;
	}
	*ret_key = id;
	return ID_OK;
}

/* Some tools print the 32 bits as a signed number, and some in hex. */
enum dbc_id_result dbc_read_id(struct reader *r, uint32_t *ret_key, const char **ret_repair)
{
	double v;

	*ret_key = DBC_NO_KEY;
	*ret_repair = NULL;
	if (!lex_number(&r->lex, &v) || !(v >= INT32_MIN && v <= UINT32_MAX) || v != trunc(v))
		return ID_BAD;
	if (v < 0) {
		*ret_repair = "negative: taken as its 32 bits";
		return to_key((uint32_t)(int32_t)v, ret_key, ret_repair);
	}
	return to_key((uint32_t)v, ret_key, ret_repair);
}

bool dbc_read_ident(struct reader *r, const char **ret)
{
	struct dbc_span word;

	if (!lex_word(&r->lex, &word))
		return false;
	*ret = dbc_arena_text(&r->dbc->arena, word.p, word.len);
	return true;
}

/* What had to be repaired has been reported at BO_. */
static int read_reference(struct reader *r, const char *statement, struct dbc_note *n,
			  bool *ret_wanted)
{
	struct lex before = r->lex;
	const char *repair;
	enum dbc_id_result result = dbc_read_id(r, &n->key, &repair);

	if (result == ID_BAD) {
		r->lex = before;
		return dbc_unexpected(r, statement, "a CAN identifier");
	}
	*ret_wanted = result == ID_OK;
	return 0;
}

int dbc_read_signal_reference(struct reader *r, const char *statement, struct dbc_note *n,
			      bool *ret_wanted)
{
	int result = read_reference(r, statement, n, ret_wanted);

	if (result == 0 && !dbc_read_ident(r, &n->signal))
		result = dbc_unexpected(r, statement, "the name of a signal");
	return result;
}

int dbc_read_object(struct reader *r, const char *statement, struct dbc_note *n, bool *ret_wanted)
{
	enum dbc_keyword k = lex_object(&r->lex);
	struct dbc_span ignored;

	n->key = DBC_NO_KEY;
	*ret_wanted = false;
	if (k == KW_BO)
		return read_reference(r, statement, n, ret_wanted);
	if (k == KW_SG)
		return dbc_read_signal_reference(r, statement, n, ret_wanted);
	if (k != KW_NONE && !lex_word(&r->lex, &ignored))
		return dbc_unexpected(r, statement, "a name");
	return 0;
}

void dbc_add_note(struct reader *r, const struct dbc_note *n)
{
	struct dbc *d = r->dbc;
	void *array = d->notes;
	int err = dbc_grow(&array, &d->cap_notes, d->n_notes, sizeof(*n));

	d->notes = array;
	if (err < 0)
		r->failed = err;
	else
		d->notes[d->n_notes++] = *n;
}
