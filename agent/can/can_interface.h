/* agent/can/can_interface.h: whether a network interface is there, is CAN, and is up. */
#pragma once

#include "base/base.h"

struct can_interface {
	int index;     /* for struct sockaddr_can */
	bool takes_fd; /* its MTU has room for CAN FD frames */
};

/* Returns 0; -ENODEV: there is no interface of that name; -EMEDIUMTYPE: it is not CAN; -ENETDOWN:
 * it is down; another -errno of the kernel. */
int can_interface_find(const char *name, struct can_interface *ret) must_check;

/* What an errno (above 0) of can_interface_find, or of opening, binding, reading or writing a CAN
 * socket means for a person. protocol is what a kernel may lack: "CAN_RAW". Returns out. */
const char *can_interface_explain(int error, const char *name, const char *protocol, char *out,
				  size_t size);
