#include "tools/dbc/report.h"

#include "tools/dbc/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Diagnostics quote the file, and end on terminals. */
static void make_printable(char *text)
{
	bool utf8 = dbc_text_is_utf8(text, strlen(text));

	for (char *c = text; *c; c++)
		if ((uint8_t)*c < 0x20 || *c == 0x7f || (!utf8 && (uint8_t)*c >= 0x80))
			*c = '?';
}

static void report(const struct dbc_report *r, enum dbc_severity severity, unsigned line,
		   const char *fmt, va_list ap) printf_like(4, 0);

static void report(const struct dbc_report *r, enum dbc_severity severity, unsigned line,
		   const char *fmt, va_list ap)
{
	char text[512];

	if (!r->sink || !r->sink->report)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	make_printable(text);
	r->sink->report(r->sink->ctx,
			&(struct dbc_diag){
				.severity = severity, .file = r->file, .line = line, .text = text});
}

void dbc_warn(const struct dbc_report *r, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(r, DBC_WARNING, line, fmt, ap);
	va_end(ap);
}

void dbc_error(const struct dbc_report *r, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(r, DBC_ERROR, line, fmt, ap);
	va_end(ap);
}
