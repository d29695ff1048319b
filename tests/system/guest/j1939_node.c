/* j1939_node: a node of a J1939 bus for the system tests, on the kernel's J1939.
 *
 *   j1939_node INTERFACE ADDRESS [PGN=BYTES | PGN=refused]...   (hexadecimal, but for BYTES)
 *
 * Answers requests for those PGNs with BYTES bytes: i + 1 in byte i; to the node that asked (a
 * session) when it was asked alone, to all (a broadcast) when all were asked. Writes a line a
 * request: from, to, PGN. Sends "ready" first. */
#include <errno.h>
#include <linux/can.h>
#include <linux/can/j1939.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWERS_MAX = 16, PGN_ACK = 0xE800, PAYLOAD_MAX = 1785 };

struct answer {
	uint32_t pgn;
	size_t len; /* 0: refused */
};

static struct answer answers[ANSWERS_MAX];
static size_t n_answers;

static void die(const char *what)
{
	fprintf(stderr, "j1939_node: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_socket(const char *interface, uint8_t address)
{
	struct sockaddr_can a = {.can_family = AF_CAN,
				 .can_ifindex = (int)if_nametoindex(interface)};
	int fd = socket(PF_CAN, SOCK_DGRAM, CAN_J1939), one = 1;

	a.can_addr.j1939.pgn = J1939_NO_PGN;
	a.can_addr.j1939.addr = address;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		die(interface);
	return fd;
}

static void send_pgn(int fd, uint32_t pgn, uint8_t to, const uint8_t *data, size_t len)
{
	struct sockaddr_can a = {.can_family = AF_CAN};

	a.can_addr.j1939.pgn = pgn;
	a.can_addr.j1939.addr = to;
	if (sendto(fd, data, len, 0, (const struct sockaddr *)&a, sizeof(a)) < 0)
		fprintf(stderr, "j1939_node: send: %s\n", strerror(errno));
}

static void answer(int fd, const struct answer *w, uint8_t to)
{
	uint8_t data[PAYLOAD_MAX] = {1, 0xFF, 0xFF, 0xFF, 0xFF};

	if (w->len > 0) {
		for (size_t i = 0; i < w->len; i++)
			data[i] = (uint8_t)(i + 1);
		send_pgn(fd, w->pgn, to, data, w->len);
		return;
	}
	for (size_t i = 0; i < 3; i++) /* negative acknowledgement, to all, naming nobody */
		data[5 + i] = (uint8_t)(w->pgn >> 8 * i);
	send_pgn(fd, PGN_ACK, J1939_NO_ADDR, data, 8);
}

/* Whom the message came to: us, or all. */
static uint8_t destination(struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h))
		if (h->cmsg_level == SOL_CAN_J1939 && h->cmsg_type == SCM_J1939_DEST_ADDR)
			return *CMSG_DATA(h);
	return J1939_NO_ADDR;
}

static void serve(int fd)
{
	uint8_t data[PAYLOAD_MAX], control[256] __attribute__((aligned(8)));
	struct sockaddr_can from;
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m = {.msg_name = &from,
			   .msg_namelen = sizeof(from),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &m, 0);
	uint32_t pgn;
	uint8_t to;

	if (n < 0)
		die("receive");
	if (from.can_addr.j1939.pgn != J1939_PGN_REQUEST || n < 3)
		return;
	pgn = data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16;
	to = destination(&m);
	printf("%02X %02X %05X\n", from.can_addr.j1939.addr, to, pgn);
	for (size_t i = 0; i < n_answers; i++)
		if (answers[i].pgn == pgn)
			answer(fd, &answers[i],
			       to == J1939_NO_ADDR ? to : from.can_addr.j1939.addr);
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 3)
		return 2;
	for (int i = 3; i < argc && n_answers < ANSWERS_MAX; i++, n_answers++) {
		char *end;

		answers[n_answers].pgn = (uint32_t)strtoul(argv[i], &end, 16);
		if (*end != '=')
			return 2;
		answers[n_answers].len =
			strcmp(end + 1, "refused") == 0 ? 0 : (size_t)strtoul(end + 1, NULL, 10);
		if (answers[n_answers].len > PAYLOAD_MAX)
			return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open_socket(argv[1], (uint8_t)strtoul(argv[2], NULL, 16));
	printf("ready\n");
	for (;;)
		serve(fd);
}
