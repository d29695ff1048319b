/* agent/can/can_link_msg.h: rtnetlink messages about CAN interfaces (RFC 3549,
 * linux/rtnetlink.h, linux/can/netlink.h), as bytes: made and read, without a socket. */
#pragma once

#include "agent/can/can_link.h"

enum {
	CAN_LINK_REQUEST_MAX = 512, /* bytes of the longest request */
	CAN_LINK_TEXT_MAX = 128,
};

/* Each returns the bytes written at buf, which has room for CAN_LINK_REQUEST_MAX and is aligned as
 * malloc's. seq comes back in the answer. */
size_t can_link_msg_get(void *buf, uint32_t seq, const char *interface);
size_t can_link_msg_down(void *buf, uint32_t seq, int ifindex);
/* All settings, and up, in one. restart: with restart_ms. */
size_t can_link_msg_set(void *buf, uint32_t seq, int ifindex, const struct can_link_settings *s,
			bool restart);

/* CAN_CTRLMODE_* that a setting turns on; those of the mask that it does not are turned off. */
enum {
	CAN_LINK_MODES = CAN_CTRLMODE_LOOPBACK | CAN_CTRLMODE_LISTENONLY | CAN_CTRLMODE_ONE_SHOT |
			 CAN_CTRLMODE_BERR_REPORTING | CAN_CTRLMODE_FD,
};
uint32_t can_link_modes(const struct can_link_settings *s);

enum can_link_msg_type {
	CAN_LINK_MSG_OTHER, /* nothing for us, or malformed */
	CAN_LINK_MSG_LINK,  /* how an interface is; state */
	CAN_LINK_MSG_GONE,  /* interface and ifindex of state */
	CAN_LINK_MSG_ANSWER /* error, text */
};

struct can_link_msg {
	enum can_link_msg_type type;
	uint32_t seq;
	bool is_can;
	struct can_link_state state;
	int error;		      /* 0, or errno, below 0, as the kernel gives it */
	char text[CAN_LINK_TEXT_MAX]; /* its words for it (NETLINK_EXT_ACK), or "" */
};

/* The message at the front of len bytes, which are aligned to 4. Returns how many of them it is, 0
 * when there is no whole one. */
size_t can_link_msg_take(const void *data, size_t len, struct can_link_msg *ret);
