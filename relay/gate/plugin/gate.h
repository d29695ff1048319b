/* relay/gate/plugin/gate.h: what the plugin's parts share. The broker's thread only. */
#pragma once

#include "relay/gate/file.h"
#include "relay/gate/plugin/certificate.h"
#include "relay/gate/replace.h"
#include "relay/gate/tally.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <sys/stat.h>

enum { CHECK_MS = 100, SWEEP_PER_TICK = 100 };

/* What tells one content of a file from another. */
struct file_mark {
	struct timespec modified;
	ino_t inode;
	off_t size;
};

struct gate {
	mosquitto_plugin_id_t *id;
	/* Options; strings borrowed from the broker's, which live as long as the plugin. */
	const char *devices, *state, *metrics, *device_ca, *service_ca;
	int64_t metrics_s;
	struct gate_limit limits[GATE_CLASSES];

	struct gate_table *table;
	struct file_mark mark;
	struct certificate_cas *device_cas, *service_cas;
	struct gate_tally tally;
	struct mono_time now;
	bool ticked;
	struct mono_time check_at, metrics_at;
	size_t swept; /* devices whose presence of an earlier run is gone */
};

/* options.c. Returns 0, or -EINVAL with err. */
int gate_options(struct gate *g, const struct mosquitto_opt *options, int n,
		 struct error *err) must_check;

/* load.c */
int gate_load_first(struct gate *g, struct error *err) must_check; /* 0 or -errno */
void gate_load_changed(struct gate *g); /* reads the file again when it is another one */
int gate_load_cas(struct gate *g, struct error *err) must_check; /* 0 or -errno */

/* admit.c: the callbacks of the broker; data is its event, ctx the gate. */
int gate_on_auth(int event, void *data, void *ctx);
int gate_on_acl(int event, void *data, void *ctx);
int gate_on_disconnect(int event, void *data, void *ctx);

/* Retained; "online", "offline", or "" for none. presence.c */
void gate_presence(const struct gate_device *d, const char *state);
/* After a start: takes back what an earlier run of the broker has left, some devices at a time. */
void gate_presence_sweep(struct gate *g);

/* Counts and logs: who and what may be NULL; what is quoted. admit.c */
void gate_refuse(struct gate *g, enum gate_refusal why, const struct mosquitto *client,
		 const char *who, const char *what);
/* Ends the connections that the new table does not admit, and hands over the others. admit.c */
void gate_hand_over(struct gate *g, struct gate_table *new);
