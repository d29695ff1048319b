/* The watch over CAN interfaces, under a clock that the test turns, with a socket pair in place of
 * the kernel. */
#include "agent/can/can_interface.h"
#include "agent/can/can_link_msg.h"
#include "agent/can/can_watch.h"
#include "agent/source/can_port.h"
#include "tests/unit/can_kernel_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
	for (int i = 0; i < 3; i++) {
		timebase_fake_advance(&fake, NS_PER_S);
		turn();
	}
	can_watch_remove(&w);
	ck_assert_ptr_null(can_watch_free(real));
	ck_assert_int_eq(COUNTED(links_down), 0);
}
END_TEST

int main(void)
{
	TCase *w = tcase_create("watch");

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
	return suite_run("can_watch", (TCase *const[]){w}, 1);
}
