#include "agent/can/can_interface.h"

#include <linux/can.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Each answer takes the place of the one before it in the union that ifr holds. */
static int ask(int fd, struct ifreq *ifr, struct can_interface *ret)
{
	if (ioctl(fd, SIOCGIFINDEX, ifr) < 0)
		return -errno;
	ret->index = ifr->ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, ifr) < 0)
		return -errno;
	if (ifr->ifr_hwaddr.sa_family != ARPHRD_CAN)
		return -EMEDIUMTYPE;
	if (ioctl(fd, SIOCGIFMTU, ifr) < 0)
		return -errno;
	ret->takes_fd = ifr->ifr_mtu >= (int)CANFD_MTU;
	if (ioctl(fd, SIOCGIFFLAGS, ifr) < 0)
		return -errno;
	return ifr->ifr_flags & IFF_UP ? 0 : -ENETDOWN;
}

int can_interface_find(const char *name, struct can_interface *ret)
{
	struct can_interface found = {0};
	struct ifreq ifr = {0};
	size_t len = strlen(name);
	int fd, r;

	if (len == 0 || len >= sizeof(ifr.ifr_name))
		return -ENODEV;
	/* Any socket does; a kernel without CAN still knows whether the interface is there. */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, name, len);
	r = ask(fd, &ifr, &found);
	(void)close(fd);
	if (r == 0)
		*ret = found;
	return r;
}

const char *can_interface_explain(int error, const char *name, const char *protocol, char *out,
				  size_t size)
{
	switch (error) {
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		(void)snprintf(out, size, "this kernel has no SocketCAN with %s", protocol);
		break;
	case ENODEV:
	case ENXIO:
		(void)snprintf(out, size, "there is no such interface");
		break;
	case EMEDIUMTYPE:
		(void)snprintf(out, size, "the interface is not CAN");
		break;
	case ENETDOWN:
		(void)snprintf(out, size, "the interface is down (ip link set %s up)", name);
		break;
	default:
		(void)snprintf(out, size, "%s", strerror(error));
	}
	return out;
}
