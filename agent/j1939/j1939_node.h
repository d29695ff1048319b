/* agent/j1939/j1939_node.h: this end as a node of a J1939 bus: its address, and the PGNs that it
 * asks for (PGN 59904, SAE J1939-21 §5.4.2). For agent/j1939/j1939.c. */
#pragma once

#include "agent/health/limit.h"
#include "agent/j1939/j1939_claim.h"
#include "agent/j1939/j1939_wire.h"
#include "agent/source/poll.h"
#include "agent/source/source.h"

enum { J1939_REQUESTS_MAX = 256, J1939_REQUEST_GAP_MS = 50 };

/* Asks for a PGN. */
struct j1939_request {
	uint32_t pgn;
	uint8_t destination; /* 255: all nodes */
	int64_t period_ns;   /* above 0 */
};

struct j1939_node {
	/* Set by the owner before j1939_node_init; borrowed. */
	const struct source_env *env;
	const char *name;	  /* of the source */
	struct j1939_claim claim; /* address and NAME */
	/* Up to 8 bytes from our address. Returns 0 or -errno. */
	int (*send)(void *ctx, uint32_t pgn, uint8_t destination, const uint8_t *data, size_t len);
	int (*yield)(void *ctx); /* from here on our address is 254. Returns 0 or -errno */
	void *ctx;

	/* The node's own. */
	struct loop_timer timer; /* the wait for objections, or before yielding */
	bool sent;		 /* the claim */
	bool yielding;		 /* the timer is for that */
	bool doubled;		 /* said since the bus was opened */
	struct j1939_request *requests;
	size_t n_requests;
	size_t *asked; /* by item of the poll: which request */
	bool *refused; /* by request: said since the bus was opened */
	struct poll poll;
	struct limit unsent;
};

/* Copies requests. Returns 0; -EINVAL with err: requests without an address, or too many; -ENOMEM.
 */
int j1939_node_init(struct j1939_node *n, const struct j1939_request *requests, size_t n_requests,
		    struct error *err) must_check;
void j1939_node_free(struct j1939_node *n); /* a zeroed one is fine */

/* The bus can be written, or no longer. */
void j1939_node_open(struct j1939_node *n);
void j1939_node_close(struct j1939_node *n);
/* Only what some rule collects is asked for. matches: of the bus; NULL: all. */
void j1939_node_choose(struct j1939_node *n, const struct frame_match *matches, size_t n_matches);
/* Any message of the bus: claims, requests for addresses, refusals. */
void j1939_node_hear(struct j1939_node *n, const struct j1939_received *m);
