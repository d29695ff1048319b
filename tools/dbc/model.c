#include "tools/dbc/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t dbc_key_hash(uint32_t key)
{
	return dbc_hash(key, "");
}

uint32_t dbc_find_message(const struct dbc *d, uint32_t key)
{
	uint32_t i;

	for (size_t pos = 0; dbc_map_next(&d->by_key, dbc_key_hash(key), &pos, &i);)
		if (d->messages[i].key == key)
			return i;
	return CATALOG_NONE;
}

uint32_t dbc_find_signal(const struct dbc *d, uint32_t message, const char *ident)
{
	uint32_t i;

	for (size_t pos = 0; dbc_map_next(&d->by_signal, dbc_hash(message, ident), &pos, &i);)
		if (d->signals[i].message == message && strcmp(d->signals[i].ident, ident) == 0)
			return i;
	return CATALOG_NONE;
}

const struct dbc_table *dbc_find_table(const struct dbc *d, const char *name)
{
	uint32_t i;

	for (size_t pos = 0; dbc_map_next(&d->by_table, dbc_hash(0, name), &pos, &i);)
		if (strcmp(d->tables[i].name, name) == 0)
			return &d->tables[i];
	return NULL;
}

struct dbc_id_text dbc_id_text(uint32_t key)
{
	struct dbc_id_text t;

	if (key & DBC_EXTENDED)
		snprintf(t.s, sizeof(t.s), "0x%08" PRIX32, key & ~DBC_EXTENDED);
	else
		snprintf(t.s, sizeof(t.s), "0x%03" PRIX32, key);
	return t;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct catalog_range *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

size_t dbc_sort_ranges(struct catalog_range *r, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(r, n, sizeof(*r), compare_ranges);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || (r[kept - 1].to != UINT64_MAX && r[i].from > r[kept - 1].to + 1))
			r[kept++] = r[i];
		else if (r[i].to > r[kept - 1].to)
			r[kept - 1].to = r[i].to;
	}
	return kept;
}

size_t dbc_message_count(const struct dbc *d)
{
	return d->n_messages;
}

size_t dbc_signal_count(const struct dbc *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_signals; i++)
		n += !d->signals[i].skipped;
	return n;
}
