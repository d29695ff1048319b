#include "tools/play/can_sender.h"

#include "agent/can/can_interface.h"

#include <linux/can.h>
#include <linux/can/error.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

/* The queue of a driver is ten frames or so: the time of one or two of them on the bus. */
#define RETRY_NS (200 * NS_PER_US)

struct port {
	char interface[IFNAMSIZ];
	int fd;
	bool takes_fd;
	bool stalled;
	int64_t stalled_ns; /* since when */
	uint64_t sent;
};

/* A frame on its way. */
struct item {
	size_t port;
	int64_t due_ns;
	uint64_t line;
	struct canfd_frame frame;
};

struct can_sender {
	const struct play_env *env;
	struct port ports[CAN_SENDER_PORTS_MAX];
	size_t n_ports;
	size_t first, n; /* items that are not sent: from first, below n */
	struct item items[CAN_SENDER_FRAMES];
	struct iovec iov[CAN_SENDER_FRAMES];
	struct mmsghdr msgs[CAN_SENDER_FRAMES];
	uint64_t waits;
	struct can_lateness late;
};

int can_sender_new(struct can_sender **ret, const struct play_env *env)
{
	struct can_sender *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->env = env;
	*ret = s;
	return 0;
}

struct can_sender *can_sender_free(struct can_sender *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_ports; i++)
		(void)close(s->ports[i].fd);
	free(s);
	return NULL;
}

int can_sender_open(struct can_sender *s, const char *interface, struct error *err)
{
	size_t len = strlen(interface);
	struct port *p = &s->ports[s->n_ports];

	for (size_t i = 0; i < s->n_ports; i++)
		if (strcmp(s->ports[i].interface, interface) == 0)
			return (int)i;
	if (s->n_ports == CAN_SENDER_PORTS_MAX) {
		error_set(err, "interface %s: more than %d interfaces", interface,
			  CAN_SENDER_PORTS_MAX);
		return -E2BIG;
	}
	if (len == 0 || len >= sizeof(p->interface)) {
		error_set(err, "interface '%.64s': not 1 to %zu bytes", interface,
			  sizeof(p->interface) - 1);
		return -EINVAL;
	}
	*p = (struct port){0};
	p->fd = s->env->open(s->env->ctx, interface, &p->takes_fd, err);
	if (p->fd < 0)
		return p->fd;
	memcpy(p->interface, interface, len + 1);
	return (int)s->n_ports++;
}

size_t can_sender_ports(const struct can_sender *s)
{
	return s->n_ports;
}

const char *can_sender_interface(const struct can_sender *s, size_t port)
{
	return s->ports[port].interface;
}

bool can_sender_takes_fd(const struct can_sender *s, size_t port)
{
	return s->ports[port].takes_fd;
}

/* Returns how many bytes of *ret are the frame's. */
static size_t to_wire(const struct frame *f, struct canfd_frame *ret)
{
	*ret = (struct canfd_frame){.can_id = f->id, .len = f->len};
	if (f->flags & FRAME_EXTENDED)
		ret->can_id |= CAN_EFF_FLAG;
	if (f->flags & FRAME_FD) {
		ret->flags = (f->flags & FRAME_BRS ? CANFD_BRS : 0) |
			     (f->flags & FRAME_ESI ? CANFD_ESI : 0);
		memcpy(ret->data, f->data, f->len);
		return CANFD_MTU;
	}
	if (f->flags & FRAME_REMOTE)
		ret->can_id |= CAN_RTR_FLAG;
	else
		memcpy(ret->data, f->data, f->len);
	return CAN_MTU;
}

int can_sender_put(struct can_sender *s, size_t port, const struct frame *f, int64_t due_ns,
		   uint64_t line)
{
	struct item *item = &s->items[s->n];
	size_t size;

	assert(port < s->n_ports && !(f->flags & FRAME_ERROR));
	assert(f->len <= (f->flags & FRAME_FD ? CANFD_MAX_DLEN : CAN_MAX_DLEN));
	if (s->n == CAN_SENDER_FRAMES)
		return CAN_SENDER_FULL;
	item->port = port;
	item->due_ns = due_ns;
	item->line = line;
	size = to_wire(f, &item->frame);
	s->iov[s->n] = (struct iovec){.iov_base = &item->frame, .iov_len = size};
	s->msgs[s->n].msg_hdr = (struct msghdr){.msg_iov = &s->iov[s->n], .msg_iovlen = 1};
	s->n++;
	return 0;
}

