/* CAN interfaces: rtnetlink requests as bytes, what a kernel said as it was captured (Linux 6.1,
 * SJA1000, slcan, vcan), and what follows from it. */
#include "agent/can/can_link.h"
#include "agent/can/can_link_msg.h"
#include "agent/can/can_link_plan.h"
#include "base/bytes.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

static uint64_t buf[4096 / 8];

static size_t load(const char *name)
{
	char path[512];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), TEST_DATA "/can_link/%s", name);
	f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	ck_assert_uint_gt(n, 16);
	return n;
}

/* The one message in a file. */
static struct can_link_msg take(const char *name)
{
	struct can_link_msg m;
	size_t n = load(name);

	ck_assert_uint_eq(can_link_msg_take(buf, n, &m), n);
	return m;
}

/* ---- what a kernel says ---- */

START_TEST(controller_up)
{
	struct can_link_msg m = take("can0-up");
	const struct can_link_state *s = &m.state;

	ck_assert_int_eq(m.type, CAN_LINK_MSG_LINK);
	ck_assert_uint_eq(m.seq, 7);
	ck_assert(m.is_can);
	ck_assert_str_eq(s->interface, "can0");
	ck_assert_int_eq(s->ifindex, 3);
	ck_assert_str_eq(s->kind, "can");
	ck_assert(s->up);
	ck_assert_int_eq(s->can_state, CAN_STATE_ERROR_ACTIVE);
	ck_assert(s->has_berr && s->has_stats);
	ck_assert_uint_eq(s->berr.txerr + s->berr.rxerr, 0);
	ck_assert_uint_eq(s->stats.bus_off, 0);
	ck_assert_uint_eq(s->ctrlmode, CAN_CTRLMODE_LISTENONLY);
	ck_assert(s->has_ctrlmode_supported);
	ck_assert(s->ctrlmode_supported & CAN_CTRLMODE_LISTENONLY);
	ck_assert(!(s->ctrlmode_supported & CAN_CTRLMODE_FD));
	ck_assert_uint_eq(s->restart_ms, 250);
	ck_assert_uint_eq(s->clock_hz, 8000000);
	ck_assert_uint_eq(s->bittiming.bitrate, 500000);
	ck_assert_uint_eq(s->bittiming.sample_point, 750); /* 800 was asked for */
	ck_assert_uint_eq(s->data_bittiming.bitrate, 0);
	ck_assert(s->has_bittiming_const && !s->has_data_bittiming_const);
	ck_assert_str_eq(s->bittiming_const.name, "sja1000");
	ck_assert_uint_eq(s->bittiming_const.tseg1_max, 16);
}
END_TEST

START_TEST(others)
{
	struct can_link_msg m = take("can1-down");

	ck_assert(m.is_can && !m.state.up);
	ck_assert_int_eq(m.state.can_state, CAN_STATE_STOPPED);
	ck_assert_uint_eq(m.state.bittiming.bitrate, 0);
	m = take("vcan0-up");
	ck_assert(m.is_can && m.state.up);
	ck_assert_str_eq(m.state.kind, "vcan");
	ck_assert_int_eq(m.state.can_state, CAN_LINK_STATE_NONE);
	ck_assert(!m.state.has_berr && !m.state.has_stats);
	m = take("lo");
	ck_assert_int_eq(m.type, CAN_LINK_MSG_LINK);
	ck_assert(!m.is_can);
	m = take("slcan-bus-off");
	ck_assert_int_eq(m.state.can_state, CAN_STATE_BUS_OFF);
	ck_assert(m.state.up && m.state.has_stats && !m.state.has_berr);
	ck_assert_uint_eq(m.state.stats.bus_off, 1);
	ck_assert_uint_eq(m.state.n_rates, 9);
	ck_assert_uint_eq(m.state.rates[0], 10000);
	ck_assert_uint_eq(m.state.rates[8], 1000000);
	m = take("slcan-gone");
	ck_assert_int_eq(m.type, CAN_LINK_MSG_GONE);
	ck_assert_str_eq(m.state.interface, "can2");
	m = take("can0-set-down");
	ck_assert_int_eq(m.type, CAN_LINK_MSG_LINK);
	ck_assert(!m.state.up);
}
END_TEST

