/* tests/faults/sim/trouble.h: what goes wrong, and when: by the seed. */
#pragma once

#include "tests/faults/sim/vehicle.h"

enum trouble_kind {
	TROUBLE_AGENT_KILL,
	TROUBLE_AGENT_STOP,
	TROUBLE_AGENT_POWER,
	TROUBLE_AGENT_DISK,
	TROUBLE_AGENT_FREEZE,
	TROUBLE_AGENT_CLOCK,
	TROUBLE_AGENT_BOOT_WRONG,
	TROUBLE_AGENT_BURST,
	TROUBLE_AGENT_OFFLINE, /* for hours */
	TROUBLE_RELAY_KILL,
	TROUBLE_RELAY_STOP,
	TROUBLE_RELAY_POWER,
	TROUBLE_RELAY_DISK,
	TROUBLE_RELAY_FREEZE,
	TROUBLE_RELAY_CLOCK,
	TROUBLE_RELAY_RESTORE,
	TROUBLE_RELAY_THROTTLE,
	TROUBLE_BROKER_DOWN,
	TROUBLE_BROKER_LOSES,
	TROUBLE_BROKER_REFUSES,
	TROUBLE_RECEIPTS_LOST,
	TROUBLE_NET_DOWN,
	TROUBLE_NET_RESET,
	TROUBLE_NET_STALL,
	TROUBLE_NET_SLOW,
	TROUBLE_NET_TWICE,
	TROUBLE_KINDS,
};

const char *trouble_name(enum trouble_kind k);

/* One every so long, on average. only, without: NULL, or what names of kinds begin
 * with. */
void trouble_open(struct vehicle *const *vehicles, unsigned n, int64_t every_ns, const char *only,
		  const char *without);
/* No more of it; what lasts is ended. */
void trouble_end(void);
uint64_t trouble_count(enum trouble_kind k);
