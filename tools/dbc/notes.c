/* The statements about messages and signals: CM_, VAL_, SIG_VALTYPE_, SG_MUL_VAL_, BA_. */
#include "tools/dbc/reader.h"

#include <math.h>
#include <string.h>

/* CM_ [object] "text"; */
int dbc_read_comment(struct reader *r)
{
	struct dbc_note n = {.kind = NOTE_COMMENT, .line = r->line};
	bool wanted;
	int result = dbc_read_object(r, "CM_", &n, &wanted);

	if (result != 0)
		return result;
	if (!dbc_read_string(r, "comment", &n.text))
		return dbc_unexpected(r, "CM_", "a text in quotes");
	if (wanted)
		dbc_add_note(r, &n);
	return dbc_read_semicolon(r, "CM_");
}

/* ---- VAL_ and VAL_TABLE_ ---- */

struct numbered_choice {
	struct catalog_choice choice;
	size_t at; /* place in the file: qsort is not stable */
};

struct choices {
	struct numbered_choice *items;
	size_t n, cap;
};

static void free_choices(struct choices *c)
{
	free(c->items);
}

/* Unsigned values above INT64_MAX keep their bits. */
static bool to_raw(double v, int64_t *ret)
{
	if (v != trunc(v) || v < -0x1p63 || v >= 0x1p64)
		return false;
	*ret = v < 0x1p63 ? (int64_t)v : (int64_t)(uint64_t)v;
	return true;
}

/* Integers are exact to 64 bits; other spellings (`1.0`, `1E3`) go through a double. */
static int read_choice_value(struct reader *r, const char *statement, int64_t *ret)
{
	struct lex exact = r->lex;
	bool negative = lex_char(&exact, '-');
	uint64_t digits;
	double v;

	if (!lex_number(&r->lex, &v))
		return dbc_unexpected(r, statement, "a number");
	if (lex_u64(&exact, &digits) && exact.p == r->lex.p &&
	    (!negative || digits <= (uint64_t)INT64_MAX + 1)) {
		*ret = (int64_t)(negative ? 0 - digits : digits);
		return 0;
	}
	if (to_raw(v, ret))
		return 0;
	dbc_error(&r->report, r->line, "%s: value %g is not an integer of 64 bits: skipped",
		  statement, v);
	return 2;
}

static int read_choice(struct reader *r, const char *statement, struct choices *c)
{
	struct numbered_choice item = {.at = c->n};
	void *array = c->items;
	int result = read_choice_value(r, statement, &item.choice.raw);

	if (result == STATEMENT_BAD)
		return result;
	if (!dbc_read_string(r, "text of a value", &item.choice.text))
		return dbc_unexpected(r, statement, "a text in quotes");
	if (result != 0)
		return 0;
	r->failed = dbc_grow(&array, &c->cap, c->n, sizeof(item));
	c->items = array;
	if (r->failed == 0)
		c->items[c->n++] = item;
	return 0;
}

