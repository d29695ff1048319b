#include "tools/dbc/lex.h"

#include <math.h>
#include <string.h>

enum { NUMBER_MAX = 256 }; /* characters */

static const struct {
	const char *name;
	enum dbc_keyword keyword;
} keywords[] = {
	{"VERSION", KW_VERSION},
	{"NS_", KW_NS},
	{"BS_", KW_BS},
	{"BU_", KW_BU},
	{"BO_", KW_BO},
	{"SG_", KW_SG},
	{"VAL_TABLE_", KW_VAL_TABLE},
	{"VAL_", KW_VAL},
	{"CM_", KW_CM},
	{"BA_DEF_", KW_BA_DEF},
	{"BA_DEF_DEF_", KW_BA_DEF_DEF},
	{"BA_", KW_BA},
	{"SIG_VALTYPE_", KW_SIG_VALTYPE},
	{"SG_MUL_VAL_", KW_SG_MUL_VAL},
	{"BO_TX_BU_", KW_PASSED_OVER},
	{"EV_", KW_PASSED_OVER},
	{"EV_DATA_", KW_PASSED_OVER},
	{"ENVVAR_DATA_", KW_PASSED_OVER},
	{"SGTYPE_", KW_PASSED_OVER},
	{"SGTYPE_VAL_", KW_PASSED_OVER},
	{"SIG_GROUP_", KW_PASSED_OVER},
	{"SIG_TYPE_REF_", KW_PASSED_OVER},
	{"SIGTYPE_VALTYPE_", KW_PASSED_OVER},
	{"BA_DEF_SGTYPE_", KW_PASSED_OVER},
	{"BA_SGTYPE_", KW_PASSED_OVER},
	{"BA_DEF_REL_", KW_PASSED_OVER},
	{"BA_DEF_DEF_REL_", KW_PASSED_OVER},
	{"BA_REL_", KW_PASSED_OVER},
	{"BU_SG_REL_", KW_PASSED_OVER},
	{"BU_EV_REL_", KW_PASSED_OVER},
	{"BU_BO_REL_", KW_PASSED_OVER},
	{"CAT_DEF_", KW_PASSED_OVER},
	{"CAT_", KW_PASSED_OVER},
	{"FILTER", KW_PASSED_OVER},
	{"NS_DESC_", KW_PASSED_OVER},
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes LF, CR LF, or a CR alone. */
static void take_line_end(struct lex *l)
{
	if (*l->p == '\r' && l->p + 1 < l->end && l->p[1] == '\n')
		l->p++;
	l->p++;
	l->line++;
	l->fresh = true;
}

static void to_line_end(struct lex *l)
{
	while (l->p < l->end && !is_line_end(*l->p))
		l->p++;
}

static void take_blanks(struct lex *l)
{
	while (l->p < l->end && is_blank(*l->p))
		l->p++;
}

static void take_space(struct lex *l)
{
	while (l->p < l->end) {
		if (is_line_end(*l->p))
			take_line_end(l);
		else if (is_blank(*l->p))
			l->p++;
		else if (*l->p == '/' && l->p + 1 < l->end && l->p[1] == '/')
			to_line_end(l);
		else
			break;
	}
}

static void take(struct lex *l, size_t n)
{
	l->p += n;
	l->taken = l->line;
	l->fresh = false;
}

bool lex_end(struct lex *l)
{
	take_space(l);
	return l->p == l->end;
}

char lex_peek(struct lex *l)
{
	return lex_end(l) ? '\0' : *l->p;
}

bool lex_char(struct lex *l, char c)
{
	if (lex_end(l) || *l->p != c)
		return false;
	take(l, 1);
	return true;
}

static bool ends_word(char c)
{
	return is_blank(c) || is_line_end(c) || (c && strchr(":;,\"|@()[]", c));
}

static size_t word_len(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && !ends_word(p[n]))
		n++;
	return n;
}

bool lex_word(struct lex *l, struct dbc_span *ret)
{
	return !lex_at_statement(l) && lex_symbol(l, ret);
}

bool lex_symbol(struct lex *l, struct dbc_span *ret)
{
	size_t n;

	take_space(l);
	n = word_len(l->p, l->end);
	if (n == 0)
		return false;
	*ret = (struct dbc_span){l->p, n};
	take(l, n);
	return true;
}

static struct dbc_span trim(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	while (end > p && is_blank(end[-1]))
		end--;
	return (struct dbc_span){p, (size_t)(end - p)};
}

bool lex_to_colon(struct lex *l, struct dbc_span *ret)
{
	const char *q;

	take_space(l);
	if (l->line != l->taken)
		return false;
	for (q = l->p;
	     q < l->end && q - l->p < LEX_COLON_MAX && !is_line_end(*q) && *q != ':' && *q != '"';
	     q++)
		;
	if (q == l->end || *q != ':')
		return false;
	*ret = trim(l->p, q);
	take(l, (size_t)(q - l->p) + 1);
	return true;
}

