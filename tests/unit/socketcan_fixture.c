#include "tests/unit/socketcan_fixture.h"

#include "agent/can/can_interface.h"
#include "base/log.h"
#include "tests/unit/small_catalog.h"

#include <check.h>
#include <linux/can/error.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* ---- the kernel ---- */

struct can_fake can_fake;
struct can_got can_got;
struct timebase_fake can_clock;
struct counters can_counters;
struct catalog *can_cat;
struct source_env can_env;
struct source *can_source;
static struct loop *can_loop;

int can_fake_find(const char *interface, struct can_interface *ret)
{
	ck_assert_str_eq(interface, "can7");
	*ret = (struct can_interface){.index = 3};
	return -can_fake.find_error;
}

static int fake_open(int ifindex, const char *interface, const struct can_filters *filters,
		     bool hardware, enum can_times *ret_times)
{
	ck_assert_int_eq(ifindex, 3);
	ck_assert_str_eq(interface, "can7");
	if (can_fake.open_error)
		return -can_fake.open_error;
	can_fake.opens++;
	can_fake.filters = *filters;
	can_fake.hardware = hardware;
	*ret_times = can_fake.times;
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* always readable */
}

static int fake_filter(int fd, const struct can_filters *filters)
{
	ck_assert_int_ge(fd, 0);
	can_fake.filter_calls++;
	can_fake.filters = *filters;
	return -can_fake.filter_error;
}

void can_put_control(struct msghdr *m, int level, int type, const void *data, size_t size)
{
	struct cmsghdr *h = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);

	h->cmsg_level = level;
	h->cmsg_type = type;
	h->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(h), data, size);
	m->msg_controllen += CMSG_SPACE(size);
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

static void put_message(struct mmsghdr *to, const struct can_item *item)
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
		can_put_control(m, SOL_SOCKET, SO_TIMESTAMPING, ts, sizeof(ts));
	else if (item->stamps.wall_ns)
		can_put_control(m, SOL_SOCKET, SO_TIMESTAMPNS, ts, sizeof(ts[0]));
	if (item->has_overflow)
		can_put_control(m, SOL_SOCKET, SO_RXQ_OVFL, &item->overflow,
				sizeof(item->overflow));
}

static int fake_read(int fd, struct mmsghdr *msgs, unsigned n)
{
	unsigned done = 0;

	ck_assert_int_ge(fd, 0);
	while (done < n && can_fake.next < can_fake.n) {
		const struct can_item *item = &can_fake.items[can_fake.next];

		if (item->error && done > 0)
			break;
		can_fake.next++;
		if (item->error) {
			errno = item->error;
			return -1;
		}
		put_message(&msgs[done++], item);
		can_fake.in_this_turn++;
	}
	if (can_fake.in_this_turn > can_fake.most_a_turn)
		can_fake.most_a_turn = can_fake.in_this_turn;
	if (done > 0)
		return (int)done;
	errno = EAGAIN;
	return -1;
}

static int fake_lost(int fd, uint32_t *ret)
{
	ck_assert_int_ge(fd, 0);
	*ret = can_fake.lost;
	return can_fake.lost ? 0 : -ENOPROTOOPT; /* as before Linux 4.11 */
}

static int fake_link(const char *interface, struct can_link_state *ret)
{
	ck_assert_str_eq(interface, "can7");
	*ret = can_fake.link;
	return -can_fake.link_error;
}

static int fake_traffic(const char *interface, struct can_traffic *ret)
{
	ck_assert_str_eq(interface, "can7");
	*ret = can_fake.traffic;
	return 0;
}

const struct socketcan_kernel can_fake_kernel = {
	.open = fake_open,
	.filter = fake_filter,
	.read = fake_read,
	.lost = fake_lost,
	.find = can_fake_find,
	.health = {.link = fake_link, .traffic = fake_traffic},
};

struct can_item *can_add(void)
{
	ck_assert_uint_lt(can_fake.n, CAN_ITEMS_MAX);
	can_fake.items[can_fake.n] = (struct can_item){.size = CAN_MTU};
	return &can_fake.items[can_fake.n++];
}

struct can_item *can_add_frame(uint32_t can_id, uint8_t len)
{
	struct can_item *i = can_add();

