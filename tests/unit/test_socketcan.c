/* The SocketCAN source on a kernel that the test plays: what it opens, filters, reads, refuses,
 * loses and tells. Real sockets: tests/system. */
#include "agent/can/can_interface.h"
#include "agent/source/can_stamp.h"
#include "agent/source/socketcan.h"
#include "base/log.h"
#include "proto/bus_status.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/can/error.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ITEMS_MAX = 8192, GOT_MAX = 8192, MATCHES_MAX = 600 };

/* One message of the socket, or an error of it. */
struct item {
	int error;
	struct canfd_frame frame;
	size_t size;
	bool truncated;
	struct can_stamps stamps;
	bool has_overflow;
	uint32_t overflow;
};

static struct catalog *cat;
static struct timebase_fake fake;
static struct loop *loop;
static struct counters counters;
static struct source_env env;
static struct source *source;

/* ---- the kernel ---- */

static struct {
	struct item items[ITEMS_MAX];
	size_t n, next;
	size_t most_a_turn, in_this_turn;
	int find_error, open_error, filter_error;
	enum can_times times;
	bool hardware;
	unsigned opens, filter_calls;
	struct can_filters filters;
	uint32_t lost;
	int link_error;
	struct can_link_state link;
	struct can_traffic traffic;
} kernel;

static int fake_find(const char *interface, struct can_interface *ret)
{
	ck_assert_str_eq(interface, "can7");
	*ret = (struct can_interface){.index = 3};
	return -kernel.find_error;
}

static int fake_open(int ifindex, const char *interface, const struct can_filters *filters,
		     bool hardware, enum can_times *ret_times)
{
	ck_assert_int_eq(ifindex, 3);
	ck_assert_str_eq(interface, "can7");
	if (kernel.open_error)
		return -kernel.open_error;
	kernel.opens++;
	kernel.filters = *filters;
	kernel.hardware = hardware;
	*ret_times = kernel.times;
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* always readable */
}

static int fake_filter(int fd, const struct can_filters *filters)
{
	ck_assert_int_ge(fd, 0);
	kernel.filter_calls++;
	kernel.filters = *filters;
	return -kernel.filter_error;
}

static void put_control(struct msghdr *m, int type, const void *data, size_t size)
{
	struct cmsghdr *h = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = type;
	h->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(h), data, size);
	m->msg_controllen += CMSG_SPACE(size);
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

static void put_message(struct mmsghdr *to, const struct item *item)
{
	struct msghdr *m = &to->msg_hdr;
	struct timespec ts[3] = {
		timespec_of(item->stamps.wall_ns), {0}, timespec_of(item->stamps.hardware_ns)};

	ck_assert_uint_ge(m->msg_controllen,
			  CMSG_SPACE(sizeof(ts)) + CMSG_SPACE(sizeof(item->overflow)));
	ck_assert_uint_ge(m->msg_iov->iov_len, item->size);
	memcpy(m->msg_iov->iov_base, &item->frame, item->size);
	to->msg_len = (unsigned)item->size;
	m->msg_flags = item->truncated ? MSG_TRUNC : 0;
	m->msg_controllen = 0;
	if (item->stamps.hardware_ns)
		put_control(m, SO_TIMESTAMPING, ts, sizeof(ts));
	else if (item->stamps.wall_ns)
		put_control(m, SO_TIMESTAMPNS, ts, sizeof(ts[0]));
	if (item->has_overflow)
		put_control(m, SO_RXQ_OVFL, &item->overflow, sizeof(item->overflow));
}

static int fake_read(int fd, struct mmsghdr *msgs, unsigned n)
{
	unsigned done = 0;

	ck_assert_int_ge(fd, 0);
	while (done < n && kernel.next < kernel.n) {
		const struct item *item = &kernel.items[kernel.next];

		if (item->error && done > 0)
			break;
		kernel.next++;
		if (item->error) {
			errno = item->error;
			return -1;
		}
		put_message(&msgs[done++], item);
		kernel.in_this_turn++;
	}
	if (kernel.in_this_turn > kernel.most_a_turn)
		kernel.most_a_turn = kernel.in_this_turn;
	if (done > 0)
		return (int)done;
	errno = EAGAIN;
	return -1;
}

static int fake_lost(int fd, uint32_t *ret)
{
	ck_assert_int_ge(fd, 0);
	*ret = kernel.lost;
	return kernel.lost ? 0 : -ENOPROTOOPT; /* as before Linux 4.11 */
}

static int fake_link(const char *interface, struct can_link_state *ret)
{
	ck_assert_str_eq(interface, "can7");
	*ret = kernel.link;
	return -kernel.link_error;
}

