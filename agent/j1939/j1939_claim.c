#include "agent/j1939/j1939_claim.h"

enum { ADDRESS_NONE = 254 };

enum j1939_claim_act j1939_claim_open(struct j1939_claim *c)
{
	if (c->address >= ADDRESS_NONE) {
		c->state = J1939_CLAIM_NONE;
		return J1939_CLAIM_ACT_NOTHING;
	}
	c->state = c->name ? J1939_CLAIM_PENDING : J1939_CLAIM_HELD;
	return c->name ? J1939_CLAIM_ACT_CLAIM : J1939_CLAIM_ACT_NOTHING;
}

void j1939_claim_waited(struct j1939_claim *c)
{
	if (c->state == J1939_CLAIM_PENDING)
		c->state = J1939_CLAIM_HELD;
}

static bool has_claimed(const struct j1939_claim *c)
{
	return c->name && (c->state == J1939_CLAIM_PENDING || c->state == J1939_CLAIM_HELD);
}

enum j1939_claim_act j1939_claim_heard(struct j1939_claim *c, uint8_t address, uint64_t name)
{
	if (!has_claimed(c) || address != c->address || name == c->name)
		return J1939_CLAIM_ACT_NOTHING;
	if (c->name < name)
		return J1939_CLAIM_ACT_CLAIM;
	c->state = J1939_CLAIM_LOST;
	return J1939_CLAIM_ACT_YIELD;
}

enum j1939_claim_act j1939_claim_asked(const struct j1939_claim *c)
{
	if (c->state == J1939_CLAIM_LOST)
		return J1939_CLAIM_ACT_YIELD;
	return has_claimed(c) ? J1939_CLAIM_ACT_CLAIM : J1939_CLAIM_ACT_NOTHING;
}

unsigned j1939_claim_yield_ms(const struct j1939_claim *c)
{
	return (unsigned)(c->name * 0x9E3779B97F4A7C15u >> 32) % (J1939_CLAIM_YIELD_MS + 1);
}
