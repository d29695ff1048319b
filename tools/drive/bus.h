/* tools/drive/bus.h: when each control unit sends, and how the bus puts that in a row.
 *
 * Units start at different times, their clocks are off by up to 100 ppm, and their tasks are late
 * by up to a few hundred microseconds. A frame occupies its bus for its length, so that frames that
 * come at once queue up. Timestamps of the stream never go back. */
#pragma once

#include "agent/source/frame.h"
#include "tools/drive/messages.h"
#include "tools/drive/rng.h"

struct car;

enum { BUS_MESSAGES_MAX = 128, BUS_FRAMES_MAX = 256 };

struct bus_slot {
	const struct drive_message *msg;
	const struct drive_bus *bus;
	uint16_t bus_no;
	int64_t period_ns; /* by the sender's clock */
	int64_t due_ns;	   /* of the task */
	int64_t emit_ns;   /* of the frame: the task's time and its lateness */
	uint8_t counter, group;
	bool sent;
	uint8_t last[8]; /* of messages that are sent on change */
};

struct bus_set {
	struct rng rng;
	struct bus_slot slots[BUS_MESSAGES_MAX];
	size_t n;
	int64_t free_ns[DRIVE_BUSES]; /* when the frame on the bus ends */
	int64_t last_ns;
};

void bus_init(struct bus_set *b, uint64_t seed);
/* Frames of the tick [from, to) with the car's present state, in time order; timestamps as from.
 * out holds BUS_FRAMES_MAX. Returns their number. */
size_t bus_tick(struct bus_set *b, const struct car *c, int64_t from_ns, int64_t to_ns,
		struct frame *out);