static int fake_traffic(const char *interface, struct can_traffic *ret)
{
	ck_assert_str_eq(interface, "can7");
	*ret = kernel.traffic;
	return 0;
}

static const struct socketcan_kernel fake_kernel = {
	.open = fake_open,
	.filter = fake_filter,
	.read = fake_read,
	.lost = fake_lost,
	.find = fake_find,
	.health = {.link = fake_link, .traffic = fake_traffic},
};

static struct item *add(void)
{
	ck_assert_uint_lt(kernel.n, ITEMS_MAX);
	kernel.items[kernel.n] = (struct item){.size = CAN_MTU};
	return &kernel.items[kernel.n++];
}

static struct item *add_frame(uint32_t can_id, uint8_t len)
{
	struct item *i = add();

	i->frame.can_id = can_id;
	i->frame.len = len;
	for (uint8_t k = 0; k < CANFD_MAX_DLEN; k++)
		i->frame.data[k] = k;
	return i;
}

/* An error frame with the state of the controller and its error counters. */
static void add_error(uint32_t classes, uint8_t controller, uint8_t tx, uint8_t rx)
{
	struct item *i = add_frame(CAN_ERR_FLAG | classes, 8);

	memset(i->frame.data, 0, sizeof(i->frame.data));
	i->frame.data[1] = controller;
	i->frame.data[6] = tx;
	i->frame.data[7] = rx;
}

/* ---- the agent ---- */

static struct {
	struct frame frames[GOT_MAX];
	size_t n;
	struct bus_status statuses[GOT_MAX];
	int64_t times[GOT_MAX];
	size_t n_statuses;
	bool busy;
	struct frame_match matches[MATCHES_MAX];
	size_t n_matches;
} got;

static int on_frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	if (got.busy)
		return SOURCE_BUSY;
	ck_assert_uint_lt(got.n, GOT_MAX);
	got.frames[got.n++] = *f;
	return 0;
}

static int on_payload(void *ctx, const struct payload *p)
{
	(void)ctx;
	if (got.busy)
		return SOURCE_BUSY;
	ck_assert_int_eq(p->kind, PAYLOAD_STATUS);
	ck_assert_uint_eq(p->bus, 0);
	ck_assert_uint_lt(got.n_statuses, GOT_MAX);
	got.times[got.n_statuses] = p->t_ns;
	ck_assert_int_eq(bus_status_unpack(&got.statuses[got.n_statuses++], p->data, p->len), 0);
	return 0;
}

static size_t on_matches(void *ctx, uint16_t bus, struct frame_match *out, size_t max)
{
	(void)ctx;
	ck_assert_uint_eq(bus, 0);
	for (size_t i = 0; i < got.n_matches && i < max; i++)
		out[i] = got.matches[i];
	return got.n_matches;
}

static void on_ended(void *ctx, struct source *s)
{
	(void)ctx;
	(void)s;
	ck_abort_msg("a CAN source never ends");
}

static struct catalog *make_catalog(bool status)
{
	static const char *const names[] = {"A", "a", "b", "B", "c"};
	struct catalog *plain = two_messages(names), *with;

	if (!status)
		return plain;
	ck_assert_int_eq(bus_status_add(&with, plain, NULL), 0);
	catalog_free(plain);
	return with;
}

static void setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	memset(&kernel, 0, sizeof(kernel));
	memset(&got, 0, sizeof(got));
	memset(&counters, 0, sizeof(counters));
	kernel.link_error = EAFNOSUPPORT; /* nothing to ask */
	got.matches[0] = (struct frame_match){0x100, 0x7FF, false};
	got.n_matches = 1;
	cat = make_catalog(true);
	timebase_fake_init(&fake, 50 * NS_PER_S, 1700000000 * NS_PER_S);
	ck_assert_int_eq(loop_new(&loop, &fake.tb), 0);
	env = (struct source_env){.loop = loop,
				  .tb = &fake.tb,
				  .cat = cat,
				  .counters = &counters,
				  .frame = on_frame,
				  .payload = on_payload,
				  .matches = on_matches,
				  .ended = on_ended};
}

static void teardown(void)
{
	source = source_free(source);
	loop = loop_free(loop);
	cat = catalog_free(cat);
}

static void start_with(const struct socketcan_options *more)
{
	struct socketcan_options opt = *more;
	struct error err = {0};

	opt.interface = "can7";
	opt.bus = "can0";
	opt.kernel = &fake_kernel;
	ck_assert_msg(socketcan_new(&source, &env, "c", &opt, &err) == 0, "%s", err.text);
}

