/* base/mqtt.h: what is published leaves at once (TCP_NODELAY), on this and the next connection. */
#include "base/mqtt_nodelay.h"
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Counts this process's connections to a port on loopback, and those that hold data back. */
static int count(int port, int *ret_delayed)
{
	int n = 0;

	*ret_delayed = 0;
	for (int fd = 0; fd < 1024; fd++) {
		struct sockaddr_in a = {0};
		socklen_t len = sizeof(a), size = sizeof(int);
		int nodelay = 0;

		if (getpeername(fd, (struct sockaddr *)&a, &len) < 0 || a.sin_family != AF_INET ||
		    ntohs(a.sin_port) != port)
			continue;
		ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), 0);
		n++;
		*ret_delayed += !nodelay;
	}
	return n;
}

START_TEST(each_connection)
{
	struct peer pub = {0};
	struct mqtt_options opt;
	int delayed;

	start_tapped(NULL);
	opt = peer_options(tap_uri, "writer");
	peer_start(&pub, loop, &opt);
	for (int i = 1; i <= 2; i++) {
		ck_assert(peer_wait(loop, pub.connects == i && mqtt_is_connected(pub.mqtt), 5000));
		ck_assert_int_eq(count(tap_port(tap), &delayed), 1);
		ck_assert_int_eq(delayed, 0);
		tap_cut(tap);
		ck_assert(peer_wait(loop, pub.disconnects == i, 5000));
	}
	peer_stop(&pub);
	stop();
}
END_TEST

static int connect_to(int listener)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int listen_somewhere(int *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* Connections to other ports stay as they are. */
START_TEST(only_that_port)
{
	int port, other_port, delayed;
	int listener = listen_somewhere(&port), other = listen_somewhere(&other_port);
	int fds[] = {connect_to(listener), connect_to(listener), connect_to(other)};

	ck_assert_uint_eq(mqtt_nodelay(port), 2);
	ck_assert_int_eq(count(port, &delayed), 2);
	ck_assert_int_eq(delayed, 0);
	ck_assert_int_eq(count(other_port, &delayed), 1);
	ck_assert_int_eq(delayed, 1);
	for (size_t i = 0; i < array_len(fds); i++)
		close(fds[i]);
	ck_assert_uint_eq(mqtt_nodelay(port), 0);
	close(listener);
	close(other);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("nodelay");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, each_connection);
	tcase_add_test(tc, only_that_port);
	return suite_run("mqtt_nodelay", &tc, 1);
}
