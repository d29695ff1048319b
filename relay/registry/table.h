/* relay/registry/table.h: a hash table from short byte keys to pointers.
 *
 * Open addressing, linear probing; grows by doubling. Keys are borrowed: they live in what they
 * lead to. Zero-initialised it is a valid empty table. Not thread safe. */
#pragma once

#include "base/base.h"

struct table_slot {
	const void *key;
	size_t len;
	uint64_t hash;
	void *value; /* NULL: free */
};

struct table {
	struct table_slot *slots; /* walk all cap of them; those with a value are in use */
	size_t cap;
	size_t n;
};

void table_free(struct table *t); /* not what the values point to */
void *table_get(const struct table *t, const void *key, size_t len);
/* The key must not be in the table yet. value is not NULL. Returns 0 or -ENOMEM. */
int table_put(struct table *t, const void *key, size_t len, void *value) must_check;
/* Returns the value, or NULL where there was none. */
void *table_remove(struct table *t, const void *key, size_t len);