static int compare_choices(const void *a, const void *b)
{
	const struct numbered_choice *x = a, *y = b;

	if (x->choice.raw != y->choice.raw)
		return x->choice.raw < y->choice.raw ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* To the arena, ascending; of a value that is there twice the first. */
static void keep_choices(struct reader *r, const char *statement, struct choices *c,
			 struct catalog_choice **ret, size_t *ret_n)
{
	struct catalog_choice *kept = dbc_arena_alloc(&r->dbc->arena, (c->n + 1) * sizeof(*kept));
	size_t n = 0;

	*ret = kept;
	*ret_n = 0;
	if (!kept || c->n == 0)
		return;
	qsort(c->items, c->n, sizeof(*c->items), compare_choices);
	for (size_t i = 0; i < c->n; i++) {
		const struct catalog_choice *this = &c->items[i].choice;

		if (n == 0 || kept[n - 1].raw != this->raw)
			kept[n++] = *this;
		else if (strcmp(kept[n - 1].text, this->text) != 0)
			dbc_error(&r->report, r->line,
				  "%s: value %lld is '%.60s', then '%.60s': the latter is skipped",
				  statement, (long long)this->raw, kept[n - 1].text, this->text);
	}
	*ret_n = n;
}

/* Up to the ';'. What was read before something unexpected is kept. */
static int read_choice_list(struct reader *r, const char *statement, struct catalog_choice **ret,
			    size_t *ret_n)
{
	struct choices c cleanup(free_choices) = {0};
	int result = 0;

	while (result == 0 && r->failed == 0 && lex_peek(&r->lex) != ';' &&
	       !lex_at_statement(&r->lex))
		result = read_choice(r, statement, &c);
	keep_choices(r, statement, &c, ret, ret_n);
	return result ? result : dbc_read_semicolon(r, statement);
}

/* VAL_TABLE_ name value "text" ... ; */
int dbc_read_table(struct reader *r)
{
	struct dbc *d = r->dbc;
	struct dbc_table t = {0};
	void *array = d->tables;
	int result;

	if (!dbc_read_ident(r, &t.name))
		return dbc_unexpected(r, "VAL_TABLE_", "a name");
	result = read_choice_list(r, "VAL_TABLE_", &t.choices, &t.n);
	if (r->failed < 0)
		return result;
	if (dbc_find_table(d, t.name)) {
		dbc_error(&r->report, r->line, "VAL_TABLE_ %s is defined again: skipped", t.name);
		return result;
	}
	r->failed = dbc_grow(&array, &d->cap_tables, d->n_tables, sizeof(t));
	d->tables = array;
	if (r->failed == 0)
		r->failed = dbc_map_put(&d->by_table, dbc_hash(0, t.name), (uint32_t)d->n_tables);
	if (r->failed == 0)
		d->tables[d->n_tables++] = t;
	return result;
}

static bool starts_number(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.';
}

/* VAL_ id signal (value "text" ... | table) ;   VAL_ environment_variable value "text" ... ; */
int dbc_read_choices(struct reader *r)
{
	struct dbc_note n = {.kind = NOTE_CHOICES, .line = r->line};
	bool wanted = false;
	int result = 0;

	if (starts_number(lex_peek(&r->lex)))
		result = dbc_read_signal_reference(r, "VAL_", &n, &wanted);
	else if (!dbc_read_ident(r, &n.text))
		result = dbc_unexpected(r, "VAL_", "a CAN identifier");
	if (result != 0)
		return result;
	if (starts_number(lex_peek(&r->lex)) || lex_peek(&r->lex) == ';') {
		result = read_choice_list(r, "VAL_", &n.choices, &n.n);
	} else if (dbc_read_ident(r, &n.text)) {
		n.kind = NOTE_TABLE;
		result = dbc_read_semicolon(r, "VAL_");
	} else {
		return dbc_unexpected(r, "VAL_", "a value");
	}
	if (wanted)
		dbc_add_note(r, &n);
	return result;
}

/* SIG_VALTYPE_ id signal [:] type ; */
int dbc_read_valtype(struct reader *r)
{
	struct dbc_note n = {.kind = NOTE_VALTYPE, .line = r->line};
	bool wanted;
	int result = dbc_read_signal_reference(r, "SIG_VALTYPE_", &n, &wanted);

	if (result != 0)
		return result;
	(void)lex_char(&r->lex, ':');
	if (!lex_number(&r->lex, &n.number))
		return dbc_unexpected(r, "SIG_VALTYPE_", "a type from 0 to 2");
	if (wanted)
		dbc_add_note(r, &n);
	return dbc_read_semicolon(r, "SIG_VALTYPE_");
}

/* ---- SG_MUL_VAL_ id signal multiplexor from-to, from-to ... ; ---- */

struct ranges {
	struct catalog_range *items;
	size_t n, cap;
};

static void free_ranges(struct ranges *c)
{
	free(c->items);
}

static int read_range(struct reader *r, struct ranges *c)
{
	struct catalog_range range;
	void *array = c->items;

	if (!lex_u64(&r->lex, &range.from))
		return dbc_unexpected(r, "SG_MUL_VAL_", "a range");
	range.to = range.from;
	if (lex_char(&r->lex, '-') && !lex_u64(&r->lex, &range.to))
		return dbc_unexpected(r, "SG_MUL_VAL_", "the end of a range");
	if (range.to < range.from) {
		dbc_warn(&r->report, r->line, "SG_MUL_VAL_: range %llu-%llu is turned around",
			 (unsigned long long)range.from, (unsigned long long)range.to);
		range = (struct catalog_range){.from = range.to, .to = range.from};
	}
	r->failed = dbc_grow(&array, &c->cap, c->n, sizeof(range));
	c->items = array;
	if (r->failed == 0)
		c->items[c->n++] = range;
	return 0;
}

int dbc_read_mux_ranges(struct reader *r)
{
	struct dbc_note n = {.kind = NOTE_MUX, .line = r->line};
	struct ranges c cleanup(free_ranges) = {0};
	bool wanted;
	int result = dbc_read_signal_reference(r, "SG_MUL_VAL_", &n, &wanted);

	if (result == 0 && !dbc_read_ident(r, &n.text))
		result = dbc_unexpected(r, "SG_MUL_VAL_", "the name of the multiplexor");
	while (result == 0 && r->failed == 0) {
		result = read_range(r, &c);
		if (!lex_char(&r->lex, ',') && !starts_number(lex_peek(&r->lex)))
			break;
	}
	if (result != 0)
		return result;
	n.ranges = dbc_arena_alloc(&r->dbc->arena, (c.n + 1) * sizeof(*n.ranges));
	if (n.ranges && c.n > 0)
		memcpy(n.ranges, c.items, c.n * sizeof(*n.ranges));
	n.n = n.ranges ? dbc_sort_ranges(n.ranges, c.n) : 0;
	if (wanted)
		dbc_add_note(r, &n);
	return dbc_read_semicolon(r, "SG_MUL_VAL_");
}
