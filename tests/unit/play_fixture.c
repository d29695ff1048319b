#include "tests/unit/play_fixture.h"

#include "base/timebase.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int64_t fake_now(void *ctx)
{
	return ((struct play_world *)ctx)->now_ns;
}

static void drain(struct play_world *w, size_t port)
{
	struct play_frame *f = &w->got[w->n_got];
	ssize_t n;

	if (w->deaf)
		return;
	while ((n = recv(w->ports[port].theirs, &f->frame, sizeof(f->frame), MSG_DONTWAIT)) > 0) {
		f->t_ns = w->now_ns;
		f->interface = w->ports[port].name;
		f->size = (size_t)n;
		ck_assert_uint_lt(++w->n_got, PLAY_FRAMES_MAX);
		f++;
	}
}

static int fake_wait(void *ctx, struct pollfd *fd, int64_t until_ns)
{
	struct play_world *w = ctx;

	if (until_ns > w->now_ns || fd)
		w->waits++;
	if (w->on_wait)
		w->on_wait(w);
	if (w->end_ns && w->now_ns >= w->end_ns)
		return -EINTR;
	for (size_t i = 0; i < w->n_ports; i++)
		drain(w, i);
	if (fd) {
		if (fd->events & POLLOUT)
			w->room_waits++;
		if (poll(fd, 1, 0) > 0)
			return 1;
	}
	if (until_ns > w->now_ns) {
		w->now_ns = until_ns;
		if (w->end_ns && w->now_ns > w->end_ns)
			w->now_ns = w->end_ns;
		else if (!fd)
			w->now_ns += w->late_ns;
	}
	return w->end_ns && w->now_ns >= w->end_ns ? -EINTR : 0;
}

static int fake_open(void *ctx, const char *interface, bool *ret_takes_fd, struct error *err)
{
	struct play_world *w = ctx;
	int pair[2];

	if (w->missing && strcmp(interface, w->missing) == 0) {
		error_set(err, "interface %s: there is no such interface", interface);
		return -ENODEV;
	}
	ck_assert_uint_lt(w->n_ports, PLAY_PORTS_MAX);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	snprintf(w->ports[w->n_ports].name, sizeof(w->ports[0].name), "%s", interface);
	w->ports[w->n_ports++].theirs = pair[1];
	*ret_takes_fd = !w->classic || strcmp(interface, w->classic) != 0;
	return pair[0];
}

static int fake_send(void *ctx, int fd, struct mmsghdr *msgs, unsigned n)
{
	struct play_world *w = ctx;
	int sent;

	w->sends++;
	if (w->send_errors) {
		w->send_errors -= w->send_errors > 0;
		return w->send_error;
	}
	if (w->send_max && n > w->send_max)
		n = w->send_max;
	sent = sendmmsg(fd, msgs, n, MSG_DONTWAIT);
	if (sent < 0)
		return -errno;
	for (size_t i = 0; !w->keep && i < w->n_ports; i++)
		drain(w, i);
	return sent;
}

void play_world_init(struct play_world *w)
{
	memset(w, 0, sizeof(*w));
	w->now_ns = 1000 * NS_PER_S;
	w->env = (struct play_env){
		.now = fake_now,
		.wait = fake_wait,
		.open = fake_open,
		.send = fake_send,
		.ctx = w,
	};
}

/* Our ends belong to who opened them. */
void play_world_free(struct play_world *w)
{
	for (size_t i = 0; i < w->n_ports; i++)
		close(w->ports[i].theirs);
}

void play_world_say(struct play_world *w, size_t port, const struct can_frame *f)
{
	ck_assert_int_eq(send(w->ports[port].theirs, f, sizeof(*f), 0), sizeof(*f));
}
