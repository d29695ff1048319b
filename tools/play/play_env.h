/* tools/play/play_env.h: clock, sleep and CAN sockets as playing needs them; a test gives others.
 */
#pragma once

#include "base/base.h"

#include <poll.h>
#include <sys/socket.h>

struct play_env {
	int64_t (*now)(void *ctx); /* ns of a clock that never jumps */
	/* Until until_ns, or until one of the n fds has an event; seldom, returns early without a
	 * cause. Returns how many have one, or 0; -EINTR: the program is to end. fds may be NULL
	 * with n 0. */
	int (*wait)(void *ctx, struct pollfd *fds, size_t n, int64_t until_ns);
	/* A non-blocking socket that sends to the interface, CAN FD frames too where *ret_takes_fd,
	 * and receives nothing but error frames about bus-off. Returns it, or -errno with err. */
	int (*open)(void *ctx, const char *interface, bool *ret_takes_fd, struct error *err);
	/* As sendmmsg: returns how many left, at least 1, or -errno. */
	int (*send)(void *ctx, int fd, struct mmsghdr *msgs, unsigned n);
	void *ctx;
};

/* The kernel's; CLOCK_MONOTONIC. Takes over SIGINT and SIGTERM where they are not ignored: wait
 * returns -EINTR from the first of them on, and nothing else is interrupted. A second one ends the
 * program. One at a time in a program. */
const struct play_env *play_env_system(void);
/* Gives the signals back. */
void play_env_system_end(void);