static void turn(int n)
{
	for (int i = 0; i < n; i++) {
		kernel.in_this_turn = 0;
		ck_assert_int_eq(loop_turn(loop, 0), 0);
	}
}

static void pass(int64_t ns)
{
	timebase_fake_advance(&fake, ns);
	turn(2);
}

static void start(void)
{
	start_with(&(struct socketcan_options){0});
	turn(2);
	ck_assert_uint_eq(kernel.opens, 1);
}

static const struct bus_status *last(void)
{
	ck_assert_uint_gt(got.n_statuses, 0);
	return &got.statuses[got.n_statuses - 1];
}

/* ---- frames ---- */

START_TEST(frames)
{
	struct canfd_frame in = {.can_id = 0x123, .len = 3, .data = {1, 2, 3}};
	struct frame f;

	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.id, 0x123);
	ck_assert_uint_eq(f.len, 3);
	ck_assert_uint_eq(f.flags, 0);
	ck_assert_mem_eq(f.data, in.data, 3);
	in.can_id = 0x18FEF100 | CAN_EFF_FLAG | CAN_RTR_FLAG;
	in.len = 8;
	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.id, 0x18FEF100);
	ck_assert_uint_eq(f.flags, FRAME_EXTENDED | FRAME_REMOTE);
	in.can_id = 0xFFF; /* 11 bits, whatever stands above */
	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.id, 0x7FF);
	in.len = 64;
	in.flags = CANFD_BRS | CANFD_ESI | CANFD_FDF | 0xF0;
	ck_assert_int_eq(socketcan_convert(&in, CANFD_MTU, &f), 0);
	ck_assert_uint_eq(f.len, 64);
	ck_assert_uint_eq(f.flags, FRAME_FD | FRAME_BRS | FRAME_ESI);
}
END_TEST

/* A classic frame's third byte after the length is a DLC of 9 to 15 with 8 bytes (len8_dlc). */
START_TEST(a_dlc_above_8_has_8_bytes)
{
	struct canfd_frame in = {.can_id = 0x123, .len = 8, .__res1 = 15};
	struct frame f;

	ck_assert_int_eq(socketcan_convert(&in, CAN_MTU, &f), 0);
	ck_assert_uint_eq(f.len, 8);
}
END_TEST

START_TEST(frames_that_contradict_themselves)
{
	static const struct {
		uint32_t can_id;
		uint8_t len;
		size_t size;
		bool truncated;
	} bad[] = {
		{0x100, 9, CAN_MTU, false},
		{0x100, 255, CAN_MTU, false},
		{0x100, 65, CANFD_MTU, false},
		{0x100, 255, CANFD_MTU, false},
		{0x100, 8, 0, false},
		{0x100, 8, 5, false},
		{0x100, 8, CAN_MTU - 1, false},
		{0x100, 8, CAN_MTU + 1, false},
		{0x100, 8, CANFD_MTU - 1, false},
		{0x100, 8, CANFD_MTU, true},
		{0x100 | CAN_RTR_FLAG, 8, CANFD_MTU, false},
		{CAN_ERR_FLAG | CAN_ERR_BUSOFF, 9, CAN_MTU, false},
	};

	for (size_t i = 0; i < array_len(bad); i++) {
		struct item *item = add_frame(bad[i].can_id, bad[i].len);

		item->size = bad[i].size;
		item->truncated = bad[i].truncated;
	}
	add_frame(0x100, 8);
	start();
	ck_assert_uint_eq(counter_get(&counters.frames_bad), array_len(bad));
	ck_assert_uint_eq(counter_get(&counters.frames_error), 0);
	ck_assert_uint_eq(got.n, 1);
	pass(NS_PER_S);
	ck_assert_uint_eq(last()->frames_bad, array_len(bad));
	ck_assert_uint_eq(last()->frames, 1);
}
END_TEST

START_TEST(times_of_the_kernel_and_of_the_controller)
{
	struct item *i = add_frame(0x100, 1);

	i->stamps.wall_ns = fake.wall.ns - 5 * NS_PER_MS;
	i = add_frame(0x101, 1);
	i->stamps = (struct can_stamps){fake.wall.ns - 3 * NS_PER_MS, 1000 * NS_PER_S};
	i = add_frame(0x102, 1); /* 1 ms later, and 2 ms late: only its software time shows that */
	i->stamps = (struct can_stamps){fake.wall.ns, 1000 * NS_PER_S + NS_PER_MS};
	add_frame(0x103, 1);
	start();
	ck_assert_uint_eq(got.n, 4);
	ck_assert_int_eq(got.frames[0].t_ns, fake.mono.ns - 5 * NS_PER_MS);
	ck_assert_int_eq(got.frames[1].t_ns, fake.mono.ns - 3 * NS_PER_MS);
	ck_assert_int_eq(got.frames[2].t_ns, fake.mono.ns - 2 * NS_PER_MS);
	ck_assert_int_eq(got.frames[3].t_ns, fake.mono.ns);
	ck_assert_uint_eq(got.frames[3].bus, 0);
	ck_assert(kernel.hardware);
}
END_TEST

