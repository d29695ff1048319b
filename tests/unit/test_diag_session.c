/* A request and its response over a socket pair, on a clock that the test turns; the ECU is
 * scripted. */
#include "agent/diag/session.h"
#include "tests/fakes/ecu.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct diag_session session;
static struct ecu ecu;
static struct loop_fd io;
static int pair[2], functional[2], listener[2];

static struct diag_result result;
static uint8_t answer[DIAG_PAYLOAD_MAX];
static size_t n_ended, n_strays;
static int failed;

static const struct diag_request one_did = {DIAG_UDS_DID, 0, 1, {{0xF187, 10}}};
static const struct diag_request two_dids = {DIAG_UDS_DID, 0, 2, {{0xF187, 10}, {0xF18C, 12}}};

static void on_ended(struct diag_session *s, const struct diag_result *r)
{
	ck_assert_ptr_eq(s, &session);
	result = *r;
	if (r->data)
		memcpy(answer, r->data, r->len);
	n_ended++;
}

static void on_stray(struct diag_session *s, const uint8_t *data, size_t len)
{
	ck_assert_ptr_eq(s, &session);
	ck_assert(data && len > 0);
	n_strays++;
}

static void on_failed(struct diag_session *s, int error)
{
	failed = error;
	loop_fd_remove(&io);
	diag_session_stop(s);
}

static void on_io(struct loop_fd *f, uint32_t events)
{
	(void)f;
	(void)events;
	diag_session_readable(&session);
}

static void ecu_send(struct ecu *e, const uint8_t *data, size_t len)
{
	ck_assert_ptr_eq(e, &ecu);
	ck_assert_int_eq(send(pair[1], data, len, 0), (ssize_t)len);
}

static void setup(void)
{
	set_up();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, functional), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, listener), 0);
	ecu = (struct ecu){.send = ecu_send};
	session = (struct diag_session){
		.loop = l,
		.p2_ns = 100 * NS_PER_MS,
		.p2_star_ns = 5 * NS_PER_S,
		.ended = on_ended,
		.stray = on_stray,
		.failed = on_failed,
	};
	io = (struct loop_fd){.cb = on_io, .fd = pair[0]};
	ck_assert_int_eq(loop_fd_add(l, &io, EPOLLIN), 0);
	diag_session_start(&session, (struct diag_fds){pair[0], -1, listener[0]});
	n_ended = n_strays = 0;
	failed = 0;
}

static void teardown(void)
{
	diag_session_stop(&session);
	loop_fd_remove(&io);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(functional[i]);
		close(listener[i]);
	}
	tear_down();
}

static void ask(const struct diag_request *r)
{
	ck_assert_int_eq(diag_session_ask(&session, r), 0);
}

/* The ECU reads what is there, if anything, and answers. Returns how much that was. */
static size_t serve_from(int fd)
{
	uint8_t request[64];
	ssize_t n = recv(fd, request, sizeof(request), MSG_DONTWAIT);

	if (n <= 0)
		return 0;
	ecu_request(&ecu, request, (size_t)n);
	return (size_t)n;
}

static size_t serve(void)
{
	return serve_from(pair[1]);
}

static void pass_ms(int64_t ms)
{
	timebase_fake_advance(&fake, ms * NS_PER_MS);
	turn();
}

static void ask_and_serve(const struct diag_request *r)
{
	ask(r);
	serve();
	turn();
}

static void expect_end(enum diag_end end)
{
	ck_assert_uint_eq(n_ended, 1);
	ck_assert_int_eq(result.end, end);
	ck_assert(!session.active);
}

START_TEST(answered)
{
	ask_and_serve(&two_dids);
	expect_end(DIAG_END_OK);
	ck_assert_uint_eq(result.len, 1 + 12 + 14);
	ck_assert_mem_eq(answer,
			 "\x62\xF1\x87"
			 "5Q0TOWLINE",
			 13);
	pass_ms(10000);
	ck_assert_uint_eq(n_ended, 1);
}
END_TEST

START_TEST(longest_payload)
{
	uint8_t data[DIAG_PAYLOAD_MAX + 1] = {0x62, 0xF1, 0x87};

	ask(&one_did);
	ecu_send(&ecu, data, DIAG_PAYLOAD_MAX);
	turn();
	expect_end(DIAG_END_OK);
	ck_assert_uint_eq(result.len, DIAG_PAYLOAD_MAX);
	n_ended = 0;
	ask(&one_did);
	ecu_send(&ecu, data, DIAG_PAYLOAD_MAX + 1);
	turn();
	expect_end(DIAG_END_TOO_LONG);
}
END_TEST

/* P2, and the kernel's own N_Cr, which says more. */
START_TEST(silent)
{
	ecu.silent = true;
	ask_and_serve(&one_did);
	pass_ms(1099);
	ck_assert_uint_eq(n_ended, 0);
	pass_ms(1);
	expect_end(DIAG_END_SILENT);
}
END_TEST

