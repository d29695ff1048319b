#include "agent/decode/j1939tp.h"
#include "agent/j1939/j1939_claim.h"
#include "agent/j1939/j1939_id.h"
#include "agent/j1939/j1939_wire.h"
#include "tests/unit/suite.h"

#include <linux/errqueue.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* ---- a message as the kernel gives it ---- */

static struct sockaddr_can from;
static uint8_t data[J1939_PAYLOAD_MAX];
static struct iovec iov;
static uint8_t control[512] __attribute__((aligned(8)));
static struct msghdr msg;

static void setup(void)
{
	from = (struct sockaddr_can){.can_family = AF_CAN, .can_ifindex = 3};
	from.can_addr.j1939.pgn = 0xFECA;
	from.can_addr.j1939.addr = 0x21;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	iov = (struct iovec){data, sizeof(data)};
	memset(control, 0, sizeof(control));
	msg = (struct msghdr){.msg_name = &from,
			      .msg_namelen = sizeof(from),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control};
}

static void put(int level, int type, const void *bytes, size_t size)
{
	struct cmsghdr *h = (struct cmsghdr *)(control + msg.msg_controllen);

	ck_assert_uint_le(msg.msg_controllen + CMSG_SPACE(size), sizeof(control));
	h->cmsg_level = level;
	h->cmsg_type = type;
	h->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(h), bytes, size);
	msg.msg_controllen += CMSG_SPACE(size);
}

static void put_byte(int type, uint8_t byte)
{
	put(SOL_CAN_J1939, type, &byte, 1);
}

START_TEST(to_all)
{
	struct j1939_received r;
	struct payload p;

	put_byte(SCM_J1939_PRIO, 3);
	ck_assert_int_eq(j1939_read(&msg, 18, &r), 0);
	ck_assert_uint_eq(r.destination, J1939_ADDRESS_ALL);
	ck_assert(!r.has_overflow);
	p = j1939_payload(&r, 5, 77);
	ck_assert_uint_eq(p.id, 0x0CFECA21);
	ck_assert_uint_eq(p.id, j1939_id(3, 0xFECA, 0x21, 0xFF));
	ck_assert(p.extended);
	ck_assert_int_eq(p.kind, PAYLOAD_J1939);
	ck_assert_uint_eq(p.bus, 5);
	ck_assert_int_eq(p.t_ns, 77);
	ck_assert_uint_eq(p.len, 18);
	ck_assert_ptr_eq(p.data, data);
}
END_TEST

START_TEST(to_one)
{
	struct timespec ts = {.tv_sec = 7, .tv_nsec = 8};
	uint32_t overflow = 9;
	struct j1939_received r;
	struct frame f;

	from.can_addr.j1939.pgn = 0xEF00;
	put(SOL_SOCKET, SO_TIMESTAMPNS, &ts, sizeof(ts));
	put_byte(SCM_J1939_DEST_ADDR, 0x33);
	put_byte(SCM_J1939_DEST_NAME, 1);
	put_byte(SCM_J1939_PRIO, 0xFF);
	put(SOL_SOCKET, SO_RXQ_OVFL, &overflow, sizeof(overflow));
	ck_assert_int_eq(j1939_read(&msg, 5, &r), 0);
	ck_assert_uint_eq(r.destination, 0x33);
	ck_assert_int_eq(r.stamps.wall_ns, 7 * NS_PER_S + 8);
	ck_assert(r.has_overflow);
	ck_assert_uint_eq(r.overflow, 9);
	f = j1939_frame(&r, 1, 42);
	ck_assert_uint_eq(f.id, 0x1CEF3321);
	ck_assert_uint_eq(f.len, 5);
	ck_assert_uint_eq(f.flags, FRAME_EXTENDED);
	ck_assert_mem_eq(f.data, data, 5);
	/* PDU2 has no destination in its identifier, even when the kernel tells one. */
	from.can_addr.j1939.pgn = 0x1FEB3;
	ck_assert_int_eq(j1939_read(&msg, 5, &r), 0);
	ck_assert_uint_eq(j1939_payload(&r, 0, 0).id, 0x1DFEB321);
}
END_TEST

START_TEST(refused)
{
	uint32_t overflow = 4;
	struct j1939_received r;

	put(SOL_SOCKET, SO_RXQ_OVFL, &overflow, sizeof(overflow));
	msg.msg_flags = MSG_TRUNC;
	ck_assert_int_eq(j1939_read(&msg, sizeof(data), &r), -EMSGSIZE);
	ck_assert(r.has_overflow); /* what was lost is known all the same */
	ck_assert_uint_eq(r.overflow, 4);
	setup();
	msg.msg_namelen = 8;
	ck_assert_int_eq(j1939_read(&msg, 8, &r), -EBADMSG);
	ck_assert(!r.has_overflow);
	setup();
	msg.msg_name = NULL;
	ck_assert_int_eq(j1939_read(&msg, 8, &r), -EBADMSG);
	setup();
	from.can_family = AF_UNIX;
	ck_assert_int_eq(j1939_read(&msg, 8, &r), -EBADMSG);
	setup();
	from.can_addr.j1939.addr = 0xFF;
	ck_assert_int_eq(j1939_read(&msg, 8, &r), -EBADMSG);
	setup();
	from.can_addr.j1939.pgn = J1939_NO_PGN;
	ck_assert_int_eq(j1939_read(&msg, 8, &r), -EBADMSG);
}
END_TEST

