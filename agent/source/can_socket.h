/* agent/source/can_socket.h: a raw CAN socket as the source needs it: CAN FD, error frames, receive
 * times, the count of what its buffer lost, filters of the kernel. */
#pragma once

#include "agent/source/can_filter.h"

enum can_times {
	CAN_TIMES_KERNEL,	    /* SO_TIMESTAMPNS */
	CAN_TIMES_HARDWARE,	    /* SO_TIMESTAMPING, the controller stamps */
	CAN_TIMES_HARDWARE_REFUSED, /* it could, and setting it is not allowed: the kernel's */
};

/* Bound, non-blocking. Frames of before the filters are never seen. hardware: the controller's
 * times are wanted; where it gives none, or CAP_NET_ADMIN is missing to switch them on, the
 * kernel's are taken. Returns the descriptor or -errno. */
int can_socket_open(int ifindex, const char *interface, const struct can_filters *filters,
		    bool hardware, enum can_times *ret_times) must_check;
/* Other filters from the next frame on that the kernel gets; those in the buffer stay. */
int can_socket_filter(int fd, const struct can_filters *filters) must_check;
/* Frames that the buffer had no room for, since the socket was opened: a counter of 32 bits that
 * wraps. Frames tell it too (SO_RXQ_OVFL), but only as it was when they came. Returns 0 or -errno,
 * before Linux 4.11. */
int can_socket_lost(int fd, uint32_t *ret) must_check;

/* "kernel", "hardware", "kernel (hardware needs CAP_NET_ADMIN)" */
const char *can_times_name(enum can_times times);
