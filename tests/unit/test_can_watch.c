/* The watch over CAN interfaces and the restarts that follow from it, under a clock that the test
 * turns, with a socket pair in place of the kernel. */
#include "agent/source/can_interface.h"
#include "agent/source/can_link_msg.h"
#include "agent/source/can_links.h"
#include "agent/source/can_port.h"
#include "agent/source/can_watch.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct counters counters;
static struct can_watch *watch;
static int kernel = -1; /* our end */
static int n_opened, open_error;

static int open_pair(void *ctx)
{
	int fds[2];

	(void)ctx;
	n_opened++;
	if (open_error)
		return -open_error;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	kernel = fds[1];
	return fds[0];
}

static void watch_up(void)
{
	const struct can_watch_kernel fake_kernel = {.open = open_pair};

	set_up();
	memset(&counters, 0, sizeof(counters));
	n_opened = open_error = 0;
	ck_assert_int_eq(can_watch_new(&watch, l, &counters, &fake_kernel), 0);
}

static void watch_down(void)
{
	watch = can_watch_free(watch);
	if (kernel >= 0)
		close(kernel);
	kernel = -1;
	tear_down();
}

/* ---- a kernel ---- */

static uint8_t message[512] __attribute__((aligned(8)));
static size_t message_len;

static size_t put(uint16_t type, const void *data, size_t len)
{
	struct rtattr a = {(unsigned short)(sizeof(a) + len), type};
	size_t at = message_len;

	memcpy(message + at, &a, sizeof(a));
	if (len)
		memcpy(message + at + sizeof(a), data, len);
	message_len += RTA_ALIGN(a.rta_len);
	return at;
}

static void end_nest(size_t at)
{
	struct rtattr a;

	memcpy(&a, message + at, sizeof(a));
	a.rta_len = (unsigned short)(message_len - at);
	memcpy(message + at, &a, sizeof(a));
}

static void put_can(int state, const struct can_device_stats *stats)
{
	const uint32_t can_state = (uint32_t)state;
	size_t info = put(IFLA_LINKINFO, NULL, 0), data;

	put(IFLA_INFO_KIND, "can", 4);
	if (stats)
		put(IFLA_INFO_XSTATS, stats, sizeof(*stats));
	data = put(IFLA_INFO_DATA, NULL, 0);
	put(IFLA_CAN_STATE, &can_state, sizeof(can_state));
	end_nest(data);
	end_nest(info);
}

/* state below 0: it is down. */
static void say(uint16_t type, const char *name, int index, int state,
		const struct can_device_stats *stats)
{
	struct ifinfomsg i = {
		.ifi_type = ARPHRD_CAN, .ifi_index = index, .ifi_flags = state >= 0 ? IFF_UP : 0};
	struct nlmsghdr h = {.nlmsg_type = type};

	memset(message, 0, sizeof(message));
	message_len = sizeof(h) + sizeof(i);
	memcpy(message + sizeof(h), &i, sizeof(i));
	put(IFLA_IFNAME, name, strlen(name) + 1);
	put_can(state >= 0 ? state : CAN_STATE_STOPPED, stats);
	h.nlmsg_len = (uint32_t)message_len;
	memcpy(message, &h, sizeof(h));
	ck_assert_int_eq(send(kernel, message, message_len, 0), (ssize_t)message_len);
	turn();
}

static void is(const char *name, int state)
{
	say(RTM_NEWLINK, name, 3, state, NULL);
}

static void say_error(uint32_t seq, int error)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} m = {{sizeof(m), NLMSG_ERROR, 0, seq, 0}, {.error = -error}};

	ck_assert_int_eq(send(kernel, &m, sizeof(m), 0), sizeof(m));
	turn();
}

/* The next question; "" where there is none. */
static const char *asked(void)
{
	static char name[IFNAMSIZ];
	char q[512];
	ssize_t n = recv(kernel, q, sizeof(q), 0);

	name[0] = '\0';
	if (n > 0)
		snprintf(name, sizeof(name), "%s",
			 q + sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg) +
				 sizeof(struct rtattr));
	return name;
}

/* ---- a watcher ---- */

struct seen {
	struct can_watcher watcher;
	int appeared, vanished, up, down, bus_off, restarted, calls;
	struct can_watcher *remove; /* in the call */
};

