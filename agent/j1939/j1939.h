/* agent/j1939/j1939.h: a J1939 bus through the kernel's transport protocol (CAN_J1939), and
 * requests for what is sent only when asked.
 *
 * Broadcasts (BAM) and sessions with our own address come as whole payloads; single frames go the
 * way of raw ones, and so do sessions of other nodes, whose frames the kernel leaves alone
 * (agent/decode/j1939tp.h). A kernel without CAN_J1939: a socketcan source takes its place, and
 * everything is put together by the decoder; requests go out all the same, but nobody answers a
 * session that is opened to us. */
#pragma once

#include "agent/j1939/j1939_node.h"
#include "agent/j1939/j1939_socket.h"
#include "agent/source/socketcan.h"

enum j1939_protocol { J1939_AUTO, J1939_KERNEL, J1939_RAW };

/* What of the kernel a test may stand in for; see j1939_socket.h and can_port.h. */
struct j1939_kernel {
	int (*probe)(void);
	int (*open)(int ifindex, const struct j1939_socket_options *opt);
	int (*filter)(int fd, const struct j1939_filter *filters, size_t n);
	int (*bind)(int fd, int ifindex, uint64_t name, uint8_t address);
	int (*send)(int fd, uint32_t pgn, uint8_t destination, const uint8_t *data, size_t len);
	int (*receive)(int fd, struct mmsghdr *m, unsigned n, int flags);
	int (*raw_open)(int ifindex);
	int (*raw_send)(int fd, uint32_t id, const uint8_t *data, size_t len);
	int (*find)(const char *interface, struct can_interface *ret);
};

struct j1939_options {
	/* The interface and the bus; and for a socketcan source in place of this one, the rest. */
	struct socketcan_options can;
	enum j1939_protocol protocol;
	uint8_t address; /* own; 254: none, listens only */
	uint64_t name;	 /* with which it is claimed; 0: it is fixed. The kernel's J1939 only */
	const struct j1939_request *requests;
	size_t n_requests;
	const struct j1939_kernel *kernel; /* NULL: the real one; borrowed */
};

/* Texts and requests are copied. Returns 0; -EINVAL with err: the bus is not in the catalog, no
 * name for an interface, requests without an own address, too many; -ENOMEM. It opens with the
 * loop. */
int j1939_new(struct source **ret, const struct source_env *env, const char *name,
	      const struct j1939_options *opt, struct error *err) must_check;
