/* relay/gate/limits.h: how much a device may send, per class.
 *
 * What a connection spends of a limit comes back with time: a token bucket that is kept as what is
 * spent, so that zeroed memory is a full one. It holds GATE_BURST_S seconds of the rate, and of
 * bytes at least one message of the largest size. */
#pragma once

#include "proto/topic.h"

/* Of topics: the uplink's, and replies to direct messages. */
enum { GATE_REPLY = CLASS_COUNT, GATE_CLASSES };
enum { GATE_BURST_S = 2, GATE_MESSAGES_MAX = 1000000, GATE_BYTES_MAX = 1 << 30 };

/* 0: no limit. At most GATE_MESSAGES_MAX and GATE_BYTES_MAX. */
struct gate_limit {
	uint32_t messages_per_s, bytes_per_s;
	uint32_t message_max; /* bytes of payload */
};

struct gate_bucket {
	uint64_t bytes;	   /* spent, thousandths */
	uint32_t messages; /* spent, thousandths */
	uint32_t at_ms;	   /* when that was so; wraps */
};

enum gate_spend { GATE_FITS, GATE_TOO_LARGE, GATE_TOO_FAST };

extern const struct gate_limit GATE_LIMIT_DEFAULT;

const char *gate_class_name(unsigned int class);

/* "MESSAGES/BYTES/LARGEST": a second, a second, bytes. Returns 0, or -EINVAL with err. */
int gate_limit_parse(const char *text, struct gate_limit *ret, struct error *err) must_check;

/* Takes one message of len bytes out of the bucket, or nothing. */
enum gate_spend gate_spend(struct gate_bucket *b, const struct gate_limit *limit, uint32_t len,
			   uint32_t now_ms) must_check;
