/* agent/publish/publish_private.h: what the files of publish share. */
#pragma once

#include "agent/health/limit.h"
#include "agent/publish/clock_repair.h"
#include "agent/publish/contexts.h"
#include "agent/publish/flight.h"
#include "agent/publish/hole.h"
#include "agent/publish/publish.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

enum {
	PUBLISH_SEQ_BITS = 48,
	PUBLISH_ENVELOPE_MAX = 9 << 20,
	PUBLISH_RETRY_MS = 1000,
	PUBLISH_SWEEP_S = 60,
	/* A broker that takes no packet of this size is set up wrongly. Rows wait for it to be put
	 * right; else a slip there would cost the whole outbox. */
	PUBLISH_PACKET_LEAST = 16 << 10,
};

struct publish {
	struct publish_options opt;
	struct loop *loop;
	struct store *store;
	struct counters *counters;
	struct mqtt *mqtt;
	struct flight *flight;
	struct contexts *contexts; /* outlive connections */
	struct schedule schedule;
	unsigned empty; /* bit 1 << lane: nothing more is in the outbox for it */
	bool ready;	/* connected, and receipts are subscribed to */
	int failure;	/* of the last pump, as logged; 0: none */
	struct mono_time swept_at;
	struct loop_timer timer, resubscribe, look;
	struct limit refusals, bad_receipts, foreign_receipts, old_receipts, lost_contexts;
	struct buf envelope, body;
	/* Receipts for anything above are nonsense: it was never sent. */
	uint64_t sent[CLASS_COUNT];
	uint64_t before[CLASS_COUNT]; /* last seq when the agent started */
	uint64_t told[CLASS_COUNT];   /* highest mark of a receipt */
	struct hole holes[CLASS_COUNT];
	struct clock_repair clock;
	bool clock_failed; /* the notice could not be stored, as was logged */
	char vehicle[ID_MAX + 1], device[ID_MAX + 1];
	char topics[CLASS_COUNT][TOPIC_MAX];
	char receipt_topic[TOPIC_MAX];
};

static inline struct mono_time publish_now(const struct publish *p)
{
	return timebase_mono(p->opt.tb);
}

static inline void publish_last_seqs(const struct publish *p, uint64_t ret[static CLASS_COUNT])
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		ret[k] = store_last_seq(p->store, (enum uplink_class)k);
}

/* ---- publish.c ---- */
void publish_show(struct publish *p); /* the counters */
/* Logs a failure of the outbox. Nothing but damage is beyond another try. */
void publish_report(struct publish *p, const char *event, enum uplink_class class, int r);

/* ---- publish_send.c ---- */
/* A new connection. */
void publish_begin(struct publish *p);
/* What is not sent yet counts as backlog from now on. */
void publish_settle(struct publish *p);
/* Sends what the windows admit, and sets the timer. */
void publish_pump(struct publish *p);
/* Lanes that have nothing more to send look once more, from the oldest row on: at what a failure of
 * the disk made them pass. Once a minute, however often it is called. */
void publish_sweep(struct publish *p);
/* Sees to it that live data which the link cannot carry stays recent. */
void publish_freshen(struct publish *p);
/* The broker says that the row is too large for it. */
void publish_too_large(struct publish *p, enum uplink_class class, uint64_t seq);
/* The row goes, and a gap takes its place; a gap just goes. Returns 0 or -errno, logged. */
int publish_refuse(struct publish *p, enum uplink_class class, uint64_t seq,
		   enum gap_reason reason) must_check;

/* ---- publish_clock.c ---- */
void publish_clock_start(struct publish *p);
/* Looks at the clocks, and stores a notice where one is owed. */
void publish_clock_look(struct publish *p);