/* 22 and four DIDs is above 7 bytes: the ECU has to send flow control, too. */
START_TEST(silent_to_a_long_request)
{
	const struct diag_request r = {
		DIAG_UDS_DID, 0, 4, {{0xF187, 10}, {0xF18C, 12}, {0xF191, 11}, {0xF40C, 2}}};

	ask(&r);
	ck_assert_uint_eq(serve(), 9);
	n_ended = 0;
	turn();
	expect_end(DIAG_END_OK);
	n_ended = 0;
	ecu.silent = true;
	ask_and_serve(&r);
	pass_ms(2099);
	ck_assert_uint_eq(n_ended, 0);
	pass_ms(1);
	expect_end(DIAG_END_SILENT);
}
END_TEST

START_TEST(negative)
{
	ecu.nrc = 0x33;
	ask_and_serve(&one_did);
	expect_end(DIAG_END_NEGATIVE);
	ck_assert_uint_eq(result.nrc, 0x33);
}
END_TEST

START_TEST(pending_then_answer)
{
	ask(&one_did);
	for (int i = 0; i < 5; i++) {
		ecu_send(&ecu, (const uint8_t[]){0x7F, 0x22, 0x78}, 3);
		turn();
		pass_ms(5900);
		ck_assert_uint_eq(n_ended, 0);
	}
	ck_assert_uint_eq(serve(), 3);
	turn();
	expect_end(DIAG_END_OK);
}
END_TEST

START_TEST(pending_then_nothing)
{
	ask(&one_did);
	ecu_send(&ecu, (const uint8_t[]){0x7F, 0x22, 0x78}, 3);
	turn();
	pass_ms(5999);
	ck_assert_uint_eq(n_ended, 0);
	pass_ms(1);
	expect_end(DIAG_END_PENDING);
}
END_TEST

START_TEST(pending_for_ever)
{
	ecu.pendings = DIAG_PENDINGS_MAX + 10;
	ask_and_serve(&one_did);
	turn();
	expect_end(DIAG_END_PENDING);
	ck_assert_uint_gt(n_strays, 0); /* the rest, and the answer after it */
}
END_TEST

START_TEST(busy_then_answer)
{
	ecu.busy = DIAG_BUSY_REPEATS;
	ask_and_serve(&one_did);
	for (int i = 0; i < DIAG_BUSY_REPEATS; i++) {
		ck_assert_uint_eq(n_ended, 0);
		pass_ms(DIAG_BUSY_WAIT_MS - 1);
		ck_assert_uint_eq(serve(), 0);
		pass_ms(1);
		ck_assert_uint_eq(serve(), 3);
		turn();
	}
	expect_end(DIAG_END_OK);
}
END_TEST

START_TEST(busy_for_ever)
{
	ecu.busy = 100;
	ask_and_serve(&one_did);
	for (int i = 0; i < DIAG_BUSY_REPEATS; i++) {
		pass_ms(DIAG_BUSY_WAIT_MS);
		serve();
		turn();
	}
	expect_end(DIAG_END_NEGATIVE);
	ck_assert_uint_eq(result.nrc, 0x21);
	ck_assert_uint_eq(ecu.n_requests, 1 + DIAG_BUSY_REPEATS);
}
END_TEST

/* It is passed over, and the response still comes. */
START_TEST(response_to_another_request)
{
	ask(&one_did);
	ecu_send(&ecu, (const uint8_t[]){0x62, 0x01, 0x01, 0}, 4);
	ecu_send(&ecu, (const uint8_t[]){0x7F, 0x19, 0x31}, 3);
	turn();
	ck_assert_uint_eq(n_strays, 2);
	ck_assert_uint_eq(n_ended, 0);
	serve();
	turn();
	expect_end(DIAG_END_OK);
}
END_TEST

START_TEST(late_response)
{
	ask(&one_did);
	pass_ms(1100);
	expect_end(DIAG_END_SILENT);
	serve();
	turn();
	ck_assert_uint_eq(n_strays, 1);
	ck_assert_uint_eq(n_ended, 1);
	n_ended = 0;
	ask_and_serve(&one_did);
	expect_end(DIAG_END_OK);
}
END_TEST

/* The ECU was so slow that the same was asked again: the next request is not mixed up with it. */
START_TEST(two_late_responses)
{
	const struct diag_request other = {DIAG_UDS_DID, 0, 1, {{0xF18C, 12}}};

	ask(&one_did);
	pass_ms(1100);
	ask(&one_did);
	pass_ms(1100);
	ck_assert_uint_eq(n_ended, 2);
	n_ended = 0;
	ask(&other);
	ck_assert_uint_eq(serve(), 3);
	ck_assert_uint_eq(serve(), 3);
	turn();
	ck_assert_uint_eq(n_strays, 2);
	ck_assert_uint_eq(n_ended, 0);
	serve();
	turn();
	expect_end(DIAG_END_OK);
	ck_assert_mem_eq(answer, "\x62\xF1\x8C", 3);
}
END_TEST

