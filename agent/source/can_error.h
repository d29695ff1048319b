/* agent/source/can_error.h: what an error frame of SocketCAN says (linux/can/error.h). Pure.
 *
 * An error frame is no frame of the bus: the driver makes one to tell of the controller. */
#pragma once

#include "base/base.h"

enum can_error_class {
	CAN_ERROR_TX_TIMEOUT = 1, /* a frame was not sent in time */
	CAN_ERROR_ARBITRATION_LOST = 2,
	CAN_ERROR_WARNING = 4,	     /* an error counter reached 96 */
	CAN_ERROR_PASSIVE = 8,	     /* 128 */
	CAN_ERROR_ACTIVE = 16,	     /* back below both */
	CAN_ERROR_OVERFLOW = 32,     /* the controller lost frames */
	CAN_ERROR_PROTOCOL = 64,     /* a violation on the bus: bit, stuff, form ... */
	CAN_ERROR_TRANSCEIVER = 128, /* a wire is broken or shorted */
	CAN_ERROR_NO_ACK = 256,	     /* sent, and nobody acknowledged */
	CAN_ERROR_BUS_OFF = 512,
	CAN_ERROR_BUS = 1024,	    /* an error on the bus, of no kind or of any above */
	CAN_ERROR_RESTARTED = 2048, /* after bus-off */
};

struct can_error {
	unsigned classes; /* of enum can_error_class; 0: none that is known */
	/* Where an error is, if the frame tells. Of CAN_ERROR_WARNING and CAN_ERROR_PASSIVE: which
	 * counter. */
	bool tx, rx;
	bool has_counters;
	uint8_t tx_errors, rx_errors; /* error counters of ISO 11898-1, at most 255 */
};

/* id is can_id with all its flags, data are the len bytes of the frame. What is shorter than the 8
 * bytes of an error frame tells its classes alone. Returns 0; -EINVAL: not an error frame. */
int can_error_parse(struct can_error *ret, uint32_t id, const uint8_t *data, size_t len) must_check;

/* The state that the frame tells (enum can_state of linux/can/netlink.h), or CAN_ERROR_NO_STATE. */
enum { CAN_ERROR_NO_STATE = -1 };
int can_error_state(const struct can_error *e);

/* "bus-off,restarted": the classes in words, for a log line. Returns out. */
enum { CAN_ERROR_TEXT = 160 };
const char *can_error_text(const struct can_error *e, char out[static CAN_ERROR_TEXT]);
