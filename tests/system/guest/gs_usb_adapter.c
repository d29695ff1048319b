/* A CAN FD adapter on USB, simulated: serves the kernel's gs_usb driver through USB/IP within one
 * machine (vhci_hcd).
 *
 * No controller that QEMU emulates has CAN FD with a driver in Debian's kernel. To the kernel this
 * one is a device like any other: bit timing of both phases goes through the same code.
 *
 * gs_usb_adapter CONTROL: prints what the driver sets, a line each:
 *   mode start|reset FLAGS              FLAGS of the mode in hex (0x100: CAN FD)
 *   bittiming BITRATE SAMPLE_POINT      of the arbitration phase, sample point per mille
 *   data_bittiming BITRATE SAMPLE_POINT
 *   frame ID DLC FLAGS                  that was sent; it is acknowledged
 * A line read from the FIFO CONTROL: "bus-off", an error frame that says so. Ends with its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
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
	CONFIGURATION = 2,
	/* Requests of gs_usb, little-endian */
	BITTIMING = 1,
	MODE = 2,
	BT_CONST = 4,
	DEVICE_CONFIG = 5,
	DATA_BITTIMING = 10,
	BT_CONST_EXT = 11,
	FEATURES = 1 << 0 /* listen-only */ | 1 << 8 /* CAN FD */ | 1 << 10 /* BT_CONST_EXT */,
	CLOCK_HZ = 80000000,
	DATA_MAX = 4096,
	WAITING_MAX = 64,
	HOST_FRAME = 20, /* of a classic frame */
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

static const uint8_t device_descriptor[] = {
	18, DEVICE, 0x00, 0x02, 0, 0, 0, 64, 0x50, 0x1d, 0x6f, 0x60, 0, 0, 0, 0, 0, 1,
};

static const uint8_t configuration[] = {
	9,    CONFIGURATION,
	32,   0,
	1,    1,
	0,    0x80,
	50, /* one interface */
	9,    4,
	0,    0,
	2,    0xff,
	0xff, 0xff,
	0, /* two endpoints */
	7,    5,
	0x81, 2,
	0x00, 0x02,
	0, /* bulk in */
	7,    5,
	0x02, 2,
	0x00, 0x02,
	0, /* bulk out */
};

static const uint32_t device_config[] = {0, 2, 1}; /* one channel, versions */

static const uint32_t limits[] = {
	FEATURES, CLOCK_HZ, 1, 256, 1,	128, 128, 1, 512, 1, /* arbitration phase */
	1,	  32,	    1, 16,  16, 1,   32,  1,	     /* data phase */
};

static int usb = -1;
static uint32_t waiting[WAITING_MAX]; /* reads of the driver that have no data yet */
static size_t n_waiting;

static void die(const char *what)
{
	fprintf(stderr, "gs_usb_adapter: %s: %s\n", what, strerror(errno));
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

/* ---- what the driver sets ---- */

static void print_timing(const char *what, const uint8_t *data)
{
	uint32_t t[5]; /* prop_seg, phase_seg1, phase_seg2, sjw, brp */
	uint32_t quanta, before;

	memcpy(t, data, sizeof(t));
	before = 1 + t[0] + t[1];
	quanta = before + t[2];
	printf("%s %u %u\n", what, CLOCK_HZ / (t[4] * quanta), before * 1000 / quanta);
}

static void on_set(uint8_t request, const uint8_t *data)
{
	uint32_t mode[2];

	if (request == BITTIMING)
		print_timing("bittiming", data);
	else if (request == DATA_BITTIMING)
		print_timing("data_bittiming", data);
	if (request != MODE)
		return;
	memcpy(mode, data, sizeof(mode));
	printf("mode %s 0x%x\n", mode[0] ? "start" : "reset", mode[1]);
}

static void on_get(uint32_t seq, const uint8_t *setup, size_t wanted)
{
	static const uint8_t zeros[2];
	bool vendor = (setup[0] & 0x60) == 0x40;

	if (vendor && setup[1] == DEVICE_CONFIG)
		give(seq, device_config, sizeof(device_config), wanted);
	else if (vendor && (setup[1] == BT_CONST || setup[1] == BT_CONST_EXT))
		give(seq, limits, sizeof(limits), wanted);
	else if (!vendor && setup[1] == GET_DESCRIPTOR && setup[3] == DEVICE)
		give(seq, device_descriptor, sizeof(device_descriptor), wanted);
	else if (!vendor && setup[1] == GET_DESCRIPTOR && setup[3] == CONFIGURATION)
		give(seq, configuration, sizeof(configuration), wanted);
	else if (!vendor && setup[1] == GET_STATUS)
		give(seq, zeros, sizeof(zeros), wanted);
	else
		finish(seq, -EPIPE, NULL, 0); /* a stall: there is no such thing */
}

/* ---- frames ---- */

/* To the driver, when it waits for one. */
static void receive(const void *frame, size_t len)
{
	if (n_waiting == 0)
		return;
	finish(waiting[0], 0, frame, len);
	memmove(waiting, waiting + 1, --n_waiting * sizeof(waiting[0]));
}

static void on_sent(uint32_t seq, const uint8_t *data, size_t len)
{
	uint32_t id;

	finish(seq, 0, NULL, len);
	if (len < HOST_FRAME)
		return;
	memcpy(&id, data + 4, sizeof(id));
	printf("frame %X %u 0x%x\n", id, data[8], data[10]);
	receive(data, len); /* its echo says that it is on the bus */
}

static void send_bus_off(void)
{
	const uint32_t error[HOST_FRAME / 4] = {0xffffffff, 0x20000040, 8};

	receive(error, sizeof(error));
}

/* ---- USB/IP ---- */

static void on_submit(const struct header *h)
{
	static uint8_t data[DATA_MAX];
	uint32_t seq = ntohl(h->seq), len = ntohl(h->submit.length);
	bool in = ntohl(h->in) != 0;

	if (len > sizeof(data) || n_waiting == WAITING_MAX) {
		errno = EMSGSIZE;
		die("request");
	}
	if (!in)
		read_all(data, len);
	if (h->endpoint != 0) {
		if (in)
			waiting[n_waiting++] = seq;
		else
			on_sent(seq, data, len);
		return;
	}
	if (in) {
		on_get(seq, h->submit.setup, len);
		return;
	}
	if ((h->submit.setup[0] & 0x60) == 0x40)
		on_set(h->submit.setup[1], data);
	finish(seq, 0, NULL, len);
}

static void on_unlink(const struct header *h)
{
	struct header answer = {.command = htonl(RET_UNLINK), .seq = h->seq};

	for (size_t i = 0; i < n_waiting; i++) {
		if (waiting[i] != ntohl(h->unlink_seq))
			continue;
		memmove(waiting + i, waiting + i + 1, (--n_waiting - i) * sizeof(waiting[0]));
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

int main(int argc, char **argv)
{
	char text[64];
	int control;

	if (argc != 2) {
		fprintf(stderr, "usage: gs_usb_adapter CONTROL\n");
		return 2;
	}
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
		if (p[1].revents && read(control, text, sizeof(text)) > 0 &&
		    strncmp(text, "bus-off", 7) == 0)
			send_bus_off();
	}
}
