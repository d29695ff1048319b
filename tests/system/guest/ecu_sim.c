/* An ECU on a CAN interface: tests/fakes/ecu.c over ISO-TP. Prints each request as hex.
 *
 *   ecu_sim INTERFACE REQUEST RESPONSE [KEY=VALUE...]
 *     functional=7DF  listens to this identifier, too
 *     dtcs=N pendings=N pending_ms=N busy=N nrc=HH alone=1 silent=1 fd=1
 *     fault=no_flow_control   takes no request that is longer than a frame
 *     fault=out_of_order      swaps the first two consecutive frames of a response
 *     fault=missing           leaves the second consecutive frame out
 *     fault=broken_off        stops after the first consecutive frame
 *
 * Identifiers are hexadecimal; 8 digits: 29 bits. Well-behaved, it uses the kernel's ISO-TP, like
 * the agent; with a fault it makes the frames itself (ISO 15765-2 section 9.6). */
#include "tests/fakes/ecu.h"

#include <linux/can.h>
#include <linux/can/isotp.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum fault { NO_FAULT, NO_FLOW_CONTROL, OUT_OF_ORDER, MISSING, BROKEN_OFF };
enum { FLOW_CONTROL_MS = 1000, GAP_MS = 1 };

struct sim {
	struct ecu ecu;
	int fd, functional_fd; /* -1: none */
	int ifindex;
	canid_t request, response, functional;
	bool has_functional, can_fd;
	unsigned pending_ms;
	enum fault fault;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void wait_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	(void)nanosleep(&t, NULL);
}

static void must_send(int fd, const void *data, size_t len)
{
	if (send(fd, data, len, 0) != (ssize_t)len)
		perror("ecu_sim: send");
}

/* ---- well-behaved ---- */

static void send_payload(struct ecu *e, const uint8_t *data, size_t len)
{
	struct sim *s = e->ctx;

	must_send(s->fd, data, len);
	if (len == 3 && data[0] == 0x7F && data[2] == 0x78)
		wait_ms(s->pending_ms);
}

static int open_isotp(const struct sim *s, canid_t rx)
{
	const struct can_isotp_options opt = {
		.flags = CAN_ISOTP_TX_PADDING | CAN_ISOTP_WAIT_TX_DONE,
		.txpad_content = 0xAA,
	};
	const struct can_isotp_ll_options ll = {.mtu = CANFD_MTU, .tx_dl = CANFD_MAX_DLEN};
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = s->ifindex};
	int fd = socket(PF_CAN, SOCK_DGRAM | SOCK_CLOEXEC, CAN_ISOTP);

	addr.can_addr.tp.rx_id = rx;
	addr.can_addr.tp.tx_id = s->response;
	if (fd < 0 || setsockopt(fd, SOL_CAN_ISOTP, CAN_ISOTP_OPTS, &opt, sizeof(opt)) < 0 ||
	    (s->can_fd && setsockopt(fd, SOL_CAN_ISOTP, CAN_ISOTP_LL_OPTS, &ll, sizeof(ll)) < 0) ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		fail("ecu_sim: CAN_ISOTP");
	return fd;
}

/* ---- with a fault: frames by hand ---- */

static int open_raw(const struct sim *s)
{
	const struct can_filter filter = {s->request, CAN_EFF_FLAG | CAN_RTR_FLAG | CAN_EFF_MASK};
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = s->ifindex};
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC, CAN_RAW);

	if (fd < 0 || setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FILTER, &filter, sizeof(filter)) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		fail("ecu_sim: CAN_RAW");
	return fd;
}

static void send_frame(const struct sim *s, uint8_t pci, const uint8_t *data, size_t len)
{
	struct can_frame f = {.can_id = s->response, .len = CAN_MAX_DLEN};

	f.data[0] = pci;
	memcpy(f.data + 1, data, len < 7 ? len : 7);
	must_send(s->fd, &f, sizeof(f));
	wait_ms(GAP_MS);
}

static bool wait_for_flow_control(const struct sim *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	struct can_frame f;

	return poll(&p, 1, FLOW_CONTROL_MS) == 1 && read(s->fd, &f, sizeof(f)) == sizeof(f) &&
	       f.data[0] == 0x30;
}

/* The k-th consecutive frame, from 0; the first frame has carried 6 bytes. */
static void send_consecutive(const struct sim *s, const uint8_t *data, size_t len, size_t k)
{
	size_t at = 6 + 7 * k;

	if (at < len)
		send_frame(s, (uint8_t)(0x20 | ((k + 1) & 15)), data + at, len - at);
}