	i->frame.can_id = can_id;
	i->frame.len = len;
	for (uint8_t k = 0; k < CANFD_MAX_DLEN; k++)
		i->frame.data[k] = k;
	return i;
}

void can_add_error(uint32_t classes, uint8_t controller, uint8_t tx, uint8_t rx)
{
	struct can_item *i = can_add_frame(CAN_ERR_FLAG | classes, 8);

	memset(i->frame.data, 0, sizeof(i->frame.data));
	i->frame.data[1] = controller;
	i->frame.data[6] = tx;
	i->frame.data[7] = rx;
}

/* ---- the agent ---- */

static int on_frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	if (can_got.busy)
		return SOURCE_BUSY;
	ck_assert_uint_lt(can_got.n, CAN_GOT_MAX);
	can_got.frames[can_got.n++] = *f;
	return 0;
}

static int on_payload(void *ctx, const struct payload *p)
{
	(void)ctx;
	if (can_got.busy)
		return SOURCE_BUSY;
	ck_assert_int_eq(p->kind, PAYLOAD_STATUS);
	ck_assert_uint_eq(p->bus, 0);
	ck_assert_uint_lt(can_got.n_statuses, CAN_GOT_MAX);
	can_got.times[can_got.n_statuses] = p->t_ns;
	ck_assert_int_eq(
		bus_status_unpack(&can_got.statuses[can_got.n_statuses++], p->data, p->len), 0);
	return 0;
}

static size_t on_matches(void *ctx, uint16_t bus, struct frame_match *out, size_t max)
{
	(void)ctx;
	ck_assert_uint_eq(bus, 0);
	for (size_t i = 0; i < can_got.n_matches && i < max; i++)
		out[i] = can_got.matches[i];
	return can_got.n_matches;
}

static void on_ended(void *ctx, struct source *s)
{
	(void)ctx;
	(void)s;
	ck_abort_msg("a CAN source never ends");
}

struct catalog *can_make_catalog(bool status)
{
	static const char *const names[] = {"A", "a", "b", "B", "c"};
	struct catalog *plain = two_messages(names), *with;

	if (!status)
		return plain;
	ck_assert_int_eq(bus_status_add(&with, plain, NULL), 0);
	catalog_free(plain);
	return with;
}

void can_setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	memset(&can_fake, 0, sizeof(can_fake));
	memset(&can_got, 0, sizeof(can_got));
	memset(&can_counters, 0, sizeof(can_counters));
	can_fake.link_error = EAFNOSUPPORT; /* nothing to ask */
	can_got.matches[0] = (struct frame_match){0x100, 0x7FF, false};
	can_got.n_matches = 1;
	can_cat = can_make_catalog(true);
	timebase_fake_init(&can_clock, 50 * NS_PER_S, 1700000000 * NS_PER_S);
	ck_assert_int_eq(loop_new(&can_loop, &can_clock.tb), 0);
	can_env = (struct source_env){.loop = can_loop,
				      .tb = &can_clock.tb,
				      .cat = can_cat,
				      .counters = &can_counters,
				      .frame = on_frame,
				      .payload = on_payload,
				      .matches = on_matches,
				      .ended = on_ended};
}

void can_teardown(void)
{
	can_source = source_free(can_source);
	can_loop = loop_free(can_loop);
	can_cat = catalog_free(can_cat);
}

void can_start_with(const struct socketcan_options *more)
{
	struct socketcan_options opt = *more;
	struct error err = {0};

	opt.interface = "can7";
	opt.bus = "can0";
	opt.kernel = &can_fake_kernel;
	ck_assert_msg(socketcan_new(&can_source, &can_env, "c", &opt, &err) == 0, "%s", err.text);
}

void can_turn(int n)
{
	for (int i = 0; i < n; i++) {
		can_fake.in_this_turn = 0;
		ck_assert_int_eq(loop_turn(can_loop, 0), 0);
	}
}

void can_pass(int64_t ns)
{
	timebase_fake_advance(&can_clock, ns);
	can_turn(2);
}

void can_start(void)
{
	can_start_with(&(struct socketcan_options){0});
	can_turn(2);
	ck_assert_uint_eq(can_fake.opens, 1);
}

const struct bus_status *can_last(void)
{
	ck_assert_uint_gt(can_got.n_statuses, 0);
	return &can_got.statuses[can_got.n_statuses - 1];
}
