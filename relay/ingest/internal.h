/* relay/ingest/internal.h: what the files of this folder share. One thread uses it all. */
#pragma once

#include "base/mqtt_backoff.h"
#include "relay/ingest/ingest.h"
#include "relay/registry/table.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	LANES_MAX = 16,	    /* of one sender, in memory; others are looked up again */
	WINDOWS_MAX = 1024, /* of one device, on disk */
	/* How long a device has to fill holes, or to explain them, when there are
	 * WINDOW_RANGES_MAX of them. Then the lowest one is closed for each newcomer. */
	WINDOW_GRACE_S = 600,
	UNKNOWN_SENDERS_MAX = 1024,
	VALUES_MAX = 1 << 20, /* live values that wait for a commit */
	RETRY_BUSY_S = 5,
	STORAGE_PAUSE_MS = 1000, /* after a failed write, before the next try */
	SENDER_KEY_MAX = 2 * ID_MAX + 2,
};

struct known_context;

/* Contexts of one device (contexts.c), read when first needed. */
struct known_contexts {
	struct known_context *of; /* n of them, oldest first */
	size_t n;
	bool loaded;
};

/* One (device, epoch, class). */
struct lane {
	uint64_t epoch;
	enum uplink_class class;
	struct sender *sender;
	struct window window;
	struct stream_counts counts;
	bool stale;		     /* what is on disk was rolled back, and must be read again */
	bool gaps;		     /* some of window may be in gaps */
	bool uncounted;		     /* counts has more duplicates than the disk */
	bool pinned;		     /* in use by a message that looks for another lane */
	struct mono_time full_since; /* 0: it has room */
	bool in_txn;		     /* the open transaction adds to window */
	bool fresh;		     /* the stream has no window of it yet */
	bool untold;		     /* seqs between lo and hi are to be told, or nacks */
	uint64_t lo, hi;	     /* 0: none */
	struct receipt_nack *nacks;  /* RECEIPT_NACKS_MAX, or NULL */
	size_t n_nacks;
	uint32_t context; /* stored, to be named in the next receipt; 0: none */
	uint64_t used;	  /* turn of its last use */
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
	uint32_t n_untold;     /* batches that were marked since then */
	struct sender *next_queued;
	struct known_contexts contexts;
	uint32_t unknown_context[CLASS_COUNT]; /* to be told; 0: none */
	struct stream_clock clock;	       /* of the boot it talked of last */
	struct mono_time refilled;	       /* the token buckets; tokens may be below zero */
	double bytes_left, batches_left;
	/* Read by other threads, under the lock that guards by_device. */
	_Atomic uint64_t in_flight[CLASS_COUNT];
	_Atomic int64_t receipt_ns; /* wall time of the last one */
};

enum pending_kind { PENDING_BATCH, PENDING_GAP, PENDING_CLOCK, PENDING_KNOWN };

/* A batch, or what stands for some, in the open transaction. */
struct pending {
	enum pending_kind kind;
	struct lane *lane;
	uint64_t seq, through;	    /* to be acknowledged; as many as a gap takes, else one */
	struct stream_clock learnt; /* boot 0: nothing */
	bool late;		    /* a gap had told it missing */
	uint32_t context;	    /* that the batch introduces; 0: none */
	uint32_t reason;	    /* of a gap, with what is missing by it */
	uint64_t missing;
	int64_t row;
	const struct catalog *cat; /* NULL: waits for its catalog or dictionary */
	size_t first_value, n_values;
	uint64_t samples;
	struct wall_time received;
	struct mono_time at;
};

struct retention {
	int64_t ran_ns;		  /* the time that relays have run with this file */
	int64_t saved_ns;	  /* what of it is on disk */
	int64_t marked_ns;	  /* when the last mark was made; 0: never */
	struct stream_marked old; /* what may go */
	struct mono_time looked;
	struct wall_time wall; /* then */
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
	size_t n_txn_lanes, txn_lanes_cap, n_txn_senders, txn_senders_cap;
	struct mono_time refuse_until;
	bool refusing;

