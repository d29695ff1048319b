/* agent/j1939/j1939_id.h: identifiers of J1939 frames (SAE J1939-21 §5.2): 3 bits of priority, 18
 * of PGN, 8 of source address. Below PF 240 (PDU1) the PGN's low byte is the destination instead.
 */
#pragma once

#include "base/base.h"

enum { J1939_PDU2_FROM = 240 };

static inline bool j1939_is_pdu1(uint32_t pgn)
{
	return (pgn >> 8 & 0xFF) < J1939_PDU2_FROM;
}

/* The bits of an identifier that say what it is, whatever the priority and the nodes. */
static inline uint32_t j1939_id_mask(uint32_t id)
{
	return j1939_is_pdu1(id >> 8) ? 0x3FF0000 : 0x3FFFF00;
}

/* The identifier of a single frame. PDU1: the low byte of pgn is not looked at. */
static inline uint32_t j1939_id(uint8_t priority, uint32_t pgn, uint8_t source, uint8_t destination)
{
	pgn &= 0x3FFFF;
	if (j1939_is_pdu1(pgn))
		pgn = (pgn & 0x3FF00) | destination;
	return (uint32_t)(priority & 7) << 26 | pgn << 8 | source;
}
