/* The relay's subscription: refused, not answered, lost before its answer. The broker is one of the
 * test's own, which connects anyone and answers SUBSCRIBE as it is told. */
#include "tests/fakes/peer.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	WAIT_MS = 5000,
	CONNECT = 0x10,
	SUBSCRIBE = 0x82,
	GRANTED = 0x01,
	NOT_AUTHORIZED = 0x87,
};

enum answer { ANSWER_GRANT, ANSWER_REFUSE, ANSWER_NOTHING, ANSWER_CLOSE };

static struct {
	pthread_t thread;
	int listener, port;
	_Atomic bool stop;
	_Atomic int answer;
	_Atomic unsigned asked; /* SUBSCRIBEs that came */
} mock;

static char uri[64];

static bool read_all(int fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (mock.stop)
			return false;
		if (poll(&p, 1, 20) <= 0)
			continue;
		got = read(fd, to, n);
		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

/* Returns the length, below 16384, or -1. body has room for it. */
static int read_packet(int fd, uint8_t *type, uint8_t *body)
{
	uint8_t b;
	int len = 0;

	if (!read_all(fd, type, 1))
		return -1;
	for (int shift = 0; shift <= 7; shift += 7) {
		if (!read_all(fd, &b, 1))
			return -1;
		len |= (b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	return read_all(fd, body, (size_t)len) ? len : -1;
}

static bool answer(int fd, uint8_t type, const uint8_t *body)
{
	static const uint8_t connack[] = {0x20, 3, 0, 0, 0};
	uint8_t suback[] = {0x90, 4, body[0], body[1], 0, GRANTED};

	if (type == CONNECT)
		return write(fd, connack, sizeof(connack)) == sizeof(connack);
	if (type != SUBSCRIBE)
		return true;
	mock.asked++;
	if (mock.answer == ANSWER_REFUSE)
		suback[5] = NOT_AUTHORIZED;
	if (mock.answer == ANSWER_NOTHING || mock.answer == ANSWER_CLOSE)
		return mock.answer == ANSWER_NOTHING;
	return write(fd, suback, sizeof(suback)) == sizeof(suback);
}

static void *serve(void *arg)
{
	uint8_t type, body[16384];

	(void)arg;
	while (!mock.stop) {
		struct pollfd p = {.fd = mock.listener, .events = POLLIN};
		int fd =
			poll(&p, 1, 20) > 0 ? accept4(mock.listener, NULL, NULL, SOCK_CLOEXEC) : -1;

		while (fd >= 0 && read_packet(fd, &type, body) >= 0 && answer(fd, type, body))
			;
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void setup(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	mock.answer = ANSWER_GRANT;
	mock.asked = 0;
	mock.stop = false;
	mock.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(mock.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(mock.listener, 4), 0);
	ck_assert_int_eq(getsockname(mock.listener, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(pthread_create(&mock.thread, NULL, serve, NULL), 0);
	snprintf(uri, sizeof(uri), "mqtt://127.0.0.1:%d", ntohs(a.sin_port));
	ingest_uri = uri;
	ingest_setup();
}

static void teardown(void)
{
	ingest_teardown();
	mock.stop = true;
	pthread_join(mock.thread, NULL);
	close(mock.listener);
}

static struct ingest_stats stats(void)
{
	struct ingest_stats s;

	ingest_get_stats(iw.in, &s);
	return s;
}

/* Another turn once the longest backoff, and the wait for an answer, have passed. */
static void much_later(void)
{
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
}

START_TEST(test_refused_is_asked_for_again)
{
	mock.answer = ANSWER_REFUSE;
	ck_assert(peer_wait(iw.in->loop, stats().broker == INGEST_REFUSED, WAIT_MS));
	ck_assert_uint_eq(stats().subscribe_failures, 1);
	ck_assert(!peer_wait(iw.in->loop, mock.asked > 1, 100)); /* not at once */
	much_later();
	ck_assert(peer_wait(iw.in->loop, stats().subscribe_failures == 2, WAIT_MS));
	ck_assert_int_eq(stats().broker, INGEST_REFUSED);
	mock.answer = ANSWER_GRANT;
	much_later();
	ck_assert(peer_wait(iw.in->loop, stats().broker == INGEST_CONNECTED, WAIT_MS));
	ck_assert_uint_eq(mock.asked, 3);
	much_later();
	ck_assert(!peer_wait(iw.in->loop, mock.asked > 3, 100)); /* and that is that */
	ck_assert_uint_eq(stats().subscribe_failures, 2);
}
END_TEST

START_TEST(test_unanswered_is_asked_for_again)
{
	mock.answer = ANSWER_NOTHING;
	ck_assert(peer_wait(iw.in->loop, mock.asked == 1, WAIT_MS));
	ck_assert_int_eq(stats().broker, INGEST_SUBSCRIBING);
	much_later();
	ck_assert(peer_wait(iw.in->loop, mock.asked == 2, WAIT_MS));
	ck_assert_uint_eq(stats().subscribe_failures, 1);
	mock.answer = ANSWER_GRANT;
	much_later();
	ck_assert(peer_wait(iw.in->loop, stats().broker == INGEST_CONNECTED, WAIT_MS));
	ck_assert_uint_eq(stats().subscribe_failures, 2);
}
END_TEST

START_TEST(test_connection_lost_before_the_answer)
{
	mock.answer = ANSWER_CLOSE;
	ck_assert(peer_wait(iw.in->loop, mock.asked == 1, WAIT_MS));
	ck_assert(peer_wait(iw.in->loop, stats().broker == INGEST_DISCONNECTED, WAIT_MS));
	ck_assert(!loop_timer_is_set(&iw.in->subscribe_timer));
	mock.answer = ANSWER_GRANT;
	for (int i = 0; i < 10 && stats().broker != INGEST_CONNECTED; i++) {
		much_later(); /* once Paho's client is gone, the backoff of connecting counts */
		(void)peer_wait(iw.in->loop, stats().broker == INGEST_CONNECTED, 2000);
	}
	ck_assert_int_eq(stats().broker, INGEST_CONNECTED);
	ck_assert_uint_eq(mock.asked, 2);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("subscribe");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_refused_is_asked_for_again);
	tcase_add_test(tc, test_unanswered_is_asked_for_again);
	tcase_add_test(tc, test_connection_lost_before_the_answer);
	return suite_run("relay_subscribe", &tc, 1);
}
