/* relay/ingest/internal.h: what the files of this folder share. One thread uses it all. */
#pragma once

#include "relay/ingest/ingest.h"
#include "relay/registry/table.h"

#include <pthread.h>

enum {
	LANES_MAX = 16,	  /* of one sender, in memory; others are looked up again */
	WINDOWS_MAX = 64, /* of one device, on disk */
	UNKNOWN_SENDERS_MAX = 1024,
	VALUES_MAX = 1 << 20, /* live values that wait for a commit */
	RETRY_BUSY_S = 5,
	STORAGE_PAUSE_MS = 1000, /* after a failed write, before the next try */
	SENDER_KEY_MAX = 2 * ID_MAX + 2,
};

/* One (device, epoch, class). */
struct lane {
	uint64_t epoch;
	enum uplink_class class;
	struct sender *sender;
	struct window window;
	bool in_txn;		    /* the open transaction adds to window */
	bool fresh;		    /* the stream has no window of it yet */
	bool untold;		    /* seqs between lo and hi are to be told, or nacks */
	uint64_t lo, hi;	    /* 0: none */
	struct receipt_nack *nacks; /* RECEIPT_NACKS_MAX, or NULL */
	size_t n_nacks;
	uint64_t used; /* turn of its last use */
	struct lane *next;
};

/* One device as it shows in topics. */
struct sender {
	char key[SENDER_KEY_MAX]; /* "vehicle/device" */
	char vehicle[ID_MAX + 1];
	char device[ID_MAX + 1];
	int64_t vehicle_key, device_key; /* 0: not in the registry */
	struct lane *lanes;
	size_t n_lanes;
	struct stream_device stats, committed;
	bool in_txn;
	bool queued;	       /* for a receipt */
	struct mono_time told; /* when its last receipt went out */
	struct sender *next_queued;
};

/* A batch in the open transaction. */
struct pending {
	struct lane *lane;
	uint64_t seq;
	int64_t row;
	const struct catalog *cat; /* NULL: waits for its catalog */
	size_t first_value, n_values;
	uint64_t samples;
	struct wall_time received;
	struct mono_time at;
};

struct ingest {
	struct ingest_options opt;
	struct ingest_tuning tuning;
	struct loop *loop;
	struct mqtt *mqtt;
	struct stream *stream; /* opt's */

	struct table senders;	/* by key */
	struct table by_device; /* by device key; senders that are registered */
	size_t n_unknown;
	uint64_t turn;

	struct pending *pending; /* tuning may grow it */
	size_t n_pending, pending_cap;
	struct live_values values;
	struct lane **txn_lanes; /* each lane and sender once */
	struct sender **txn_senders;
	size_t n_txn_lanes, n_txn_senders;
	struct mono_time refuse_until;
	bool refusing;

	struct sender *queue, **queue_end; /* for receipts */
	struct buf scratch;

	struct loop_timer commit_timer, receipt_timer, maintain_timer;
	struct loop_wake wake;
	struct mono_time save_due, windows_due;
	size_t round_left; /* vehicles to save until progress may move */
	int64_t round_id, applied_id;
	bool round_valid;
	bool wanted_changed;
	int quarantine_tokens;
	struct mono_time second_due; /* of upkeep that is not for every turn */

	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* of what other threads read or ask */
	struct ingest_stats stats;
	struct ingest_tuning new_tuning;
	bool tune, catalogs_changed;
};

/* ---- sender.c ---- */

/* The sender of a topic, in the state that the registry has it in. NULL: no memory, or too many
 * unknown ones. May end the open transaction. */
struct sender *sender_get(struct ingest *in, const struct topic_up *t,
			  const struct registry_ids *ids);
/* 0 or -errno. For an unknown sender the window stays empty. */
int lane_get(struct ingest *in, struct sender *s, uint64_t epoch, enum uplink_class class,
	     struct lane **ret) must_check;
/* Of a vehicle that was removed: its devices are strangers now. No transaction is open. */
void senders_forget(struct ingest *in, int64_t vehicle);
void senders_free(struct ingest *in);

/* ---- accept.c ---- */

void ingest_accept(struct ingest *in, const struct mqtt_message *m);
/* Counts, logs and keeps what could not be read. */
void ingest_quarantine(struct ingest *in, const char *topic, const char *reason,
		       const void *payload, size_t len);

/* ---- commit.c ---- */

int pending_reserve(struct ingest *in) must_check;
/* Notes a batch that was appended. There is room (pending_reserve). */
void pending_add(struct ingest *in, const struct pending *p);
void sender_touch(struct ingest *in, struct sender *s); /* its counters go with the transaction */
/* Commits and goes on to receipts and live state, or rolls back and refuses. */
void ingest_commit(struct ingest *in);
void ingest_abort(struct ingest *in, int e);
void ingest_storage_is(struct ingest *in, int e); /* notes how a write went */

/* ---- receipts.c ---- */

void receipt_mark(struct ingest *in, struct lane *l, uint64_t seq);
void receipt_nack(struct ingest *in, struct lane *l, uint64_t seq, enum nack_code code,
		  uint32_t retry_after_s);
/* Sends what is due; no transaction is open. */
void receipts_flush(struct ingest *in, bool all);

/* ---- maintain.c ---- */

int ingest_restore(struct ingest *in, struct error *err) must_check;
/* One turn of upkeep. Returns true when there is more to do at once. */
bool ingest_maintain(struct ingest *in);
void ingest_save_all(struct ingest *in);

/* Changes a counter that other threads read. */
#define ingest_count(in, field, more)                                                              \
	do {                                                                                       \
		pthread_mutex_lock(&(in)->lock);                                                   \
		(in)->stats.field += (more);                                                       \
		pthread_mutex_unlock(&(in)->lock);                                                 \
	} while (0)
