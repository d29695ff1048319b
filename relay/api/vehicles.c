/* Vehicles and their devices. */
#include "relay/api/internal.h"

#include "relay/ingest/ingest.h"
#include "relay/live/history.h"
#include "relay/registry/registry.h"
#include "relay/stream/stream.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	NAME_CHARS_MAX = REGISTRY_NAME_MAX / 4,
	LIST_MAX = 1000,
	LIST_DEFAULT = 100,
	UUID_TEXT = 37
};

/* ---- reading ---- */

struct device_list {
	json_t *array;
	struct stream_reader *reader;
	int64_t last_seen_ns;
};

static void add_device(void *ctx, const struct registry_device *d)
{
	struct device_list *l = ctx;
	struct stream_device s = {0};
	char epoch[17];
	json_t *o = json_pack("{s:s, s:o}", "id", d->id, "created", json_time(d->created.ns));

	if (stream_reader_device(l->reader, d->key, &s) < 0)
		s = (struct stream_device){0};
	if (s.last_seen_ns > l->last_seen_ns)
		l->last_seen_ns = s.last_seen_ns;
	snprintf(epoch, sizeof(epoch), "%016llx", (unsigned long long)s.epoch);
	json_object_set_new(o, "last_seen",
			    s.last_seen_ns ? json_time(s.last_seen_ns) : json_null());
	json_object_set_new(o, "batches", json_unsigned(s.batches));
	json_object_set_new(o, "samples", json_unsigned(s.samples));
	json_object_set_new(o, "epoch", s.last_seen_ns ? json_string(epoch) : json_null());
	json_array_append_new(l->array, o);
}

/* NULL with *ret_e set on failure. */
static json_t *vehicle_json(struct api *a, const struct registry_vehicle *v, int *ret_e)
{
	struct device_list l = {.array = json_array()};
	json_t *o;

	*ret_e = history_borrow(a->opt.history, &l.reader);
	if (*ret_e == 0) {
		*ret_e = registry_list_devices(a->opt.registry, v->key, add_device, &l);
		history_return(a->opt.history, l.reader);
	}
	if (*ret_e < 0) {
		json_decref(l.array);
		return NULL;
	}
	o = json_pack("{s:s, s:s, s:i, s:o, s:o}", "id", v->id, "name", v->name, "part",
		      (int)v->part, "created", json_time(v->created.ns), "devices", l.array);
	if (!o)
		*ret_e = -ENOMEM;
	json_object_set_new(o, "last_seen",
			    l.last_seen_ns ? json_time(l.last_seen_ns) : json_null());
	return o;
}

static int find_vehicle(struct request *rq, struct registry_vehicle *v)
{
	int e = registry_get_vehicle(rq->api->opt.registry, rq->params[0], v);

	if (e == -ENOENT)
		(void)!reply_problem(rq, 404, "There is no vehicle %.64s.", rq->params[0]);
	else if (e < 0)
		(void)!reply_errno(rq, e);
	return e;
}

bool request_vehicle(struct request *rq, int64_t *ret_key)
{
	struct registry_vehicle v;

	if (find_vehicle(rq, &v) < 0)
		return false;
	*ret_key = v.key;
	return true;
}

static enum MHD_Result reply_vehicle(struct request *rq, const char *id, unsigned status)
{
	struct registry_vehicle v;
	char location[ID_MAX + 16];
	json_t *o = NULL;
	int e = registry_get_vehicle(rq->api->opt.registry, id, &v);

	if (e == 0)
		o = vehicle_json(rq->api, &v, &e);
	if (e < 0)
		return reply_errno(rq, e);
	snprintf(location, sizeof(location), "/v1/vehicles/%s", id);
	return status == 201 ? reply_created(rq, o, location) : reply_json(rq, status, o);
}

enum MHD_Result handle_vehicle_get(struct request *rq)
{
	struct registry_vehicle v;
	json_t *o;
	int e;

	if (find_vehicle(rq, &v) < 0)
		return MHD_YES;
	o = vehicle_json(rq->api, &v, &e);
	return o ? reply_json(rq, 200, o) : reply_errno(rq, e);
}

