/* tests/unit/log_kept.h: how often something was logged. */
#pragma once

#include "base/log.h"

/* From here on the log of this level and above is kept, instead of on stderr; again: anew. */
void log_keep(enum log_level level);
size_t log_times(const char *what); /* in what was kept; 64 KiB at most */