bool lex_u64(struct lex *l, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = 0;

	take_space(l);
	for (; l->p + n < l->end && is_digit(l->p[n]); n++) {
		unsigned digit = (unsigned)(l->p[n] - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (n == 0)
		return false;
	*ret = v;
	take(l, n);
	return true;
}

static bool is_number_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
	       c == '-' || c == '.' || c == '#';
}

bool lex_number(struct lex *l, double *ret)
{
	char text[NUMBER_MAX], *stop;
	size_t n = 0;
	double v;

	take_space(l);
	while (l->p + n < l->end && n < sizeof(text) - 1 && is_number_char(l->p[n])) {
		text[n] = l->p[n];
		n++;
	}
	text[n] = '\0';
	if (n == sizeof(text) - 1)
		return false;
	v = strtod(text, &stop);
	if (stop == text)
		return false;
	if (*stop == '#')
		v = (double)NAN;
	else if (*stop)
		return false;
	*ret = v == 0 ? 0.0 : v; /* no negative zero: equal catalogs have equal bytes */
	take(l, n);
	return true;
}

static const char *find_keyword(const char *p, const char *end, enum dbc_keyword *ret)
{
	size_t n = word_len(p, end);

	for (size_t i = 0; i < array_len(keywords); i++) {
		if (strlen(keywords[i].name) != n || memcmp(keywords[i].name, p, n) != 0)
			continue;
		*ret = keywords[i].keyword;
		return p + n;
	}
	return NULL;
}

enum dbc_keyword lex_keyword(struct lex *l)
{
	enum dbc_keyword ret = KW_NONE;
	const char *after;

	take_space(l);
	after = find_keyword(l->p, l->end, &ret);
	if (after)
		take(l, (size_t)(after - l->p));
	return ret;
}

enum dbc_keyword lex_object(struct lex *l)
{
	return lex_at_statement(l) ? KW_NONE : lex_keyword(l);
}

bool lex_at_statement(struct lex *l)
{
	enum dbc_keyword ignored;

	if (lex_end(l))
		return true;
	return l->fresh && find_keyword(l->p, l->end, &ignored);
}

void lex_recover(struct lex *l)
{
	if (!lex_at_statement(l))
		(void)lex_line_rest(l);
}

bool lex_line_done(struct lex *l)
{
	if (l->line != l->taken)
		return true;
	take_blanks(l);
	return l->p == l->end || is_line_end(*l->p);
}

struct dbc_span lex_line_rest(struct lex *l)
{
	const char *start = l->p;

	to_line_end(l);
	take(l, 0);
	return trim(start, l->p);
}

static bool names_object(const char *p, const char *end)
{
	enum dbc_keyword k = KW_NONE;

	if (p < end && *p == '"')
		return true;
	return find_keyword(p, end, &k) && (k == KW_BO || k == KW_SG || k == KW_BU);
}

static bool is_signal_line(const char *p, const char *end)
{
	static const char order[] = ":|@";
	size_t found = 0;

	for (; p < end && !is_line_end(*p) && found < 3; p++)
		if (*p == order[found])
			found++;
	return found == 3;
}

/* Does the line at p look like a statement, and not like prose that mentions one? */
static bool looks_like_statement(const char *p, const char *end)
{
	enum dbc_keyword k = KW_NONE;

	while (p < end && is_blank(*p))
		p++;
	p = find_keyword(p, end, &k);
	if (!p)
		return false;
	while (p < end && is_blank(*p))
		p++;
	if (k == KW_SG)
		return is_signal_line(p, end);
	if (k == KW_CM || k == KW_BA || k == KW_BA_DEF || k == KW_BA_DEF_DEF)
		return names_object(p, end);
	if (k == KW_BO || k == KW_VAL || k == KW_SIG_VALTYPE || k == KW_SG_MUL_VAL)
		return p < end && is_digit(*p);
	return false;
}

static bool ends_statement(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p < end && *p == ';';
}

static bool is_escaped_quote(const char *p, const char *end)
{
	return *p == '\\' && p + 1 < end && p[1] == '"';
}

/* The first `\"` that could end a statement, from p up to limit, or NULL. */
static const char *find_doubtful(const char *p, const char *limit, const char *end)
{
	for (; p < limit; p++)
		if (is_escaped_quote(p, end) && ends_statement(p + 2, end))
			return p + 1;
	return NULL;
}

/* From p to a quote, or to a statement that the string would swallow. */
static struct lex_search search_close(const char *p, const char *end)
{
	struct lex_search s = {.from = p};

	for (; p < end && *p != '"'; p++) {
		if (is_escaped_quote(p, end))
			p++;
		else if (is_line_end(*p) && looks_like_statement(p + 1, end))
			break;
	}
	s.to = p;
	s.closed = p < end && *p == '"';
	s.doubtful = s.closed ? NULL : find_doubtful(s.from, p, end);
	return s;
}

/* The closing quote of a string whose contents start at p, or NULL. A string that would swallow a
 * statement is not closed. `\"` is a quote within the text, unless that leaves the string open:
 * then it is a text that ends with a backslash ("C:\"). */
static const char *find_close(struct lex *l, const char *p)
{
	struct lex_search *s = &l->search;

	if (!s->to || p < s->from || p > s->to) {
		*s = search_close(p, l->end);
	} else if (s->doubtful && s->doubtful <= p) {
		s->from = p;
		s->doubtful = find_doubtful(p, s->to, l->end);
	}
	return s->closed ? s->to : s->doubtful;
}

bool lex_open_string(struct lex *l)
{
	return lex_peek(l) == '"' && !find_close(l, l->p + 1);
}

bool lex_string(struct lex *l, struct dbc_span *ret)
{
	const char *close;

	if (lex_end(l) || *l->p != '"')
		return false;
	close = find_close(l, l->p + 1);
	if (!close)
		return false;
	*ret = (struct dbc_span){l->p + 1, (size_t)(close - l->p - 1)};
	while (l->p <= close) {
		if (is_line_end(*l->p))
			take_line_end(l);
		else
			take(l, 1);
	}
	return true;
}
