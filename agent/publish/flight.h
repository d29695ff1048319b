/* agent/publish/flight.h: which batches are on their way, and when to send which again.
 *
 * Pure bookkeeping: no clock, no network, no disk, so that tests turn the time. A batch is in the
 * window from its first publish in this connection until its receipt. Meanwhile it is
 *   sent       and waits for a receipt until receipt_timeout, doubling each time,
 *   deferred   because somebody said no, and is due again after a backoff, or
 *   overtaken  because what was sent after it has its receipt: lost on the way, and due again after
 *              one to two seconds, three times at most before it waits for its timeout again.
 * All hold their place: who is refused sends less. A part of the window is kept for the urgent
 * classes (event, live), so that refused bulk does not block them.
 *
 * Receipts that come late lengthen these times (to a half of receipt_timeout at most), so that a
 * relay that is behind does not get everything twice.
 *
 * A silence: the broker has taken rows, but no receipt comes for a quarter of receipt_timeout. As a
 * PUBACK does not say whether anybody listens, they may be lost, all of them. Instead of all, one
 * row is sent again then, the oldest of the most urgent class, each half of receipt_timeout. The
 * first receipt ends it, and what it leaves counts as overtaken. In a silence, and until the first
 * receipt of a connection, only a quarter of the window is used, by urgent classes half of it. */
#pragma once

#include "base/timebase.h"
#include "proto/topic.h"

struct flight;

struct flight_options {
	size_t rows_max;  /* 4 to FLIGHT_ROWS_MAX; a quarter is for urgent classes alone */
	size_t bytes_max; /* nothing new is sent above it */
	int64_t receipt_timeout_ns; /* the first one */
	uint64_t seed;		    /* of the jitter */
};

enum { FLIGHT_ROWS_MAX = 1024 };

/* Returns 0 or -ENOMEM. */
int flight_new(struct flight **ret, const struct flight_options *opt) must_check;
struct flight *flight_free(struct flight *w);

/* A new connection: nothing is on its way. */
void flight_reset(struct flight *w);

/* The highest seq of a class that was sent in this connection; 0: none. The next one to send is
 * the first above it. */
uint64_t flight_cursor(const struct flight *w, enum uplink_class class);
/* Whether something new of that class may be sent. */
bool flight_admits(const struct flight *w, enum uplink_class class);
/* It was sent, for the first time or again. What is sent first has a seq above the cursor. */
void flight_sent(struct flight *w, enum uplink_class class, uint64_t seq, size_t bytes,
		 struct mono_time now);

struct flight_id {
	enum uplink_class class;
	uint64_t seq;
};

/* The one to send again now: most urgent class first. False: none. */
bool flight_due(const struct flight *w, struct mono_time now, struct flight_id *ret);
/* When one will be due; false: none waits for a time. */
bool flight_next_due(const struct flight *w, struct mono_time *ret);

/* The broker's answer. reason: 0 it has it (wait for the receipt), 0x10 or >= 0x80: nobody stored
 * it, send it again later. */
void flight_puback(struct flight *w, enum uplink_class class, uint64_t seq, int reason,
		   struct mono_time now);
/* The relay said: not now. Later than retry_after_s, and later each time. */
void flight_nack(struct flight *w, enum uplink_class class, uint64_t seq, uint32_t retry_after_s,
		 struct mono_time now);
/* A receipt covers them: stored by the relay. Returns how many of them were in the window. */
size_t flight_acked(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to,
		    struct mono_time now);
/* A receipt has come, and all that it says was told by flight_acked and flight_nack. */
void flight_heard(struct flight *w, struct mono_time now);
/* They are gone from the outbox. Returns how many of them were in the window. */
size_t flight_remove(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to);

size_t flight_rows(const struct flight *w);
size_t flight_bytes(const struct flight *w);
/* Whether it was sent before in this connection. */
bool flight_holds(const struct flight *w, enum uplink_class class, uint64_t seq);
