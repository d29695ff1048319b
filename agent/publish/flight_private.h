/* agent/publish/flight_private.h: the rows of the window, found by class and seq. */
#pragma once

#include "agent/publish/flight.h"

enum { FLIGHT_BUCKETS = 1024, FLIGHT_NOBODY = 0xffff };

struct entry {
	uint64_t seq, through;
	size_t bytes;
	struct mono_time due;
	uint64_t first, last; /* turns: of its first and its latest publish */
	struct mono_time puback_at;
	struct window_mark mark; /* of its latest publish */
	uint16_t next;		 /* in its bucket; FLIGHT_NOBODY: the last one */
	uint8_t lane;
	uint32_t context;
	unsigned sent;	  /* times without an answer */
	unsigned refused; /* times in a row */
	unsigned fast;	  /* times that it was overtaken */
	bool deferred;	  /* due is a backoff; else a receipt may still come */
	bool on_wire;	  /* no PUBACK yet */
	bool with_broker; /* PUBACK: the receipt cannot come before it */
	bool overtaken;
};

struct flight {
	struct flight_options opt;
	struct window window;
	uint64_t random;
	uint64_t cursor[LANES];
	uint64_t last[CLASS_COUNT]; /* of the backlog */
	struct mono_time in_time;   /* when live data was not behind; 0: not known */
	size_t bytes, wire, urgent, urgent_wire;
	size_t n, urgent_rows;
	struct entry *entries; /* rows_max; in no order */
	uint16_t buckets[FLIGHT_BUCKETS];
	int64_t earliest_ns; /* no entry is due before it */

	uint64_t turn;	   /* publishes */
	uint64_t answered; /* latest first publish of whatever was answered */
	int64_t lag_ns;	   /* from PUBACK to receipt, as it was lately */
	bool heard;	   /* there was a receipt in this connection */
	unsigned probes;   /* in a row without a receipt; above 0: silence */
	struct mono_time probe_due;
	size_t acked_rows, acked_bytes; /* by the receipt that is being told */
};

static inline enum uplink_class flight_class_of(const struct entry *e)
{
	return lane_class(e->lane);
}

static inline bool flight_is_urgent(enum uplink_class class)
{
	return class <= CLASS_LIVE;
}

/* ---- flight_table.c ---- */
void flight_forget_all(struct flight *w);
struct entry *flight_find(const struct flight *w, enum uplink_class class, uint64_t seq);
/* There is room, and it is not there yet. */
struct entry *flight_add(struct flight *w, const struct flight_row *row);
/* Moves the last entry to its place. */
void flight_drop(struct flight *w, struct entry *e);
/* Keep the sums; on_wire after bytes, and off before another number of them. */
void flight_set_bytes(struct flight *w, struct entry *e, size_t bytes);
void flight_set_on_wire(struct flight *w, struct entry *e, bool on_wire);
