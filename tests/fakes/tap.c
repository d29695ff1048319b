#include "tests/fakes/tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 16, LISTENER = 0, WAKE = 1, FIRST_PAIR = 2, THROTTLED_BYTES = 512 };

struct tap {
	pthread_t thread;
	int server_port, port;
	_Atomic uint64_t up, down;
	_Atomic bool stall, cut, stop;
	_Atomic int64_t rate; /* bytes/s up; 0: no limit */
	pthread_mutex_t lock; /* of kept */
	uint8_t kept[TAP_KEPT];
	size_t n_kept;
	/* Listener, eventfd, then two a connection: client, server; fd -1: free. */
	struct pollfd fds[FIRST_PAIR + 2 * PAIRS_MAX];
};

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void close_pair(struct pollfd *pair)
{
	for (int i = 0; i < 2; i++) {
		if (pair[i].fd >= 0)
			close(pair[i].fd);
		pair[i].fd = -1;
	}
}

static void close_pairs(struct tap *t)
{
	for (int i = 0; i < PAIRS_MAX; i++)
		close_pair(t->fds + FIRST_PAIR + 2 * i);
}

static int connect_server(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void accept_pair(struct tap *t)
{
	struct pollfd pair[2];

	/* A throttled link keeps no queue of its own: the client's is what tests look at. */
	if (t->rate > 0)
		setsockopt(t->fds[LISTENER].fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
	pair[0] = (struct pollfd){.fd = accept4(t->fds[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC),
				  .events = POLLIN};
	pair[1] = (struct pollfd){.fd = connect_server(t->server_port), .events = POLLIN};
	if (pair[0].fd < 0 || pair[1].fd < 0) {
		close_pair(pair);
		return;
	}
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i].fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	for (int i = 0; i < PAIRS_MAX; i++) {
		if (t->fds[FIRST_PAIR + 2 * i].fd < 0) {
			t->fds[FIRST_PAIR + 2 * i] = pair[0];
			t->fds[FIRST_PAIR + 2 * i + 1] = pair[1];
			return;
		}
	}
	close_pair(pair);
}

static void keep(struct tap *t, const uint8_t *data, size_t n)
{
	size_t old;

	if (n > TAP_KEPT) {
		data += n - TAP_KEPT;
		n = TAP_KEPT;
	}
	pthread_mutex_lock(&t->lock);
	old = t->n_kept < TAP_KEPT - n ? t->n_kept : TAP_KEPT - n;
	memmove(t->kept, t->kept + t->n_kept - old, old);
	memcpy(t->kept + old, data, n);
	t->n_kept = old + n;
	pthread_mutex_unlock(&t->lock);
}

static bool pass(struct tap *t, int from, int to, bool up)
{
	uint8_t data[65536];
	int64_t rate = up ? t->rate : 0;
	ssize_t n = read(from, data, rate > 0 ? THROTTLED_BYTES : sizeof(data));

	if (n <= 0)
		return false;
	if (up)
		keep(t, data, (size_t)n);
	if (rate > 0)
		usleep((useconds_t)(n * 1000000 / rate));
	*(up ? &t->up : &t->down) += (uint64_t)n;
	for (ssize_t done = 0; done < n;) {
		ssize_t w = send(to, data + done, (size_t)(n - done), MSG_NOSIGNAL);

		if (w <= 0)
			return false;
		done += w;
	}
	return true;
}

static void serve_pair(struct tap *t, struct pollfd *pair)
{
	bool ok = true;

	if (pair[0].fd >= 0 && pair[0].revents)
		ok = pass(t, pair[0].fd, pair[1].fd, true);
	if (ok && pair[1].fd >= 0 && pair[1].revents)
		ok = pass(t, pair[1].fd, pair[0].fd, false);
	if (!ok)
		close_pair(pair);
}

static void *run(void *arg)
{
	struct tap *t = arg;
	eventfd_t count;

	while (!t->stop) {
		nfds_t n = t->stall ? FIRST_PAIR : array_len(t->fds);

		if (poll(t->fds, n, -1) < 0)
			continue;
		if (t->fds[WAKE].revents)
			eventfd_read(t->fds[WAKE].fd, &count);
		if (t->cut) {
			close_pairs(t);
			t->cut = false;
			continue;
		}
		for (size_t i = FIRST_PAIR; i < n; i += 2)
			serve_pair(t, t->fds + i);
		if (t->fds[LISTENER].revents)
			accept_pair(t);
	}
	return NULL;
}

static int listen_somewhere(struct tap *t)
{
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	t->fds[LISTENER] = (struct pollfd){.fd = fd, .events = POLLIN};
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return -errno;
	t->port = ntohs(a.sin_port);
	return 0;
}

static void wake(struct tap *t)
{
	eventfd_write(t->fds[WAKE].fd, 1);
}

int tap_start(struct tap **ret, int server_port)
{
	struct tap *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < array_len(t->fds); i++)
		t->fds[i].fd = -1;
	pthread_mutex_init(&t->lock, NULL);
	t->server_port = server_port;
	t->fds[WAKE] = (struct pollfd){.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};
	r = listen_somewhere(t);
	if (r == 0)
		r = -pthread_create(&t->thread, NULL, run, t);
	if (r < 0) {
		close_pair(t->fds);
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct tap *tap_free(struct tap *t)
{
	if (!t)
		return NULL;
	t->stop = true;
	wake(t);
	pthread_join(t->thread, NULL);
	close_pairs(t);
	close_pair(t->fds);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

int tap_port(const struct tap *t)
{
	return t->port;
}

uint64_t tap_bytes_up(struct tap *t)
{
	return t->up;
}

uint64_t tap_bytes_down(struct tap *t)
{
	return t->down;
}

size_t tap_last_up(struct tap *t, uint8_t ret[TAP_KEPT])
{
	size_t n;

	pthread_mutex_lock(&t->lock);
	n = t->n_kept;
	memcpy(ret, t->kept, n);
	pthread_mutex_unlock(&t->lock);
	return n;
}

void tap_cut(struct tap *t)
{
	t->cut = true;
	wake(t);
}

void tap_stall(struct tap *t, bool stall)
{
	t->stall = stall;
	wake(t);
}

void tap_throttle(struct tap *t, int64_t rate)
{
	t->rate = rate;
}
