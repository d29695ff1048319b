/* proto/bus_status.h: what an agent says about a CAN bus, as a message of the catalog.
 *
 * No frame carries it: the agent fills the bytes itself and lets them take the way of any other
 * message, so its signals are collected, stored and shown like those of a DBC file. The bytes are
 * fixed and little-endian; they, the names and the choices never change their meaning, new ones
 * are added behind.
 *
 *	byte  signal              bits  unit   meaning
 *	0     State                  8         enum bus_state
 *	1     LinkUp                 1         1: the interface is up
 *	1     Known                  3         which of the signals below are there: multiplexor
 *	2     FramesReceived        32         frames that passed the kernel's filters
 *	6     FramesBad             32         of these: refused, they contradict themselves
 *	10    FramesLost            32         lost in the socket: its buffer was full
 *	14    ErrorFrames           32         error frames of the controller
 *	18    BusErrors             32         protocol violations: bit, stuff, form, CRC
 *	22    AckErrors             32         a frame was sent and nobody acknowledged it
 *	26    ArbitrationLost       32
 *	30    ControllerOverflows   32         frames lost in the controller or its driver
 *	34    TxTimeouts            32         frames that were not sent in time
 *	38    BusOffs               32
 *	42    Restarts              32         after bus-off
 *	46    LinkDowns             32         the interface went down or away
 *	50    TxErrors              16         error counter of ISO 11898-1, if Known has bit 0
 *	52    RxErrors              16         error counter, if Known has bit 0
 *	54    BitRate               32  bit/s  if Known has bit 1
 *	58    DataBitRate           32  bit/s  0: no CAN FD; if Known has bit 1
 *	62    BusLoad               16  0.1 %  if Known has bit 2
 *
 * Counts go on from 0 when the agent starts and wrap at 2^32; BusErrors, ArbitrationLost, BusOffs
 * and Restarts are the kernel's where it counts them, which is since the interface was made. */
#pragma once

#include "proto/catalog.h"

enum { BUS_STATUS_BYTES = 64 };
#define BUS_STATUS_NAME "BusStatus"

/* The first six are the kernel's enum can_state (linux/can/netlink.h). */
enum bus_state {
	BUS_ERROR_ACTIVE,
	BUS_ERROR_WARNING, /* an error counter is at 96 or above */
	BUS_ERROR_PASSIVE, /* 128 */
	BUS_OFF,
	BUS_STOPPED, /* the interface is down */
	BUS_SLEEPING,
	BUS_ABSENT,  /* there is no such interface */
	BUS_UNKNOWN, /* up, and nobody says more: vcan has no controller */
	BUS_STATES,
};

struct bus_status {
	enum bus_state state;
	bool link_up;
	bool has_errors, has_bit_rate, has_load; /* whether the last five are known */
	uint32_t frames, frames_bad, frames_lost;
	uint32_t error_frames, bus_errors, ack_errors, arbitration_lost;
	uint32_t controller_overflows, tx_timeouts;
	uint32_t bus_offs, restarts, link_downs;
	uint16_t tx_errors, rx_errors;
	uint32_t bit_rate, data_bit_rate; /* bit/s */
	uint16_t load;			  /* in 0.1 %, 0 to 1000 */
};

void bus_status_pack(const struct bus_status *s, uint8_t out[static BUS_STATUS_BYTES]);
/* Returns 0; -EBADMSG: too short, or a state that is none. */
int bus_status_unpack(struct bus_status *ret, const uint8_t *data, size_t len) must_check;
const char *bus_state_name(enum bus_state state); /* "error-active"; "?" for one that is none */

/* The same catalog with the message behind those of each bus, under BUS_STATUS_NAME, or with _2,
 * _3 ... where the bus has one of that name. Returns 0; -EEXIST with err: a bus has its status
 * already; -EBADMSG with err: beyond the catalog's limits; -ENOMEM. */
int bus_status_add(struct catalog **ret, const struct catalog *from, struct error *err) must_check;
/* The message of a bus, or CATALOG_NONE. */
uint32_t bus_status_find(const struct catalog *cat, uint16_t bus);
