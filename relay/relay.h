/* relay/relay.h: the relay whole: joins registry, stream, live, ingest and API. */
#pragma once

#include "base/conf.h"
#include "base/timebase.h"

struct relay;

/* The table of all configuration keys. */
extern const struct conf_table relay_conf_table;
/* Reads a file by it, and checks what no key alone can tell. As conf_load. */
int relay_conf_load(struct conf **ret, const char *path, struct error *err) must_check;

/* Opens everything and starts the threads. conf is borrowed for the call. Returns 0 or -errno with
 * err. Signals that the caller wants for itself must be blocked before. */
int relay_start(struct relay **ret, const struct conf *conf, const struct timebase *tb,
		struct error *err) must_check;
/* Commits what is in hand, saves the state, closes. NULL is fine; always returns NULL. */
struct relay *relay_stop(struct relay *r);
/* To be called every second: heartbeats of event streams. */
void relay_tick(struct relay *r);
/* Takes the keys that can change while it runs (conf_key.reloads). */
void relay_reload(struct relay *r, const struct conf *conf);
