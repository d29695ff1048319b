/* agent/source/frame.h: a CAN frame as every source delivers it. */
#pragma once

#include "base/timebase.h"

enum {
	FRAME_EXTENDED = 1, /* 29-bit identifier */
	FRAME_FD = 2,	    /* CAN FD: up to 64 bytes */
	FRAME_REMOTE = 4,   /* remote request: len without data */
	FRAME_ERROR = 8,    /* error frame (linux/can/error.h) */
	FRAME_BRS = 16,	    /* CAN FD: data at the second bit rate */
	FRAME_ESI = 32,	    /* CAN FD: its sender is error passive */
};

enum { FRAME_DATA_MAX = 64 };

struct frame {
	int64_t t_ns; /* mono time in the agent; as logged when a log is decoded */
	uint32_t id;  /* without flags */
	uint16_t bus; /* index into the catalog's buses; FRAME_BUS_NONE: none of them */
	uint8_t flags;
	uint8_t len; /* bytes in data */
	uint8_t data[FRAME_DATA_MAX];
};

enum { FRAME_BUS_NONE = UINT16_MAX };

/* What somebody has put together from frames already, or says about a bus. */
enum payload_kind {
	PAYLOAD_ISOTP,	/* ISO 15765-2: data is the payload alone */
	PAYLOAD_J1939,	/* SAE J1939-21: id is that of a single frame with this PGN */
	PAYLOAD_STATUS, /* proto/bus_status.h; id is not used */
};

struct payload {
	int64_t t_ns; /* mono time of the last frame */
	uint32_t id;  /* without flags */
	uint16_t bus; /* index into the catalog's buses */
	bool extended;
	enum payload_kind kind;
	const uint8_t *data; /* borrowed for the call */
	size_t len;
};

/* Frames f with (f.id & mask) == id, of the same width. */
struct frame_match {
	uint32_t id, mask;
	bool extended;
};
