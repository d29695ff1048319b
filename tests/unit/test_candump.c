#include "agent/source/candump.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char dir[64];
static char path[128];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_candump.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static int parse(const char *text, struct candump_line *l, struct error *err)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1); /* no NUL: a sanitizer sees a read beyond the end */
	int r;

	memset(l, 0, sizeof(*l));
	memcpy(exact, text, len);
	r = candump_parse(exact, len, l, err);
	free(exact);
	return r;
}

START_TEST(good_lines)
{
	struct candump_line l;
	struct error err;

	ck_assert_int_eq(parse("(46408.584930) can0 260#08FFFB0000001884", &l, &err), 0);
	ck_assert_int_eq(l.frame.t_ns, 46408584930000);
	ck_assert_str_eq(l.bus, "can0");
	ck_assert_uint_eq(l.frame.bus, FRAME_BUS_NONE);
	ck_assert_uint_eq(l.frame.id, 0x260);
	ck_assert_uint_eq(l.frame.flags, 0);
	ck_assert_uint_eq(l.frame.len, 8);
	ck_assert_mem_eq(l.frame.data, "\x08\xFF\xFB\x00\x00\x00\x18\x84", 8);

	ck_assert_int_eq(parse("(1.5) vcan0 18FEF100#aAbB", &l, &err), 0);
	ck_assert_int_eq(l.frame.t_ns, 1500000000);
	ck_assert_uint_eq(l.frame.id, 0x18FEF100);
	ck_assert_uint_eq(l.frame.flags, FRAME_EXTENDED);
	ck_assert_uint_eq(l.frame.len, 2);
	ck_assert_mem_eq(l.frame.data, "\xAA\xBB", 2);

	ck_assert_int_eq(parse("(1) b 7FF#", &l, &err), 0);
	ck_assert_uint_eq(l.frame.len, 0);
	ck_assert_int_eq(parse("  (1.123456789999)\tb\t001#00 R\r", &l, &err), 0);
	ck_assert_int_eq(l.frame.t_ns, 1123456789);
	ck_assert_int_eq(parse("(1.0) b 001#0011223344556677_9", &l, &err), 0);
	ck_assert_uint_eq(l.frame.len, 8);
}
END_TEST

START_TEST(other_frames)
{
	struct candump_line l;
	struct error err;
	char text[256];

	ck_assert_int_eq(parse("(1.0) can0 123#R", &l, &err), 0);
	ck_assert_uint_eq(l.frame.flags, FRAME_REMOTE);
	ck_assert_uint_eq(l.frame.len, 0);
	ck_assert_int_eq(parse("(1.0) can0 123#R8", &l, &err), 0);
	ck_assert_uint_eq(l.frame.len, 8);
	ck_assert_int_eq(parse("(1.0) can0 20000004#0010000000000000", &l, &err), 0);
	ck_assert_uint_eq(l.frame.flags, FRAME_ERROR);
	ck_assert_uint_eq(l.frame.id, 4);
	ck_assert_int_eq(parse("(1.0) can0 123##1AABB", &l, &err), 0);
	ck_assert_uint_eq(l.frame.flags, FRAME_FD | FRAME_BRS);
	ck_assert_uint_eq(l.frame.len, 2);
	ck_assert_int_eq(parse("(1.0) can0 123##2", &l, &err), 0);
	ck_assert_uint_eq(l.frame.flags, FRAME_FD | FRAME_ESI);
	ck_assert_int_eq(parse("(1.0) can0 123##7", &l, &err), 0); /* 4: it is CAN FD */
	ck_assert_uint_eq(l.frame.flags, FRAME_FD | FRAME_BRS | FRAME_ESI);
	snprintf(text, sizeof(text), "(1.0) can0 1FFFFFFF##0%0128d", 0);
	ck_assert_int_eq(parse(text, &l, &err), 0);
	ck_assert_uint_eq(l.frame.flags, FRAME_FD | FRAME_EXTENDED);
	ck_assert_uint_eq(l.frame.len, 64);
	snprintf(text, sizeof(text), "(1.0) can0 123##0%0130d", 0);
	ck_assert_int_eq(parse(text, &l, &err), -EINVAL);
}
END_TEST

