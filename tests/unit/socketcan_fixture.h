/* tests/unit/socketcan_fixture.h: the SocketCAN source on a kernel that the test plays, and what
 * the agent hears of it. */
#pragma once

#include "agent/source/can_stamp.h"
#include "agent/source/socketcan.h"
#include "proto/bus_status.h"

struct can_interface;
struct msghdr;

enum { CAN_ITEMS_MAX = 8192, CAN_GOT_MAX = 8192, CAN_MATCHES_MAX = 600 };

/* One message of the socket, or an error of it. */
struct can_item {
	int error;
	struct canfd_frame frame;
	size_t size;
	bool truncated;
	struct can_stamps stamps;
	bool has_overflow;
	uint32_t overflow;
};

/* What the kernel has, and what it was asked for. */
struct can_fake {
	struct can_item items[CAN_ITEMS_MAX];
	size_t n, next;
	size_t most_a_turn, in_this_turn;
	int find_error, open_error, filter_error;
	enum can_times times;
	bool hardware;
	unsigned opens, filter_calls;
	struct can_filters filters;
	uint32_t lost;
	int link_error;
	struct can_link_state link;
	struct can_traffic traffic;
};

/* What the agent was handed, what its rules need. */
struct can_got {
	struct frame frames[CAN_GOT_MAX];
	size_t n;
	struct bus_status statuses[CAN_GOT_MAX];
	int64_t times[CAN_GOT_MAX];
	size_t n_statuses;
	bool busy;
	struct frame_match matches[CAN_MATCHES_MAX];
	size_t n_matches;
};

extern struct can_fake can_fake;
extern const struct socketcan_kernel can_fake_kernel;
int can_fake_find(const char *interface, struct can_interface *ret); /* can7 */
/* Behind what m has of control data. */
void can_put_control(struct msghdr *m, int level, int type, const void *data, size_t size);

extern struct can_got can_got;
extern struct timebase_fake can_clock;
extern struct counters can_counters;
extern struct catalog *can_cat;
extern struct source_env can_env;
extern struct source *can_source;

void can_setup(void); /* both, for tcase_add_checked_fixture */
void can_teardown(void);
struct catalog *can_make_catalog(bool status);

/* What the socket has next; the rest of it is the caller's to fill. */
struct can_item *can_add(void);
struct can_item *can_add_frame(uint32_t can_id, uint8_t len);
/* An error frame with the state of the controller and its error counters. */
void can_add_error(uint32_t classes, uint8_t controller, uint8_t tx, uint8_t rx);

void can_start(void); /* and it has opened */
void can_start_with(const struct socketcan_options *more);
void can_turn(int n);
void can_pass(int64_t ns);		 /* time goes by; two turns */
const struct bus_status *can_last(void); /* status that was told */
