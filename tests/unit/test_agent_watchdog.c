/* The whole agent under a service manager: ready when it is, alive while both threads are. The back
 * thread is held with ptrace(2), alone, as a disk that hangs would hold it. */
#include "tests/unit/agent_fixture.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCHDOG_MS = 800, TEXT = 1024 };

static int manager = -1;
static char said[TEXT]; /* the last message */

static char address[64];

static void set_up_manager(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int len = snprintf(address, sizeof(address), "@towline-manager-%d", (int)getpid());

	memcpy(sa.sun_path + 1, address + 1, (size_t)len - 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
			 0);
}

static void tear_down_manager(void)
{
	close(manager);
}

/* The broker speaks the protocol too: only the agent is to inherit this. */
static pid_t start_managed_agent(void)
{
	char usec[32];
	pid_t pid;

	snprintf(usec, sizeof(usec), "%d", WATCHDOG_MS * 1000);
	setenv("NOTIFY_SOCKET", address, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	unsetenv("WATCHDOG_PID");
	pid = start_agent();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	return pid;
}

/* Whether a message came; it is in said. */
static bool heard(void)
{
	ssize_t n = recv(manager, said, sizeof(said) - 1, 0);

	said[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

static bool heard_state(const char *state)
{
	return heard() && strncmp(said, state, strlen(state)) == 0;
}

/* Passes over all messages before one that begins so. */
static bool hears(const char *state)
{
	bool found = false;

	return turn_until((found = found || heard_state(state)), WAIT_MS);
}

/* Messages that come in ms. */
static int count_messages(int64_t ms)
{
	int n = 0;

	(void)turn_until((n += heard(), false), ms);
	return n;
}

static pid_t back_thread(pid_t pid)
{
	char path[PATH], name[32];
	struct dirent *e;
	pid_t found = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int)pid, e->d_name);
		f = fopen(path, "r");
		if (f && fgets(name, sizeof(name), f) && strcmp(name, "towline-back\n") == 0)
			found = (pid_t)strtol(e->d_name, NULL, 10);
		if (f)
			fclose(f);
	}
	closedir(d);
	ck_assert_int_gt(found, 0);
	return found;
}

static pid_t start_ready_agent(void)
{
	pid_t pid;

	write_config(broker_uri(e2e_broker), "[collect all]\nsignals=*\n");
	start_relay();
	pid = start_managed_agent();
	ck_assert(hears("READY=1\nSTATUS="));
	return pid;
}

static void stop_agent(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert(hears("STOPPING=1\n"));
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 0);
	stop_relay();
}

START_TEST(a_held_back_thread_stops_the_pings)
{
	pid_t pid = start_ready_agent(), tid = back_thread(pid);

	for (int i = 0; i < 3; i++)
		ck_assert(hears("WATCHDOG=1\n"));
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, tid, NULL, NULL), 0);
	ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(tid, NULL, __WALL), tid);
	/* An answer may have been on its way. */
	ck_assert_int_le(count_messages(WATCHDOG_MS / 2), 1);
	ck_assert_int_eq(count_messages(2 * WATCHDOG_MS), 0);
	ck_assert_int_eq(ptrace(PTRACE_DETACH, tid, NULL, NULL), 0);
	ck_assert(hears("WATCHDOG=1\n"));
	stop_agent(pid);
}
END_TEST

START_TEST(a_reload_is_told)
{
	pid_t pid = start_ready_agent();
	long long usec = 0;

	ck_assert_int_eq(kill(pid, SIGHUP), 0);
	ck_assert(hears("RELOADING=1\n"));
	ck_assert_int_eq(sscanf(said, "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
	ck_assert(hears("READY=1\nSTATUS="));
	stop_agent(pid);
}
END_TEST

/* Not ready before the outbox is open: a configuration that cannot work never says so. */
START_TEST(one_that_fails_is_never_ready)
{
	char path[PATH];
	FILE *f;
	pid_t pid;

	write_config(broker_uri(e2e_broker), "[collect all]\nsignals=*\n");
	e2e_path(path, "data");
	f = create("data"); /* a file where the folder should be */
	fclose(f);
	start_relay();
	pid = start_managed_agent();
	ck_assert_int_eq(wait_agent(pid, WAIT_MS), 1);
	ck_assert_msg(!heard(), "%s", said);
	unlink(path);
	stop_relay();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("watchdog");

	tcase_add_checked_fixture(tc, set_up_manager, tear_down_manager);
	if (TEST_EMULATED)
		puts("skipped: a_held_back_thread_stops_the_pings: qemu-user has no ptrace");
	else
		tcase_add_test(tc, a_held_back_thread_stops_the_pings);
	tcase_add_test(tc, a_reload_is_told);
	tcase_add_test(tc, one_that_fails_is_never_ready);
	return agent_run("agent watchdog", tc);
}