	struct sender *queue, **queue_end; /* for receipts */
	struct buf scratch;
	struct buf whole; /* a short envelope's body, whole again */

	struct loop_timer commit_timer, receipt_timer, maintain_timer, subscribe_timer;
	struct mqtt_backoff subscribe_backoff;
	bool subscribing; /* asked, and not answered */
	struct loop_wake wake;
	struct mono_time save_due;
	size_t round_left; /* vehicles to save until progress may move */
	int64_t round_id, applied_id;
	bool round_valid;
	bool wanted_changed;
	bool clocks_changed; /* rows may have to be repaired */
	bool uncounted;	     /* some lane is */
	struct retention retention;
	int quarantine_tokens;
	struct mono_time second_due; /* of upkeep that is not for every turn */

	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* of what other threads read or ask */
	struct ingest_stats stats;
	struct ingest_tuning new_tuning;
	bool tune, catalogs_changed;
};

/* ---- broker.c ---- */

int broker_open(struct ingest *in) must_check; /* connects as soon as the loop runs */
void broker_close(struct ingest *in);	       /* fine when it is not open */

/* ---- sender.c ---- */

/* The sender of a topic, in the state that the registry has it in. NULL: no memory, or too many
 * unknown ones. May end the open transaction. */
struct sender *sender_get(struct ingest *in, const struct topic_up *t,
			  const struct registry_ids *ids);
/* 0 or -errno. For an unknown sender the window stays empty. */
int lane_get(struct ingest *in, struct sender *s, uint64_t epoch, enum uplink_class class,
	     struct lane **ret) must_check;
/* Reads the window again after a rollback. */
int lane_reload(struct ingest *in, struct lane *l) must_check;
/* Of a vehicle that was removed: its devices are strangers now. No transaction is open. */
void senders_forget(struct ingest *in, int64_t vehicle);
void senders_free(struct ingest *in);

/* ---- accept.c: a message, who sent it, and the answers that need no disk ---- */

struct incoming {
	const struct mqtt_message *m;
	struct topic_up topic;
	struct sender *sender;
	bool known; /* the device is in the registry */
	struct envelope envelope;
	struct lane *lane, *origin; /* origin: NULL where the envelope has none */
	struct mono_time at;
	struct wall_time received;
};

void ingest_accept(struct ingest *in, const struct mqtt_message *m);
/* Counts, logs and keeps what could not be read. */
void ingest_quarantine(struct ingest *in, const char *topic, const char *reason,
		       const void *payload, size_t len);
void refuse_invalid(struct ingest *in, struct incoming *msg, const char *reason);
void refuse_busy(struct ingest *in, struct incoming *msg);
/* It is there already: acknowledges seq to through, without storing. */
void accept_known(struct ingest *in, struct incoming *msg, uint64_t through);

/* ---- contexts.c: short envelopes ---- */

/* Reads a short envelope; its body lives until the next call. Returns 0; -ENOENT: the sender has
 * been told that its context is not known; -EBADMSG with err; another -errno. */
int context_read(struct ingest *in, struct sender *s, enum uplink_class class,
		 const struct mqtt_message *m, struct envelope *ret, struct error *err) must_check;
/* Keeps the context that e introduces, in the open transaction. *ret_id 0: it introduces none. */
int context_keep(struct ingest *in, struct sender *s, enum uplink_class class,
		 const struct envelope *e, uint32_t *ret_id) must_check;
/* The context that e introduces (it does), if it is kept already; else 0. */
uint32_t context_find(struct ingest *in, struct sender *s, enum uplink_class class,
		      const struct envelope *e);
/* They are read from the disk again before their next use. */
void contexts_forget(struct known_contexts *k);

/* ---- batch.c, notice.c: what is in the envelope ---- */

void accept_batch(struct ingest *in, struct incoming *msg);
void accept_gap(struct ingest *in, struct incoming *msg);
void accept_clock(struct ingest *in, struct incoming *msg);

