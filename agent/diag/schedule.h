/* agent/diag/schedule.h: which requests make up the polls of agent.conf, given what the catalog
 * knows, the rules collect and the ECU says it supports. Pure. */
#pragma once

#include "agent/diag/coverage.h"
#include "agent/diag/obd.h"
#include "agent/diag/request.h"
#include "base/timebase.h"

enum {
	DIAG_POLL_IDS_MAX = 256, /* of one [poll] */
	DIAG_REQUESTS_MAX = 256, /* of one source */
	DIAG_POLL_NAME = 48,
	DIAG_DISCOVER_S = 60, /* at most, until an ECU tells its supported PIDs again */
};

/* One [poll NAME]. */
struct diag_poll {
	char name[DIAG_POLL_NAME]; /* for messages */
	enum diag_service service;
	bool any;	     /* ids=auto: what the ECU supports */
	struct diag_id *ids; /* borrowed; bytes 0: to be found out */
	size_t n_ids;
	int64_t period_ns;
	size_t group;	     /* most identifiers of a request; 1: each alone */
	uint8_t status_mask; /* UDS DTCs */
};

/* What running has taught of one poll. Zeroed at first. */
struct diag_learnt {
	struct obd_supported supported; /* any */
	bool alone;			/* several identifiers in one request did not work */
};

/* A bit field of supported PIDs or info types, as it is in the response. Returns false if it is too
 * short to be one. */
bool diag_learn_supported(struct diag_learnt *l, enum diag_service service, const uint8_t *data,
			  size_t len);

struct diag_item {
	struct diag_request request;
	int64_t period_ns;
	size_t poll;	/* which */
	bool discovers; /* it asks for learnt->supported.next */
};

struct diag_schedule {
	struct diag_item items[DIAG_REQUESTS_MAX];
	size_t n;
	size_t left_out; /* requests that did not fit */
};

/* All requests of n polls, in their order. What no rule collects is not asked for. */
void diag_schedule_make(struct diag_schedule *ret, const struct diag_poll *polls,
			const struct diag_learnt *learnt, size_t n, const struct coverage *c);
bool diag_schedule_equal(const struct diag_schedule *a, const struct diag_schedule *b);