START_TEST(times_of_the_kernel_if_so_set)
{
	start_with(&(struct socketcan_options){.kernel_times = true});
	turn(2);
	ck_assert(!kernel.hardware);
}
END_TEST

/* The counter of the socket wraps at 2^32, and begins anew with another socket. */
START_TEST(lost_in_the_socket)
{
	static const uint32_t totals[] = {5, 5, 9, UINT32_MAX - 1, 3};
	uint64_t expected = (uint64_t)UINT32_MAX - 1 + 5; /* 2^32 + 3 */

	for (size_t i = 0; i < array_len(totals); i++) {
		struct item *item = add_frame(0x100, 1);

		item->has_overflow = true;
		item->overflow = totals[i];
	}
	add_frame(0x100, 1); /* says nothing of it */
	start();
	ck_assert_uint_eq(counter_get(&counters.frames_dropped_socket), expected);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped), expected);
	ck_assert_uint_eq(got.n, 6);
	add()->error = ENETDOWN;
	turn(3);
	ck_assert_uint_eq(kernel.opens, 2);
	add_frame(0x100, 1)->has_overflow = true;
	kernel.items[kernel.n - 1].overflow = 2;
	turn(2);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped_socket), expected + 2);
	pass(NS_PER_S);
	ck_assert_uint_eq(last()->frames_lost, (uint32_t)(expected + 2));
}
END_TEST

/* No frame tells what was lost after the last one that got in. */
START_TEST(lost_in_the_socket_at_its_end)
{
	start();
	add()->error = ENETDOWN;
	add_frame(0x100, 1)->has_overflow = true;
	kernel.items[kernel.n - 1].overflow = 5;
	kernel.lost = 12;
	turn(3);
	ck_assert_uint_eq(got.n, 1);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped_socket), 12);
	pass(NS_PER_S);
	ck_assert_uint_eq(last()->frames_lost, 12);
}
END_TEST

START_TEST(no_free_batch)
{
	got.busy = true;
	for (int i = 0; i < 10; i++)
		add_frame(0x100, 1);
	start();
	ck_assert_uint_eq(counter_get(&counters.frames_dropped_busy), 10);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped), 10);
	ck_assert_uint_eq(got.n, 0);
}
END_TEST

/* ---- filters ---- */

START_TEST(filters_follow_the_rules)
{
	start();
	ck_assert_uint_eq(kernel.filters.n, 1);
	ck_assert_uint_eq(kernel.filters.filters[0].can_id, 0x100);
	source_matches_changed(source); /* the same */
	ck_assert_uint_eq(kernel.filter_calls, 0);
	got.matches[1] = (struct frame_match){0x200, 0x7FF, false};
	got.n_matches = 2;
	source_matches_changed(source);
	ck_assert_uint_eq(kernel.filter_calls, 1);
	ck_assert_uint_eq(kernel.filters.n, 2);
	got.n_matches = 0;
	source_matches_changed(source);
	ck_assert_uint_eq(kernel.filters.n, 0);
	ck_assert(!kernel.filters.all);
	ck_assert_uint_eq(kernel.opens, 1);
}
END_TEST

START_TEST(filters_that_the_kernel_refuses)
{
	start();
	kernel.filter_error = ENOMEM;
	got.n_matches = 0;
	source_matches_changed(source);
	turn(2);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 1);
	pass(CAN_PORT_RETRY_S * NS_PER_S);
	ck_assert_uint_eq(kernel.opens, 2);
	ck_assert_uint_eq(kernel.filters.n, 0);
	ck_assert_uint_eq(last()->link_downs, 0);
}
END_TEST

/* The rules change in the moment that the interface vanishes. */
START_TEST(filters_of_an_interface_that_is_gone)
{
	start();
	add_frame(0x100, 1);
	add()->error = ENODEV;
	add_frame(0x100, 1);
	kernel.filter_error = ENODEV;
	kernel.find_error = ENODEV;
	got.n_matches = 0;
	source_matches_changed(source);
	ck_assert_uint_eq(got.n, 2);
	pass(NS_PER_S);
	ck_assert_int_eq(last()->state, BUS_ABSENT);
	ck_assert_uint_eq(last()->link_downs, 1);
}
END_TEST