static void send_badly(struct ecu *e, const uint8_t *data, size_t len)
{
	const struct sim *s = e->ctx;
	uint8_t first[7] = {(uint8_t)len};

	if (len <= 7) {
		send_frame(s, (uint8_t)len, data, len);
		return;
	}
	memcpy(first + 1, data, 6);
	send_frame(s, (uint8_t)(0x10 | len >> 8), first, sizeof(first));
	if (!wait_for_flow_control(s))
		return;
	if (s->fault == OUT_OF_ORDER)
		send_consecutive(s, data, len, 1);
	send_consecutive(s, data, len, 0);
	for (size_t k = s->fault == NO_FLOW_CONTROL ? 1 : 2; 6 + 7 * k < len; k++)
		if (s->fault != BROKEN_OFF)
			send_consecutive(s, data, len, k);
}

/* ---- requests ---- */

static void take(struct sim *s, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02X", data[i]);
	printf("\n");
	(void)fflush(stdout);
	ecu_request(&s->ecu, data, len);
}

static void read_request(struct sim *s, int fd)
{
	uint8_t data[ECU_PAYLOAD_MAX];
	struct can_frame f;
	ssize_t n;

	if (s->fault == NO_FAULT) {
		n = read(fd, data, sizeof(data));
		if (n > 0)
			take(s, data, (size_t)n);
		else
			perror("ecu_sim: read");
		return;
	}
	if (read(fd, &f, sizeof(f)) != sizeof(f))
		fail("ecu_sim: read");
	if (f.data[0] >= 1 &&
	    f.data[0] <= 7) /* single frames alone; a first frame gets no answer */
		take(s, f.data + 1, f.data[0]);
}

/* ---- arguments ---- */

static canid_t parse_id(const char *text)
{
	canid_t id = (canid_t)strtoul(text, NULL, 16);

	return strlen(text) == 8 ? id | CAN_EFF_FLAG : id;
}

static void set_fault(struct sim *s, const char *name)
{
	static const char *const names[] = {"none", "no_flow_control", "out_of_order", "missing",
					    "broken_off"};

	for (size_t i = 0; i < array_len(names); i++) {
		if (strcmp(names[i], name) == 0) {
			s->fault = (enum fault)i;
			return;
		}
	}
	(void)fprintf(stderr, "ecu_sim: no fault %s\n", name);
	exit(2);
}

static void set(struct sim *s, const char *key, const char *value)
{
	unsigned n = (unsigned)strtoul(value, NULL, 0);

	if (strcmp(key, "functional") == 0) {
		s->functional = parse_id(value);
		s->has_functional = true;
	} else if (strcmp(key, "fault") == 0) {
		set_fault(s, value);
	} else if (strcmp(key, "dtcs") == 0) {
		s->ecu.n_dtcs = n;
	} else if (strcmp(key, "pendings") == 0) {
		s->ecu.pendings = n;
	} else if (strcmp(key, "pending_ms") == 0) {
		s->pending_ms = n;
	} else if (strcmp(key, "busy") == 0) {
		s->ecu.busy = n;
	} else if (strcmp(key, "nrc") == 0) {
		s->ecu.nrc = (uint8_t)strtoul(value, NULL, 16);
	} else if (strcmp(key, "alone") == 0) {
		s->ecu.one_at_a_time = n > 0;
	} else if (strcmp(key, "fd") == 0) {
		s->can_fd = n > 0;
	} else if (strcmp(key, "silent") == 0) {
		s->ecu.silent = n > 0;
	} else {
		(void)fprintf(stderr, "ecu_sim: no key %s\n", key);
		exit(2);
	}
}

static void parse(struct sim *s, int argc, char **argv)
{
	if (argc < 4) {
		(void)fprintf(stderr, "usage: ecu_sim INTERFACE REQUEST RESPONSE [KEY=VALUE...]\n");
		exit(2);
	}
	s->ifindex = (int)if_nametoindex(argv[1]);
	if (s->ifindex == 0)
		fail(argv[1]);
	s->request = parse_id(argv[2]);
	s->response = parse_id(argv[3]);
	for (int i = 4; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value)
			*value++ = '\0';
		set(s, argv[i], value ? value : "");
	}
	if (s->fault != NO_FAULT && s->has_functional) {
		(void)fprintf(stderr, "ecu_sim: a fault is for the ECU's own identifier alone\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sim s = {.functional_fd = -1};
	struct pollfd p[2];

	parse(&s, argc, argv);
	s.ecu.ctx = &s;
	s.ecu.send = s.fault == NO_FAULT ? send_payload : send_badly;
	s.fd = s.fault == NO_FAULT ? open_isotp(&s, s.request) : open_raw(&s);
	if (s.has_functional)
		s.functional_fd = open_isotp(&s, s.functional);
	p[0] = (struct pollfd){.fd = s.fd, .events = POLLIN};
	p[1] = (struct pollfd){.fd = s.functional_fd, .events = POLLIN};
	for (;;) {
		if (poll(p, 2, -1) < 0)
			fail("ecu_sim: poll");
		for (size_t i = 0; i < 2; i++)
			if (p[i].fd >= 0 && p[i].revents)
				read_request(&s, p[i].fd);
	}
}
