#include "agent/can/can_watch.h"

#include "agent/can/can_link_msg.h"
#include "base/log.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_BYTES = 32 << 10, /* an interface's description is 2 to 4 KiB */
	READS_A_TURN = 16,
	SOCKET_BYTES = 256 << 10, /* some 60 messages; beyond, all is asked again */
};

struct can_watch_link {
	char name[IFNAMSIZ];
	bool exists;
	bool off; /* went bus-off and does not work since */
	struct can_link_state state;
	struct can_watcher *watchers;
	struct can_watcher *next; /* to be told, while they are told */
};

struct can_watch {
	struct loop *loop;
	struct counters *counters;
	struct can_watch_kernel kernel;
	struct loop_fd io;
	struct loop_timer tick;
	bool lost; /* messages, for want of room; asked for when there is room for the answers */
	int error; /* why the socket is not open, as last logged; 0: open */
	size_t n;
	struct can_watch_link links[CAN_WATCH_LINKS_MAX];
	uint64_t buf[READ_BYTES / 8];
};

/* ---- what changed ---- */

struct tally {
	uint32_t off, restarts; /* how often since the last look */
};

static uint32_t grown(uint32_t before, uint32_t now)
{
	return now > before ? now - before : 0;
}

/* Some drivers count, some do not, and what is counted may have come and gone between two looks. */
static struct tally tally_bus_off(struct can_watch_link *l, const struct can_link_state *s,
				  bool same)
{
	bool is_off = s->up && s->can_state == CAN_STATE_BUS_OFF;
	bool works = s->up && s->can_state >= CAN_STATE_ERROR_ACTIVE &&
		     s->can_state <= CAN_STATE_ERROR_PASSIVE;
	struct tally t = {0};

	if (same && l->state.has_stats && s->has_stats) {
		t.off = grown(l->state.stats.bus_off, s->stats.bus_off);
		t.restarts = grown(l->state.stats.restarts, s->stats.restarts);
	}
	if (!same)
		l->off = false;
	if (is_off && !l->off && t.off == 0)
		t.off = 1;
	if (works && (l->off || t.off > 0) && t.restarts == 0)
		t.restarts = 1;
	if (is_off)
		l->off = true;
	else if (works)
		l->off = false;
	return t;
}

static void say_link(const struct can_watch_link *l, const struct can_watch_change *c)
{
	if (c->down)
		log_warn("link_down", "interface=%s what=%s", l->name,
			 c->vanished ? "the interface is gone" : "set down");
	if (c->up)
		log_info("link_up", "interface=%s bitrate=%u dbitrate=%u state=%s", l->name,
			 l->state.bittiming.bitrate, l->state.data_bittiming.bitrate,
			 can_link_state_name(l->state.can_state));
}

static void say_bus(const struct can_watch_link *l, const struct tally *t, int before)
{
	const struct can_link_state *s = &l->state;

	if (t->off > 0)
		log_error("bus_off",
			  "interface=%s times=%u kernel_restart_ms=%u tx_errors=%u rx_errors=%u",
			  l->name, t->off, s->restart_ms, s->berr.txerr, s->berr.rxerr);
	if (t->restarts > 0)
		log_info("bus_restarted", "interface=%s times=%u state=%s", l->name, t->restarts,
			 can_link_state_name(s->can_state));
	if (s->up && before != s->can_state && t->off == 0 && t->restarts == 0 &&
	    s->can_state != CAN_LINK_STATE_NONE)
		log_info("bus_state", "interface=%s state=%s tx_errors=%u rx_errors=%u", l->name,
			 can_link_state_name(s->can_state), s->berr.txerr, s->berr.rxerr);
}

static void tell(struct can_watch_link *l, const struct can_watch_change *c)
{
	for (struct can_watcher *w = l->watchers; w; w = l->next) {
		l->next = w->next;
		w->cb(w, c);
	}
	l->next = NULL;
}

/* s: how it is now, NULL: there is none. */
static void update(struct can_watch *w, struct can_watch_link *l, const struct can_link_state *s)
{
	bool was_up = l->exists && l->state.up;
	bool same = l->exists && s && s->ifindex == l->state.ifindex;
	int before = was_up && same ? l->state.can_state : CAN_LINK_STATE_NONE;
	struct tally t = {0};
	struct can_watch_change c = {
		.state = s ? &l->state : NULL,
		.appeared = s && !same,
		.vanished = l->exists && !same,
		.down = was_up && !(same && s->up),
		.up = s && s->up && !(same && was_up),
	};

	if (s) {
		t = tally_bus_off(l, s, same);
		l->state = *s;
	}
	l->exists = s != NULL;
	c.bus_off = l->exists && l->off && t.off > 0;
	c.restarted = t.restarts > 0;
	counter_add(&w->counters->links_down, c.down);
	counter_add(&w->counters->bus_off, t.off);
	counter_add(&w->counters->bus_restarts, t.restarts);
	say_link(l, &c);
	if (s)
		say_bus(l, &t, c.up ? s->can_state : before);
	if (c.appeared || c.vanished || c.up || c.down || c.bus_off || c.restarted)
		tell(l, &c);
}

/* ---- messages ---- */

static void take_link(struct can_watch *w, const struct can_link_msg *m)
{
	bool here = m->type == CAN_LINK_MSG_LINK && m->is_can;

	for (size_t i = 0; i < w->n; i++) {
		struct can_watch_link *l = &w->links[i];
		bool named = strcmp(l->name, m->state.interface) == 0;

		if (named && here)
			update(w, l, &m->state);
		else if (l->exists && l->state.ifindex == m->state.ifindex)
			update(w, l, NULL); /* gone, or it has another name now */
	}
}

