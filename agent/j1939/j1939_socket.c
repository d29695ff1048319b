#include "agent/j1939/j1939_socket.h"

#include <linux/can/raw.h>
#include <linux/net_tstamp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SOCKET_BYTES = 1 << 20,
	SEND_BYTES =
		4096, /* few requests: those of a bus that is asleep are not to wake it as one */
};

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

int j1939_socket_probe(void)
{
	int fd = socket(PF_CAN, SOCK_DGRAM | SOCK_CLOEXEC, CAN_J1939);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

int j1939_socket_filter(int fd, const struct j1939_filter *filters, size_t n)
{
	return result(setsockopt(fd, SOL_CAN_J1939, SO_J1939_FILTER, n ? filters : NULL,
				 (socklen_t)(n * sizeof(*filters))));
}

int j1939_socket_bind(int fd, int ifindex, uint64_t name, uint8_t address)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};

	addr.can_addr.j1939.name = name;
	addr.can_addr.j1939.pgn = J1939_NO_PGN;
	addr.can_addr.j1939.addr = address;
	return result(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)));
}

static int set_options(int fd, const struct j1939_socket_options *opt)
{
	/* Received sessions are told of only with the first, of what only with the second, and
	 * which number they have only with the third. */
	const int stamping =
		SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID;
	const int one = 1, bytes = SOCKET_BYTES, send_bytes = SEND_BYTES;

	if (setsockopt(fd, SOL_CAN_J1939, SO_J1939_PROMISC, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_CAN_J1939, SO_J1939_ERRQUEUE, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamping, sizeof(stamping)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one)) < 0)
		return -errno;
	/* Bounded by net.core.rmem_max; whatever it gives is fine. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
	return j1939_socket_filter(fd, opt->filters, opt->n_filters);
}

int j1939_socket_open(int ifindex, const struct j1939_socket_options *opt)
{
	uint8_t address = opt->address == J1939_ADDRESS_NONE ? J1939_ADDRESS_ALL : opt->address;
	int fd = socket(PF_CAN, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_J1939);
	int r;

	if (fd < 0)
		return -errno;
	r = set_options(fd, opt);
	if (r == 0)
		r = j1939_socket_bind(fd, ifindex, opt->name, address);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

int j1939_socket_send(int fd, uint32_t pgn, uint8_t destination, const uint8_t *data, size_t len)
{
	struct sockaddr_can addr = {.can_family = AF_CAN};

	addr.can_addr.j1939.name = J1939_NO_NAME;
	addr.can_addr.j1939.pgn = pgn;
	addr.can_addr.j1939.addr = destination;
	return result((int)sendto(fd, data, len, MSG_DONTWAIT, (const struct sockaddr *)&addr,
				  sizeof(addr)));
}

int j1939_socket_receive(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	int r = recvmmsg(fd, m, n, flags | MSG_DONTWAIT, NULL);

	return r < 0 ? -errno : r;
}

int j1939_raw_open(int ifindex)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
	int r;

	if (fd < 0)
		return -errno;
	r = result(setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FILTER, NULL, 0));
	if (r == 0)
		r = result(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)));
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

int j1939_raw_send(int fd, uint32_t id, const uint8_t *data, size_t len)
{
	struct can_frame f = {.can_id = id | CAN_EFF_FLAG};

	assert(len <= sizeof(f.data));
	f.len = (uint8_t)len;
	memcpy(f.data, data, len);
	return result((int)send(fd, &f, sizeof(f), MSG_DONTWAIT));
}