static void note(struct can_watcher *w, const struct can_watch_change *c)
{
	struct seen *s = w->ctx;

	s->calls++;
	s->appeared += c->appeared;
	s->vanished += c->vanished;
	s->up += c->up;
	s->down += c->down;
	s->bus_off += c->bus_off;
	s->restarted += c->restarted;
	if (s->remove)
		can_watch_remove(s->remove);
}

static void add(struct seen *s, const char *name)
{
	memset(s, 0, sizeof(*s));
	s->watcher = (struct can_watcher){.cb = note, .ctx = s};
	ck_assert_int_eq(can_watch_add(watch, &s->watcher, name), 0);
	turn();
}

#define COUNTED(name) ((int)counter_get(&counters.name))

START_TEST(life_of_a_link)
{
	struct seen s;

	ck_assert_int_eq(n_opened, 0);
	add(&s, "can0");
	ck_assert_int_eq(n_opened, 1);
	ck_assert_str_eq(asked(), "can0");
	say_error(1, ENODEV);
	ck_assert_int_eq(s.calls, 0);
	is("can0", -1);
	ck_assert_int_eq(s.appeared, 1);
	ck_assert_int_eq(s.up, 0);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can1", CAN_STATE_ERROR_ACTIVE); /* the same index: it has another name now */
	ck_assert_int_eq(s.up, 1);
	ck_assert_int_eq(s.vanished, 1);
	ck_assert_int_eq(s.down, 1);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(s.up, 2);
	is("can0", -1);
	is("can0", -1);
	ck_assert_int_eq(s.down, 2);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	say(RTM_DELLINK, "can0", 3, CAN_STATE_ERROR_ACTIVE, NULL);
	ck_assert_int_eq(s.down, 3);
	ck_assert_int_eq(s.vanished, 2);
	ck_assert_int_eq(COUNTED(links_down), 3);
	/* Made again while nobody looked. */
	say(RTM_NEWLINK, "can0", 5, CAN_STATE_ERROR_ACTIVE, NULL);
	say(RTM_NEWLINK, "can0", 6, CAN_STATE_ERROR_ACTIVE, NULL);
	ck_assert_int_eq(s.vanished, 3);
	ck_assert_int_eq(s.up, 5);
	say_error(1, ENODEV);
	ck_assert_int_eq(s.vanished, 4);
	ck_assert_int_eq(COUNTED(links_down), 5);
	can_watch_remove(&s.watcher);
	can_watch_remove(&s.watcher);
}
END_TEST

START_TEST(bus_off_by_state)
{
	struct seen s;

	add(&s, "can0");
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_ERROR_PASSIVE);
	is("can0", CAN_STATE_BUS_OFF);
	is("can0", CAN_STATE_BUS_OFF);
	ck_assert_int_eq(COUNTED(bus_off), 1);
	ck_assert_int_eq(s.bus_off, 1);
	is("can0", -1); /* restarted by down and up */
	ck_assert_int_eq(COUNTED(bus_restarts), 0);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(COUNTED(bus_restarts), 1);
	ck_assert_int_eq(s.restarted, 1);
	is("can0", CAN_STATE_BUS_OFF);
	ck_assert_int_eq(COUNTED(bus_off), 2);
	say(RTM_NEWLINK, "can0", 4, CAN_STATE_ERROR_ACTIVE, NULL); /* another one: no restart */
	ck_assert_int_eq(COUNTED(bus_restarts), 1);
	can_watch_remove(&s.watcher);
}
END_TEST

static void counts(int state, uint32_t off, uint32_t restarts)
{
	const struct can_device_stats stats = {.bus_off = off, .restarts = restarts};

	say(RTM_NEWLINK, "can0", 3, state, &stats);
}

/* The kernel restarts faster than anybody looks. */
START_TEST(bus_off_by_statistics)
{
	struct seen s;

	add(&s, "can0");
	counts(CAN_STATE_ERROR_ACTIVE, 7, 7); /* of before our time */
	ck_assert_int_eq(COUNTED(bus_off), 0);
	counts(CAN_STATE_ERROR_ACTIVE, 9, 9);
	ck_assert_int_eq(COUNTED(bus_off), 2);
	ck_assert_int_eq(COUNTED(bus_restarts), 2);
	ck_assert_int_eq(s.bus_off, 0); /* it is not */
	ck_assert_int_eq(s.restarted, 1);
	counts(CAN_STATE_BUS_OFF, 10, 9);
	ck_assert_int_eq(s.bus_off, 1);
	counts(CAN_STATE_BUS_OFF, 11, 10); /* on, and off again */
	ck_assert_int_eq(s.bus_off, 2);
	ck_assert_int_eq(COUNTED(bus_off), 4);
	ck_assert_int_eq(COUNTED(bus_restarts), 3);
	counts(CAN_STATE_ERROR_ACTIVE, 11, 11);
	ck_assert_int_eq(COUNTED(bus_restarts), 4);
	counts(CAN_STATE_ERROR_ACTIVE, 11, 11);
	ck_assert_int_eq(COUNTED(bus_restarts), 4);
	can_watch_remove(&s.watcher);
}
END_TEST

