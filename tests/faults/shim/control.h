/* tests/faults/shim/control.h: what shall go wrong in this process: a small file that the harness
 * writes and this process maps.
 *
 * Words of 64 bits in the machine's order; tests/faults/control.py has the same layout. Any thread;
 * words are read and written whole, and nothing orders them. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CONTROL_MAGIC UINT64_C(0x31746c7561666c74)

enum control_op {
	OP_OPEN,
	OP_READ,
	OP_WRITE,
	OP_SYNC,
	OP_TRUNCATE,
	OP_DELETE,
	OP_ALLOC, /* of the program's own code, not of libraries */
	OPS,
};

enum control_kind {
	KIND_EIO,
	KIND_FULL,
	KIND_SHORT, /* OP_WRITE: half of it is written, then the disk is full */
};

struct control_rule {
	_Atomic uint64_t rate; /* of a million calls fail so many */
	_Atomic uint64_t skip; /* so many calls are let through, and then */
	_Atomic uint64_t once; /* so many fail, whatever the rate */
	_Atomic uint64_t kind; /* enum control_kind */
	_Atomic uint64_t calls;
	_Atomic uint64_t hits; /* that were made to fail */
};

enum control_sync {
	SYNC_AS_IS,
	SYNC_NOT, /* adjtimex says that the clock is not disciplined */
	SYNC_YES,
};

struct control {
	_Atomic uint64_t magic;
	_Atomic uint64_t seed;
	_Atomic int64_t wall_offset_ns; /* added to CLOCK_REALTIME */
	_Atomic uint64_t clock_sync;	/* enum control_sync */
	_Atomic uint64_t lying_sync;	/* xSync returns success, and nothing is durable by it */
	_Atomic uint64_t syncs;		/* that were honest */
	_Atomic uint64_t stall_at;	/* n: xSync stops before the n-th from now, until it is 0 */
	_Atomic uint64_t stalled;	/* calls that have stopped so */
	struct control_rule rules[OPS];
};

/* Never NULL: without TOWLINE_FAULTS, or with a file that is not one, nothing goes wrong. */
struct control *control_get(void);

/* Whether this call is to fail; counts it. */
bool control_fails(enum control_op op);
