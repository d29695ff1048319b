/* agent/publish/publish.h: rows of the outbox to the relay, and its receipts back. Back thread.
 *
 * What is new goes before what waited, and classes share the link (schedule.h), as far as the
 * windows go (window.h); rows are deleted on receipts alone. */
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
	size_t window_rows;	  /* at most; see agent/publish/window.h */
	size_t window_bytes;	  /* likewise */
	int64_t receipt_timeout_ns;
	uint64_t boot_id; /* of the mono times of batches that are closed now */
	const struct timebase *tb;
	/* What the kernel knows of the wall clock; NULL: clock_quality_read. */
	enum clock_quality (*clock_quality)(void *ctx);
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