/* ---- lane.c: windows, in the open transaction ---- */

/* False: too many holes, refuse the message for now. To be asked before anything is added for it.
 */
bool lane_fits(struct ingest *in, struct lane *l, uint64_t from, uint64_t through);
/* Each returns 0, or -errno: roll back. Adds what is stored or told missing, all of from to
 * through. It fits. */
int lane_add(struct ingest *in, struct lane *l, uint64_t from, uint64_t through) must_check;
/* Adds a batch, or takes it out of the gap that told it missing: then *ret_late is set. */
int lane_take(struct ingest *in, struct lane *l, uint64_t seq, bool *ret_late) must_check;
/* Whether seq needs no storing: 1, 0 (also: a gap has told it missing), -errno. */
int lane_has(struct ingest *in, struct lane *l, uint64_t seq) must_check;
void lane_count_duplicate(struct ingest *in, struct lane *l);

/* ---- commit.c ---- */

/* Opens the transaction where none is, and makes room for one more pending. Any change to a lane's
 * window is announced by txn_touch before it is made. */
int txn_begin(struct ingest *in) must_check;
int txn_touch(struct ingest *in, struct lane *l) must_check;
/* Notes what txn_begin has made room for. */
void pending_add(struct ingest *in, const struct pending *p);
void sender_touch(struct ingest *in, struct sender *s); /* its counters go with the transaction */
/* Commits and goes on to receipts and live state, or rolls back and refuses. Nothing is told of an
 * open transaction, so this comes before receipts_flush. */
void ingest_commit(struct ingest *in);
void ingest_abort(struct ingest *in, int e);
void ingest_storage_is(struct ingest *in, int e); /* notes how a write went */

/* ---- repair.c ---- */

/* Teaches the device's clock by a batch that is synced, or repairs its row by what is known. */
int clock_use(struct ingest *in, struct sender *s, struct stream_row *row,
	      struct stream_clock *ret_learnt) must_check;
/* Notes what a boot's clock turned out to be. */
int clock_learn(struct ingest *in, struct sender *s, const struct stream_clock *c) must_check;
/* Gives row the clock of a batch's header. */
void clock_of_header(struct stream_row *row, const struct batch_header *h);
/* One step of repairing rows: 1: perhaps more of them, 0: none left, or -errno. */
int ingest_repair(struct ingest *in) must_check;

/* ---- receipts.c ---- */

/* Each call counts as one batch. from <= through. */
void receipt_mark(struct ingest *in, struct lane *l, uint64_t from, uint64_t through);
void receipt_nack(struct ingest *in, struct lane *l, uint64_t seq, enum nack_code code,
		  uint32_t retry_after_s);
/* A short envelope of that class referred to it. */
void receipt_unknown_context(struct ingest *in, struct sender *s, enum uplink_class class,
			     uint32_t id);
/* Sends what is due; no transaction is open. */
void receipts_flush(struct ingest *in, bool all);

/* ---- retention.c ---- */

int retention_start(struct ingest *in) must_check;
int retention_save(struct ingest *in) must_check;
/* Returns 1: more to delete, 0: none, or -errno. */
int retention_step(struct ingest *in) must_check;
/* What is for each second alone. */
int retention_second(struct ingest *in) must_check;

/* ---- maintain.c ---- */

int ingest_restore(struct ingest *in, struct error *err) must_check;
/* Rows with bodies of their own. */
enum { STEP_ROWS = 32 };
struct row_copies {
	struct stream_row rows[STEP_ROWS];
	size_t n;
};
int copy_row(void *ctx, const struct stream_row *row);
void free_rows(struct row_copies *c);
/* Decodes a row's last values to in->values, stamped. */
int read_row(struct ingest *in, struct stream_row *row, const struct catalog *cat,
	     uint64_t *ret_samples, struct error *err) must_check;
/* The saved state does not have row id as it is now: a replay must start before it. */
int progress_before(struct ingest *in, int64_t id) must_check;
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
