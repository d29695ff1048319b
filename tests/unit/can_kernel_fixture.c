#include "tests/unit/can_kernel_fixture.h"

#include <check.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct counters counters;
struct can_watch *watch;
int kernel = -1;
int n_opened, open_error;

static int open_pair(void *ctx)
{
	int fds[2];

	(void)ctx;
	n_opened++;
	if (open_error)
		return -open_error;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	kernel = fds[1];
	return fds[0];
}

void watch_up(void)
{
	const struct can_watch_kernel fake_kernel = {.open = open_pair};

	set_up();
	memset(&counters, 0, sizeof(counters));
	n_opened = open_error = 0;
	ck_assert_int_eq(can_watch_new(&watch, l, &counters, &fake_kernel), 0);
}

void watch_down(void)
{
	watch = can_watch_free(watch);
	if (kernel >= 0)
		close(kernel);
	kernel = -1;
	tear_down();
}

/* ---- a kernel ---- */

static uint8_t message[512] __attribute__((aligned(8)));
static size_t message_len;

static size_t put(uint16_t type, const void *data, size_t len)
{
	struct rtattr a = {(unsigned short)(sizeof(a) + len), type};
	size_t at = message_len;

	memcpy(message + at, &a, sizeof(a));
	if (len)
		memcpy(message + at + sizeof(a), data, len);
	message_len += RTA_ALIGN(a.rta_len);
	return at;
}

static void end_nest(size_t at)
{
	struct rtattr a;

	memcpy(&a, message + at, sizeof(a));
	a.rta_len = (unsigned short)(message_len - at);
	memcpy(message + at, &a, sizeof(a));
}

static void put_can(int state, const struct can_device_stats *stats)
{
	const uint32_t can_state = (uint32_t)state;
	size_t info = put(IFLA_LINKINFO, NULL, 0), data;

	put(IFLA_INFO_KIND, "can", 4);
	if (stats)
		put(IFLA_INFO_XSTATS, stats, sizeof(*stats));
	data = put(IFLA_INFO_DATA, NULL, 0);
	put(IFLA_CAN_STATE, &can_state, sizeof(can_state));
	end_nest(data);
	end_nest(info);
}

void say(uint16_t type, const char *name, int index, int state,
	 const struct can_device_stats *stats)
{
	struct ifinfomsg i = {
		.ifi_type = ARPHRD_CAN, .ifi_index = index, .ifi_flags = state >= 0 ? IFF_UP : 0};
	struct nlmsghdr h = {.nlmsg_type = type};

	memset(message, 0, sizeof(message));
	message_len = sizeof(h) + sizeof(i);
	memcpy(message + sizeof(h), &i, sizeof(i));
	put(IFLA_IFNAME, name, strlen(name) + 1);
	put_can(state >= 0 ? state : CAN_STATE_STOPPED, stats);
	h.nlmsg_len = (uint32_t)message_len;
	memcpy(message, &h, sizeof(h));
	ck_assert_int_eq(send(kernel, message, message_len, 0), (ssize_t)message_len);
	turn();
}

void is(const char *name, int state)
{
	say(RTM_NEWLINK, name, 3, state, NULL);
}

void say_error(uint32_t seq, int error)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} m = {{sizeof(m), NLMSG_ERROR, 0, seq, 0}, {.error = -error}};

	ck_assert_int_eq(send(kernel, &m, sizeof(m), 0), sizeof(m));
	turn();
}

const char *asked(void)
{
	static char name[IFNAMSIZ];
	char q[512];
	ssize_t n = recv(kernel, q, sizeof(q), 0);

	name[0] = '\0';
	if (n > 0)
		snprintf(name, sizeof(name), "%.*s", IFNAMSIZ - 1,
			 q + sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg) +
				 sizeof(struct rtattr));
	return name;
}
