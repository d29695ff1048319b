#include "tests/bench/common_server.h"

#include "tests/bench/common.h"
#include "tests/fakes/broker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 10000 };

static struct bench_servers *running;

static void stop_running(void)
{
	if (running)
		bench_servers_stop(running);
}

static void will_stop(struct bench_servers *s)
{
	if (!running)
		atexit(stop_running);
	running = s;
}

void bench_broker_start(struct bench_servers *s, const char *config)
{
	int r = broker_start(&s->broker, config);

	if (r < 0)
		bench_die("mosquitto: %s", strerror(-r));
	will_stop(s);
}

static char *sibling(const char *name)
{
	static char path[1024];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) / 2);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		bench_die("cannot find where this program lies");
	snprintf(slash + 1, sizeof(path) / 2, "%s", name);
	return path;
}

static pid_t start(const char *path, const char *conf)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(path, path, "-c", conf, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		bench_die("fork: %s", strerror(errno));
	return pid;
}

static void write_conf(const struct bench_servers *s, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		bench_die("%s: %s", path, strerror(errno));
	fprintf(f, "[relay]\ndata_dir=%s/data\nlog_level=warn\n[mqtt]\nuri=%s\n[http]\nport=0\n",
		s->dir, broker_uri(s->broker));
	fclose(f);
}

static void wait_healthy(const struct bench_servers *s)
{
	static char out[BENCH_HTTP_MAX];
	int64_t end = bench_now_ns() + START_MS * NS_PER_MS;

	while (bench_http(s, "GET", "/healthz", "text/plain", NULL, 0, out) != 200) {
		if (bench_now_ns() > end)
			bench_die("the relay is not healthy: %s", out);
		usleep(50000);
	}
}

void bench_relay_start(struct bench_servers *s)
{
	char path[128], port_path[128];
	int tries = 100;
	FILE *f = NULL;

	snprintf(s->dir, sizeof(s->dir), "/tmp/towline-bench-XXXXXX");
	if (!mkdtemp(s->dir))
		bench_die("mkdtemp: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/relay.conf", s->dir);
	snprintf(port_path, sizeof(port_path), "%s/data/http.port", s->dir);
	write_conf(s, path);
	s->relay = start(sibling("towline-relay"), path);
	will_stop(s);
	while (!(f = fopen(port_path, "re")) && tries-- > 0)
		usleep(50000);
	if (!f || fscanf(f, "%d", &s->http_port) != 1)
		bench_die("the relay does not listen");
	fclose(f);
	wait_healthy(s);
}

void bench_servers_stop(struct bench_servers *s)
{
	char command[128];

	running = NULL;
	if (s->relay > 0) {
		kill(s->relay, SIGTERM);
		waitpid(s->relay, NULL, 0);
		s->relay = 0;
	}
	s->broker = broker_free(s->broker);
	if (!s->dir[0])
		return;
	snprintf(command, sizeof(command), "rm -rf %s", s->dir);
	if (system(command) != 0)
		fprintf(stderr, "%s stays\n", s->dir);
	s->dir[0] = '\0';
}

/* ---- HTTP, the least of it ---- */

int bench_connect(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

int bench_http(const struct bench_servers *s, const char *method, const char *path,
	       const char *type, const void *body, size_t len, char *out)
{
	char head[512];
	size_t n = 0;
	ssize_t got = 1;
	int fd = bench_connect(s->http_port), status = 0;

	snprintf(head, sizeof(head),
		 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 method, path, type, len);
	if (fd < 0 || send(fd, head, strlen(head), MSG_NOSIGNAL) < 0 ||
	    (len && send(fd, body, len, MSG_NOSIGNAL) != (ssize_t)len))
		bench_die("HTTP: %s", strerror(errno));
	while (got > 0 && n < BENCH_HTTP_MAX - 1) {
		got = recv(fd, out + n, BENCH_HTTP_MAX - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
	}
	out[n] = '\0';
	close(fd);
	if (sscanf(out, "HTTP/1.1 %d", &status) != 1)
		bench_die("HTTP: no answer");
	return status;
}
