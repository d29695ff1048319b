/* relay/stream/gaps.h: seqs that will not come, and why (proto/gap.h), durable with the windows.
 *
 * A gap's `missing` is exact: a batch that was stored before the gap came is not in it, and one
 * that comes after all is taken out of it. So what is in a window is either stored or in exactly
 * one gap, until retention takes the gap; the sums stay. */
#pragma once

#include "proto/gap.h"
#include "relay/stream/stream.h"

enum {
	GAP_UNEXPLAINED = 0,	/* a reason of the relay's own: a hole that it had to close */
	STREAM_GAPS_MAX = 1024, /* rows of one device; the oldest make room */
	STREAM_GAP_KNOWN = 1,
};

struct stream_gap {
	int64_t id; /* of its row; 0: it has none yet */
	int64_t vehicle, device;
	uint64_t epoch;
	enum uplink_class class;
	uint64_t from, through;
	uint32_t reason;	   /* enum gap_reason, GAP_UNEXPLAINED, or one of the future */
	uint64_t batches, samples; /* as the device says; 0: not known */
	int64_t first_ns, last_ns;
	struct wall_time received;
	struct window missing;
	/* How many batches it tells missing: those in `missing`, but for what is open (GAP_OPEN),
	 * of which nobody knows how much there was. Set by what reads a gap, or records it. */
	uint64_t seqs;
};

const char *stream_gap_reason_name(uint32_t reason); /* "unexplained" for GAP_UNEXPLAINED */
void stream_gap_free(struct stream_gap *g);	     /* fits cleanup() */

/* Records a gap; g->missing holds what of it was not in the window. Takes over what lies in it of
 * holes that nobody had explained, and the gaps that lie in it whole: a device may have merged more
 * into one that it sends again. Returns 0; STREAM_GAP_KNOWN: there was nothing to add; -errno. */
int stream_add_gap(struct stream *s, struct stream_gap *g) must_check;
/* Whether a gap has told seq missing: 1, 0 or -errno. */
int stream_is_missing(struct stream *s, int64_t device, uint64_t epoch, enum uplink_class class,
		      uint64_t seq) must_check;
/* A batch comes that a gap has told missing: takes seq out of the gap. Returns 1, or 0: no gap has
 * it, or -errno. */
int stream_take_from_gap(struct stream *s, int64_t device, uint64_t epoch, enum uplink_class class,
			 uint64_t seq) must_check;
/* Whether a (device, epoch, class) has any gap: 1, 0 or -errno. */
int stream_has_gaps(struct stream *s, int64_t device, uint64_t epoch,
		    enum uplink_class class) must_check;
