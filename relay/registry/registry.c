#include "relay/registry/internal.h"

#include "relay/embed.h"

#include <stdio.h>
#include <string.h>

static const char *const migrations[] = {relay_registry_schema_1, relay_registry_schema_2};

static const char *const sql[REG_STMTS] = {
	[REG_BEGIN] = "BEGIN IMMEDIATE",
	[REG_COMMIT] = "COMMIT",
	[REG_ROLLBACK] = "ROLLBACK",
	[REG_ALL_VEHICLES] = "SELECT key, id, part FROM vehicle",
	[REG_ALL_DEVICES] = "SELECT d.key, d.id, v.id FROM device d JOIN vehicle v "
			    "ON v.key = d.vehicle",
	[REG_ADD_VEHICLE] = "INSERT INTO vehicle (id, name, part, created) VALUES (?, ?, ?, ?)",
	[REG_ADD_DEVICE] = "INSERT INTO device (id, vehicle, created) VALUES (?, ?, ?)",
	[REG_REMOVE_VEHICLE] = "DELETE FROM vehicle WHERE key = ?",
	[REG_ADD_REMOVED] = "INSERT INTO removed (vehicle) VALUES (?)",
	[REG_NEXT_REMOVED] = "SELECT vehicle FROM removed LIMIT 1",
	[REG_REMOVED_DONE] = "DELETE FROM removed WHERE vehicle = ?",
	[REG_GET_VEHICLE] = "SELECT key, id, name, part, created FROM vehicle WHERE id = ?",
	[REG_LIST_VEHICLES] = "SELECT key, id, name, part, created FROM vehicle WHERE id > ? "
			      "ORDER BY id LIMIT ?",
	[REG_LIST_DEVICES] = "SELECT key, id, created FROM device WHERE vehicle = ? ORDER BY key",
	[REG_FIRST_KEY] = "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 WHERE NOT EXISTS "
			  "(SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
	[REG_KEYS_ABOVE] = "UPDATE sqlite_sequence SET seq = ? WHERE name = ? AND seq < ?",
	[REG_ADD_CATALOG] = "INSERT INTO catalog (id, sha256, buses, messages, signals, created, "
			    "bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
	[REG_ALL_CATALOGS] = "SELECT id, sha256, buses, messages, signals, created, length(bytes) "
			     "FROM catalog ORDER BY created, id",
	[REG_GET_CATALOG] = "SELECT id, sha256, buses, messages, signals, created, length(bytes) "
			    "FROM catalog WHERE id = ?",
	[REG_CATALOG_BYTES] = "SELECT bytes FROM catalog WHERE id = ?",
	[REG_ADD_DICTIONARY] = "INSERT INTO dictionary (id, sha256, catalog, created, bytes) "
			       "VALUES (?, ?, ?, ?, ?)",
	[REG_ALL_DICTIONARIES] = "SELECT id, sha256, catalog, created, length(bytes) "
				 "FROM dictionary ORDER BY created, id",
	[REG_GET_DICTIONARY] = "SELECT id, sha256, catalog, created, length(bytes) "
			       "FROM dictionary WHERE id = ?",
	[REG_DICTIONARY_BYTES] = "SELECT bytes FROM dictionary WHERE id = ?",
};

/* ---- cache ---- */

static int cache_vehicle(struct registry *r, int64_t key, const char *id, uint16_t part)
{
	struct vehicle_entry *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return -ENOMEM;
	v->key = key;
	v->part = part;
	snprintf(v->id, sizeof(v->id), "%s", id);
	ret = table_put(&r->vehicles, v->id, strlen(v->id), v);
	if (ret == 0)
		ret = table_put(&r->keys, &v->key, sizeof(v->key), v);
	if (ret < 0) {
		table_remove(&r->vehicles, v->id, strlen(v->id));
		free(v);
	}
	return ret;
}

static int cache_device(struct registry *r, int64_t key, const char *id, const char *vehicle)
{
	struct device_entry *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return -ENOMEM;
	d->key = key;
	d->vehicle = table_get(&r->vehicles, vehicle, strlen(vehicle));
	snprintf(d->id, sizeof(d->id), "%s", id);
	ret = d->vehicle ? table_put(&r->devices, d->id, strlen(d->id), d) : -EBADMSG;
	if (ret < 0) {
		free(d);
		return ret;
	}
	d->vehicle->n_devices++;
	return 0;
}

static void uncache_device(struct registry *r, const char *id)
{
	struct device_entry *d = table_remove(&r->devices, id, strlen(id));

	if (d)
		d->vehicle->n_devices--;
	free(d);
}

