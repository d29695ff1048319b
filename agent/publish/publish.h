/* agent/publish/publish.h: rows of the outbox to the relay, and its receipts back. Back thread.
 *
 * Sends in order of class and seq, as far as the window goes; deletes on receipts alone. */
#pragma once

#include "agent/health/counters.h"
#include "agent/store/store.h"
#include "base/mqtt.h"

struct publish;

struct publish_options {
	const char *vehicle; /* copied, as device */
	const char *device;
	uint16_t part;
	struct mqtt_options mqtt; /* client_id and session are set by publish itself */
	size_t window_rows;
	size_t window_bytes;
	int64_t receipt_timeout_ns;
	const struct timebase *tb;
	/* Rows were deleted, dropped or moved. */
	void (*changed)(void *ctx);
	/* The outbox was found damaged. May be called several times. */
	void (*corrupt)(void *ctx);
	void *ctx;
};

/* Starts to connect. loop, store, counters are borrowed. Returns 0, -ENOMEM, or -errno. */
int publish_new(struct publish **ret, struct loop *loop, struct store *store,
		struct counters *counters, const struct publish_options *opt) must_check;
/* Disconnects, see mqtt_free. */
struct publish *publish_free(struct publish *p);

/* There are new rows. */
void publish_kick(struct publish *p);

/* For tests, which play the broker: as if a receipt had come. */
void publish_receipt(struct publish *p, const struct receipt *r);
