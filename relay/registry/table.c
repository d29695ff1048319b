#include "relay/registry/table.h"

#include <string.h>

enum { TABLE_CAP_MIN = 16 };

/* FNV-1a, 64 bits, with a final mix: keys are ids of registered things, not an attacker's. */
static uint64_t hash_of(const void *key, size_t len)
{
	const uint8_t *p = key;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	h ^= h >> 32;
	return h * 0x9e3779b97f4a7c15u;
}

static size_t home_of(const struct table *t, uint64_t hash)
{
	return (size_t)(hash >> 20) & (t->cap - 1);
}

static bool slot_is(const struct table_slot *s, const void *key, size_t len, uint64_t hash)
{
	return s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0;
}

/* The slot of key, or the free one where its search ends. cap is not 0. */
static size_t find_slot(const struct table *t, const void *key, size_t len, uint64_t hash)
{
	size_t i = home_of(t, hash);

	while (t->slots[i].value && !slot_is(&t->slots[i], key, len, hash))
		i = (i + 1) & (t->cap - 1);
	return i;
}

void table_free(struct table *t)
{
	free(t->slots);
	*t = (struct table){0};
}

void *table_get(const struct table *t, const void *key, size_t len)
{
	if (!t->n)
		return NULL;
	return t->slots[find_slot(t, key, len, hash_of(key, len))].value;
}

static int grow(struct table *t)
{
	struct table bigger = {.cap = t->cap ? t->cap * 2 : TABLE_CAP_MIN, .n = t->n};

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->cap; i++) {
		const struct table_slot *s = &t->slots[i];

		if (s->value)
			bigger.slots[find_slot(&bigger, s->key, s->len, s->hash)] = *s;
	}
	free(t->slots);
	*t = bigger;
	return 0;
}

int table_put(struct table *t, const void *key, size_t len, void *value)
{
	uint64_t hash = hash_of(key, len);

	assert(value);
	if ((t->n + 1) * 4 > t->cap * 3) {
		int r = grow(t);

		if (r < 0)
			return r;
	}
	t->slots[find_slot(t, key, len, hash)] =
		(struct table_slot){.key = key, .len = len, .hash = hash, .value = value};
	t->n++;
	return 0;
}

/* Moves later members of the probe chain back into the hole, so that no marker is needed. */
static void close_hole(struct table *t, size_t hole)
{
	size_t i = hole;

	for (;;) {
		i = (i + 1) & (t->cap - 1);
		if (!t->slots[i].value)
			break;

		size_t home = home_of(t, t->slots[i].hash);

		if (((i - home) & (t->cap - 1)) >= ((i - hole) & (t->cap - 1))) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = (struct table_slot){0};
}

void *table_remove(struct table *t, const void *key, size_t len)
{
	size_t i;
	void *value;

	if (!t->n)
		return NULL;
	i = find_slot(t, key, len, hash_of(key, len));
	value = t->slots[i].value;
	if (!value)
		return NULL;
	close_hole(t, i);
	t->n--;
	return value;
}
