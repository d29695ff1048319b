/* The gate's file of devices: read, refused by line or as a whole, written and read back. */
#include "relay/gate/file.h"
#include "relay/gate/tally.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_64 "0123456789012345678901234567890123456789012345678901234567890123"

enum { SAID_MAX = 16, FLEET = 50000, FLEET_BYTES = 16 << 20 };

static struct gate_limit defaults[GATE_CLASSES];
static char said[SAID_MAX][256];
static size_t n_said;
static struct error err;

static void setup(void)
{
	for (size_t c = 0; c < GATE_CLASSES; c++)
		defaults[c] = GATE_LIMIT_DEFAULT;
	n_said = 0;
	err.text[0] = '\0';
}

static void keep(void *ctx, const char *text)
{
	(void)ctx;
	if (n_said < SAID_MAX)
		snprintf(said[n_said], sizeof(said[0]), "%s", text);
	n_said++;
}

static int parse(struct gate_table **ret, const char *text)
{
	struct gate_file_notes notes = {.bad_line = keep};
	size_t len = strlen(text);
	char *copy = malloc(len + 1); /* of its own size, for the sanitizer */
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len + 1);
	r = gate_file_parse(ret, copy, len, "f", defaults, &notes, &err);
	ck_assert(r < 0 || notes.bad_lines == n_said);
	free(copy);
	return r;
}

static struct gate_table *parsed(const char *text)
{
	struct gate_table *t = NULL;

	ck_assert_msg(parse(&t, text) == 0, "%s", err.text);
	return t;
}

START_TEST(a_file_is_taken)
{
	struct gate_table *t = parsed("towline-gate 1\n"
				      "# comment\n"
				      "\n"
				      "limits small bulk=1/2/3 reply=4/5/6\n"
				      "device tcu-1 car-1 active\n"
				      "  device\ttcu-2  car-2 expected small \n"
				      "device tcu-3 car-3 retired default\n"
				      "service towline-relay relay\n"
				      "end 5\n");
	const struct gate_device *d = gate_table_device(t, "tcu-2");

	ck_assert_uint_eq(t->n_devices, 3);
	ck_assert_str_eq(d->vehicle, "car-2");
	ck_assert(gate_device_admitted(d));
	ck_assert_uint_eq(t->limits[d->limits].of[CLASS_BULK].message_max, 3);
	ck_assert_uint_eq(t->limits[d->limits].of[GATE_REPLY].messages_per_s, 4);
	ck_assert_uint_eq(t->limits[d->limits].of[CLASS_LIVE].messages_per_s,
			  GATE_LIMIT_DEFAULT.messages_per_s);
	ck_assert_uint_eq(gate_table_device(t, "tcu-1")->limits, 0);
	ck_assert(!gate_device_admitted(gate_table_device(t, "tcu-3")));
	ck_assert_int_eq(gate_table_service(t, "towline-relay")->role, GATE_RELAY);
	ck_assert_ptr_null(gate_table_device(t, "tcu-4"));
	ck_assert_ptr_null(gate_table_device(t, ""));
	ck_assert_uint_eq(n_said, 0);
	gate_table_free(t);
}
END_TEST

START_TEST(later_lines_change_earlier_ones)
{
	struct gate_table *t = parsed("towline-gate 1\ndevice a car active\ndevice b car active\n"
				      "device a car2 suspended\nend 3");
	const struct gate_device *d = gate_table_device(t, "a");

	ck_assert_uint_eq(t->n_devices, 2);
	ck_assert_str_eq(d->vehicle, "car2");
	ck_assert_int_eq(d->status, GATE_SUSPENDED);
	gate_table_free(t);
}
END_TEST

