/* agent/diag/obd.h: OBD-II on CAN: what SAE J1979 (ISO 15031-5) says of services, PIDs and
 * lengths. No state. */
#pragma once

#include "base/base.h"

enum {
	OBD_CURRENT = 0x01,   /* current data, up to OBD_PIDS_MAX PIDs a request */
	OBD_DTCS = 0x03,      /* emission-related DTCs, confirmed */
	OBD_PENDING = 0x07,   /* of this driving cycle or the last */
	OBD_INFO = 0x09,      /* vehicle information, one info type a request */
	OBD_PERMANENT = 0x0A, /* DTCs that a clear does not remove */
	OBD_PIDS_MAX = 6,
	OBD_RANGE = 0x20,	 /* PIDs that one bit field of supported ones tells of */
	OBD_SUPPORTED_BYTES = 4, /* that bit field */
};

/* Bytes of a PID of service 01; 0: not fixed, or not known here, so that it must be asked alone:
 * 06 to 09 and 55 to 58, for example, have one byte or two by the number of banks. */
uint8_t obd_pid_bytes(uint8_t pid);

/* The PIDs that a vehicle says it supports, of one service. */
struct obd_supported {
	uint8_t bits[256 / 8];
	uint8_t next;  /* the range to ask for next */
	bool complete; /* no more to ask */
};

/* Takes the bit field of range s->next. */
void obd_supported_add(struct obd_supported *s, const uint8_t field[static OBD_SUPPORTED_BYTES]);
bool obd_supported_has(const struct obd_supported *s, uint8_t pid);
