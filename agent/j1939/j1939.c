#include "agent/j1939/j1939.h"

#include "agent/can/can_interface.h"
#include "agent/health/limit.h"
#include "agent/j1939/j1939_node.h"
#include "agent/source/can_port.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	MESSAGES_A_READ = 16,
	READS_A_TURN = 8,   /* then the loop sees to the others */
	READS_AT_END = 256, /* more than the socket's buffer holds */
	ERRORS_AT_END = 3,  /* down, then away */
	CONTROL_BYTES = 256,
	PRIORITY = 6,
	SINGLE_MAX = 8, /* bytes of one frame */
	PACKET = 7,	/* bytes of a longer payload in one frame */
	NOTICES = 32,	/* sessions that the kernel may tell of at a time */
};

struct j1939 {
	struct source base;
	const struct j1939_kernel *kernel;
	struct source *can; /* raw: the source in place of this one; the port only sends */
	struct can_port port;
	int ifindex;
	uint16_t bus;
	struct j1939_node node;				/* what this end is, and asks for */
	struct j1939_filter filters[J1939_FILTERS_MAX]; /* in force while the port is open */
	size_t n_filters;				/* 0: all passes */
	struct j1939_notice notices[NOTICES]; /* sessions by number: what is known of them */
	struct bus_health health;	      /* raw: the other source tells it */
	struct can_stamp stamp;
	struct limit bad, failed;
	struct iovec iov[MESSAGES_A_READ];
	struct mmsghdr msgs[MESSAGES_A_READ];
	struct sockaddr_can from[MESSAGES_A_READ];
	uint8_t control[MESSAGES_A_READ][CONTROL_BYTES] __attribute__((aligned(8)));
	uint8_t data[MESSAGES_A_READ][J1939_PAYLOAD_MAX];
};

static const struct j1939_kernel real_kernel = {
	.probe = j1939_socket_probe,
	.open = j1939_socket_open,
	.filter = j1939_socket_filter,
	.bind = j1939_socket_bind,
	.send = j1939_socket_send,
	.receive = j1939_socket_receive,
	.raw_open = j1939_raw_open,
	.raw_send = j1939_raw_send,
	.find = can_interface_find,
};

static struct j1939 *j1939_of(struct source *s)
{
	return (struct j1939 *)s;
}

static bool may_log(struct j1939 *c, struct limit *l, const char *event)
{
	return limit_pass(l, event, loop_now(c->base.env->loop));
}

/* ---- what is wanted ---- */

/* Borrowed from nobody: the caller frees. NULL with *ret_n 0: unknown, so everything is. */
static struct frame_match *read_matches(const struct j1939 *c, size_t *ret_n)
{
	const struct source_env *env = c->base.env;
	struct frame_match *m;
	size_t n;

	*ret_n = 0;
	if (!env->matches)
		return NULL;
	n = env->matches(env->ctx, c->bus, NULL, 0);
	m = calloc(n + 1, sizeof(*m));
	if (m)
		*ret_n = env->matches(env->ctx, c->bus, m, n);
	return m;
}

/* With an own address all passes: the kernel answers only sessions that a filter lets through, and
 * a node that does not answer is asked again and again. */
static size_t make_filters(const struct j1939 *c, const struct frame_match *m, size_t n,
			   struct j1939_filter *out)
{
	if (!m || c->node.claim.address != J1939_ADDRESS_NONE)
		return 0;
	return j1939_filters(m, n, out);
}

/* ---- sending ---- */

static int send_pgn(void *ctx, uint32_t pgn, uint8_t destination, const uint8_t *data, size_t len)
{
	struct j1939 *c = ctx;
	struct j1939_received m = {.pgn = pgn,
				   .source = c->node.claim.address,
				   .destination = destination,
				   .priority = PRIORITY};

	if (!c->can)
		return c->kernel->send(c->port.io.fd, pgn, destination, data, len);
	return c->kernel->raw_send(c->port.io.fd, j1939_payload(&m, c->bus, 0).id, data, len);
}

static int bind_nobody(void *ctx)
{
	struct j1939 *c = ctx;

	return c->kernel->bind(c->port.io.fd, c->ifindex, c->node.claim.name, J1939_ADDRESS_NONE);
}

/* ---- opening, losing ---- */

