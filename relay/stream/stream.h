/* relay/stream/stream.h: the durable log of batches (stream.db), and its readers. Gaps are in
 * gaps.h, clocks in clocks.h, what a person asks of a device in report.h.
 *
 * A batch, its place in the window of its (device, epoch, class) and the counters of its device
 * change in one transaction, synced to disk by its commit. The stream is one thread's (ingest);
 * readers are connections of their own and see what is committed. */
#pragma once

#include "base/timebase.h"
#include "proto/batch.h"
#include "proto/topic.h"
#include "relay/stream/window.h"

struct stream;

enum stream_state {
	STREAM_DECODED,
	STREAM_WAITING, /* for its catalog */
	STREAM_BAD,	/* does not fit its catalog, which came later */
};

struct stream_row {
	int64_t id; /* order of append; set by stream_append */
	int64_t vehicle, device;
	uint64_t epoch;
	enum uplink_class class;
	uint64_t seq;
	struct wall_time received;
	int64_t first_ns, last_ns; /* wall times of the samples, repaired where that was possible */
	uint64_t catalog;
	uint64_t samples;
	enum stream_state state;
	uint32_t encoding;
	const uint8_t *body; /* borrowed for the call */
	size_t len;
	/* Of the clock that it was closed by. With CLOCK_SYNCED only shift_ns is kept. */
	enum clock_quality quality; /* of first_ns and last_ns */
	uint64_t boot;		    /* 0: not known */
	int64_t clock_ns;	    /* wall - mono, as the body has it */
	int64_t shift_ns;	    /* to be added to all times in the body */
	bool news; /* nothing that its device closed later was there when it came */
};

/* Borrows the row's body. */
static inline struct envelope stream_row_envelope(const struct stream_row *row)
{
	return (struct envelope){.epoch = row->epoch,
				 .seq = row->seq,
				 .encoding = row->encoding,
				 .body = row->body,
				 .body_len = row->len};
}

struct stream_device {
	int64_t last_seen_ns;	   /* 0: never */
	uint64_t batches, samples; /* stored; samples of decoded batches */
	uint64_t epoch;		   /* of the last batch */
};

/* Of one (device, epoch, class), since it was first heard of (or since schema 2). */
struct stream_counts {
	uint64_t batches, samples; /* stored; samples as the batches claim */
	uint64_t duplicates;	   /* came again, and were dropped */
};

struct stream_usage {
	uint64_t rows;
	uint64_t used_bytes; /* pages in use */
	uint64_t file_bytes;
	uint64_t log_bytes; /* of the write-ahead log's file */
	int64_t last_id;
};

/* max_bytes: the file never grows beyond (0: no limit). Returns 0 or -errno with err. */
int stream_open(struct stream **ret, const char *path, int64_t max_bytes,
		struct error *err) must_check;
/* Changes max_bytes. A file that is larger already stays, but does not grow. */
int stream_set_max(struct stream *s, int64_t max_bytes) must_check;
struct stream *stream_close(struct stream *s); /* rolls back what is not committed */

/* ---- the transaction. On any -errno the caller rolls back. ---- */

int stream_begin(struct stream *s) must_check; /* fine when one is open */
bool stream_in_transaction(const struct stream *s);
int stream_commit(struct stream *s) must_check;
void stream_rollback(struct stream *s); /* fine when none is open */

int stream_append(struct stream *s, struct stream_row *row) must_check;
int stream_put_window(struct stream *s, int64_t vehicle, int64_t device, uint64_t epoch,
		      enum uplink_class class, const struct window *w,
		      const struct stream_counts *counts, struct wall_time now) must_check;
int stream_put_device(struct stream *s, int64_t vehicle, int64_t device,
		      const struct stream_device *d) must_check;
/* Keeps the beginning of a message that could not be read, and of such at most rows_max. */
int stream_quarantine(struct stream *s, struct wall_time now, const char *topic, const char *reason,
		      const void *payload, size_t len, size_t rows_max) must_check;
