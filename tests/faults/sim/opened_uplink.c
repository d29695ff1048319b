#include "tests/faults/sim/opened.h"

#include "agent/publish/uplink.c"

struct loop *opened_loop(struct uplink *u)
{
	return u->loop;
}

struct store *opened_store(struct uplink *u)
{
	return u->store;
}

void opened_finish(struct uplink *u)
{
	atomic_store(&u->stop_wait_ns, 0);
	atomic_store(&u->stop, true);
	on_wake(&u->wake);
}
