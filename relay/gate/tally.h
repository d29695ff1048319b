/* relay/gate/tally.h: what the gate did: counters, and which refusals may be logged. */
#pragma once

#include "base/bytes.h"
#include "base/timebase.h"
#include "relay/gate/table.h"

/* Why a connection, a subscription or a message was refused. The names are in logs and metrics. */
enum gate_refusal {
	REFUSED_NO_CERTIFICATE,
	REFUSED_ISSUER,	   /* neither a device's nor a service's CA */
	REFUSED_NAME,	   /* the certificate's subject has no CN that is an id */
	REFUSED_CLIENT_ID, /* not the CN: would take over another's session */
	REFUSED_PROTOCOL,  /* not MQTT 5: could not be told of refusals */
	REFUSED_UNKNOWN,   /* not in the file of devices */
	REFUSED_SUSPENDED,
	REFUSED_RETIRED,
	REFUSED_NO_TICK,   /* the broker's settings keep the gate from working */
	REFUSED_BYPASSED,  /* a client that the gate did not admit */
	REFUSED_PUBLISH,   /* topic */
	REFUSED_SUBSCRIBE, /* topic */
	REFUSED_READ,	   /* topic */
	REFUSED_TOO_LARGE,
	REFUSED_TOO_FAST,
	GATE_REFUSALS
};

enum { TALLY_LINES = 10, TALLY_WINDOW_S = 10 };

struct gate_tally {
	uint64_t refused[GATE_REFUSALS];
	uint64_t admitted_devices, admitted_services, kicked;
	uint64_t messages, message_bytes;
	uint64_t loads, loads_failed, state_failed;
	uint64_t bad_lines; /* of the last load */
	struct {
		struct mono_time begun;
		unsigned int lines, muted;
	} log[GATE_REFUSALS];
};

const char *gate_refusal_name(enum gate_refusal why);

/* Counts, and says whether it may be logged: TALLY_LINES of a kind in TALLY_WINDOW_S. *ret_muted is
 * how many were not, before this one. */
bool gate_tally_refusal(struct gate_tally *t, enum gate_refusal why, struct mono_time now,
			unsigned int *ret_muted);

/* Prometheus' text format. */
void gate_tally_print(const struct gate_tally *t, const struct gate_table *table, struct buf *out);