START_TEST(no_frame_in_it)
{
	struct candump_line l;

	ck_assert_int_eq(parse("", &l, NULL), -ENODATA);
	ck_assert_int_eq(parse(" \t\r", &l, NULL), -ENODATA);
	ck_assert_int_eq(parse("# a comment", &l, NULL), -ENODATA);
}
END_TEST

static const struct {
	const char *line;
	const char *says;
} bad_lines[] = {
	{"garbage", "column 1: expected '('"},
	{"()", "column 2: expected a time"},
	{"(1.5", "column 5: expected ')'"},
	{"(x) can0 123#00", "column 2"},
	{"(99999999999999999999) can0 123#00", "out of range"},
	{"(1.0)", "column 6: expected a space and the bus"},
	{"(1.0)can0 123#00", "column 6"},
	{"(1.0) can0", "column 11: expected a space and the frame"},
	{"(1.0) abcdefghijklmnop 123#00", "longer than 15"},
	{"(1.0) a\001b 123#00", "control character"},
	{"(1.0) can0 ", "3 or 8 hex digits"},
	{"(1.0) can0 12#00", "3 or 8 hex digits"},
	{"(1.0) can0 1234#00", "3 or 8 hex digits"},
	{"(1.0) can0 123456789#00", "3 or 8 hex digits"},
	{"(1.0) can0 800#00", "above 7FF"},
	{"(1.0) can0 40000000#00", "above 1FFFFFFF"},
	{"(1.0) can0 123", "expected '#'"},
	{"(1.0) can0 123=00", "expected '#'"},
	{"(1.0) can0 123#0", "half a byte"},
	{"(1.0) can0 123#001", "column 18: half a byte"},
	{"(1.0) can0 123#0G", "not hex"},
	{"(1.0) can0 123#00.11", "not hex"},
	{"(1.0) can0 123#001122334455667788", "more than 8 bytes"},
	{"(1.0) can0 123##", "hex digit of CAN FD flags"},
	{"(1.0) can0 123##Z00", "hex digit of CAN FD flags"},
	{"(1.0) can0 123#R9", "length of 0 to 8"},
	{"(1.0) can0 123 [1", "expected '#'"},
	{"(1.0) can0 123 []", "expected '#'"},
	{"(1.0) can0 123[8]", "expected '#'"},
	{"(1.0) can0 xyz [8]", "3 or 8 hex digits"},
	{"[8]", "expected '('"},
	{" [8]", "expected '('"},
};

/* candump without -l: plain, with its times (-t a, -t A, -t z), -x, CAN FD, remote, an error. */
static const char *const for_people[] = {
	"  can0  123   [8]  11 22 33 44 55 66 77 88",
	" (1436509052.249713)  can0  12345678   [2]  11 22",
	" (2015-07-10 08:17:32.249713)  can0  123   [0]",
	" (000.000000)  vcan0  123  [12]  11 22 33 44 55 66 77 88 99 AA BB CC",
	"  can0  TX B -  123  [64]  11",
	"  can0  123   [0]  remote request",
	"  can0  20000004   [8]  00 10 00 00 00 00 00 00   ERRORFRAME",
};

START_TEST(bad_line)
{
	struct candump_line l;
	struct error err = {0};

	ck_assert_int_eq(parse(bad_lines[_i].line, &l, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, bad_lines[_i].says) != NULL, "'%s': '%s'",
		      bad_lines[_i].line, err.text);
	ck_assert_int_eq(parse(bad_lines[_i].line, &l, NULL), -EINVAL);
}
END_TEST

START_TEST(line_for_people)
{
	struct candump_line l;
	struct error err = {0};

	ck_assert_int_eq(parse(for_people[_i], &l, &err), -EINVAL);
	ck_assert_str_eq(err.text, "what candump shows on a screen; record logs with candump -l");
	ck_assert_int_eq(parse(for_people[_i], &l, NULL), -EINVAL);
}
END_TEST