static const struct {
	const char *line, *says;
} BAD_LINES[] = {
	{"devise a b active", "'devise' is none of"},
	{"device a b", "device ID VEHICLE"},
	{"device", "device ID VEHICLE"},
	{"device a b active x y", "device ID VEHICLE"},
	{"device a b Active", "status 'Active'"},
	{"device a/b c active", "device 'a/b'"},
	{"device " ID_64 "4 c active", "is not an id"},
	{"device direct c active", "device 'direct'"},
	{"device a group active", "vehicle 'group'"},
	{"device a c+ active", "vehicle 'c+'"},
	{"device a c active nosuch", "limits 'nosuch'"},
	{"device s c active", "name of a service"},
	{"service s", "service NAME ROLE"},
	{"service s relay", "twice"},
	{"service t king", "role 'king'"},
	{"service keep relay", "a device's"},
	{"service t# relay", "'t#'"},
	{"limits", "no name"},
	{"limits x bulk", "'bulk' is not CLASS="},
	{"limits x bulky=1/2/3", "'bulky=1/2/3'"},
	{"limits x bulk=1/2", "limit '1/2'"},
	{"limits a/b bulk=1/2/3", "limits 'a/b'"},
	{"a b c d e f g h i j k l", "more than 10 words"},
	{"end 3", "'end' is none of"},
};

START_TEST(a_bad_line_is_named_and_left_out)
{
	char text[512];
	struct gate_table *t;

	snprintf(text, sizeof(text),
		 "towline-gate 1\nservice s relay\ndevice keep car active\n%s\n"
		 "device after car active\nend 4\n",
		 BAD_LINES[_i].line);
	t = parsed(text);
	ck_assert_uint_eq(n_said, 1);
	ck_assert_msg(strncmp(said[0], "f:4: ", 5) == 0, "%s", said[0]);
	ck_assert_msg(strstr(said[0], BAD_LINES[_i].says) != NULL, "'%s' lacks '%s'", said[0],
		      BAD_LINES[_i].says);
	ck_assert_uint_eq(t->n_devices, 2);
	ck_assert_uint_eq(t->n_services, 1);
	ck_assert(gate_device_admitted(gate_table_device(t, "keep")));
	ck_assert(gate_device_admitted(gate_table_device(t, "after")));
	gate_table_free(t);
}
END_TEST

START_TEST(a_bad_change_of_a_device_suspends_it)
{
	struct gate_table *t = parsed("towline-gate 1\ndevice a car active\ndevice b car retired\n"
				      "device a car suspendd\ndevice b car\nend 4\n");

	ck_assert_uint_eq(n_said, 2);
	ck_assert_int_eq(gate_table_device(t, "a")->status, GATE_SUSPENDED);
	ck_assert_int_eq(gate_table_device(t, "b")->status, GATE_RETIRED);
	gate_table_free(t);
}
END_TEST

static const struct {
	const char *text, *says;
} NOT_WHOLE[] = {
	{"", "is it whole"},
	{"\n\n", "is it whole"},
	{"towline-gate 1", "is it whole"},
	{"end 0", "is it whole"},
	{"towline-gate 1\ndevice a b active\n", "is it whole"},
	{"towline-gate 1\ndevice a b active\nend", "is it whole"},
	{"towline-gate 1\ndevice a b active\nend 2\n", "1 lines are there"},
	{"towline-gate 1\ndevice a b active\nend 1x\n", "the end is not"},
	{"towline-gate 1\ndevice a b active\nend 1 crc32=\n", "the end is not"},
	{"towline-gate 1\ndevice a b active\nend 1 crc32=123456789\n", "the end is not"},
	{"towline-gate 1\ndevice a b active\nend x\n", "the end is not"},
	{"towline-gate 1\ndevice a b active\nend 1 crc32=00000000\n", "the checksum is"},
	{"towline-gate 2\nend 0\n", "f:1: is not"},
	{"towline-gate 1 \nend 0\n", "f:1: is not"},
	{"\ntowline-gate 1\nend 0\n", "f:1: is not"},
};

