#include "tools/dbc/lex.h"
#include "tools/dbc/reader.h"

#include <stdio.h>
#include <string.h>

static int pass_over(struct reader *r)
{
	struct dbc_span ignored;

	while (!lex_at_statement(&r->lex)) {
		if (lex_char(&r->lex, ';'))
			return 0;
		if (lex_peek(&r->lex) == '"') {
			if (!lex_string(&r->lex, &ignored))
				return dbc_unexpected(r, r->keyword, "a string");
		} else if (!lex_word(&r->lex, &ignored)) {
			(void)lex_char(&r->lex, lex_peek(&r->lex));
		}
	}
	return dbc_read_semicolon(r, r->keyword);
}

/* VERSION "text": says nothing about decoding. */
static int read_version(struct reader *r)
{
	const char *ignored;

	if (!dbc_read_string(r, "VERSION", &ignored))
		return dbc_unexpected(r, "VERSION", "a string");
	return 0;
}

/* NS_ lists keywords, each on a line of its own or all after the colon. */
static int read_namespace(struct reader *r)
{
	struct dbc_span word;
	struct lex ahead;
	unsigned line = r->lex.line;

	(void)lex_char(&r->lex, ':');
	for (ahead = r->lex; lex_symbol(&ahead, &word); ahead = r->lex) {
		if (ahead.line != line && !lex_line_done(&ahead))
			break;
		r->lex = ahead;
	}
	return 0;
}

/* BS_: and BU_: have lists without an end mark. Baud rates and nodes say nothing about decoding. */
static int read_list(struct reader *r)
{
	struct dbc_span ignored;

	(void)lex_char(&r->lex, ':');
	while (!lex_at_statement(&r->lex))
		if (!lex_word(&r->lex, &ignored) && !lex_char(&r->lex, ',') &&
		    !lex_char(&r->lex, ':') && !lex_char(&r->lex, ';'))
			return dbc_unexpected(r, r->keyword, "a name");
	return 0;
}

/* A run of lines that no statement begins is one diagnostic. */
static int read_garbage(struct reader *r)
{
	unsigned line = r->lex.line;
	struct dbc_span rest = lex_line_rest(&r->lex);
	unsigned last = line;

	while (!lex_at_statement(&r->lex)) {
		last = r->lex.line;
		(void)lex_line_rest(&r->lex);
	}
	if (last > line)
		dbc_error(&r->report, line, "not a statement, skipped up to line %u: '%.*s'", last,
			  (int)(rest.len < 40 ? rest.len : 40), rest.p);
	else
		dbc_error(&r->report, line, "not a statement, skipped: '%.*s'",
			  (int)(rest.len < 40 ? rest.len : 40), rest.p);
	return 0;
}

static int read_statement(struct reader *r)
{
	enum dbc_keyword keyword;
	struct lex begin;

	if (lex_char(&r->lex, ';'))
		return 0;
	begin = r->lex;
	keyword = lex_keyword(&r->lex);
	snprintf(r->keyword, sizeof(r->keyword), "%.*s", (int)(r->lex.p - begin.p), begin.p);
	r->line = begin.line;
	switch (keyword) {
	case KW_VERSION:
		return read_version(r);
	case KW_NS:
		return read_namespace(r);
	case KW_BS:
	case KW_BU:
		return read_list(r);
	case KW_BO:
		return dbc_read_message(r);
	case KW_SG:
		return dbc_read_signal(r);
	case KW_VAL_TABLE:
		return dbc_read_table(r);
	case KW_VAL:
		return dbc_read_choices(r);
	case KW_CM:
		return dbc_read_comment(r);
	case KW_BA_DEF:
		return dbc_read_attribute_definition(r);
	case KW_BA_DEF_DEF:
		return dbc_read_attribute_default(r);
	case KW_BA:
		return dbc_read_attribute(r);
	case KW_SIG_VALTYPE:
		return dbc_read_valtype(r);
	case KW_SG_MUL_VAL:
		return dbc_read_mux_ranges(r);
	case KW_PASSED_OVER:
		return pass_over(r);
	case KW_NONE:
		break;
	}
	return read_garbage(r);
}

static int read_file(struct reader *r)
{
	while (!lex_end(&r->lex)) {
		if (read_statement(r) == STATEMENT_BAD)
			lex_recover(&r->lex);
		if (r->failed < 0)
			return r->failed;
		if (r->dbc->arena.failed)
			return -ENOMEM;
	}
	return 0;
}

static int resolve(struct dbc *d, const struct dbc_report *report)
{
	int r;

	dbc_apply_notes(d, report);
	dbc_fit_messages(d, report);
	r = dbc_resolve_muxes(d, report);
	if (r < 0)
		return r;
	r = dbc_unique_names(d, report);
	if (r < 0)
		return r;
	return d->arena.failed ? -ENOMEM : 0;
}

static int skip_byte_order_mark(struct lex *l, const char *name, struct error *err)
{
	size_t len = (size_t)(l->end - l->p);

	if (len >= 2 && (memcmp(l->p, "\xff\xfe", 2) == 0 || memcmp(l->p, "\xfe\xff", 2) == 0)) {
		error_set(err, "%s: the text is UTF-16; save it as UTF-8", name);
		return -EBADMSG;
	}
	if (len >= 3 && memcmp(l->p, "\xef\xbb\xbf", 3) == 0)
		l->p += 3;
	return 0;
}

static int parse(struct dbc *d, const char *text, size_t len, const struct dbc_sink *sink,
		 struct error *err)
{
	struct reader reader = {
		.lex = {.p = text, .end = text + len, .line = 1, .taken = 1, .fresh = true},
		.report = {.sink = sink, .file = d->file},
		.dbc = d,
		.message = CATALOG_NONE,
	};
	int r = skip_byte_order_mark(&reader.lex, d->file, err);

	if (r < 0)
		return r;
	r = read_file(&reader);
	if (r == 0)
		r = resolve(d, &reader.report);
	if (r == -ENOMEM)
		error_set(err, "%s: out of memory", d->file);
	return r;
}

int dbc_parse(struct dbc **ret, const char *name, const void *text, size_t len,
	      const struct dbc_sink *sink, struct error *err)
{
	struct dbc *d;
	int r;

	if (len > DBC_FILE_MAX) {
		error_set(err, "%s: more than %d MiB", name, DBC_FILE_MAX >> 20);
		return -EFBIG;
	}
	d = calloc(1, sizeof(*d));
	if (!d) {
		error_set(err, "%s: out of memory", name);
		return -ENOMEM;
	}
	d->file = dbc_arena_text(&d->arena, name, strlen(name));
	r = parse(d, text ? text : "", len, sink, err);
	if (r < 0) {
		dbc_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

struct dbc *dbc_free(struct dbc *d)
{
	if (!d)
		return NULL;
	free(d->messages);
	free(d->signals);
	free(d->notes);
	free(d->tables);
	dbc_map_free(&d->by_key);
	dbc_map_free(&d->by_signal);
	dbc_map_free(&d->by_table);
	dbc_arena_free(&d->arena);
	free(d);
	return NULL;
}
