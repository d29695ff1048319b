/* tests/bench/common_server.h: a Mosquitto and a towline-relay for a bench, and HTTP to the relay.
 */
#pragma once

#include "base/base.h"

#include <sys/types.h>

enum { BENCH_HTTP_MAX = 1 << 16 };

struct bench_servers {
	char dir[64]; /* of the relay, under /tmp */
	struct broker *broker;
	pid_t relay;
	int http_port;
};

/* Both die when the server does not come up; what runs is stopped when the program ends. config:
 * lines for mosquitto.conf. */
void bench_broker_start(struct bench_servers *s, const char *config);
/* The towline-relay next to this program; waits until it is healthy. */
void bench_relay_start(struct bench_servers *s);
/* Stops both, and removes the folder. */
void bench_servers_stop(struct bench_servers *s);

/* A socket to 127.0.0.1, or -1. */
int bench_connect(int port);
/* A request to the relay. Fills out, of BENCH_HTTP_MAX bytes, with head and body of the answer, and
 * returns its status. Dies without one. */
int bench_http(const struct bench_servers *s, const char *method, const char *path,
	       const char *type, const void *body, size_t len, char *out);
