/* Sources: replay of files, gzip and pipes under a clock that the test turns; socketcan as far as a
 * machine without CAN can tell. */
#include "agent/health/limit.h"
#include "agent/source/replay.h"
#include "agent/source/socketcan.h"
#include "base/log.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { PATH = 128, FRAMES_MAX = 10000 };

static char dir[] = "/tmp/towline-replay-XXXXXX";
static char path[PATH];
static const char *const buses[] = {"can0", "can1"};
static const struct catalog cat = {.buses = buses, .n_buses = 2};
static struct timebase_fake fake;
static struct loop *loop;
static struct counters counters;
static struct source_env env;
static struct source *source;

static struct frame got[FRAMES_MAX];
static size_t n_got, n_ended;
static size_t busy_after; /* frames until the pipeline is full */

static int on_frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	if (n_got == busy_after)
		return SOURCE_BUSY;
	ck_assert_uint_lt(n_got, FRAMES_MAX);
	got[n_got++] = *f;
	return 0;
}

static void on_ended(void *ctx, struct source *s)
{
	(void)ctx;
	ck_assert_ptr_eq(s, source);
	n_ended++;
}

static void setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(path, sizeof(path), "%s/log", dir);
	timebase_fake_init(&fake, 50 * NS_PER_S, 1700000000 * NS_PER_S);
	ck_assert_int_eq(loop_new(&loop, &fake.tb), 0);
	memset(&counters, 0, sizeof(counters));
	env = (struct source_env){.loop = loop,
				  .tb = &fake.tb,
				  .cat = &cat,
				  .clock = {.wall_ns = fake.wall.ns, .mono_ns = fake.mono.ns},
				  .counters = &counters,
				  .frame = on_frame,
				  .ended = on_ended};
	n_got = 0;
	n_ended = 0;
	busy_after = FRAMES_MAX;
}

static void teardown(void)
{
	source = source_free(source);
	loop = loop_free(loop);
	(void)unlink(path);
}

static void write_text(const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* n frames, 10 ms apart from 100.0 s on. */
static void write_log(unsigned n)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "(%u.%02u0000) can%u %03X#%02X\n", 100 + i / 100, i % 100, i % 2,
			0x100 + i % 16, i % 256);
	fclose(f);
}

static void start(const struct replay_options *opt)
{
	struct error err;

	ck_assert_msg(replay_new(&source, &env, "log", opt, &err) == 0, "%s", err.text);
}

static void turn(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(loop_turn(loop, 0), 0);
}

START_TEST(as_fast_as_possible)
{
	write_log(3000);
	start(&(struct replay_options){.path = path});
	turn(20);
	ck_assert_uint_eq(n_got, 3000);
	ck_assert_uint_eq(n_ended, 1);
	ck_assert_uint_eq(counter_get(&counters.lines_read), 3000);
	ck_assert_int_eq(got[0].t_ns, 50 * NS_PER_S);
	ck_assert_int_eq(got[2999].t_ns, 50 * NS_PER_S + 2999 * 10 * NS_PER_MS);
	ck_assert_uint_eq(got[0].bus, 0);
	ck_assert_uint_eq(got[1].bus, 1);
}
END_TEST

START_TEST(times_of_the_log)
{
	write_log(10);
	start(&(struct replay_options){.path = path, .keep_times = true});
	turn(3);
	ck_assert_uint_eq(n_got, 10);
	for (unsigned i = 0; i < 10; i++) { /* back to wall time by the same pair */
		int64_t wall = got[i].t_ns - env.clock.mono_ns + env.clock.wall_ns;

		ck_assert_int_eq(wall, 100 * NS_PER_S + i * 10 * NS_PER_MS);
	}
}
END_TEST

START_TEST(at_its_speed)
{
	write_log(101); /* 1 s */
	start(&(struct replay_options){.path = path, .speed = 2});
	turn(2);
	ck_assert_uint_eq(n_got, 1);
	timebase_fake_advance(&fake, 100 * NS_PER_MS);
	turn(1);
	ck_assert_uint_eq(n_got, 21);
	timebase_fake_advance(&fake, 399 * NS_PER_MS);
	turn(1);
	ck_assert_uint_eq(n_got, 100);
	ck_assert_uint_eq(n_ended, 0);
	timebase_fake_advance(&fake, 3 * NS_PER_MS);
	turn(3);
	ck_assert_uint_eq(n_got, 101);
	ck_assert_uint_eq(n_ended, 1);
}
END_TEST