static void describe(struct j1939 *c, struct can_port *p)
{
	char address[8] = "none", filters[24] = "none";

	if (c->node.claim.address != J1939_ADDRESS_NONE)
		(void)snprintf(address, sizeof(address), "%u", c->node.claim.address);
	if (c->n_filters)
		(void)snprintf(filters, sizeof(filters), "%zu", c->n_filters);
	(void)snprintf(p->note, sizeof(p->note), "protocol=%s address=%s filters=%s",
		       c->can ? "raw-requests" : "kernel", address, filters);
}

static int open_kernel(struct can_port *p, int ifindex)
{
	struct j1939 *c = p->ctx;
	struct j1939_socket_options opt = {.address = c->node.claim.address,
					   .name = c->node.claim.name,
					   .filters = c->filters};
	struct frame_match *m cleanup(free_ptr) = NULL;
	size_t n;

	m = read_matches(c, &n);
	j1939_node_choose(&c->node, m, n);
	c->n_filters = make_filters(c, m, n, c->filters);
	opt.n_filters = c->n_filters;
	c->ifindex = ifindex;
	c->stamp = (struct can_stamp){0};
	memset(c->notices, 0, sizeof(c->notices));
	describe(c, p);
	return c->kernel->open(ifindex, &opt);
}

static int open_raw(struct can_port *p, int ifindex)
{
	struct j1939 *c = p->ctx;
	struct frame_match *m cleanup(free_ptr) = NULL;
	size_t n;

	m = read_matches(c, &n);
	j1939_node_choose(&c->node, m, n);
	describe(c, p);
	return c->kernel->raw_open(ifindex);
}

static void on_opened(struct can_port *p)
{
	struct j1939 *c = p->ctx;

	if (!c->can)
		bus_health_up(&c->health);
	j1939_node_open(&c->node);
}

static void on_closed(struct can_port *p)
{
	struct j1939 *c = p->ctx;

	j1939_node_close(&c->node);
}

static void change_filters(struct j1939 *c, const struct frame_match *m, size_t n)
{
	struct j1939_filter now[J1939_FILTERS_MAX];
	size_t n_now = make_filters(c, m, n, now);
	int r;

	if (n_now == c->n_filters && memcmp(now, c->filters, n_now * sizeof(now[0])) == 0)
		return;
	r = c->kernel->filter(c->port.io.fd, now, n_now);
	if (r < 0) {
		can_port_fail(&c->port, -r); /* opens again with the new ones */
		return;
	}
	c->n_filters = n_now;
	memcpy(c->filters, now, n_now * sizeof(now[0]));
	log_info("filters_changed", "source=%s interface=%s filters=%zu", c->base.name,
		 c->port.interface, n_now);
}

static void matches_changed(struct source *s)
{
	struct j1939 *c = j1939_of(s);
	struct frame_match *m cleanup(free_ptr) = NULL;
	size_t n;

	if (c->can)
		source_matches_changed(c->can);
	if (!can_port_is_open(&c->port))
		return;
	m = read_matches(c, &n);
	j1939_node_choose(&c->node, m, n);
	if (!c->can)
		change_filters(c, m, n);
}

/* ---- payloads ---- */

static void refuse(struct j1939 *c, int r)
{
	struct counters *n = c->base.env->counters;

	counter_add(r == -EMSGSIZE ? &n->j1939_errors : &n->frames_bad, 1);
	if (may_log(c, &c->bad, "payload_bad"))
		log_warn("payload_bad", "source=%s interface=%s what=%s", c->base.name,
			 c->port.interface,
			 r == -EMSGSIZE ? "longer than 1785 bytes" : "no address of a node");
}

/* What fits a frame was one, and goes the way of frames: it may be part of a session of two other
 * nodes, or of ISO-TP. */
static int hand_over(struct j1939 *c, const struct j1939_received *m, int64_t t_ns)
{
	const struct source_env *env = c->base.env;
	struct payload p;
	struct frame f;

	if (m->len <= SINGLE_MAX) {
		f = j1939_frame(m, c->bus, t_ns);
		return env->frame(env->ctx, &f);
	}
	p = j1939_payload(m, c->bus, t_ns);
	counter_add(&env->counters->j1939_messages, 1);
	return env->payload(env->ctx, &p);
}

/* For the load of the bus: all are of 29 bits. */
static void count_frames(struct j1939 *c, const struct j1939_received *m)
{
	uint32_t n = m->len > SINGLE_MAX ? 1 + (uint32_t)(m->len + PACKET - 1) / PACKET : 1;

	c->health.frames += n;
	c->health.frames_extended += n;
}

