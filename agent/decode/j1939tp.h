/* agent/decode/j1939tp.h: payloads of 9 to 1785 bytes spread over J1939 frames, listened to
 * (SAE J1939-21 §5.10: TP.CM, PGN 60416, and TP.DT, PGN 60160).
 *
 * Passive: it answers nothing, so it hears the sessions of any two nodes (RTS/CTS) and broadcasts
 * (BAM) alike. A session is (bus, source, destination): a node has one broadcast and one session
 * with each other node at a time (§5.10.5.3). Their number is bounded; all memory is taken at
 * j1939tp_new. The extended protocol (ETP, above 1785 bytes) is not understood: its frames have
 * other PGNs and pass by. */
#pragma once

#include "agent/source/frame.h"

enum {
	J1939TP_BYTES_MIN = 9, /* less is a single frame */
	J1939TP_BYTES_MAX = 1785,
	J1939TP_SESSIONS = 32, /* the default; a slot takes about 1.9 KB */
	/* Longest waits (§5.10.2.4), by the frames' times. */
	J1939TP_T1_MS = 750,  /* between two data packets */
	J1939TP_T2_MS = 1250, /* T2 and T3: for the first data packet, for the other side */
};

/* Outcomes of j1939tp_frame. */
enum {
	J1939TP_TAKEN = 1, /* part of a session that is wanted; nothing complete */
	J1939TP_DONE = 2,  /* a payload is complete */
};

enum { J1939TP_NONE = UINT32_MAX };

struct j1939tp_config {
	size_t sessions; /* 0: J1939TP_SESSIONS */
	/* The caller's number of what a session is going to carry, or J1939TP_NONE: not wanted, so
	 * it takes no room. id is that of a single frame with the session's PGN and addresses, and
	 * the priority of its first frame. */
	uint32_t (*find)(void *ctx, uint16_t bus, uint32_t id);
	void *ctx;
};

/* Grow only; of wanted sessions, but malformed and stray. */
struct j1939tp_counters {
	uint64_t payloads;    /* completed */
	uint64_t timeouts;    /* T1, T2 or T3 passed */
	uint64_t sequence;    /* a broadcast with a packet missing */
	uint64_t incomplete;  /* acknowledged by the receiver, but not all packets were seen */
	uint64_t interrupted; /* the source began another one before the last ended */
	uint64_t aborted;     /* by either node */
	uint64_t evicted;     /* more sessions at a time than there are slots */
	uint64_t malformed;   /* impossible sizes, packet numbers, addresses, controls */
	uint64_t stray;	      /* data packets of no session that is known, or not wanted */
	uint64_t repeated;    /* data packets that were there already; not a failure */
};

struct j1939tp_message {
	uint32_t number;     /* what find said */
	uint32_t id;	     /* what find was asked */
	const uint8_t *data; /* borrowed until the next j1939tp_frame; NULL unless complete */
	size_t len;
};

struct j1939tp;
/* Returns 0 or -ENOMEM. config is copied. */
int j1939tp_new(struct j1939tp **ret, const struct j1939tp_config *config) must_check;
struct j1939tp *j1939tp_free(struct j1939tp *t); /* NULL is fine; always returns NULL */

/* Whether a 29-bit identifier is TP.CM or TP.DT. */
static inline bool j1939tp_is(uint32_t id)
{
	return (id >> 16 & 0x3FF) - 0xEB <= 1; /* two neighbours: one comparison */
}

/* Takes a frame for which j1939tp_is; bus is any number. Time may be any clock, and a jump back by
 * more than the wait (a log that starts over) is a timeout. Returns J1939TP_DONE or J1939TP_TAKEN
 * with *ret; 0 with *ret untouched: of no wanted session. */
int j1939tp_frame(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret) must_check;

const struct j1939tp_counters *j1939tp_counters(const struct j1939tp *t);
/* All that were given up, and what is malformed: what the agent counts as j1939_errors. */
uint64_t j1939tp_errors(const struct j1939tp_counters *c);