START_TEST(answers)
{
	struct can_link_msg m = take("nosuch");

	ck_assert_int_eq(m.type, CAN_LINK_MSG_ANSWER);
	ck_assert_int_eq(m.error, -ENODEV);
	ck_assert_str_eq(m.text, "");
	m = take("refused");
	ck_assert_int_eq(m.type, CAN_LINK_MSG_ANSWER);
	ck_assert_int_eq(m.error, -EDOM); /* bitrate 3000 */
}
END_TEST

/* An answer in which a kernel explains itself; capped: without the request. */
START_TEST(words_of_the_kernel)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		uint8_t request[12];
		struct nlattr a;
		char text[16];
	} long_one = {
		.h = {sizeof(long_one), NLMSG_ERROR, NLM_F_ACK_TLVS, 5, 0},
		.e = {-EOPNOTSUPP, {.nlmsg_len = sizeof(struct nlmsghdr) + 12}},
		.a = {sizeof(struct nlattr) + 9, NLMSGERR_ATTR_MSG},
		.text = "no bitrate",
	};
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		struct nlattr a;
		char text[16];
	} capped = {
		.h = {sizeof(capped), NLMSG_ERROR, NLM_F_ACK_TLVS | NLM_F_CAPPED, 5, 0},
		.e = {-EOPNOTSUPP, {.nlmsg_len = 4000}},
		.a = {sizeof(struct nlattr) + 16, NLMSGERR_ATTR_MSG},
		.text = "no bitrate",
	};
	struct can_link_msg m;

	ck_assert_uint_eq(can_link_msg_take(&long_one, sizeof(long_one), &m), sizeof(long_one));
	ck_assert_int_eq(m.error, -EOPNOTSUPP);
	ck_assert_str_eq(m.text, "no bitrat"); /* it ends with its attribute */
	ck_assert_uint_eq(can_link_msg_take(&capped, sizeof(capped), &m), sizeof(capped));
	ck_assert_str_eq(m.text, "no bitrate");
	long_one.e.msg.nlmsg_len = 4000; /* beyond the end */
	ck_assert_uint_eq(can_link_msg_take(&long_one, sizeof(long_one), &m), sizeof(long_one));
	ck_assert_str_eq(m.text, "");
	long_one.e.error = 5;
	ck_assert_uint_gt(can_link_msg_take(&long_one, sizeof(long_one), &m), 0);
	ck_assert_int_eq(m.error, -EIO);
}
END_TEST

/* Cut anywhere: never more than there is, and nothing is made up. */
START_TEST(cut_short)
{
	size_t n = load("can0-up");
	struct can_link_msg m;
	struct nlmsghdr *h = (struct nlmsghdr *)buf;

	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(can_link_msg_take(buf, i, &m), 0);
	for (uint32_t i = 0; i < n; i++) {
		h->nlmsg_len = i;
		if (can_link_msg_take(buf, n, &m) == 0)
			ck_assert_uint_lt(i, sizeof(*h));
		else if (i < 900)
			ck_assert_uint_eq(m.state.stats.bus_error, 0);
	}
}
END_TEST

/* ---- requests ---- */

static const struct can_link_settings fd_settings = {
	.interface = "can0",
	.bitrate = 500000,
	.sample_point = 875,
	.fd = true,
	.dbitrate = 2000000,
	.dsample_point = 750,
	.restart_ms = 100,
	.restart_max_ms = 10000,
	.berr_reporting = true,
};

/* What `ip link set IF up type can bitrate 500000 sample-point 0.875 ...` sends, but for the order
 * of the attributes. */
static const char set_request[] =
	/* header: 140 bytes, RTM_NEWLINK, REQUEST|ACK, seq 9 */
	"8c000000"
	"1000"
	"0500"
	"09000000"
	"00000000"
	/* ifinfomsg: index 3, flags UP, change UP */
	"00000000"
	"03000000"
	"01000000"
	"01000000"
	/* LINKINFO, kind "can", data */
	"6c00"
	"1280"
	"0800"
	"0100"
	"63616e00"
	"6000"
	"0280"
	/* BITTIMING: rate, sample point */
	"2400"
	"0100"
	"20a10700"
	"6b030000"
	"00000000"
	"00000000"
	"00000000"
	"00000000"
	"00000000"
	"00000000"
	/* CTRLMODE: mask, flags */
	"0c00"
	"0500"
	"3b000000"
	"30000000"
	/* DATA_BITTIMING */
	"2400"
	"0900"
	"80841e00"
	"ee020000"
	"00000000"
	"00000000"
	"00000000"
	"00000000"
	"00000000"
	"00000000"
	/* RESTART_MS */
	"0800"
	"0600"
	"64000000";

