#include "agent/source/socketcan.h"

#include "agent/can/can_interface.h"
#include "agent/health/limit.h"
#include "agent/source/can_stamp.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FRAMES_A_READ = 32,
	READS_A_TURN = 8,   /* then the loop sees to the others */
	READS_AT_END = 256, /* more than the socket's buffer holds: some 170 */
	ERRORS_AT_END = 3,  /* down, then away */
	CONTROL_BYTES = 128,
};

struct socketcan {
	struct source base;
	struct can_port port;
	const struct socketcan_kernel *kernel;
	uint16_t bus;
	bool take_all, hardware;
	struct can_filters filters; /* in force while the port is open */
	struct can_stamp stamp;
	struct bus_health health;
	struct limit bad;
	struct canfd_frame frames[FRAMES_A_READ];
	struct iovec iov[FRAMES_A_READ];
	struct mmsghdr msgs[FRAMES_A_READ];
	uint8_t control[FRAMES_A_READ][CONTROL_BYTES] __attribute__((aligned(8)));
};

static int read_socket(int fd, struct mmsghdr *msgs, unsigned n)
{
	return recvmmsg(fd, msgs, n, MSG_DONTWAIT, NULL);
}

static const struct socketcan_kernel real_kernel = {
	.open = can_socket_open,
	.filter = can_socket_filter,
	.read = read_socket,
	.lost = can_socket_lost,
	.find = can_interface_find,
	.health = {.link = can_link_read, .traffic = can_traffic_read},
};

static struct socketcan *socketcan_of(struct source *s)
{
	return (struct socketcan *)s;
}

/* ---- filters ---- */

static void make_filters(struct socketcan *c, struct can_filters *ret)
{
	const struct source_env *env = c->base.env;
	struct frame_match *matches cleanup(free_ptr) = NULL;
	size_t n;

	can_filters_all(ret);
	if (c->take_all || !env->matches)
		return;
	n = env->matches(env->ctx, c->bus, NULL, 0);
	matches = calloc(n + 1, sizeof(*matches));
	if (!matches) {
		log_warn("filters_failed", "source=%s what=no memory: all of the bus is read",
			 c->base.name);
		return;
	}
	n = env->matches(env->ctx, c->bus, matches, n);
	can_filters_from(ret, matches, n);
	if (ret->all)
		log_info("filters_many", "source=%s wanted=%zu max=%d what=all of the bus is read",
			 c->base.name, n, CAN_FILTERS_MAX);
}

static const char *filters_text(const struct can_filters *f, char *out, size_t size)
{
	if (f->all)
		return "none";
	(void)snprintf(out, size, "%zu", f->n);
	return out;
}

/* ---- opening ---- */

static int open_socket(struct can_port *p, int ifindex)
{
	struct socketcan *c = p->ctx;
	enum can_times times = CAN_TIMES_KERNEL;
	char text[24];
	int fd;

	make_filters(c, &c->filters);
	fd = c->kernel->open(ifindex, p->interface, &c->filters, c->hardware, &times);
	if (fd < 0)
		return fd;
	c->stamp = (struct can_stamp){0};
	(void)snprintf(p->note, sizeof(p->note), "times=%s filters=%s", can_times_name(times),
		       filters_text(&c->filters, text, sizeof(text)));
	return fd;
}

static void on_opened(struct can_port *p)
{
	struct socketcan *c = p->ctx;

	bus_health_up(&c->health);
}

/* ---- frames ---- */

int socketcan_convert(const struct canfd_frame *in, size_t size, struct frame *ret)
{
	bool fd = size == CANFD_MTU;
	struct frame f = {.len = in->len};

	if (size != CAN_MTU && !fd)
		return -EBADMSG;
	if (in->len > (fd ? CANFD_MAX_DLEN : CAN_MAX_DLEN) || (fd && (in->can_id & CAN_RTR_FLAG)))
		return -EBADMSG;
	f.id = in->can_id & (in->can_id & CAN_EFF_FLAG ? CAN_EFF_MASK : CAN_SFF_MASK);
	if (in->can_id & CAN_EFF_FLAG)
		f.flags |= FRAME_EXTENDED;
	if (in->can_id & CAN_RTR_FLAG)
		f.flags |= FRAME_REMOTE;
	if (in->can_id & CAN_ERR_FLAG)
		f.flags |= FRAME_ERROR;
	if (fd) {
		f.flags |= FRAME_FD;
		f.flags |= in->flags & CANFD_BRS ? FRAME_BRS : 0;
		f.flags |= in->flags & CANFD_ESI ? FRAME_ESI : 0;
	}
	memcpy(f.data, in->data, f.len);
	*ret = f;
	return 0;
}