struct vehicle_list {
	struct registry_vehicle *v;
	size_t n;
};

static void take_vehicle(void *ctx, const struct registry_vehicle *v)
{
	struct vehicle_list *l = ctx;

	l->v[l->n++] = *v;
}

static enum MHD_Result reply_vehicles(struct request *rq, const struct vehicle_list *l,
				      size_t limit)
{
	json_t *array = json_array(), *next;
	size_t n = l->n < limit ? l->n : limit;
	int e = 0;

	for (size_t i = 0; i < n; i++) {
		json_t *o = vehicle_json(rq->api, &l->v[i], &e);

		if (!o) {
			json_decref(array);
			return reply_errno(rq, e);
		}
		json_array_append_new(array, o);
	}
	next = l->n > limit ? json_string(l->v[n - 1].id) : json_null();
	return reply_json(rq, 200, json_pack("{s:o, s:o}", "vehicles", array, "next", next));
}

enum MHD_Result handle_vehicles_list(struct request *rq)
{
	const char *after = query_text(rq, "after");
	struct vehicle_list l = {0};
	int64_t limit = LIST_DEFAULT;
	enum MHD_Result ret;
	int e;

	if (query_int(rq, "limit", 1, LIST_MAX, &limit) < 0)
		return MHD_YES;
	if (after && *after && !id_is_valid(after))
		return reply_problem(rq, 400, "after: must be the id of a vehicle.");
	/* One more than asked for tells whether there is a next page. */
	l.v = calloc((size_t)limit + 1, sizeof(*l.v));
	if (!l.v)
		return reply_errno(rq, -ENOMEM);
	e = registry_list_vehicles(rq->api->opt.registry, after ? after : "", (size_t)limit + 1,
				   take_vehicle, &l);
	ret = e < 0 ? reply_errno(rq, e) : reply_vehicles(rq, &l, (size_t)limit);
	free(l.v);
	return ret;
}

/* ---- changing ---- */