/* Found off at the first look. */
START_TEST(bus_off_at_first)
{
	struct seen s;

	add(&s, "can0");
	counts(CAN_STATE_BUS_OFF, 3, 2);
	ck_assert_int_eq(COUNTED(bus_off), 1);
	ck_assert_int_eq(s.bus_off, 1);
	can_watch_remove(&s.watcher);
}
END_TEST

START_TEST(asks_each_second)
{
	struct seen a, b;

	add(&a, "can0");
	add(&b, "can0");
	ck_assert_str_eq(asked(), "can0");
	ck_assert_str_eq(asked(), "can0"); /* of the second's adding */
	ck_assert_str_eq(asked(), "");
	timebase_fake_advance(&fake, NS_PER_S);
	turn();
	ck_assert_str_eq(asked(), "can0");
	ck_assert_str_eq(asked(), "");
	can_watch_look(watch, "can0");
	can_watch_look(watch, "can7"); /* nobody's */
	ck_assert_str_eq(asked(), "can0");
	ck_assert_str_eq(asked(), "");
	can_watch_remove(&a.watcher);
	can_watch_remove(&b.watcher);
	timebase_fake_advance(&fake, NS_PER_S);
	turn();
	ck_assert_str_eq(asked(), "");
}
END_TEST

START_TEST(removed_in_the_call)
{
	struct seen a, b, c;

	add(&a, "can0");
	add(&b, "can0");
	add(&c, "can0"); /* is told first */
	c.remove = &b.watcher;
	a.remove = &a.watcher;
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(c.calls, 1);
	ck_assert_int_eq(b.calls, 0);
	ck_assert_int_eq(a.calls, 1);
	is("can0", -1);
	ck_assert_int_eq(c.calls, 2);
	ck_assert_int_eq(a.calls, 1);
	can_watch_remove(&c.watcher);
}
END_TEST

START_TEST(socket_lost)
{
	struct seen s;

	open_error = EPERM;
	add(&s, "can0");
	ck_assert_int_eq(n_opened, 1);
	open_error = 0;
	timebase_fake_advance(&fake, NS_PER_S);
	turn();
	ck_assert_int_eq(n_opened, 2);
	ck_assert_str_eq(asked(), "can0");
	is("can0", CAN_STATE_ERROR_ACTIVE);
	close(kernel);
	turn();
	timebase_fake_advance(&fake, NS_PER_S);
	turn();
	ck_assert_int_eq(n_opened, 3);
	ck_assert_str_eq(asked(), "can0");
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(s.up, 1);
	can_watch_remove(&s.watcher);
}
END_TEST

START_TEST(no_room)
{
	struct seen s[CAN_WATCH_LINKS_MAX];
	struct can_watcher more = {0};
	char name[IFNAMSIZ];

	for (size_t i = 0; i < array_len(s); i++) {
		snprintf(name, sizeof(name), "can%zu", i);
		add(&s[i], name);
	}
	ck_assert_int_eq(can_watch_add(watch, &more, "can99"), -ENOSPC);
	can_watch_remove(&more);
	for (size_t i = 0; i < array_len(s); i++)
		can_watch_remove(&s[i].watcher);
}
END_TEST

/* ---- links ---- */

static struct can_links *links;
static _Atomic int n_applied, n_again, apply_result, n_restarted, restart_result;
static _Atomic bool hold;  /* restart does not return meanwhile */
static _Atomic bool stuck; /* it never does, but can be cancelled */
static struct can_link_state applied_state;
static char apply_said[64];

