/* tools/dbc/memory.h: what a parsed file lives in: an arena, growing arrays, a hash index. */
#pragma once

#include "base/base.h"

/* Memory that is freed all at once. Zero-initialised it is valid and empty. */
struct dbc_arena {
	struct dbc_chunk *chunks;
	char *at;
	size_t left;
	bool failed; /* an allocation failed; sticky */
};

/* Zeroed, aligned for any type; NULL with failed set when out of memory. */
void *dbc_arena_alloc(struct dbc_arena *a, size_t size) must_check;
/* A NUL-terminated copy; "" with failed set when out of memory. */
const char *dbc_arena_text(struct dbc_arena *a, const char *text, size_t len);
void dbc_arena_free(struct dbc_arena *a);

/* Makes room for one element more in a malloc'd array of n elements. Returns 0 or -ENOMEM. */
int dbc_grow(void **array, size_t *cap, size_t n, size_t size) must_check;

/* From a 64-bit hash to indices; equal hashes are told apart by the caller. */
struct dbc_map {
	struct dbc_slot *slots;
	size_t cap, n;
};

int dbc_map_put(struct dbc_map *m, uint64_t hash, uint32_t value) must_check; /* 0 or -ENOMEM */
/* Walks the values of a hash: *pos starts at 0. Returns false at the end. */
bool dbc_map_next(const struct dbc_map *m, uint64_t hash, size_t *pos, uint32_t *ret);
void dbc_map_free(struct dbc_map *m);

uint64_t dbc_hash(uint64_t seed, const char *text);
