/* tools/dbc/lex.h: a cursor over the text of a DBC file.
 *
 * The format has no single set of tokens (`16|9@1-` and `Foo-Bar` both occur), so the parser asks
 * for what it expects. All but lex_blank_line and the functions that say so skip white space,
 * line ends and `//` comments first. */
#pragma once

#include "tools/dbc/text.h"

/* The last search for the quote that closes a string. One that begins within it would end the same,
 * so that a file full of open strings costs no search each. */
struct lex_search {
	const char *from, *to; /* to: the closing quote, or where the search gave up; NULL: none */
	bool closed;
	const char *doubtful; /* the first `\";` in it, or NULL */
};

struct lex {
	const char *p, *end;
	unsigned line;	/* of p, from 1 */
	unsigned taken; /* line of what was taken last */
	bool fresh;	/* only white space before p on its line */
	struct lex_search search;
};

enum dbc_keyword {
	KW_NONE,
	KW_VERSION,
	KW_NS,
	KW_BU,
	KW_BO,
	KW_SG,
	KW_VAL_TABLE,
	KW_VAL,
	KW_CM,
	KW_BA_DEF,
	KW_BA_DEF_DEF,
	KW_BA,
	KW_SIG_VALTYPE,
	KW_SG_MUL_VAL,
	KW_PASSED_OVER, /* says nothing about decoding; ends with ';' */
	KW_BS,
};

bool lex_end(struct lex *l); /* nothing but white space is left */
bool lex_char(struct lex *l, char c);
/* The character that is next, not taken; 0 at the end. */
char lex_peek(struct lex *l);
/* Up to white space or one of `:;,"|@()[]`. False and nothing taken when that is empty, or when a
 * statement begins here. */
bool lex_word(struct lex *l, struct dbc_span *ret);
/* On this line up to ':', which is taken; trimmed. False and nothing taken when there is none
 * within LEX_COLON_MAX characters. */
enum { LEX_COLON_MAX = 1024 };
bool lex_to_colon(struct lex *l, struct dbc_span *ret);
bool lex_u64(struct lex *l, uint64_t *ret); /* digits; false also when it does not fit */
/* Any number of C; NaN for those of other spellings (`1.#IND`). False when it is no number. */
bool lex_number(struct lex *l, double *ret);
/* The raw contents between quotes, which may go over lines. False with nothing taken when there is
 * no quote next, or the string is not closed. */
bool lex_string(struct lex *l, struct dbc_span *ret);
/* A string begins here that is not closed. */
bool lex_open_string(struct lex *l);
/* Nothing but blanks follows on the line of what was taken last. */
bool lex_line_done(struct lex *l);
struct dbc_span lex_line_rest(struct lex *l); /* takes it, without the line's end; trimmed */
/* The keyword that is next, taken; or KW_NONE with nothing taken. */
enum dbc_keyword lex_keyword(struct lex *l);
/* The same within a statement: KW_NONE when the next statement begins here. */
enum dbc_keyword lex_object(struct lex *l);
/* The same for a word that is a keyword itself, as in NS_. */
bool lex_symbol(struct lex *l, struct dbc_span *ret);
/* A statement begins here: a keyword that is first on its line, or the end. */
bool lex_at_statement(struct lex *l);
/* Passes over the rest of the line, unless a statement begins here. */
void lex_recover(struct lex *l);
