/* agent/diag/report.h: how a request ended, in words and in counters. */
#pragma once

#include "agent/diag/session.h"
#include "agent/health/counters.h"

enum { DIAG_WHY_BYTES = 128 };

/* Not for DIAG_END_OK. */
void diag_explain(const struct diag_result *r, char out[static DIAG_WHY_BYTES]);
void diag_count(struct counters *n, enum diag_end end);
