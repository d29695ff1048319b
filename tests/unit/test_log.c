#include "base/log.h"

#include "base/timebase.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each test runs in a process of its own (CK_FORK), with stderr in an unlinked file. */
static int log_fd = -1;
static char seen[1 << 20];

static void catch_stderr(void)
{
	char path[] = "/tmp/test_log_XXXXXX";

	unsetenv("JOURNAL_STREAM");
	log_fd = mkostemp(path, O_APPEND);
	ck_assert_int_ge(log_fd, 0);
	unlink(path);
	ck_assert_int_eq(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
}

static const char *output(void)
{
	ssize_t n = pread(log_fd, seen, sizeof(seen) - 1, 0);

	ck_assert_int_ge(n, 0);
	seen[n] = '\0';
	return seen;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t re;

	ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&re, text, 0, NULL, 0) == 0, "'%s' does not match '%s'", text,
		      pattern);
	regfree(&re);
}

#define ISO_TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

START_TEST(a_line_has_time_level_event_and_pairs)
{
	log_warn("store_full", "rows=%d dropped=%u", 10000, 3u);
	assert_matches(output(), "^" ISO_TIME " warn store_full rows=10000 dropped=3\n$");
}
END_TEST

START_TEST(an_event_without_pairs)
{
	log_info("started", "%s", "");
	assert_matches(output(), "^" ISO_TIME " info started\n$");
}
END_TEST

START_TEST(levels_filter)
{
	log_set_level(LOG_LEVEL_WARN);
	log_error("one", "a=1");
	log_warn("two", "a=1");
	log_info("three", "a=1");
	log_debug("four", "a=1");
	ck_assert_uint_eq(count_lines(output()), 2);
	log_set_level(LOG_LEVEL_DEBUG);
	ck_assert_int_eq(log_get_level(), LOG_LEVEL_DEBUG);
	log_debug("five", "a=1");
	assert_matches(output(), "error one.*warn two.*debug five");
}
END_TEST