START_TEST(rules_that_change_while_the_interface_is_down)
{
	kernel.find_error = ENETDOWN;
	start_with(&(struct socketcan_options){0});
	turn(2);
	got.n_matches = 0;
	source_matches_changed(source);
	ck_assert_uint_eq(kernel.filter_calls, 0);
	kernel.find_error = 0;
	pass(CAN_PORT_RETRY_S * NS_PER_S);
	ck_assert_uint_eq(kernel.opens, 1);
	ck_assert_uint_eq(kernel.filters.n, 0);
}
END_TEST

START_TEST(all_of_the_bus)
{
	start_with(&(struct socketcan_options){.take_all = true});
	turn(2);
	ck_assert(kernel.filters.all);
	source = source_free(source);
	for (uint32_t i = 0; i < MATCHES_MAX; i++)
		got.matches[i] = (struct frame_match){i, 0x7FF, false};
	got.n_matches = MATCHES_MAX; /* more than the kernel takes */
	start_with(&(struct socketcan_options){0});
	turn(2);
	ck_assert(kernel.filters.all);
}
END_TEST

/* ---- error frames ---- */

START_TEST(error_frames_change_the_state_at_once)
{
	static const struct {
		uint32_t classes;
		uint8_t controller, tx, rx;
		enum bus_state state;
	} steps[] = {
		{CAN_ERR_CRTL, CAN_ERR_CRTL_TX_WARNING, 96, 0, BUS_ERROR_WARNING},
		{CAN_ERR_CRTL, CAN_ERR_CRTL_TX_PASSIVE, 128, 3, BUS_ERROR_PASSIVE},
		{CAN_ERR_BUSOFF, 0, 0, 0, BUS_OFF},
		{CAN_ERR_RESTARTED, 0, 0, 0, BUS_ERROR_ACTIVE},
	};
	size_t before;

	start();
	before = got.n_statuses;
	for (size_t i = 0; i < array_len(steps); i++) {
		timebase_fake_advance(&fake, BUS_HEALTH_GAP_MS * NS_PER_MS);
		add_error(steps[i].classes, steps[i].controller, steps[i].tx, steps[i].rx);
		turn(1);
		ck_assert_uint_eq(got.n_statuses, before + i + 1);
		ck_assert_int_eq(last()->state, steps[i].state);
		ck_assert_int_eq(got.times[got.n_statuses - 1], fake.mono.ns);
	}
	ck_assert(last()->has_errors);
	ck_assert_uint_eq(last()->tx_errors, 128); /* the last that were told */
	ck_assert_uint_eq(last()->rx_errors, 3);
	ck_assert_uint_eq(last()->bus_offs, 1);
	ck_assert_uint_eq(last()->restarts, 1);
	ck_assert_uint_eq(last()->error_frames, 4);
	ck_assert_uint_eq(counter_get(&counters.frames_error), 4);
	ck_assert_uint_eq(got.n, 0); /* no frame of the bus */
}
END_TEST