/* ---- notices ---- */

static void put_error(uint32_t info, uint32_t error)
{
	struct sock_extended_err e = {.ee_errno = error, .ee_info = info, .ee_data = 77};

	put(SOL_CAN_J1939, SCM_J1939_ERRQUEUE, &e, sizeof(e));
}

START_TEST(notices)
{
	static const uint8_t attributes[] = {
		8, 0, J1939_NLA_BYTES_ACKED, 0, 7,    0,    0, 0,
		8, 0, J1939_NLA_PGN,	     0, 0,    0xEF, 0, 0,
		5, 0, J1939_NLA_SRC_ADDR,    0, 0x21, 0,    0, 0,
		5, 0, J1939_NLA_DEST_ADDR,   0, 0x33, 0,    0, 0,
	};
	struct j1939_notice f;

	ck_assert_int_eq(j1939_notice_read(&msg, &f), -EBADMSG);
	put_error(J1939_EE_INFO_RX_ABORT, EHOSTUNREACH);
	ck_assert_int_eq(j1939_notice_read(&msg, &f), 0);
	ck_assert_uint_eq(f.info, J1939_EE_INFO_RX_ABORT);
	ck_assert_int_eq(f.error, EHOSTUNREACH);
	ck_assert_uint_eq(f.key, 77);
	ck_assert(!f.has_pgn);
	put(SOL_SOCKET, SCM_TIMESTAMPING_OPT_STATS, attributes, sizeof(attributes));
	ck_assert_int_eq(j1939_notice_read(&msg, &f), 0);
	ck_assert(f.has_pgn);
	ck_assert_uint_eq(f.pgn, 0xEF00);
	ck_assert_uint_eq(f.source, 0x21);
	ck_assert_str_eq(j1939_failure_text(EHOSTUNREACH), "the other node did not go on in time");
	ck_assert_str_eq(j1939_failure_text(ENETDOWN), strerror(ENETDOWN));
}
END_TEST

/* Attributes that say more than there is are not followed. */
START_TEST(broken_attributes)
{
	static const uint8_t broken[][8] = {
		{9, 0, J1939_NLA_PGN, 0, 1, 2, 3, 4}, {0xFF, 0xFF, J1939_NLA_PGN, 0, 1, 2, 3, 4},
		{0, 0, J1939_NLA_PGN, 0, 1, 2, 3, 4}, {3, 0, J1939_NLA_PGN, 0, 1, 2, 3, 4},
		{7, 0, J1939_NLA_PGN, 0, 1, 2, 3, 4},
	};
	struct j1939_notice f;

	for (size_t i = 0; i < array_len(broken); i++) {
		setup();
		put_error(J1939_EE_INFO_TX_ABORT, EIO);
		put(SOL_SOCKET, SCM_TIMESTAMPING_OPT_STATS, broken[i], sizeof(broken[i]));
		ck_assert_int_eq(j1939_notice_read(&msg, &f), 0);
		ck_assert_msg(!f.has_pgn, "case %zu", i);
	}
}
END_TEST

/* ---- filters ---- */

/* As net/can/j1939/socket.c matches. */
static bool passes(const struct j1939_filter *f, size_t n, uint32_t id)
{
	uint32_t pgn = id >> 8 & 0x3FFFF;

	if ((pgn >> 8 & 0xFF) < 240)
		pgn &= 0x3FF00;
	for (size_t i = 0; i < n; i++)
		if ((pgn & f[i].pgn_mask) == f[i].pgn && (id & 0xFF & f[i].addr_mask) == f[i].addr)
			return true;
	return n == 0;
}

static struct j1939_filter filters[J1939_FILTERS_MAX];

START_TEST(filters_of_matches)
{
	static const struct frame_match matches[] = {
		{0x0FECA00, 0x3FFFF00, true},	/* PDU2 of any source */
		{0x0EF0000, 0x3FF0000, true},	/* PDU1 of any source and destination */
		{0x18FEF117, 0x1FFFFFFF, true}, /* one identifier */
		{0x18DA10F1, 0x1FFFFFFF, true}, /* ... with a destination */
		{0x0FECA00, 0x3FFFF00, true},	/* again */
		{0x7E8, 0x7FF, false},
	};
	size_t n = j1939_filters(matches, array_len(matches), filters);

	ck_assert_uint_eq(n, 4);
	ck_assert(passes(filters, n, 0x18FECA55));
	ck_assert(passes(filters, n, 0x1CEF3321));
	ck_assert(passes(filters, n, 0x18FEF117));
	ck_assert(!passes(filters, n, 0x18FEF118));
	ck_assert(passes(filters, n, 0x18DA10F1));
	ck_assert(!passes(filters, n, 0x18DA10F2));
	ck_assert(!passes(filters, n, 0x18FECB55));
	ck_assert(!passes(filters, n, 0x1DFECA55)); /* data page 1 */
}
END_TEST