START_TEST(what_is_not_whole_is_not_taken)
{
	struct gate_table *t = NULL;

	ck_assert_int_eq(parse(&t, NOT_WHOLE[_i].text), -EBADMSG);
	ck_assert_msg(strstr(err.text, NOT_WHOLE[_i].says) != NULL, "'%s' lacks '%s'", err.text,
		      NOT_WHOLE[_i].says);
	ck_assert_ptr_null(t);
}
END_TEST

START_TEST(zero_bytes_are_not_text)
{
	struct gate_file_notes notes = {0};
	struct gate_table *t = NULL;
	char text[] = "towline-gate 1\n\0\nend 0\n";

	ck_assert_int_eq(gate_file_parse(&t, text, sizeof(text) - 1, "f", defaults, &notes, &err),
			 -EBADMSG);
}
END_TEST

/* Of a device with the longest ids for each number. */
static struct gate_table *fleet(size_t n)
{
	char id[ID_MAX + 1], vehicle[ID_MAX + 1];
	struct gate_table *t;

	ck_assert_int_eq(gate_table_new(&t, n, n * 2 * (ID_MAX + 1), defaults), 0);
	for (size_t i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "device%058zu", i);
		snprintf(vehicle, sizeof(vehicle), "vehicle%057zu", i);
		ck_assert_int_eq(gate_table_put_device(t, id, vehicle, "active", "", &err), 0);
	}
	return t;
}

START_TEST(fifty_thousand_devices_take_less_than_16_mib)
{
	struct gate_table *t = fleet(FLEET);
	char id[ID_MAX + 1];

	ck_assert_uint_lt(gate_table_bytes(t), FLEET_BYTES);
	for (size_t i = 0; i < FLEET; i++) {
		snprintf(id, sizeof(id), "device%058zu", i);
		ck_assert_str_eq(gate_table_device(t, id)->id, id);
	}
	ck_assert_int_eq(gate_table_put_device(t, "one-more", "car", "active", "", &err), -ENOSPC);
	gate_table_free(t);
}
END_TEST

static struct gate_table *read_back(const char *path)
{
	struct gate_file_notes notes = {.bad_line = keep};
	struct gate_table *t = NULL;

	ck_assert_msg(gate_file_read(&t, path, defaults, &notes, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(notes.bad_lines, 0);
	return t;
}

START_TEST(what_is_written_is_read)
{
	char folder[] = "/tmp/test_gate_XXXXXX", path[64];
	struct gate_table *t, *back;
	struct stat st;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/state", folder);
	t = parsed("towline-gate 1\nlimits default live=7/8/9\nlimits small bulk=1/2/3\n"
		   "device a car active small\ndevice b car2 retired\nservice s relay\nend 5\n");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(gate_file_write(t, path, &err), 0);
		back = read_back(path);
		ck_assert_uint_eq(back->n_devices, 2);
		ck_assert_int_eq(memcmp(back->limits, t->limits, sizeof(t->limits)), 0);
		ck_assert_uint_eq(gate_table_device(back, "a")->limits, 1);
		ck_assert_int_eq(gate_table_device(back, "b")->status, GATE_RETIRED);
		ck_assert_str_eq(gate_table_device(back, "b")->vehicle, "car2");
		ck_assert_ptr_nonnull(gate_table_service(back, "s"));
		gate_table_free(t);
		t = back;
	}
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	gate_table_free(t);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0); /* nothing else is there */
}
END_TEST

