#include "tools/dbc/memory.h"

#include <stdalign.h>
#include <string.h>

enum { CHUNK_BYTES = 64 << 10, MAP_CAP_MIN = 64 };

struct dbc_chunk {
	struct dbc_chunk *next;
	alignas(max_align_t) char data[];
};

struct dbc_slot {
	uint64_t hash;
	uint32_t value;
	bool used;
};

static int arena_refill(struct dbc_arena *a, size_t size)
{
	size_t bytes = size > CHUNK_BYTES ? size : CHUNK_BYTES;
	struct dbc_chunk *c = calloc(1, sizeof(*c) + bytes);

	if (!c) {
		a->failed = true;
		return -ENOMEM;
	}
	c->next = a->chunks;
	a->chunks = c;
	a->at = c->data;
	a->left = bytes;
	return 0;
}

void *dbc_arena_alloc(struct dbc_arena *a, size_t size)
{
	void *p;

	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (size > a->left && arena_refill(a, size) < 0)
		return NULL;
	p = a->at;
	a->at += size;
	a->left -= size;
	return p;
}

const char *dbc_arena_text(struct dbc_arena *a, const char *text, size_t len)
{
	char *copy;

	if (len == 0)
		return "";
	copy = dbc_arena_alloc(a, len + 1);
	if (!copy)
		return "";
	memcpy(copy, text, len);
	return copy;
}

void dbc_arena_free(struct dbc_arena *a)
{
	while (a->chunks) {
		struct dbc_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
	*a = (struct dbc_arena){0};
}

int dbc_grow(void **array, size_t *cap, size_t n, size_t size)
{
	size_t more;
	void *p;

	if (n < *cap)
		return 0;
	more = *cap ? *cap * 2 : 16;
	p = reallocarray(*array, more, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = more;
	return 0;
}

static void map_place(struct dbc_slot *slots, size_t cap, uint64_t hash, uint32_t value)
{
	size_t i = (size_t)hash & (cap - 1);

	while (slots[i].used)
		i = (i + 1) & (cap - 1);
	slots[i] = (struct dbc_slot){.hash = hash, .value = value, .used = true};
}

static int map_enlarge(struct dbc_map *m)
{
	size_t cap = m->cap ? m->cap * 2 : MAP_CAP_MIN;
	struct dbc_slot *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].used)
			map_place(slots, cap, m->slots[i].hash, m->slots[i].value);
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	return 0;
}

int dbc_map_put(struct dbc_map *m, uint64_t hash, uint32_t value)
{
	if (m->n * 2 >= m->cap && map_enlarge(m) < 0)
		return -ENOMEM;
	map_place(m->slots, m->cap, hash, value);
	m->n++;
	return 0;
}

/* *pos counts probes, so that a walk can go on where it stopped. */
bool dbc_map_next(const struct dbc_map *m, uint64_t hash, size_t *pos, uint32_t *ret)
{
	while (m->cap > 0) {
		const struct dbc_slot *s = &m->slots[((size_t)hash + *pos) & (m->cap - 1)];

		if (!s->used)
			return false;
		(*pos)++;
		if (s->hash == hash) {
			*ret = s->value;
			return true;
		}
	}
	return false;
}

void dbc_map_free(struct dbc_map *m)
{
	free(m->slots);
	*m = (struct dbc_map){0};
}

/* FNV-1a, with the finaliser of splitmix64: the low bits choose the slot. */
uint64_t dbc_hash(uint64_t seed, const char *text)
{
	uint64_t h = 0xcbf29ce484222325u ^ (seed * 0x9e3779b97f4a7c15u);

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3u;
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
	return h ^ (h >> 31);
}
