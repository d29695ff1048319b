/* agent/source/bus_health.h: the health of the bus of a CAN source: counted from its frames, error
 * frames and link, and told as the status message of the bus (proto/bus_status.h), if the catalog
 * has one: each period, and at once when the state changes, but no more often than
 * BUS_HEALTH_GAP_MS: a storm of changes becomes the last of each gap.
 *
 * State and error counters come from error frames the moment they change, and each period from the
 * kernel (can_link.h), which also knows of changes that no error frame told. */
#pragma once

#include "agent/can/can_link.h"
#include "agent/can/can_load.h"
#include "agent/source/can_error.h"
#include "agent/source/can_port.h"
#include "proto/bus_status.h"

enum { BUS_HEALTH_GAP_MS = 50, BUS_HEALTH_LOG_S = 5 };

/* What is read of the interface each period; tests have their own. */
struct bus_health_reads {
	int (*link)(const char *interface, struct can_link_state *ret); /* NULL: nothing to ask */
	int (*traffic)(const char *interface, struct can_traffic *ret);
};

struct bus_health {
	/* Set by the owner before bus_health_start; borrowed. */
	struct source *source;
	const struct can_port *port;
	struct bus_health_reads reads;
	uint16_t bus;
	int64_t period_ns; /* 0: a second */

	/* Counted by the owner, a frame at a time. */
	uint32_t frames, frames_extended, frames_bad, frames_lost;

	/* Its own. */
	struct bus_status status;
	bool has_message;
	bool kernel_counts;    /* of bus errors, lost arbitrations, bus-offs and restarts */
	bool changed;	       /* and not told yet */
	struct mono_time told; /* last */
	struct mono_time look_due;
	struct loop_timer timer;
	struct can_load load;
	uint32_t seen, seen_extended; /* frames when the load was last taken */
	struct mono_time looked_early;
	struct {
		uint32_t frames;
		unsigned classes;
		struct mono_time since; /* last line */
	} noted;			/* error frames of which no line has told yet */
};

/* The first status goes with the loop. */
void bus_health_start(struct bus_health *h);
void bus_health_stop(struct bus_health *h); /* a zeroed one is fine */

/* An error frame; len bytes of data as it came. Counts it (frames_error), and tells a change of
 * state. */
void bus_health_error(struct bus_health *h, uint32_t can_id, const uint8_t *data, size_t len);
/* The socket was opened, or lost because of the interface (error: ENETDOWN, ENODEV or ENXIO). */
void bus_health_up(struct bus_health *h);
void bus_health_down(struct bus_health *h, int error);
