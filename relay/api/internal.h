/* relay/api/internal.h: what the files of this folder share. */
#pragma once

#include "base/bytes.h"
#include "proto/topic.h"
#include "relay/api/api.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdatomic.h>

enum {
	URL_BYTES_MAX = 2048,
	PARAMS_MAX = 4,
	JSON_REPLY_MAX = 64 << 20,
};

struct api {
	struct api_options opt;
	struct MHD_Daemon *daemon;
	int fd;
	uint16_t port;
	_Atomic uint64_t requests[6];
};

struct route;

/* One request, from its first byte to the end of its answer. */
struct request {
	struct api *api;
	struct MHD_Connection *conn;
	const struct route *route;
	char url[URL_BYTES_MAX];	/* the path as it came */
	char path[URL_BYTES_MAX];	/* cut at slashes once it is matched */
	const char *params[PARAMS_MAX]; /* borrowed from path */
	size_t n_params;
	struct buf body;
	bool too_large;
	bool answered;
};

typedef enum MHD_Result handler_fn(struct request *rq);

struct route {
	const char *method;
	const char *pattern; /* "/v1/vehicles/{vehicle}" */
	const char *accepts; /* media type of the body, NULL: none is taken */
	handler_fn *handler;
};

/* ---- router.c ---- */

extern const struct route api_routes[];
extern const size_t api_n_routes;

enum route_found { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/* Finds the route and fills rq->params; path is cut in place. HEAD counts as GET. With
 * ROUTE_NO_METHOD, allow gets the methods there are. */
enum route_found api_match(struct request *rq, const char *method, char *allow, size_t size);

/* ---- reply.c: each queues the answer ---- */

enum MHD_Result reply_json(struct request *rq, unsigned status, json_t *body); /* takes body over */
enum MHD_Result reply_text(struct request *rq, unsigned status, const char *type, const char *text);
/* Takes the bytes over: malloc'ed. */
enum MHD_Result reply_bytes(struct request *rq, unsigned status, const char *type, void *data,
			    size_t len);
enum MHD_Result reply_created(struct request *rq, json_t *body, const char *location);
enum MHD_Result reply_empty(struct request *rq, unsigned status);
/* RFC 9457. */
enum MHD_Result reply_problem(struct request *rq, unsigned status, const char *fmt, ...)
	printf_like(3, 4);
enum MHD_Result reply_not_allowed(struct request *rq, const char *allow);
/* Of a registry's or history's -errno. */
enum MHD_Result reply_errno(struct request *rq, int e);
enum MHD_Result reply_queue(struct request *rq, unsigned status, struct MHD_Response *r);

/* ---- values.c: what queries and answers hold ---- */

/* Query parameter, or NULL. Borrowed from the connection. */
const char *query_text(struct request *rq, const char *name);
/* Each returns 1: given; 0: absent; -EINVAL: queue a 400 that names it. */
int query_int(struct request *rq, const char *name, int64_t min, int64_t max, int64_t *ret);
int query_time(struct request *rq, const char *name, int64_t *ret_ns);
/* RFC 3339 or milliseconds since 1970. 0 or -EINVAL. */
int parse_time(const char *text, int64_t *ret_ns) must_check;
json_t *json_time(int64_t wall_ns); /* RFC 3339 with 3, 6 or 9 digits of a second */
json_t *json_number(double value);  /* null where it is not finite */
json_t *json_unsigned(uint64_t v);  /* a decimal string beyond 2^53 */
struct catalog;
struct catalog_signal;
/* Adds "raw" (not for floats) and "value". */
int json_set_value(json_t *o, const struct catalog_signal *s, uint64_t raw) must_check;
/* {"signal","time","raw"?,"value","unit","text"?} */
struct live_value;
json_t *json_signal(const struct catalog *cat, const struct live_value *v, bool with_raw);

/* ---- handlers ---- */

handler_fn handle_health, handle_metrics, handle_openapi;
handler_fn handle_catalogs_list, handle_catalogs_post, handle_catalog_get;
handler_fn handle_dictionaries_list, handle_dictionaries_post, handle_dictionary_get;

/* An id of 16 hex digits. 0 or -EINVAL. */
int parse_hex_id(const char *text, uint64_t *ret) must_check;
handler_fn handle_vehicles_list, handle_vehicles_post, handle_vehicle_get, handle_vehicle_delete;
handler_fn handle_devices_post, handle_delivery, handle_state, handle_history, handle_events,
	handle_all_events;

/* Key of the vehicle that the path names; queues 404 or 500 and returns false. */
bool request_vehicle(struct request *rq, int64_t *ret_key);