static void uncache_vehicle(struct registry *r, struct vehicle_entry *v)
{
	/* A removal moves entries, so each look starts again; a vehicle has few devices. */
	while (v->n_devices > 0) {
		for (size_t i = 0; i < r->devices.cap; i++) {
			struct device_entry *d = r->devices.slots[i].value;

			if (d && d->vehicle == v) {
				uncache_device(r, d->id);
				break;
			}
		}
	}
	table_remove(&r->vehicles, v->id, strlen(v->id));
	table_remove(&r->keys, &v->key, sizeof(v->key));
	free(v);
}

static const char *column_text(sqlite3_stmt *st, int col)
{
	const char *s = (const char *)sqlite3_column_text(st, col);

	return s ? s : "";
}

static int load_vehicles(struct registry *r)
{
	sqlite3_stmt *st = r->st[REG_ALL_VEHICLES];
	int ret;

	while ((ret = db_step(st)) == DB_ROW) {
		ret = cache_vehicle(r, sqlite3_column_int64(st, 0), column_text(st, 1),
				    (uint16_t)sqlite3_column_int(st, 2));
		if (ret < 0)
			break;
	}
	sqlite3_reset(st);
	return ret;
}

static int load_devices(struct registry *r)
{
	sqlite3_stmt *st = r->st[REG_ALL_DEVICES];
	int ret;

	while ((ret = db_step(st)) == DB_ROW) {
		ret = cache_device(r, sqlite3_column_int64(st, 0), column_text(st, 1),
				   column_text(st, 2));
		if (ret < 0)
			break;
	}
	sqlite3_reset(st);
	return ret;
}

int registry_one_row(sqlite3_stmt *st, int e)
{
	if (e == 0)
		e = db_step(st);
	if (e < 0)
		return e;
	return e == DB_ROW ? 0 : -ENOENT;
}

/* ---- open and close ---- */

static int load_all(struct registry *r)
{
	int ret = load_vehicles(r);

	if (ret == 0)
		ret = load_devices(r);
	if (ret == 0)
		ret = registry_load_catalogs(r);
	return ret < 0 ? ret : registry_load_dictionaries(r);
}

int registry_open(struct registry **ret, const char *path, const struct timebase *tb,
		  struct error *err)
{
	struct db_options opt = {.sync = DB_SYNC_FULL};
	struct registry *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->tb = tb;
	pthread_mutex_init(&r->db_lock, NULL);
	pthread_rwlock_init(&r->cache_lock, NULL);
	e = db_open(&r->db, path, &opt, migrations, array_len(migrations), err);
	if (e == 0)
		e = db_prepare(r->db, sql, r->st, REG_STMTS, err);
	if (e == 0) {
		e = load_all(r);
		if (e < 0)
			error_set(err, "%s: cannot load: %s", path, strerror(-e));
	}
	if (e < 0) {
		registry_close(r);
		return e;
	}
	*ret = r;
	return 0;
}

static void free_values(struct table *t)
{
	for (size_t i = 0; i < t->cap; i++)
		free(t->slots[i].value);
	table_free(t);
}

struct registry *registry_close(struct registry *r)
{
	if (!r)
		return NULL;
	db_finalize(r->st, REG_STMTS);
	db_close(r->db);
	free_values(&r->devices);
	table_free(&r->keys);
	free_values(&r->vehicles);
	registry_free_dictionaries(r);
	registry_free_catalogs(r);
	pthread_rwlock_destroy(&r->cache_lock);
	pthread_mutex_destroy(&r->db_lock);
	free(r);
	return NULL;
}

/* ---- reading the cache ---- */

int registry_find(struct registry *r, const char *vehicle, const char *device,
		  struct registry_ids *ret)
{
	const struct device_entry *d;
	int e = -ENOENT;

	pthread_rwlock_rdlock(&r->cache_lock);
	d = table_get(&r->devices, device, strlen(device));
	if (d && strcmp(d->vehicle->id, vehicle) == 0) {
		*ret = (struct registry_ids){
			.vehicle = d->vehicle->key, .device = d->key, .part = d->vehicle->part};
		e = 0;
	}
	pthread_rwlock_unlock(&r->cache_lock);
	return e;
}

int registry_vehicle_id(struct registry *r, int64_t key, char ret_id[static ID_MAX + 1])
{
	const struct vehicle_entry *v;

	pthread_rwlock_rdlock(&r->cache_lock);
	v = table_get(&r->keys, &key, sizeof(key));
	if (v)
		memcpy(ret_id, v->id, sizeof(v->id));
	pthread_rwlock_unlock(&r->cache_lock);
	return v ? 0 : -ENOENT;
}

size_t registry_count_vehicles(struct registry *r)
{
	size_t n;

	pthread_rwlock_rdlock(&r->cache_lock);
	n = r->vehicles.n;
	pthread_rwlock_unlock(&r->cache_lock);
	return n;
}

