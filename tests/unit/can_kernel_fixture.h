/* tests/unit/can_kernel_fixture.h: a watch over CAN interfaces with a socket pair in place of the
 * kernel, and what that says. */
#pragma once

#include "agent/can/can_watch.h"
#include "tests/unit/loop_fixture.h"

extern struct counters counters;
extern struct can_watch *watch;
extern int kernel; /* our end; -1: not open */
extern int n_opened, open_error;

void watch_up(void); /* both, for tcase_add_checked_fixture */
void watch_down(void);

/* A message about an interface, and a turn. state below 0: it is down. */
void say(uint16_t type, const char *name, int index, int state,
	 const struct can_device_stats *stats);
void is(const char *name, int state); /* the interface of index 3 */
void say_error(uint32_t seq, int error);
/* The next question; "" where there is none. */
const char *asked(void);

#define COUNTED(name) ((int)counter_get(&counters.name))
