/* A CAN adapter on a serial line, simulated: serves the kernel's slcan driver over a pseudo
 * terminal.
 *
 * Emulated controllers never have errors. To the kernel this is an adapter like any other: what it
 * says of its bus goes through the same code as a real one's, so a bus-off is a bus-off to netlink,
 * to error frames and to the carrier.
 *
 * slcan_adapter CONTROL: prints "interface NAME", then what the kernel sends ("C", "S6", "O",
 * "t1232aabb"), a line each. A line read from the FIFO CONTROL goes to the kernel as it is, COUNT
 * times with "COUNT*" before it:
 *   sbRRRTTT, saRRRTTT, swRRRTTT, spRRRTTT   state bus-off, active, warning, passive; error
 * counters e3bcs                                    errors: bit0, CRC, stuff (LENGTH, then a letter
 * each) t1232aabb                                a frame */
#include <errno.h>
#include <fcntl.h>
#include <linux/tty.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256, PAUSE_EVERY = 16 };

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void die(const char *what)
{
	fprintf(stderr, "slcan_adapter: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Returns the master; *ret_slave must stay open, for the driver goes with it. */
static int open_terminal(int *ret_slave)
{
	const int discipline = N_SLCAN;
	struct termios raw;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		die("pseudo terminal");
	*ret_slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_slave < 0 || tcgetattr(*ret_slave, &raw) < 0)
		die("terminal");
	cfmakeraw(&raw);
	if (tcsetattr(*ret_slave, TCSANOW, &raw) < 0)
		die("terminal");
	if (ioctl(*ret_slave, TIOCSETD, &discipline) < 0)
		die("slcan");
	return master;
}

static void write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			die("write");
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
}

/* The driver takes what comes without holding it back, so a long row is sent in portions: faster
 * than any bus. */
static void send_row(int master, const char *text, unsigned long count)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	char out[LINE_MAX_BYTES + 2];
	int len = snprintf(out, sizeof(out), "%s\r", text);

	for (unsigned long i = 0; i < count; i++) {
		write_all(master, out, (size_t)len);
		if (i % PAUSE_EVERY == PAUSE_EVERY - 1)
			(void)nanosleep(&pause, NULL);
	}
}

static void on_control(int master, const char *text)
{
	char *end;
	unsigned long count = strtoul(text, &end, 10);

	if (end != text && *end == '*')
		send_row(master, end + 1, count);
	else
		send_row(master, text, 1);
}

static void on_kernel(int master, const char *text)
{
	(void)master;
	puts(text);
}

/* Returns false at the end of the input. */
static bool read_lines(int fd, char end, struct line *l, int master,
		       void (*take)(int master, const char *text))
{
	char buf[LINE_MAX_BYTES];
	ssize_t n = read(fd, buf, sizeof(buf));

	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != end) {
			if (l->len < sizeof(l->text) - 1)
				l->text[l->len++] = buf[i];
			continue;
		}
		l->text[l->len] = '\0';
		l->len = 0;
		take(master, l->text);
	}
	return n > 0 || (n < 0 && errno == EINTR);
}

int main(int argc, char **argv)
{
	struct line from_kernel = {0}, from_control = {0};
	char name[IFNAMSIZ] = "";
	int slave, master, control;

	if (argc != 2) {
		fprintf(stderr, "usage: slcan_adapter CONTROL\n");
		return 2;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	/* For writing, too: the FIFO does not end when a writer goes. */
	control = open(argv[1], O_RDWR | O_CLOEXEC);
	if (control < 0)
		die(argv[1]);
	master = open_terminal(&slave);
	if (ioctl(slave, SIOCGIFNAME, name) < 0)
		die("name of the interface");
	printf("interface %s\n", name);
	for (;;) {
		struct pollfd p[] = {{.fd = master, .events = POLLIN},
				     {.fd = control, .events = POLLIN}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (p[0].revents && !read_lines(master, '\r', &from_kernel, master, on_kernel))
			return 0;
		if (p[1].revents && !read_lines(control, '\n', &from_control, master, on_control))
			return 0;
	}
}
