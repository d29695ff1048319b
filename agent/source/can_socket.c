#include "agent/source/can_socket.h"

#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Some 5,500 frames as the kernel counts them: most of a second of a full bus of 1 Mbit/s. Memory
 * is used only while the agent is late. */
enum { SOCKET_BYTES = 4 << 20 };

_Static_assert(CAN_FILTERS_MAX == CAN_RAW_FILTER_MAX, "as many as the kernel takes");

/* ---- hardware times ---- */

static int interface_ioctl(int fd, const char *interface, unsigned long request, void *data)
{
	struct ifreq ifr = {.ifr_data = data};
	size_t len = strlen(interface);

	if (len >= sizeof(ifr.ifr_name))
		return -ENODEV;
	memcpy(ifr.ifr_name, interface, len);
	return ioctl(fd, request, &ifr) < 0 ? -errno : 0;
}

static bool stamps_in_hardware(int fd, const char *interface)
{
	const uint32_t needed = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
	struct ethtool_ts_info info = {.cmd = ETHTOOL_GET_TS_INFO};

	return interface_ioctl(fd, interface, SIOCETHTOOL, &info) == 0 &&
	       (info.so_timestamping & needed) == needed;
}

/* Most CAN drivers stamp every frame and take no setting but that: it is asked for only where it is
 * not so already. Some want the stamps of sent frames on along with it. */
static int switch_on(int fd, const char *interface)
{
	struct hwtstamp_config config = {0};
	int r = interface_ioctl(fd, interface, SIOCGHWTSTAMP, &config);

	if (r == 0 && config.rx_filter == HWTSTAMP_FILTER_ALL)
		return 0;
	config = (struct hwtstamp_config){.rx_filter = HWTSTAMP_FILTER_ALL};
	r = interface_ioctl(fd, interface, SIOCSHWTSTAMP, &config);
	if (r == -ERANGE) {
		config = (struct hwtstamp_config){.tx_type = HWTSTAMP_TX_ON,
						  .rx_filter = HWTSTAMP_FILTER_ALL};
		r = interface_ioctl(fd, interface, SIOCSHWTSTAMP, &config);
	}
	return r == -EOPNOTSUPP ? 0 : r; /* nothing to set: it always stamps */
}

static enum can_times choose_times(int fd, const char *interface)
{
	const int flags = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE |
			  SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
	int r;

	if (!stamps_in_hardware(fd, interface))
		return CAN_TIMES_KERNEL;
	r = switch_on(fd, interface);
	if (r == -EPERM)
		return CAN_TIMES_HARDWARE_REFUSED;
	if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)) == 0)
		return CAN_TIMES_HARDWARE;
	return CAN_TIMES_KERNEL;
}

/* ---- options ---- */

int can_socket_filter(int fd, const struct can_filters *filters)
{
	socklen_t size = (socklen_t)(filters->n * sizeof(filters->filters[0]));

	return setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FILTER, filters->n ? filters->filters : NULL,
			  size) < 0
		       ? -errno
		       : 0;
}

int can_socket_lost(int fd, uint32_t *ret)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t size = sizeof(memory);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) < 0)
		return -errno;
	*ret = memory[SK_MEMINFO_DROPS];
	return 0;
}

static int set_options(int fd)
{
	const can_err_mask_t errors = CAN_ERR_MASK;
	const int one = 1, bytes = SOCKET_BYTES / 2; /* the kernel doubles it */

	if (setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_CAN_RAW, CAN_RAW_ERR_FILTER, &errors, sizeof(errors)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one)) < 0)
		return -errno;
	/* Without CAP_NET_ADMIN up to net.core.rmem_max; whatever it gives is fine. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return 0;
}

static int set_times(int fd, const char *interface, bool hardware, enum can_times *ret)
{
	const int one = 1;

	*ret = hardware ? choose_times(fd, interface) : CAN_TIMES_KERNEL;
	if (*ret == CAN_TIMES_HARDWARE)
		return 0;
	return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0 ? -errno : 0;
}

static int set_up(int fd, int ifindex, const char *interface, const struct can_filters *filters,
		  bool hardware, enum can_times *ret_times)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};
	int r = set_options(fd);

	if (r == 0)
		r = can_socket_filter(fd, filters);
	if (r == 0)
		r = set_times(fd, interface, hardware, ret_times);
	if (r == 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	return r;
}

int can_socket_open(int ifindex, const char *interface, const struct can_filters *filters,
		    bool hardware, enum can_times *ret_times)
{
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
	int r;

	if (fd < 0)
		return -errno;
	r = set_up(fd, ifindex, interface, filters, hardware, ret_times);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

const char *can_times_name(enum can_times times)
{
	switch (times) {
	case CAN_TIMES_HARDWARE:
		return "hardware";
	case CAN_TIMES_HARDWARE_REFUSED:
		return "kernel (hardware needs CAP_NET_ADMIN)";
	case CAN_TIMES_KERNEL:
	default:
		return "kernel";
	}
}
