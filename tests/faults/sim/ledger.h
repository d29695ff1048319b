/* tests/faults/sim/ledger.h: what the agents' outboxes have taken, and whether the relay has it. */
#pragma once

#include "proto/catalog.h"
#include "proto/topic.h"
#include "relay/registry/registry.h"
#include "tests/faults/sim/world.h"

enum { AGENTS_MAX = MACHINES_MAX - 1, BATCH_SAMPLES_TOP = 32 };

/* Each sample's raw value is unlike all others. */
static inline uint64_t ledger_value(unsigned agent, enum uplink_class class, uint64_t counter)
{
	return (uint64_t)(agent + 1) << 56 | (uint64_t) class << 48 | counter;
}

/* A batch of samples with counters first to first + n - 1. */
struct ledger_batch {
	uint64_t first;
	unsigned n;		   /* 1 to BATCH_SAMPLES_TOP */
	int64_t first_ns, step_ns; /* true times, simulated */
	uint64_t boot;
	uint64_t epoch, seq;
	int64_t stored_ns; /* simulated; 0: no store_put has said that it is stored */
	bool unsynced;	   /* its row may have died with the power */
	/* What the relay has. */
	uint32_t delivered; /* bit 1 << sample */
	bool in_gap;
	unsigned reason; /* of the gap */
};

void ledger_open(unsigned agents);
void ledger_close(void);
/* It was closed. Whether it gets as far as the outbox is told by the store, or by nobody: a disk
 * that fails, or a kill in the middle of a commit, may leave it there or not. Then it may be
 * delivered, once. */
void ledger_made(unsigned agent, enum uplink_class class, const struct ledger_batch *b);
/* A row was committed with it: the samples from first on, which were made. */
void ledger_stored(unsigned agent, enum uplink_class class, uint64_t first, uint64_t epoch,
		   uint64_t seq);
/* The power is gone: what these classes (bit 1 << class) have committed since then may be too. */
void ledger_power_cut(unsigned agent, unsigned relaxed, int64_t since_ns);
/* The wall clock of that boot was wrong while it claimed to be right: times are not looked at. */
void ledger_clock_lied(uint64_t boot);
/* The relay has lost what came between the two moments: gaps may say that there were receipts. */
void ledger_restored(int64_t copied_ns, int64_t restored_ns);
/* It has been right since, for so long that all times of that boot must be in the end. */
void ledger_clock_known(uint64_t boot);

struct verdict {
	uint64_t accepted, delivered, gaps, unsynced, lost, duplicated; /* samples */
	uint64_t open;		 /* delivered, though no store_put has said that they are stored */
	uint64_t foreign;	 /* nobody has sent them, or not so */
	uint64_t bad_times;	 /* samples whose times are wrong, though vouched for */
	uint64_t unrepaired;	 /* batches whose times could be right, and are not vouched for */
	uint64_t contradictions; /* batches that are stored, and in a gap as well */
	uint64_t by_reason[16];
	uint64_t of[CLASS_COUNT][4];		/* accepted, delivered, gaps, lost */
	uint64_t rows, gap_rows, gap_rows_most; /* the last: of one agent */
	uint64_t quarantined;
};
/* Looks at stream.db, which nobody has open. Says on stderr what is wrong. */
int ledger_judge(const char *stream_path, struct registry *reg, const struct catalog *cat,
		 struct verdict *ret) must_check;
