/* agent/publish/flight.h: which rows are on their way, and when to send which again.
 *
 * Pure bookkeeping: no clock, no network, no disk, so that tests turn the time. A row is in the
 * window from its first publish in this connection until its receipt. Meanwhile it is
 *   on the wire  until its PUBACK: no use in another copy, the connection delivers it or ends,
 *   waiting      for a receipt, until receipt_timeout, doubling each time,
 *   deferred     because somebody said no, and is due again after a backoff, or
 *   overtaken    because what was sent after it has its receipt: lost on the way, and due again
 *                after one to two seconds, three times at most before it waits for its timeout.
 * All hold their place: who is refused sends less. A part of the window is kept for the urgent
 * classes (event, live), so that refused bulk does not block them. How large it is, window.h says.
 *
 * Receipts that come late lengthen these times (to a half of receipt_timeout at most), so that a
 * relay that is behind does not get everything twice.
 *
 * A silence: the broker has taken rows, but no receipt comes for a quarter of receipt_timeout. As a
 * PUBACK does not say whether anybody listens, they may be lost, all of them. Instead of all, one
 * row is sent again then, the oldest of the most urgent class, each half of receipt_timeout. The
 * first receipt ends it, and what it leaves counts as overtaken. In a silence, and until the first
 * receipt of a connection, only a quarter of the first window is used, by urgent classes half. */
#pragma once

#include "agent/publish/schedule.h"
#include "agent/publish/window.h"
#include "base/timebase.h"

struct flight;

struct flight_options {
	size_t rows_max;  /* WINDOW_ROWS_MIN to FLIGHT_ROWS_MAX; a quarter is for urgent alone */
	size_t bytes_max; /* likewise; nothing new is sent above it */
	int64_t receipt_timeout_ns; /* the first one */
	uint64_t seed;		    /* of the jitter */
};

enum { FLIGHT_ROWS_MAX = 1024 };

/* Returns 0 or -ENOMEM. */
int flight_new(struct flight **ret, const struct flight_options *opt) must_check;
struct flight *flight_free(struct flight *w);

/* A new connection: nothing is on its way. last: a class's last seq; what comes after it is fresh.
 */
void flight_reset(struct flight *w, const uint64_t last[static CLASS_COUNT]);
/* What is not sent yet up to last is backlog too. */
void flight_settle(struct flight *w, const uint64_t last[static CLASS_COUNT]);

/* Live data that has been behind for a minute: what waits becomes backlog, but for the newest row,
 * so that the relay sees what is, and then what was. last: the class's last seq. To be called now
 * and then. Returns whether it did. Each time leaves a hole in the relay's window until the backlog
 * is through, so it is not done more often. */
bool flight_freshen(struct flight *w, uint64_t last, struct mono_time now);
/* The class has nothing to send that its lanes know of: they begin anew with the oldest row, and
 * what is in the window is passed. */
void flight_sweep(struct flight *w, enum uplink_class class);

/* A lane sends the first row with a seq above from, and up to to, if it is not in the window:
 * then flight_pass. */
struct flight_span {
	uint64_t from, to;
};
struct flight_span flight_span(const struct flight *w, unsigned lane);
void flight_pass(struct flight *w, unsigned lane, uint64_t seq);
/* A row has appeared where rows were sent before: its lane goes back to it. */
void flight_rewind(struct flight *w, enum uplink_class class, uint64_t seq);

/* Whether something new of that class may be sent. */
bool flight_admits(const struct flight *w, enum uplink_class class);
/* Whether there is room on the wire, for something new or again. */
bool flight_wire_admits(const struct flight *w, enum uplink_class class, struct mono_time now);

struct flight_row {
	unsigned lane;
	uint64_t seq;
	uint64_t through; /* seq, or the last one that a gap stands for */
	size_t bytes;
	uint32_t context; /* it was sent short under that one (proto/context.h); 0: whole */
};
/* It was sent, for the first time or again. */
void flight_sent(struct flight *w, const struct flight_row *row, struct mono_time now);

/* Those to send again now: bit 1 << lane, and the lowest seq of each such lane. None of a class
 * that finds no room on the wire: it has to wait for a PUBACK. */
unsigned flight_due(struct flight *w, struct mono_time now, uint64_t ret_seqs[static LANES]);
/* When one will be due; false: none waits for a time. After all that are due now were sent it is
 * in the future. */
bool flight_next_due(const struct flight *w, struct mono_time now, struct mono_time *ret);

/* The broker's answer. reason: 0 it has it (wait for the receipt), 0x10 or >= 0x80: nobody stored
 * it, send it again later. */
void flight_puback(struct flight *w, enum uplink_class class, uint64_t seq, int reason,
		   struct mono_time now);
/* The relay said: not now. Later than retry_after_s (of which a day counts), and later each time.
 */
void flight_nack(struct flight *w, enum uplink_class class, uint64_t seq, uint32_t retry_after_s,
		 struct mono_time now);
/* Another row has taken its place in the outbox: due at once, if it is in the window. */
void flight_replaced(struct flight *w, enum uplink_class class, uint64_t seq, struct mono_time now);
/* The relay does not know that context, so it could not read what was sent under it: due at once.
 * Returns the number of rows. */
size_t flight_unread(struct flight *w, enum uplink_class class, uint32_t context,
		     struct mono_time now);
/* A receipt covers them: stored by the relay. A gap of which only a part is in the range stays.
 * Returns how many of them were in the window. */
size_t flight_acked(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to,
		    struct mono_time now);
/* A receipt has come, and all that it says was told by flight_acked and flight_nack. Returns
 * whether it ended a silence. */
bool flight_heard(struct flight *w, struct mono_time now);
/* They are gone from the outbox. Returns how many of them were in the window. */
size_t flight_remove(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to);

size_t flight_rows(const struct flight *w);
size_t flight_bytes(const struct flight *w);
size_t flight_wire(const struct flight *w); /* bytes without PUBACK */
/* Whether it was sent before in this connection. */
bool flight_holds(const struct flight *w, enum uplink_class class, uint64_t seq);
const struct window *flight_window(const struct flight *w);
