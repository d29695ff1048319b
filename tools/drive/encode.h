/* tools/drive/encode.h: a message's payload from the state of the car.
 *
 * Raw values are rounded to nearest and held at the ends of their range. A CRC is CRC-8 SAE J1850
 * (polynomial 0x1d, start and final xor 0xff) over the two bytes of the identifier's low half, most
 * significant first, and then all other bytes of the payload. */
#pragma once

#include "agent/source/frame.h"
#include "tools/drive/messages.h"

struct car;

enum { ENCODE_BYTES = FRAME_DATA_MAX + 8 }; /* signals are written eight bytes at a time */

/* Writes m->bytes bytes to data. group: which signals of a multiplexed message. */
void encode_message(const struct drive_message *m, const struct car *c, unsigned group,
		    unsigned counter, uint8_t data[static ENCODE_BYTES]);
uint8_t encode_crc(const struct drive_message *m, size_t crc_byte, const uint8_t *data);
