/* base/conf.h: INI configuration (libinih) from one table of key, type, default, bounds, help.
 *
 * The table is the documentation: conf_print writes it as a commented file. An unknown section or
 * key, a value of the wrong type or out of bounds is an error that names file:line, the key, and
 * what is allowed; so are a key given twice, a line too long for libinih (197 bytes), and a file
 * above 1 MiB. A section may repeat under names: `[source can0]`. A name has at most 40 letters,
 * digits, '_', '-' and '.'. An integer is decimal; a bool is true, yes, on, 1 or their opposites.
 * Only a list goes on in the lines after it, which are indented. ` ;` begins a comment. */
#pragma once

#include "base/base.h"

#include <stdio.h>

enum conf_type { CONF_STRING, CONF_INT, CONF_BOOL, CONF_ENUM, CONF_LIST };

struct conf_key {
	const char *section; /* "mqtt" */
	const char *key;
	enum conf_type type;
	/* As it would be written. NULL: must be given; in a named section, where that is opened. */
	const char *def;
	/* CONF_INT: of the value; CONF_STRING: of its bytes; CONF_LIST: of its items. Both 0: none.
	 * Where def is "", an empty value is within bounds: not set. */
	int64_t min, max;
	const char *choices; /* CONF_ENUM: "change|every|period" */
	const char *help;    /* sentences; conf_print wraps them, \n breaks a line */
	bool reloads;	     /* SIGHUP takes a new value without a restart */
};

struct conf_section {
	const char *name;
	bool named; /* may repeat as [name label] */
	const char *help;
};

struct conf_table {
	const struct conf_section *sections;
	size_t n_sections;
	const struct conf_key *keys;
	size_t n_keys;
};

struct conf;

/* Reads path, or only the defaults where path is NULL (then too, what is required is missing).
 * Returns 0; -EINVAL with err set to "path:line: ..."; -errno where the file cannot be read, with
 * err set too. table is borrowed for the configuration's life. */
int conf_load(struct conf **ret, const struct conf_table *table, const char *path,
	      struct error *err) must_check;
/* The same from memory; name stands for the path in messages. For tests and fuzzing. */
int conf_parse(struct conf **ret, const struct conf_table *table, const char *name,
	       const char *text, size_t len, struct error *err) must_check;
struct conf *conf_free(struct conf *c);

/* Labels of a named section, in file order. Borrowed. NULL past the end. */
const char *conf_label(const struct conf *c, const char *section, size_t i);

/* Values. label is NULL for a plain section. Asking for a key that is not in the table, or with
 * another type, is a programmer's mistake (assert). Texts are borrowed from c. */
const char *conf_string(const struct conf *c, const char *section, const char *label,
			const char *key);
int64_t conf_int(const struct conf *c, const char *section, const char *label, const char *key);
bool conf_bool(const struct conf *c, const char *section, const char *label, const char *key);
/* Index of the value among the choices. */
int conf_enum(const struct conf *c, const char *section, const char *label, const char *key);
/* Items split at commas and trimmed; NULL past the end. */
const char *conf_list(const struct conf *c, const char *section, const char *label, const char *key,
		      size_t i);
/* Line where the value was given, 0 for a default; for messages about it. */
int conf_line(const struct conf *c, const char *section, const char *label, const char *key);

/* Whether the value is the default, given or not. */
bool conf_is_default(const struct conf *c, const char *section, const char *label, const char *key);

/* Calls back for each key that differs between two configurations (label NULL for plain ones). */
void conf_diff(const struct conf *a, const struct conf *b,
	       void (*cb)(void *ctx, const struct conf_key *key, const char *label), void *ctx);

/* Writes the table as an INI file: help, bounds and default of each key. It can be read back, but
 * for keys that are required: those are commented out, as are named sections. */
void conf_print(const struct conf_table *table, FILE *out);
