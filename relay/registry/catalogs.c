/* Catalogs of the registry: kept as the bytes that their SHA-256 names, parsed at first use. */
#include "relay/registry/internal.h"

#include <jansson.h>
#include <string.h>

static int cache_catalog(struct registry *r, uint64_t id, struct catalog *cat)
{
	struct catalog_entry *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	e->id = id;
	e->cat = cat;
	ret = table_put(&r->catalogs, &e->id, sizeof(e->id), e);
	if (ret < 0)
		free(e);
	return ret;
}

int registry_load_catalogs(struct registry *r)
{
	sqlite3_stmt *st = r->st[REG_ALL_CATALOGS];
	int e;

	while ((e = db_step(st)) == DB_ROW) {
		e = cache_catalog(r, (uint64_t)sqlite3_column_int64(st, 0), NULL);
		if (e < 0)
			break;
	}
	sqlite3_reset(st);
	return e;
}

void registry_free_catalogs(struct registry *r)
{
	for (size_t i = 0; i < r->catalogs.cap; i++) {
		struct catalog_entry *e = r->catalogs.slots[i].value;

		if (e)
			catalog_free(e->cat);
		free(e);
	}
	table_free(&r->catalogs);
}

/* JSON array of the names of its buses, to be freed; NULL without memory. */
static char *buses_text(const struct catalog *cat)
{
	json_t *a = json_array();
	char *text;

	for (size_t i = 0; a && i < cat->n_buses; i++) {
		if (json_array_append_new(a, json_string(cat->buses[i])) != 0) {
			json_decref(a);
			return NULL;
		}
	}
	text = a ? json_dumps(a, JSON_COMPACT) : NULL;
	json_decref(a);
	return text;
}

static int insert_catalog(struct registry *r, const struct catalog *cat)
{
	sqlite3_stmt *st = r->st[REG_ADD_CATALOG];
	char *buses cleanup(free_ptr) = buses_text(cat);
	int e;

	if (!buses)
		return -ENOMEM;
	e = db_bind(st, "ibtiiib", (int64_t)cat->id, (const void *)cat->sha256, sizeof(cat->sha256),
		    buses, (int64_t)cat->n_messages, (int64_t)cat->n_signals,
		    timebase_wall(r->tb).ns, (const void *)cat->bytes, cat->len);
	return e < 0 ? e : db_run(st);
}

static int add_catalog_locked(struct registry *r, struct catalog *cat, struct error *err)
{
	int e;

	if (table_get(&r->catalogs, &cat->id, sizeof(cat->id)))
		return REGISTRY_EXISTS;
	if (r->catalogs.n >= REGISTRY_CATALOGS_MAX) {
		error_set(err, "%d catalogs are registered, as many as there may be",
			  REGISTRY_CATALOGS_MAX);
		return REGISTRY_LIMIT;
	}
	e = insert_catalog(r, cat);
	if (e == 0) {
		pthread_rwlock_wrlock(&r->cache_lock);
		e = cache_catalog(r, cat->id, cat);
		pthread_rwlock_unlock(&r->cache_lock);
	}
	if (e < 0)
		error_set(err, "relay.db: %s", strerror(-e));
	return e;
}

int registry_add_catalog(struct registry *r, const void *bytes, size_t len, uint64_t *ret_id,
			 struct error *err)
{
	struct catalog *cat;
	int e = catalog_load(&cat, bytes, len, err);

	if (e < 0)
		return e;
	pthread_mutex_lock(&r->db_lock);
	e = add_catalog_locked(r, cat, err);
	pthread_mutex_unlock(&r->db_lock);
	if (e == 0 || e == REGISTRY_EXISTS)
		*ret_id = cat->id;
	if (e != 0)
		catalog_free(cat);
	return e;
}

static int read_catalog(struct registry *r, uint64_t id, struct catalog **ret)
{
	sqlite3_stmt *st = r->st[REG_CATALOG_BYTES];
	int e = registry_one_row(st, db_bind(st, "i", (int64_t)id));

	if (e == 0)
		e = catalog_load(ret, sqlite3_column_blob(st, 0),
				 (size_t)sqlite3_column_bytes(st, 0), NULL);
	sqlite3_reset(st);
	return e;
}

static int load_entry(struct registry *r, struct catalog_entry *entry, const struct catalog **ret)
{
	struct catalog *cat = NULL;
	int e = 0;

	pthread_mutex_lock(&r->db_lock);
	if (!entry->cat) { /* nobody was quicker */
		e = read_catalog(r, entry->id, &cat);
		if (e == 0) {
			pthread_rwlock_wrlock(&r->cache_lock);
			entry->cat = cat;
			pthread_rwlock_unlock(&r->cache_lock);
		}
	}
	if (e == 0)
		*ret = entry->cat;
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

int registry_get_catalog(struct registry *r, uint64_t id, const struct catalog **ret)
{
	struct catalog_entry *entry;
	const struct catalog *cat = NULL;

	pthread_rwlock_rdlock(&r->cache_lock);
	entry = table_get(&r->catalogs, &id, sizeof(id));
	if (entry)
		cat = entry->cat;
	pthread_rwlock_unlock(&r->cache_lock);
	if (!entry)
		return -ENOENT;
	if (!cat) /* entries are never removed */
		return load_entry(r, entry, ret);
	*ret = cat;
	return 0;
}

static struct registry_catalog catalog_of_row(sqlite3_stmt *st)
{
	struct registry_catalog c = {
		.id = (uint64_t)sqlite3_column_int64(st, 0),
		.buses = (const char *)sqlite3_column_text(st, 2),
		.messages = (uint64_t)sqlite3_column_int64(st, 3),
		.signals = (uint64_t)sqlite3_column_int64(st, 4),
		.created.ns = sqlite3_column_int64(st, 5),
		.bytes = (uint64_t)sqlite3_column_int64(st, 6),
	};
	const void *sha = sqlite3_column_blob(st, 1);

	if (sha && sqlite3_column_bytes(st, 1) == (int)sizeof(c.sha256))
		memcpy(c.sha256, sha, sizeof(c.sha256));
	return c;
}

int registry_list_catalogs(struct registry *r,
			   void (*cb)(void *ctx, const struct registry_catalog *c), void *ctx)
{
	sqlite3_stmt *st = r->st[REG_ALL_CATALOGS];
	int e;

	pthread_mutex_lock(&r->db_lock);
	while ((e = db_step(st)) == DB_ROW) {
		struct registry_catalog c = catalog_of_row(st);

		cb(ctx, &c);
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

int registry_describe_catalog(struct registry *r, uint64_t id,
			      void (*cb)(void *ctx, const struct registry_catalog *c), void *ctx)
{
	sqlite3_stmt *st = r->st[REG_GET_CATALOG];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = registry_one_row(st, db_bind(st, "i", (int64_t)id));
	if (e == 0) {
		struct registry_catalog c = catalog_of_row(st);

		cb(ctx, &c);
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}