static int apply(const struct can_link_settings *s, bool again, struct can_link_state *ret_state,
		 struct error *err)
{
	ck_assert_str_eq(s->interface, "can0");
	n_applied++;
	n_again += again;
	*ret_state = applied_state;
	error_set(err, "%s", apply_said);
	return apply_result;
}

static int restart(const char *interface, struct can_restart_past *past, struct error *err)
{
	int before;

	ck_assert_str_eq(interface, "can0");
	n_restarted++;
	while (hold)
		usleep(1000);
	(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
	while (stuck)
		pause();
	(void)pthread_setcancelstate(before, NULL);
	past->stopped = restart_result < 0;
	error_set(err, "not restarted");
	return restart_result;
}

static const struct can_links_kernel fake_links = {apply, restart};

static void links_start_at(uint32_t bitrate, uint32_t restart_ms)
{
	const struct can_link_settings s = {.interface = "can0",
					    .bitrate = bitrate,
					    .restart_ms = restart_ms,
					    .restart_max_ms = 1000};

	n_applied = n_again = apply_result = n_restarted = 0;
	restart_result = CAN_RESTART_IN_PLACE;
	snprintf(apply_said, sizeof(apply_said), "no");
	applied_state = (struct can_link_state){.ifindex = 3};
	ck_assert_int_eq(can_links_new(&links, watch, l, &s, 1, &fake_links), 0);
	watch = NULL; /* is theirs */
	turn();
	ck_assert_int_eq(n_applied, bitrate > 0);
}

static void links_start(uint32_t restart_ms)
{
	links_start_at(500000, restart_ms);
}

static void links_down(void)
{
	links = can_links_free(links);
	watch_down();
}

static void pass_ms(int64_t ms)
{
	timebase_fake_advance(&fake, ms * NS_PER_MS);
	turn();
	while (links && can_links_busy(links))
		ck_assert_int_eq(loop_turn(l, 10), 0);
}

/* _i: whether the interface is set by others. */
START_TEST(agent_restarts)
{
	links_start_at(_i ? 0 : 500000, 100);
	is("can0", CAN_STATE_ERROR_ACTIVE); /* the one that was set: not again */
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(99);
	ck_assert_int_eq(n_restarted, 0);
	pass_ms(1);
	ck_assert_int_eq(n_restarted, 1);
	is("can0", -1);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF); /* the bus is still broken */
	pass_ms(199);
	ck_assert_int_eq(n_restarted, 1);
	pass_ms(1);
	ck_assert_int_eq(n_restarted, 2);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(COUNTED(bus_off), 2);
	ck_assert_int_eq(COUNTED(bus_restarts), 2);
	pass_ms(1000);
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(100);
	ck_assert_int_eq(n_restarted, 3);
	ck_assert_int_eq(n_applied, !_i);
}
END_TEST

/* The loop goes on while a controller is restarted; what comes up meanwhile is done after it. */
START_TEST(restart_takes_long)
{
	links_start(100);
	is("can0", CAN_STATE_BUS_OFF);
	hold = true;
	timebase_fake_advance(&fake, 100 * NS_PER_MS);
	turn();
	ck_assert(can_links_busy(links));
	ck_assert_int_eq(n_applied, 1);
	say(RTM_NEWLINK, "can0", 4, -1, NULL); /* made again */
	turn();
	applied_state.ifindex = 4;
	hold = false;
	pass_ms(0);
	ck_assert_int_eq(n_restarted, 1);
	ck_assert_int_eq(n_applied, 2);
	pass_ms(60000);
	ck_assert_int_eq(n_applied, 2);
}
END_TEST

/* libsocketcan waits for ever for an interface that goes at the wrong moment. */
START_TEST(restart_never_ends)
{
	stuck = true;
	links_start(100);
	is("can0", CAN_STATE_BUS_OFF);
	timebase_fake_advance(&fake, 100 * NS_PER_MS);
	turn();
	ck_assert(can_links_busy(links));
	say(RTM_DELLINK, "can0", 3, -1, NULL);
	pass_ms(0);
	ck_assert(!can_links_busy(links));
	stuck = false;
	applied_state.ifindex = 4;
	say(RTM_NEWLINK, "can0", 4, -1, NULL);
	pass_ms(0);
	ck_assert_int_eq(n_applied, 2);
}
END_TEST