/* This program was kept from reading for longer than the ECU has: what came in time counts. */
START_TEST(blocked_loop)
{
	diag_session_start(&session, (struct diag_fds){pair[0], -1, -1});
	ask(&one_did);
	serve();
	pass_ms(60000);
	expect_end(DIAG_END_OK);
	ck_assert_uint_eq(n_strays, 0);
}
END_TEST

static void frame_on_the_bus(void)
{
	ck_assert_int_eq(send(listener[1], "frame", 5, 0), 5);
}

/* A long response of a slow ECU: its frames are seen, so it is waited for. */
START_TEST(slow_response)
{
	ask(&one_did);
	for (int i = 0; i < 20; i++) {
		pass_ms(550);
		frame_on_the_bus();
		pass_ms(550);
		ck_assert_uint_eq(n_ended, 0);
	}
	serve();
	turn();
	expect_end(DIAG_END_OK);
}
END_TEST

/* Frames that never become a response, and frames of before. */
START_TEST(frames_without_a_response)
{
	frame_on_the_bus();
	ask(&one_did);
	pass_ms(1100);
	expect_end(DIAG_END_SILENT);
	n_ended = 0;
	ask(&one_did);
	for (int i = 0; i < 2 * DIAG_LONGER_MAX && n_ended == 0; i++) {
		frame_on_the_bus();
		pass_ms(1100);
	}
	expect_end(DIAG_END_SILENT);
}
END_TEST

/* Those of responsePending are not those of a response. */
START_TEST(pending_is_no_response)
{
	ask(&one_did);
	frame_on_the_bus();
	ecu_send(&ecu, (const uint8_t[]){0x7F, 0x22, 0x78}, 3);
	turn();
	pass_ms(6000);
	expect_end(DIAG_END_PENDING);
}
END_TEST

START_TEST(too_short)
{
	ask(&one_did);
	ecu_send(&ecu, (const uint8_t[]){0x62, 0xF1}, 2);
	turn();
	expect_end(DIAG_END_MALFORMED);
}
END_TEST

START_TEST(functional_for_obd_alone)
{
	const struct diag_request pid = {DIAG_OBD_CURRENT, 0, 1, {{0x0C, 2}}};

	diag_session_start(&session, (struct diag_fds){pair[0], functional[0], -1});
	ask(&pid);
	ck_assert_uint_eq(serve(), 0);
	ck_assert_uint_eq(serve_from(functional[1]), 2);
	turn(); /* the response is to the physical address */
	expect_end(DIAG_END_OK);
	n_ended = 0;
	ask(&one_did);
	ck_assert_uint_eq(serve_from(functional[1]), 0);
	ck_assert_uint_eq(serve(), 3);
	turn();
	expect_end(DIAG_END_OK);
}
END_TEST

START_TEST(socket_that_is_gone)
{
	ask(&one_did);
	close(pair[1]);
	pair[1] = -1;
	turn();
	ck_assert_int_ne(failed, 0);
	ck_assert_uint_eq(n_ended, 0);
	pass_ms(60000);
	ck_assert_uint_eq(n_ended, 0);
}
END_TEST

START_TEST(not_sent)
{
	close(pair[1]);
	pair[1] = -1;
	ck_assert_int_eq(diag_session_ask(&session, &one_did), -EPIPE);
	ck_assert(!session.active);
	pass_ms(60000);
	ck_assert_uint_eq(n_ended, 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("session");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, answered);
	tcase_add_test(tc, longest_payload);
	tcase_add_test(tc, silent);
	tcase_add_test(tc, silent_to_a_long_request);
	tcase_add_test(tc, negative);
	tcase_add_test(tc, pending_then_answer);
	tcase_add_test(tc, pending_then_nothing);
	tcase_add_test(tc, pending_for_ever);
	tcase_add_test(tc, busy_then_answer);
	tcase_add_test(tc, busy_for_ever);
	tcase_add_test(tc, response_to_another_request);
	tcase_add_test(tc, late_response);
	tcase_add_test(tc, two_late_responses);
	tcase_add_test(tc, blocked_loop);
	tcase_add_test(tc, slow_response);
	tcase_add_test(tc, frames_without_a_response);
	tcase_add_test(tc, pending_is_no_response);
	tcase_add_test(tc, too_short);
	tcase_add_test(tc, functional_for_obd_alone);
	tcase_add_test(tc, socket_that_is_gone);
	tcase_add_test(tc, not_sent);
	return suite_run("diag_session", &tc, 1);
}
