/* Sends CAN frames at a steady rate, independent of Towline's code.
 *
 * can_burst INTERFACE RATE COUNT [FIRST]: COUNT frames, RATE a second, with the ids 0x100 to 0x107
 * in turn; bytes 0 to 3 count the frames from FIRST on (little endian), 4 to 7 say how many
 * microseconds have gone since the first. Prints the number sent and the seconds that it took. */
#include <errno.h>
#include <linux/can.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_ID = 0x100, IDS = 8, MANY = 32, STEP_NS = 1000000, SEND_BUFFER = 1 << 20 };

static void die(const char *what)
{
	fprintf(stderr, "can_burst: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int open_bus(const char *interface)
{
	const int bytes = SEND_BUFFER;
	struct sockaddr_can addr = {.can_family = AF_CAN,
				    .can_ifindex = (int)if_nametoindex(interface)};
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC, CAN_RAW);

	if (fd < 0 || addr.can_ifindex == 0)
		die(interface);
	/* It only sends: without a filter its own socket does not fill up. */
	if (setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FILTER, NULL, 0) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		die(interface);
	return fd;
}

static void put_le32(uint8_t *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

/* Up to MANY frames by one call: what is sent must not need the time that the receiver needs. */
static int send_some(int fd, uint32_t first, unsigned n, int64_t age_ns)
{
	struct can_frame frames[MANY] = {0};
	struct mmsghdr msgs[MANY] = {0};
	struct iovec iov[MANY];
	int sent;

	for (unsigned i = 0; i < n; i++) {
		frames[i] = (struct can_frame){.can_id = FIRST_ID + (first + i) % IDS, .len = 8};
		put_le32(frames[i].data, first + i);
		put_le32(frames[i].data + 4, (uint32_t)(age_ns / 1000));
		iov[i] = (struct iovec){&frames[i], sizeof(frames[i])};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	sent = sendmmsg(fd, msgs, n, 0);
	if (sent < 0 && errno != ENOBUFS && errno != EINTR)
		die("send");
	return sent < 0 ? 0 : sent;
}

int main(int argc, char **argv)
{
	int64_t start, rate, count, first;
	int fd;

	if (argc < 4 || argc > 5) {
		fprintf(stderr, "usage: can_burst INTERFACE RATE COUNT [FIRST]\n");
		return 2;
	}
	rate = strtol(argv[2], NULL, 10);
	count = strtol(argv[3], NULL, 10);
	first = argc == 5 ? strtol(argv[4], NULL, 10) : 0;
	fd = open_bus(argv[1]);
	start = now_ns();
	for (int64_t sent = 0; sent < count;) {
		const struct timespec step = {.tv_nsec = STEP_NS};
		int64_t age = now_ns() - start;
		int64_t due = age * rate / 1000000000 + 1 - sent; /* late: it catches up */

		if (due > count - sent)
			due = count - sent;
		if (due > MANY)
			due = MANY;
		if (due > 0)
			sent += send_some(fd, (uint32_t)(first + sent), (unsigned)due, age);
		if (due < MANY)
			(void)nanosleep(&step, NULL);
	}
	printf("%lld %.3f\n", (long long)count, (double)(now_ns() - start) / 1e9);
	return 0;
}
