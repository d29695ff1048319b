/* What the player stands on when it is not a test: the system's clock, signals and interfaces. */
#include "base/timebase.h"
#include "tests/unit/suite.h"
#include "tools/play/play_env.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct play_env *system_env(void)
{
	const struct play_env *env;

	ck_assert_int_eq(play_env_system(&env), 0);
	return env;
}

START_TEST(waits)
{
	const struct play_env *env = system_env();
	int64_t before = env->now(env->ctx), due = before + 20 * NS_PER_MS;

	ck_assert_int_eq(env->wait(env->ctx, NULL, due), 0);
	ck_assert_int_ge(env->now(env->ctx), due);
	ck_assert_int_eq(env->wait(env->ctx, NULL, before), 0); /* long over */
	due = env->now(env->ctx) + 20 * NS_PER_MS;		/* the time before is forgotten */
	ck_assert_int_eq(env->wait(env->ctx, NULL, due), 0);
	ck_assert_int_ge(env->now(env->ctx), due);
	play_env_system_end();
}
END_TEST

START_TEST(waits_for_a_descriptor)
{
	const struct play_env *env = system_env();
	struct pollfd fd = {.events = POLLIN};
	int64_t due = env->now(env->ctx) + 20 * NS_PER_MS;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	fd.fd = fds[0];
	ck_assert_int_eq(env->wait(env->ctx, &fd, due), 0);
	ck_assert_int_ge(env->now(env->ctx), due);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(env->wait(env->ctx, &fd, INT64_MAX), 1);
	ck_assert_int_eq(fd.revents, POLLIN);
	close(fds[0]);
	close(fds[1]);
	play_env_system_end();
}
END_TEST

static const int ends[] = {SIGINT, SIGTERM};

/* A signal that came before the wait ends it as one within does. */
START_TEST(ended_by_a_signal)
{
	const struct play_env *env;
	struct sigaction was, is;

	ck_assert_int_eq(sigaction(ends[_i], NULL, &was), 0);
	env = system_env();
	ck_assert_int_eq(raise(ends[_i]), 0);
	ck_assert_int_eq(env->wait(env->ctx, NULL, INT64_MAX), -EINTR);
	ck_assert_int_eq(env->wait(env->ctx, NULL, 0), -EINTR);
	ck_assert_int_eq(sigaction(ends[_i], NULL, &is), 0);
	ck_assert(is.sa_handler == SIG_DFL); /* a second one ends the program */
	play_env_system_end();
	ck_assert_int_eq(sigaction(ends[_i], NULL, &is), 0);
	ck_assert(is.sa_handler == was.sa_handler);
}
END_TEST

START_TEST(without_the_interface)
{
	const struct play_env *env = system_env();
	struct error err = {0};
	bool takes_fd;

	ck_assert_int_lt(env->open(env->ctx, "nocan9", &takes_fd, &err), 0);
	ck_assert_msg(strcmp(err.text, "interface nocan9: there is no such interface") == 0 ||
			      strcmp(err.text, "interface nocan9: this kernel has no SocketCAN "
					       "with CAN_RAW") == 0,
		      "%s", err.text);
	play_env_system_end();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("play_system");

	tcase_add_test(tc, waits);
	tcase_add_test(tc, waits_for_a_descriptor);
	tcase_add_loop_test(tc, ended_by_a_signal, 0, array_len(ends));
	tcase_add_test(tc, without_the_interface);
	return suite_run("play_system", &tc, 1);
}
