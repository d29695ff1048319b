#include "tests/unit/log_kept.h"

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int kept = -1;

void log_keep(enum log_level level)
{
	if (kept >= 0)
		close(kept);
	kept = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_ge(kept, 0);
	ck_assert_int_eq(dup2(kept, STDERR_FILENO), STDERR_FILENO);
	log_set_level(level);
}

size_t log_times(const char *what)
{
	static char text[64 * 1024 + 1];
	ssize_t n = pread(kept, text, sizeof(text) - 1, 0);
	size_t times = 0;

	ck_assert_int_ge(n, 0);
	ck_assert_int_lt(n, (ssize_t)sizeof(text) - 1);
	text[n] = 0;
	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		times++;
	return times;
}
