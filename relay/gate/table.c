#include "relay/gate/table.h"

#include <string.h>

static const char *const STATUS_NAMES[GATE_STATUSES] = {
	[GATE_EXPECTED] = "expected",
	[GATE_ACTIVE] = "active",
	[GATE_SUSPENDED] = "suspended",
	[GATE_RETIRED] = "retired",
};
static const char *const ROLE_NAMES[GATE_ROLES] = {[GATE_RELAY] = "relay"};

const char *gate_status_name(unsigned int status)
{
	return status < GATE_STATUSES ? STATUS_NAMES[status] : "unknown";
}

const char *gate_role_name(unsigned int role)
{
	return role < GATE_ROLES ? ROLE_NAMES[role] : "unknown";
}

/* At most half full. */
static size_t slots_for(size_t devices)
{
	size_t n = 16;

	while (n < devices * 2)
		n *= 2;
	return n;
}

int gate_table_new(struct gate_table **ret, size_t devices_max, size_t text_max,
		   const struct gate_limit defaults[static GATE_CLASSES])
{
	struct gate_table *t;
	size_t slots;

	if (devices_max > GATE_DEVICES_MAX || text_max > SIZE_MAX / 2)
		return -E2BIG;
	slots = slots_for(devices_max);
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->devices = calloc(devices_max + 1, sizeof(*t->devices));
	t->slots = calloc(slots, sizeof(*t->slots));
	t->text = malloc(text_max + 1);
	if (!t->devices || !t->slots || !t->text) {
		gate_table_free(t);
		return -ENOMEM;
	}
	t->devices_max = devices_max;
	t->slots_mask = slots - 1;
	t->text_max = text_max;
	memcpy(t->limits[0].name, "default", sizeof("default"));
	memcpy(t->limits[0].of, defaults, sizeof(t->limits[0].of));
	t->n_limits = 1;
	*ret = t;
	return 0;
}

struct gate_table *gate_table_free(struct gate_table *t)
{
	if (t) {
		free(t->devices);
		free(t->slots);
		free(t->text);
		free(t);
	}
	return NULL;
}

size_t gate_table_bytes(const struct gate_table *t)
{
	return sizeof(*t) + (t->devices_max + 1) * sizeof(*t->devices) +
	       (t->slots_mask + 1) * sizeof(*t->slots) + t->text_max + 1;
}

/* FNV-1a. The ids are the registry's, not an attacker's. */
static uint32_t hash(const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return h;
}

/* The slot that has id, or the empty one where it would go. */
static uint32_t *slot_of(const struct gate_table *t, const char *id)
{
	size_t i = hash(id) & t->slots_mask;

	while (t->slots[i] && strcmp(t->devices[t->slots[i] - 1].id, id) != 0)
		i = (i + 1) & t->slots_mask;
	return &t->slots[i];
}

struct gate_device *gate_table_device(const struct gate_table *t, const char *id)
{
	uint32_t slot = *slot_of(t, id);

	return slot ? &t->devices[slot - 1] : NULL;
}

struct gate_service *gate_table_service(struct gate_table *t, const char *name)
{
	for (size_t i = 0; i < t->n_services; i++)
		if (strcmp(t->services[i].name, name) == 0)
			return &t->services[i];
	return NULL;
}

static const char *keep_text(struct gate_table *t, const char *text)
{
	size_t n = strlen(text) + 1;
	char *at = t->text + t->text_len;

	if (n > t->text_max - t->text_len)
		return NULL;
	memcpy(at, text, n);
	t->text_len += n;
	return at;
}

static int status_of(const char *name, uint8_t *ret, struct error *err)
{
	for (unsigned int i = 0; i < GATE_STATUSES; i++)
		if (strcmp(name, STATUS_NAMES[i]) == 0) {
			*ret = (uint8_t)i;
			return 0;
		}
	error_set(err, "status '%.40s' is none of expected, active, suspended, retired", name);
	return -EINVAL;
}

