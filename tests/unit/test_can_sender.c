/* Frames to interfaces: their bytes, their order, and interfaces that don't take them. */
#include "tests/unit/play_fixture.h"
#include "tests/unit/suite.h"
#include "tools/play/can_sender.h"

#include <check.h>
#include <linux/can/error.h>
#include <stdio.h>
#include <string.h>

static struct play_world w;
static struct can_sender *s;
static struct error err;

static void setup(void)
{
	play_world_init(&w);
	ck_assert_int_eq(can_sender_new(&s, &w.env), 0);
	ck_assert_int_eq(can_sender_open(s, "can0", &err), 0);
	ck_assert_int_eq(can_sender_open(s, "can1", &err), 1);
}

static void teardown(void)
{
	s = can_sender_free(s);
	play_world_free(&w);
}

static void put(size_t port, uint32_t id, int64_t due_ns)
{
	struct frame f = {.id = id, .len = 1, .data = {(uint8_t)id}};

	ck_assert_int_eq(can_sender_put(s, port, &f, due_ns, id), 0);
}

static void put_many(size_t port, uint32_t n)
{
	for (uint32_t id = 1; id <= n; id++)
		put(port, id, CAN_SENDER_ANY_TIME);
}

/* Without error, and all ids from 1 to n came in their order. */
static void flush_all(uint32_t n)
{
	ck_assert_int_eq(can_sender_flush(s, &err), 0);
	ck_assert_uint_eq(can_sender_unsent(s), 0);
	w.env.wait(&w, NULL, 0);
	ck_assert_uint_eq(w.n_got, n);
	for (uint32_t i = 0; i < n; i++)
		ck_assert_uint_eq(w.got[i].frame.can_id, i + 1);
}

/* ---- bytes ---- */

static const struct {
	struct frame in;
	canid_t id;
	size_t size;
	uint8_t len, flags;
	uint8_t data[2];
} kinds[] = {
	{{.id = 0x7FF, .len = 2, .data = {0xAA, 0xBB}}, 0x7FF, CAN_MTU, 2, 0, {0xAA, 0xBB}},
	{{.id = 0x18FEF100, .flags = FRAME_EXTENDED, .len = 1, .data = {0xCC}},
	 0x18FEF100 | CAN_EFF_FLAG,
	 CAN_MTU,
	 1,
	 0,
	 {0xCC, 0}},
	{{.id = 1, .flags = FRAME_EXTENDED}, 1 | CAN_EFF_FLAG, CAN_MTU, 0, 0, {0, 0}},
	/* A remote frame has a length and no data: what stands there is of an earlier line. */
	{{.id = 0x123, .flags = FRAME_REMOTE, .len = 8, .data = {0xEE, 0xEE}},
	 0x123 | CAN_RTR_FLAG,
	 CAN_MTU,
	 8,
	 0,
	 {0, 0}},
	{{.id = 0x123, .flags = FRAME_FD, .len = 64, .data = {1, 2}},
	 0x123,
	 CANFD_MTU,
	 64,
	 0,
	 {1, 2}},
	{{.id = 0x123, .flags = FRAME_FD | FRAME_BRS | FRAME_EXTENDED, .len = 2, .data = {1, 2}},
	 0x123 | CAN_EFF_FLAG,
	 CANFD_MTU,
	 2,
	 CANFD_BRS,
	 {1, 2}},
	{{.id = 0x123, .flags = FRAME_FD | FRAME_BRS | FRAME_ESI, .len = 1, .data = {1}},
	 0x123,
	 CANFD_MTU,
	 1,
	 CANFD_BRS | CANFD_ESI,
	 {1, 0}},
};

