/* tests/fakes/broker.h: a real Mosquitto on a free port of 127.0.0.1, with its folder under /tmp.
 */
#pragma once

#include "base/base.h"

struct broker;

/* Starts it and waits until it listens. config: lines added to mosquitto.conf, or NULL; anonymous
 * clients are allowed, and `persistence true` keeps sessions over broker_stop(b, SIGTERM). Returns
 * 0, -ENOENT (no mosquitto), -ETIMEDOUT, or -errno. */
int broker_start(struct broker **ret, const char *config) must_check;
/* Sends signo (SIGKILL, SIGTERM) and waits for the end. Fine when it does not run. */
void broker_stop(struct broker *b, int signo);
/* Runs it again on the same port. */
int broker_restart(struct broker *b) must_check;
/* SIGSTOP, SIGCONT: a broker that accepts and says nothing. */
void broker_signal(struct broker *b, int signo);
/* Stops it and removes its folder; NULL is fine; always returns NULL. */
struct broker *broker_free(struct broker *b);

int broker_port(const struct broker *b);
const char *broker_uri(const struct broker *b); /* "mqtt://127.0.0.1:PORT" */
const char *broker_dir(const struct broker *b); /* has mosquitto.conf and mosquitto.log */

/* A port of 127.0.0.1 that nothing listened on a moment ago. */
int broker_free_port(void);
