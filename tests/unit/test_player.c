/* Logs onto interfaces: when, where, and what is not sent. */
#include "tests/unit/play_fixture.h"
#include "tests/unit/suite.h"
#include "tools/play/player.h"

#include <check.h>
#include <linux/can/error.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define START (1000 * NS_PER_S)

static struct play_world w;
static struct player_options opt;
static struct player *p;
static struct player_counts counts;
static struct error err;
static char dir[64], path[96];
static char notices[2048];

static void on_notice(void *ctx, enum player_notice what, const char *text)
{
	size_t n = strlen(notices);

	(void)ctx;
	snprintf(notices + n, sizeof(notices) - n, "%c %s\n", what == PLAYER_BAD_LINE ? 'B' : 'T',
		 strchr(text, ':') + 1);
}

static void setup(void)
{
	play_world_init(&w);
	opt = (struct player_options){
		.path = path,
		.speed = 1,
		.to_ns = INT64_MAX,
		.gap_max_ns = INT64_MAX,
		.notice = on_notice,
	};
	err = (struct error){0};
	notices[0] = '\0';
	snprintf(dir, sizeof(dir), "/tmp/towline-play-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
}

static void teardown(void)
{
	p = player_free(p);
	play_world_free(&w);
	unlink(path);
	rmdir(dir);
}

static void write_log(const char *text)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* Plays the log; what player_new or player_run returned. */
static int play(const char *log)
{
	int r;

	if (log)
		write_log(log);
	r = player_new(&p, &opt, &w.env, &err);
	if (r == 0)
		r = player_run(p, &err);
	if (p)
		player_counts(p, &counts);
	return r;
}

/* "can0 123 +1500 us, ..." of all that was sent, since the first. */
static const char *sent(void)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < w.n_got; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %X +%lld", i ? ", " : "",
				      w.got[i].interface, w.got[i].frame.can_id,
				      (long long)(w.got[i].t_ns - START) / 1000);
	return text;
}

static const char two_buses[] = "(100.000000) can0 001#AA\n"
				"(100.000000) can1 002#\n"
				"# comment\n"
				"(100.000050) can0 003#R\n"
				"(100.010000) can1 004##1BB\n"
				"(102.000000) can0 00000005#CC\n";

/* ---- when ---- */

START_TEST(with_its_timing)
{
	ck_assert_int_eq(play(two_buses), 0);
	ck_assert_str_eq(sent(), "can0 1 +0, can1 2 +0, can0 40000003 +0, can1 4 +10000, "
				 "can0 80000005 +2000000");
	ck_assert_uint_eq(counts.frames, 5);
	ck_assert_int_eq(counts.duration_ns, 2 * NS_PER_S);
	ck_assert_uint_eq(can_sender_lateness(player_sender(p))->frames, 5);
	ck_assert_int_eq(can_sender_lateness(player_sender(p))->max_ns, 0);
	ck_assert_str_eq(notices, "");
}
END_TEST

START_TEST(faster_and_slower)
{
	opt.speed = 10;
	ck_assert_int_eq(play(two_buses), 0);
	ck_assert_str_eq(sent(), "can0 1 +0, can1 2 +0, can0 40000003 +0, can1 4 +1000, "
				 "can0 80000005 +200000");
}
END_TEST

START_TEST(as_fast_as_it_goes)
{
	opt.speed = 0;
	ck_assert_int_eq(play(two_buses), 0);
	ck_assert_uint_eq(counts.frames, 5);
	ck_assert_uint_eq(w.waits, 0);
	ck_assert_int_eq(w.now_ns, START);
	ck_assert_uint_eq(can_sender_lateness(player_sender(p))->frames, 0);
}
END_TEST

/* Sleeps that take too long are not added up. */
START_TEST(late_sleeps)
{
	const struct can_lateness *l;

	w.late_ns = 2 * NS_PER_MS;
	ck_assert_int_eq(play("(1.000) c 001#\n(1.010) c 002#\n(1.011) c 003#\n"
			      "(1.030) c 004#\n"),
			 0);
	ck_assert_str_eq(sent(), "c 1 +0, c 2 +12000, c 3 +12000, c 4 +32000");
	l = can_sender_lateness(player_sender(p));
	ck_assert_int_eq(l->max_ns, 2 * NS_PER_MS);
	ck_assert_int_eq(l->sum_ns, 5 * NS_PER_MS);
}
END_TEST

START_TEST(part_of_a_log)
{
	opt.from_ns = NS_PER_S;
	opt.to_ns = 3 * NS_PER_S;
	ck_assert_int_eq(play("(5.0) c 001#\n(5.9) c 002#\n(6.0) c 003#\n(7.5) c 004#\n"
			      "(8.0) c 005#\n(8.1) c 006#\nrubbish\n"),
			 0);
	ck_assert_str_eq(sent(), "c 3 +0, c 4 +1500000, c 5 +2000000");
	ck_assert_uint_eq(counts.bad_lines, 0); /* was not read so far */
}
END_TEST