START_TEST(bytes_of_a_frame)
{
	ck_assert_int_eq(can_sender_put(s, 1, &kinds[_i].in, CAN_SENDER_ANY_TIME, 1), 0);
	ck_assert_int_eq(can_sender_flush(s, &err), 0);
	ck_assert_uint_eq(w.n_got, 1);
	ck_assert_str_eq(w.got[0].interface, "can1");
	ck_assert_uint_eq(w.got[0].size, kinds[_i].size);
	ck_assert_uint_eq(w.got[0].frame.can_id, kinds[_i].id);
	ck_assert_uint_eq(w.got[0].frame.len, kinds[_i].len);
	ck_assert_uint_eq(w.got[0].frame.flags, kinds[_i].flags);
	ck_assert_mem_eq(w.got[0].frame.data, kinds[_i].data, 2);
}
END_TEST

START_TEST(data_beyond_the_length)
{
	struct frame f = {.id = 1, .len = 2};

	memset(f.data, 0xFF, sizeof(f.data));
	ck_assert_int_eq(can_sender_put(s, 0, &f, CAN_SENDER_ANY_TIME, 1), 0);
	ck_assert_int_eq(can_sender_flush(s, &err), 0);
	ck_assert_mem_eq(w.got[0].frame.data, "\xFF\xFF\0\0\0\0\0\0", 8);
}
END_TEST

/* ---- order ---- */

START_TEST(order_over_interfaces)
{
	static const size_t ports[] = {0, 0, 1, 0, 1, 1, 1, 0};

	for (uint32_t i = 0; i < array_len(ports); i++)
		put(ports[i], i + 1, CAN_SENDER_ANY_TIME);
	flush_all(array_len(ports));
	for (size_t i = 0; i < array_len(ports); i++)
		ck_assert_str_eq(w.got[i].interface, ports[i] ? "can1" : "can0");
	ck_assert_uint_eq(w.sends, 5); /* a run of one interface is one call */
	ck_assert_uint_eq(can_sender_sent(s, 0), 4);
	ck_assert_uint_eq(can_sender_sent(s, 1), 4);
}
END_TEST

START_TEST(full_then_flushed)
{
	struct frame f = {.id = 0x7FF};

	put_many(0, CAN_SENDER_FRAMES);
	ck_assert_int_eq(can_sender_put(s, 0, &f, CAN_SENDER_ANY_TIME, 99), CAN_SENDER_FULL);
	flush_all(CAN_SENDER_FRAMES);
	ck_assert_int_eq(can_sender_put(s, 0, &f, CAN_SENDER_ANY_TIME, 99), 0);
	ck_assert_int_eq(can_sender_flush(s, &err), 0);
	ck_assert_uint_eq(w.got[CAN_SENDER_FRAMES].frame.can_id, 0x7FF);
	ck_assert_uint_eq(w.n_got, CAN_SENDER_FRAMES + 1);
}
END_TEST

START_TEST(some_at_a_time)
{
	w.send_max = 3;
	put_many(1, 10);
	flush_all(10);
	ck_assert_uint_eq(w.sends, 4);
	ck_assert_uint_eq(can_sender_waits(s), 0);
}
END_TEST

/* ---- no room ---- */

/* Puts frames into a socket that nobody reads, until it has no room. Returns how many it took. */
static uint32_t fill(void)
{
	uint32_t n = 0;

	while (w.room_waits == 0 && err.text[0] == '\0') {
		ck_assert_uint_lt(n, PLAY_FRAMES_MAX - 1);
		put(0, ++n, CAN_SENDER_ANY_TIME);
		(void)!can_sender_flush(s, &err);
	}
	return n;
}

START_TEST(socket_is_full)
{
	uint32_t n;

	w.keep = true;
	n = fill();
	ck_assert_uint_eq(can_sender_waits(s), 1);
	flush_all(n);
	ck_assert_int_eq(w.now_ns, 1000 * NS_PER_S); /* poll knew at once */
}
END_TEST

START_TEST(socket_stays_full)
{
	uint32_t n;

	w.deaf = true;
	n = fill();
	ck_assert_str_eq(err.text, "interface can0: took no frame for 5 s; does another node "
				   "acknowledge, at the same bit rate?");
	ck_assert_int_eq(w.now_ns, (1000 + CAN_SENDER_STALL_S) * NS_PER_S);
	ck_assert_uint_eq(can_sender_unsent(s), n);
	ck_assert_uint_eq(can_sender_sent(s, 0), n - 1);
	ck_assert_int_eq(can_sender_flush(s, &err), -ETIMEDOUT);
}
END_TEST

