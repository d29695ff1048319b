#include "agent/can/can_restart.h"

#include "agent/can/can_link_plan.h"

#include <libsocketcan.h>
#include <linux/capability.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int64_t can_restart_wait(struct can_restart *r, struct mono_time now)
{
	int64_t wait = r->min_ns;

	if (r->wait_ns > 0 && now.ns - r->last.ns < r->max_ns)
		wait = r->wait_ns * 2;
	if (wait > r->max_ns)
		wait = r->max_ns;
	r->wait_ns = wait;
	return wait;
}

void can_restart_done(struct can_restart *r, struct mono_time now)
{
	r->last = now;
}

/* libsocketcan writes to stderr whatever fails, so that what is known to fail is not tried. */
static bool may_administer(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &h, caps) < 0)
		return true; /* not known */
	return caps[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN);
}

/* -1, and mostly errno; none where it did not like an answer. */
static int call(int (*fn)(const char *interface), const char *interface)
{
	errno = 0;
	if (fn(interface) == 0)
		return 0;
	return errno > 0 ? -errno : -EIO;
}

/* It asks for the state by name and number, one after the other. If the interface goes between,
 * the kernel's answer is not what it waits for, and it waits for ever. */
static int restart_in_place(const char *interface)
{
	int before, r;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
	r = call(can_do_restart, interface);
	(void)pthread_setcancelstate(before, NULL);
	return r;
}

static int start(const char *interface, struct can_restart_past *past, struct error *err)
{
	int r = call(can_do_start, interface);

	if (r < 0) {
		error_set(err, "it cannot be taken up again after bus-off: %s", strerror(-r));
		return r;
	}
	past->stopped = false;
	return CAN_RESTART_DOWN_UP;
}

static int down_up(const char *interface, struct can_restart_past *past, struct error *err)
{
	int r = call(can_do_stop, interface);

	if (r < 0) {
		error_set(err, "it cannot be taken down after bus-off: %s", strerror(-r));
		return r;
	}
	past->stopped = true;
	return start(interface, past, err);
}

static int restart(const char *interface, const struct can_link_state *now,
		   struct can_restart_past *past, struct error *err)
{
	int r = -EOPNOTSUPP;

	if (can_link_restarts(now) && !past->refused) {
		r = restart_in_place(interface);
		past->refused = r == -EOPNOTSUPP;
	}
	if (r == 0)
		return CAN_RESTART_IN_PLACE;
	if (r == -EBUSY) /* not bus-off any more */
		return CAN_RESTART_NEEDLESS;
	return down_up(interface, past, err);
}

int can_restart_now(const char *interface, struct can_restart_past *past, struct error *err)
{
	struct can_link_state now;
	int r = can_link_read(interface, &now);

	if (r < 0) {
		can_link_explain(NULL, NULL, r, "", err);
		return r;
	}
	if (now.up ? now.can_state != CAN_STATE_BUS_OFF || now.restart_ms > 0 : !past->stopped) {
		past->stopped = false;
		return CAN_RESTART_NEEDLESS;
	}
	if (!may_administer()) {
		can_link_explain(NULL, &now, -EPERM, "", err);
		return -EPERM;
	}
	return now.up ? restart(interface, &now, past, err) : start(interface, past, err);
}