START_TEST(some_frames)
{
	opt.count = 3;
	opt.loop = true;
	ck_assert_int_eq(play(two_buses), 0);
	ck_assert_uint_eq(counts.frames, 3);
	ck_assert_uint_eq(counts.line, 4);
}
END_TEST

START_TEST(round_and_round)
{
	opt.loop = true;
	opt.count = 7;
	ck_assert_int_eq(play("(1.00) c 001#\n(1.01) c 002#\n(1.04) c 003#\n"), 0);
	ck_assert_str_eq(sent(), "c 1 +0, c 2 +10000, c 3 +40000, c 1 +60000, c 2 +70000, "
				 "c 3 +100000, c 1 +120000");
	ck_assert_uint_eq(counts.rounds, 3);
}
END_TEST

/* A log without a frame to send does not keep it busy for ever. */
START_TEST(round_without_frames)
{
	opt.loop = true;
	ck_assert_int_eq(play("rubbish\n(1.0) c 20000004#0000000000000000\n"), 0);
	ck_assert_uint_eq(counts.rounds, 1);
	ck_assert_uint_eq(counts.error_frames, 1);
	ck_assert_uint_eq(counts.bad_lines, 1);
	ck_assert_int_eq(counts.duration_ns, 0);
}
END_TEST

START_TEST(three_days_of_silence)
{
	static const char log[] = "(1.0) c 001#\n(259201.0) c 002#\n";

	ck_assert_int_eq(play(log), 0);
	ck_assert_str_eq(sent(), "c 1 +0, c 2 +259200000000");
	ck_assert_str_eq(notices, "T 2: 259200 s without a frame: waits for 259200 s (see "
				  "--max-gap)\n");
}
END_TEST

START_TEST(silence_is_cut)
{
	opt.gap_max_ns = NS_PER_S / 2;
	opt.speed = 5;
	ck_assert_int_eq(play("(1.0) c 001#\n(259201.0) c 002#\n(259201.4) c 003#\n"), 0);
	ck_assert_str_eq(sent(), "c 1 +0, c 2 +100000, c 3 +180000");
	ck_assert_str_eq(notices, "T 2: 259200.000 s without a frame, cut to 0.500 s\n");
}
END_TEST

START_TEST(time_goes_back)
{
	ck_assert_int_eq(play("(9.0) c 001#\n(9.5) c 002#\n(3.0) c 003#\n(3.5) c 004#\n"), 0);
	ck_assert_str_eq(sent(), "c 1 +0, c 2 +500000, c 3 +500000, c 4 +1000000");
	ck_assert_str_eq(notices, "T 3: time goes back by 6.500 s; played on from there\n");
	ck_assert_uint_eq(counts.steps_back, 1);
}
END_TEST

/* ---- where ---- */

START_TEST(mapped)
{
	static const struct player_map maps[] = {{"can1", "vcan7"}, {"can9", "vcan8"}};

	opt.maps = maps;
	opt.n_maps = array_len(maps);
	ck_assert_int_eq(play(two_buses), 0);
	ck_assert_str_eq(sent(), "vcan7 2 +0, vcan7 4 +10000");
	ck_assert_uint_eq(counts.unmapped, 3);
	ck_assert_str_eq(player_bus(p, 2)->name, "can0");
	ck_assert_int_lt(player_bus(p, 2)->port, 0);
	ck_assert_uint_eq(player_bus(p, 2)->frames, 3);
	ck_assert_uint_eq(player_bus(p, 0)->frames, 2);
	ck_assert_ptr_null(player_bus(p, 3));
}
END_TEST

START_TEST(two_buses_on_one_interface)
{
	static const struct player_map maps[] = {{"can0", "v"}, {"can1", "v"}};

	opt.maps = maps;
	opt.n_maps = array_len(maps);
	ck_assert_int_eq(play(two_buses), 0);
	ck_assert_str_eq(sent(), "v 1 +0, v 2 +0, v 40000003 +0, v 4 +10000, "
				 "v 80000005 +2000000");
	ck_assert_uint_eq(w.n_ports, 1);
}
END_TEST