/* What became of a waiting batch, and its catalog. */
int stream_resolve(struct stream *s, int64_t id, enum stream_state state,
		   uint64_t catalog) must_check;
int stream_put_state(struct stream *s, int64_t vehicle, int64_t applied_through, const void *blob,
		     size_t len) must_check;
int stream_put_progress(struct stream *s, int64_t applied_through) must_check;

/* ---- looking back; what cb gets is borrowed for the call, and cb's error ends the walk ---- */

/* The window and counters of a (device, epoch, class); empty where nothing was stored yet. Free
 * the window. */
int stream_get_window(struct stream *s, int64_t device, uint64_t epoch, enum uplink_class class,
		      struct window *ret, struct stream_counts *ret_counts) must_check;
int stream_get_device(struct stream *s, int64_t device, struct stream_device *ret) must_check;
int stream_get_progress(struct stream *s, int64_t *ret) must_check;
/* The highest keys of vehicles and devices that anything is stored of; 0: none. */
int stream_max_keys(struct stream *s, int64_t *ret_vehicle, int64_t *ret_device) must_check;
int stream_each_state(struct stream *s,
		      int (*cb)(void *ctx, int64_t vehicle, const void *blob, size_t len),
		      void *ctx) must_check;
/* Decoded batches after id, in order. */
int stream_each_after(struct stream *s, int64_t id,
		      int (*cb)(void *ctx, const struct stream_row *row), void *ctx) must_check;
/* At most limit batches that wait for a catalog, or a dictionary; cb must not change the stream. */
int stream_each_waiting(struct stream *s, uint64_t catalog, size_t limit,
			int (*cb)(void *ctx, const struct stream_row *row), void *ctx) must_check;
/* Catalogs and dictionaries that batches wait for. */
int stream_each_wanted(struct stream *s, int (*cb)(void *ctx, uint64_t catalog),
		       void *ctx) must_check;

/* ---- what goes, in small steps, each a transaction of its own; what is too old: age.h ---- */

/* Deletes up to max_rows rows of a vehicle, and in the end the rest of it. Returns how many. */
int stream_forget_vehicle(struct stream *s, int64_t vehicle, size_t max_rows) must_check;
/* Keeps the `keep` windows of a device that were added to last; the holes of the others are
 * recorded as gaps that nobody has explained. Part of the transaction. Returns how many went. */
int stream_limit_windows(struct stream *s, int64_t device, size_t keep,
			 struct wall_time now) must_check;
void stream_get_usage(struct stream *s, struct stream_usage *ret);
/* Cuts back a write-ahead log beyond max_bytes: readers that overlap without end would let it grow
 * without end. Waits up to STREAM_TRIM_WAIT_MS for those that read now; no transaction is open.
 * Returns 0, also when they went on for longer, or -errno. */
enum { STREAM_TRIM_WAIT_MS = 250 };
int stream_trim_log(struct stream *s, uint64_t max_bytes) must_check;

/* ---- readers: any thread, one at a time each ---- */

struct stream_reader;

int stream_reader_open(struct stream_reader **ret, const char *path, struct error *err) must_check;
struct stream_reader *stream_reader_close(struct stream_reader *r);
int stream_reader_device(struct stream_reader *r, int64_t device,
			 struct stream_device *ret) must_check;
/* One view of the stream for all that is read until the end. */
int stream_reader_begin(struct stream_reader *r) must_check;
void stream_reader_end(struct stream_reader *r);
/* Bounds of what a vehicle's stored batches cover, as they claim; -ENOENT: none. */
int stream_reader_bounds(struct stream_reader *r, int64_t vehicle, int64_t *ret_first,
			 int64_t *ret_last) must_check;
/* A vehicle's decoded batches that touch [from, to], in the order of their ends. */
int stream_reader_range(struct stream_reader *r, int64_t vehicle, int64_t from_ns, int64_t to_ns,
			int (*cb)(void *ctx, const struct stream_row *row), void *ctx) must_check;
int stream_reader_quarantine(struct stream_reader *r, uint64_t *ret_rows) must_check;