static int64_t ns_of(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * NS_PER_S + ts->tv_nsec;
}

static void read_control(struct socketcan *c, struct msghdr *m, struct can_stamps *ret)
{
	struct timespec ts[3]; /* software, unused, raw hardware (struct scm_timestamping) */
	uint32_t total;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET)
			continue;
		if (h->cmsg_type == SO_TIMESTAMPNS && h->cmsg_len >= CMSG_LEN(sizeof(ts[0]))) {
			memcpy(ts, CMSG_DATA(h), sizeof(ts[0]));
			ret->wall_ns = ns_of(&ts[0]);
		} else if (h->cmsg_type == SO_TIMESTAMPING && h->cmsg_len >= CMSG_LEN(sizeof(ts))) {
			memcpy(ts, CMSG_DATA(h), sizeof(ts));
			ret->wall_ns = ns_of(&ts[0]);
			ret->hardware_ns = ns_of(&ts[2]);
		} else if (h->cmsg_type == SO_RXQ_OVFL && h->cmsg_len >= CMSG_LEN(sizeof(total))) {
			memcpy(&total, CMSG_DATA(h), sizeof(total));
			c->health.frames_lost += can_port_overflow(&c->port, total);
		}
	}
}

static void refuse(struct socketcan *c, const struct canfd_frame *in, unsigned size)
{
	c->health.frames_bad++;
	counter_add(&c->base.env->counters->frames_bad, 1);
	if (limit_pass(&c->bad, "frame_bad", loop_now(c->base.env->loop)))
		log_warn("frame_bad", "source=%s interface=%s id=%x len=%u bytes=%u", c->base.name,
			 c->port.interface, in->can_id, in->len, size);
}

static void hand_over(struct socketcan *c, const struct frame *f)
{
	const struct source_env *env = c->base.env;

	c->health.frames++;
	if (f->flags & FRAME_EXTENDED)
		c->health.frames_extended++;
	if (env->frame(env->ctx, f) == SOURCE_BUSY)
		can_port_drop(&c->port);
}

static void take(struct socketcan *c, size_t i, const struct clock_pair *now)
{
	struct mmsghdr *m = &c->msgs[i];
	struct can_stamps stamps = {0};
	struct frame f;

	read_control(c, &m->msg_hdr, &stamps);
	if ((m->msg_hdr.msg_flags & MSG_TRUNC) ||
	    socketcan_convert(&c->frames[i], m->msg_len, &f) < 0) {
		refuse(c, &c->frames[i], m->msg_len);
		return;
	}
	if (f.flags & FRAME_ERROR) {
		bus_health_error(&c->health, c->frames[i].can_id, f.data, f.len);
		return;
	}
	f.bus = c->bus;
	f.t_ns = can_stamp_mono(&c->stamp, &stamps, now);
	hand_over(c, &f);
}

/* The first n, which the kernel has written to. */
static void prepare_read(struct socketcan *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		c->iov[i] = (struct iovec){&c->frames[i], sizeof(c->frames[i])};
		c->msgs[i].msg_len = 0;
		c->msgs[i].msg_hdr = (struct msghdr){
			.msg_iov = &c->iov[i],
			.msg_iovlen = 1,
			.msg_control = c->control[i],
			.msg_controllen = CONTROL_BYTES,
		};
	}
}

