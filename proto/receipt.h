/* proto/receipt.h: what the relay says of the batches that it got (receipt.proto). */
#pragma once

#include "base/bytes.h"
#include "proto/topic.h"

enum nack_code {
	NACK_INVALID = 1, /* cannot be read: do not send again */
	NACK_QUOTA,	  /* later, and slower */
	NACK_CONSENT,	  /* purge */
	NACK_UNKNOWN,	  /* vehicle or device is not in the registry: later */
	NACK_BUSY,	  /* the relay cannot store it now: later */
};

const char *nack_name(enum nack_code code);

struct receipt_range {
	uint64_t from, to; /* inclusive */
};

struct receipt_nack {
	uint64_t seq;
	enum nack_code code;
	uint32_t retry_after_s;
};

enum { RECEIPT_RANGES_MAX = 64, RECEIPT_NACKS_MAX = 64 };

/* Of one (epoch, class) of one device. */
struct receipt {
	uint64_t epoch;
	enum uplink_class class;
	uint64_t acked_through; /* every seq up to and with it is stored; 0: none */
	struct receipt_range ranges[RECEIPT_RANGES_MAX]; /* stored above it; ascending, disjoint */
	size_t n_ranges;
	struct receipt_nack nacks[RECEIPT_NACKS_MAX];
	size_t n_nacks;
	uint32_t context; /* the lane's latest one that is stored (proto/context.h); 0: none */
	/* 0: none. Else short envelopes that refer to it were not stored, for the relay does not
	 * know it: they are to be sent whole. The epoch is then 0, as the relay cannot tell it. */
	uint32_t unknown_context;
};

int receipt_encode(const struct receipt *r, struct buf *out) must_check;
/* Returns 0; -EBADMSG with err; -ENOMEM, for what is larger than any of this version. */
int receipt_decode(struct receipt *ret, const void *bytes, size_t len,
		   struct error *err) must_check;
