/* relay/registry/registry.h: vehicles, their devices, catalogs and dictionaries (relay.db).
 *
 * Changes are durable when a function returns. Every function may be called from any thread;
 * registry_find never touches the disk and never waits for one that does. */
#pragma once

#include "base/timebase.h"
#include "proto/batch.h"
#include "proto/topic.h"

struct registry;

enum {
	REGISTRY_NAME_MAX = 512,   /* bytes of a label */
	REGISTRY_DEVICES_MAX = 64, /* of one vehicle */
	REGISTRY_CATALOGS_MAX = 1024,
	REGISTRY_DICTIONARIES_MAX = 1024,
	REGISTRY_VEHICLES_MAX = 50000,
};

/* Outcomes. */
enum {
	REGISTRY_EXISTS = 1, /* the id is taken; for a catalog: it is there, all is well */
	REGISTRY_LIMIT = 2,  /* one more would be too many */
};

struct registry_vehicle {
	int64_t key; /* never used again after removal */
	char id[ID_MAX + 1];
	char name[REGISTRY_NAME_MAX + 1];
	uint16_t part;
	struct wall_time created;
};

struct registry_device {
	int64_t key;
	char id[ID_MAX + 1];
	struct wall_time created;
};

/* What ingest needs of a device. */
struct registry_ids {
	int64_t vehicle, device;
	uint16_t part;
};

struct registry_catalog {
	uint64_t id;
	uint8_t sha256[32];
	const char *buses; /* JSON array of names; borrowed for the call */
	uint64_t messages, signals, bytes;
	struct wall_time created;
};

struct registry_dictionary {
	uint64_t id, catalog;
	uint8_t sha256[32];
	uint64_t bytes;
	struct wall_time created;
};

/* Opens or creates the database and loads the ids. tb is borrowed. Returns 0 or -errno with err. */
int registry_open(struct registry **ret, const char *path, const struct timebase *tb,
		  struct error *err) must_check;
struct registry *registry_close(struct registry *r);

/* 0, or -ENOENT: no such device, or it is another vehicle's. */
int registry_find(struct registry *r, const char *vehicle, const char *device,
		  struct registry_ids *ret) must_check;
/* The id of a vehicle by its key; 0 or -ENOENT. */
int registry_vehicle_id(struct registry *r, int64_t key, char ret_id[static ID_MAX + 1]) must_check;
size_t registry_count_vehicles(struct registry *r);

/* Adds a vehicle and its first devices, all or nothing. The ids are valid (id_is_valid). Returns 0;
 * REGISTRY_EXISTS or REGISTRY_LIMIT with err naming what; -errno. */
int registry_add_vehicle(struct registry *r, const char *id, const char *name, uint16_t part,
			 const char *const *devices, size_t n_devices,
			 struct error *err) must_check;
/* The same, and -ENOENT: no such vehicle. */
int registry_add_device(struct registry *r, const char *vehicle, const char *device,
			struct error *err) must_check;
/* Removes the vehicle with its devices; its data in stream.db is the caller's (see
 * registry_next_removed). 0, -ENOENT, -errno. */
int registry_remove_vehicle(struct registry *r, const char *id, struct error *err) must_check;
/* New keys will be above these: a relay.db that is older than stream.db must not give out those
 * that it has data for. */
int registry_keys_above(struct registry *r, int64_t vehicle, int64_t device) must_check;
/* A removed vehicle whose data is still to be deleted: 0, or -ENOENT: none. */
int registry_next_removed(struct registry *r, int64_t *ret_vehicle) must_check;
int registry_removed_done(struct registry *r, int64_t vehicle) must_check;

int registry_get_vehicle(struct registry *r, const char *id,
			 struct registry_vehicle *ret) must_check; /* 0, -ENOENT, -errno */
/* Vehicles by id, above `after` ("": from the first), at most limit. cb must not call back into
 * the registry; neither must the one of the other lists. */
int registry_list_vehicles(struct registry *r, const char *after, size_t limit,
			   void (*cb)(void *ctx, const struct registry_vehicle *v),
			   void *ctx) must_check;
int registry_list_devices(struct registry *r, int64_t vehicle,
			  void (*cb)(void *ctx, const struct registry_device *d),
			  void *ctx) must_check;

/* Checks and keeps a catalog. Returns 0; REGISTRY_EXISTS: it was there already; REGISTRY_LIMIT;
 * -EBADMSG with err; -errno. ret_id is set for 0 and REGISTRY_EXISTS. */
int registry_add_catalog(struct registry *r, const void *bytes, size_t len, uint64_t *ret_id,
			 struct error *err) must_check;
/* Catalogs live as long as the registry: the pointer may be kept. 0, -ENOENT, -errno. */
int registry_get_catalog(struct registry *r, uint64_t id, const struct catalog **ret) must_check;
int registry_list_catalogs(struct registry *r,
			   void (*cb)(void *ctx, const struct registry_catalog *c),
			   void *ctx) must_check;
int registry_describe_catalog(struct registry *r, uint64_t id,
			      void (*cb)(void *ctx, const struct registry_catalog *c),
			      void *ctx) must_check; /* 0, -ENOENT, -errno */

/* Checks and keeps a dictionary, whose catalog has to be there: -ENOENT with err otherwise. The
 * rest is as for catalogs; so is what follows. */
int registry_add_dictionary(struct registry *r, const void *bytes, size_t len, uint64_t *ret_id,
			    struct error *err) must_check;
int registry_get_dictionary(struct registry *r, uint64_t id,
			    const struct dictionary **ret) must_check;
/* Gives b the dictionary that its header names, if any. 0, -ENOENT: it is not there; -errno. */
int registry_give_dictionary(struct registry *r, struct batch *b) must_check;
int registry_list_dictionaries(struct registry *r,
			       void (*cb)(void *ctx, const struct registry_dictionary *d),
			       void *ctx) must_check;
int registry_describe_dictionary(struct registry *r, uint64_t id,
				 void (*cb)(void *ctx, const struct registry_dictionary *d),
				 void *ctx) must_check; /* 0, -ENOENT, -errno */