static int limits_of(const struct gate_table *t, const char *name, uint8_t *ret, struct error *err)
{
	for (size_t i = 0; i < t->n_limits; i++)
		if (!*name || strcmp(name, t->limits[i].name) == 0) {
			*ret = (uint8_t)i;
			return 0;
		}
	error_set(err, "limits '%.64s' are not defined above", name);
	return -EINVAL;
}

/* "direct" as a device and "group" as a vehicle would be topics of direct messages. */
static int check_ids(struct gate_table *t, const char *id, const char *vehicle, struct error *err)
{
	if (!id_is_valid(id) || strcmp(id, "direct") == 0)
		error_set(err, "device '%.64s' is not an id", id);
	else if (!id_is_valid(vehicle) || strcmp(vehicle, "group") == 0)
		error_set(err, "vehicle '%.64s' is not an id", vehicle);
	else if (gate_table_service(t, id))
		error_set(err, "device '%s' has the name of a service", id);
	else
		return 0;
	return -EINVAL;
}

int gate_table_put_device(struct gate_table *t, const char *id, const char *vehicle,
			  const char *status, const char *limits, struct error *err)
{
	struct gate_device d = {0};
	uint32_t *slot;
	int r = check_ids(t, id, vehicle, err);

	if (r == 0)
		r = status_of(status, &d.status, err);
	if (r == 0)
		r = limits_of(t, limits, &d.limits, err);
	if (r < 0)
		return r;
	slot = slot_of(t, id);
	d.id = *slot ? t->devices[*slot - 1].id : keep_text(t, id);
	d.vehicle = keep_text(t, vehicle);
	if (!d.id || !d.vehicle || (!*slot && t->n_devices == t->devices_max)) {
		error_set(err, "device '%s' has no room", id);
		return -ENOSPC;
	}
	if (!*slot)
		*slot = (uint32_t)++t->n_devices;
	t->devices[*slot - 1] = d;
	return 0;
}

static int role_of(const char *name, enum gate_role *ret, struct error *err)
{
	for (unsigned int i = 0; i < GATE_ROLES; i++)
		if (strcmp(name, ROLE_NAMES[i]) == 0) {
			*ret = (enum gate_role)i;
			return 0;
		}
	error_set(err, "role '%.40s' is not 'relay'", name);
	return -EINVAL;
}

int gate_table_put_service(struct gate_table *t, const char *name, const char *role,
			   struct error *err)
{
	struct gate_service s = {0};

	if (!id_is_valid(name) || gate_table_device(t, name)) {
		error_set(err, "service '%.64s' is not an id, or a device's", name);
		return -EINVAL;
	}
	if (gate_table_service(t, name)) {
		error_set(err, "service '%s' is there twice", name);
		return -EINVAL;
	}
	if (role_of(role, &s.role, err) < 0)
		return -EINVAL;
	if (t->n_services == GATE_SERVICES_MAX) {
		error_set(err, "service '%s' is one more than %d", name, GATE_SERVICES_MAX);
		return -ENOSPC;
	}
	memcpy(s.name, name, strlen(name) + 1);
	t->services[t->n_services++] = s;
	return 0;
}

int gate_table_limits(struct gate_table *t, const char *name, struct gate_limits **ret,
		      struct error *err)
{
	struct gate_limits *l;

	if (!id_is_valid(name)) {
		error_set(err, "limits '%.64s' are not named by an id", name);
		return -EINVAL;
	}
	for (size_t i = 0; i < t->n_limits; i++)
		if (strcmp(name, t->limits[i].name) == 0) {
			*ret = &t->limits[i];
			return 0;
		}
	if (t->n_limits == GATE_LIMITS_MAX) {
		error_set(err, "limits '%s' are one more than %d", name, GATE_LIMITS_MAX);
		return -EINVAL;
	}
	l = &t->limits[t->n_limits++];
	*l = t->limits[0];
	memset(l->name, 0, sizeof(l->name));
	memcpy(l->name, name, strlen(name) + 1);
	*ret = l;
	return 0;
}
