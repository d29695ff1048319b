#include "tests/unit/mqtt_fixture.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct loop *loop;
struct broker *broker;
struct tap *tap;
char tap_uri[64];

void start_loop(void)
{
	ck_assert_int_eq(loop_new(&loop, timebase_system()), 0);
}

void start(const char *config)
{
	start_loop();
	ck_assert_int_eq(broker_start(&broker, config), 0);
}

void start_tapped(const char *config)
{
	start(config);
	ck_assert_int_eq(tap_start(&tap, broker_port(broker)), 0);
	snprintf(tap_uri, sizeof(tap_uri), "mqtt://127.0.0.1:%d", tap_port(tap));
}

void stop(void)
{
	tap = tap_free(tap);
	broker = broker_free(broker);
	loop = loop_free(loop);
}

void connect_peer(struct peer *p, const char *client_id)
{
	struct mqtt_options opt = peer_options(broker_uri(broker), client_id);

	peer_start(p, loop, &opt);
	ck_assert(
		peer_wait(loop, p->connects == 1 && (!p->subscribe || p->n_subscribed == 1), 5000));
	ck_assert(!p->subscribe || p->last_sub_reason <= 1);
}

void stop_in_time(struct peer *p)
{
	int64_t before = peer_now_ms();

	peer_stop(p);
	ck_assert_int_lt(peer_now_ms() - before, 1300);
}

void private_file(char *path, size_t size)
{
	char dir[] = "/tmp/towline-test-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, size, "%s/file", dir);
}

void private_file_remove(const char *path)
{
	char dir[128];

	ck_assert_int_eq(remove(path), 0);
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	ck_assert_int_eq(rmdir(dir), 0);
}

int silent_server(int *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

pid_t start_stream(void)
{
	char port[16];
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	setpgid(0, 0);
	snprintf(port, sizeof(port), "%d", broker_port(broker));
	execlp("sh", "sh", "-c",
	       "yes something | exec mosquitto_pub -p $0 -V 5 -q 0 -l -t t/stream", port,
	       (char *)NULL);
	_exit(127);
}

void stop_stream(pid_t pid)
{
	kill(-pid, SIGKILL); /* all of the pipe: messages came, so setpgid was called */
	waitpid(pid, NULL, 0);
}
