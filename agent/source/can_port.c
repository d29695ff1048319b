#include "agent/source/can_port.h"

#include "agent/can/can_interface.h"
#include "base/log.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

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
	int64_t wait_s = p->up_again ? 0 : CAN_PORT_RETRY_S;
	char what[96];

	port_close(p);
	counter_add(&env->counters->sources_failed, 1);
	if (error != p->error) {
		log_error("source_failed", "source=%s interface=%s retry_s=%d what=%s",
			  p->source->name, p->interface, CAN_PORT_RETRY_S,
			  can_interface_explain(error, p->interface, p->protocol, what,
						sizeof(what)));
	}
	p->error = error;
	p->up_again = false;
	loop_timer_in(env->loop, &p->retry, wait_s * NS_PER_S);
}

static int try_open(struct can_port *p)
{
	struct can_interface found;
	int fd, r;

	r = (p->find ? p->find : can_interface_find)(p->interface, &found);
	if (r < 0)
		return r;
	p->overflow = 0;
	fd = p->open(p, found.index);
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
	p->up_again = false;
	log_info("source_open", "source=%s interface=%s%s%s", p->source->name, p->interface,
		 *p->note ? " " : "", p->note);
	if (p->opened)
		p->opened(p);
}

static void on_readable(struct loop_fd *io, uint32_t events)
{
	struct can_port *p = io->ctx;

	p->readable(p, events);
}

/* The watch may hear of down and up before the socket tells that it was down. */
static void on_change(struct can_watcher *w, const struct can_watch_change *c)
{
	struct can_port *p = w->ctx;

	if (c->up && can_port_is_open(p))
		p->up_again = true;
	else if (c->up)
		can_port_retry(p);
}

/* Without a watch, or when it has no room for another interface, there is the retry. */
static void watch(struct can_port *p)
{
	struct can_watch *all = p->source->env->watch;

	p->watcher = (struct can_watcher){.cb = on_change, .ctx = p};
	if (all && can_watch_add(all, &p->watcher, p->interface) < 0)
		log_warn("link_not_watched", "source=%s interface=%s", p->source->name,
			 p->interface);
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
	watch(p);
	loop_timer_in(p->source->env->loop, &p->retry, 0);
	return 0;
}

bool can_port_is_open(const struct can_port *p)
{
	return p->io.cb && p->io.fd >= 0;
}

void can_port_retry(struct can_port *p)
{
	if (!can_port_is_open(p))
		loop_timer_in(p->source->env->loop, &p->retry, 0);
}

static void say_dropped(struct can_port *p, uint32_t frames, const char *what)
{
	const struct source_env *env = p->source->env;

	counter_add(&env->counters->frames_dropped, frames);
	if (limit_pass(&p->dropped, "frames_dropped", loop_now(env->loop)))
		log_warn("frames_dropped", "source=%s interface=%s frames=%u what=%s",
			 p->source->name, p->interface, frames, what);
}

void can_port_drop(struct can_port *p)
{
	counter_add(&p->source->env->counters->frames_dropped_busy, 1);
	say_dropped(p, 1, "no free batch");
}

uint32_t can_port_overflow(struct can_port *p, uint32_t total)
{
	uint32_t lost = total - p->overflow;

	p->overflow = total;
	if (lost == 0)
		return 0;
	counter_add(&p->source->env->counters->frames_dropped_socket, lost);
	say_dropped(p, lost, "the socket's buffer was full");
	return lost;
}

void can_port_stop(struct can_port *p)
{
	if (!p->io.cb)
		return;
	can_watch_remove(&p->watcher);
	loop_timer_cancel(&p->retry);
	p->closed = NULL;
	port_close(p);
}
