/* tests/faults/sim/world.h: simulated time, chance, and what happened.
 *
 * One time for all, from which each machine's two clocks are made. Everything that is by chance
 * comes from one generator, and everything that happens goes into one hash: the same seed gives the
 * same run. */
#pragma once

#include "base/loop.h"

#define MINUTE_NS (60 * NS_PER_S)
#define HOUR_NS	  (60 * MINUTE_NS)
/* The true wall time is the simulated time plus this: somewhen in 2026. */
#define SIM_EPOCH_NS (INT64_C(1770000000) * NS_PER_S)

enum { MACHINES_MAX = 9 }; /* the relay and its agents */

/* A machine: its clocks, and the loop of the program that runs on it. */
struct machine {
	char name[16];
	char folder[96];
	struct timebase tb;
	int64_t booted_ns;     /* simulated time */
	int64_t wall_error_ns; /* of its wall clock */
	struct loop *loop;     /* NULL: nothing runs */
	int64_t frozen_until;  /* simulated time: the program is stopped (SIGSTOP) until then */
};

struct world {
	int64_t now_ns; /* simulated, from 0 */
	uint64_t random;
	uint64_t hash, n_events;
	struct loop *loop; /* of what belongs to no machine: its mono time is now_ns */
	struct timebase tb;
	struct machine *machines[MACHINES_MAX];
	size_t n_machines;
	bool trace; /* events to stderr, as they happen */
};
extern struct world sim;

void world_open(uint64_t seed);
void world_close(void);
/* The machine is borrowed. Its mono time is 100 s at its boot, which is now. */
void machine_add(struct machine *m, const char *name, const char *root);
void machine_boot(struct machine *m);
/* Of a moment on its mono clock. */
int64_t machine_sim_ns(const struct machine *m, int64_t mono_ns);

/* Turns the loop that is due next, at its time. False: nothing is due until then; now is then. */
bool world_step(int64_t until_ns);

/* ---- chance ---- */
uint64_t chance(void);
uint64_t chance_below(uint64_t n); /* 0 to n - 1; n is at least 1 */
bool chance_is(unsigned per_mille);
/* Between a half and one and a half of it. */
int64_t chance_about(int64_t ns);
/* The same for what must not disturb the other numbers: made of key alone, and the seed. */
uint64_t chance_of(uint64_t key);

/* ---- what happened ---- */

enum event_kind {
	EVENT_FAULT,
	EVENT_UP,   /* a program started */
	EVENT_DOWN, /* or ended */
	EVENT_STORED,
	EVENT_PUBLISHED, /* reached the broker */
	EVENT_REFUSED,	 /* by it */
	EVENT_LOST,	 /* there */
	EVENT_DELIVERED,
	EVENT_RECEIPT, /* reached the vehicle */
	EVENT_CONNECTED,
	EVENT_DISCONNECTED,
};

struct event {
	int64_t at_ns;
	enum event_kind kind;
	int8_t agent; /* -1: none */
	int8_t class;
	uint64_t epoch, from, through;
	char what[48];
};

/* e->at_ns is set. */
void event_note(const struct event *e);
/* What the event was about, for the hash alone. */
void event_hash(const void *bytes, size_t len);
/* The last events that have to do with it: of that lane with from to through among theirs, or
 * without a lane, within an hour around. */
void event_print_around(const struct event *lost);
