#include "agent/source/socketcan.h"

#include "agent/health/limit.h"
#include "base/log.h"

#include <linux/can.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RETRY_S = 3,
	FRAMES_A_READ = 32,
	READS_A_TURN = 8, /* then the loop sees to the others */
	SOCKET_BYTES = 1 << 20,
	CONTROL_BYTES = 128,
	FRAME_AGE_MAX_S = 60, /* none waits longer in the socket */
};

struct socketcan {
	struct source base;
	char interface[IFNAMSIZ];
	uint16_t bus;
	int error;	   /* why it is not open, as last logged; 0: open */
	uint32_t overflow; /* the socket's drop counter when last seen */
	struct loop_fd io;
	struct loop_timer retry;
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

static const char *explain(int error)
{
	switch (error) {
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		return "this kernel has no SocketCAN (CONFIG_CAN, CONFIG_CAN_RAW)";
	case ENODEV:
		return "there is no such interface";
	case ENETDOWN:
		return "the interface is down (ip link set NAME up)";
	default:
		return strerror(error);
	}
}

static void socketcan_close(struct socketcan *c)
{
	loop_fd_remove(&c->io);
	if (c->io.fd >= 0)
		(void)close(c->io.fd);
	c->io.fd = -1;
}

/* Says it when the reason changes; goes on trying quietly. */
static void fail(struct socketcan *c, int error)
{
	struct loop *loop = c->base.env->loop;

	socketcan_close(c);
	counter_add(&c->base.env->counters->sources_failed, 1);
	if (error != c->error)
		log_error("source_failed", "source=%s interface=%s retry_s=%d what=%s",
			  c->base.name, c->interface, RETRY_S, explain(error));
	c->error = error;
	if (loop_timer_in(loop, &c->retry, RETRY_S * NS_PER_S) < 0)
		source_end(&c->base);
}

static int bind_interface(struct socketcan *c, int fd)
{
	struct sockaddr_can addr = {.can_family = AF_CAN};
	struct ifreq ifr = {0};

	memcpy(ifr.ifr_name, c->interface, sizeof(ifr.ifr_name));
	if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	addr.can_ifindex = ifr.ifr_ifindex;
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	if (!(ifr.ifr_flags & IFF_UP))
		return -ENETDOWN;
	return bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
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

static int open_socket(struct socketcan *c)
{
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
	int r;

	if (fd < 0)
		return -errno;
	c->io.fd = fd;
	r = set_options(fd);
	if (r == 0)
		r = bind_interface(c, fd);
	if (r == 0)
		r = loop_fd_add(c->base.env->loop, &c->io, EPOLLIN);
	return r;
}

static void try_open(struct loop_timer *t)
{
	struct socketcan *c = t->ctx;
	int r = open_socket(c);

	if (r < 0) {
		fail(c, -r);
		return;
	}
	c->error = 0;
	c->overflow = 0;
	log_info("source_open", "source=%s interface=%s", c->base.name, c->interface);
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
				 c->base.name, c->interface);
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

static void on_readable(struct loop_fd *io, uint32_t events)
{
	struct socketcan *c = io->ctx;

	(void)events;
	for (int k = 0; k < READS_A_TURN; k++) {
		struct clock_pair now;
		int n;

		prepare_read(c);
		n = recvmmsg(io->fd, c->msgs, FRAMES_A_READ, MSG_DONTWAIT, NULL);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				fail(c, errno);
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
	struct socketcan *c = socketcan_of(s);

	loop_timer_cancel(&c->retry);
	socketcan_close(c);
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

static int check_names(struct socketcan *c, const struct socketcan_options *opt, struct error *err)
{
	size_t len = strlen(opt->interface);

	if (len == 0 || len >= sizeof(c->interface)) {
		error_set(err, "interface '%s': 1 to %zu characters", opt->interface,
			  sizeof(c->interface) - 1);
		return -EINVAL;
	}
	memcpy(c->interface, opt->interface, len + 1);
	c->bus = source_bus(c->base.env->cat, opt->bus);
	if (c->bus == FRAME_BUS_NONE) {
		error_set(err, "bus '%s' is not in the catalog", opt->bus);
		return -EINVAL;
	}
	return 0;
}

int socketcan_new(struct source **ret, const struct source_env *env, const char *name,
		  const struct socketcan_options *opt, struct error *err)
{
	struct socketcan *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->io = (struct loop_fd){.cb = on_readable, .ctx = c, .fd = -1};
	c->retry = (struct loop_timer){.cb = try_open, .ctx = c};
	r = source_init(&c->base, &socketcan_ops, env, name);
	if (r == 0)
		r = check_names(c, opt, err);
	if (r == 0)
		r = loop_timer_in(env->loop, &c->retry, 0);
	if (r < 0) {
		source_free(&c->base);
		return r;
	}
	*ret = &c->base;
	return 0;
}