static int fail(const struct port *p, int error, struct error *err)
{
	char why[96];

	error_set(err, "interface %s: %s", p->interface,
		  can_interface_explain(error, p->interface, "CAN_RAW", why, sizeof(why)));
	return -error;
}

/* A controller that went bus-off takes frames without a word and sends none: only an error frame
 * tells. */
static int look_for_bus_off(const struct port *p, struct error *err)
{
	struct canfd_frame f;
	ssize_t n;

	for (;;) {
		n = recv(p->fd, &f, sizeof(f), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : fail(p, errno, err);
		if (n >= (ssize_t)CAN_MTU && f.can_id & CAN_ERR_FLAG && f.can_id & CAN_ERR_BUSOFF) {
			error_set(err, "interface %s: the controller went bus-off", p->interface);
			return -ENOTCONN;
		}
	}
}

/* Frames from the first that go to the same interface. */
static unsigned count_run(const struct can_sender *s)
{
	size_t i = s->first + 1;

	while (i < s->n && s->items[i].port == s->items[s->first].port)
		i++;
	return (unsigned)(i - s->first);
}

static void note_lateness(struct can_lateness *l, int64_t due_ns, int64_t now_ns)
{
	if (due_ns == CAN_SENDER_ANY_TIME)
		return;
	l->frames++;
	if (now_ns <= due_ns)
		return;
	l->sum_ns += now_ns - due_ns;
	if (now_ns - due_ns > l->max_ns)
		l->max_ns = now_ns - due_ns;
}

static void note_sent(struct can_sender *s, struct port *p, size_t n)
{
	int64_t now_ns = s->env->now(s->env->ctx);

	p->stalled = false;
	p->sent += n;
	for (; n > 0; n--, s->first++)
		note_lateness(&s->late, s->items[s->first].due_ns, now_ns);
}

/* error is -EAGAIN: the socket has no room and poll says when; -ENOBUFS: the interface's queue has
 * none, and only trying again tells. */
static int wait_for_room(struct can_sender *s, struct port *p, int error, struct error *err)
{
	struct pollfd fd = {.fd = p->fd, .events = POLLOUT};
	int64_t now = s->env->now(s->env->ctx), end;
	int r;

	if (!p->stalled) {
		p->stalled = true;
		p->stalled_ns = now;
		s->waits++;
	}
	end = p->stalled_ns + CAN_SENDER_STALL_S * NS_PER_S;
	if (now >= end) {
		error_set(err,
			  "interface %s: took no frame for %d s; does another node acknowledge, "
			  "at the same bit rate?",
			  p->interface, CAN_SENDER_STALL_S);
		return -ETIMEDOUT;
	}
	if (error == -EAGAIN)
		r = s->env->wait(s->env->ctx, &fd, end);
	else
		r = s->env->wait(s->env->ctx, NULL, now + RETRY_NS);
	if (r < 0 && r != -EINTR)
		return fail(p, -r, err);
	return r < 0 ? r : 0;
}

static int send_run(struct can_sender *s, struct error *err)
{
	struct port *p = &s->ports[s->items[s->first].port];
	int r = look_for_bus_off(p, err);

	if (r < 0)
		return r;
	r = s->env->send(s->env->ctx, p->fd, &s->msgs[s->first], count_run(s));
	if (r > 0) {
		note_sent(s, p, (size_t)r);
		return 0;
	}
	if (r == -EINTR)
		return 0;
	if (r == -EAGAIN || r == -ENOBUFS)
		return wait_for_room(s, p, r, err);
	return fail(p, -r, err);
}

int can_sender_flush(struct can_sender *s, struct error *err)
{
	int r = 0;

	while (r == 0 && s->first < s->n)
		r = send_run(s, err);
	if (r == 0)
		s->first = s->n = 0;
	return r;
}

int can_sender_check(const struct can_sender *s, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n_ports; i++)
		r = look_for_bus_off(&s->ports[i], err);
	return r;
}

uint64_t can_sender_unsent(const struct can_sender *s)
{
	return s->first < s->n ? s->items[s->first].line : 0;
}

uint64_t can_sender_sent(const struct can_sender *s, size_t port)
{
	return s->ports[port].sent;
}

uint64_t can_sender_waits(const struct can_sender *s)
{
	return s->waits;
}

const struct can_lateness *can_sender_lateness(const struct can_sender *s)
{
	return &s->late;
}
