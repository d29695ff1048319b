/* tests/faults/sim/vehicle.h: a machine with an agent's back half: the real intake, outbox and
 * publisher, fed with batches. What decodes and collects is not there. */
#pragma once

#include "agent/store/store.h"
#include "tests/faults/sim/ledger.h"
#include "tests/faults/sim/world.h"

struct vehicle;

/* Number n of so many; root is the folder of all. The agent starts at once. */
struct vehicle *vehicle_open(unsigned n, const char *root, const struct catalog *cat);
struct vehicle *vehicle_close(struct vehicle *v);
struct machine *vehicle_machine(struct vehicle *v);

enum vehicle_end {
	VEHICLE_KILLED,	 /* kill -9 */
	VEHICLE_STOPPED, /* SIGTERM */
	VEHICLE_CUT,	 /* no power: what was not synced may be gone; it boots anew */
};
/* The agent ends, and starts again after a while. */
void vehicle_end(struct vehicle *v, enum vehicle_end how, int64_t away_ns);
bool vehicle_runs(const struct vehicle *v);
/* Neither does it crash, nor is it load: the program is stopped (SIGSTOP). */
void vehicle_freeze(struct vehicle *v, int64_t for_ns);

/* The next boot has a clock that is wrong, and unsynced; right after so long. */
void vehicle_boots_wrong(struct vehicle *v, int64_t until_synced_ns);
/* The wall clock moves. */
void vehicle_clock_moves(struct vehicle *v, int64_t by_ns);
/* Batches come so many times as fast; 0: none come; 1: as ever. */
void vehicle_load(struct vehicle *v, unsigned times);
/* Nothing more goes wrong: the clock is right, and the agent starts, where it does not run. No load
 * comes any more. */
void vehicle_settle(struct vehicle *v);
/* Puts one batch of each class into the queue. */
void vehicle_probe(struct vehicle *v);
/* It runs, and has nothing to send. */
bool vehicle_is_drained(const struct vehicle *v);
/* stored = acked + dropped + quarantined + in the outbox: says so on stderr where it is not. */
bool vehicle_adds_up(const struct vehicle *v);
