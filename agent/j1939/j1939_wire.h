/* agent/j1939/j1939_wire.h: what the kernel's J1939 sockets hand over and take
 * (Documentation/networking/j1939.rst), as payloads of ours. Pure. */
#pragma once

#include "agent/source/can_stamp.h"
#include "agent/source/frame.h"

#include <linux/can.h>
#include <linux/can/j1939.h>

struct msghdr;

enum {
	J1939_PGN_ACK = 0xE800,	   /* acknowledgement, SAE J1939-21 §5.4.4 */
	J1939_PAYLOAD_MAX = 1785,  /* longer ones (ETP) are refused */
	J1939_ADDRESS_NONE = 0xFE, /* listens only */
	J1939_ADDRESS_ALL = 0xFF,
};

struct j1939_received {
	uint32_t pgn; /* 18 bits; PDU1: without the destination */
	uint8_t source, destination, priority;
	const uint8_t *data; /* in the message's buffer */
	size_t len;
	struct can_stamps stamps;
	bool has_overflow;
	uint32_t overflow; /* payloads that the socket's buffer had no room for, so far */
};

/* Of a message of len bytes that recvmsg gave; one buffer. Returns 0; -EMSGSIZE: longer than its
 * buffer; -EBADMSG: no address of a J1939 node. ret->has_overflow and ret->overflow are set in any
 * case. */
int j1939_read(struct msghdr *m, size_t len, struct j1939_received *ret) must_check;
/* id is that of a single frame with these addresses. */
struct payload j1939_payload(const struct j1939_received *m, uint16_t bus, int64_t t_ns);
/* At most 8 bytes, as one frame. */
struct frame j1939_frame(const struct j1939_received *m, uint16_t bus, int64_t t_ns);

/* What the kernel tells of a transport session (SO_J1939_ERRQUEUE). Of which PGN and node it is
 * comes with its beginning only (J1939_EE_INFO_RX_RTS). */
struct j1939_notice {
	unsigned info; /* J1939_EE_INFO_* */
	int error;     /* errno, above 0; 0: none */
	uint32_t key;  /* the session's number, of those received */
	bool has_pgn;
	uint32_t pgn;
	uint8_t source;
};

/* Of a message of the error queue. Returns 0, or -EBADMSG: it says nothing. */
int j1939_notice_read(struct msghdr *m, struct j1939_notice *ret) must_check;
/* What the errno of a failed session means for a person. */
const char *j1939_failure_text(int error);

enum { J1939_FILTERS_MAX = J1939_FILTER_MAX };

/* The kernel's filters for what is wanted: matches of 11-bit identifiers are passed over, equal
 * ones are one. Returns how many were written, at least 1 (one that nothing matches), or 0: more
 * than J1939_FILTERS_MAX, so that none is to be set. */
size_t j1939_filters(const struct frame_match *matches, size_t n, struct j1939_filter *out);

/* SAE J1939-21 §5.4.2 and SAE J1939-81 §4.2.2. */
enum { J1939_REQUEST_BYTES = 3, J1939_NAME_BYTES = 8 };
void j1939_put_pgn(uint8_t *out, uint32_t pgn);
uint32_t j1939_get_pgn(const uint8_t *in);
void j1939_put_name(uint8_t *out, uint64_t name);
uint64_t j1939_get_name(const uint8_t *in);
