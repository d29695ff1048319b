/* tools/cli/term.h: colours, tables and times for people; plain text where it is not a terminal. */
#pragma once

#include "base/base.h"

#include <stdio.h>

/* Escape sequences, or "" where out is not a terminal or NO_COLOR is set. */
const char *term_bold(FILE *out);
const char *term_dim(FILE *out);
const char *term_reset(FILE *out);
/* Moves to the top and clears, on a terminal only. */
void term_clear(FILE *out);

/* A table: rows of texts, printed with the columns aligned, the header bold. Texts are copied. */
/* Writes text with '?' for each control character. */
void term_put(FILE *out, const char *text);

struct table;
struct table *table_new(size_t columns); /* NULL: out of memory */
struct table *table_free(struct table *t);
/* Appends one cell; the first row is the header. NULL is an empty cell. */
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *fmt, ...) printf_like(2, 3);
/* Numbers in this column align right. */
void table_align_right(struct table *t, size_t column);
void table_print(const struct table *t, FILE *out);

/* "now", an RFC 3339 time, Unix milliseconds, or an age ("90s", "10m", "2h", "1d": so long before
 * now) to Unix milliseconds. Returns 0 or -EINVAL. */
int term_parse_time(const char *text, int64_t now_ms, int64_t *ret_ms) must_check;
