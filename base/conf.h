/* base/conf.h: INI configuration (libinih) from one table of key, type, default, bounds, help.
 *
 * The table is the documentation: conf_print writes it as a commented file. An unknown section or
 * key, a value of the wrong type or out of bounds is an error that names file:line, the key, and
 * what is allowed. A section may repeat under names: `[source can0]`. */
#pragma once

#include "base/base.h"

#include <stdio.h>

enum conf_type { CONF_STRING, CONF_INT, CONF_BOOL, CONF_ENUM, CONF_LIST };

struct conf_key {
	const char *section; /* "mqtt" */
	const char *key;
	enum conf_type type;
	const char *def; /* as it would be written; NULL: must be given where its section is used */
	int64_t min, max;    /* CONF_INT: bounds; CONF_STRING and CONF_LIST: bounds of the length */
	const char *choices; /* CONF_ENUM: "change|every|period" */
	const char *help;    /* one line or more, units included */
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

/* Reads path, or only the defaults where path is NULL. Returns 0; -EINVAL with err set to
 * "path:line: ..."; -errno where the file cannot be read, with err set too. */
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

/* Calls back for each key that differs between two configurations (label NULL for plain ones). */
void conf_diff(const struct conf *a, const struct conf *b,
	       void (*cb)(void *ctx, const struct conf_key *key, const char *label), void *ctx);

/* Writes the table as an INI file: help, bounds and default of each key. */
void conf_print(const struct conf_table *table, FILE *out);
