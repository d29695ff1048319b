#include "tools/dbc/names.h"

#include "tools/dbc/model.h"

#include <stdio.h>
#include <string.h>

enum { NUMBERS_TRIED = 20 };

/* Of the scope only the hash is kept: two that meet in 64 bits would cost a name a number. */
static bool is_taken(const struct dbc_names *names, uint64_t scope, const char *name)
{
	uint32_t i;

	for (size_t pos = 0; dbc_map_next(&names->map, dbc_hash(scope, name), &pos, &i);)
		if (strcmp(names->list[i], name) == 0)
			return true;
	return false;
}

/* Finds NAME_2 and on that is free; tried holds one candidate at a time. Returns 0 or -ENOMEM. */
static int number_name(const struct dbc_names *names, uint64_t scope, const char *name,
		       char **tried)
{
	size_t size = strlen(name) + sizeof("_18446744073709551615"), i = 2;

	*tried = malloc(size);
	if (!*tried)
		return -ENOMEM;
	do {
		if (i == NUMBERS_TRIED)
			i += names->n; /* no search that grows with the names */
		snprintf(*tried, size, "%s_%zu", name, i++);
	} while (is_taken(names, scope, *tried));
	return 0;
}

int dbc_names_add(struct dbc_names *names, struct dbc_arena *a, uint64_t scope, const char *name,
		  const char **ret)
{
	char *tried cleanup(free_ptr) = NULL;
	void *array = names->list;
	int r = dbc_grow(&array, &names->cap, names->n, sizeof(*names->list));

	names->list = array;
	if (r == 0 && is_taken(names, scope, name)) {
		r = number_name(names, scope, name, &tried);
		if (r == 0)
			name = dbc_arena_text(a, tried, strlen(tried));
		if (a->failed)
			r = -ENOMEM;
	}
	if (r == 0)
		r = dbc_map_put(&names->map, dbc_hash(scope, name), (uint32_t)names->n);
	if (r < 0)
		return r;
	names->list[names->n++] = name;
	*ret = name;
	return 0;
}

void dbc_names_free(struct dbc_names *names)
{
	free(names->list);
	dbc_map_free(&names->map);
}

int dbc_unique_names(struct dbc *d, const struct dbc_report *r)
{
	struct dbc_names names cleanup(dbc_names_free) = {0};

	for (size_t i = 0; i < d->n_signals; i++) {
		struct dbc_signal *s = &d->signals[i];
		const char *before = s->name;
		int err;

		if (s->skipped)
			continue;
		err = dbc_names_add(&names, &d->arena, s->message, before, &s->name);
		if (err < 0)
			return err;
		if (s->name != before)
			dbc_warn(r, s->line, "message %s has a signal %s already: named %s",
				 d->messages[s->message].name, before, s->name);
	}
	return 0;
}
