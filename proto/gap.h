/* proto/gap.h: batches that will not come, and why: a row of the outbox that stands in their place.
 *
 * An Envelope with ENCODING_GAP and the seq of the first of them. It is stored, acknowledged and
 * sent again like a batch, and takes all of seq to through: who has stored it has an answer for
 * each of these. Where the envelope has an origin, only seq itself is its own, and origin_seq to
 * through, of the origin's epoch, is what will not come. */
#pragma once

#include "base/bytes.h"

/* Nobody knows how far a damaged outbox had counted: a gap of the rest of it goes through this, the
 * highest seq that an agent gives out. */
#define GAP_OPEN ((UINT64_C(1) << 48) - 1)

enum gap_reason {
	GAP_QUOTA = 1, /* the outbox was full; the oldest of the least urgent go first */
	GAP_EXPIRED,   /* older than its class is worth */
	GAP_CORRUPT,   /* damaged on disk */
	GAP_CONSENT,   /* purged: nobody may have it */
	GAP_INVALID,   /* the relay could not read it; it is in the vehicle's quarantine */
	GAP_TOO_LARGE, /* above what the broker takes; in the vehicle's quarantine */
	GAP_UNSAVED,   /* could not be written before the agent ended, or encoded at all */
	GAP_RECEIPTED, /* the relay gave a receipt for it and does not know it any more */
	GAP_REASONS,   /* one more than the last */
};

const char *gap_reason_name(enum gap_reason r); /* "quota"; "unknown" for those of the future */

struct gap {
	uint64_t through; /* inclusive; at least the envelope's seq, or its origin_seq */
	enum gap_reason reason;
	uint64_t batches, samples; /* that were lost in it; 0: not known */
	int64_t first_ns, last_ns; /* wall times of these samples, as far as known; both 0: not */
};

/* Appends a Gap as an envelope's body. Returns 0, -ENOMEM, -EMSGSIZE. */
int gap_encode(const struct gap *g, struct buf *out) must_check;
/* from: the first seq of it. Needs no memory. Returns 0, or -EBADMSG with err. */
int gap_decode(struct gap *ret, uint64_t from, const void *bytes, size_t len,
	       struct error *err) must_check;