START_TEST(format_reads_back)
{
	static const char *const lines[] = {
		"(46408.584930) can0 260#08FFFB0000001884\n",
		"(0.000001) can1 18FEF100#\n",
		"(1.500000) vcan0 123##0AABB\n",
		"(1.500000) vcan0 123##1AABB\n",
		"(1.500000) vcan0 12345678##3AABB\n",
		"(1.000000) c 7FF#R8\n",
		"(1.000000) c 123#R\n",
		"(1.000000) c 20000004#00\n",
	};
	char out[CANDUMP_LINE_MAX];
	struct candump_line l;
	struct error err;

	for (size_t i = 0; i < array_len(lines); i++) {
		size_t n;

		memset(&l, 0, sizeof(l));
		ck_assert_int_eq(candump_parse(lines[i], strlen(lines[i]) - 1, &l, &err), 0);
		n = candump_format(&l.frame, l.bus, out);
		ck_assert_uint_eq(n, strlen(lines[i]));
		ck_assert_mem_eq(out, lines[i], n);
	}
	/* The longest line there is fits. */
	l.frame = (struct frame){.t_ns = INT64_MAX, .flags = FRAME_FD | FRAME_EXTENDED, .len = 64};
	ck_assert_uint_le(candump_format(&l.frame, "a name that is much too long", out),
			  CANDUMP_LINE_MAX);
	l.frame.t_ns = -1;
	ck_assert_uint_eq(candump_format(&l.frame, "c", out), 10 + 1 + 1 + 1 + 8 + 3 + 128 + 1);
	ck_assert_mem_eq(out, "(0.000000)", 10);
}
END_TEST

/* ---- splitter ---- */

static const char three_lines[] = "(1.000000) can0 001#00\n"
				  "# comment\n"
				  "rubbish\n"
				  "\n"
				  "(2.000000) can0 002#00\n"
				  "(3.000000) can0 003#0011";

struct tally {
	unsigned ids; /* digits: the ids in their order */
	unsigned bad;
	char says[256]; /* the last error */
};

static void drain(struct candump_splitter *s, struct tally *t)
{
	struct candump_line l;
	struct error err;
	int r;

	while ((r = candump_take(s, "in", &l, &err)) != 0) {
		if (r == 1) {
			t->ids = t->ids * 10 + l.frame.id;
			continue;
		}
		ck_assert_int_eq(r, -EINVAL);
		memcpy(t->says, err.text, sizeof(t->says));
		t->bad++;
	}
}

/* Cut anywhere, the same lines come out. */
START_TEST(splitter_in_pieces)
{
	for (size_t piece = 1; piece <= sizeof(three_lines); piece++) {
		struct candump_splitter s = {0};
		struct candump_line l;
		struct tally t = {0};
		struct error err;

		for (size_t i = 0; i < sizeof(three_lines) - 1; i += piece) {
			size_t left = sizeof(three_lines) - 1 - i;

			candump_feed(&s, three_lines + i, left < piece ? left : piece);
			drain(&s, &t);
		}
		ck_assert_uint_eq(t.ids, 12);
		ck_assert_uint_eq(t.bad, 1);
		ck_assert_str_eq(t.says, "in:3: column 1: expected '(' and a time");
		ck_assert_int_eq(candump_take_end(&s, "in", &l, &err), 1);
		ck_assert_uint_eq(l.frame.id, 3);
		ck_assert_int_eq(candump_take_end(&s, "in", &l, &err), 0);
	}
}
END_TEST

START_TEST(over_long_line)
{
	char text[4 * CANDUMP_LINE_MAX];
	size_t n = sizeof(text) - 24;

	memset(text, 'x', n);
	memcpy(text + n, "\n(2.000000) can0 002#00\n", 24);
	for (size_t piece = 1; piece <= sizeof(text); piece += 37) {
		struct candump_splitter s = {0};
		struct tally t = {0};

		for (size_t i = 0; i < sizeof(text); i += piece) {
			candump_feed(&s, text + i,
				     sizeof(text) - i < piece ? sizeof(text) - i : piece);
			drain(&s, &t);
		}
		ck_assert_uint_eq(t.ids, 2);
		ck_assert_uint_eq(t.bad, 1);
		ck_assert_str_eq(t.says, "in:1: line is longer than 256 bytes");
		ck_assert_uint_eq(s.line, 2);
	}
}
END_TEST

/* ---- reader ---- */

