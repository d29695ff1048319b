/* tests/unit/flight_fixture.h: a flight of 8 rows and 1000 bytes, under a clock that the test
 * turns, and what happens to its rows. All go by the lane of what is fresh. */
#pragma once

#include "agent/publish/flight.h"

struct flight_world {
	struct flight *f;
	struct mono_time now;
};
extern struct flight_world fw;

extern const uint64_t NO_BACKLOG[CLASS_COUNT]; /* for flight_reset */

/* For tcase_add_checked_fixture. */
void flight_setup(void);
void flight_teardown(void);

void advance_s(int64_t s);

/* Sent, and without PUBACK. */
void send_row(enum uplink_class class, uint64_t seq, size_t bytes);
/* A byte, and the broker has it. */
void send_to_broker(enum uplink_class class, uint64_t seq);
/* A receipt of anything: most tests are about a relay that has answered before. */
void hear_relay(void);

/* Whether it is the first of its lane to be sent again now. */
bool is_due(enum uplink_class class, uint64_t seq);
bool nothing_due(void);
