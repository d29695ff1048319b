/* tests/fakes/tap.h: a TCP relay between a client and a server on 127.0.0.1 that counts, cuts and
 * stalls. Has a thread of its own; its functions are for one other thread. */
#pragma once

#include "base/base.h"

struct tap;

/* Listens on a free port and passes each connection on to server_port. */
int tap_start(struct tap **ret, int server_port) must_check;
struct tap *tap_free(struct tap *t); /* NULL is fine; always returns NULL */

int tap_port(const struct tap *t);
uint64_t tap_bytes_up(struct tap *t); /* client to server, all connections */
uint64_t tap_bytes_down(struct tap *t);
/* The last bytes that a client sent, at most TAP_KEPT of them, in order; returns how many. */
enum { TAP_KEPT = 1024 };
size_t tap_last_up(struct tap *t, uint8_t ret[TAP_KEPT]);
void tap_cut(struct tap *t);		   /* closes all connections; new ones may come */
void tap_stall(struct tap *t, bool stall); /* connections stay, nothing passes */
/* Bytes a second from client to server, with little more than the sockets' buffers waiting; 0: as
 * fast as they come. For connections from now on. */
void tap_throttle(struct tap *t, int64_t rate);
