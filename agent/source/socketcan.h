/* agent/source/socketcan.h: frames of a CAN interface (Linux SocketCAN, raw, CAN FD too), with the
 * kernel's receive times.
 *
 * An interface that is missing or down, or a kernel without CAN, is said clearly and tried again;
 * other sources go on. Frames for which there is no free batch, and those the socket's buffer
 * could not hold, are counted: frames_dropped_busy, frames_dropped_socket. */
#pragma once

#include "agent/source/source.h"

struct socketcan_options {
	const char *interface;
	const char *bus; /* the catalog's bus; must be in it */
};

/* Texts are copied. Returns 0; -EINVAL with err: the bus is not in the catalog, or no name for an
 * interface; -ENOMEM. It opens with the loop. */
int socketcan_new(struct source **ret, const struct source_env *env, const char *name,
		  const struct socketcan_options *opt, struct error *err) must_check;

/* For tests: mono time of a frame that the kernel stamped with wall time, at the moment now. */
struct timespec;
int64_t socketcan_time(const struct timespec *stamp, const struct clock_pair *now);
/* For tests: what a canfd_frame of size bytes (CAN_MTU or CANFD_MTU) says. Returns 0 or -EINVAL:
 * not such a size. */
struct canfd_frame;
int socketcan_convert(const struct canfd_frame *in, size_t size, struct frame *ret) must_check;