START_TEST(no_filter_and_too_many)
{
	static struct frame_match matches[J1939_FILTERS_MAX + 1];
	size_t n = j1939_filters(matches, 0, filters);

	/* Nothing is wanted: nothing passes. */
	ck_assert_uint_eq(n, 1);
	for (uint32_t source = 0; source < 255; source++)
		ck_assert(!passes(filters, n, 0x18FECA00 | source));
	for (uint32_t i = 0; i < array_len(matches); i++)
		matches[i] = (struct frame_match){(0xFE00 + i) << 8, 0x3FFFF00, true};
	ck_assert_uint_eq(j1939_filters(matches, J1939_FILTERS_MAX, filters), J1939_FILTERS_MAX);
	ck_assert_uint_eq(j1939_filters(matches, J1939_FILTERS_MAX + 1, filters), 0);
}
END_TEST

START_TEST(bytes)
{
	uint8_t out[8];

	j1939_put_pgn(out, 0x1FECA);
	ck_assert_mem_eq(out, "\xCA\xFE\x01", 3);
	ck_assert_uint_eq(j1939_get_pgn(out), 0x1FECA);
	j1939_put_name(out, 0x8000A0B0C0D0E0F1);
	ck_assert_mem_eq(out, "\xF1\xE0\xD0\xC0\xB0\xA0\x00\x80", 8);
	ck_assert_uint_eq(j1939_get_name(out), 0x8000A0B0C0D0E0F1);
}
END_TEST

/* ---- the address ---- */

START_TEST(fixed_address)
{
	struct j1939_claim none = {.name = 7, .address = 254}, fixed = {.address = 0x80};

	ck_assert_int_eq(j1939_claim_open(&none), J1939_CLAIM_ACT_NOTHING);
	ck_assert_int_eq(none.state, J1939_CLAIM_NONE);
	ck_assert_int_eq(j1939_claim_open(&fixed), J1939_CLAIM_ACT_NOTHING);
	ck_assert_int_eq(fixed.state, J1939_CLAIM_HELD);
	ck_assert_int_eq(j1939_claim_heard(&fixed, 0x80, 1), J1939_CLAIM_ACT_NOTHING);
	ck_assert_int_eq(j1939_claim_asked(&fixed), J1939_CLAIM_ACT_NOTHING);
}
END_TEST

START_TEST(claimed_address)
{
	struct j1939_claim c = {.name = 0x1000, .address = 0x80};

	ck_assert_int_eq(j1939_claim_open(&c), J1939_CLAIM_ACT_CLAIM);
	ck_assert_int_eq(c.state, J1939_CLAIM_PENDING);
	ck_assert_int_eq(j1939_claim_asked(&c), J1939_CLAIM_ACT_CLAIM);
	j1939_claim_waited(&c);
	ck_assert_int_eq(c.state, J1939_CLAIM_HELD);
	/* Of another address; our own, looped back; a higher NAME, which has to go. */
	ck_assert_int_eq(j1939_claim_heard(&c, 0x81, 1), J1939_CLAIM_ACT_NOTHING);
	ck_assert_int_eq(j1939_claim_heard(&c, 0x80, 0x1000), J1939_CLAIM_ACT_NOTHING);
	ck_assert_int_eq(j1939_claim_heard(&c, 0x80, 0x1001), J1939_CLAIM_ACT_CLAIM);
	ck_assert_int_eq(c.state, J1939_CLAIM_HELD);
	/* A lower one. */
	ck_assert_int_eq(j1939_claim_heard(&c, 0x80, 0x0FFF), J1939_CLAIM_ACT_YIELD);
	ck_assert_int_eq(c.state, J1939_CLAIM_LOST);
	ck_assert_int_eq(j1939_claim_heard(&c, 0x80, 0x0FFF), J1939_CLAIM_ACT_NOTHING);
	ck_assert_int_eq(j1939_claim_asked(&c), J1939_CLAIM_ACT_YIELD);
	j1939_claim_waited(&c);
	ck_assert_int_eq(c.state, J1939_CLAIM_LOST);
	/* Opened again it tries again. */
	ck_assert_int_eq(j1939_claim_open(&c), J1939_CLAIM_ACT_CLAIM);
	ck_assert_int_eq(j1939_claim_heard(&c, 0x80, 1), J1939_CLAIM_ACT_YIELD);
	for (c.name = 1; c.name < 1000; c.name++)
		ck_assert_uint_le(j1939_claim_yield_ms(&c), J1939_CLAIM_YIELD_MS);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("j1939_wire");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, to_all);
	tcase_add_test(tc, to_one);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, notices);
	tcase_add_test(tc, broken_attributes);
	tcase_add_test(tc, filters_of_matches);
	tcase_add_test(tc, no_filter_and_too_many);
	tcase_add_test(tc, bytes);
	tcase_add_test(tc, fixed_address);
	tcase_add_test(tc, claimed_address);
	return suite_run("j1939_wire", &tc, 1);
}
