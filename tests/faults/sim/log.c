/* base/log.h, for a trace with simulated times: what programs log is shown only there. */
#include "base/log.h"

#include "tests/faults/sim/world.h"

#include <stdarg.h>
#include <stdio.h>

static enum log_level shown = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	shown = level;
}

enum log_level log_get_level(void)
{
	return shown;
}

void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
	va_list ap;

	(void)site;
	if (!sim.trace)
		return;
	fprintf(stderr, "  %12.3f log %d %s ", (double)sim.now_ns / (double)NS_PER_S, (int)level,
		event);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int log_level_parse(const char *text, enum log_level *ret)
{
	(void)text;
	(void)ret;
	return -EINVAL;
}

void log_keep_standard_files(void)
{
}

const char *log_quote(char *out, size_t size, const char *value)
{
	(void)snprintf(out, size, "\"%s\"", value);
	return out;
}
