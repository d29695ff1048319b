#include "tests/fakes/broker.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_MS = 5000, PORT_TRIES = 5 };

struct broker {
	pid_t pid; /* 0: does not run */
	int port;
	char uri[64];
	char dir[64];
	char conf[96];
	char log[96];
};

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int broker_free_port(void)
{
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int port = -1;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&a, &len) == 0)
		port = ntohs(a.sin_port);
	else
		port = -errno;
	close(fd);
	return port;
}

static bool listens(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

/* Returns whether the process still runs; reaps it otherwise. */
static bool is_running(struct broker *b)
{
	if (b->pid > 0 && waitpid(b->pid, NULL, WNOHANG) != 0)
		b->pid = 0;
	return b->pid > 0;
}

static void exec_mosquitto(const struct broker *b)
{
	static const char *const paths[] = {"/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"};
	int log = open(b->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (log >= 0) {
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
	}
	for (size_t i = 0; i < array_len(paths); i++)
		execl(paths[i], paths[i], "-c", b->conf, (char *)NULL);
	_exit(127);
}

int broker_restart(struct broker *b)
{
	pid_t pid;

	assert(!is_running(b));
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_mosquitto(b);
	b->pid = pid;
	for (int ms = 0; ms < START_MS; ms += 10) {
		if (!is_running(b))
			return -EADDRINUSE;
		if (listens(b->port))
			return 0;
		sleep_ms(10);
	}
	return -ETIMEDOUT;
}

void broker_signal(struct broker *b, int signo)
{
	if (is_running(b))
		kill(b->pid, signo);
}

void broker_stop(struct broker *b, int signo)
{
	if (!is_running(b))
		return;
	kill(b->pid, signo);
	kill(b->pid, SIGCONT);
	waitpid(b->pid, NULL, 0);
	b->pid = 0;
}

static int write_config(struct broker *b, const char *config)
{
	FILE *f;

	snprintf(b->uri, sizeof(b->uri), "mqtt://127.0.0.1:%d", b->port);
	f = fopen(b->conf, "we");
	if (!f)
		return -errno;
	/* Started by root Mosquitto would change to a user who cannot write the folder. */
	fprintf(f,
		"listener %d 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest stderr\n"
		"persistence_location %s/\nset_tcp_nodelay true\n%s\n",
		b->port, b->dir, config ? config : "");
	return fclose(f) == 0 ? 0 : -errno;
}

static int start_somewhere(struct broker *b, const char *config)
{
	int r = -EADDRINUSE;

	for (int i = 0; i < PORT_TRIES && r == -EADDRINUSE; i++) {
		b->port = broker_free_port();
		if (b->port < 0)
			return b->port;
		r = write_config(b, config);
		if (r == 0)
			r = broker_restart(b);
	}
	return r;
}

int broker_start(struct broker **ret, const char *config)
{
	struct broker *b;
	int r;

	if (access("/usr/sbin/mosquitto", X_OK) < 0 &&
	    access("/usr/local/sbin/mosquitto", X_OK) < 0)
		return -ENOENT;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	snprintf(b->dir, sizeof(b->dir), "/tmp/towline-broker-XXXXXX");
	if (!mkdtemp(b->dir)) {
		r = -errno;
		free(b);
		return r;
	}
	snprintf(b->conf, sizeof(b->conf), "%s/mosquitto.conf", b->dir);
	snprintf(b->log, sizeof(b->log), "%s/mosquitto.log", b->dir);
	r = start_somewhere(b, config);
	if (r < 0) {
		broker_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

static void remove_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name,
			 0); /* fails on . and .., no other folders are there */
	closedir(d);
	rmdir(path);
}

struct broker *broker_free(struct broker *b)
{
	if (!b)
		return NULL;
	broker_stop(b, SIGKILL);
	remove_folder(b->dir);
	free(b);
	return NULL;
}

int broker_port(const struct broker *b)
{
	return b->port;
}

const char *broker_uri(const struct broker *b)
{
	return b->uri;
}

const char *broker_dir(const struct broker *b)
{
	return b->dir;
}
