/* agent/health/status.h: the agent's counters as a JSON file that others can poll. */
#pragma once

#include "agent/health/counters.h"
#include "base/timebase.h"

struct status_info {
	const char *vehicle;
	const char *device;
	uint64_t epoch;
	struct wall_time now;
	struct mono_time uptime; /* since the agent started */
	const char *state;	 /* "running", "drained", "stopped", "failed" */
};

/* Writes one flat JSON object to path by way of a temporary file next to it and a rename, so that
 * a reader sees the old or the new, never half. Returns 0 or -errno. */
int status_write(const char *path, const struct status_info *info,
		 struct counters *counters) must_check;
