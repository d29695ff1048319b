#include "agent/can/can_link.h"

#include "agent/can/can_link_msg.h"
#include "agent/can/can_link_plan.h"
#include "proto/bus_status.h"

#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_BYTES = 32 << 10 }; /* an interface's description is 2 to 4 KiB */

/* A question and its answer. */
struct talk {
	int fd;
	uint32_t seq;
	struct can_link_msg msg;
	uint64_t request[CAN_LINK_REQUEST_MAX / 8];
	uint64_t answer[ANSWER_BYTES / 8];
};

static void talk_close(struct talk *t)
{
	if (t->fd >= 0)
		(void)close(t->fd);
}

static int talk_open(struct talk *t)
{
	const int one = 1;

	t->seq = 0;
	t->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (t->fd < 0)
		return -errno;
	/* Older kernels do without: then there are no words, only numbers. */
	(void)setsockopt(t->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)setsockopt(t->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return 0;
}

/* The kernel answers within the call that sends, so that nothing here waits: an answer that is not
 * there will not come. */
static int talk_ask(struct talk *t, size_t len)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n =
		sendto(t->fd, t->request, len, 0, (const struct sockaddr *)&kernel, sizeof(kernel));

	if (n < 0)
		return -errno;
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t from_len = sizeof(from);

		n = recvfrom(t->fd, t->answer, sizeof(t->answer), MSG_DONTWAIT,
			     (struct sockaddr *)&from, &from_len);
		if (n < 0)
			return errno == EAGAIN ? -EIO : -errno;
		if (from.nl_pid == 0 && can_link_msg_take(t->answer, (size_t)n, &t->msg) > 0 &&
		    t->msg.seq == t->seq && t->msg.type != CAN_LINK_MSG_OTHER)
			return t->msg.type == CAN_LINK_MSG_ANSWER ? t->msg.error : 0;
	}
}

static int talk_read(struct talk *t, const char *interface, struct can_link_state *ret)
{
	int r = talk_ask(t, can_link_msg_get(t->request, ++t->seq, interface));

	if (r < 0)
		return r;
	if (t->msg.type != CAN_LINK_MSG_LINK)
		return -EIO;
	if (!t->msg.is_can)
		return -EMEDIUMTYPE;
	*ret = t->msg.state;
	return 0;
}

int can_link_read(const char *interface, struct can_link_state *ret)
{
	struct talk t cleanup(talk_close);
	int r = talk_open(&t);

	if (r == 0 && strlen(interface) >= IFNAMSIZ)
		r = -ENODEV;
	return r < 0 ? r : talk_read(&t, interface, ret);
}

/* A restart time that is so already is not sent: kernels of late 2025 refuse even 0 where the
 * driver cannot restart. */
static int set(struct talk *t, const struct can_link_state *now, const struct can_link_settings *s)
{
	struct can_link_settings want = *s;
	bool restart;
	int r;

	want.restart_ms = can_link_restart_ms(now, s);
	restart = want.restart_ms != now->restart_ms;
	r = talk_ask(t, can_link_msg_set(t->request, ++t->seq, now->ifindex, &want, restart));
	if (r != -EOPNOTSUPP || !restart)
		return r;
	/* Maybe it was only that. */
	return talk_ask(t, can_link_msg_set(t->request, ++t->seq, now->ifindex, &want, false));
}

static int down_and_set(struct talk *t, const struct can_link_state *now,
			const struct can_link_settings *s)
{
	int r = 0;

	if (now->up)
		r = talk_ask(t, can_link_msg_down(t->request, ++t->seq, now->ifindex));
	return r < 0 ? r : set(t, now, s);
}

static int apply(struct talk *t, const struct can_link_settings *s, bool again,
		 struct can_link_state *now, struct error *err)
{
	int r = talk_read(t, s->interface, now);

	if (r < 0) {
		can_link_explain(s, NULL, r, "", err);
		return r;
	}
	r = can_link_check(now, s, err);
	if (r < 0)
		return r;
	if (!again && can_link_is_so(now, s))
		return CAN_LINK_KEPT;
	r = down_and_set(t, now, s);
	if (r < 0) {
		can_link_explain(s, now, r, t->msg.text, err);
		return r;
	}
	r = talk_read(t, s->interface, now);
	if (r < 0)
		can_link_explain(s, NULL, r, "", err);
	return r;
}

int can_link_apply(const struct can_link_settings *s, bool again, struct can_link_state *ret_state,
		   struct error *err)
{
	struct talk t cleanup(talk_close);
	struct can_link_state now;
	int r = talk_open(&t);

	if (r < 0) {
		error_set(err, "netlink socket: %s", strerror(-r));
		return r;
	}
	r = apply(&t, s, again, &now, err);
	if (r >= 0 && ret_state)
		*ret_state = now;
	return r;
}

const char *can_link_state_name(int can_state)
{
	return can_state >= 0 && can_state < CAN_STATE_MAX
		       ? bus_state_name((enum bus_state)can_state)
		       : "none";
}
