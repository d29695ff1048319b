/* base/log.h: one line an event: `TIME level event key=value ...` on stderr.
 *
 * Event names are stable (`store_full rows=10000 dropped=3`): people search for them. Library code
 * returns errors, stages and programs log. No VIN, no position, no secret. A call site that logs
 * more than LOG_BURST lines in LOG_WINDOW_S is muted for the rest of the window, and the next line
 * that it may write ends with muted=N. Thread safe. Under systemd (JOURNAL_STREAM) lines carry
 * `<N>` priorities instead of a time. */
#pragma once

#include "base/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum { LOG_BURST = 10, LOG_WINDOW_S = 10 };

struct log_site {
	int64_t window_ns;
	unsigned count;
	unsigned muted;
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Returns 0, or -EINVAL: text is not error, warn, info or debug. */
int log_level_parse(const char *text, enum log_level *ret) must_check;

/* fmt is a literal of `key=value` pairs, or "". */
void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
	printf_like(4, 5);

#define log_at(level, event, ...)                                                                  \
	do {                                                                                       \
		static struct log_site log_site_;                                                  \
		if ((level) <= log_get_level())                                                    \
			log_write(&log_site_, (level), (event), __VA_ARGS__);                      \
	} while (0)

#define log_error(event, ...) log_at(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_at(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_at(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_at(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

/* For the first line of main: whoever started us may have closed standard input, output or error;
 * points what is closed to /dev/null, so that no file or socket of ours gets the number of one and
 * log lines end up in it. */
void log_keep_standard_files(void);

/* Quotes a value that may hold spaces or control characters; truncates to fit. Returns out. */
const char *log_quote(char *out, size_t size, const char *value);
