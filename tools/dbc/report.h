/* tools/dbc/report.h: diagnostics. */
#pragma once

#include "tools/dbc/dbc.h"

struct dbc_report {
	const struct dbc_sink *sink; /* may be NULL; borrowed */
	const char *file;
};

/* Text is cut to fit; what of it cannot be printed becomes '?'. */
void dbc_warn(const struct dbc_report *r, unsigned line, const char *fmt, ...) printf_like(3, 4);
void dbc_error(const struct dbc_report *r, unsigned line, const char *fmt, ...) printf_like(3, 4);