START_TEST(queue_is_full)
{
	int64_t before = w.now_ns;

	w.send_error = -ENOBUFS;
	w.send_errors = 7;
	put_many(0, 5);
	flush_all(5);
	ck_assert_uint_eq(w.sends, 8);
	ck_assert_uint_eq(can_sender_waits(s), 1); /* one stall */
	ck_assert_int_gt(w.now_ns, before);
	ck_assert_int_lt(w.now_ns - before, 10 * NS_PER_MS);
	w.send_errors = 1;
	put_many(0, 1);
	ck_assert_int_eq(can_sender_flush(s, &err), 0);
	ck_assert_uint_eq(can_sender_waits(s), 2);
}
END_TEST

START_TEST(queue_stays_full)
{
	int64_t before;

	put(0, 1, CAN_SENDER_ANY_TIME);
	ck_assert_int_eq(can_sender_flush(s, &err), 0);
	w.now_ns += NS_PER_S; /* nothing to send is no stall */
	before = w.now_ns;
	put(1, 2, CAN_SENDER_ANY_TIME);
	put(0, 3, CAN_SENDER_ANY_TIME);
	w.send_error = -ENOBUFS;
	w.send_errors = -1;
	ck_assert_int_eq(can_sender_flush(s, &err), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.text, "interface can1: took no frame for 5 s"));
	ck_assert_int_ge(w.now_ns - before, CAN_SENDER_STALL_S * NS_PER_S);
	ck_assert_int_lt(w.now_ns - before, CAN_SENDER_STALL_S * NS_PER_S + NS_PER_MS);
	ck_assert_uint_eq(can_sender_unsent(s), 2);
}
END_TEST

START_TEST(ended_while_it_waits)
{
	w.send_error = -ENOBUFS;
	w.send_errors = -1;
	w.end_ns = w.now_ns + NS_PER_S;
	put_many(0, 2);
	ck_assert_int_eq(can_sender_flush(s, &err), -EINTR);
	ck_assert_uint_eq(can_sender_unsent(s), 1);
	ck_assert_str_eq(err.text, "");
}
END_TEST

/* ---- failures ---- */

static const struct {
	int error;
	const char *says;
} failures[] = {
	{-ENETDOWN, "interface can1: the interface is down (ip link set can1 up)"},
	{-ENXIO, "interface can1: there is no such interface"},
	{-ENODEV, "interface can1: there is no such interface"},
	{-EPERM, "interface can1: Operation not permitted"},
};

START_TEST(interface_fails)
{
	put_many(0, 2);
	ck_assert_int_eq(can_sender_flush(s, &err), 0);
	put(1, 3, CAN_SENDER_ANY_TIME);
	w.send_error = failures[_i].error;
	w.send_errors = -1;
	ck_assert_int_eq(can_sender_flush(s, &err), failures[_i].error);
	ck_assert_str_eq(err.text, failures[_i].says);
	ck_assert_uint_eq(can_sender_unsent(s), 3);
	ck_assert_uint_eq(can_sender_sent(s, 0), 2);
	ck_assert_uint_eq(can_sender_sent(s, 1), 0);
}
END_TEST

START_TEST(interrupted_call)
{
	w.send_error = -EINTR;
	w.send_errors = 1;
	put_many(0, 2);
	flush_all(2);
}
END_TEST

START_TEST(bus_off)
{
	struct can_frame other = {.can_id = CAN_ERR_FLAG | CAN_ERR_CRTL, .can_dlc = 8};
	struct can_frame off = {.can_id = CAN_ERR_FLAG | CAN_ERR_BUSOFF, .can_dlc = 8};

	play_world_say(&w, 0, &other);
	put_many(0, 1);
	flush_all(1);
	ck_assert_int_eq(can_sender_check(s, &err), 0);
	play_world_say(&w, 1, &off);
	put(0, 2, CAN_SENDER_ANY_TIME);
	flush_all(2);
	put(1, 3, CAN_SENDER_ANY_TIME);
	ck_assert_int_eq(can_sender_flush(s, &err), -ENOTCONN);
	ck_assert_str_eq(err.text, "interface can1: the controller went bus-off");
	ck_assert_uint_eq(can_sender_unsent(s), 3);
	ck_assert_uint_eq(w.n_got, 2);
}
END_TEST