/* Returns how many frames there were, or -errno. */
static int read_frames(struct socketcan *c)
{
	struct clock_pair now;
	int n;

	n = c->kernel->read(c->port.io.fd, c->msgs, FRAMES_A_READ);
	if (n < 0)
		return -errno;
	now = clock_pair_read(c->base.env->tb, 1); /* after, so that no frame is newer */
	for (int i = 0; i < n; i++)
		take(c, (size_t)i, &now);
	prepare_read(c, (size_t)n);
	return n;
}

/* What the socket holds besides errors, each of which comes before frames. Returns the last error,
 * or 0. */
static int read_rest(struct socketcan *c)
{
	int error = 0, errors = 0;

	for (int k = 0; k < READS_AT_END && errors < ERRORS_AT_END; k++) {
		int n = read_frames(c);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			error = -n;
			errors++;
		}
	}
	return error;
}

/* What it lost after the last frame that got in, which no frame tells. */
static void count_lost(struct socketcan *c)
{
	uint32_t total;

	if (c->kernel->lost && c->kernel->lost(c->port.io.fd, &total) == 0)
		c->health.frames_lost += can_port_overflow(&c->port, total);
}

/* The interface may be back already: one look before the wait. */
static void lose(struct socketcan *c, int error)
{
	int later = read_rest(c);

	error = later ? later : error;
	count_lost(c);
	can_port_fail(&c->port, error);
	if (error != ENETDOWN && error != ENODEV && error != ENXIO)
		return;
	bus_health_down(&c->health, error);
	can_port_retry(&c->port);
}

static void on_readable(struct can_port *p, uint32_t events)
{
	struct socketcan *c = p->ctx;

	(void)events;
	for (int k = 0; k < READS_A_TURN; k++) {
		int n = read_frames(c);

		if (n < 0 && n != -EAGAIN && n != -EINTR) {
			lose(c, -n);
			return;
		}
		if (n < FRAMES_A_READ)
			return; /* an error that cut it short comes next */
	}
}

/* ---- the source ---- */

static void matches_changed(struct source *s)
{
	struct socketcan *c = socketcan_of(s);
	struct can_filters now;
	char text[24];
	int r;

	if (!can_port_is_open(&c->port))
		return;
	make_filters(c, &now);
	if (now.n == c->filters.n && now.all == c->filters.all &&
	    memcmp(now.filters, c->filters.filters, now.n * sizeof(now.filters[0])) == 0)
		return;
	r = c->kernel->filter(c->port.io.fd, &now);
	if (r < 0) {
		lose(c, -r); /* opens again with the new ones */
		return;
	}
	c->filters = now;
	log_info("filters_changed", "source=%s interface=%s filters=%s", c->base.name,
		 c->port.interface, filters_text(&now, text, sizeof(text)));
}

static void socketcan_stop(struct source *s)
{
	bus_health_stop(&socketcan_of(s)->health);
	can_port_stop(&socketcan_of(s)->port);
}

static void socketcan_free(struct source *s)
{
	free(socketcan_of(s));
}

static const struct source_ops socketcan_ops = {
	.type = "socketcan",
	.matches_changed = matches_changed,
	.stop = socketcan_stop,
	.free = socketcan_free,
};

static int start(struct socketcan *c, const struct socketcan_options *opt, struct error *err)
{
	int r = source_find_bus(&c->base, opt->bus, &c->bus, err);

	if (r < 0)
		return r;
	prepare_read(c, FRAMES_A_READ);
	c->kernel = opt->kernel ? opt->kernel : &real_kernel;
	c->take_all = opt->take_all;
	c->hardware = !opt->kernel_times;
	c->port = (struct can_port){
		.source = &c->base,
		.open = open_socket,
		.readable = on_readable,
		.opened = on_opened,
		.find = c->kernel->find,
		.protocol = "CAN_RAW",
		.ctx = c,
	};
	c->health = (struct bus_health){
		.source = &c->base,
		.port = &c->port,
		.reads = c->kernel->health,
		.bus = c->bus,
		.period_ns = opt->status_period_ns,
	};
	r = can_port_start(&c->port, opt->interface, err);
	if (r == 0)
		bus_health_start(&c->health); /* its timer is due after the port's */
	return r;
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
	return source_made(ret, &c->base, r);
}