static void take(struct j1939 *c, struct mmsghdr *msg, const struct clock_pair *now)
{
	struct j1939_received m;
	int r = j1939_read(&msg->msg_hdr, msg->msg_len, &m);

	if (m.has_overflow)
		c->health.frames_lost += can_port_overflow(&c->port, m.overflow);
	if (r < 0) {
		refuse(c, r);
		return;
	}
	count_frames(c, &m);
	j1939_node_hear(&c->node, &m);
	if (hand_over(c, &m, can_stamp_mono(&c->stamp, &m.stamps, now)) == SOURCE_BUSY)
		can_port_drop(&c->port);
}

static void prepare_read(struct j1939 *c)
{
	for (size_t i = 0; i < MESSAGES_A_READ; i++) {
		c->iov[i] = (struct iovec){c->data[i], sizeof(c->data[i])};
		c->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &c->from[i],
			.msg_namelen = sizeof(c->from[i]),
			.msg_iov = &c->iov[i],
			.msg_iovlen = 1,
			.msg_control = c->control[i],
			.msg_controllen = CONTROL_BYTES,
		};
	}
}

/* Sessions with us, and broadcasts, that the kernel gave up. It tells the end of some twice: when
 * it gives up, and when it forgets them. */
static void take_notice(struct j1939 *c, struct mmsghdr *msg)
{
	struct j1939_notice n, *known;

	if (j1939_notice_read(&msg->msg_hdr, &n) < 0)
		return;
	known = &c->notices[n.key % NOTICES];
	if (n.info == J1939_EE_INFO_RX_RTS || known->key != n.key) {
		*known = n;
		known->error = 0;
	}
	if (n.info != J1939_EE_INFO_RX_ABORT || known->error != 0)
		return;
	known->error = n.error;
	counter_add(&c->base.env->counters->j1939_errors, 1);
	if (may_log(c, &c->failed, "j1939_failed"))
		log_warn("j1939_failed", "source=%s interface=%s pgn=%u from=%u what=%s",
			 c->base.name, c->port.interface, known->has_pgn ? known->pgn : 0,
			 known->source, j1939_failure_text(n.error));
}

/* Returns how many messages were read, or -errno. */
static int read_messages(struct j1939 *c)
{
	struct clock_pair now;
	int n;

	prepare_read(c);
	n = c->kernel->receive(c->port.io.fd, c->msgs, MESSAGES_A_READ, 0);
	now = clock_pair_read(c->base.env->tb, 1); /* after, so that none is newer */
	for (int i = 0; i < n; i++)
		take(c, &c->msgs[i], &now);
	return n;
}

static void read_notices(struct j1939 *c)
{
	int n;

	prepare_read(c);
	n = c->kernel->receive(c->port.io.fd, c->msgs, MESSAGES_A_READ, MSG_ERRQUEUE);
	for (int i = 0; i < n; i++)
		take_notice(c, &c->msgs[i]);
}

/* Each error of a socket comes before the messages that it still holds. */
static void read_rest(struct j1939 *c)
{
	int errors = 0;

	for (int k = 0; k < READS_AT_END && errors < ERRORS_AT_END; k++) {
		int n = read_messages(c);

		if (n == -EAGAIN)
			return;
		errors += n < 0;
	}
}

/* The interface may be back already: one look before the wait. */
static void lose(struct j1939 *c, int error)
{
	if (!c->can)
		read_rest(c);
	can_port_fail(&c->port, error);
	if (error != ENETDOWN && error != ENODEV && error != ENXIO)
		return;
	if (!c->can)
		bus_health_down(&c->health, error);
	can_port_retry(&c->port);
}

static void on_readable(struct can_port *p, uint32_t events)
{
	struct j1939 *c = p->ctx;

	if (events & EPOLLERR)
		read_notices(c);
	for (int k = 0; k < READS_A_TURN; k++) {
		int n = read_messages(c);

		if (n < 0 && n != -EAGAIN && n != -EINTR)
			lose(c, -n);
		if (n < MESSAGES_A_READ)
			return;
	}
}

/* The raw socket that only sends: nothing but the interface's end. */
static void on_raw_event(struct can_port *p, uint32_t events)
{
	struct j1939 *c = p->ctx;
	int n;

	(void)events;
	prepare_read(c);
	n = c->kernel->receive(p->io.fd, c->msgs, MESSAGES_A_READ, 0);
	if (n < 0 && n != -EAGAIN && n != -EINTR)
		lose(c, -n);
}

