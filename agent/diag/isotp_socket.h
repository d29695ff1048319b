/* agent/diag/isotp_socket.h: a connection to an ECU by the kernel's ISO 15765-2 (CAN_ISOTP): one
 * write is a request, one read is a response. */
#pragma once

#include "base/base.h"

struct isotp_socket_options {
	uint32_t request, response; /* identifiers, without flags */
	bool extended;		    /* 29 bits, both */
	bool fd;		    /* CAN FD frames of up to 64 bytes */
	bool pads;		    /* frames sent are filled up to 8 bytes, as ISO 15765-4 asks */
	uint8_t padding;	    /* with this */
	/* What our flow control tells the ECU (ISO 15765-2 §9.6.5): frames a block, 0: all; STmin
	 * as it is on the wire: 0x00 to 0x7F ms, 0xF1 to 0xF9 100 us each. */
	uint8_t block_size, st_min;
};

/* Non-blocking, bound. Returns the descriptor, or -errno with nothing left open: -EPROTONOSUPPORT
 * or -EAFNOSUPPORT where the kernel has no can-isotp. */
int isotp_socket_open(int ifindex, const struct isotp_socket_options *opt) must_check;
/* For single frames that no ECU in particular answers: functional requests. Nothing is read from
 * it. */
int isotp_socket_open_functional(int ifindex, uint32_t id,
				 const struct isotp_socket_options *opt) must_check;

/* CAN_ISOTP hands over whole payloads only; this socket tells whether a response is on its way.
 * It gets each frame of the response identifier, and is to be drained, not waited for. */
int isotp_socket_open_listener(int ifindex, const struct isotp_socket_options *opt) must_check;
/* Drains a listener. Returns whether there was any frame. */
bool isotp_socket_heard(int listener);

/* Whether an errno of the socket is about one payload, and the socket goes on. */
bool isotp_socket_error_passes(int error);
/* In words: "flow control timeout: ...". Static; NULL for one that does not pass. */
const char *isotp_socket_error(int error);
