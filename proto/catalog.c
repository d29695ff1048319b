#include "proto/catalog_private.h"

#include <stdio.h>
#include <string.h>

/* ---- names to numbers ---- */

/* FNV-1a over "message\0signal": the bus is left out, so that both forms of a path have one hash.
 */
static uint32_t hash_more(uint32_t h, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)text[i]) * 16777619u;
	return h * 16777619u;
}

static uint32_t hash_names(const char *message, size_t message_len, const char *signal, size_t len)
{
	return hash_more(hash_more(2166136261u, message, message_len), signal, len);
}

static bool same_signal(const struct catalog *c, uint32_t a, uint32_t b)
{
	const struct catalog_message *ma = &c->messages[c->signals[a].message];
	const struct catalog_message *mb = &c->messages[c->signals[b].message];

	return ma->bus == mb->bus && strcmp(c->signals[a].name, c->signals[b].name) == 0 &&
	       strcmp(ma->name, mb->name) == 0;
}

/* Names may be chosen to hash alike, and a search that is quadratic then would never end. What is
 * honest needs about a step a signal, times the buses that share their names. */
enum { INDEX_STEPS_MAX = 1 << 24 };

static int reject_twice(const struct catalog *c, uint32_t signal, struct error *err)
{
	const struct catalog_message *m = &c->messages[c->signals[signal].message];

	error_set(err, "catalog: bus '%.40s' has %.90s.%.90s twice", c->buses[m->bus], m->name,
		  c->signals[signal].name);
	return -EBADMSG;
}

int catalog_index(struct catalog_loaded *l, struct error *err)
{
	const struct catalog *c = &l->catalog;
	unsigned int steps = 0;

	memset(l->index, 0xff, (l->index_mask + 1) * sizeof(*l->index)); /* CATALOG_NONE */
	for (uint32_t i = 0; i < c->n_signals; i++) {
		const char *signal = c->signals[i].name;
		const char *message = c->messages[c->signals[i].message].name;
		uint32_t at = hash_names(message, strlen(message), signal, strlen(signal));

		for (at &= l->index_mask; l->index[at] != CATALOG_NONE;
		     at = (at + 1) & l->index_mask) {
			if (same_signal(c, l->index[at], i))
				return reject_twice(c, i, err);
			if (++steps > INDEX_STEPS_MAX) {
				error_set(err, "catalog: too many names hash alike");
				return -EBADMSG;
			}
		}
		l->index[at] = i;
	}
	return 0;
}

static bool text_is(const char *text, const char *part, size_t len)
{
	return strncmp(text, part, len) == 0 && text[len] == '\0';
}

int catalog_find(const struct catalog *c, const char *path, uint32_t *ret)
{
	const struct catalog_loaded *l = catalog_loaded_of(c);
	const char *signal = strrchr(path, '.'), *message, *dot;
	size_t bus_len, message_len, signal_len;
	uint32_t found = CATALOG_NONE, at;

	if (!signal)
		return -ENOENT;
	dot = memchr(path, '.', (size_t)(signal - path));
	message = dot ? dot + 1 : path;
	bus_len = dot ? (size_t)(dot - path) : 0;
	message_len = (size_t)(signal - message);
	signal++;
	signal_len = strlen(signal);
	at = hash_names(message, message_len, signal, signal_len) & l->index_mask;
	for (; l->index[at] != CATALOG_NONE; at = (at + 1) & l->index_mask) {
		const struct catalog_signal *s = &c->signals[l->index[at]];
		const struct catalog_message *m = &c->messages[s->message];

		if (!text_is(s->name, signal, signal_len) ||
		    !text_is(m->name, message, message_len) ||
		    (dot && !text_is(c->buses[m->bus], path, bus_len)))
			continue;
		if (found != CATALOG_NONE)
			return -EEXIST;
		found = l->index[at];
	}
	if (found == CATALOG_NONE)
		return -ENOENT;
	*ret = found;
	return 0;
}

size_t catalog_path(const struct catalog *c, uint32_t signal, char *out, size_t size)
{
	const struct catalog_signal *s = &c->signals[signal];
	const struct catalog_message *m = &c->messages[s->message];
	int n;

	assert(signal < c->n_signals);
	n = snprintf(out, size, "%s.%s.%s", c->buses[m->bus], m->name, s->name);
	assert(n >= 0);
	return (size_t)n;
}

/* ---- raw to value ---- */

double catalog_value(const struct catalog_signal *s, uint64_t raw)
{
	uint32_t low = (uint32_t)raw;
	double value = 0;
	float single;

	switch (s->kind) {
	case SIGNAL_UNSIGNED:
		value = (double)raw;
		break;
	case SIGNAL_SIGNED:
		value = (double)(int64_t)raw;
		break;
	case SIGNAL_FLOAT32:
		memcpy(&single, &low, sizeof(single));
		value = (double)single;
		break;
	case SIGNAL_FLOAT64:
		memcpy(&value, &raw, sizeof(value));
		break;
	}
	return value * s->factor + s->offset;
}

const char *catalog_choice(const struct catalog_signal *s, uint64_t raw)
{
	size_t low = 0, high = s->n_choices;

	if (s->kind == SIGNAL_FLOAT32 || s->kind == SIGNAL_FLOAT64)
		return NULL;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->choices[mid].raw == (int64_t)raw)
			return s->choices[mid].text;
		if (s->choices[mid].raw < (int64_t)raw)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

struct catalog *catalog_free(struct catalog *c)
{
	if (c)
		free(catalog_loaded_of(c));
	return NULL;
}