/* _i: whether it would ever end. */
START_TEST(freed_while_busy)
{
	stuck = _i;
	links_start(100);
	is("can0", CAN_STATE_BUS_OFF);
	timebase_fake_advance(&fake, 100 * NS_PER_MS);
	turn();
	ck_assert(can_links_busy(links));
	links = can_links_free(links);
	stuck = false;
}
END_TEST

/* Then it is set anew. */
START_TEST(restart_fails)
{
	links_start(100);
	is("can0", CAN_STATE_BUS_OFF);
	restart_result = -EBUSY;
	pass_ms(100);
	ck_assert_int_eq(n_restarted, 1);
	is("can0", -1); /* by us */
	apply_result = -EBUSY;
	pass_ms(CAN_LINKS_RETRY_MIN_S * 1000);
	ck_assert_int_eq(n_applied, 2);
	apply_result = 0;
	pass_ms(2 * CAN_LINKS_RETRY_MIN_S * 1000);
	ck_assert_int_eq(n_applied, 3);
	ck_assert_int_eq(n_again, 2);
	pass_ms(60000);
	ck_assert_int_eq(n_applied, 3);
	ck_assert_int_eq(n_restarted, 1);
}
END_TEST

/* An interface that others set is not set anew, but what we took down is taken up. */
START_TEST(restart_fails_of_others)
{
	links_start_at(0, 100);
	is("can0", CAN_STATE_BUS_OFF);
	restart_result = -EBUSY;
	pass_ms(100);
	ck_assert_int_eq(n_restarted, 1);
	is("can0", -1); /* by us */
	restart_result = CAN_RESTART_DOWN_UP;
	pass_ms(CAN_LINKS_RETRY_MIN_S * 1000);
	ck_assert_int_eq(n_restarted, 2);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF);
	is("can0", -1); /* by somebody else */
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 2);
	ck_assert_int_eq(n_applied, 0);
}
END_TEST

START_TEST(others_restart)
{
	static const struct can_device_stats stats = {0};

	links_start(100);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF);
	is("can0", -1); /* somebody takes it down, and it stays so */
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 0);
	say(RTM_NEWLINK, "can0", 3, CAN_STATE_ERROR_ACTIVE, &stats);
	is("can0", CAN_STATE_BUS_OFF);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 0);
}
END_TEST

START_TEST(nobody_restarts)
{
	links_start(0);
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(60000);
	ck_assert_int_eq(n_restarted, 0);
	ck_assert_int_eq(COUNTED(bus_off), 1);
}
END_TEST

START_TEST(appears_again)
{
	links_start(100);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	say(RTM_DELLINK, "can0", 3, -1, NULL);
	pass_ms(10);
	ck_assert_int_eq(n_applied, 1);
	applied_state.ifindex = 4;
	say(RTM_NEWLINK, "can0", 4, -1, NULL);
	pass_ms(0);
	ck_assert_int_eq(n_applied, 2);
	ck_assert_int_eq(n_again, 0);
	say(RTM_NEWLINK, "can0", 4, CAN_STATE_ERROR_ACTIVE, NULL);
	pass_ms(1000);
	ck_assert_int_eq(n_applied, 2);
}
END_TEST

/* Waits 1, 2, 4, ... and at most 30 s. */
START_TEST(tried_again)
{
	static const int64_t waits_s[] = {1, 2, 4, 8, 16, 30, 30};
	const struct can_link_settings s = {.interface = "can0", .bitrate = 1};

	n_applied = 0;
	apply_result = -EPERM;
	ck_assert_int_eq(can_links_new(&links, watch, l, &s, 1, &fake_links), 0);
	watch = NULL;
	turn();
	for (size_t i = 0; i < array_len(waits_s); i++) {
		pass_ms(waits_s[i] * 1000 - 1);
		ck_assert_int_eq(n_applied, (int)i + 1);
		pass_ms(1);
		ck_assert_int_eq(n_applied, (int)i + 2);
	}
}
END_TEST

/* bitrate=0: only watched. */
START_TEST(left_alone)
{
	const struct can_link_settings s = {.interface = "can0"};

	n_applied = n_restarted = 0;
	ck_assert_int_eq(can_links_new(&links, watch, l, &s, 1, &fake_links), 0);
	watch = NULL;
	turn();
	is("can0", CAN_STATE_ERROR_ACTIVE);
	is("can0", CAN_STATE_BUS_OFF);
	pass_ms(60000);
	ck_assert_int_eq(n_applied + n_restarted, 0);
	ck_assert_int_eq(COUNTED(bus_off), 1);
}
END_TEST