static void write_file(const char *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

struct outcome {
	size_t frames, bad;
	int end; /* what candump_next ended with */
	struct error err;
	uint64_t lines;
};

static struct outcome read_all(const char *name)
{
	struct candump_reader *r = NULL;
	struct candump_line l;
	struct outcome o = {0};

	ck_assert_int_eq(candump_open(&r, name, &o.err), 0);
	for (;;) {
		o.end = candump_next(r, &l, &o.err);
		if (o.end == 1)
			o.frames++;
		else if (o.end == -EINVAL)
			o.bad++;
		else
			break;
	}
	o.lines = candump_line_number(r);
	candump_close(r);
	return o;
}

static char *many_lines(size_t n, size_t *ret_len)
{
	char *text = malloc(n * CANDUMP_LINE_MAX);
	struct frame f = {.len = 8};

	ck_assert_ptr_nonnull(text);
	*ret_len = 0;
	for (size_t i = 0; i < n; i++) {
		f.t_ns = (int64_t)i * NS_PER_MS;
		f.id = (uint32_t)i % 0x800;
		f.data[i % 8] = (uint8_t)(i * 31);
		*ret_len += candump_format(&f, "can0", text + *ret_len);
	}
	return text;
}

START_TEST(plain_file)
{
	size_t len;
	char *text = many_lines(10000, &len);
	struct outcome o;

	write_file(text, len);
	o = read_all(path);
	ck_assert_uint_eq(o.frames, 10000);
	ck_assert_uint_eq(o.bad, 0);
	ck_assert_int_eq(o.end, 0);
	ck_assert_uint_eq(o.lines, 10000);
	free(text);
}
END_TEST

START_TEST(half_last_line)
{
	struct outcome o;

	write_file("(1.0) can0 001#00\n(2.0) can0 002#0", 35);
	o = read_all(path);
	ck_assert_uint_eq(o.frames, 1);
	ck_assert_uint_eq(o.bad, 1);
	ck_assert_int_eq(o.end, 0);
	ck_assert_ptr_nonnull(strstr(o.err.text, "/log:2: "));
	ck_assert_ptr_nonnull(strstr(o.err.text, "truncated last line"));
}
END_TEST

START_TEST(odd_files)
{
	struct candump_reader *r = NULL;
	struct error err = {0};
	struct outcome o;

	ck_assert_int_eq(candump_open(&r, "/nonexistent/log", &err), -ENOENT);
	ck_assert_str_eq(err.text, "/nonexistent/log: No such file or directory");
	ck_assert_int_eq(candump_open(&r, dir, &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "Is a directory"));
	write_file("", 0);
	o = read_all(path);
	ck_assert_int_eq(o.end, 0);
	ck_assert_uint_eq(o.frames + o.bad, 0);
	write_file("\x1f", 1); /* no line begins like gzip */
	o = read_all(path);
	ck_assert_int_eq(o.end, -EBADMSG);
}
END_TEST

static void write_gzip(const char *text, size_t len, const char *mode)
{
	gzFile g = gzopen(path, mode);

	ck_assert_ptr_nonnull(g);
	ck_assert_int_eq(gzwrite(g, text, (unsigned)len), (int)len);
	ck_assert_int_eq(gzclose(g), Z_OK);
}

/* Two members, as logs that were appended to have. */
START_TEST(gzip_file)
{
	size_t len;
	char *text = many_lines(20000, &len);
	struct outcome o;

	write_gzip(text, len, "wb");
	write_gzip(text, len, "ab");
	o = read_all(path);
	ck_assert_uint_eq(o.frames, 40000);
	ck_assert_uint_eq(o.bad, 0);
	ck_assert_int_eq(o.end, 0);
	free(text);
}
END_TEST

/* Padding, as from a tape or a block device; its zeros may fill more than a block. */
START_TEST(gzip_padded)
{
	static const char zeros[40000];
	size_t len;
	char *text = many_lines(100, &len);
	struct outcome o;
	FILE *f;

	write_gzip(text, len, "wb");
	f = fopen(path, "ab");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(zeros, 1, sizeof(zeros), f), sizeof(zeros));
	ck_assert_int_eq(fclose(f), 0);
	write_gzip(text, len, "ab");
	o = read_all(path);
	ck_assert_uint_eq(o.frames, 200);
	ck_assert_int_eq(o.end, 0);
	free(text);
}
END_TEST

