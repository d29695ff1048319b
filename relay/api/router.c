#include "relay/api/internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Every one of these is in openapi.json, and nothing else is: a test holds them together. */
const struct route api_routes[] = {
	{"GET", "/healthz", NULL, handle_health},
	{"GET", "/metrics", NULL, handle_metrics},
	{"GET", "/openapi.json", NULL, handle_openapi},
	{"GET", "/v1/catalogs", NULL, handle_catalogs_list},
	{"POST", "/v1/catalogs", "application/octet-stream", handle_catalogs_post},
	{"GET", "/v1/catalogs/{catalog}", NULL, handle_catalog_get},
	{"GET", "/v1/dictionaries", NULL, handle_dictionaries_list},
	{"POST", "/v1/dictionaries", "application/octet-stream", handle_dictionaries_post},
	{"GET", "/v1/dictionaries/{dictionary}", NULL, handle_dictionary_get},
	{"GET", "/v1/events", NULL, handle_all_events},
	{"GET", "/v1/vehicles", NULL, handle_vehicles_list},
	{"POST", "/v1/vehicles", "application/json", handle_vehicles_post},
	{"GET", "/v1/vehicles/{vehicle}", NULL, handle_vehicle_get},
	{"DELETE", "/v1/vehicles/{vehicle}", NULL, handle_vehicle_delete},
	{"POST", "/v1/vehicles/{vehicle}/devices", "application/json", handle_devices_post},
	{"GET", "/v1/vehicles/{vehicle}/devices/{device}/delivery", NULL, handle_delivery},
	{"GET", "/v1/vehicles/{vehicle}/events", NULL, handle_events},
	{"GET", "/v1/vehicles/{vehicle}/signals/{signal}/history", NULL, handle_history},
	{"GET", "/v1/vehicles/{vehicle}/state", NULL, handle_state},
};
const size_t api_n_routes = array_len(api_routes);

/* Length of the segment at s, up to the next slash. */
static size_t segment(const char *s)
{
	return strcspn(s, "/");
}

/* Notes where parameters begin, and in ends where they end, for path to be cut there. */
static bool matches(const struct route *r, char *path, const char **params, char **ends,
		    size_t *ret_n)
{
	const char *p = r->pattern;
	size_t n = 0;

	while (*p == '/' && *path == '/') {
		size_t pl = segment(++p), sl = segment(++path);

		if (*p == '{' && sl > 0) {
			params[n] = path;
			ends[n++] = path + sl;
		} else if (pl != sl || memcmp(p, path, pl) != 0) {
			return false;
		}
		p += pl;
		path += sl;
	}
	*ret_n = n;
	return !*p && !*path;
}

static void add_method(char *allow, size_t size, const char *method)
{
	size_t len = strlen(allow);

	snprintf(allow + len, size - len, "%s%s", len ? ", " : "", method);
	if (strcmp(method, "GET") == 0)
		add_method(allow, size, "HEAD");
}

enum route_found api_match(struct request *rq, const char *method, char *allow, size_t size)
{
	char *ends[PARAMS_MAX];
	size_t n = 0;
	bool path_found = false;

	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	allow[0] = '\0';
	for (size_t i = 0; i < api_n_routes; i++) {
		if (!matches(&api_routes[i], rq->path, rq->params, ends, &n))
			continue;
		if (strcmp(api_routes[i].method, method) != 0) {
			path_found = true;
			add_method(allow, size, api_routes[i].method);
			continue;
		}
		rq->route = &api_routes[i];
		rq->n_params = n;
		while (n-- > 0)
			*ends[n] = '\0';
		return ROUTE_FOUND;
	}
	return path_found ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
