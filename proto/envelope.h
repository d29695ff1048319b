/* proto/envelope.h: what is published: a body, and what names it.
 *
 * (device, epoch, class, seq) names what the outbox has taken, for good. Epoch and seq stay outside
 * of the body so that a relay can drop what it has, and refuse what it cannot read, at once. */
#pragma once

#include "base/bytes.h"

enum envelope_encoding {
	ENCODING_BATCH,	  /* a Batch as it is */
	ENCODING_DEFLATE, /* a Batch in a zlib stream (RFC 1950) */
	ENCODING_GAP,	  /* a Gap: proto/gap.h */
	ENCODING_CLOCK,	  /* a Clock: proto/clock.h */
};

struct envelope {
	uint64_t epoch;	     /* random, minted with the outbox */
	uint64_t seq;	     /* grows by one a row within (device, epoch, class), from 1 */
	uint32_t encoding;   /* enum envelope_encoding, or one of the future */
	const uint8_t *body; /* borrowed */
	size_t body_len;
	/* Saved from a damaged outbox: what named it there. A relay that has (origin_epoch,
	 * origin_seq) acknowledges, and does not store it again. Both 0: none. */
	uint64_t origin_epoch, origin_seq;
	uint64_t introduces; /* a context: its period plus 1 (proto/context.h); 0: none */
};

static inline bool envelope_has_origin(const struct envelope *e)
{
	return e->origin_seq != 0;
}

/* Appends. Returns 0, -ENOMEM, -EMSGSIZE (out->max). */
int envelope_encode(const struct envelope *e, struct buf *out) must_check;
/* Borrows the body from bytes. Returns 0, or -EBADMSG with err. seq is at least 1. */
int envelope_decode(struct envelope *ret, const void *bytes, size_t len,
		    struct error *err) must_check;