/* More names than are told apart. */
START_TEST(many_buses)
{
	static const struct player_map maps[] = {{"bus99", "can0"}};
	char log[100 * 32];
	size_t n = 0;

	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(log + n, sizeof(log) - n, "(1.0) bus%d 001#\n", i);
	opt.maps = maps;
	opt.n_maps = 1;
	ck_assert_int_eq(play(log), 0);
	ck_assert_uint_eq(counts.frames, 1);
	ck_assert_uint_eq(counts.unmapped, 99);
	p = player_free(p);
	opt.n_maps = 0;
	ck_assert_int_eq(play(NULL), -E2BIG);
	ck_assert_ptr_nonnull(strstr(err.text, "log:17: interface bus16: more than 16 interfaces"));
}
END_TEST

START_TEST(missing_before_the_first_frame)
{
	w.missing = "can7";
	ck_assert_int_eq(play("(1.0) can0 001#\nrubbish\n(2.0) can7 002#\n"), -ENODEV);
	ck_assert_ptr_nonnull(
		strstr(err.text, "log:3: interface can7: there is no such interface"));
	ck_assert_uint_eq(w.n_got, 0);
	ck_assert_str_eq(notices, "");
	/* Not a word about one that is not played. */
	opt.to_ns = NS_PER_S / 2;
	ck_assert_int_eq(play(NULL), 0);
	ck_assert_uint_eq(counts.frames, 1);
}
END_TEST

START_TEST(mapped_interface_is_missing)
{
	static const struct player_map maps[] = {{"can0", "can0"}, {"can8", "can7"}};

	opt.maps = maps;
	opt.n_maps = array_len(maps);
	w.missing = "can7";
	ck_assert_int_eq(play(two_buses), -ENODEV);
	ck_assert_str_eq(err.text, "interface can7: there is no such interface");
	ck_assert_uint_eq(w.n_got, 0);
}
END_TEST

START_TEST(no_can_fd)
{
	static const struct player_map maps[] = {{"can1", "can5"}};

	w.classic = "can1";
	ck_assert_int_eq(play(two_buses), -EPROTOTYPE);
	ck_assert_ptr_nonnull(strstr(err.text, "log:5: a CAN FD frame, but interface can1 has no "
					       "CAN FD (MTU 72)"));
	ck_assert_uint_eq(w.n_got, 0); /* a file's beginning is looked at first */
	/* A pipe's cannot be; what came before is sent. */
	opt.maps = maps;
	opt.n_maps = 1;
	w.classic = "can5";
	ck_assert_int_eq(play(two_buses), -EPROTOTYPE);
	ck_assert_str_eq(sent(), "can5 2 +0");
	ck_assert_uint_eq(counts.line, 5);
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(bad_lines)
{
	ck_assert_int_eq(play("(1.0) c 001#\nrubbish\n(2.0) c 002#0\n(2.0) c 003#\n(3.0) c 0"), 0);
	ck_assert_str_eq(sent(), "c 1 +0, c 3 +1000000");
	ck_assert_uint_eq(counts.bad_lines, 3);
	ck_assert_str_eq(notices, "B 2: column 1: expected '(' and a time\n"
				  "B 3: column 13: half a byte of data\n"
				  "B 5: column 10: an identifier has 3 or 8 hex digits "
				  "(truncated last line)\n");
}
END_TEST

START_TEST(truncated_gzip)
{
	gzFile g = gzopen(path, "wb");
	struct stat st;

	for (int i = 0; i < 2000; i++)
		ck_assert_int_gt(gzprintf(g, "(%d.0) c 001#%016X\n", i, i * 0x9E3779B1u), 0);
	ck_assert_int_eq(gzclose(g), Z_OK);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
	ck_assert_int_eq(play(NULL), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "the gzip data ends in the middle (after line "));
	ck_assert_uint_gt(counts.frames, 500);
	ck_assert_uint_eq(counts.frames, w.n_got);
	ck_assert_uint_eq(counts.frames, counts.line); /* all that came before has left */
}
END_TEST

static void interface_goes_down(struct play_world *world)
{
	if (world->now_ns < START + NS_PER_S)
		return;
	world->send_error = -ENETDOWN;
	world->send_errors = -1;
}

START_TEST(goes_down_meanwhile)
{
	w.on_wait = interface_goes_down;
	ck_assert_int_eq(play("(1.0) c 001#\n(2.0) c 002#\n(3.0) c 003#\n(4.0) c 004#\n"),
			 -ENETDOWN);
	ck_assert_ptr_nonnull(
		strstr(err.text, "log:3: interface c: the interface is down (ip link set c up)"));
	ck_assert_uint_eq(counts.frames, 2);
	ck_assert_uint_eq(counts.line, 3);
	ck_assert_uint_eq(w.n_got, 2);
}
END_TEST

static void goes_bus_off(struct play_world *world)
{
	struct can_frame off = {.can_id = CAN_ERR_FLAG | CAN_ERR_BUSOFF, .can_dlc = 8};

	if (world->waits == 2)
		play_world_say(world, 0, &off);
}

