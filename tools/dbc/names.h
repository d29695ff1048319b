/* tools/dbc/names.h: names that may be there only once. */
#pragma once

#include "tools/dbc/memory.h"

struct dbc_names {
	const char **list;
	size_t n, cap;
	struct dbc_map map;
};

/* Makes the name one that is not in scope yet, "NAME_2" and on, and adds it. *ret is the name, or
 * one in the arena. Names are borrowed. Returns 0 or -ENOMEM. */
int dbc_names_add(struct dbc_names *names, struct dbc_arena *a, uint64_t scope, const char *name,
		  const char **ret) must_check;
void dbc_names_free(struct dbc_names *names); /* fits cleanup() */
