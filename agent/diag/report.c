#include "agent/diag/report.h"

#include "agent/diag/isotp_socket.h"
#include "agent/diag/uds.h"

#include <stdio.h>

void diag_explain(const struct diag_result *r, char out[static DIAG_WHY_BYTES])
{
	static const char *const texts[] = {
		[DIAG_END_SILENT] = "no response in time",
		[DIAG_END_PENDING] = "the ECU only ever said responsePending",
		[DIAG_END_MALFORMED] = "the response is too short",
		[DIAG_END_TOO_LONG] = "the response is longer than 4095 bytes",
	};

	if (r->end == DIAG_END_NEGATIVE)
		(void)snprintf(out, DIAG_WHY_BYTES, "negative response 0x%02X %s", r->nrc,
			       uds_nrc_name(r->nrc));
	else if (r->end == DIAG_END_TRANSPORT)
		(void)snprintf(out, DIAG_WHY_BYTES, "%s", isotp_socket_error(r->error));
	else
		(void)snprintf(out, DIAG_WHY_BYTES, "%s", texts[r->end]);
}

void diag_count(struct counters *n, enum diag_end end)
{
	switch (end) {
	case DIAG_END_OK:
		counter_add(&n->diag_responses, 1);
		break;
	case DIAG_END_NEGATIVE:
		counter_add(&n->diag_negative, 1);
		break;
	case DIAG_END_SILENT:
	case DIAG_END_PENDING:
		counter_add(&n->diag_timeouts, 1);
		break;
	case DIAG_END_TRANSPORT:
	case DIAG_END_MALFORMED:
	case DIAG_END_TOO_LONG:
		counter_add(&n->diag_errors, 1);
		break;
	}
}