START_TEST(loses_nothing_when_busy)
{
	write_log(2500);
	start(&(struct replay_options){.path = path});
	for (busy_after = 100; busy_after <= 2500; busy_after += 100) {
		source_resume(source);
		turn(5);
		ck_assert_uint_eq(n_got, busy_after);
	}
	busy_after = FRAMES_MAX;
	source_resume(source);
	turn(5);
	ck_assert_uint_eq(n_got, 2500);
	for (unsigned i = 0; i < 2500; i++)
		ck_assert_uint_eq(got[i].data[0], i % 256);
	ck_assert_uint_eq(n_ended, 1);
}
END_TEST

START_TEST(bad_lines_are_counted_and_passed_over)
{
	write_text("(1.000000) can0 100#01\n"
		   "garbage\n"
		   "# comment\n\n"
		   "(1.010000) can0 100#0Z\n"
		   "(1.020000) can7 100#02\n"
		   "(1.030000) can0 100#0304\n"
		   "(1.04");
	log_set_level(LOG_LEVEL_ERROR);
	start(&(struct replay_options){.path = path});
	turn(3);
	ck_assert_uint_eq(n_got, 3);
	ck_assert_uint_eq(counter_get(&counters.lines_bad), 3);
	ck_assert_uint_eq(got[1].bus, FRAME_BUS_NONE);
	ck_assert_uint_eq(got[2].len, 2);
	ck_assert_uint_eq(n_ended, 1);
}
END_TEST

/* What is wrong a thousand times is counted a thousand times, and logged a few. */
START_TEST(the_log_is_not_flooded)
{
	struct limit l = {0};
	struct mono_time at = {0};
	unsigned passed = 0;

	for (int i = 0; i < 1000; i++)
		passed += limit_pass(&l, "line_bad", at);
	ck_assert_uint_eq(passed, LIMIT_BURST);
	at.ns += LIMIT_PERIOD_S * NS_PER_S;
	ck_assert(limit_pass(&l, "line_bad", at));
}
END_TEST

START_TEST(rounds_of_a_loop_go_on_in_time)
{
	write_log(100);
	start(&(struct replay_options){.path = path, .loop = true});
	while (n_got < 1000)
		turn(1);
	ck_assert_uint_eq(n_ended, 0);
	for (unsigned i = 1; i < 1000; i++)
		ck_assert_int_eq(got[i].t_ns - got[i - 1].t_ns, 10 * NS_PER_MS);
}
END_TEST

START_TEST(an_empty_log_does_not_loop)
{
	write_text("# nothing\n");
	start(&(struct replay_options){.path = path, .loop = true});
	turn(3);
	ck_assert_uint_eq(n_ended, 1);
}
END_TEST

START_TEST(gzip)
{
	gzFile z = gzopen(path, "w");

	for (unsigned i = 0; i < 5000; i++)
		gzprintf(z, "(1.%06u) can0 100#%02X\n", i, i % 256);
	gzclose(z);
	start(&(struct replay_options){.path = path});
	turn(20);
	ck_assert_uint_eq(n_got, 5000);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 0);
}
END_TEST

START_TEST(cut_gzip_is_a_failure_after_what_it_held)
{
	struct stat st;
	gzFile z = gzopen(path, "w");

	for (unsigned i = 0; i < 5000; i++)
		gzprintf(z, "(1.%06u) can0 100#%02X\n", i, i * 7919 % 256);
	gzclose(z);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
	start(&(struct replay_options){.path = path});
	turn(20);
	ck_assert_uint_gt(n_got, 100);
	ck_assert_uint_lt(n_got, 5000);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 1);
	ck_assert_uint_eq(n_ended, 1);
}
END_TEST

START_TEST(fifo_as_it_comes)
{
	int fd;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	start(&(struct replay_options){.path = path});
	turn(3);
	ck_assert_uint_eq(n_ended, 0);
	fd = open(path, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "(1.0) can0 100#01\n(1.000001) ca", 31), 31);
	turn(3);
	ck_assert_uint_eq(n_got, 1);
	ck_assert_int_eq(write(fd, "n0 100#02\n", 10), 10);
	turn(3);
	ck_assert_uint_eq(n_got, 2);
	busy_after = 2;
	ck_assert_int_eq(write(fd, "(1.1) can0 100#03\n", 18), 18);
	turn(3);
	close(fd);
	turn(3);
	ck_assert_uint_eq(n_got, 2);
	ck_assert_uint_eq(n_ended, 0);
	busy_after = FRAMES_MAX;
	source_resume(source);
	turn(3);
	ck_assert_uint_eq(n_got, 3);
	ck_assert_uint_eq(n_ended, 1);
}
END_TEST