/* ---- changes: the database first, then the cache ---- */

/* Ends a transaction by how it went. */
static int end(struct registry *r, int e)
{
	if (e == 0)
		e = db_run(r->st[REG_COMMIT]);
	if (e < 0 && !sqlite3_get_autocommit(r->db))
		(void)!db_run(r->st[REG_ROLLBACK]);
	return e;
}

static int insert_device(struct registry *r, const char *id, int64_t vehicle)
{
	int e = db_bind(r->st[REG_ADD_DEVICE], "tii", id, vehicle, timebase_wall(r->tb).ns);

	return e < 0 ? e : db_run(r->st[REG_ADD_DEVICE]);
}

/* Says what of a new vehicle is in the way. Only holders of db_lock change the cache. */
static int check_devices(struct registry *r, const char *const *devices, size_t n,
			 struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct device_entry *d =
			table_get(&r->devices, devices[i], strlen(devices[i]));

		if (d) {
			error_set(err, "device %s is registered, with vehicle %s", d->id,
				  d->vehicle->id);
			return REGISTRY_EXISTS;
		}
		for (size_t j = 0; j < i; j++) {
			if (strcmp(devices[i], devices[j]) == 0) {
				error_set(err, "device %s is named twice", devices[i]);
				return REGISTRY_EXISTS;
			}
		}
	}
	return 0;
}

static int check_new_vehicle(struct registry *r, const char *id, const char *const *devices,
			     size_t n, struct error *err)
{
	if (table_get(&r->vehicles, id, strlen(id))) {
		error_set(err, "vehicle %s is registered", id);
		return REGISTRY_EXISTS;
	}
	if (r->vehicles.n >= REGISTRY_VEHICLES_MAX) {
		error_set(err, "%d vehicles are registered, as many as there may be",
			  REGISTRY_VEHICLES_MAX);
		return REGISTRY_LIMIT;
	}
	if (n > REGISTRY_DEVICES_MAX) {
		error_set(err, "a vehicle has at most %d devices", REGISTRY_DEVICES_MAX);
		return REGISTRY_LIMIT;
	}
	return check_devices(r, devices, n, err);
}

/* keys[0] becomes the vehicle's, the others those of its devices. */
static int insert_vehicle(struct registry *r, const char *id, const char *name, uint16_t part,
			  const char *const *devices, size_t n, int64_t *keys)
{
	int e = db_run(r->st[REG_BEGIN]);

	if (e < 0)
		return e;
	e = db_bind(r->st[REG_ADD_VEHICLE], "ttii", id, name, (int64_t)part,
		    timebase_wall(r->tb).ns);
	if (e == 0)
		e = db_run(r->st[REG_ADD_VEHICLE]);
	keys[0] = sqlite3_last_insert_rowid(r->db);
	for (size_t i = 0; i < n && e == 0; i++) {
		e = insert_device(r, devices[i], keys[0]);
		keys[i + 1] = sqlite3_last_insert_rowid(r->db);
	}
	return end(r, e);
}

static int cache_new_vehicle(struct registry *r, const char *id, uint16_t part,
			     const char *const *devices, size_t n, const int64_t *keys)
{
	int e;

	pthread_rwlock_wrlock(&r->cache_lock);
	e = cache_vehicle(r, keys[0], id, part);
	for (size_t i = 0; i < n && e == 0; i++)
		e = cache_device(r, keys[i + 1], devices[i], id);
	pthread_rwlock_unlock(&r->cache_lock);
	return e;
}

