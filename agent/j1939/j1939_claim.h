/* agent/j1939/j1939_claim.h: an own address on a J1939 bus (SAE J1939-81 §4.4): a fixed one, or
 * one that is claimed with a NAME and may be lost to a lower NAME. Pure: it says what to send.
 *
 * One address only: a node that loses it stays without, until the bus is opened again. */
#pragma once

#include "base/base.h"

enum {
	J1939_CLAIM_WAIT_MS = 250,  /* then the address is ours, unless somebody objects */
	J1939_CLAIM_YIELD_MS = 153, /* longest wait before "cannot claim" (§4.4.3.3) */
};

enum j1939_claim_state {
	J1939_CLAIM_NONE,    /* no address: listens only */
	J1939_CLAIM_PENDING, /* claimed; wait */
	J1939_CLAIM_HELD,
	J1939_CLAIM_LOST,
};

enum j1939_claim_act {
	J1939_CLAIM_ACT_NOTHING,
	J1939_CLAIM_ACT_CLAIM, /* send our NAME from our address */
	J1939_CLAIM_ACT_YIELD, /* after j1939_claim_yield_ms: our NAME from address 254 */
};

struct j1939_claim {
	uint64_t name;	 /* 0: the address is fixed, nobody is told */
	uint8_t address; /* 254: none */
	enum j1939_claim_state state;
};

/* The bus was opened. */
enum j1939_claim_act j1939_claim_open(struct j1939_claim *c);
/* J1939_CLAIM_WAIT_MS have passed since then. */
void j1939_claim_waited(struct j1939_claim *c);
/* Another node claims an address. */
enum j1939_claim_act j1939_claim_heard(struct j1939_claim *c, uint8_t address, uint64_t name);
/* Somebody asks who has which address. */
enum j1939_claim_act j1939_claim_asked(const struct j1939_claim *c);
/* Nodes that yield at the same moment with the same identifier disturb each other: it depends on
 * the NAME. */
unsigned j1939_claim_yield_ms(const struct j1939_claim *c);
