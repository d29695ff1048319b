/* tests/system/guest/usb/usbip.h */
#include "usbip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	/* USB/IP, Documentation/usb/usbip_protocol.rst; in network order */
	CMD_SUBMIT = 1,
	CMD_UNLINK = 2,
	RET_SUBMIT = 3,
	RET_UNLINK = 4,
	HIGH_SPEED = 3,
	/* USB 2.0 §9 */
	GET_STATUS = 0,
	GET_DESCRIPTOR = 6,
	DEVICE = 1,
	DEVICE_BYTES = 18,
	CONFIGURATION = 2,
	ENDPOINTS = 8,
	DATA_MAX = 4096,
	WAITING_MAX = 64, /* reads of the driver */
	READY_MAX = 16,	  /* what it has not read yet */
	READY_BYTES = 128,
};

struct header {
	uint32_t command, seq, devid, in, endpoint;
	union {
		struct {
			uint32_t flags, length, start, packets, interval;
			uint8_t setup[8];
		} submit;
		struct {
			uint32_t status, length, start, packets, errors, unused[2];
		} result;
		uint32_t unlink_seq;
	};
};

/* Reads that have no data yet, or data that nobody has read yet. */
struct endpoint {
	uint32_t waiting[WAITING_MAX];
	size_t n_waiting;
	struct {
		uint8_t data[READY_BYTES];
		size_t len;
	} ready[READY_MAX];
	size_t n_ready;
};

static const struct usb_simulation *sim;
static struct endpoint endpoints[ENDPOINTS];
static int usb = -1;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", sim->name, what, strerror(errno));
	exit(1);
}

static void read_all(void *out, size_t len)
{
	uint8_t *p = out;

	for (ssize_t n; len > 0; p += n, len -= (size_t)n) {
		n = read(usb, p, len);
		if (n == 0)
			exit(0); /* detached */
		if (n < 0)
			die("read");
	}
}

static void write_all(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (ssize_t n; len > 0; p += n, len -= (size_t)n) {
		n = write(usb, p, len);
		if (n < 0)
			die("write");
	}
}

/* len: of what was written to the device, or of data. */
static void finish(uint32_t seq, int status, const void *data, size_t len)
{
	struct header h = {.command = htonl(RET_SUBMIT), .seq = htonl(seq)};

	h.result.status = htonl((uint32_t)status);
	h.result.length = htonl((uint32_t)len);
	write_all(&h, sizeof(h));
	if (data)
		write_all(data, len);
}

static void give(uint32_t seq, const void *data, size_t len, size_t wanted)
{
	finish(seq, 0, data, len < wanted ? len : wanted);
}

/* ---- endpoints ---- */

static struct endpoint *endpoint_of(uint32_t number)
{
	if (number >= ENDPOINTS) {
		errno = EBADSLT;
		die("endpoint");
	}
	return &endpoints[number];
}

static void deliver(struct endpoint *e)
{
	while (e->n_waiting > 0 && e->n_ready > 0) {
		finish(e->waiting[0], 0, e->ready[0].data, e->ready[0].len);
		memmove(e->waiting, e->waiting + 1, --e->n_waiting * sizeof(e->waiting[0]));
		memmove(e->ready, e->ready + 1, --e->n_ready * sizeof(e->ready[0]));
	}
}

void usb_receive(unsigned endpoint, const void *data, size_t len)
{
	struct endpoint *e = endpoint_of(endpoint);

	if (e->n_ready == READY_MAX || len > READY_BYTES) {
		errno = EMSGSIZE;
		die("data");
	}
	memcpy(e->ready[e->n_ready].data, data, len);
	e->ready[e->n_ready++].len = len;
	deliver(e);
}

/* ---- USB/IP ---- */

