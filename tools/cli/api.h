/* tools/cli/api.h: the relay's HTTP API as the commands see it (libcurl, jansson). */
#pragma once

#include "base/base.h"

#include <jansson.h>

struct api;

/* The relay's base URL: url if not NULL, else $TOWLINE_RELAY, else http://127.0.0.1:8080.
 * Returns NULL when out of memory or when the URL is not http(s)://, with a message on stderr. */
struct api *api_new(const char *url);
struct api *api_free(struct api *a); /* NULL is fine; always returns NULL */

/* One request. path is a printf format of the path and query below the base URL; its arguments must
 * already be escaped (api_escape). Returns an exit code of cli.h: EXIT_OK with *ret (owned by the
 * caller; may be NULL for an empty answer), else a message stands on stderr: the problem's title
 * and detail, or why the relay cannot be reached. */
int api_get(struct api *a, json_t **ret, const char *path, ...) printf_like(3, 4);
int api_delete(struct api *a, const char *path, ...) printf_like(2, 3);
int api_post_json(struct api *a, const char *path, const json_t *body, json_t **ret);
int api_post_bytes(struct api *a, const char *path, const void *body, size_t len, json_t **ret);

/* Percent-encodes one path segment or query value; the caller frees. */
char *api_escape(const char *text);

/* Server-sent events (WHATWG HTML 9.2). Calls back for each event until the callback returns
 * nonzero (its value is returned), the connection ends (EXIT_NO_RELAY) or max_s seconds have passed
 * (EXIT_OK; 0: no limit). */
struct api_event {
	const char *name; /* "message" where none was given */
	const char *data;
};
int api_events(struct api *a, const char *path, int max_s,
	       int (*cb)(void *ctx, const struct api_event *e), void *ctx);
