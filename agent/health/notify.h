/* agent/health/notify.h: tells the service manager how the agent is: sd_notify(3).
 *
 * The protocol is one datagram of VAR=VALUE lines to the socket named in $NOTIFY_SOCKET, and it is
 * promised to stay (systemd's "Portability and Stability", sd_notify(3) "Notes"): these few lines
 * spare a small unit libsystemd and what that links (libcap, libgcrypt, liblzma, libzstd, lz4).
 * Other managers that speak it work too. */
#pragma once

#include "base/base.h"

#include <sys/socket.h>
#include <sys/un.h>

enum {
	NOTIFY_TEXT_MAX = 512, /* of one message */
	NOTIFY_WAIT_MS = 250,  /* the longest that a manager with a full queue holds us up */
};

struct notify {
	int fd; /* -1: nobody is to be told */
	struct sockaddr_un addr;
	socklen_t addr_len;
	int64_t watchdog_ns; /* WATCHDOG=1 must come more often than this; 0: not wanted */
};

/* Takes NOTIFY_SOCKET (a path, or @name for an abstract one), WATCHDOG_USEC and WATCHDOG_PID from
 * the environment. Returns 0, also when nobody is to be told; -EINVAL with err for a value that
 * makes no sense; -errno with err where there is no socket to be had. n can be used after all of
 * these: it tells nobody, or watches nothing, where that could not be made out. */
int notify_open(struct notify *n, struct error *err) must_check;
void notify_close(struct notify *n);

/* Sends "READY=1\nSTATUS=..." as it is: no value may hold a newline. Returns 0, also when nobody is
 * to be told; -EMSGSIZE; -EAGAIN when the manager did not take it in NOTIFY_WAIT_MS; -errno. */
int notify_send(const struct notify *n, const char *fmt, ...) printf_like(2, 3) must_check;
