/* agent/decode/plan_internal.h: what a compiled plan looks like; for plan.c and plan_compile.c.
 *
 *   key (bus, id) --table--> message --+--> runs that are always there
 *                                      +--> multiplexors --value--> interval --> runs
 *   run: consecutive ops that come and go together; op: one signal
 *
 * Ops are in ascending signal number, so lists of runs merge by op. */
#pragma once

#include "agent/decode/plan.h"
#include "agent/j1939/j1939_id.h"

enum {
	/* A message with more multiplexors, or whose table of intervals would need more than this
	 * many steps, is decoded by following each signal's multiplexors instead: slow, but right.
	 * Real catalogs stay far below. */
	PLAN_MUXES_MAX = 31,
	PLAN_STEPS_MAX = 1 << 20,
};

struct plan_op {
	uint64_t mask;	 /* the signal's bits, after the shift */
	uint64_t sign;	 /* its sign bit; 0: unsigned */
	uint32_t signal; /* number in the catalog */
	uint16_t need;	 /* bytes that the payload must have */
	uint16_t byte;	 /* the first that it touches */
	uint8_t shift;	 /* right, of the 64 bits from byte on */
	uint8_t shift8;	 /* right, of a whole payload of at most 8 bytes */
	uint8_t big;	 /* 1: big endian */
	uint8_t extra;	 /* bits in a ninth byte */
};

struct plan_run {
	uint32_t first, n; /* ops */
	uint32_t need;	   /* the most that one of them needs */
};

struct plan_list {
	uint32_t first, n; /* runs, ascending */
};

/* The runs from this value of the multiplexor up to the next interval's. */
struct plan_interval {
	uint64_t from;
	struct plan_list runs;
};

struct plan_mux {
	struct plan_op op;
	uint32_t parent; /* place among the message's multiplexors, always before this one */
	const struct catalog_range *ranges; /* of the parent's value; borrowed from the catalog */
	size_t n_ranges;
	uint32_t first, n; /* intervals, ascending */
};

struct plan_message {
	uint32_t first_op, n_ops;
	struct plan_list always;
	uint32_t first_mux, n_muxes;
	bool walk; /* see PLAN_MUXES_MAX */
};

struct plan_slot {
	uint64_t key;
	uint32_t message; /* CATALOG_NONE: empty */
};

struct plan {
	const struct catalog *cat; /* borrowed */
	struct plan_slot *slots;   /* open addressing, at most half full */
	unsigned slot_bits;
	bool has_pgns;
	struct plan_message *messages; /* by number in the catalog */
	struct plan_op *ops;
	struct plan_run *runs;
	struct plan_mux *muxes;
	struct plan_interval *intervals;
	size_t samples_max;
};

#define PLAN_KEY_EXTENDED ((uint64_t)1 << 31)
#define PLAN_KEY_PGN	  ((uint64_t)1 << 30)
#define PLAN_KEY_STATUS	  ((uint64_t)1 << 29) /* the bus's own; no id */

static inline uint64_t plan_key(uint16_t bus, uint32_t id, bool extended)
{
	return (uint64_t)bus << 32 | (extended ? PLAN_KEY_EXTENDED : 0) | (id & 0x1FFFFFFF);
}

static inline uint64_t plan_key_pgn(uint16_t bus, uint32_t id)
{
	return (uint64_t)bus << 32 | PLAN_KEY_PGN | (id & j1939_id_mask(id)) >> 8;
}

static inline uint64_t plan_key_status(uint16_t bus)
{
	return (uint64_t)bus << 32 | PLAN_KEY_STATUS;
}

static inline size_t plan_slot_of(const struct plan *p, uint64_t key)
{
	return (size_t)(key * 0x9E3779B97F4A7C15u >> (64 - p->slot_bits));
}

void plan_op_set(struct plan_op *op, const struct catalog_signal *s, uint32_t signal);
