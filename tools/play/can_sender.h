/* tools/play/can_sender.h: frames to CAN interfaces, in the order in which they are put, many in
 * one system call. */
#pragma once

#include "agent/source/frame.h"
#include "tools/play/play_env.h"

enum {
	CAN_SENDER_PORTS_MAX = 16, /* interfaces */
	CAN_SENDER_FRAMES = 64,	   /* that are sent together */
	CAN_SENDER_STALL_S = 5,	   /* an interface that takes nothing for so long has failed */
	CAN_SENDER_FULL = 1,
};

/* Of the frames that left: how much later than they were due. One that left early was on time. */
struct can_lateness {
	uint64_t frames;
	int64_t sum_ns, max_ns;
};

struct can_sender;

/* env is borrowed. Returns 0 or -ENOMEM. */
int can_sender_new(struct can_sender **ret, const struct play_env *env) must_check;
struct can_sender *can_sender_free(struct can_sender *s);

/* Opens the interface where it is not open yet. Returns its port, from 0; -errno with err. */
int can_sender_open(struct can_sender *s, const char *interface, struct error *err) must_check;
size_t can_sender_ports(const struct can_sender *s);
const char *can_sender_interface(const struct can_sender *s, size_t port);
bool can_sender_takes_fd(const struct can_sender *s, size_t port);

/* Copies the frame, which is no error frame. due_ns: when it should leave; CAN_SENDER_ANY_TIME: no
 * matter when. line: of the log, above 0. Returns 0, or CAN_SENDER_FULL: nothing taken, flush. */
#define CAN_SENDER_ANY_TIME INT64_MIN
int can_sender_put(struct can_sender *s, size_t port, const struct frame *f, int64_t due_ns,
		   uint64_t line) must_check;
/* Sends what was put. An interface without room is waited for. Returns 0; -EINTR: the program is to
 * end; -ETIMEDOUT, -ENOTCONN (bus-off) or another -errno with err, which names the interface. But
 * for 0 there are frames unsent, and no more can be sent. */
int can_sender_flush(struct can_sender *s, struct error *err) must_check;
/* Whether the interfaces are well, as far as they have said. Returns as can_sender_flush. */
int can_sender_check(const struct can_sender *s, struct error *err) must_check;
/* The line of the first frame that is not sent; 0: there is none. */
uint64_t can_sender_unsent(const struct can_sender *s);

uint64_t can_sender_sent(const struct can_sender *s, size_t port);
uint64_t can_sender_waits(const struct can_sender *s); /* times that an interface had no room */
const struct can_lateness *can_sender_lateness(const struct can_sender *s);
