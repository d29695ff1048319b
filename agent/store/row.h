/* agent/store/row.h: what a row of the outbox is made of on disk, and its checksum.
 *
 * Schema version 2 has a table batch_<class> for each class (batch_event, ...), with INTEGER
 * columns in the order of enum row_column and then `sum` and `body`, and a view `batch` of them
 * all. Version 1 had one table `batch` (id, created_ns, samples, encoding, body); while its rows
 * are moved it is `batch_v1`. The table boot (id, boot_id, offset_ms, quality): wall time =
 * stored_ms + offset_ms. */
#pragma once

#include "base/base.h"
#include "proto/topic.h"

enum { ROW_SEQ_BITS = 48 };
#define ROW_SEQ_MAX ((UINT64_C(1) << ROW_SEQ_BITS) - 1)

/* The columns of a table batch_<class>, in this order; after them come `sum` and `body`. */
enum row_column {
	ROW_ID,		  /* row_id: names class and seq, whatever page it is found in */
	ROW_BOOT,	  /* boot.id, of when it was stored; 0: stored_ms is wall time */
	ROW_STORED_MS,	  /* mono time of that boot */
	ROW_FIRST_MS,	  /* wall time of its first sample, as the batch has it; 0: none */
	ROW_SPAN_MS,	  /* of its samples */
	ROW_SAMPLES,	  /* 0 in a gap */
	ROW_ENCODING,	  /* enum envelope_encoding */
	ROW_KEY,	  /* key.id that its body is sealed with; 0: plain */
	ROW_ORIGIN_EPOCH, /* as in an envelope */
	ROW_ORIGIN_SEQ,
	/* Samples of its class so far, where the row was the newest when it was written: so that
	 * class_state need not be written along. */
	ROW_ACKED,
	ROW_DROPPED,
	ROW_QUARANTINED,
	ROW_COLUMNS,
	ROW_SUM = ROW_COLUMNS,
	ROW_BODY,
};

static inline int64_t row_id(enum uplink_class class, uint64_t seq)
{
	return (int64_t)((uint64_t) class << ROW_SEQ_BITS |
			 (seq > ROW_SEQ_MAX ? ROW_SEQ_MAX : seq));
}

static inline uint64_t row_seq(int64_t id)
{
	return (uint64_t)id & ROW_SEQ_MAX;
}

/* Over the epoch and all columns but ROW_KEY: what a sealed body is bound to. */
uint64_t row_meta(uint64_t epoch, const int64_t col[static ROW_COLUMNS]);
/* The column `sum`. body: as it is on disk. */
int64_t row_sum(uint64_t meta, int64_t key, const void *body, size_t len);
