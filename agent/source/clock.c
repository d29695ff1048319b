#include "agent/source/clock.h"

#include <sys/timex.h>

enum clock_quality clock_quality_read(void)
{
	struct timex t = {.modes = 0};
	int r = adjtimex(&t);

	if (r < 0)
		return CLOCK_UNKNOWN;
	return r == TIME_ERROR || (t.status & STA_UNSYNC) ? CLOCK_FREE_RUNNING : CLOCK_SYNCED;
}
