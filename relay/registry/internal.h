/* relay/registry/internal.h: what the registry's files share. */
#pragma once

#include "base/db.h"
#include "relay/registry/registry.h"
#include "relay/registry/table.h"

#include <pthread.h>

enum registry_stmt {
	REG_BEGIN,
	REG_COMMIT,
	REG_ROLLBACK,
	REG_ALL_VEHICLES,
	REG_ALL_DEVICES,
	REG_ADD_VEHICLE,
	REG_ADD_DEVICE,
	REG_REMOVE_VEHICLE,
	REG_ADD_REMOVED,
	REG_NEXT_REMOVED,
	REG_REMOVED_DONE,
	REG_GET_VEHICLE,
	REG_LIST_VEHICLES,
	REG_LIST_DEVICES,
	REG_FIRST_KEY,
	REG_KEYS_ABOVE,
	REG_ADD_CATALOG,
	REG_ALL_CATALOGS,
	REG_GET_CATALOG,
	REG_CATALOG_BYTES,
	REG_ADD_DICTIONARY,
	REG_ALL_DICTIONARIES,
	REG_GET_DICTIONARY,
	REG_DICTIONARY_BYTES,
	REG_STMTS,
};

struct vehicle_entry {
	int64_t key;
	uint16_t part;
	size_t n_devices;
	char id[ID_MAX + 1];
};

struct device_entry {
	int64_t key;
	struct vehicle_entry *vehicle;
	char id[ID_MAX + 1];
};

struct catalog_entry {
	uint64_t id;
	struct catalog *cat; /* NULL until first asked for */
};

struct dictionary_entry {
	uint64_t id;
	struct dictionary *dictionary; /* NULL until first asked for */
};

struct registry {
	const struct timebase *tb;
	pthread_mutex_t db_lock; /* taken before cache_lock where both are */
	sqlite3 *db;
	sqlite3_stmt *st[REG_STMTS];
	pthread_rwlock_t cache_lock;
	struct table vehicles;	   /* by id -> vehicle_entry */
	struct table keys;	   /* by key -> vehicle_entry */
	struct table devices;	   /* by id -> device_entry */
	struct table catalogs;	   /* by id -> catalog_entry */
	struct table dictionaries; /* by id -> dictionary_entry */
};

/* Steps to the one row of a statement that was bound with e. 0, -ENOENT: there is none, or -errno.
 */
int registry_one_row(sqlite3_stmt *st, int e) must_check;
/* Fills the cache at open. db_lock need not be held. */
int registry_load_catalogs(struct registry *r) must_check;
void registry_free_catalogs(struct registry *r);
int registry_load_dictionaries(struct registry *r) must_check;
void registry_free_dictionaries(struct registry *r);
