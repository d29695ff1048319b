#include "agent/health/notify.h"

#include "base/timebase.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* Decimal digits and nothing else, as the manager writes them. */
static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		unsigned digit = (unsigned)(unsigned char)*text - '0';

		if (digit > 9 || value > (max - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	*ret = value;
	return 0;
}

static int parse_address(struct notify *n, const char *text, struct error *err)
{
	size_t len = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || len < 2) {
		error_set(err, "NOTIFY_SOCKET=%.100s is neither a path nor an @name", text);
		return -EINVAL;
	}
	/* A path keeps its NUL; an abstract name has none, and its @ stands for one. */
	if (len + (text[0] == '/') > sizeof(n->addr.sun_path)) {
		error_set(err, "NOTIFY_SOCKET has %zu bytes, more than an address can", len);
		return -EINVAL;
	}
	n->addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(n->addr.sun_path, text, len);
	if (text[0] == '@')
		n->addr.sun_path[0] = '\0';
	n->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] == '/'));
	return 0;
}

static int open_socket(struct notify *n, struct error *err)
{
	struct timeval wait = {.tv_usec = NOTIFY_WAIT_MS * 1000};
	int r = 0;

	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd < 0 || setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0)
		r = -errno;
	if (r < 0) {
		error_set(err, "no socket to the service manager: %s", strerror(-r));
		notify_close(n);
	}
	return r;
}

/* sd_watchdog_enabled(3): for us where WATCHDOG_PID is not set, or ours. */
static int read_watchdog(struct notify *n, struct error *err)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value;

	if (!usec)
		return 0;
	if (pid) {
		if (parse_number(pid, INT32_MAX, &value) < 0 || value == 0) {
			error_set(err, "WATCHDOG_PID=%.100s is no process", pid);
			return -EINVAL;
		}
		if (value != (uint64_t)getpid())
			return 0;
	}
	if (parse_number(usec, INT64_MAX / NS_PER_US, &value) < 0 || value == 0) {
		error_set(err, "WATCHDOG_USEC=%.100s is no time in microseconds", usec);
		return -EINVAL;
	}
	n->watchdog_ns = (int64_t)value * NS_PER_US;
	return 0;
}

int notify_open(struct notify *n, struct error *err)
{
	const char *address = getenv("NOTIFY_SOCKET");
	int r;

	*n = (struct notify){.fd = -1};
	if (!address)
		return 0;
	r = parse_address(n, address, err);
	if (r == 0)
		r = open_socket(n, err);
	return r < 0 ? r : read_watchdog(n, err);
}

void notify_close(struct notify *n)
{
	if (n->fd >= 0)
		(void)close(n->fd);
	n->fd = -1;
	n->watchdog_ns = 0;
}

int notify_send(const struct notify *n, const char *fmt, ...)
{
	char text[NOTIFY_TEXT_MAX];
	ssize_t sent;
	va_list ap;
	int len;

	if (n->fd < 0)
		return 0;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(text))
		return -EMSGSIZE;
	/* To the address each time: the manager may have made its socket anew. */
	do {
		sent = sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL,
			      (const struct sockaddr *)&n->addr, n->addr_len);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}
