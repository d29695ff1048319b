/* relay/ingest/ingest.h: from the broker to the stream, and back with receipts.
 *
 * A thread with a loop of its own. A batch is checked, kept out when it is there already, and
 * appended; many go in one transaction. Only after its commit is a batch acknowledged and shown. */
#pragma once

#include "base/mqtt.h"
#include "relay/live/hub.h"
#include "relay/live/live.h"
#include "relay/registry/registry.h"
#include "relay/stream/age.h"
#include "relay/stream/clocks.h"
#include "relay/stream/gaps.h"

struct ingest;

/* What may change while it runs. */
struct ingest_tuning {
	int group_commit_ms;	    /* a batch waits at most this long for its commit */
	int group_commit_batches;   /* or until so many wait */
	int receipt_interval_ms;    /* at most one receipt an interval and device */
	int unknown_retry_s;	    /* what a device that is not registered is told to wait */
	int64_t retention_ns;	    /* of history; the relay has to run for so long */
	int64_t max_bytes;	    /* of the stream: beyond, the oldest batches go; 0: no limit */
	int64_t device_bytes_per_s; /* beyond, a device is told to slow down; 0: no limit */
	int64_t device_batches_per_s; /* the same */
};

/* What the file of the stream may grow to with this max_bytes; 0: no limit. */
int64_t ingest_file_max(int64_t max_bytes);

struct ingest_options {
	const struct timebase *tb; /* all borrowed for the life of the ingest */
	struct registry *registry;
	struct stream *stream;
	struct live *live;
	struct hub *hub;
	struct mqtt_options mqtt;
	struct ingest_tuning tuning;
	size_t quarantine_rows;
	int state_save_ms;
};

/* Brings the live state up to the stream's end. Does not start the thread. */
int ingest_new(struct ingest **ret, const struct ingest_options *opt, struct error *err) must_check;
int ingest_start(struct ingest *in) must_check;
/* Commits what is in hand, sends its receipts, saves the state, disconnects. */
void ingest_stop(struct ingest *in);
struct ingest *ingest_free(struct ingest *in); /* stopped, or never started */

/* ---- from any thread ---- */

void ingest_catalogs_changed(struct ingest *in); /* batches may have waited for it */
void ingest_vehicles_changed(struct ingest *in); /* one was removed */
void ingest_tune(struct ingest *in, const struct ingest_tuning *t);

enum ingest_result {
	INGEST_STORED,
	INGEST_DUPLICATE,
	INGEST_INVALID,
	INGEST_UNKNOWN_DEVICE,
	INGEST_UNKNOWN_CATALOG, /* stored, and waits */
	INGEST_BUSY,		/* not stored; the sender was told to try later */
	INGEST_BAD_TOPIC,
	INGEST_GAP,		/* stored: will not come */
	INGEST_CLOCK,		/* stored: a boot's clock */
	INGEST_THROTTLED,	/* not stored; the sender was told to slow down */
	INGEST_UNKNOWN_CONTEXT, /* not stored; the sender was told to send it whole */
	INGEST_RESULTS,
};

enum { INGEST_LATENCY_BUCKETS = 12 };

/* Only who is INGEST_CONNECTED gets anything. */
enum ingest_broker {
	INGEST_DISCONNECTED,
	INGEST_SUBSCRIBING, /* asked for the subscription, and not answered */
	INGEST_REFUSED,	    /* the broker does not grant it; it is asked for again */
	INGEST_CONNECTED,
};

struct ingest_stats {
	uint64_t results[INGEST_RESULTS];
	uint64_t duplicates[CLASS_COUNT];
	/* By reason; [0]: unexplained, and those of the future. */
	uint64_t gaps[CLASS_COUNT][GAP_REASONS], gap_seqs[CLASS_COUNT][GAP_REASONS];
	uint64_t origin_known; /* of the duplicates: stored already under another name */
	uint64_t late;	       /* stored although a gap had told them missing */
	uint64_t repaired;     /* rows whose times a clock has put right */
	uint64_t windows_forgotten;
	uint64_t samples; /* of stored, decoded batches */
	uint64_t payload_bytes;
	uint64_t receipts, receipts_failed, nacks;
	uint64_t commits, commit_failures;
	uint64_t resolved,
		unresolved; /* waiting batches that were decoded later, or turned out bad */
	uint64_t pruned;
	uint64_t quarantined;
	uint64_t pending; /* batches that wait for their commit */
	uint64_t senders;
	uint64_t latency[INGEST_LATENCY_BUCKETS + 1]; /* taken by ingest until committed */
	uint64_t latency_sum_us;
	enum ingest_broker broker;
	uint64_t subscribe_failures; /* refused, not answered in time, or not sent */
	int storage;		     /* 0, or -errno of the last write */
	struct mqtt_stats mqtt;
	struct stream_usage usage;
};

extern const double ingest_latency_bounds_s[INGEST_LATENCY_BUCKETS];
const char *ingest_result_name(enum ingest_result r);
const char *ingest_broker_name(enum ingest_broker b);
void ingest_get_stats(struct ingest *in, struct ingest_stats *ret);

/* What is not in the stream of one device. False: it has not sent since the start. */
struct ingest_device {
	uint64_t in_flight[CLASS_COUNT]; /* received, not committed yet */
	struct wall_time receipt;	 /* when the last one went out; 0: none since the start */
};
bool ingest_get_device(struct ingest *in, int64_t device, struct ingest_device *ret);
