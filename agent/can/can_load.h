/* agent/can/can_load.h: how much of its time a bus is busy, from the kernel's counts of the
 * interface, which see all frames whatever the filters.
 *
 * A frame takes, without stuff bits, which depend on its data and are at most a fifth more, 47 bits
 * with an identifier of 11 bits and 67 with one of 29 (ISO 11898-1, intermission included),
 * and 8 a byte. Error frames are not in it. CAN FD has a second bit rate, and the kernel does not
 * count which frames used it: no load is told for such a bus. */
#pragma once

#include "base/base.h"

enum { CAN_LOAD_INTERVAL_MIN_MS = 100 };

/* Both directions, since the interface was made. */
struct can_traffic {
	uint64_t frames, bytes;
};

/* From /sys/class/net/INTERFACE/statistics. Returns 0, or -errno. */
int can_traffic_read(const char *interface, struct can_traffic *ret) must_check;

/* Zeroed: no load yet. */
struct can_load {
	bool begun, known;
	struct can_traffic last;
	int64_t last_ns; /* mono */
	uint16_t load;	 /* in 0.1 %, 0 to 1000; if known */
};

/* What the traffic was since the last call. extended: share of 29-bit identifiers, 0 to 1. Less
 * than CAN_LOAD_INTERVAL_MIN_MS after the last: nothing changes. Counts that went back, as those of
 * an interface that was made anew: not known until the next call. */
void can_load_add(struct can_load *l, const struct can_traffic *t, int64_t now_ns,
		  uint32_t bit_rate, double extended);
