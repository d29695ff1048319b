/* tests/faults/sim/cloud.h: the machine with the relay: its real registry, stream, live state and
 * ingest, without the HTTP API. The registry's disk never fails. */
#pragma once

#include "proto/catalog.h"
#include "relay/registry/registry.h"
#include "tests/faults/sim/world.h"

/* Vehicles v0, v1, ... with devices a0, a1, ... are registered. */
void cloud_open(const char *root, unsigned vehicles);
/* It ends, and stays away. */
void cloud_stop(void);
void cloud_close(void);
struct machine *cloud_machine(void);
const struct catalog *cloud_catalog(void);
struct registry *cloud_registry(void);
const char *cloud_stream_path(void);

enum cloud_end { CLOUD_KILLED, CLOUD_STOPPED, CLOUD_CUT };
void cloud_end(enum cloud_end how, int64_t away_ns);
bool cloud_runs(void);
void cloud_freeze(int64_t for_ns);
/* Keeps a copy of the stream as it is now; comes back with it, killed before. */
void cloud_copy(void);
void cloud_restore(int64_t away_ns);
/* Batches a second and device that it takes; 0: all. */
void cloud_throttle(int64_t batches_per_s);
void cloud_clock_moves(int64_t by_ns);
/* Nothing more goes wrong: it starts, where it does not run. */
void cloud_settle(void);
/* It runs, and nothing waits for a commit or a receipt. */
bool cloud_is_idle(void);

struct cloud_counts {
	uint64_t duplicates, gaps, throttled, busy, late, repaired, unknown_contexts;
};
struct cloud_counts cloud_counts(void);
