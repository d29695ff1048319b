#include "tools/play/play_env.h"

#include "agent/source/can_interface.h"
#include "agent/source/can_link.h"
#include "base/timebase.h"

#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static const int signals[] = {SIGINT, SIGTERM};
static struct sigaction before[array_len(signals)];
static sigset_t mask_before;
static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

static int64_t system_now(void *ctx)
{
	struct timespec t;

	(void)ctx;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* The signals are let in only here, so that none falls between a look at stopped and the sleep. */
static int system_wait(void *ctx, struct pollfd *fds, size_t n, int64_t until_ns)
{
	int64_t now = system_now(ctx);
	int64_t left = until_ns > now ? until_ns - now : 0;
	struct timespec t = {.tv_sec = (time_t)(left / NS_PER_S),
			     .tv_nsec = (long)(left % NS_PER_S)};
	int r;

	(void)ctx;
	if (stopped)
		return -EINTR;
	r = ppoll(fds, (nfds_t)n, &t, &mask_before);
	if (r < 0 && errno == EINTR && !stopped) /* stopped and continued */
		return 0;
	return r < 0 ? -errno : r;
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

static void take_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	sigset_t ours;

	(void)sigemptyset(&sa.sa_mask);
	(void)sigemptyset(&ours);
	for (size_t i = 0; i < array_len(signals); i++) {
		(void)sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler == SIG_IGN) /* nohup, or a shell's background job */
			continue;
		(void)sigaction(signals[i], &sa, NULL);
		(void)sigaddset(&ours, signals[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &ours, &mask_before);
}

const struct play_env *play_env_system(void)
{
	static const struct play_env env = {
		.now = system_now,
		.wait = system_wait,
		.open = system_open,
		.send = system_send,
	};

	stopped = 0;
	take_signals();
	(void)prctl(PR_SET_TIMERSLACK, 1UL); /* ns; the default is 50 us */
	return &env;
}

void play_env_system_end(void)
{
	for (size_t i = 0; i < array_len(signals); i++)
		(void)sigaction(signals[i], &before[i], NULL);
	(void)sigprocmask(SIG_SETMASK, &mask_before, NULL);
	(void)prctl(PR_SET_TIMERSLACK, 0UL);
}
