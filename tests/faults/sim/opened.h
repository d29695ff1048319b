/* tests/faults/sim/opened.h: what the simulation needs of the programs beyond their headers.
 *
 * opened_uplink.c and opened_intake.c hold the agent's own uplink.c and intake.c, so that a loop
 * that has a thread of its own can be turned from outside, and each commit be seen. */
#pragma once

#include "agent/publish/uplink.h"

struct loop *opened_loop(struct uplink *u);
struct store *opened_store(struct uplink *u);
/* As uplink_stop, without a thread: stores what is in the queue, if the disk lets it. */
void opened_finish(struct uplink *u);

/* store_put, by whom intake calls it. */
int opened_store_put(struct store *s, const struct store_item *items, size_t n,
		     struct store_count *ret_stored, struct store_dropped *ret_dropped) must_check;
