/* Catalogs: what the integers of batches mean. */
#include "relay/api/internal.h"

#include "relay/ingest/ingest.h"
#include "relay/registry/registry.h"

#include <stdio.h>
#include <string.h>

static json_t *catalog_json(const struct registry_catalog *c)
{
	char id[17], sha[65];
	json_t *buses = json_loads(c->buses, 0, NULL);

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)c->id);
	hex_encode(c->sha256, sizeof(c->sha256), sha);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", id, "sha256", sha, "buses",
			 buses ? buses : json_array(), "messages", json_unsigned(c->messages),
			 "signals", json_unsigned(c->signals), "bytes", json_unsigned(c->bytes),
			 "created", json_time(c->created.ns));
}

static void append_catalog(void *ctx, const struct registry_catalog *c)
{
	json_array_append_new(ctx, catalog_json(c));
}

static void take_catalog(void *ctx, const struct registry_catalog *c)
{
	*(json_t **)ctx = catalog_json(c);
}

enum MHD_Result handle_catalogs_list(struct request *rq)
{
	json_t *array = json_array();
	int e = registry_list_catalogs(rq->api->opt.registry, append_catalog, array);

	if (e < 0) {
		json_decref(array);
		return reply_errno(rq, e);
	}
	return reply_json(rq, 200, json_pack("{s:o}", "catalogs", array));
}

static enum MHD_Result reply_catalog(struct request *rq, uint64_t id, bool created)
{
	char location[40];
	json_t *o = NULL;
	int e = registry_describe_catalog(rq->api->opt.registry, id, take_catalog, (void *)&o);

	if (e < 0)
		return reply_errno(rq, e);
	snprintf(location, sizeof(location), "/v1/catalogs/%016llx", (unsigned long long)id);
	return created ? reply_created(rq, o, location) : reply_json(rq, 200, o);
}

enum MHD_Result handle_catalogs_post(struct request *rq)
{
	struct error err = {0};
	uint64_t id = 0;
	int e = registry_add_catalog(rq->api->opt.registry, rq->body.data, rq->body.len, &id, &err);

	if (e == -EBADMSG)
		return reply_problem(rq, 400, "The body is not a catalog: %s.", err.text);
	if (e == REGISTRY_LIMIT)
		return reply_problem(rq, 409, "%s.", err.text);
	if (e < 0)
		return reply_errno(rq, e);
	if (e == 0)
		ingest_catalogs_changed(rq->api->opt.ingest);
	return reply_catalog(rq, id, e == 0);
}

int parse_hex_id(const char *text, uint64_t *ret)
{
	uint8_t b[8];

	if (strlen(text) != 16 || hex_decode(text, 16, b, sizeof(b)) != 8)
		return -EINVAL;
	*ret = 0;
	for (size_t i = 0; i < sizeof(b); i++)
		*ret = *ret << 8 | b[i];
	return 0;
}

enum MHD_Result handle_catalog_get(struct request *rq)
{
	const struct catalog *cat;
	void *copy;
	uint64_t id;
	int e;

	if (parse_hex_id(rq->params[0], &id) < 0)
		return reply_problem(rq, 400, "catalog: must be 16 hex digits.");
	e = registry_get_catalog(rq->api->opt.registry, id, &cat);
	if (e == -ENOENT)
		return reply_problem(rq, 404, "There is no catalog %s.", rq->params[0]);
	if (e < 0)
		return reply_errno(rq, e);
	copy = malloc(cat->len);
	if (!copy)
		return reply_errno(rq, -ENOMEM);
	memcpy(copy, cat->bytes, cat->len);
	return reply_bytes(rq, 200, "application/octet-stream", copy, cat->len);
}
