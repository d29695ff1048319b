/* tests/unit/j1939_fixture.h: the J1939 source on a kernel that the test plays. What is not its
 * own, such as the clock, the frames it hands over and the raw way, is socketcan_fixture's. */
#pragma once

#include "agent/j1939/j1939.h"
#include "tests/unit/socketcan_fixture.h"

enum { J1939_ITEMS_MAX = 64, J1939_SENT_MAX = 256, J1939_GOT_MAX = 64, J1939_OWN = 0x80 };

/* One message of the socket, or an error of it. */
struct j1939_item {
	int error; /* of recvmmsg */
	uint32_t pgn;
	uint8_t source, destination;
	uint8_t data[2000];
	size_t len;
	bool has_overflow;
	uint32_t overflow;
};

struct j1939_sent {
	uint32_t pgn, id; /* id: by the raw socket */
	uint8_t destination;
	uint8_t data[8];
	size_t len;
};

/* What the kernel has, and what it was asked for. */
struct j1939_fake {
	struct j1939_item items[J1939_ITEMS_MAX];
	size_t n, next;
	struct j1939_sent sent[J1939_SENT_MAX];
	size_t n_sent;
	int probe_error, open_error, send_error;
	unsigned opens, raw_opens, binds, filter_calls;
	uint8_t address;
	uint64_t name;
	struct j1939_filter filters[J1939_FILTERS_MAX];
	size_t n_filters;
};

/* What the agent was handed besides can_got.frames. */
struct j1939_got {
	struct payload payloads[J1939_GOT_MAX];
	uint8_t data[J1939_GOT_MAX][J1939_PAYLOAD_MAX];
	size_t n, n_statuses;
};

extern struct j1939_fake j1939_fake;
extern struct j1939_got j1939_got;

/* All at J1939_OWN but the first one, which has no address; they ask each second, all for 0xFEE5
 * and 0x21 for 0xFEDA. The last one has a NAME. */
extern const struct j1939_options j1939_listener, j1939_asker, j1939_claimer;

void j1939_setup(void); /* for tcase_add_checked_fixture, with can_teardown */
int j1939_make(struct j1939_options opt, struct error *err) must_check; /* j1939_new's result */
void j1939_start(struct j1939_options opt);				/* and it has opened */
void j1939_pass(int64_t ms);

/* What the socket has next, with bytes 1, 2, 3, ...; to 0xFF: all. */
struct j1939_item *j1939_add(uint32_t pgn, uint8_t from, uint8_t to, size_t len);
