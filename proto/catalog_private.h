/* proto/catalog_private.h: a loaded catalog's memory, for catalog*.c alone.
 *
 * One allocation holds the struct, its tables, its texts and the serialised bytes. */
#pragma once

#include "proto/catalog.h"
#include "proto/catalog.pb-c.h"

struct catalog_loaded {
	struct catalog catalog; /* first: a catalog is its own block */
	uint32_t *index;	/* open-addressing hash table of signal numbers, by their names */
	uint32_t index_mask;	/* its size less one; at least one slot in two is free */
};

static inline struct catalog_loaded *catalog_loaded_of(const struct catalog *c)
{
	return (struct catalog_loaded *)(uintptr_t)c;
}

/* Fills the index. Returns 0, or -EBADMSG with err: two signals of one name. */
int catalog_index(struct catalog_loaded *l, struct error *err) must_check;

/* Checks all that catalog_load promises but unique names. Returns 0, or -EBADMSG with err. */
int catalog_check(const Towline__V1__Catalog *c, struct error *err) must_check;

/* Appends a file; more than max bytes when it has more, so that this shows. out needs room for 64
 * KiB more. Returns 0; -errno with err. */
int catalog_read_file(const char *path, size_t max, struct buf *out, struct error *err) must_check;
