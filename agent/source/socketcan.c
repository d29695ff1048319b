#include "agent/source/socketcan.h"

#include "agent/health/limit.h"
#include "agent/source/can_port.h"
#include "base/log.h"

#include <linux/can.h>
#include <linux/can/raw.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FRAMES_A_READ = 32,
	READS_A_TURN = 8, /* then the loop sees to the others */
	SOCKET_BYTES = 1 << 20,
	CONTROL_BYTES = 128,
	FRAME_AGE_MAX_S = 60, /* none waits longer in the socket */
};

struct socketcan {
	struct source base;
	struct can_port port;
	uint16_t bus;
	uint32_t overflow; /* the socket's drop counter when last seen */
	struct limit dropped;
	struct canfd_frame frames[FRAMES_A_READ];
	struct iovec iov[FRAMES_A_READ];
	struct mmsghdr msgs[FRAMES_A_READ];
	uint8_t control[FRAMES_A_READ][CONTROL_BYTES] __attribute__((aligned(8)));
};

static struct socketcan *socketcan_of(struct source *s)
{
	return (struct socketcan *)s;
}

static int set_options(int fd)
{
	const int one = 1, bytes = SOCKET_BYTES;

	if (setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one)) < 0)
		return -errno;
	/* Bounded by net.core.rmem_max; whatever it gives is fine. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return 0;
}

static int open_socket(struct can_port *p, int ifindex)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};
	struct socketcan *c = p->ctx;
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
	int r;

	if (fd < 0)
		return -errno;
	r = set_options(fd);
	if (r == 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	c->overflow = 0;
	return fd;
}

int socketcan_convert(const struct canfd_frame *in, size_t size, struct frame *ret)
{
	struct frame f = {0};
	size_t max = size == CAN_MTU ? CAN_MAX_DLEN : CANFD_MAX_DLEN;

	if (size != CAN_MTU && size != CANFD_MTU)
		return -EINVAL;
	f.len = in->len > max ? (uint8_t)max : in->len;
	f.id = in->can_id & (in->can_id & CAN_EFF_FLAG ? CAN_EFF_MASK : CAN_SFF_MASK);
	if (in->can_id & CAN_EFF_FLAG)
		f.flags |= FRAME_EXTENDED;
	if (in->can_id & CAN_RTR_FLAG)
		f.flags |= FRAME_REMOTE;
	if (in->can_id & CAN_ERR_FLAG)
		f.flags |= FRAME_ERROR;
	if (size == CANFD_MTU)
		f.flags |= FRAME_FD;
	memcpy(f.data, in->data, f.len);
	*ret = f;
	return 0;
}

/* The kernel's receive time is wall time; what matters is how long ago that was. Where that makes
 * no sense the wall clock was set while the frame waited, and now is the best guess. */
int64_t socketcan_time(const struct timespec *stamp, const struct clock_pair *now)
{
	int64_t wall = (int64_t)stamp->tv_sec * NS_PER_S + stamp->tv_nsec;
	int64_t age = now->wall_ns - wall;

	if (age < 0 || age > FRAME_AGE_MAX_S * NS_PER_S)
		age = 0;
	return now->mono_ns - age;
}

static void read_control(struct socketcan *c, struct msghdr *m, const struct clock_pair *now,
			 struct frame *f)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET)
			continue;
		if (h->cmsg_type == SO_TIMESTAMPNS) {
			struct timespec ts;

			memcpy(&ts, CMSG_DATA(h), sizeof(ts));
			f->t_ns = socketcan_time(&ts, now);
		} else if (h->cmsg_type == SO_RXQ_OVFL) {
			struct counters *n = c->base.env->counters;
			uint32_t total, lost;

			memcpy(&total, CMSG_DATA(h), sizeof(total));
			lost = total - c->overflow;
			c->overflow = total;
			counter_add(&n->frames_dropped_socket, lost);
			counter_add(&n->frames_dropped, lost);
		}
	}
}

static void take(struct socketcan *c, size_t i, const struct clock_pair *now)
{
	const struct source_env *env = c->base.env;
	struct frame f;

	if (socketcan_convert(&c->frames[i], c->msgs[i].msg_len, &f) < 0)
		return;
	f.bus = c->bus;
	f.t_ns = now->mono_ns;
	read_control(c, &c->msgs[i].msg_hdr, now, &f);
	if (env->frame(env->ctx, &f) == SOURCE_BUSY) {
		counter_add(&env->counters->frames_dropped_busy, 1);
		counter_add(&env->counters->frames_dropped, 1);
		if (limit_pass(&c->dropped, "frames_dropped", loop_now(env->loop)))
			log_warn("frames_dropped", "source=%s interface=%s what=no free batch",
				 c->base.name, c->port.interface);
	}
}

static void prepare_read(struct socketcan *c)
{
	for (size_t i = 0; i < FRAMES_A_READ; i++) {
		c->iov[i] = (struct iovec){&c->frames[i], sizeof(c->frames[i])};
		c->msgs[i].msg_hdr = (struct msghdr){
			.msg_iov = &c->iov[i],
			.msg_iovlen = 1,
			.msg_control = c->control[i],
			.msg_controllen = CONTROL_BYTES,
		};
	}
}

static void on_readable(struct can_port *p, uint32_t events)
{
	struct socketcan *c = p->ctx;

	(void)events;
	for (int k = 0; k < READS_A_TURN; k++) {
		struct clock_pair now;
		int n;

		prepare_read(c);
		n = recvmmsg(p->io.fd, c->msgs, FRAMES_A_READ, MSG_DONTWAIT, NULL);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				can_port_fail(p, errno);
			return;
		}
		now = clock_pair_read(c->base.env->tb, 1); /* after, so that no frame is newer */
		for (int i = 0; i < n; i++)
			take(c, (size_t)i, &now);
		if (n < FRAMES_A_READ)
			return;
	}
}

static void socketcan_stop(struct source *s)
{
	can_port_stop(&socketcan_of(s)->port);
}

static void socketcan_free(struct source *s)
{
	free(socketcan_of(s));
}

static const struct source_ops socketcan_ops = {
	.type = "socketcan",
	.stop = socketcan_stop,
	.free = socketcan_free,
};

static int start(struct socketcan *c, const struct socketcan_options *opt, struct error *err)
{
	c->port = (struct can_port){
		.source = &c->base,
		.open = open_socket,
		.readable = on_readable,
		.protocol = "CAN_RAW",
		.ctx = c,
	};
	c->bus = source_bus(c->base.env->cat, opt->bus);
	if (c->bus == FRAME_BUS_NONE) {
		error_set(err, "bus '%s' is not in the catalog", opt->bus);
		return -EINVAL;
	}
	return can_port_start(&c->port, opt->interface, err);
}

int socketcan_new(struct source **ret, const struct source_env *env, const char *name,
		  const struct socketcan_options *opt, struct error *err)
{
	struct socketcan *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = source_init(&c->base, &socketcan_ops, env, name);
	if (r == 0)
		r = start(c, opt, err);
	if (r < 0) {
		source_free(&c->base);
		return r;
	}
	*ret = &c->base;
	return 0;
}
