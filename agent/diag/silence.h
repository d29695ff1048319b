/* agent/diag/silence.h: when an ECU that says nothing, or one request that gets no response, is to
 * be left in peace. Pure: results in, verdicts out. */
#pragma once

#include "agent/diag/schedule.h"
#include "agent/diag/session.h"

enum {
	SILENCE_AFTER = 3,  /* requests in a row without any response */
	SILENCE_RARELY = 8, /* a request without response takes one turn in so many */
};

struct silence {
	unsigned ecu; /* requests in a row that nothing was heard after */
	struct {
		unsigned unheard; /* of this request, in a row */
		unsigned turns;
	} items[DIAG_REQUESTS_MAX];
};

enum silence_change { SILENCE_AS_BEFORE, SILENCE_BEGAN, SILENCE_ENDED };

/* How a request ended; item: in the schedule, or DIAG_REQUESTS_MAX for one that is no more. What
 * could not be sent says nothing of the ECU. */
enum silence_change silence_note(struct silence *s, size_t item, const struct diag_result *r);
/* The ECU has been silent for SILENCE_AFTER requests. */
bool silence_is_on(const struct silence *s);
/* Whether the item's turn is to pass: the ECU responds to others, and never to it. Counts turns. */
bool silence_skips(struct silence *s, size_t item);