START_TEST(error_frames_are_counted_by_kind)
{
	start();
	for (int i = 0; i < 2; i++)
		add_error(CAN_ERR_PROT | CAN_ERR_BUSERROR, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		add_error(CAN_ERR_ACK, 0, 0, 0);
	for (int i = 0; i < 4; i++)
		add_error(CAN_ERR_LOSTARB, 0, 0, 0);
	for (int i = 0; i < 5; i++)
		add_error(CAN_ERR_CRTL, CAN_ERR_CRTL_RX_OVERFLOW, 0, 0);
	for (int i = 0; i < 6; i++)
		add_error(CAN_ERR_TX_TIMEOUT, 0, 0, 0);
	turn(1);
	pass(NS_PER_S);
	ck_assert_uint_eq(last()->bus_errors, 2);
	ck_assert_uint_eq(last()->ack_errors, 3);
	ck_assert_uint_eq(last()->arbitration_lost, 4);
	ck_assert_uint_eq(last()->controller_overflows, 5);
	ck_assert_uint_eq(last()->tx_timeouts, 6);
	ck_assert_uint_eq(last()->error_frames, 20);
	ck_assert_int_eq(last()->state, BUS_UNKNOWN); /* none of them tells one */
	ck_assert(!last()->has_errors);
}
END_TEST

/* A controller that flaps, as fast as a bus allows: few statuses, the last of them right, and the
 * loop sees to others in between. */
START_TEST(a_storm_of_error_frames)
{
	unsigned others = 0;

	start();
	got.n_statuses = 0;
	for (int i = 0; i < 8000; i++)
		add_error(CAN_ERR_CRTL, i % 2 ? CAN_ERR_CRTL_ACTIVE : CAN_ERR_CRTL_RX_PASSIVE, 0,
			  i % 2 ? 0 : 130);
	kernel.most_a_turn = 0;
	while (kernel.next < kernel.n) {
		timebase_fake_advance(&fake, 10 * NS_PER_MS);
		turn(1);
		others++;
	}
	ck_assert_uint_le(kernel.most_a_turn, 256);
	ck_assert_uint_ge(others, 8000 / 256);
	ck_assert_uint_eq(counter_get(&counters.frames_error), 8000);
	ck_assert_uint_le(got.n_statuses, 2 + others * 10 / BUS_HEALTH_GAP_MS);
	pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_int_eq(last()->state, BUS_ERROR_ACTIVE);
	ck_assert_uint_eq(last()->error_frames, 8000);
}
END_TEST

/* ---- the interface ---- */

START_TEST(what_is_in_the_socket_is_read_before_it_is_lost)
{
	start();
	add()->error = ENETDOWN;
	for (int i = 0; i < 6000; i++) { /* more than fit */
		if (i == 50)
			add()->error = ENETDOWN;
		add_frame(0x100, 1);
	}
	kernel.find_error = ENETDOWN;
	turn(3);
	pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(got.n, 6000);
	ck_assert_uint_eq(kernel.opens, 1);
	ck_assert_int_eq(last()->state, BUS_STOPPED);
	ck_assert(!last()->link_up);
	ck_assert_uint_eq(last()->link_downs, 1);
	kernel.find_error = ENODEV; /* and then it is gone */
	pass(CAN_PORT_RETRY_S * NS_PER_S);
	pass(NS_PER_S);
	ck_assert_int_eq(last()->state, BUS_ABSENT);
	ck_assert_uint_eq(last()->link_downs, 1);
	kernel.find_error = 0;
	pass(CAN_PORT_RETRY_S * NS_PER_S);
	ck_assert_uint_eq(kernel.opens, 2);
	pass(NS_PER_S);
	ck_assert_int_eq(last()->state, BUS_UNKNOWN);
	ck_assert(last()->link_up);
	add_frame(0x100, 1);
	turn(1);
	ck_assert_uint_eq(got.n, 6001);
}
END_TEST

START_TEST(an_interface_that_is_back_at_once)
{
	start();
	add()->error = ENETDOWN;
	turn(3); /* no time passes */
	ck_assert_uint_eq(kernel.opens, 2);
	add_frame(0x100, 1);
	turn(1);
	ck_assert_uint_eq(got.n, 1);
	pass(NS_PER_S);
	ck_assert_uint_eq(last()->link_downs, 1);
	ck_assert(last()->link_up);
}
END_TEST

/* ---- what the kernel knows ---- */

static void controller(int state, uint16_t tx, uint16_t rx)
{
	kernel.link_error = 0;
	kernel.link = (struct can_link_state){
		.up = true,
		.can_state = state,
		.has_berr = true,
		.berr = {.txerr = tx, .rxerr = rx},
		.has_stats = true,
		.stats = {.bus_error = 70, .arbitration_lost = 71, .bus_off = 72, .restarts = 73},
		.bittiming = {.bitrate = 500000},
	};
}

START_TEST(state_of_the_controller)
{
	controller(CAN_STATE_ERROR_WARNING, 100, 2);
	start();
	ck_assert_int_eq(last()->state, BUS_ERROR_WARNING);
	ck_assert(last()->has_errors && last()->has_bit_rate && !last()->has_load);
	ck_assert_uint_eq(last()->tx_errors, 100);
	ck_assert_uint_eq(last()->bit_rate, 500000);
	ck_assert_uint_eq(last()->data_bit_rate, 0);
	ck_assert_uint_eq(last()->bus_errors, 70);
	ck_assert_uint_eq(last()->arbitration_lost, 71);
	ck_assert_uint_eq(last()->bus_offs, 72);
	ck_assert_uint_eq(last()->restarts, 73);
	kernel.link.ctrlmode = CAN_CTRLMODE_FD;
	kernel.link.data_bittiming.bitrate = 2000000;
	kernel.link.has_berr = false;
	kernel.link.can_state = CAN_STATE_ERROR_ACTIVE;
	pass(NS_PER_S);
	ck_assert_int_eq(last()->state, BUS_ERROR_ACTIVE);
	ck_assert_uint_eq(last()->data_bit_rate, 2000000);
	ck_assert(!last()->has_errors);
	kernel.link.up = false;
	kernel.link.can_state = CAN_STATE_STOPPED;
	pass(NS_PER_S);
	ck_assert_int_eq(last()->state, BUS_STOPPED);
	ck_assert(!last()->link_up);
}
END_TEST

/* Bus-off is told by the kernel's count and by an error frame, in any order, and counts once. */
START_TEST(what_the_kernel_counts_is_not_counted_twice)
{
	controller(CAN_STATE_ERROR_ACTIVE, 0, 0);
	start();
	kernel.link.can_state = CAN_STATE_BUS_OFF;
	kernel.link.stats.bus_off = 73;
	pass(NS_PER_S); /* the look comes first */
	ck_assert_uint_eq(last()->bus_offs, 73);
	add_error(CAN_ERR_BUSOFF, 0, 0, 0);
	turn(1);
	kernel.link.stats.restarts = 74;
	timebase_fake_advance(&fake, BUS_HEALTH_GAP_MS * NS_PER_MS);
	add_error(CAN_ERR_RESTARTED, 0, 0, 0); /* and here the frame */
	turn(1);
	ck_assert_int_eq(last()->state, BUS_ERROR_ACTIVE);
	ck_assert_uint_eq(last()->bus_offs, 73);
	ck_assert_uint_eq(last()->restarts, 74);
	ck_assert_uint_eq(last()->error_frames, 2);
}
END_TEST

/* Nothing of what was known of the controller outlives the interface. */
START_TEST(the_last_status_of_an_interface)
{
	controller(CAN_STATE_ERROR_ACTIVE, 9, 9);
	start();
	kernel.traffic = (struct can_traffic){1000, 8000};
	pass(NS_PER_S);
	ck_assert(last()->has_load && last()->has_errors);
	kernel.link_error = ENODEV;
	kernel.find_error = ENODEV;
	got.n_statuses = 0;
	timebase_fake_advance(&fake, BUS_HEALTH_GAP_MS * NS_PER_MS);
	add()->error = ENODEV;
	turn(1);
	ck_assert_uint_eq(got.n_statuses, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(last()->state, BUS_ABSENT);
		ck_assert(!last()->has_load && !last()->has_errors && !last()->link_up);
		pass(NS_PER_S);
	}
	ck_assert(!last()->has_bit_rate);
}
END_TEST

START_TEST(no_controller)
{
	controller(CAN_LINK_STATE_NONE, 0, 0);
	kernel.link.has_berr = kernel.link.has_stats = false;
	kernel.link.bittiming.bitrate = 0;
	start();
	ck_assert_int_eq(last()->state, BUS_UNKNOWN);
	ck_assert(last()->link_up && !last()->has_errors && !last()->has_bit_rate);
}
END_TEST

/* 1000 frames of 8 bytes a second, 47 + 64 bits each, at 500 kbit/s: 22.2 %. */
START_TEST(bus_load)
{
	controller(CAN_STATE_ERROR_ACTIVE, 0, 0);
	start();
	ck_assert(!last()->has_load);
	kernel.traffic = (struct can_traffic){1000, 8000};
	pass(NS_PER_S);
	ck_assert(last()->has_load);
	ck_assert_uint_eq(last()->load, 222);
	kernel.traffic = (struct can_traffic){2000, 16000};
	for (int i = 0; i < 4; i++) /* half of them with 29 bits: 57 + 64 */
		add_frame(i % 2 ? 0x100 : 0x100 | CAN_EFF_FLAG, 8);
	turn(1);
	pass(NS_PER_S);
	ck_assert_uint_eq(last()->load, 242);
	kernel.traffic = (struct can_traffic){90000, 800000};
	pass(NS_PER_S);
	ck_assert_uint_eq(last()->load, 1000);
	kernel.traffic = (struct can_traffic){5, 40}; /* made anew */
	pass(NS_PER_S);
	ck_assert(!last()->has_load);
	kernel.link.ctrlmode = CAN_CTRLMODE_FD; /* nobody counts what used which bit rate */
	kernel.link.data_bittiming.bitrate = 2000000;
	pass(NS_PER_S);
	pass(NS_PER_S);
	ck_assert(!last()->has_load);
}
END_TEST

/* ---- telling ---- */

START_TEST(each_period)
{
	start_with(&(struct socketcan_options){.status_period_ns = 200 * NS_PER_MS});
	turn(2);
	got.n_statuses = 0;
	for (int i = 0; i < 100; i++)
		pass(100 * NS_PER_MS);
	ck_assert_uint_eq(got.n_statuses, 50);
}
END_TEST

START_TEST(nothing_without_a_message_for_it)
{
	cat = catalog_free(cat);
	cat = make_catalog(false);
	env.cat = cat;
	start();
	add_error(CAN_ERR_BUSOFF, 0, 0, 0);
	pass(10 * NS_PER_S);
	ck_assert_uint_eq(got.n_statuses, 0);
	ck_assert_uint_eq(counter_get(&counters.frames_error), 1);
}
END_TEST

/* A change that finds no free batch is told when there is one. */
START_TEST(busy_when_the_state_changes)
{
	start();
	got.n_statuses = 0;
	timebase_fake_advance(&fake, BUS_HEALTH_GAP_MS * NS_PER_MS);
	got.busy = true;
	add_error(CAN_ERR_BUSOFF, 0, 0, 0);
	turn(2);
	pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(got.n_statuses, 0);
	got.busy = false;
	pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(got.n_statuses, 1);
	ck_assert_int_eq(last()->state, BUS_OFF);
	pass(BUS_HEALTH_GAP_MS * NS_PER_MS);
	ck_assert_uint_eq(got.n_statuses, 1);
}
END_TEST

START_TEST(options_that_are_wrong)
{
	struct socketcan_options opt = {.interface = "can7", .bus = "can9"};
	struct error err;

	ck_assert_int_eq(socketcan_new(&source, &env, "c", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "can9"));
	opt = (struct socketcan_options){.interface = "", .bus = "can0"};
	ck_assert_int_eq(socketcan_new(&source, &env, "c", &opt, &err), -EINVAL);
	opt.interface = "sixteencharacter";
	ck_assert_int_eq(socketcan_new(&source, &env, "c", &opt, &err), -EINVAL);
	source = NULL;
}
END_TEST

/* What the kernel's files say of an interface that every machine has, and of none. */
START_TEST(traffic_of_an_interface)
{
	struct can_traffic t;

	ck_assert_int_eq(can_traffic_read("lo", &t), 0);
	ck_assert_int_eq(can_traffic_read("nocan9", &t), -ENOENT);
	ck_assert_int_eq(can_traffic_read("../net/lo", &t), -EINVAL);
	ck_assert_int_eq(can_traffic_read("..", &t), -EINVAL);
}
END_TEST

static TCase *frame_tests(void)
{
	TCase *t = tcase_create("frames");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, frames);
	tcase_add_test(t, a_dlc_above_8_has_8_bytes);
	tcase_add_test(t, frames_that_contradict_themselves);
	tcase_add_test(t, times_of_the_kernel_and_of_the_controller);
	tcase_add_test(t, times_of_the_kernel_if_so_set);
	tcase_add_test(t, lost_in_the_socket);
	tcase_add_test(t, lost_in_the_socket_at_its_end);
	tcase_add_test(t, no_free_batch);
	tcase_add_test(t, filters_follow_the_rules);
	tcase_add_test(t, filters_that_the_kernel_refuses);
	tcase_add_test(t, filters_of_an_interface_that_is_gone);
	tcase_add_test(t, rules_that_change_while_the_interface_is_down);
	tcase_add_test(t, all_of_the_bus);
	tcase_add_test(t, options_that_are_wrong);
	return t;
}

static TCase *health_tests(void)
{
	TCase *t = tcase_create("health");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, error_frames_change_the_state_at_once);
	tcase_add_test(t, error_frames_are_counted_by_kind);
	tcase_add_test(t, a_storm_of_error_frames);
	tcase_add_test(t, what_is_in_the_socket_is_read_before_it_is_lost);
	tcase_add_test(t, an_interface_that_is_back_at_once);
	tcase_add_test(t, state_of_the_controller);
	tcase_add_test(t, what_the_kernel_counts_is_not_counted_twice);
	tcase_add_test(t, the_last_status_of_an_interface);
	tcase_add_test(t, no_controller);
	tcase_add_test(t, bus_load);
	tcase_add_test(t, each_period);
	tcase_add_test(t, nothing_without_a_message_for_it);
	tcase_add_test(t, busy_when_the_state_changes);
	tcase_add_test(t, traffic_of_an_interface);
	return t;
}

int main(void)
{
	TCase *cases[] = {frame_tests(), health_tests()};

	return suite_run("socketcan", cases, array_len(cases));
}
