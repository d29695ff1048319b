/* sd_notify's datagram: where it goes, what it says, and what is made of a strange environment. */
#include "agent/health/notify.h"
#include "base/timebase.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/towline-notify-XXXXXX";
static char path[64], abstract[64];
static struct notify n;

static void clean_environment(void)
{
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void set_up(void)
{
	memset(dir + strlen(dir) - 6, 'X', 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/notify", dir);
	snprintf(abstract, sizeof(abstract), "@towline-test-%d", (int)getpid());
	clean_environment();
}

static void tear_down(void)
{
	notify_close(&n);
	clean_environment();
	unlink(path);
	rmdir(dir);
}

/* A manager that listens at address. */
static int listen_at(const char *address)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = strlen(address);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	memcpy(sa.sun_path, address, len);
	if (address[0] == '@')
		sa.sun_path[0] = '\0';
	else
		len++;
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	return fd;
}

/* The next message, or "" when there is none. */
static const char *heard(int fd)
{
	static char text[NOTIFY_TEXT_MAX];
	ssize_t len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[len < 0 ? 0 : len] = '\0';
	return text;
}

static void opens(int expected, const char *part_of_error)
{
	struct error err = {""};

	ck_assert_int_eq(notify_open(&n, &err), expected);
	ck_assert_msg(strstr(err.text, part_of_error) != NULL, "%s", err.text);
}

START_TEST(nobody_is_told)
{
	opens(0, "");
	ck_assert_int_eq(n.fd, -1);
	ck_assert_int_eq(n.watchdog_ns, 0);
	ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
}
END_TEST

START_TEST(a_watchdog_without_a_manager_is_none)
{
	setenv("WATCHDOG_USEC", "1000000", 1);
	opens(0, "");
	ck_assert_int_eq(n.watchdog_ns, 0);
}
END_TEST

static void says_at(const char *address)
{
	int fd = listen_at(address);

	setenv("NOTIFY_SOCKET", address, 1);
	opens(0, "");
	ck_assert_int_eq(notify_send(&n, "READY=1\nSTATUS=%d sources", 3), 0);
	ck_assert_str_eq(heard(fd), "READY=1\nSTATUS=3 sources");
	ck_assert_str_eq(heard(fd), "");
	close(fd);
}

START_TEST(says_at_a_path)
{
	says_at(path);
}
END_TEST

START_TEST(says_at_an_abstract_name)
{
	says_at(abstract);
}
END_TEST

/* The manager was started anew: the same name, another socket. */
START_TEST(finds_a_manager_that_came_back)
{
	int fd = listen_at(path);

	setenv("NOTIFY_SOCKET", path, 1);
	opens(0, "");
	close(fd);
	unlink(path);
	ck_assert_int_eq(notify_send(&n, "READY=1"), -ENOENT);
	fd = listen_at(path);
	ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
	ck_assert_str_eq(heard(fd), "READY=1");
	close(fd);
}
END_TEST

START_TEST(the_longest_names)
{
	char name[sizeof(n.addr.sun_path) + 2];
	int fd;

	memset(name, 'x', sizeof(name));
	name[0] = '@';
	name[sizeof(n.addr.sun_path)] = '\0'; /* 108 bytes */
	memcpy(name + 1, abstract + 1, strlen(abstract + 1));
	fd = listen_at(name);
	setenv("NOTIFY_SOCKET", name, 1);
	opens(0, "");
	ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
	ck_assert_str_eq(heard(fd), "READY=1");
	close(fd);
	name[0] = '/'; /* a path has a NUL at its end */
	setenv("NOTIFY_SOCKET", name, 1);
	opens(-EINVAL, "108 bytes");
	name[sizeof(n.addr.sun_path)] = 'x';
	name[sizeof(n.addr.sun_path) + 1] = '\0';
	name[0] = '@';
	setenv("NOTIFY_SOCKET", name, 1);
	opens(-EINVAL, "109 bytes");
	ck_assert_int_eq(n.fd, -1);
}
END_TEST

START_TEST(addresses_that_are_none)
{
	static const char *const bad[] = {"", "/", "@", "run/notify", "vsock:2:1234", " /run/x"};

	for (size_t i = 0; i < array_len(bad); i++) {
		setenv("NOTIFY_SOCKET", bad[i], 1);
		opens(-EINVAL, "neither a path nor an @name");
		ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
	}
}
END_TEST

START_TEST(too_much_to_say)
{
	char text[NOTIFY_TEXT_MAX + 1];
	int fd = listen_at(path);

	memset(text, 'x', sizeof(text));
	text[NOTIFY_TEXT_MAX] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	opens(0, "");
	ck_assert_int_eq(notify_send(&n, "%s", text), -EMSGSIZE);
	text[NOTIFY_TEXT_MAX - 1] = '\0';
	ck_assert_int_eq(notify_send(&n, "%s", text), 0);
	close(fd);
}
END_TEST

/* A manager that does not read: frames must not wait for it. */
START_TEST(a_full_queue_does_not_hold_up_for_long)
{
	int fd = listen_at(path), r = 0;
	struct mono_time begun;

	setenv("NOTIFY_SOCKET", path, 1);
	opens(0, "");
	for (int i = 0; i < 100000 && r == 0; i++) {
		begun = timebase_mono(timebase_system());
		r = notify_send(&n, "WATCHDOG=1");
	}
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_ge(timebase_mono(timebase_system()).ns - begun.ns,
			 NOTIFY_WAIT_MS / 2 * NS_PER_MS);
	close(fd);
}
END_TEST

static void watchdog_is(const char *usec, const char *pid, int64_t expected_ns)
{
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	else
		unsetenv("WATCHDOG_PID");
	opens(0, "");
	ck_assert_int_eq(n.watchdog_ns, expected_ns);
	notify_close(&n);
}

START_TEST(whose_watchdog)
{
	char self[32], other[32];

	snprintf(self, sizeof(self), "%d", (int)getpid());
	snprintf(other, sizeof(other), "%d", (int)getpid() + 1);
	watchdog_is("3000000", self, 3 * NS_PER_S);
	watchdog_is("3000000", NULL, 3 * NS_PER_S);
	watchdog_is("3000000", other, 0);
	watchdog_is("1", NULL, NS_PER_US);
	watchdog_is("9223372036854775", NULL, INT64_MAX / NS_PER_US * NS_PER_US);
	watchdog_is("nonsense", other, 0); /* not ours to judge */
}
END_TEST

START_TEST(watchdogs_that_are_none)
{
	static const char *const usecs[] = {"",
					    "0",
					    "-1",
					    "+1",
					    " 1",
					    "1 ",
					    "1.5",
					    "10s",
					    "0x10",
					    "9223372036854776",
					    "18446744073709551616",
					    "99999999999999999999999"};
	static const char *const pids[] = {"",	 "0",	       "-1",
					   "1x", "2147483648", "18446744073709551617"};
	int fd = listen_at(path);

	setenv("NOTIFY_SOCKET", path, 1);
	for (size_t i = 0; i < array_len(usecs); i++) {
		setenv("WATCHDOG_USEC", usecs[i], 1);
		opens(-EINVAL, "WATCHDOG_USEC=");
		ck_assert_int_eq(n.watchdog_ns, 0);
		ck_assert_int_eq(notify_send(&n, "READY=1"), 0); /* it is still told */
		ck_assert_str_eq(heard(fd), "READY=1");
		notify_close(&n);
	}
	setenv("WATCHDOG_USEC", "1000000", 1);
	for (size_t i = 0; i < array_len(pids); i++) {
		setenv("WATCHDOG_PID", pids[i], 1);
		opens(-EINVAL, "WATCHDOG_PID=");
		ck_assert_int_eq(n.watchdog_ns, 0);
		notify_close(&n);
	}
	close(fd);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("notify");

	n.fd = -1;
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nobody_is_told);
	tcase_add_test(tc, a_watchdog_without_a_manager_is_none);
	tcase_add_test(tc, says_at_a_path);
	tcase_add_test(tc, says_at_an_abstract_name);
	tcase_add_test(tc, finds_a_manager_that_came_back);
	tcase_add_test(tc, the_longest_names);
	tcase_add_test(tc, addresses_that_are_none);
	tcase_add_test(tc, too_much_to_say);
	tcase_add_test(tc, a_full_queue_does_not_hold_up_for_long);
	tcase_add_test(tc, whose_watchdog);
	tcase_add_test(tc, watchdogs_that_are_none);
	return suite_run("notify", &tc, 1);
}
