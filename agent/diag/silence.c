#include "agent/diag/silence.h"

#include <string.h>

enum verdict { HEARD, UNHEARD, NOT_SENT };

/* ECOMM: no flow control, or nobody acknowledged the frame. A bus whose nodes all sleep looks like
 * that. */
static enum verdict verdict_on(const struct diag_result *r)
{
	if (r->end == DIAG_END_SILENT)
		return UNHEARD;
	if (r->end != DIAG_END_TRANSPORT)
		return HEARD;
	if (r->error == EAGAIN || r->error == ENOBUFS)
		return NOT_SENT;
	return r->error == ECOMM ? UNHEARD : HEARD;
}

static enum silence_change heard(struct silence *s, size_t item)
{
	bool was_on = silence_is_on(s);

	s->ecu = 0;
	if (was_on)
		memset(s->items, 0, sizeof(s->items));
	else if (item < DIAG_REQUESTS_MAX)
		s->items[item].unheard = 0;
	return was_on ? SILENCE_ENDED : SILENCE_AS_BEFORE;
}

static enum silence_change unheard(struct silence *s, size_t item)
{
	if (item < DIAG_REQUESTS_MAX)
		s->items[item].unheard++;
	s->ecu++;
	return s->ecu == SILENCE_AFTER ? SILENCE_BEGAN : SILENCE_AS_BEFORE;
}

enum silence_change silence_note(struct silence *s, size_t item, const struct diag_result *r)
{
	switch (verdict_on(r)) {
	case HEARD:
		return heard(s, item);
	case UNHEARD:
		return unheard(s, item);
	case NOT_SENT:
		break;
	}
	return SILENCE_AS_BEFORE;
}

bool silence_is_on(const struct silence *s)
{
	return s->ecu >= SILENCE_AFTER;
}

bool silence_skips(struct silence *s, size_t item)
{
	if (s->items[item].unheard < SILENCE_AFTER || silence_is_on(s))
		return false;
	return ++s->items[item].turns % SILENCE_RARELY != 0;
}
