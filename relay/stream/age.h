/* relay/stream/age.h: how old history is, by the time that relays ran with this file: marks tell
 * which rows were there when. No wall clock has a say in it. */
#pragma once

#include "relay/stream/stream.h"

/* Rows up to these ids, both included; 0: none. */
struct stream_marked {
	int64_t batch, gap;
};

/* The time that relays have run; durable as of the last put. */
int stream_get_ran(struct stream *s, int64_t *ret_ns) must_check;
int stream_put_ran(struct stream *s, int64_t ran_ns) must_check;
/* Notes what is there now. */
int stream_mark(struct stream *s, int64_t ran_ns) must_check;
/* When the last mark was made; 0: there is none. */
int stream_last_mark(struct stream *s, int64_t *ret_ns) must_check;
/* What was there at ran_ns. Forgets the marks that are of no use any more. */
int stream_marked(struct stream *s, int64_t ran_ns, struct stream_marked *ret) must_check;

/* Deletes the oldest batches, or gaps, with ids up to `through`, at most max_rows, in a transaction
 * of its own. Returns how many. */
int stream_prune(struct stream *s, int64_t through, size_t max_rows) must_check;
int stream_prune_gaps(struct stream *s, int64_t through, size_t max_rows) must_check;
