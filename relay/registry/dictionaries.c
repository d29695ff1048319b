/* Dictionaries of the registry: kept as the bytes that their SHA-256 names, parsed at first use. */
#include "relay/registry/internal.h"

#include <inttypes.h>
#include <string.h>

static int cache_dictionary(struct registry *r, uint64_t id, struct dictionary *d)
{
	struct dictionary_entry *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	e->id = id;
	e->dictionary = d;
	ret = table_put(&r->dictionaries, &e->id, sizeof(e->id), e);
	if (ret < 0)
		free(e);
	return ret;
}

int registry_load_dictionaries(struct registry *r)
{
	sqlite3_stmt *st = r->st[REG_ALL_DICTIONARIES];
	int e;

	while ((e = db_step(st)) == DB_ROW) {
		e = cache_dictionary(r, (uint64_t)sqlite3_column_int64(st, 0), NULL);
		if (e < 0)
			break;
	}
	sqlite3_reset(st);
	return e;
}

void registry_free_dictionaries(struct registry *r)
{
	for (size_t i = 0; i < r->dictionaries.cap; i++) {
		struct dictionary_entry *e = r->dictionaries.slots[i].value;

		if (e)
			dictionary_free(e->dictionary);
		free(e);
	}
	table_free(&r->dictionaries);
}

/* Its catalog has to be there: without it nobody can say whether the bytes are good. */
static int parse(struct registry *r, const void *bytes, size_t len, struct dictionary **ret,
		 struct error *err)
{
	const struct catalog *cat;
	uint64_t catalog;
	int e = dictionary_peek(bytes, len, &catalog, err);

	if (e < 0)
		return e;
	e = registry_get_catalog(r, catalog, &cat);
	if (e == -ENOENT)
		error_set(err, "its catalog %016" PRIx64 " is not registered", catalog);
	return e < 0 ? e : dictionary_load(ret, cat, bytes, len, err);
}

static int insert_dictionary(struct registry *r, const struct dictionary *d)
{
	sqlite3_stmt *st = r->st[REG_ADD_DICTIONARY];
	int e = db_bind(st, "ibiib", (int64_t)d->id, (const void *)d->sha256, sizeof(d->sha256),
			(int64_t)d->catalog_id, timebase_wall(r->tb).ns, (const void *)d->bytes,
			d->len);

	return e < 0 ? e : db_run(st);
}

static int add_dictionary_locked(struct registry *r, struct dictionary *d, struct error *err)
{
	int e;

	if (table_get(&r->dictionaries, &d->id, sizeof(d->id)))
		return REGISTRY_EXISTS;
	if (r->dictionaries.n >= REGISTRY_DICTIONARIES_MAX) {
		error_set(err, "%d dictionaries are registered, as many as there may be",
			  REGISTRY_DICTIONARIES_MAX);
		return REGISTRY_LIMIT;
	}
	e = insert_dictionary(r, d);
	if (e == 0) {
		pthread_rwlock_wrlock(&r->cache_lock);
		e = cache_dictionary(r, d->id, d);
		pthread_rwlock_unlock(&r->cache_lock);
	}
	if (e < 0)
		error_set(err, "relay.db: %s", strerror(-e));
	return e;
}

int registry_add_dictionary(struct registry *r, const void *bytes, size_t len, uint64_t *ret_id,
			    struct error *err)
{
	struct dictionary *d;
	int e = parse(r, bytes, len, &d, err);

	if (e < 0)
		return e;
	pthread_mutex_lock(&r->db_lock);
	e = add_dictionary_locked(r, d, err);
	pthread_mutex_unlock(&r->db_lock);
	if (e == 0 || e == REGISTRY_EXISTS)
		*ret_id = d->id;
	if (e != 0)
		dictionary_free(d);
	return e;
}

/* A row of the table as a dictionary. -EIO: what is there cannot be read any more. */
static int read_bytes(struct registry *r, uint64_t id, struct buf *out)
{
	sqlite3_stmt *st = r->st[REG_DICTIONARY_BYTES];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = registry_one_row(st, db_bind(st, "i", (int64_t)id));
	if (e == 0)
		e = buf_put(out, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

static int load_entry(struct registry *r, struct dictionary_entry *entry,
		      const struct dictionary **ret)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(DICTIONARY_BYTES_MAX);
	struct dictionary *d = NULL;
	int e = read_bytes(r, entry->id, &bytes);

	if (e == 0)
		e = parse(r, bytes.data, bytes.len, &d, NULL);
	if (e < 0)
		return e == -ENOMEM ? e : -EIO;
	pthread_rwlock_wrlock(&r->cache_lock);
	if (entry->dictionary) /* somebody was quicker */
		dictionary_free(d);
	else
		entry->dictionary = d;
	*ret = entry->dictionary;
	pthread_rwlock_unlock(&r->cache_lock);
	return 0;
}

int registry_get_dictionary(struct registry *r, uint64_t id, const struct dictionary **ret)
{
	struct dictionary_entry *entry;
	const struct dictionary *d = NULL;

	pthread_rwlock_rdlock(&r->cache_lock);
	entry = table_get(&r->dictionaries, &id, sizeof(id));
	if (entry)
		d = entry->dictionary;
	pthread_rwlock_unlock(&r->cache_lock);
	if (!entry)
		return -ENOENT;
	if (!d) /* entries are never removed */
		return load_entry(r, entry, ret);
	*ret = d;
	return 0;
}

int registry_give_dictionary(struct registry *r, struct batch *b)
{
	uint64_t id = batch_get_header(b)->dictionary_id;
	const struct dictionary *d = NULL;
	int e = id ? registry_get_dictionary(r, id, &d) : 0;

	if (e == 0)
		batch_use(b, d);
	return e;
}

static struct registry_dictionary dictionary_of_row(sqlite3_stmt *st)
{
	struct registry_dictionary d = {
		.id = (uint64_t)sqlite3_column_int64(st, 0),
		.catalog = (uint64_t)sqlite3_column_int64(st, 2),
		.created.ns = sqlite3_column_int64(st, 3),
		.bytes = (uint64_t)sqlite3_column_int64(st, 4),
	};
	const void *sha = sqlite3_column_blob(st, 1);

	if (sha && sqlite3_column_bytes(st, 1) == (int)sizeof(d.sha256))
		memcpy(d.sha256, sha, sizeof(d.sha256));
	return d;
}

int registry_list_dictionaries(struct registry *r,
			       void (*cb)(void *ctx, const struct registry_dictionary *d),
			       void *ctx)
{
	sqlite3_stmt *st = r->st[REG_ALL_DICTIONARIES];
	int e;

	pthread_mutex_lock(&r->db_lock);
	while ((e = db_step(st)) == DB_ROW) {
		struct registry_dictionary d = dictionary_of_row(st);

		cb(ctx, &d);
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

int registry_describe_dictionary(struct registry *r, uint64_t id,
				 void (*cb)(void *ctx, const struct registry_dictionary *d),
				 void *ctx)
{
	sqlite3_stmt *st = r->st[REG_GET_DICTIONARY];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = registry_one_row(st, db_bind(st, "i", (int64_t)id));
	if (e == 0) {
		struct registry_dictionary d = dictionary_of_row(st);

		cb(ctx, &d);
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}
