/* tests/unit/mqtt_fixture.h: a loop, a broker and clients, for the tests of base/mqtt.h. */
#pragma once

#include "base/loop.h"
#include "tests/fakes/broker.h"
#include "tests/fakes/peer.h"
#include "tests/fakes/tap.h"

/* Of the running test; NULL where it has none. */
extern struct loop *loop;
extern struct broker *broker;
extern struct tap *tap;	 /* in front of the broker */
extern char tap_uri[64]; /* "mqtt://127.0.0.1:PORT" */

void start_loop(void);
void start(const char *config);	       /* loop and broker; config as of broker_start */
void start_tapped(const char *config); /* these, and the tap */
void stop(void);		       /* what was started */

/* Starts p with the options of peer_options; asserts that it is connected, and subscribed if it has
 * something to subscribe to. */
void connect_peer(struct peer *p, const char *client_id);
/* peer_stop, which may take 1 s; some room for a busy machine. */
void stop_in_time(struct peer *p);

/* Names a file in a new folder of its own under /tmp; private_file_remove removes both. */
void private_file(char *path, size_t size);
void private_file_remove(const char *path);

/* A server that takes connections and answers nothing. Returns its socket. */
int silent_server(int *ret_port);

/* Another program publishes to t/stream, as fast as it can, until stop_stream. */
pid_t start_stream(void) must_check;
void stop_stream(pid_t pid); /* after the first message came */
