/* agent/diag/session.h: one request and its response on a message socket, by the client's timers of
 * ISO 14229-2 and ISO 15765-2. One request at a time. */
#pragma once

#include "agent/diag/request.h"
#include "base/loop.h"

enum {
	DIAG_PAYLOAD_MAX = 4095, /* ISO 15765-2 without escape */
	DIAG_N_BS_MS = 1000,	 /* the kernel's wait for flow control */
	DIAG_N_CR_MS = 1000,	 /* the kernel's wait for the next frame of a response */
	DIAG_PENDINGS_MAX = 20,	 /* responsePending to one request; then it has failed */
	DIAG_BUSY_REPEATS = 3,	 /* of a request that the ECU was too busy for */
	DIAG_BUSY_WAIT_MS = 200, /* before each */
	DIAG_READS_A_TURN = 32,
	DIAG_LONGER_MAX = 60, /* times N_Cr that a response may take once it has begun */
};

enum diag_end {
	DIAG_END_OK,
	DIAG_END_NEGATIVE,  /* result.nrc */
	DIAG_END_SILENT,    /* no response in time */
	DIAG_END_PENDING,   /* only responsePending, and then nothing, or too often */
	DIAG_END_TRANSPORT, /* result.error; the socket goes on */
	DIAG_END_MALFORMED,
	DIAG_END_TOO_LONG, /* above DIAG_PAYLOAD_MAX */
};

struct diag_result {
	enum diag_end end;
	uint8_t nrc;
	int error;	     /* errno */
	const uint8_t *data; /* DIAG_END_OK: the response; for the call */
	size_t len;
	struct mono_time when; /* it was read */
};

struct diag_fds {
	int main;	/* message socket: requests and responses */
	int functional; /* OBD requests go out on it; -1: all on main */
	int listener;	/* isotp_socket_open_listener; -1: none */
};

#define DIAG_FDS_NONE ((struct diag_fds){-1, -1, -1})

struct diag_session {
	/* Set by the owner; borrowed. Times above 0. */
	struct loop *loop;
	int64_t p2_ns, p2_star_ns; /* ISO 14229-2 §7.2, as the client waits */
	/* Not called from within diag_session_ask. May ask again. */
	void (*ended)(struct diag_session *s, const struct diag_result *r);
	/* A response that nobody asked for, or to another request. */
	void (*stray)(struct diag_session *s, const uint8_t *data, size_t len);
	void (*failed)(struct diag_session *s, int error); /* errno: the socket is of no use */
	void *ctx;

	/* The session's own. */
	struct diag_fds fds; /* -1 once stopped */
	bool active, repeats_next;
	struct diag_request request;
	unsigned pendings, busy, longer;
	struct loop_timer timer;
	uint8_t data[DIAG_PAYLOAD_MAX];
};

void diag_session_start(struct diag_session *s, struct diag_fds fds); /* borrowed */
/* Forgets the sockets; `ended` is not called for what was asked. */
void diag_session_stop(struct diag_session *s);
/* Sends r. Returns 0, and `ended` follows; -errno: it was not sent. */
int diag_session_ask(struct diag_session *s, const struct diag_request *r) must_check;
/* Whether what was asked last went to all ECUs. */
bool diag_session_asked_all(const struct diag_session *s);
void diag_session_readable(struct diag_session *s); /* main has something, or an error */
