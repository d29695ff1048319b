#include "tools/play/play_env.h"

#include "agent/can/can_interface.h"
#include "agent/can/can_link.h"
#include "base/timebase.h"

#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* An absolute time that kernels without 64-bit time on 32-bit machines take, too. */
#define UNTIL_MAX_NS (INT32_MAX * NS_PER_S)

static const int signals[] = {SIGINT, SIGTERM};
static struct sigaction before[array_len(signals)];
static int ended_fd = -1; /* eventfd: readable from the first signal on */
static int timer_fd = -1;

static void on_signal(int signo)
{
	const uint64_t one = 1;
	int error = errno;

	(void)signo;
	(void)!write(ended_fd, &one, sizeof(one));
	errno = error;
}

static int64_t system_now(void *ctx)
{
	struct timespec t;

	(void)ctx;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Setting the timer also takes back what it said of an earlier time. */
static int set_timer(int64_t until_ns)
{
	int64_t at = until_ns < UNTIL_MAX_NS ? until_ns : UNTIL_MAX_NS;
	struct itimerspec t = {
		.it_value = {.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)}};

	return timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &t, NULL) < 0 ? -errno : 0;
}

/* poll itself counts in milliseconds: the timer is one of its descriptors. */
static int system_wait(void *ctx, struct pollfd *fd, int64_t until_ns)
{
	bool over = until_ns <= system_now(ctx);
	struct pollfd all[] = {
		{.fd = ended_fd, .events = POLLIN},
		{.fd = timer_fd, .events = POLLIN},
		{.fd = fd ? fd->fd : -1, .events = fd ? fd->events : 0},
	};
	int r = over ? 0 : set_timer(until_ns);

	if (r < 0)
		return r;
	r = poll(all, array_len(all), over ? 0 : -1);
	if (r < 0)
		return errno == EINTR ? 0 : -errno; /* the next wait knows by which signal */
	if (all[0].revents)
		return -EINTR;
	if (fd)
		fd->revents = all[2].revents;
	return all[2].revents != 0;
}

static int set_socket(int fd, int ifindex, bool fd_frames)
{
	struct sockaddr_can addr = {.can_family = AF_CAN, .can_ifindex = ifindex};
	const can_err_mask_t errors = CAN_ERR_BUSOFF;
	const int on = fd_frames;

	if (setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FILTER, NULL, 0) < 0 ||
	    setsockopt(fd, SOL_CAN_RAW, CAN_RAW_ERR_FILTER, &errors, sizeof(errors)) < 0 ||
	    setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return 0;
}

/* First the socket: where the kernel has no CAN, that says more than that there is no can0. */
static int open_socket(const char *interface, bool *ret_takes_fd)
{
	int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
	struct can_interface found;
	int r;

	if (fd < 0)
		return -errno;
	r = can_interface_find(interface, &found);
	if (r == 0)
		r = set_socket(fd, found.index, found.takes_fd);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	*ret_takes_fd = found.takes_fd;
	return fd;
}

/* A controller that is bus-off, or that only listens, takes frames and sends none. */
static int check_controller(const char *interface, struct error *err)
{
	struct can_link_state state;

	if (can_link_read(interface, &state) < 0) /* not that it must be told */
		return 0;
	if (state.can_state == CAN_STATE_BUS_OFF) {
		error_set(err, "interface %s: the controller is bus-off", interface);
		return -ENOTCONN;
	}
	if (state.ctrlmode & CAN_CTRLMODE_LISTENONLY) {
		error_set(err, "interface %s: only listens (listen-only on)", interface);
		return -EROFS;
	}
	return 0;
}

static int system_open(void *ctx, const char *interface, bool *ret_takes_fd, struct error *err)
{
	int fd = open_socket(interface, ret_takes_fd), r;
	char why[96];

	(void)ctx;
	if (fd < 0) {
		error_set(err, "interface %s: %s", interface,
			  can_interface_explain(-fd, interface, "CAN_RAW", why, sizeof(why)));
		return fd;
	}
	r = check_controller(interface, err);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

static int system_send(void *ctx, int fd, struct mmsghdr *msgs, unsigned n)
{
	int sent = sendmmsg(fd, msgs, n, MSG_DONTWAIT);

	(void)ctx;
	return sent < 0 ? -errno : sent;
}

/* A second signal ends the program, wherever it is. */
static void take_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal,
			       .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};

	(void)sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < array_len(signals); i++) {
		(void)sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN) /* nohup, or a shell's background job */
			(void)sigaction(signals[i], &sa, NULL);
	}
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int play_env_system(const struct play_env **ret)
{
	static const struct play_env env = {
		.now = system_now,
		.wait = system_wait,
		.open = system_open,
		.send = system_send,
	};
	int r;

	ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (ended_fd < 0 || timer_fd < 0) {
		r = -errno;
		close_fd(&ended_fd);
		close_fd(&timer_fd);
		return r;
	}
	take_signals();
	*ret = &env;
	return 0;
}

void play_env_system_end(void)
{
	for (size_t i = 0; i < array_len(signals); i++)
		(void)sigaction(signals[i], &before[i], NULL);
	close_fd(&ended_fd);
	close_fd(&timer_fd);
}
