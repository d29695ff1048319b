#include "tools/dbc/names.h"

#include "tools/dbc/model.h"

#include <stdio.h>
#include <string.h>

enum { NUMBERS_TRIED = 100 };

/* Of the scope only the hash is kept: two that meet in 64 bits would cost a name a number. */
static bool is_taken(const struct dbc_names *names, uint64_t scope, const char *name)
{
	uint32_t i;

	for (size_t pos = 0; dbc_map_next(&names->map, dbc_hash(scope, name), &pos, &i);)
		if (strcmp(names->list[i], name) == 0)
			return true;
	return false;
}

static const char *numbered(struct dbc_arena *a, const char *name, size_t number)
{
	size_t size = strlen(name) + sizeof("_18446744073709551615");
	char *text = dbc_arena_alloc(a, size);

	if (text)
		snprintf(text, size, "%s_%zu", name, number);
	return text;
}

int dbc_names_add(struct dbc_names *names, struct dbc_arena *a, uint64_t scope, const char *name,
		  const char **ret)
{
	const char *unique = name;
	void *array = names->list;
	int r;

	for (size_t i = 2; is_taken(names, scope, unique); i++) {
		if (i == NUMBERS_TRIED)
			i += names->n; /* no search that grows with the names */
		unique = numbered(a, name, i);
		if (!unique)
			return -ENOMEM;
	}
	r = dbc_grow(&array, &names->cap, names->n, sizeof(*names->list));
	names->list = array;
	if (r == 0)
		r = dbc_map_put(&names->map, dbc_hash(scope, unique), (uint32_t)names->n);
	if (r < 0)
		return r;
	names->list[names->n++] = unique;
	*ret = unique;
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