START_TEST(cannot_open)
{
	struct replay_options opt = {.path = path};
	struct error err;

	ck_assert_int_eq(replay_new(&source, &env, "log", &opt, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	source = NULL;
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	opt.loop = true;
	ck_assert_int_eq(replay_new(&source, &env, "log", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "loop"));
	source = NULL;
}
END_TEST

/* epoll refuses it; it is read like a file. */
START_TEST(dev_null_ends)
{
	start(&(struct replay_options){.path = "/dev/null"});
	turn(3);
	ck_assert_uint_eq(n_ended, 1);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 0);
}
END_TEST

START_TEST(folder_is_no_log)
{
	struct replay_options opt = {.path = dir};
	struct error err;

	ck_assert_int_eq(replay_new(&source, &env, "log", &opt, &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, dir));
	source = NULL;
}
END_TEST

/* The head of a gzip member gives no byte yet: no second read may wait for more. */
START_TEST(gzip_on_a_slow_standard_input)
{
	static uint8_t text[] = "(1.0) can0 100#01\n(1.000001) can0 100#02\n";
	uint8_t packed[256];
	z_stream z = {0};
	int saved = dup(STDIN_FILENO), pair[2];
	size_t len, head = 10;

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = text;
	z.avail_in = sizeof(text) - 1;
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	len = sizeof(packed) - z.avail_out;
	deflateEnd(&z);
	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_ge(dup2(pair[0], STDIN_FILENO), 0);
	close(pair[0]);
	start(&(struct replay_options){.path = "-"});
	ck_assert_int_eq(write(pair[1], packed, head), (ssize_t)head);
	turn(3);
	ck_assert_uint_eq(n_got, 0);
	ck_assert_int_eq(write(pair[1], packed + head, len - head), (ssize_t)(len - head));
	turn(3);
	ck_assert_uint_eq(n_got, 2);
	close(pair[1]);
	turn(3);
	ck_assert_uint_eq(n_ended, 1);
	source = source_free(source);
	ck_assert_int_ge(dup2(saved, STDIN_FILENO), 0);
	close(saved);
}
END_TEST

START_TEST(speeds)
{
	double v = -1;

	ck_assert_int_eq(replay_parse_speed("max", &v), 0);
	ck_assert(v == 0);
	ck_assert_int_eq(replay_parse_speed("2.5", &v), 0);
	ck_assert(v == 2.5);
	ck_assert_int_eq(replay_parse_speed("0", &v), -EINVAL);
	ck_assert_int_eq(replay_parse_speed("-1", &v), -EINVAL);
	ck_assert_int_eq(replay_parse_speed("nan", &v), -EINVAL);
	ck_assert_int_eq(replay_parse_speed("1x", &v), -EINVAL);
	ck_assert_int_eq(replay_parse_speed("", &v), -EINVAL);
	ck_assert_int_eq(replay_parse_speed("1e300", &v), -EINVAL);
	ck_assert_int_eq(replay_parse_speed("1e-300", &v), -EINVAL);
}
END_TEST

/* Whatever this machine lacks, the interface or all of CAN: counted, tried again, never ended. */
START_TEST(can_interface_that_is_not_there)
{
	struct socketcan_options opt = {.interface = "nocan9", .bus = "can1"};
	struct error err;

	ck_assert_int_eq(socketcan_new(&source, &env, "c", &opt, &err), 0);
	turn(2);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 1);
	timebase_fake_advance(&fake, 4 * NS_PER_S);
	turn(2);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 2);
	ck_assert_uint_eq(n_ended, 0);
	source = source_free(source);
	opt.bus = "can7";
	ck_assert_int_eq(socketcan_new(&source, &env, "c", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "can7"));
	source = NULL;
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("sources");
	int failed;

	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, as_fast_as_possible);
	tcase_add_test(tc, times_of_the_log);
	tcase_add_test(tc, at_its_speed);
	tcase_add_test(tc, loses_nothing_when_busy);
	tcase_add_test(tc, bad_lines_are_counted_and_passed_over);
	tcase_add_test(tc, the_log_is_not_flooded);
	tcase_add_test(tc, rounds_of_a_loop_go_on_in_time);
	tcase_add_test(tc, an_empty_log_does_not_loop);
	tcase_add_test(tc, gzip);
	tcase_add_test(tc, cut_gzip_is_a_failure_after_what_it_held);
	tcase_add_test(tc, fifo_as_it_comes);
	tcase_add_test(tc, cannot_open);
	tcase_add_test(tc, dev_null_ends);
	tcase_add_test(tc, folder_is_no_log);
	tcase_add_test(tc, gzip_on_a_slow_standard_input);
	tcase_add_test(tc, speeds);
	tcase_add_test(tc, can_interface_that_is_not_there);
	failed = suite_run("replay", &tc, 1);
	(void)unlink(path);
	(void)rmdir(dir);
	return failed;
}