START_TEST(gzip_truncated)
{
	size_t len;
	char *text = many_lines(20000, &len);
	struct outcome o;
	struct stat st;

	write_gzip(text, len, "wb");
	free(text);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
	o = read_all(path);
	ck_assert_int_eq(o.end, -EBADMSG);
	ck_assert_uint_gt(o.frames, 1000);
	ck_assert_uint_lt(o.frames, 20000);
	ck_assert_ptr_nonnull(strstr(o.err.text, "the gzip data ends in the middle (after line "));
	/* Only the trailer is missing: every line comes, and it is still said. */
	text = many_lines(20000, &len);
	write_gzip(text, len, "wb");
	free(text);
	ck_assert_int_eq(truncate(path, st.st_size - 1), 0);
	o = read_all(path);
	ck_assert_int_eq(o.end, -EBADMSG);
	ck_assert_uint_eq(o.frames, 20000);
	ck_assert_int_eq(truncate(path, 5), 0);
	o = read_all(path);
	ck_assert_int_eq(o.end, -EBADMSG);
	ck_assert_uint_eq(o.frames, 0);
}
END_TEST

START_TEST(gzip_damaged)
{
	size_t len;
	char *text = many_lines(20000, &len);
	struct outcome o;
	int fd;

	write_gzip(text, len, "wb");
	free(text);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, "rubbishrubbishrubbishrubbish", 28, 20000), 28);
	close(fd);
	o = read_all(path);
	ck_assert_int_eq(o.end, -EBADMSG);
	ck_assert_ptr_nonnull(strstr(o.err.text, "gzip data is damaged"));
}
END_TEST

static void *write_fifo(void *arg)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)arg;
	for (size_t i = 0; i < sizeof(three_lines) - 1; i++)
		if (write(fd, three_lines + i, 1) != 1)
			break;
	close(fd);
	return NULL;
}

/* A line comes out when it was written, not when a block is full. */
START_TEST(fifo)
{
	struct outcome o;
	pthread_t writer;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_fifo, NULL), 0);
	o = read_all(path);
	pthread_join(writer, NULL);
	ck_assert_uint_eq(o.frames, 3);
	ck_assert_uint_eq(o.bad, 1);
	ck_assert_int_eq(o.end, 0);
}
END_TEST

START_TEST(fifo_is_not_held_up)
{
	struct candump_reader *r = NULL;
	struct candump_line l;
	struct error err;
	int fd;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, three_lines, 23), 23);
	ck_assert_int_eq(candump_open(&r, path, &err), 0);
	ck_assert_int_eq(candump_next(r, &l, &err), 1); /* the writer is still there */
	ck_assert_uint_eq(l.frame.id, 1);
	candump_close(r);
	close(fd);
}
END_TEST

START_TEST(progress)
{
	struct candump_reader *r = NULL;
	struct candump_line l;
	uint64_t read, size;
	struct error err;

	write_file(three_lines, sizeof(three_lines) - 1);
	ck_assert_int_eq(candump_open(&r, path, &err), 0);
	candump_progress(r, &read, &size);
	ck_assert_uint_eq(read, 0);
	ck_assert_uint_eq(size, sizeof(three_lines) - 1);
	ck_assert_int_eq(candump_next(r, &l, &err), 1);
	candump_progress(r, &read, &size);
	ck_assert_uint_eq(read, size);
	candump_close(r);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("lines"), *files = tcase_create("files");
	TCase *cases[] = {tc, files};

	tcase_add_test(tc, good_lines);
	tcase_add_test(tc, other_frames);
	tcase_add_test(tc, no_frame_in_it);
	tcase_add_loop_test(tc, bad_line, 0, array_len(bad_lines));
	tcase_add_loop_test(tc, line_for_people, 0, array_len(for_people));
	tcase_add_test(tc, format_reads_back);
	tcase_add_test(tc, splitter_in_pieces);
	tcase_add_test(tc, over_long_line);
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_test(files, plain_file);
	tcase_add_test(files, half_last_line);
	tcase_add_test(files, odd_files);
	tcase_add_test(files, gzip_file);
	tcase_add_test(files, gzip_padded);
	tcase_add_test(files, gzip_truncated);
	tcase_add_test(files, gzip_damaged);
	tcase_add_test(files, fifo);
	tcase_add_test(files, fifo_is_not_held_up);
	tcase_add_test(files, progress);
	return suite_run("candump", cases, array_len(cases));
}