START_TEST(request_to_set)
{
	char text[2 * CAN_LINK_REQUEST_MAX + 1];
	size_t n = can_link_msg_set(buf, 9, 3, &fd_settings, true);

	hex_encode((const uint8_t *)buf, n, text);
	ck_assert_str_eq(text, set_request);
	ck_assert_uint_eq(can_link_msg_set(buf, 9, 3, &fd_settings, false), n - 8);
}
END_TEST

START_TEST(other_requests)
{
	char text[2 * CAN_LINK_REQUEST_MAX + 1];
	size_t n = can_link_msg_get(buf, 1, "can0");

	hex_encode((const uint8_t *)buf, n, text);
	ck_assert_str_eq(text, "2c000000"
			       "1200"
			       "0100"
			       "01000000"
			       "00000000"
			       "00000000"
			       "00000000"
			       "00000000"
			       "00000000"
			       "0900"
			       "0300"
			       "63616e30"
			       "00000000");
	n = can_link_msg_down(buf, 2, 3);
	hex_encode((const uint8_t *)buf, n, text);
	ck_assert_str_eq(text, "20000000"
			       "1000"
			       "0500"
			       "02000000"
			       "00000000"
			       "00000000"
			       "03000000"
			       "00000000"
			       "01000000");
}
END_TEST

/* ---- is it so? ---- */

START_TEST(already_so)
{
	struct can_link_state now = take("can0-up").state;
	struct can_link_settings s = {
		.bitrate = 500000, .restart_ms = 250, .listen_only = true, .sample_point = 800};

	ck_assert(can_link_is_so(&now, &s));
	s.sample_point = 0;
	ck_assert(can_link_is_so(&now, &s));
	s.sample_point = 875;
	ck_assert(!can_link_is_so(&now, &s));
	s.sample_point = 750;
	s.sjw = 2;
	ck_assert(!can_link_is_so(&now, &s));
	s.sjw = 1;
	ck_assert(can_link_is_so(&now, &s));
	s.bitrate = 250000;
	ck_assert(!can_link_is_so(&now, &s));
	s.bitrate = 500000;
	s.listen_only = false;
	ck_assert(!can_link_is_so(&now, &s));
	s.listen_only = true;
	s.restart_ms = 0;
	ck_assert(!can_link_is_so(&now, &s));
	s.restart_ms = 250;
	now.up = false;
	ck_assert(!can_link_is_so(&now, &s));
	/* The agent restarts where the kernel does not: no reason to interrupt. */
	now.up = true;
	now.restart_ms = 0;
	ck_assert(can_link_is_so(&now, &s));
}
END_TEST

/* 83,333 bit/s, as single-wire CAN has it: what the kernel made of it is the nearest there is. */
START_TEST(odd_bit_rate)
{
	struct can_link_state now = take("can0-up").state;
	struct can_link_settings s = {.bitrate = 83300, .listen_only = true, .restart_ms = 250};

	ck_assert_uint_eq(can_link_nearest(&now, 83300), 83333);
	now.bittiming.bitrate = 83333;
	ck_assert(can_link_is_so(&now, &s));
	now.bittiming.bitrate = 83300; /* it cannot be */
	ck_assert(!can_link_is_so(&now, &s));
	ck_assert_uint_eq(can_link_nearest(&now, 1000000), 1000000);
	ck_assert_uint_eq(can_link_nearest(&now, 1), 5000);	     /* 8 MHz / (64 * 25) */
	ck_assert_uint_eq(can_link_nearest(&now, 5000000), 2666666); /* 8 MHz / 3 */
	now.bittiming_const.brp_min = 0;
	ck_assert_uint_eq(can_link_nearest(&now, 500000), 0);
	now.clock_hz = 0;
	ck_assert_uint_eq(can_link_nearest(&now, 500000), 0);
	ck_assert_uint_eq(can_link_nearest(&now, 0), 0);
}
END_TEST