/* Each byte of a written file, changed: nobody gets in by it. */
START_TEST(damage_is_seen)
{
	struct gate_file_notes notes = {0};
	struct gate_table *t = parsed("towline-gate 1\ndevice a car suspended\nend 1\n"), *back;
	char folder[] = "/tmp/test_gate_XXXXXX", path[64], text[1024], copy[1024];
	ssize_t len;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/state", folder);
	ck_assert_int_eq(gate_file_write(t, path, &err), 0);
	gate_table_free(t);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = read(fd, text, sizeof(text) - 1);
	ck_assert(len > 0);
	close(fd);
	for (ssize_t i = 0; i + 12 < len; i++) {
		memcpy(copy, text, (size_t)len);
		copy[len] = '\0';
		copy[i] ^= 1;
		ck_assert_int_eq(
			gate_file_parse(&back, copy, (size_t)len, "f", defaults, &notes, &err),
			-EBADMSG);
	}
	for (ssize_t n = 0; n < len - 1; n++) {
		memcpy(copy, text, (size_t)n);
		copy[n] = '\0';
		back = NULL;
		if (gate_file_parse(&back, copy, (size_t)n, "f", defaults, &notes, &err) == 0)
			ck_assert_uint_eq(back->n_devices,
					  1); /* cut in "crc32=": still all lines */
		gate_table_free(back);
	}
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(files_that_cannot_be)
{
	struct gate_file_notes notes = {0};
	struct gate_table *t = NULL;

	ck_assert_int_eq(gate_file_read(&t, "/nowhere/devices", defaults, &notes, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/devices"));
	ck_assert_int_eq(gate_file_read(&t, "/", defaults, &notes, &err), -EINVAL);
	t = parsed("towline-gate 1\nend 0\n");
	ck_assert_int_eq(gate_file_write(t, "/nowhere/devices", &err), -ENOENT);
	gate_table_free(t);
}
END_TEST

START_TEST(refusals_are_counted_and_few_are_logged)
{
	struct gate_tally t = {0};
	struct mono_time now = {.ns = 1};
	unsigned int muted = 99;
	int logged = 0;

	for (int i = 0; i < 100; i++)
		logged += gate_tally_refusal(&t, REFUSED_TOO_FAST, now, &muted);
	ck_assert_int_eq(logged, TALLY_LINES);
	ck_assert(gate_tally_refusal(&t, REFUSED_ISSUER, now, &muted));
	now.ns += TALLY_WINDOW_S * NS_PER_S;
	ck_assert(gate_tally_refusal(&t, REFUSED_TOO_FAST, now, &muted));
	ck_assert_uint_eq(muted, 100 - TALLY_LINES);
	ck_assert_uint_eq(t.refused[REFUSED_TOO_FAST], 101);
}
END_TEST

START_TEST(metrics_are_printed)
{
	cleanup(buf_free) struct buf out = BUF_INIT(1 << 16);
	struct gate_table *t = parsed("towline-gate 1\ndevice a car active\nend 1\n");
	struct gate_tally tally = {.kicked = 3};

	tally.refused[REFUSED_SUSPENDED] = 2;
	gate_tally_print(&tally, t, &out);
	ck_assert_ptr_nonnull(strstr(buf_text(&out), "\ntowline_gate_kicked_total 3\n"));
	ck_assert_ptr_nonnull(
		strstr(buf_text(&out), "towline_gate_refused_total{reason=\"suspended\"} 2\n"));
	ck_assert_ptr_nonnull(
		strstr(buf_text(&out), "towline_gate_devices{status=\"active\"} 1\n"));
	gate_table_free(t);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("file");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, a_file_is_taken);
	tcase_add_test(t, later_lines_change_earlier_ones);
	tcase_add_loop_test(t, a_bad_line_is_named_and_left_out, 0, (int)array_len(BAD_LINES));
	tcase_add_test(t, a_bad_change_of_a_device_suspends_it);
	tcase_add_loop_test(t, what_is_not_whole_is_not_taken, 0, (int)array_len(NOT_WHOLE));
	tcase_add_test(t, zero_bytes_are_not_text);
	tcase_add_test(t, fifty_thousand_devices_take_less_than_16_mib);
	tcase_add_test(t, what_is_written_is_read);
	tcase_add_test(t, damage_is_seen);
	tcase_add_test(t, files_that_cannot_be);
	tcase_add_test(t, refusals_are_counted_and_few_are_logged);
	tcase_add_test(t, metrics_are_printed);
	return suite_run("gate_file", &t, 1);
}