int registry_add_vehicle(struct registry *r, const char *id, const char *name, uint16_t part,
			 const char *const *devices, size_t n_devices, struct error *err)
{
	int64_t keys[REGISTRY_DEVICES_MAX + 1];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = check_new_vehicle(r, id, devices, n_devices, err);
	if (e == 0) {
		e = insert_vehicle(r, id, name, part, devices, n_devices, keys);
		if (e == 0)
			e = cache_new_vehicle(r, id, part, devices, n_devices, keys);
		if (e < 0)
			error_set(err, "relay.db: %s", strerror(-e));
	}
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

static int add_device_locked(struct registry *r, const char *vehicle, const char *device,
			     struct error *err)
{
	const struct vehicle_entry *v = table_get(&r->vehicles, vehicle, strlen(vehicle));
	int e;

	if (!v)
		return -ENOENT;
	e = check_devices(r, &device, 1, err);
	if (e != 0)
		return e;
	if (v->n_devices >= REGISTRY_DEVICES_MAX) {
		error_set(err, "a vehicle has at most %d devices", REGISTRY_DEVICES_MAX);
		return REGISTRY_LIMIT;
	}
	e = insert_device(r, device, v->key);
	if (e == 0) {
		pthread_rwlock_wrlock(&r->cache_lock);
		e = cache_device(r, sqlite3_last_insert_rowid(r->db), device, vehicle);
		pthread_rwlock_unlock(&r->cache_lock);
	}
	if (e < 0)
		error_set(err, "relay.db: %s", strerror(-e));
	return e;
}

int registry_add_device(struct registry *r, const char *vehicle, const char *device,
			struct error *err)
{
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = add_device_locked(r, vehicle, device, err);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

static int delete_vehicle(struct registry *r, int64_t key)
{
	int e = db_run(r->st[REG_BEGIN]);

	if (e < 0)
		return e;
	e = db_bind(r->st[REG_REMOVE_VEHICLE], "i", key);
	if (e == 0)
		e = db_run(r->st[REG_REMOVE_VEHICLE]);
	if (e == 0)
		e = db_bind(r->st[REG_ADD_REMOVED], "i", key);
	if (e == 0)
		e = db_run(r->st[REG_ADD_REMOVED]);
	return end(r, e);
}

int registry_remove_vehicle(struct registry *r, const char *id, struct error *err)
{
	struct vehicle_entry *v;
	int e = -ENOENT;

	pthread_mutex_lock(&r->db_lock);
	v = table_get(&r->vehicles, id, strlen(id));
	if (v) {
		e = delete_vehicle(r, v->key);
		if (e < 0)
			error_set(err, "relay.db: %s", strerror(-e));
	}
	if (e == 0) {
		pthread_rwlock_wrlock(&r->cache_lock);
		uncache_vehicle(r, v);
		pthread_rwlock_unlock(&r->cache_lock);
	}
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

static int raise_keys(struct registry *r, const char *table, int64_t above)
{
	int e = db_bind(r->st[REG_FIRST_KEY], "t", table);

	if (e == 0)
		e = db_run(r->st[REG_FIRST_KEY]);
	if (e == 0)
		e = db_bind(r->st[REG_KEYS_ABOVE], "iti", above, table, above);
	return e < 0 ? e : db_run(r->st[REG_KEYS_ABOVE]);
}

int registry_keys_above(struct registry *r, int64_t vehicle, int64_t device)
{
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = raise_keys(r, "vehicle", vehicle);
	if (e == 0)
		e = raise_keys(r, "device", device);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

int registry_next_removed(struct registry *r, int64_t *ret_vehicle)
{
	sqlite3_stmt *st = r->st[REG_NEXT_REMOVED];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = registry_one_row(st, 0);
	if (e == 0)
		*ret_vehicle = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

int registry_removed_done(struct registry *r, int64_t vehicle)
{
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = db_bind(r->st[REG_REMOVED_DONE], "i", vehicle);
	if (e == 0)
		e = db_run(r->st[REG_REMOVED_DONE]);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

/* ---- lists ---- */

static struct registry_vehicle vehicle_of_row(sqlite3_stmt *st)
{
	struct registry_vehicle v = {
		.key = sqlite3_column_int64(st, 0),
		.part = (uint16_t)sqlite3_column_int(st, 3),
		.created.ns = sqlite3_column_int64(st, 4),
	};

	snprintf(v.id, sizeof(v.id), "%s", column_text(st, 1));
	snprintf(v.name, sizeof(v.name), "%s", column_text(st, 2));
	return v;
}

int registry_get_vehicle(struct registry *r, const char *id, struct registry_vehicle *ret)
{
	sqlite3_stmt *st = r->st[REG_GET_VEHICLE];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = registry_one_row(st, db_bind(st, "t", id));
	if (e == 0)
		*ret = vehicle_of_row(st);
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

int registry_list_vehicles(struct registry *r, const char *after, size_t limit,
			   void (*cb)(void *ctx, const struct registry_vehicle *v), void *ctx)
{
	sqlite3_stmt *st = r->st[REG_LIST_VEHICLES];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = db_bind(st, "ti", after, (int64_t)limit);
	while (e >= 0 && (e = db_step(st)) == DB_ROW) {
		struct registry_vehicle v = vehicle_of_row(st);

		cb(ctx, &v);
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}

int registry_list_devices(struct registry *r, int64_t vehicle,
			  void (*cb)(void *ctx, const struct registry_device *d), void *ctx)
{
	sqlite3_stmt *st = r->st[REG_LIST_DEVICES];
	int e;

	pthread_mutex_lock(&r->db_lock);
	e = db_bind(st, "i", vehicle);
	while (e >= 0 && (e = db_step(st)) == DB_ROW) {
		struct registry_device d = {.key = sqlite3_column_int64(st, 0),
					    .created.ns = sqlite3_column_int64(st, 2)};

		snprintf(d.id, sizeof(d.id), "%s", column_text(st, 1));
		cb(ctx, &d);
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&r->db_lock);
	return e;
}