/* No emulated controller has CAN FD: an MCP2518FD as its driver describes it. */
static struct can_link_state fd_controller(void)
{
	return (struct can_link_state){
		.kind = "can",
		.up = true,
		.ctrlmode = CAN_CTRLMODE_FD | CAN_CTRLMODE_BERR_REPORTING,
		.has_ctrlmode_supported = true,
		.ctrlmode_supported = CAN_CTRLMODE_LOOPBACK | CAN_CTRLMODE_LISTENONLY |
				      CAN_CTRLMODE_BERR_REPORTING | CAN_CTRLMODE_FD |
				      CAN_CTRLMODE_FD_NON_ISO | CAN_CTRLMODE_CC_LEN8_DLC,
		.clock_hz = 40000000,
		.restart_ms = 100,
		.bittiming = {500000, 875, 25, 34, 35, 10, 1, 1},
		.data_bittiming = {2000000, 750, 25, 7, 7, 5, 1, 1},
		.has_bittiming_const = true,
		.has_data_bittiming_const = true,
		.bittiming_const = {"mcp251xfd", 2, 256, 1, 128, 128, 1, 256, 1},
		.data_bittiming_const = {"mcp251xfd", 1, 32, 1, 16, 16, 1, 256, 1},
	};
}

START_TEST(can_fd)
{
	struct can_link_state now = fd_controller();
	struct can_link_settings s = fd_settings;
	struct error err;

	ck_assert_int_eq(can_link_check(&now, &s, &err), 0);
	ck_assert(can_link_is_so(&now, &s));
	s.dbitrate = 4000000;
	ck_assert_int_eq(can_link_check(&now, &s, &err), 0);
	ck_assert(!can_link_is_so(&now, &s));
	s.dbitrate = 2000000;
	s.dsample_point = 875;
	ck_assert(!can_link_is_so(&now, &s));
	s.dsample_point = 0;
	s.fd = false;
	s.dbitrate = 0;
	ck_assert(!can_link_is_so(&now, &s));
}
END_TEST

/* ---- refusals ---- */

static const char *refusal(const struct can_link_state *now, const struct can_link_settings *s,
			   int expected)
{
	static struct error err;

	err.text[0] = '\0';
	ck_assert_int_eq(can_link_check(now, s, &err), expected);
	return err.text;
}

START_TEST(refused_beforehand)
{
	struct can_link_state sja = take("can0-up").state, slcan = take("slcan-bus-off").state,
			      vcan = take("vcan0-up").state, fd = fd_controller();
	struct can_link_settings s = {.bitrate = 500000};

	ck_assert_int_eq(can_link_check(&sja, &s, NULL), 0);
	ck_assert_int_eq(can_link_check(&slcan, &s, NULL), 0);
	ck_assert_str_eq(refusal(&vcan, &s, -EOPNOTSUPP),
			 "a virtual interface (vcan) has no bit rate: remove bitrate from its "
			 "section");
	ck_assert_str_eq(refusal(&sja, &fd_settings, -EOPNOTSUPP),
			 "the sja1000 cannot do CAN FD (fd, dbitrate)");
	s.bitrate = 3000;
	ck_assert_str_eq(refusal(&sja, &s, -EDOM), "bitrate=3000: the sja1000 cannot do it with "
						   "its clock of 8000000 Hz; nearest is 5000");
	s.bitrate = 480000;
	ck_assert_int_eq(can_link_check(&sja, &s, NULL), 0); /* within 5 % of 500000 */
	ck_assert_str_eq(refusal(&slcan, &s, -EDOM),
			 "bitrate=480000: the controller cannot do it; nearest is 500000");
	s = fd_settings;
	fd.bitrate_max = 1000000;
	ck_assert_str_eq(refusal(&fd, &s, -EDOM),
			 "dbitrate=2000000: the transceiver can do 1000000 at most");
	s.dbitrate = 20000000;
	ck_assert_str_eq(refusal(&fd, &s, -EDOM),
			 "dbitrate=20000000: the mcp251xfd cannot do it with its clock of "
			 "40000000 Hz; nearest is 13333333");
}
END_TEST

