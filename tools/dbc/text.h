/* tools/dbc/text.h: the bytes of a DBC file as UTF-8. */
#pragma once

#include "tools/dbc/memory.h"

struct dbc_span {
	const char *p;
	size_t len;
};

/* What was done to a text beyond copying it. */
struct dbc_text_repairs {
	bool recoded; /* was not UTF-8: read as Windows-1252 */
	bool control; /* held control characters: U+FFFD */
};

bool dbc_text_is_utf8(const char *p, size_t len);

/* The UTF-8 text of a string's raw contents: `\"` is a quote, CR LF is LF. "" with a->failed set
 * when out of memory. */
const char *dbc_text_string(struct dbc_arena *a, struct dbc_span raw,
			    struct dbc_text_repairs *repairs);
/* A name: runs of anything but letters, digits, '_' and non-ASCII become one '_'. Sets *repaired
 * when the name is not just the span. */
const char *dbc_text_name(struct dbc_arena *a, struct dbc_span raw, bool *repaired);
