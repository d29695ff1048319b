/* agent/publish/window.h: which batches are on their way, and when to send which again.
 *
 * Pure bookkeeping: no clock, no network, no disk, so that tests turn the time. A batch is in the
 * window from its first publish in this connection until its receipt. Meanwhile it is
 *   sent       and waits for a receipt until receipt_timeout, doubling each time, or
 *   deferred   because somebody said no, and is due again after a backoff.
 * Both hold their place: who is refused sends less. A part of the window is kept for the urgent
 * classes (event, live), so that refused bulk does not block them. */
#pragma once

#include "base/timebase.h"
#include "proto/topic.h"

struct window;

struct window_options {
	size_t rows_max;  /* 4 to WINDOW_ROWS_MAX; a quarter is for urgent classes alone */
	size_t bytes_max; /* nothing new is sent above it */
	int64_t receipt_timeout_ns; /* the first one */
	uint64_t seed;		    /* of the jitter */
};

enum { WINDOW_ROWS_MAX = 1024 };

/* Returns 0 or -ENOMEM. */
int window_new(struct window **ret, const struct window_options *opt) must_check;
struct window *window_free(struct window *w);

/* A new connection: nothing is on its way. */
void window_reset(struct window *w);

/* The highest seq of a class that was sent in this connection; 0: none. The next one to send is
 * the first above it. */
uint64_t window_cursor(const struct window *w, enum uplink_class class);
/* Whether something new of that class may be sent. */
bool window_admits(const struct window *w, enum uplink_class class);
/* It was sent, for the first time or again. What is sent first has a seq above the cursor. */
void window_sent(struct window *w, enum uplink_class class, uint64_t seq, size_t bytes,
		 struct mono_time now);

struct window_id {
	enum uplink_class class;
	uint64_t seq;
};

/* The one to send again now: most urgent class first. False: none. */
bool window_due(const struct window *w, struct mono_time now, struct window_id *ret);
/* When one will be due; false: the window is empty. */
bool window_next_due(const struct window *w, struct mono_time *ret);

/* The broker's answer. reason: 0 it has it (wait for the receipt), 0x10 or >= 0x80: nobody stored
 * it, send it again later. */
void window_puback(struct window *w, enum uplink_class class, uint64_t seq, int reason,
		   struct mono_time now);
/* The relay said: not now. Later than retry_after_s, and later each time. */
void window_nack(struct window *w, enum uplink_class class, uint64_t seq, uint32_t retry_after_s,
		 struct mono_time now);
/* They are done: stored by the relay, or gone. Returns how many of them were in the window. */
size_t window_remove(struct window *w, enum uplink_class class, uint64_t from, uint64_t to);

size_t window_rows(const struct window *w);
size_t window_bytes(const struct window *w);
/* Whether it was sent before in this connection. */
bool window_holds(const struct window *w, enum uplink_class class, uint64_t seq);
