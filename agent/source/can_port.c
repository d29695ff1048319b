#include "agent/source/can_port.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void explain(const struct can_port *p, int error, char *out, size_t size)
{
	switch (error) {
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		(void)snprintf(out, size, "this kernel has no SocketCAN with %s", p->protocol);
		break;
	case ENODEV:
		(void)snprintf(out, size, "there is no such interface");
		break;
	case ENETDOWN:
		(void)snprintf(out, size, "the interface is down (ip link set %s up)",
			       p->interface);
		break;
	default:
		(void)snprintf(out, size, "%s", strerror(error));
	}
}

static void port_close(struct can_port *p)
{
	if (p->io.fd < 0)
		return;
	loop_fd_remove(&p->io);
	(void)close(p->io.fd);
	p->io.fd = -1;
	if (p->closed)
		p->closed(p);
}

/* Says it when the reason changes; goes on trying quietly. */
void can_port_fail(struct can_port *p, int error)
{
	const struct source_env *env = p->source->env;
	char what[96];

	port_close(p);
	counter_add(&env->counters->sources_failed, 1);
	if (error != p->error) {
		explain(p, error, what, sizeof(what));
		log_error("source_failed", "source=%s interface=%s retry_s=%d what=%s",
			  p->source->name, p->interface, CAN_PORT_RETRY_S, what);
	}
	p->error = error;
	if (loop_timer_in(env->loop, &p->retry, CAN_PORT_RETRY_S * NS_PER_S) < 0)
		source_end(p->source);
}

/* The index of the interface, if it is up. */
static int find_interface(const struct can_port *p)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, p->interface, sizeof(ifr.ifr_name));
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		r = -errno;
	else if (!(ifr.ifr_flags & IFF_UP))
		r = -ENETDOWN;
	else if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		r = -errno;
	(void)close(fd);
	return r < 0 ? r : ifr.ifr_ifindex;
}

static int try_open(struct can_port *p)
{
	int ifindex = find_interface(p);
	int fd, r;

	if (ifindex < 0)
		return ifindex;
	fd = p->open(p, ifindex);
	if (fd < 0)
		return fd;
	p->io.fd = fd;
	r = loop_fd_add(p->source->env->loop, &p->io, EPOLLIN);
	if (r < 0) {
		(void)close(fd);
		p->io.fd = -1;
	}
	return r;
}

static void on_retry(struct loop_timer *t)
{
	struct can_port *p = t->ctx;
	int r = try_open(p);

	if (r < 0) {
		can_port_fail(p, -r);
		return;
	}
	p->error = 0;
	log_info("source_open", "source=%s interface=%s", p->source->name, p->interface);
	if (p->opened)
		p->opened(p);
}

static void on_readable(struct loop_fd *io, uint32_t events)
{
	struct can_port *p = io->ctx;

	p->readable(p, events);
}

int can_port_start(struct can_port *p, const char *interface, struct error *err)
{
	size_t len = strlen(interface);

	p->io = (struct loop_fd){.cb = on_readable, .ctx = p, .fd = -1};
	p->retry = (struct loop_timer){.cb = on_retry, .ctx = p};
	if (len == 0 || len >= sizeof(p->interface)) {
		error_set(err, "interface '%s': 1 to %zu characters", interface,
			  sizeof(p->interface) - 1);
		return -EINVAL;
	}
	memcpy(p->interface, interface, len + 1);
	return loop_timer_in(p->source->env->loop, &p->retry, 0);
}

bool can_port_is_open(const struct can_port *p)
{
	return p->io.cb && p->io.fd >= 0;
}

void can_port_retry(struct can_port *p)
{
	if (!can_port_is_open(p) && loop_timer_in(p->source->env->loop, &p->retry, 0) < 0)
		source_end(p->source);
}

void can_port_stop(struct can_port *p)
{
	if (!p->io.cb)
		return;
	loop_timer_cancel(&p->retry);
	p->closed = NULL;
	port_close(p);
}