/* ---- the source ---- */

static void resume(struct source *s)
{
	if (j1939_of(s)->can)
		source_resume(j1939_of(s)->can);
}

static void stop(struct source *s)
{
	struct j1939 *c = j1939_of(s);

	if (c->can)
		source_stop(c->can);
	j1939_node_close(&c->node);
	bus_health_stop(&c->health);
	can_port_stop(&c->port);
}

static void j1939_free(struct source *s)
{
	struct j1939 *c = j1939_of(s);

	source_free(c->can);
	j1939_node_free(&c->node);
	free(c);
}

static const struct source_ops j1939_ops = {
	.type = "j1939",
	.resume = resume,
	.matches_changed = matches_changed,
	.stop = stop,
	.free = j1939_free,
};

/* Without the protocol in the kernel there is the raw way, unless it must be the kernel's. */
static bool takes_raw(const struct j1939 *c, const struct j1939_options *opt)
{
	int r;

	if (opt->protocol != J1939_AUTO)
		return opt->protocol == J1939_RAW;
	r = c->kernel->probe();
	return r == -EPROTONOSUPPORT || r == -EAFNOSUPPORT;
}

static int start_raw(struct j1939 *c, const struct j1939_options *opt, struct error *err)
{
	int r = socketcan_new(&c->can, c->base.env, c->base.name, &opt->can, err);

	if (r < 0)
		return r;
	log_info("j1939_raw",
		 "source=%s interface=%s what=%s: payloads are put together here, sessions with us "
		 "are not answered",
		 c->base.name, opt->can.interface,
		 opt->protocol == J1939_RAW ? "protocol is raw" : "this kernel has no CAN_J1939");
	if (opt->name) {
		log_error("j1939_claim_failed",
			  "source=%s address=%u what=only the kernel's J1939 can claim an address: "
			  "nothing is asked for",
			  c->base.name, opt->address);
		return 0;
	}
	if (opt->n_requests == 0)
		return 0;
	c->port.open = open_raw;
	c->port.readable = on_raw_event;
	c->port.protocol = "CAN_RAW";
	return can_port_start(&c->port, opt->can.interface, err);
}

static void start_health(struct j1939 *c, const struct j1939_options *opt)
{
	static const struct bus_health_reads real = {can_link_read, can_traffic_read};

	c->health = (struct bus_health){
		.source = &c->base,
		.port = &c->port,
		.reads = opt->can.kernel ? opt->can.kernel->health : real,
		.bus = c->bus,
		.period_ns = opt->can.status_period_ns,
	};
	bus_health_start(&c->health);
}

static int start(struct j1939 *c, const struct j1939_options *opt, struct error *err)
{
	int r = j1939_node_init(&c->node, opt->requests, opt->n_requests, err);

	if (r == 0)
		r = source_find_bus(&c->base, opt->can.bus, &c->bus, err);
	if (r < 0)
		return r;
	if (takes_raw(c, opt))
		return start_raw(c, opt, err);
	c->port.open = open_kernel;
	c->port.readable = on_readable;
	c->port.protocol = "CAN_J1939";
	r = can_port_start(&c->port, opt->can.interface, err);
	if (r == 0)
		start_health(c, opt); /* its timer is due after the port's */
	return r;
}

static void prepare(struct j1939 *c, const struct j1939_options *opt)
{
	c->kernel = opt->kernel ? opt->kernel : &real_kernel;
	c->node.env = c->base.env;
	c->node.name = c->base.name;
	c->node.claim = (struct j1939_claim){.name = opt->name, .address = opt->address};
	c->node.send = send_pgn;
	c->node.yield = bind_nobody;
	c->node.ctx = c;
	c->port.source = &c->base;
	c->port.opened = on_opened;
	c->port.closed = on_closed;
	c->port.find = c->kernel->find;
	c->port.ctx = c;
}

int j1939_new(struct source **ret, const struct source_env *env, const char *name,
	      const struct j1939_options *opt, struct error *err)
{
	struct j1939 *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = source_init(&c->base, &j1939_ops, env, name);
	prepare(c, opt);
	if (r == 0)
		r = start(c, opt, err);
	return source_made(ret, &c->base, r);
}
