/* base/conf_private.h: what the conf_*.c files share. Nobody else includes it. */
#pragma once

#include "base/conf.h"

enum {
	CONF_FILE_MAX = 1 << 20,  /* bytes of a configuration file */
	CONF_LIST_MAX = 64 << 10, /* bytes of a list with its continuation lines */
	CONF_LABELS_MAX = 256,	  /* named sections of a file */
	CONF_LABEL_LEN_MAX = 40,
	CONF_LIMITS_TEXT = 160,
};

struct conf_value {
	char *text; /* NULL: not given and without a default. A list: its items, each with a NUL */
	size_t len; /* bytes of text, the last NUL not counted */
	size_t n_items; /* CONF_LIST */
	int64_t number; /* CONF_INT, CONF_BOOL (0, 1), CONF_ENUM (index) */
	int line;	/* 0: the default */
};

/* One section of the file: a plain one, or a named one with its label. */
struct conf_part {
	const struct conf_section *section;
	char *label;		   /* NULL: plain */
	int line;		   /* of its first header; 0: not in the file */
	struct conf_value *values; /* one for each key of the table; used: those of the section */
};

struct conf {
	const struct conf_table *table;
	struct conf_part *parts; /* all plain sections, then labels in file order */
	size_t n_parts;
};

struct conf *conf_alloc(const struct conf_table *table);
/* Adds a part with its defaults. label is copied. Returns NULL without memory. */
struct conf_part *conf_add_part(struct conf *c, const struct conf_section *section,
				const char *label);
struct conf_part *conf_find_part(const struct conf *c, const char *section, const char *label);
bool conf_key_is_of(const struct conf_key *key, const struct conf_section *section);

/* Replaces what v holds. Returns 0, -ENOMEM, -EINVAL: conf_value_limits says what is allowed, or
 * -E2BIG: a list of more than CONF_LIST_MAX bytes. */
int conf_value_set(struct conf_value *v, const struct conf_key *key, const char *text, int line);
/* Adds the items of a continuation line; same returns. */
int conf_value_extend(struct conf_value *v, const struct conf_key *key, const char *text);
void conf_value_free(struct conf_value *v);
/* Once a file has been read: 0, or -EINVAL for a list with too few items. */
int conf_value_check(const struct conf_value *v, const struct conf_key *key);
bool conf_value_equal(const struct conf_value *a, const struct conf_value *b,
		      const struct conf_key *key);
/* "an integer from 5 to 3600": what a value of this key may be. Returns out. */
const char *conf_value_limits(const struct conf_key *key, char out[static CONF_LIMITS_TEXT]);
