/* towline-drive as a program: options, endings, what it says when it cannot. */
#include "agent/source/candump.h"
#include "tests/fakes/program.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 12 };

static char program[512];
static char dir[32];

static void setup(void)
{
	ck_assert_int_eq(program_beside(program, sizeof(program), "towline-drive"), 0);
	ck_assert_msg(access(program, X_OK) == 0, "%s: build it first", program);
	snprintf(dir, sizeof(dir), "/tmp/test_drive_XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static const char *path_of(const char *name, char out[static 64])
{
	snprintf(out, 64, "%s/%s", dir, name);
	return out;
}

static void teardown(void)
{
	char p[64];
	unlink(path_of("out", p));
	unlink(path_of("err", p));
	unlink(path_of("again", p));
	rmdir(dir);
}

/* Starts the program with standard error in the file err; its standard output is out_fd. */
static pid_t spawn(int out_fd, const char *const *args)
{
	const char *argv[ARGS_MAX] = {program};
	char p[64];
	for (size_t i = 0; args[i] && i + 2 < ARGS_MAX; i++)
		argv[i + 1] = args[i];
	int err_fd = open(path_of("err", p), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out_fd, 1);
		dup2(err_fd, 2);
		if (program_exec(argv) < 0)
			_exit(127);
	}
	close(err_fd);
	ck_assert_int_gt(pid, 0);
	return pid;
}

static int finish(pid_t pid)
{
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static char *content(const char *name, size_t *ret_len)
{
	char p[64], *text = NULL;
	size_t size = 0;
	FILE *f = fopen(path_of(name, p), "re");
	ck_assert_ptr_nonnull(f);
	ssize_t n = getdelim(&text, &size, '\0', f);
	fclose(f);
	*ret_len = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		text[0] = '\0';
	return text;
}

static int run(const char *out, const char *const *args)
{
	char p[64];
	int fd = open(path_of(out, p), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	int rc = finish(spawn(fd, args));
	close(fd);
	return rc;
}

/* Every line parses, the last one too; returns how many, and the first and last times. */
static size_t check_lines(const char *text, size_t len, int64_t *ret_first, int64_t *ret_last)
{
	struct candump_line line;
	struct error err;
	size_t n = 0;
	for (size_t at = 0; at < len; n++) {
		const char *end = memchr(text + at, '\n', len - at);
		if (!end)
			ck_abort_msg("the last line has no end");
		if (candump_parse(text + at, (size_t)(end - text) - at, &line, &err) != 0)
			ck_abort_msg("line %zu: %s", n + 1, err.text);
		*(n ? ret_last : ret_first) = line.frame.t_ns;
		at = (size_t)(end - text) + 1;
	}
	return n;
}

START_TEST(a_stream_of_ten_seconds)
{
	const char *const args[] = {"--seconds",  "10",	    "--speed", "max", "--start",
				    "1800000000", "--seed", "5",       NULL};
	size_t len, again_len;
	int64_t first = 0, last = 0;
	ck_assert_int_eq(run("out", args), 0);
	ck_assert_int_eq(run("again", args), 0);
	char *text = content("out", &len), *again = content("again", &again_len);
	size_t n = check_lines(text, len, &first, &last);
	ck_assert_uint_gt(n, 14000);
	ck_assert_uint_lt(n, 17000);
	ck_assert_int_ge(first, INT64_C(1800000000) * NS_PER_S);
	ck_assert_int_lt(first, INT64_C(1800000001) * NS_PER_S);
	ck_assert_int_gt(last, INT64_C(1800000009) * NS_PER_S);
	ck_assert_int_lt(last, INT64_C(1800000011) * NS_PER_S);
	ck_assert(len == again_len && memcmp(text, again, len) == 0);
	free(text);
	free(again);
}
END_TEST

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* Until the program is known to run, however busy the machine is. */
static void wait_for_bytes(int fd, off_t bytes)
{
	struct stat st = {0};
	for (int i = 0; i < 2500 && st.st_size < bytes; i++) {
		sleep_ms(10);
		ck_assert_int_eq(fstat(fd, &st), 0);
	}
	ck_assert_int_ge(st.st_size, bytes);
}

START_TEST(a_signal_ends_it_at_a_line)
{
	static const int signals[] = {SIGTERM, SIGINT};
	const char *const args[] = {_i < 2 ? "--seed" : "--speed", _i < 2 ? "2" : "max", NULL};
	char p[64];
	size_t len;
	int64_t first = 0, last = 0;
	int fd = open(path_of("out", p), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	pid_t pid = spawn(fd, args);
	wait_for_bytes(fd, 8192);
	ck_assert_int_eq(kill(pid, signals[_i % 2]), 0);
	ck_assert_int_eq(finish(pid), 0);
	close(fd);
	char *text = content("out", &len);
	size_t n = check_lines(text, len, &first, &last);
	ck_assert_uint_gt(n, 50);
	free(text);
}
END_TEST

/* Real time: half a second of waiting is about half a second of stream, stamped now. */
START_TEST(real_time_is_now)
{
	const char *const args[] = {"--seconds", "0.5", NULL};
	struct timespec before, after;
	size_t len;
	int64_t first = 0, last = 0;
	clock_gettime(CLOCK_REALTIME, &before);
	ck_assert_int_eq(run("out", args), 0);
	clock_gettime(CLOCK_REALTIME, &after);
	char *text = content("out", &len);
	size_t n = check_lines(text, len, &first, &last);
	ck_assert_uint_gt(n, 650);
	ck_assert_uint_lt(n, 850);
	ck_assert_int_ge(first, before.tv_sec * NS_PER_S + before.tv_nsec);
	ck_assert_int_le(last, after.tv_sec * NS_PER_S + after.tv_nsec + 5 * NS_PER_MS);
	ck_assert_int_ge(after.tv_sec * NS_PER_S + after.tv_nsec - first, 480 * NS_PER_MS);
	free(text);
}
END_TEST

START_TEST(a_reader_that_leaves_is_no_failure)
{
	const char *const args[] = {"--speed", "max", NULL};
	int pipe_fds[2];
	size_t len;
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t pid = spawn(pipe_fds[1], args);
	close(pipe_fds[1]);
	char byte;
	ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 1);
	close(pipe_fds[0]);
	ck_assert_int_eq(finish(pid), 0);
	char *err = content("err", &len);
	ck_assert_str_eq(err, "");
	free(err);
}
END_TEST

struct refusal {
	const char *args[4];
	const char *says;
};

static const struct refusal refusals[] = {
	{{"--seconds", "-1"}, "--seconds: '-1'"},
	{{"--seconds", "ten"}, "--seconds: 'ten'"},
	{{"--seconds", "nan"}, "--seconds: 'nan'"},
	{{"--speed", "0"}, "--speed: '0'"},
	{{"--speed", "fast"}, "or max"},
	{{"--seed", "-3"}, "--seed: '-3'"},
	{{"--seed", "99999999999999999999999"}, "--seed"},
	{{"--start", "yesterday"}, "or now"},
	{{"--charge", "never"}, "auto or always"},
	{{"--print-dbc", "can9"}, "can0 or can1"},
	{{"--no-such"}, "--help"},
	{{"--seconds", "1", "more"}, "'more'"},
	{{"--out", "/nonexistent/x"}, "/nonexistent/x: No such file"},
	{{"--out=/dev/full", "--speed=max"}, "/dev/full: No space left"},
};

START_TEST(refuses_with_a_reason)
{
	const struct refusal *r = &refusals[_i];
	size_t len;
	ck_assert_int_eq(run("out", r->args), 1);
	char *err = content("err", &len);
	ck_assert_msg(strstr(err, r->says) != NULL, "says: %s", err);
	free(err);
}
END_TEST

static const char *const printers[][3] = {
	{"--help"}, {"--version"}, {"--list"}, {"--print-dbc", "can0"}};

START_TEST(says_that_it_cannot_print)
{
	int fd = open("/dev/full", O_WRONLY);
	size_t len;
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(finish(spawn(fd, printers[_i])), 1);
	close(fd);
	char *err = content("err", &len);
	ck_assert_str_eq(err, "towline-drive: standard output: No space left on device\n");
	free(err);
}
END_TEST

START_TEST(help_names_every_option)
{
	static const char *const names[] = {"--seconds", "--speed",  "--seed", "--start",
					    "--charge",	 "--out",    "--list", "--print-dbc",
					    "--help",	 "--version"};
	const char *const args[] = {"--help", NULL};
	size_t len;
	ck_assert_int_eq(run("out", args), 0);
	char *text = content("out", &len);
	for (size_t i = 0; i < array_len(names); i++)
		ck_assert_ptr_nonnull(strstr(text, names[i]));
	free(text);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("program");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_stream_of_ten_seconds);
	tcase_add_loop_test(tc, a_signal_ends_it_at_a_line, 0, 4);
	tcase_add_test(tc, real_time_is_now);
	tcase_add_test(tc, a_reader_that_leaves_is_no_failure);
	tcase_add_loop_test(tc, refuses_with_a_reason, 0, array_len(refusals));
	tcase_add_loop_test(tc, says_that_it_cannot_print, 0, array_len(printers));
	tcase_add_test(tc, help_names_every_option);
	return suite_run("drive_program", &tc, 1);
}
