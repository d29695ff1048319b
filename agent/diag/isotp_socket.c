#include "agent/diag/isotp_socket.h"

#include <linux/can.h>
#include <linux/can/isotp.h>
#include <linux/can/raw.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FD_BYTES = 64,
	LISTENER_BYTES = 4096, /* a few frames; what does not fit is not missed */
	DRAIN_MAX = 4096,      /* frames; a queue of the least size holds far fewer */
};

static canid_t can_id(uint32_t id, bool extended)
{
	return extended ? id | CAN_EFF_FLAG : id;
}

static int set_options(int fd, const struct isotp_socket_options *opt, uint32_t flags)
{
	const struct can_isotp_options o = {
		.flags = flags | (opt->pads ? (uint32_t)CAN_ISOTP_TX_PADDING : 0),
		.txpad_content = opt->padding,
	};
	const struct can_isotp_fc_options fc = {.bs = opt->block_size, .stmin = opt->st_min};
	const struct can_isotp_ll_options ll = {.mtu = CANFD_MTU, .tx_dl = FD_BYTES};

	if (setsockopt(fd, SOL_CAN_ISOTP, CAN_ISOTP_OPTS, &o, sizeof(o)) < 0 ||
	    setsockopt(fd, SOL_CAN_ISOTP, CAN_ISOTP_RECV_FC, &fc, sizeof(fc)) < 0)
		return -errno;
	if (opt->fd && setsockopt(fd, SOL_CAN_ISOTP, CAN_ISOTP_LL_OPTS, &ll, sizeof(ll)) < 0)
		return -errno;
	return 0;
}

static int open_bound(const struct sockaddr_can *addr, const struct isotp_socket_options *opt,
		      uint32_t flags)
{
	int fd = socket(PF_CAN, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_ISOTP);
	int r;

	if (fd < 0)
		return -errno;
	r = set_options(fd, opt, flags);
	if (r == 0 && bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		r = -errno;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

int isotp_socket_open(int ifindex, const struct isotp_socket_options *opt)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};

	addr.can_addr.tp.tx_id = can_id(opt->request, opt->extended);
	addr.can_addr.tp.rx_id = can_id(opt->response, opt->extended);
	return open_bound(&addr, opt, 0);
}

int isotp_socket_open_functional(int ifindex, uint32_t id, const struct isotp_socket_options *opt)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};

	addr.can_addr.tp.tx_id = can_id(id, opt->extended);
	return open_bound(&addr, opt, CAN_ISOTP_SF_BROADCAST);
}

static int listener_options(int fd, const struct isotp_socket_options *opt)
{
	const canid_t flags = CAN_EFF_FLAG | CAN_RTR_FLAG;
	const struct can_filter filter = {
		.can_id = can_id(opt->response, opt->extended),
		.can_mask = flags | (opt->extended ? CAN_EFF_MASK : CAN_SFF_MASK),
	};
	const int one = 1, bytes = LISTENER_BYTES;

	if (setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0)
		return -errno;
	return 0;
}

int isotp_socket_open_listener(int ifindex, const struct isotp_socket_options *opt)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
	int r;

	if (fd < 0)
		return -errno;
	r = listener_options(fd, opt);
	if (r == 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

bool isotp_socket_heard(int listener)
{
	struct canfd_frame f;
	bool any = false;

	for (int i = 0; i < DRAIN_MAX; i++) {
		if (recv(listener, &f, sizeof(f), MSG_DONTWAIT) <= 0)
			break;
		any = true;
	}
	return any;
}

const char *isotp_socket_error(int error)
{
	switch (error) {
	case ECOMM:
		return "no flow control from the ECU, or nobody acknowledged a frame";
	case ETIMEDOUT:
		return "the response broke off: no further frame in time";
	case EILSEQ:
		return "wrong sequence number in the response: a frame is missing or out of order";
	case EBADMSG:
		return "a frame of the response is malformed";
	case EMSGSIZE:
		return "the request is longer than the ECU takes";
	case EAGAIN:
		return "the last request is still being sent";
	case ENOBUFS:
		return "the interface's queue is full: nobody acknowledges frames, or the bus is "
		       "busy";
	default:
		return NULL;
	}
}

bool isotp_socket_error_passes(int error)
{
	return isotp_socket_error(error) != NULL;
}