/* RFC 9562 §5.4: version 4. */
static void mint_uuid(char text[static UUID_TEXT])
{
	uint8_t b[16];
	char hex[33];

	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	hex_encode(b, sizeof(b), hex);
	snprintf(text, UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

/* The body as an object, or NULL with 400 queued. */
static json_t *body_object(struct request *rq)
{
	json_error_t err;
	json_t *o =
		json_loadb((const char *)rq->body.data, rq->body.len, JSON_REJECT_DUPLICATES, &err);

	if (!o) {
		(void)!reply_problem(rq, 400, "The body is not JSON: line %d column %d: %s.",
				     err.line, err.column, err.text);
		return NULL;
	}
	if (!json_is_object(o)) {
		(void)!reply_problem(rq, 400, "The body must be a JSON object.");
		json_decref(o);
		return NULL;
	}
	return o;
}

struct new_vehicle {
	char id[ID_MAX + 1];
	const char *name;
	uint16_t part;
	const char *devices[REGISTRY_DEVICES_MAX];
	size_t n_devices;
};

/* Each returns NULL, or what is wrong: text that names the field. */
static const char *take_id(const json_t *v, char id[static ID_MAX + 1])
{
	const char *text = json_string_value(v);

	if (!text || !id_is_valid(text))
		return "id: must be 1 to 64 characters of A-Z a-z 0-9 . _ -";
	snprintf(id, ID_MAX + 1, "%s", text);
	return NULL;
}

static const char *take_devices(const json_t *v, struct new_vehicle *nv)
{
	if (!json_is_array(v))
		return "devices: must be an array of ids";
	if (json_array_size(v) > REGISTRY_DEVICES_MAX)
		return "devices: too many";
	for (size_t i = 0; i < json_array_size(v); i++) {
		const char *id = json_string_value(json_array_get(v, i));

		if (!id || !id_is_valid(id))
			return "devices: each must be 1 to 64 characters of A-Z a-z 0-9 . _ -";
		nv->devices[nv->n_devices++] = id;
	}
	return NULL;
}

/* Characters of UTF-8, as JSON Schema's maxLength counts them. */
static size_t count_chars(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

/* 7.0 is an integer in JSON Schema. */
static const char *take_part(const json_t *v, uint16_t *part)
{
	double d = json_number_value(v);

	if (!json_is_number(v) || !(d >= 0 && d <= UINT16_MAX) || d != floor(d))
		return "part: must be an integer from 0 to 65535";
	*part = (uint16_t)d;
	return NULL;
}

static const char *take_field(const char *key, const json_t *v, struct new_vehicle *nv)
{
	if (strcmp(key, "id") == 0)
		return take_id(v, nv->id);
	if (strcmp(key, "devices") == 0)
		return take_devices(v, nv);
	if (strcmp(key, "name") == 0) {
		nv->name = json_string_value(v);
		if (!nv->name || count_chars(nv->name) > NAME_CHARS_MAX)
			return "name: must be a text of at most 128 characters";
		return NULL;
	}
	if (strcmp(key, "part") == 0)
		return take_part(v, &nv->part);
	return "unknown field";
}

/* Queues 400 and returns -EINVAL where a field is wrong. */
static int take_vehicle_fields(struct request *rq, json_t *o, struct new_vehicle *nv)
{
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v)
	{
		const char *wrong = take_field(key, v, nv);

		if (wrong) {
			bool named = strncmp(wrong, key, strlen(key)) == 0;

			(void)!reply_problem(rq, 400, "%.64s%s%s.", named ? "" : key,
					     named ? "" : ": ", wrong);
			return -EINVAL;
		}
	}
	return 0;
}

/* Answers a registry's refusal; status of the good case is not its matter. */
static enum MHD_Result reply_refused(struct request *rq, int e, const struct error *err)
{
	if (e == REGISTRY_EXISTS || e == REGISTRY_LIMIT)
		return reply_problem(rq, 409, "%s.", err->text);
	return reply_errno(rq, e);
}

enum MHD_Result handle_vehicles_post(struct request *rq)
{
	struct new_vehicle nv = {.name = ""};
	struct error err = {0};
	json_t *o = body_object(rq);
	int e;

	if (!o)
		return MHD_YES;
	mint_uuid(nv.id);
	if (take_vehicle_fields(rq, o, &nv) < 0) {
		json_decref(o);
		return MHD_YES;
	}
	e = registry_add_vehicle(rq->api->opt.registry, nv.id, nv.name, nv.part, nv.devices,
				 nv.n_devices, &err);
	json_decref(o);
	return e == 0 ? reply_vehicle(rq, nv.id, 201) : reply_refused(rq, e, &err);
}

enum MHD_Result handle_devices_post(struct request *rq)
{
	char id[ID_MAX + 1];
	struct error err = {0};
	json_t *o = body_object(rq);
	const char *wrong;
	int e;

	if (!o)
		return MHD_YES;
	wrong = take_id(json_object_get(o, "id"), id);
	if (!wrong && json_object_size(o) != 1)
		wrong = "id: must be the only field";
	json_decref(o);
	if (wrong)
		return reply_problem(rq, 400, "%s.", wrong);
	e = registry_add_device(rq->api->opt.registry, rq->params[0], id, &err);
	if (e == -ENOENT)
		return reply_problem(rq, 404, "There is no vehicle %.64s.", rq->params[0]);
	return e == 0 ? reply_vehicle(rq, rq->params[0], 201) : reply_refused(rq, e, &err);
}

enum MHD_Result handle_vehicle_delete(struct request *rq)
{
	struct error err = {0};
	int e = registry_remove_vehicle(rq->api->opt.registry, rq->params[0], &err);

	if (e == -ENOENT)
		return reply_problem(rq, 404, "There is no vehicle %.64s.", rq->params[0]);
	if (e < 0)
		return reply_errno(rq, e);
	ingest_vehicles_changed(rq->api->opt.ingest);
	return reply_empty(rq, 204);
}