void can_watch_bytes(struct can_watch *w, const void *data, size_t len)
{
	const uint8_t *p = data;
	struct can_link_msg m;
	size_t n;

	for (; (n = can_link_msg_take(p, len, &m)) > 0; p += n, len -= n) {
		if (m.type == CAN_LINK_MSG_LINK || m.type == CAN_LINK_MSG_GONE)
			take_link(w, &m);
		else if (m.type == CAN_LINK_MSG_ANSWER && m.error == -ENODEV && m.seq >= 1 &&
			 m.seq <= w->n && w->links[m.seq - 1].exists)
			update(w, &w->links[m.seq - 1], NULL);
	}
}

/* ---- the socket ---- */

static int open_netlink(void *ctx)
{
	const struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	const int bytes = SOCKET_BYTES;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int r;

	(void)ctx;
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)); /* or as it is */
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	return fd;
}

static void watch_close(struct can_watch *w)
{
	if (w->io.fd < 0)
		return;
	loop_fd_remove(&w->io);
	(void)close(w->io.fd);
	w->io.fd = -1;
}

/* Says it when the reason changes; the next tick tries again. */
static void watch_fail(struct can_watch *w, int error)
{
	watch_close(w);
	if (error != w->error)
		log_error("link_watch_failed", "retry_ms=%d what=%s", CAN_WATCH_PERIOD_MS,
			  strerror(error));
	w->error = error;
}

static void watch_open(struct can_watch *w)
{
	int fd = w->kernel.open(w->kernel.ctx);
	int r;

	if (fd < 0) {
		watch_fail(w, -fd);
		return;
	}
	w->io.fd = fd;
	r = loop_fd_add(w->loop, &w->io, EPOLLIN);
	if (r < 0) {
		(void)close(fd);
		w->io.fd = -1;
		watch_fail(w, -r);
		return;
	}
	w->error = 0;
}

static void ask(struct can_watch *w, size_t i)
{
	uint64_t request[CAN_LINK_REQUEST_MAX / 8];
	size_t len = can_link_msg_get(request, (uint32_t)i + 1, w->links[i].name);

	/* What is not sent now is asked again with the next tick. */
	if (w->io.fd >= 0 && send(w->io.fd, request, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
		watch_fail(w, errno);
}

static void ask_all(struct can_watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->links[i].watchers)
			ask(w, i);
}

/* Returns whether there may be more. */
static bool read_once(struct can_watch *w)
{
	struct sockaddr_nl from = {0};
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(w->io.fd, w->buf, sizeof(w->buf), MSG_DONTWAIT,
			     (struct sockaddr *)&from, &from_len);

	if (n > 0) {
		if (from.nl_pid == 0) /* the kernel, and nobody else */
			can_watch_bytes(w, w->buf, (size_t)n);
		return true;
	}
	if (n < 0 && errno == ENOBUFS) {
		w->lost = true;
		return true;
	}
	if (n < 0 && errno == EAGAIN && w->lost) {
		log_warn("link_messages_lost", "what=asking for all of them");
		w->lost = false;
		ask_all(w);
		return false;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		watch_fail(w, n == 0 ? ECONNRESET : errno);
	return false;
}

static void on_readable(struct loop_fd *io, uint32_t events)
{
	struct can_watch *w = io->ctx;

	(void)events;
	for (int i = 0; i < READS_A_TURN && read_once(w); i++)
		;
}

static void on_tick(struct loop_timer *t)
{
	struct can_watch *w = t->ctx;

	if (w->io.fd < 0)
		watch_open(w);
	ask_all(w);
	loop_timer_in(w->loop, t, CAN_WATCH_PERIOD_MS * NS_PER_MS);
}

/* ---- the watch ---- */

int can_watch_new(struct can_watch **ret, struct loop *loop, struct counters *counters,
		  const struct can_watch_kernel *kernel)
{
	struct can_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->loop = loop;
	w->counters = counters;
	w->kernel = kernel ? *kernel : (struct can_watch_kernel){.open = open_netlink};
	w->io = (struct loop_fd){.cb = on_readable, .ctx = w, .fd = -1};
	w->tick = (struct loop_timer){.cb = on_tick, .ctx = w};
	*ret = w;
	return 0;
}

struct can_watch *can_watch_free(struct can_watch *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; i < w->n; i++)
		assert(!w->links[i].watchers);
	loop_timer_cancel(&w->tick);
	watch_close(w);
	free(w);
	return NULL;
}

static struct can_watch_link *find(struct can_watch *w, const char *interface)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->links[i].name, interface) == 0)
			return &w->links[i];
	return NULL;
}

int can_watch_add(struct can_watch *w, struct can_watcher *watcher, const char *interface)
{
	struct can_watch_link *l = find(w, interface);

	if (!l) {
		if (w->n == CAN_WATCH_LINKS_MAX)
			return -ENOSPC;
		l = &w->links[w->n++];
		*l = (struct can_watch_link){.exists = false};
		(void)snprintf(l->name, sizeof(l->name), "%s", interface);
	}
	watcher->link = l;
	watcher->next = l->watchers;
	l->watchers = watcher;
	loop_timer_in(w->loop, &w->tick, 0);
	return 0;
}

void can_watch_remove(struct can_watcher *watcher)
{
	struct can_watch_link *l = watcher->link;
	struct can_watcher **p;

	if (!l)
		return;
	for (p = &l->watchers; *p != watcher; p = &(*p)->next)
		;
	*p = watcher->next;
	if (l->next == watcher)
		l->next = watcher->next;
	watcher->link = NULL;
}

void can_watch_look(struct can_watch *w, const char *interface)
{
	const struct can_watch_link *l = find(w, interface);

	if (l)
		ask(w, (size_t)(l - w->links));
}