static const char *explained(int error, const char *text)
{
	static struct error err;

	can_link_explain(&fd_settings, NULL, error, text, &err);
	return err.text;
}

START_TEST(explanations)
{
	struct error err;

	ck_assert_str_eq(explained(-ENODEV, ""), "there is no such interface");
	ck_assert_str_eq(explained(-EMEDIUMTYPE, ""), "it is not a CAN interface");
	ck_assert_ptr_nonnull(strstr(explained(-EPERM, ""), "AmbientCapabilities=CAP_NET_ADMIN"));
	ck_assert_str_eq(explained(-EINVAL, "bitrate error 7% too high"),
			 "the controller refuses bitrate=500000 dbitrate=2000000 or a mode, or the "
			 "sample point: Invalid argument; bitrate error 7% too high");
	ck_assert_str_eq(explained(-EBUSY, ""), "Device or resource busy");
	can_link_explain(NULL, NULL, -EINVAL, "", &err); /* nothing was to be set */
	ck_assert_str_eq(err.text, "Invalid argument");
}
END_TEST

/* Which drivers may be told to restart: asking the others ends kernels of before mid-2025. */
START_TEST(restart_time)
{
	struct can_link_state sja = take("can0-up").state, slcan = take("slcan-bus-off").state,
			      gs_usb = fd_controller();
	struct can_link_settings s = {.bitrate = 500000, .restart_ms = 100};

	snprintf(gs_usb.bittiming_const.name, sizeof(gs_usb.bittiming_const.name), "gs_usb");
	ck_assert(can_link_restarts(&sja));
	ck_assert_uint_eq(can_link_restart_ms(&sja, &s), 100);
	ck_assert(!can_link_restarts(&slcan));
	ck_assert_uint_eq(can_link_restart_ms(&slcan, &s), 0);
	ck_assert(!can_link_restarts(&gs_usb));

	/* A time that such a driver has been given by others is taken away. */
	slcan.up = true;
	slcan.ctrlmode = 0;
	ck_assert(can_link_is_so(&slcan, &s));
	slcan.restart_ms = 100;
	ck_assert(!can_link_is_so(&slcan, &s));
}
END_TEST

/* This machine has a loopback, and it is no bus. */
START_TEST(real_kernel)
{
	struct can_link_settings s = {.interface = "lo", .bitrate = 500000};
	struct can_link_state now;
	struct error err;
	int r = can_link_read("lo", &now);

	ck_assert_int_eq(r, -EMEDIUMTYPE);
	ck_assert_int_eq(can_link_read("nocan9", &now), -ENODEV);
	ck_assert_int_eq(can_link_read("a-name-that-no-interface-has", &now), -ENODEV);
	ck_assert_int_eq(can_link_apply(&s, false, &now, &err), -EMEDIUMTYPE);
	ck_assert_str_eq(err.text, "it is not a CAN interface");
}
END_TEST

START_TEST(names)
{
	ck_assert_str_eq(can_link_state_name(CAN_STATE_BUS_OFF), "bus-off");
	ck_assert_str_eq(can_link_state_name(CAN_LINK_STATE_NONE), "none");
	ck_assert_str_eq(can_link_state_name(CAN_STATE_MAX), "none");
}
END_TEST

int main(void)
{
	TCase *msg = tcase_create("messages"), *plan = tcase_create("plan");

	tcase_add_test(msg, controller_up);
	tcase_add_test(msg, others);
	tcase_add_test(msg, answers);
	tcase_add_test(msg, words_of_the_kernel);
	tcase_add_test(msg, cut_short);
	tcase_add_test(msg, request_to_set);
	tcase_add_test(msg, other_requests);
	tcase_add_test(plan, already_so);
	tcase_add_test(plan, odd_bit_rate);
	tcase_add_test(plan, can_fd);
	tcase_add_test(plan, refused_beforehand);
	tcase_add_test(plan, explanations);
	tcase_add_test(plan, restart_time);
	tcase_add_test(plan, real_kernel);
	tcase_add_test(plan, names);
	return suite_run("can_link", (TCase *const[]){msg, plan}, 2);
}