/* ---- a port ---- */

static int n_ports_opened, port_end = -1;

static int port_find(const char *interface, struct can_interface *ret)
{
	(void)interface;
	*ret = (struct can_interface){.index = 3};
	return 0;
}

static int port_open(struct can_port *p, int ifindex)
{
	int fds[2];

	(void)p;
	(void)ifindex;
	n_ports_opened++;
	if (port_end >= 0)
		close(port_end);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	port_end = fds[1];
	return fds[0];
}

static void port_readable(struct can_port *p, uint32_t events)
{
	(void)events;
	can_port_fail(p, ENETDOWN);
}

/* Opens when its interface goes up, whoever hears of it first. */
START_TEST(port_follows)
{
	const struct source_env env = {.loop = l, .counters = &counters, .watch = watch};
	char name[] = "s";
	struct source source = {.env = &env, .name = name};
	struct can_port p = {.source = &source,
			     .open = port_open,
			     .find = port_find,
			     .readable = port_readable,
			     .protocol = "CAN_RAW"};

	n_ports_opened = 0;
	ck_assert_int_eq(can_port_start(&p, "can0", NULL), 0);
	turn();
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(n_ports_opened, 1);
	timebase_fake_advance(&fake, NS_PER_S);
	/* Down: the port hears of it, the watch later; it opens with the interface. */
	can_port_fail(&p, ENETDOWN);
	turn(); /* up was told after it had been opened: it looks once */
	ck_assert_int_eq(n_ports_opened, 2);
	can_port_fail(&p, ENETDOWN);
	turn();
	ck_assert_int_eq(n_ports_opened, 2);
	is("can0", -1);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	turn();
	ck_assert_int_eq(n_ports_opened, 3);
	/* Down and up, and only then does the socket say so. */
	is("can0", -1);
	is("can0", CAN_STATE_ERROR_ACTIVE);
	ck_assert_int_eq(n_ports_opened, 3);
	can_port_fail(&p, ENETDOWN);
	turn();
	ck_assert_int_eq(n_ports_opened, 4);
	can_port_fail(&p, ENETDOWN);
	timebase_fake_advance(&fake, CAN_PORT_RETRY_S * NS_PER_S);
	turn();
	ck_assert_int_eq(n_ports_opened, 5);
	can_port_stop(&p);
	close(port_end);
	port_end = -1;
}
END_TEST

/* Under the kernel of this machine, whatever it has: no interface of that name. */
START_TEST(real_socket)
{
	struct can_watch *real;
	struct can_watcher w = {.cb = note};

	ck_assert_int_eq(can_watch_new(&real, l, &counters, NULL), 0);
	ck_assert_int_eq(can_watch_add(real, &w, "nocan9"), 0);
	for (int i = 0; i < 3; i++)
		pass_ms(1000);
	can_watch_remove(&w);
	ck_assert_ptr_null(can_watch_free(real));
	ck_assert_int_eq(COUNTED(links_down), 0);
}
END_TEST

int main(void)
{
	TCase *w = tcase_create("watch"), *k = tcase_create("links");

	tcase_add_checked_fixture(w, watch_up, watch_down);
	tcase_add_test(w, life_of_a_link);
	tcase_add_test(w, bus_off_by_state);
	tcase_add_test(w, bus_off_by_statistics);
	tcase_add_test(w, bus_off_at_first);
	tcase_add_test(w, asks_each_second);
	tcase_add_test(w, removed_in_the_call);
	tcase_add_test(w, socket_lost);
	tcase_add_test(w, no_room);
	tcase_add_test(w, port_follows);
	tcase_add_test(w, real_socket);
	tcase_add_checked_fixture(k, watch_up, links_down);
	tcase_add_loop_test(k, agent_restarts, 0, 2);
	tcase_add_test(k, restart_takes_long);
	tcase_add_test(k, restart_never_ends);
	tcase_add_loop_test(k, freed_while_busy, 0, 2);
	tcase_add_test(k, restart_fails);
	tcase_add_test(k, restart_fails_of_others);
	tcase_add_test(k, others_restart);
	tcase_add_test(k, nobody_restarts);
	tcase_add_test(k, appears_again);
	tcase_add_test(k, tried_again);
	tcase_add_test(k, left_alone);
	return suite_run("can_watch", (TCase *const[]){w, k}, 2);
}
