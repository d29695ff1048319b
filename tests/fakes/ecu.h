/* tests/fakes/ecu.h: what a simulated ECU says to UDS and OBD-II requests; ISO-TP is the caller's.
 *
 * It serves 22, 19 01, 19 02 (ISO 14229-1), and 01, 03, 07, 09, 0A (SAE J1979), with fixed values
 * that tests know (ecu.c). */
#pragma once

#include "base/base.h"

enum {
	ECU_PAYLOAD_MAX = 4095,
	ECU_PART_NUMBER = 0xF187,
	ECU_LONG_DID = 0x0200,
	ECU_LONG_BYTES = 300
};

struct ecu {
	/* Set by the owner; zeroed: well-behaved, no DTCs. */
	unsigned n_dtcs;    /* P0301, P0302, ... */
	bool one_at_a_time; /* refuses several DIDs (NRC 0x13), answers the first of several PIDs */
	bool silent;	    /* answers nothing */
	uint8_t mute_pid;   /* not 0: no answer to requests that begin with this PID */
	uint8_t nrc;	    /* not 0: the answer to everything */
	unsigned pendings;  /* responsePending before each answer */
	unsigned busy;	    /* so many requests are answered by busyRepeatRequest; counts down */
	bool says_foreign;  /* each answer is one to a request that nobody made */
	bool cuts;	    /* each answer lacks its last byte */
	void (*send)(struct ecu *e, const uint8_t *data, size_t len);
	void *ctx;

	uint64_t n_requests;
	uint8_t last[64]; /* request, cut to this */
	size_t last_len;
};

/* Calls send for what the ECU says, 0 times or more. */
void ecu_request(struct ecu *e, const uint8_t *data, size_t len);
