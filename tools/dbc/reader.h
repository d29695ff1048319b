/* tools/dbc/reader.h: the state of parsing, shared by the files that parse statements.
 *
 * Parsers of a statement begin after its keyword and return 0, or STATEMENT_BAD when they have
 * reported an error and the rest of the line is to be passed over. Out of memory is in
 * arena.failed and in failed, and ends the file. */
#pragma once

#include "tools/dbc/lex.h"
#include "tools/dbc/model.h"

enum { STATEMENT_BAD = 1 };

struct reader {
	struct lex lex;
	struct dbc_report report;
	struct dbc *dbc;
	uint32_t message;  /* that SG_ belongs to, or CATALOG_NONE */
	bool message_said; /* message is none, and that its signals are skipped has been said */
	unsigned line;	   /* at which the statement began */
	char keyword[80];  /* that it begins with, or "signal NAME"; for diagnostics */
	int failed;
};

int dbc_read_message(struct reader *r) must_check;
int dbc_read_signal(struct reader *r) must_check;

int dbc_read_comment(struct reader *r) must_check;
int dbc_read_table(struct reader *r) must_check;
int dbc_read_choices(struct reader *r) must_check;
int dbc_read_valtype(struct reader *r) must_check;
int dbc_read_mux_ranges(struct reader *r) must_check;
int dbc_read_attribute_definition(struct reader *r) must_check;
int dbc_read_attribute_default(struct reader *r) must_check;
int dbc_read_attribute(struct reader *r) must_check;

/* Reports what was expected and what is there. Returns STATEMENT_BAD. */
int dbc_unexpected(struct reader *r, const char *statement, const char *expected);
/* Takes the ';'. One that is missing before the next statement is reported and forgiven. */
int dbc_read_semicolon(struct reader *r, const char *statement) must_check;
/* A string as UTF-8; what had to be repaired is reported. False when there is none. */
bool dbc_read_string(struct reader *r, const char *what, const char **ret);
/* A word, copied. False when there is none. */
bool dbc_read_ident(struct reader *r, const char **ret);

enum dbc_id_result { ID_OK, ID_PSEUDO, ID_BAD };
/* The identifier of a message, as a key. *ret_repair: what had to be repaired, or NULL. ID_PSEUDO:
 * VECTOR__INDEPENDENT_SIG_MSG, which holds signals that no frame carries. */
enum dbc_id_result dbc_read_id(struct reader *r, uint32_t *ret_key, const char **ret_repair);

/* The parts that say what a statement is about: `id signal`, or `[BU_ node | BO_ id | SG_ id signal
 * | EV_ name]`. *ret_wanted: whether it is about a message or signal that a catalog may hold. */
int dbc_read_signal_reference(struct reader *r, const char *statement, struct dbc_note *n,
			      bool *ret_wanted) must_check;
int dbc_read_object(struct reader *r, const char *statement, struct dbc_note *n,
		    bool *ret_wanted) must_check;
/* Sets r->failed when out of memory. */
void dbc_add_note(struct reader *r, const struct dbc_note *n);
