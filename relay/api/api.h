/* relay/api/api.h: the HTTP API (libmicrohttpd), as api/openapi.json describes it.
 *
 * A pool of threads with epoll. Handlers run on it: they read what other stages hold under those
 * stages' locks, and decode history from the disk. */
#pragma once

#include "base/timebase.h"

struct api;
struct history;
struct hub;
struct ingest;
struct live;
struct registry;

struct api_options {
	const struct timebase *tb; /* all borrowed for the life of the API */
	struct registry *registry;
	struct live *live;
	struct hub *hub;
	struct history *history;
	struct ingest *ingest;
	const char *listen; /* IPv4 or IPv6 address */
	uint16_t port;	    /* 0: any free one */
	unsigned threads;
	unsigned connections_max;
	size_t body_max;
	unsigned idle_s; /* a connection without traffic is closed */
};

/* Listens. Returns 0 or -errno with err naming address:port (-EADDRINUSE: the port is in use). */
int api_start(struct api **ret, const struct api_options *opt, struct error *err) must_check;
uint16_t api_port(const struct api *a);
/* Ends event streams and connections. NULL is fine; always returns NULL. */
struct api *api_stop(struct api *a);

struct api_stats {
	uint64_t requests[6]; /* by the first digit of the status; [0]: none sent */
	uint64_t connections;
};
void api_get_stats(struct api *a, struct api_stats *ret);
