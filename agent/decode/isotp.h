/* agent/decode/isotp.h: payloads spread over CAN frames, listened to (ISO 15765-2:2016).
 *
 * Passive: it sends no flow control and needs none, so it hears both directions of a conversation
 * alike. Normal addressing (§10.3.2): the PCI is the first byte of the data. Classic CAN and CAN
 * FD, with the escape lengths of single (§9.6.2.1) and first frames (§9.6.3.1). A channel is one
 * CAN identifier of one bus; the caller knows which is which. All memory is taken at isotp_new. */
#pragma once

#include "agent/source/frame.h"

enum {
	ISOTP_PAYLOAD_MAX = 4095, /* without escape; the default */
	ISOTP_N_CR_MS = 1000,	  /* longest wait for the next consecutive frame (§9.8) */
};

enum { ISOTP_DONE = 1 }; /* a payload is complete */

struct isotp_config {
	size_t payload_max; /* longer payloads are counted and passed over; 0: ISOTP_PAYLOAD_MAX */
	int64_t n_cr_ns;    /* 0: ISOTP_N_CR_MS */
};

/* Grow only; summed over the channels. */
struct isotp_counters {
	uint64_t payloads;     /* completed */
	uint64_t timeouts;     /* N_Cr passed before the next consecutive frame */
	uint64_t sequence;     /* wrong sequence number: the payload is given up */
	uint64_t interrupted;  /* a new payload began before the last one ended */
	uint64_t too_long;     /* announced more than payload_max */
	uint64_t stray;	       /* consecutive frames that belong to no payload */
	uint64_t malformed;    /* impossible lengths, unknown PCI */
	uint64_t flow_control; /* of the other direction; not a failure */
};

struct isotp;
/* Returns 0 or -ENOMEM. n channels take n * (1 + payload_max) bytes and little more. */
int isotp_new(struct isotp **ret, size_t n, const struct isotp_config *config) must_check;
struct isotp *isotp_free(struct isotp *t); /* NULL is fine; always returns NULL */

/* Takes the frame of a channel (below n). Only t_ns, flags, len and data are looked at; time may
 * be any clock, and a jump back by more than N_Cr (a log that starts over) is a timeout. Returns
 * ISOTP_DONE, or 0: nothing complete yet.
 *
 * What is complete lies in isotp_payload until the channel's next frame: one byte with the low 8
 * bits of its length, then the payload, which is how DBC files describe it (see README.md). */
int isotp_frame(struct isotp *t, size_t channel, const struct frame *f) must_check;
const uint8_t *isotp_payload(const struct isotp *t, size_t channel, size_t *ret_len);

const struct isotp_counters *isotp_counters(const struct isotp *t);
