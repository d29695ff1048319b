/* relay/gate/table.h: who may connect: the devices and services that the registry knows, in memory.
 *
 * Filled once (gate/file.h), then only looked up: a change is a new table. 50,000 devices with ids
 * of the longest kind take less than 16 MiB. One thread. */
#pragma once

#include "relay/gate/limits.h"

enum { GATE_DEVICES_MAX = 1000000, GATE_SERVICES_MAX = 64, GATE_LIMITS_MAX = 64 };

enum gate_status {
	GATE_EXPECTED, /* registered, was never here */
	GATE_ACTIVE,
	GATE_SUSPENDED,
	GATE_RETIRED,
	GATE_STATUSES
};

enum gate_role { GATE_RELAY, GATE_ROLES };

/* Strings are the table's. client is the broker's name for the connection, NULL: none. */
struct gate_device {
	const char *id, *vehicle;
	const void *client;
	uint8_t status; /* enum gate_status */
	uint8_t limits; /* of the table */
	struct gate_bucket spent[GATE_CLASSES];
};

struct gate_service {
	char name[ID_MAX + 1];
	enum gate_role role;
	const void *client;
};

/* limits[0] is "default". */
struct gate_limits {
	char name[ID_MAX + 1];
	struct gate_limit of[GATE_CLASSES];
};

struct gate_table {
	struct gate_device *devices;
	size_t n_devices, devices_max;
	uint32_t *slots; /* index of a device + 1 */
	size_t slots_mask;
	char *text; /* where ids and vehicles are */
	size_t text_len, text_max;
	struct gate_service services[GATE_SERVICES_MAX];
	size_t n_services;
	struct gate_limits limits[GATE_LIMITS_MAX];
	size_t n_limits;
};

const char *gate_status_name(unsigned int status);
const char *gate_role_name(unsigned int role);

/* Room for devices_max devices whose ids and vehicles take text_max bytes, each with its NUL.
 * Returns 0, -ENOMEM, or -E2BIG: more than GATE_DEVICES_MAX. */
int gate_table_new(struct gate_table **ret, size_t devices_max, size_t text_max,
		   const struct gate_limit defaults[static GATE_CLASSES]) must_check;
struct gate_table *gate_table_free(struct gate_table *t); /* NULL is fine; returns NULL */
size_t gate_table_bytes(const struct gate_table *t);

/* Borrowed; NULL: not known. */
struct gate_device *gate_table_device(const struct gate_table *t, const char *id);
struct gate_service *gate_table_service(struct gate_table *t, const char *name);

/* A device that is there already is changed. limits is the name of a set, "" is the default.
 * Returns 0, -EINVAL with err, or -ENOSPC. */
int gate_table_put_device(struct gate_table *t, const char *id, const char *vehicle,
			  const char *status, const char *limits, struct error *err) must_check;
int gate_table_put_service(struct gate_table *t, const char *name, const char *role,
			   struct error *err) must_check;
/* The set of that name: made as a copy of the default when it is not there. Returns 0, -EINVAL with
 * err. */
int gate_table_limits(struct gate_table *t, const char *name, struct gate_limits **ret,
		      struct error *err) must_check;

static inline bool gate_device_admitted(const struct gate_device *d)
{
	return d->status == GATE_EXPECTED || d->status == GATE_ACTIVE;
}
