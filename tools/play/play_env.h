/* tools/play/play_env.h: clock, sleep and CAN sockets as playing needs them; a test gives others.
 */
#pragma once

#include "base/base.h"

#include <poll.h>
#include <sys/socket.h>

struct play_env {
	int64_t (*now)(void *ctx); /* ns of a clock that never jumps */
	/* Until until_ns, or until fd (may be NULL) has an event; seldom, returns early without a
	 * cause. Returns 1 with the event, or 0; -EINTR: the program is to end; another -errno. */
	int (*wait)(void *ctx, struct pollfd *fd, int64_t until_ns);
	/* A non-blocking socket that sends to the interface, CAN FD frames too where *ret_takes_fd,
	 * and receives nothing but error frames about bus-off. Returns it, or -errno with err. */
	int (*open)(void *ctx, const char *interface, bool *ret_takes_fd, struct error *err);
	/* As sendmmsg: returns how many left, at least 1, or -errno. */
	int (*send)(void *ctx, int fd, struct mmsghdr *msgs, unsigned n);
	void *ctx;
};

/* The kernel's; CLOCK_MONOTONIC. Takes over SIGINT and SIGTERM where they are not ignored: from the
 * first of them on wait returns -EINTR, and nothing else is interrupted. The same one again ends
 * the program. One at a time in a program. Returns 0 or -errno. */
int play_env_system(const struct play_env **ret) must_check;
/* Gives the signals back. */
void play_env_system_end(void);