START_TEST(bus_off_meanwhile)
{
	w.on_wait = goes_bus_off;
	ck_assert_int_eq(play("(1.0) c 001#\n(2.0) c 002#\n(3.0) c 003#\n(4.0) c 004#\n"),
			 -ENOTCONN);
	ck_assert_ptr_nonnull(strstr(err.text, "log:3: interface c: the controller went bus-off"));
	ck_assert_uint_eq(counts.frames, 2);
}
END_TEST

START_TEST(ended_by_hand)
{
	w.end_ns = START + 90 * NS_PER_S;
	ck_assert_int_eq(play("(1.0) c 001#\n(2.0) c 002#\n(300.0) c 003#\n"), -EINTR);
	ck_assert_str_eq(sent(), "c 1 +0, c 2 +1000000");
	ck_assert_uint_eq(counts.line, 3);
	ck_assert_int_eq(w.now_ns, w.end_ns); /* at once */
	ck_assert_str_eq(err.text, "");
}
END_TEST

static void end_after_a_while(struct play_world *world)
{
	if (world->n_got > 3000)
		world->end_ns = world->now_ns;
}

/* Without a wait in sight. */
START_TEST(ended_by_hand_at_full_speed)
{
	opt.speed = 0;
	opt.loop = true;
	w.on_wait = end_after_a_while;
	ck_assert_int_eq(play(two_buses), -EINTR);
	ck_assert_uint_ge(w.n_got, 3000);
	ck_assert_uint_lt(w.n_got, PLAY_FRAMES_MAX - 1);
	ck_assert_uint_eq(counts.frames, w.n_got);
}
END_TEST

START_TEST(no_log)
{
	ck_assert_int_eq(play(NULL), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/log: No such file"));
	opt.path = dir;
	ck_assert_int_eq(play(NULL), -EISDIR);
	opt.path = "/dev/null";
	ck_assert_int_eq(play(NULL), 0);
	ck_assert_uint_eq(counts.frames, 0);
	p = player_free(p);
	opt.loop = true;
	ck_assert_int_eq(play(NULL), -ESPIPE);
	ck_assert_str_eq(err.text, "/dev/null: not a regular file, so it cannot loop");
}
END_TEST

/* ---- a live pipe ---- */

static int pipe_in;

static void write_more(struct play_world *world)
{
	static const char *const lines[] = {"(7.0) c 002#\n(7.", "5) c 003#\n", NULL};

	if (world->n_got == 1 && world->waits == 1)
		ck_assert_int_gt(write(pipe_in, lines[0], strlen(lines[0])), 0);
	if (world->n_got == 2 && pipe_in >= 0) {
		ck_assert_int_gt(write(pipe_in, lines[1], strlen(lines[1])), 0);
		close(pipe_in);
		pipe_in = -1;
	}
}

/* What has come is sent before more is waited for. */
START_TEST(from_a_pipe)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
	pipe_in = fds[1];
	ck_assert_int_eq(write(pipe_in, "(5.0) c 001#\n", 13), 13);
	opt.path = "-";
	w.on_wait = write_more;
	ck_assert_int_eq(play(NULL), 0);
	close(fds[0]);
	ck_assert_uint_eq(counts.frames, 3);
	ck_assert_uint_eq(w.got[2].frame.can_id, 3);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("player");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, with_its_timing);
	tcase_add_test(tc, faster_and_slower);
	tcase_add_test(tc, as_fast_as_it_goes);
	tcase_add_test(tc, late_sleeps);
	tcase_add_test(tc, part_of_a_log);
	tcase_add_test(tc, some_frames);
	tcase_add_test(tc, round_and_round);
	tcase_add_test(tc, round_without_frames);
	tcase_add_test(tc, three_days_of_silence);
	tcase_add_test(tc, silence_is_cut);
	tcase_add_test(tc, time_goes_back);
	tcase_add_test(tc, mapped);
	tcase_add_test(tc, two_buses_on_one_interface);
	tcase_add_test(tc, many_buses);
	tcase_add_test(tc, missing_before_the_first_frame);
	tcase_add_test(tc, mapped_interface_is_missing);
	tcase_add_test(tc, no_can_fd);
	tcase_add_test(tc, bad_lines);
	tcase_add_test(tc, truncated_gzip);
	tcase_add_test(tc, goes_down_meanwhile);
	tcase_add_test(tc, bus_off_meanwhile);
	tcase_add_test(tc, ended_by_hand);
	tcase_add_test(tc, ended_by_hand_at_full_speed);
	tcase_add_test(tc, no_log);
	tcase_add_test(tc, from_a_pipe);
	return suite_run("player", &tc, 1);
}
