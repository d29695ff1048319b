/* agent/health/service.h: the agent as a service: ready, reloading, stopping, and still alive.
 *
 * The watchdog is answered only with proof that both threads live. A timer of the front loop asks
 * the back loop four times in the watchdog's time; the answer comes back through the front loop,
 * and is what sends WATCHDOG=1. So a back thread may be held up, by a disk above all, for three
 * quarters of the watchdog's time without harm, and one that hangs is found within all of it.
 * Nothing of this runs where no manager asks for it. */
#pragma once

#include "agent/health/counters.h"
#include "agent/health/notify.h"
#include "base/loop.h"

/* Zeroed at first. The front thread's, but for service_answer. */
struct service {
	struct loop *loop; /* NULL while not started */
	struct counters *counters;
	struct notify notify;
	struct loop_timer timer;
	struct loop_wake answered;
	void (*ask)(void *ctx);
	void *ctx;
	bool asked;
	bool told; /* that the back thread is silent */
};

/* Says READY=1, as $NOTIFY_SOCKET wants it, and begins to ask: ask is to make the back loop call
 * service_answer. What is wrong in the environment is logged and then not used: a service manager
 * is not needed. counters is borrowed. Returns 0, or -errno where the loop cannot watch. */
int service_start(struct service *s, struct loop *l, struct counters *counters,
		  void (*ask)(void *ctx), void *ctx) must_check;
void service_answer(struct service *s); /* any thread, once asked */

void service_reloading(struct service *s);
void service_ready(struct service *s); /* the reload is over, whatever came of it */
void service_stopping(struct service *s);
void service_end(struct service *s); /* fine when not started */
