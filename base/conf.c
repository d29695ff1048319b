/* A configuration as it stands: its parts, and access to their values. */
#include "base/conf_private.h"

#include <string.h>

bool conf_key_is_of(const struct conf_key *key, const struct conf_section *section)
{
	return strcmp(key->section, section->name) == 0;
}

static int set_defaults(const struct conf_table *table, struct conf_part *part)
{
	for (size_t i = 0; i < table->n_keys; i++) {
		const struct conf_key *key = &table->keys[i];
		int r;

		if (!conf_key_is_of(key, part->section) || !key->def)
			continue;
		r = conf_value_set(&part->values[i], key, key->def, 0);
		assert(r != -EINVAL && "a default that its own key would refuse");
		if (r < 0)
			return r;
	}
	return 0;
}

static void free_part(const struct conf_table *table, struct conf_part *part)
{
	for (size_t i = 0; part->values && i < table->n_keys; i++)
		conf_value_free(&part->values[i]);
	free(part->values);
	free(part->label);
}

struct conf_part *conf_add_part(struct conf *c, const struct conf_section *section,
				const char *label)
{
	struct conf_part part = {.section = section};
	struct conf_part *grown = realloc(c->parts, (c->n_parts + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	c->parts = grown;
	part.label = label ? strdup(label) : NULL;
	part.values = calloc(c->table->n_keys, sizeof(*part.values));
	if ((label && !part.label) || !part.values || set_defaults(c->table, &part) < 0) {
		free_part(c->table, &part);
		return NULL;
	}
	c->parts[c->n_parts] = part;
	return &c->parts[c->n_parts++];
}

struct conf *conf_alloc(const struct conf_table *table)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->table = table;
	for (size_t i = 0; i < table->n_sections; i++)
		if (!table->sections[i].named && !conf_add_part(c, &table->sections[i], NULL))
			return conf_free(c);
	return c;
}

struct conf *conf_free(struct conf *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_parts; i++)
		free_part(c->table, &c->parts[i]);
	free(c->parts);
	free(c);
	return NULL;
}

struct conf_part *conf_find_part(const struct conf *c, const char *section, const char *label)
{
	for (size_t i = 0; i < c->n_parts; i++) {
		struct conf_part *part = &c->parts[i];

		if (strcmp(part->section->name, section) != 0 || !part->label != !label)
			continue;
		if (!label || strcmp(part->label, label) == 0)
			return part;
	}
	return NULL;
}

const char *conf_label(const struct conf *c, const char *section, size_t i)
{
	for (size_t k = 0; k < c->n_parts; k++) {
		const struct conf_part *part = &c->parts[k];

		if (part->label && strcmp(part->section->name, section) == 0 && i-- == 0)
			return part->label;
	}
	return NULL;
}

/* Sections and keys are literals of the program, so one that is not there is its mistake. */
static const struct conf_value *find_value(const struct conf *c, const char *section,
					   const char *label, const char *key,
					   const struct conf_key **ret_key)
{
	const struct conf_part *part = conf_find_part(c, section, label);

	assert(part && "no such section");
	for (size_t i = 0; i < c->table->n_keys; i++) {
		const struct conf_key *k = &c->table->keys[i];

		if (strcmp(k->key, key) == 0 && conf_key_is_of(k, part->section)) {
			*ret_key = k;
			return &part->values[i];
		}
	}
	abort(); /* no such key */
}

static const struct conf_value *typed_value(const struct conf *c, const char *section,
					    const char *label, const char *key, enum conf_type type)
{
	const struct conf_key *k;
	const struct conf_value *v = find_value(c, section, label, key, &k);

	assert(k->type == type && "key of another type");
	return v;
}

const char *conf_string(const struct conf *c, const char *section, const char *label,
			const char *key)
{
	return typed_value(c, section, label, key, CONF_STRING)->text;
}

int64_t conf_int(const struct conf *c, const char *section, const char *label, const char *key)
{
	return typed_value(c, section, label, key, CONF_INT)->number;
}

bool conf_bool(const struct conf *c, const char *section, const char *label, const char *key)
{
	return typed_value(c, section, label, key, CONF_BOOL)->number != 0;
}

int conf_enum(const struct conf *c, const char *section, const char *label, const char *key)
{
	return (int)typed_value(c, section, label, key, CONF_ENUM)->number;
}

const char *conf_list(const struct conf *c, const char *section, const char *label, const char *key,
		      size_t i)
{
	const struct conf_value *v = typed_value(c, section, label, key, CONF_LIST);
	const char *item = v->text;

	if (i >= v->n_items)
		return NULL;
	while (i-- > 0)
		item += strlen(item) + 1;
	return item;
}

int conf_line(const struct conf *c, const char *section, const char *label, const char *key)
{
	const struct conf_key *k;

	return find_value(c, section, label, key, &k)->line;
}

bool conf_is_default(const struct conf *c, const char *section, const char *label, const char *key)
{
	struct conf_value def cleanup(conf_value_free) = {0};
	const struct conf_key *k;
	const struct conf_value *v = find_value(c, section, label, key, &k);

	if (v->line == 0)
		return true;
	return k->def && conf_value_set(&def, k, k->def, 0) == 0 && conf_value_equal(v, &def, k);
}

/* other is NULL where the whole part is new, or gone. */
static void diff_part(const struct conf_table *table, const struct conf_part *part,
		      const struct conf_part *other,
		      void (*cb)(void *ctx, const struct conf_key *key, const char *label),
		      void *ctx)
{
	for (size_t i = 0; i < table->n_keys; i++) {
		const struct conf_key *key = &table->keys[i];

		if (!conf_key_is_of(key, part->section))
			continue;
		if (!other || !conf_value_equal(&part->values[i], &other->values[i], key))
			cb(ctx, key, part->label);
	}
}

void conf_diff(const struct conf *a, const struct conf *b,
	       void (*cb)(void *ctx, const struct conf_key *key, const char *label), void *ctx)
{
	assert(a->table == b->table);
	for (size_t i = 0; i < a->n_parts; i++) {
		const struct conf_part *part = &a->parts[i];

		diff_part(a->table, part, conf_find_part(b, part->section->name, part->label), cb,
			  ctx);
	}
	for (size_t i = 0; i < b->n_parts; i++) {
		const struct conf_part *part = &b->parts[i];

		if (!conf_find_part(a, part->section->name, part->label))
			diff_part(b->table, part, NULL, cb, ctx);
	}
}