static void on_get(uint32_t seq, const uint8_t *setup, size_t wanted)
{
	static const uint8_t zeros[2];
	bool vendor = (setup[0] & 0x60) == 0x40;
	const void *data = NULL;
	size_t len = 0;

	if (vendor && sim->get)
		data = sim->get(setup[1], &len);
	if (data)
		give(seq, data, len, wanted);
	else if (!vendor && setup[1] == GET_DESCRIPTOR && setup[3] == DEVICE)
		give(seq, sim->device, DEVICE_BYTES, wanted);
	else if (!vendor && setup[1] == GET_DESCRIPTOR && setup[3] == CONFIGURATION)
		give(seq, sim->configuration, sim->configuration_len, wanted);
	else if (!vendor && setup[1] == GET_STATUS)
		give(seq, zeros, sizeof(zeros), wanted);
	else
		finish(seq, -EPIPE, NULL, 0); /* a stall: there is no such thing */
}

static void on_read(struct endpoint *e, uint32_t seq)
{
	if (e->n_waiting == WAITING_MAX) {
		errno = EMSGSIZE;
		die("reads");
	}
	e->waiting[e->n_waiting++] = seq;
	deliver(e);
}

static void on_submit(const struct header *h)
{
	static uint8_t data[DATA_MAX];
	uint32_t seq = ntohl(h->seq), len = ntohl(h->submit.length), to = ntohl(h->endpoint);
	bool in = ntohl(h->in) != 0;

	if (len > sizeof(data)) {
		errno = EMSGSIZE;
		die("request");
	}
	if (!in)
		read_all(data, len);
	if (in && to == 0) {
		on_get(seq, h->submit.setup, len);
		return;
	}
	if (in) {
		on_read(endpoint_of(to), seq);
		return;
	}
	finish(seq, 0, NULL, len);
	if (to != 0)
		sim->sent(to, data, len);
	else if ((h->submit.setup[0] & 0x60) == 0x40 && sim->set)
		sim->set(h->submit.setup[1], data);
}

static bool forget(struct endpoint *e, uint32_t seq)
{
	for (size_t i = 0; i < e->n_waiting; i++)
		if (e->waiting[i] == seq) {
			memmove(e->waiting + i, e->waiting + i + 1,
				(--e->n_waiting - i) * sizeof(e->waiting[0]));
			return true;
		}
	return false;
}

static void on_unlink(const struct header *h)
{
	struct header answer = {.command = htonl(RET_UNLINK), .seq = h->seq};

	for (size_t i = 0; i < ENDPOINTS; i++)
		if (forget(&endpoints[i], ntohl(h->unlink_seq))) {
			answer.result.status = htonl((uint32_t)-ECONNRESET);
			break;
		}
	write_all(&answer, sizeof(answer));
}

static void on_usb(void)
{
	struct header h;

	read_all(&h, sizeof(h));
	if (ntohl(h.command) == CMD_SUBMIT)
		on_submit(&h);
	else
		on_unlink(&h);
}

static void attach(void)
{
	char text[64];
	int fds[2], fd, len;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		die("socketpair");
	fd = open("/sys/devices/platform/vhci_hcd.0/attach", O_WRONLY | O_CLOEXEC);
	len = snprintf(text, sizeof(text), "0 %d 1 %d", fds[1], HIGH_SPEED);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		die("vhci_hcd");
	close(fd);
	close(fds[1]);
	usb = fds[0];
}

static void on_control(int control)
{
	char text[64];
	ssize_t n = read(control, text, sizeof(text) - 1);

	if (n <= 0)
		return;
	text[n] = '\0';
	sim->told(text);
}

int usb_simulate(const struct usb_simulation *s, int argc, char **argv)
{
	int control;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CONTROL\n", s->name);
		return 2;
	}
	sim = s;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	control = open(argv[1], O_RDWR | O_CLOEXEC);
	if (control < 0)
		die(argv[1]);
	attach();
	for (;;) {
		struct pollfd p[] = {{.fd = usb, .events = POLLIN},
				     {.fd = control, .events = POLLIN}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (p[0].revents)
			on_usb();
		if (p[1].revents)
			on_control(control);
	}
}