START_TEST(level_names)
{
	enum log_level level = LOG_LEVEL_INFO;

	ck_assert_int_eq(log_level_parse("debug", &level), 0);
	ck_assert_int_eq(level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(log_level_parse("error", &level), 0);
	ck_assert_int_eq(level, LOG_LEVEL_ERROR);
	ck_assert_int_eq(log_level_parse("Error", &level), -EINVAL);
	ck_assert_int_eq(log_level_parse("", &level), -EINVAL);
	ck_assert_int_eq(level, LOG_LEVEL_ERROR);
}
END_TEST

START_TEST(a_busy_site_is_muted_and_says_so_later)
{
	struct log_site site = {0}, other = {0};

	for (int i = 0; i < LOG_BURST + 15; i++)
		log_write(&site, LOG_LEVEL_INFO, "busy", "i=%d", i);
	ck_assert_uint_eq(count_lines(output()), LOG_BURST);
	ck_assert_ptr_null(strstr(output(), "muted="));
	log_write(&other, LOG_LEVEL_INFO, "calm", "a=1");
	assert_matches(output(), "calm a=1\n$");
	site.window_ns -= LOG_WINDOW_S * NS_PER_S; /* as if that long had passed */
	log_write(&site, LOG_LEVEL_INFO, "busy", "i=99");
	assert_matches(output(), "busy i=99 muted=15\n$");
	log_write(&site, LOG_LEVEL_INFO, "busy", "i=100");
	assert_matches(output(), "busy i=100\n$");
}
END_TEST

START_TEST(control_characters_are_escaped)
{
	log_info("topic", "name=%s", "a\nb\r\tc\x1b[31m\x7f");
	assert_matches(output(), "^[^\n]*topic name=a\\\\nb\\\\r\\\\tc\\\\x1b\\[31m\\\\x7f\n$");
}
END_TEST

START_TEST(a_long_line_is_cut_and_marked)
{
	struct log_site site = {0};
	char big[5000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_write(&site, LOG_LEVEL_INFO, "big", "v=%s", big);
	assert_matches(output(), "x\\.\\.\\.\n$");
	ck_assert_uint_eq(count_lines(output()), 1);
	ck_assert_uint_le(strlen(output()), 2048);
	memset(big, '\x01', sizeof(big) - 1);
	log_write(&site, LOG_LEVEL_INFO, "big", "v=%s", big);
	ck_assert_uint_eq(count_lines(output()), 2);
	assert_matches(output(), "\\\\x01\\.\\.\\.\n$");
	site.muted = 7;
	log_write(&site, LOG_LEVEL_INFO, "big", "v=%s", big);
	assert_matches(output(), "\\\\x01\\.\\.\\. muted=7\n$");
}
END_TEST

START_TEST(errno_survives)
{
	errno = ENOENT;
	log_info("event", "why=%m");
	ck_assert_int_eq(errno, ENOENT);
	assert_matches(output(), "why=No such file or directory\n$");
}
END_TEST

START_TEST(under_systemd_a_priority_replaces_the_time)
{
	char value[64];
	struct stat st;

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(value, sizeof(value), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", value, 1);
	log_set_level(LOG_LEVEL_DEBUG);
	log_error("one", "a=1");
	log_warn("two", "a=1");
	log_info("three", "a=1");
	log_debug("four", "a=1");
	ck_assert_str_eq(output(), "<3>error one a=1\n<4>warn two a=1\n<6>info three a=1\n"
				   "<7>debug four a=1\n");
}
END_TEST

START_TEST(a_journal_that_is_not_ours_does_not_count)
{
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_info("event", "a=1");
	assert_matches(output(), "^" ISO_TIME " info event a=1\n$");
}
END_TEST

enum { WRITERS = 4, LINES_EACH = 500 };

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES_EACH; i++) {
		struct log_site site = {0};

		log_write(&site, LOG_LEVEL_INFO, "thread", "id=%d i=%d end", *(const int *)arg, i);
	}
	return NULL;
}

START_TEST(threads_write_whole_lines)
{
	pthread_t threads[WRITERS];
	int ids[WRITERS];
	size_t n = 0;
	char *save = NULL;

	for (int i = 0; i < WRITERS; i++) {
		ids[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	output();
	for (char *line = strtok_r(seen, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (n++ % 97 == 0)
			assert_matches(line, "^" ISO_TIME " info thread id=[0-3] i=[0-9]+ end$");
		ck_assert_str_eq(line + strlen(line) - 4, " end");
	}
	ck_assert_uint_eq(n, WRITERS * LINES_EACH);
}
END_TEST

static void *write_one_site(void *arg)
{
	for (int i = 0; i < LINES_EACH; i++)
		log_write(arg, LOG_LEVEL_INFO, "shared", "i=%d", i);
	return NULL;
}

START_TEST(threads_share_a_site)
{
	struct log_site site = {0};
	pthread_t threads[WRITERS];

	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_one_site, &site), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(count_lines(output()), LOG_BURST);
	ck_assert_uint_eq(site.muted, WRITERS * LINES_EACH - LOG_BURST);
}
END_TEST

static void check_quote(size_t size, const char *value, const char *want)
{
	char out[64];

	memset(out, '#', sizeof(out));
	ck_assert_str_eq(log_quote(out, size, value), want);
	if (size > 0)
		ck_assert_str_eq(out, want);
	ck_assert_int_eq(out[size], '#');
}

START_TEST(quoting)
{
	check_quote(40, "plain/topic", "plain/topic");
	check_quote(40, "", "\"\"");
	check_quote(40, "two words", "\"two words\"");
	check_quote(40, "k=v", "\"k=v\"");
	check_quote(40, "say \"x\\y\"", "\"say \\\"x\\\\y\\\"\"");
	check_quote(40, "a\nb\x01", "\"a\\nb\\x01\"");
	check_quote(6, "abcde", "abcde");
	check_quote(6, "abcdef", "\"abc\"");
	check_quote(6, "ab\x01", "\"ab\"");
	check_quote(3, "abc", "\"\"");
	check_quote(2, "abc", "");
	check_quote(1, "abc", "");
	check_quote(0, "abc", "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("log");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, catch_stderr, NULL);
	tcase_add_test(tc, a_line_has_time_level_event_and_pairs);
	tcase_add_test(tc, an_event_without_pairs);
	tcase_add_test(tc, levels_filter);
	tcase_add_test(tc, level_names);
	tcase_add_test(tc, a_busy_site_is_muted_and_says_so_later);
	tcase_add_test(tc, control_characters_are_escaped);
	tcase_add_test(tc, a_long_line_is_cut_and_marked);
	tcase_add_test(tc, errno_survives);
	tcase_add_test(tc, under_systemd_a_priority_replaces_the_time);
	tcase_add_test(tc, a_journal_that_is_not_ours_does_not_count);
	tcase_add_test(tc, threads_write_whole_lines);
	tcase_add_test(tc, threads_share_a_site);
	tcase_add_test(tc, quoting);
	srunner_set_fork_status(sr, CK_FORK);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