START_TEST(bus_off_after_the_last)
{
	struct can_frame off = {.can_id = CAN_ERR_FLAG | CAN_ERR_BUSOFF, .can_dlc = 8};

	put_many(0, 1);
	flush_all(1);
	play_world_say(&w, 0, &off);
	ck_assert_int_eq(can_sender_check(s, &err), -ENOTCONN);
}
END_TEST

/* ---- lateness ---- */

START_TEST(lateness)
{
	const struct can_lateness *l = can_sender_lateness(s);

	put(0, 1, w.now_ns + NS_PER_MS); /* early is on time */
	put(1, 2, w.now_ns - 3 * NS_PER_MS);
	put(0, 3, CAN_SENDER_ANY_TIME);
	put(0, 4, w.now_ns - NS_PER_MS);
	flush_all(4);
	ck_assert_uint_eq(l->frames, 3);
	ck_assert_int_eq(l->sum_ns, 4 * NS_PER_MS);
	ck_assert_int_eq(l->max_ns, 3 * NS_PER_MS);
}
END_TEST

/* ---- interfaces ---- */

START_TEST(interfaces)
{
	char name[32];

	ck_assert_int_eq(can_sender_open(s, "can1", &err), 1); /* again: the same */
	ck_assert_uint_eq(can_sender_ports(s), 2);
	ck_assert_str_eq(can_sender_interface(s, 1), "can1");
	w.missing = "can7";
	ck_assert_int_eq(can_sender_open(s, "can7", &err), -ENODEV);
	ck_assert_str_eq(err.text, "interface can7: there is no such interface");
	ck_assert_uint_eq(can_sender_ports(s), 2);
	w.classic = "can2";
	ck_assert_int_eq(can_sender_open(s, "can2", &err), 2);
	ck_assert(!can_sender_takes_fd(s, 2));
	ck_assert(can_sender_takes_fd(s, 1));
	ck_assert_int_eq(can_sender_open(s, "", &err), -EINVAL);
	ck_assert_int_eq(can_sender_open(s, "sixteen-bytes-oh", &err), -EINVAL);
	for (int i = 3; i < CAN_SENDER_PORTS_MAX; i++) {
		snprintf(name, sizeof(name), "more%d", i);
		ck_assert_int_eq(can_sender_open(s, name, &err), i);
	}
	ck_assert_int_eq(can_sender_open(s, "onemore", &err), -E2BIG);
	ck_assert_str_eq(err.text, "interface onemore: more than 16 interfaces");
	ck_assert_int_eq(can_sender_open(s, "can0", &err), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("sender");
	TCase *cases[] = {tc};

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, bytes_of_a_frame, 0, array_len(kinds));
	tcase_add_test(tc, data_beyond_the_length);
	tcase_add_test(tc, order_over_interfaces);
	tcase_add_test(tc, full_then_flushed);
	tcase_add_test(tc, some_at_a_time);
	tcase_add_test(tc, socket_is_full);
	tcase_add_test(tc, socket_stays_full);
	tcase_add_test(tc, queue_is_full);
	tcase_add_test(tc, queue_stays_full);
	tcase_add_test(tc, ended_while_it_waits);
	tcase_add_loop_test(tc, interface_fails, 0, array_len(failures));
	tcase_add_test(tc, interrupted_call);
	tcase_add_test(tc, bus_off);
	tcase_add_test(tc, bus_off_after_the_last);
	tcase_add_test(tc, lateness);
	tcase_add_test(tc, interfaces);
	return suite_run("can_sender", cases, array_len(cases));
}
