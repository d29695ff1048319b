/* Dictionaries: what batches of a catalog are expected to look like. */
#include "relay/api/internal.h"

#include "relay/ingest/ingest.h"
#include "relay/registry/registry.h"

#include <stdio.h>
#include <string.h>

static json_t *dictionary_json(const struct registry_dictionary *d)
{
	char id[17], catalog[17], sha[65];

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)d->id);
	snprintf(catalog, sizeof(catalog), "%016llx", (unsigned long long)d->catalog);
	hex_encode(d->sha256, sizeof(d->sha256), sha);
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", id, "sha256", sha, "catalog", catalog,
			 "bytes", json_unsigned(d->bytes), "created", json_time(d->created.ns));
}

static void append_dictionary(void *ctx, const struct registry_dictionary *d)
{
	json_array_append_new(ctx, dictionary_json(d));
}

static void take_dictionary(void *ctx, const struct registry_dictionary *d)
{
	*(json_t **)ctx = dictionary_json(d);
}

enum MHD_Result handle_dictionaries_list(struct request *rq)
{
	json_t *array = json_array();
	int e = registry_list_dictionaries(rq->api->opt.registry, append_dictionary, array);

	if (e < 0) {
		json_decref(array);
		return reply_errno(rq, e);
	}
	return reply_json(rq, 200, json_pack("{s:o}", "dictionaries", array));
}

static enum MHD_Result reply_dictionary(struct request *rq, uint64_t id, bool created)
{
	char location[48];
	json_t *o = NULL;
	int e = registry_describe_dictionary(rq->api->opt.registry, id, take_dictionary,
					     (void *)&o);

	if (e < 0)
		return reply_errno(rq, e);
	snprintf(location, sizeof(location), "/v1/dictionaries/%016llx", (unsigned long long)id);
	return created ? reply_created(rq, o, location) : reply_json(rq, 200, o);
}

enum MHD_Result handle_dictionaries_post(struct request *rq)
{
	struct error err = {0};
	uint64_t id = 0;
	int e = registry_add_dictionary(rq->api->opt.registry, rq->body.data, rq->body.len, &id,
					&err);

	if (e == -EBADMSG)
		return reply_problem(rq, 400, "The body is not a dictionary: %s.", err.text);
	if (e == REGISTRY_LIMIT)
		return reply_problem(rq, 409, "%s.", err.text);
	if (e == -ENOENT)
		return reply_problem(rq, 409, "The dictionary cannot be kept: %s.", err.text);
	if (e < 0)
		return reply_errno(rq, e);
	if (e == 0)
		ingest_catalogs_changed(rq->api->opt.ingest);
	return reply_dictionary(rq, id, e == 0);
}

enum MHD_Result handle_dictionary_get(struct request *rq)
{
	const struct dictionary *d;
	void *copy;
	uint64_t id;
	int e;

	if (parse_hex_id(rq->params[0], &id) < 0)
		return reply_problem(rq, 400, "dictionary: must be 16 hex digits.");
	e = registry_get_dictionary(rq->api->opt.registry, id, &d);
	if (e == -ENOENT)
		return reply_problem(rq, 404, "There is no dictionary %s.", rq->params[0]);
	if (e < 0)
		return reply_errno(rq, e);
	copy = malloc(d->len);
	if (!copy)
		return reply_errno(rq, -ENOMEM);
	memcpy(copy, d->bytes, d->len);
	return reply_bytes(rq, 200, "application/octet-stream", copy, d->len);
}
