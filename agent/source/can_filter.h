/* agent/source/can_filter.h: what the rules need of a bus as the kernel's filters (CAN_RAW_FILTER),
 * so that frames nobody wants are not copied to user space. Pure.
 *
 * A filter of one identifier is written so that the kernel finds it by its table of identifiers
 * (mask of all bits with CAN_EFF_FLAG and CAN_RTR_FLAG) and not by going through a list. */
#pragma once

#include "agent/source/frame.h"

#include <linux/can.h>

enum { CAN_FILTERS_MAX = 512 }; /* CAN_RAW_FILTER_MAX */

struct can_filters {
	struct can_filter filters[CAN_FILTERS_MAX]; /* data frames only, but for all */
	size_t n;				    /* 0: nothing is wanted; right and valid */
	bool all; /* one filter that lets everything pass: asked for, or too many for the kernel */
};

/* Everything, remote frames too. */
void can_filters_all(struct can_filters *ret);
/* Equal matches, and those that another one covers, become one. More than CAN_FILTERS_MAX are left:
 * all of the bus, since the kernel takes no more. matches is sorted in place. */
void can_filters_from(struct can_filters *ret, struct frame_match *matches, size_t n);
