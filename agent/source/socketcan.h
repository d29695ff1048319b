/* agent/source/socketcan.h: frames of a CAN interface (Linux SocketCAN, raw, CAN FD too), with
 * receive times of the controller or the kernel, and the health of its bus.
 *
 * The kernel lets pass what the rules need. An interface that is missing or down, or a kernel
 * without CAN, is said clearly and tried again; other sources go on. Frames for which there is no
 * free batch, and those the socket's buffer could not hold, are counted: frames_dropped_busy,
 * frames_dropped_socket. Frames that contradict themselves are refused: frames_bad. Error frames
 * count (frames_error) and change the status of the bus (bus_health.h); none goes on. */
#pragma once

#include "agent/source/bus_health.h"
#include "agent/source/can_socket.h"

struct mmsghdr;

/* What of the kernel a test may stand in for. */
struct socketcan_kernel {
	/* As can_socket_open and can_socket_filter. */
	int (*open)(int ifindex, const char *interface, const struct can_filters *filters,
		    bool hardware, enum can_times *ret_times);
	int (*filter)(int fd, const struct can_filters *filters);
	/* As recvmmsg without waiting: how many messages, or -1 with errno. */
	int (*read)(int fd, struct mmsghdr *msgs, unsigned n);
	int (*lost)(int fd, uint32_t *ret); /* as can_socket_lost; NULL: nothing to ask */
	int (*find)(const char *interface, struct can_interface *ret); /* see can_port.h */
	struct bus_health_reads health;
};

struct socketcan_options {
	const char *interface;
	const char *bus;		       /* the catalog's bus; must be in it */
	bool take_all;			       /* no filters: all that is on the bus */
	bool kernel_times;		       /* the controller's times are not used */
	int64_t status_period_ns;	       /* 0: 1 s */
	const struct socketcan_kernel *kernel; /* NULL: the real one; borrowed */
};

/* Texts are copied. Returns 0; -EINVAL with err: the bus is not in the catalog, or no name for an
 * interface; -ENOMEM. It opens with the loop. */
int socketcan_new(struct source **ret, const struct source_env *env, const char *name,
		  const struct socketcan_options *opt, struct error *err) must_check;

/* For tests: what a canfd_frame of size bytes (CAN_MTU or CANFD_MTU) says. Returns 0, or -EBADMSG:
 * another size, more data than such a frame has, or a remote frame of CAN FD, which has none. */
int socketcan_convert(const struct canfd_frame *in, size_t size, struct frame *ret) must_check;
