#include "relay/pki/internal.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

int pki_fail(struct error *err, int code, const char *fmt, ...)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (reason)
		error_set(err, "%s (%.50s)", text, reason);
	else
		error_set(err, "%s", text);
	ERR_clear_error();
	return code;
}
