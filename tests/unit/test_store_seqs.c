/* No seq is given twice, whatever is lost of the outbox's log or file, and what may have been given
 * is told. */
#include "agent/store/store.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 128, ROWS = 40 };

static char dir[] = "/tmp/towline-seqs-XXXXXX";
static char path[PATH];
static struct timebase_fake fake;
static uint64_t boot;

static const char *name_of(const char *suffix)
{
	static char names[4][PATH + 32];
	static unsigned n;
	char *name = names[n++ % 4];

	snprintf(name, sizeof(names[0]), "%s%s", path, suffix);
	return name;
}

static void remove_all(void)
{
	char pattern[PATH];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/*", dir);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
}

static void setup(void)
{
	remove_all();
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
	boot = 1;
}

static struct store *open_as(bool set_aside)
{
	const struct store_options opt = {
		.max_bytes = 1 << 20,
		.relaxed = 1u << CLASS_BULK | 1u << CLASS_LOG | 1u << CLASS_STATUS,
		.sync_ns = NS_PER_S,
		.boot_id = boot,
		.tb = &fake.tb,
	};
	struct store_opened opened;
	struct store *s = NULL;
	struct error err;

	ck_assert_msg(store_open(&s, path, &opt, &opened, &err) == 0, "%s", err.text);
	ck_assert_int_eq(opened.set_aside, set_aside);
	return s;
}

static uint64_t put(struct store *s, enum uplink_class class)
{
	static const uint8_t body[300] = {1};
	const struct store_item item = {
		.class = class, .samples = 3, .body = body, .body_len = sizeof(body)};
	struct store_dropped dropped;
	struct store_count stored;

	ck_assert_int_eq(store_put(s, &item, 1, &stored, &dropped), 0);
	return store_last_seq(s, class);
}

static void put_rows(struct store *s)
{
	for (unsigned i = 0; i < ROWS; i++)
		ck_assert_uint_gt(put(s, (enum uplink_class)(i % CLASS_COUNT)), 0);
}

static void copy_file(const char *from, const char *to)
{
	static uint8_t bytes[4 << 20];
	int in = open(from, O_RDONLY), out;
	ssize_t n;

	(void)unlink(to);
	if (in < 0)
		return;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	n = read(in, bytes, sizeof(bytes));
	ck_assert(n >= 0 && n < (ssize_t)sizeof(bytes));
	ck_assert_int_eq(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
}

/* kill -9: what the files are now is what is left. */
static void end_without_a_word(struct store *s)
{
	static const char *const suffixes[] = {"", "-wal", ".unsaved"};
	char copy[PATH + 32];

	for (size_t i = 0; i < array_len(suffixes); i++) {
		snprintf(copy, sizeof(copy), "%s/copy%s", dir, suffixes[i]);
		copy_file(name_of(suffixes[i]), copy);
	}
	store_close(s);
	for (size_t i = 0; i < array_len(suffixes); i++) {
		snprintf(copy, sizeof(copy), "%s/copy%s", dir, suffixes[i]);
		copy_file(copy, name_of(suffixes[i]));
	}
}

/* Each seq from 1 to last is a row or in a gap. Returns how many are rows. */
static uint64_t check_told(struct store *s, enum uplink_class class, uint64_t last)
{
	uint64_t at = 0, rows = 0;
	struct store_row row;

	while (at < last && store_next(s, class, at, &row) == STORE_ROW) {
		ck_assert_uint_eq(row.seq, at + 1);
		rows += row.encoding != ENCODING_GAP;
		at = row.through;
	}
	store_release(s);
	ck_assert_uint_ge(at, last);
	return rows;
}

static off_t size_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(name, &st), 0);
	return st.st_size;
}

static void overwrite(const char *name, off_t at, const void *data, size_t len)
{
	int fd = open(name, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, len, at), (ssize_t)len);
	close(fd);
}

/* ---- the log ---- */

/* All of the log, or its end, by sevenths; with a boot between or without. */
START_TEST(end_of_the_log_is_lost)
{
	struct store *s = open_as(false);
	uint64_t last[CLASS_COUNT], epoch = store_epoch(s), rows = 0;
	off_t size;

	put_rows(s);
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		last[k] = store_last_seq(s, (enum uplink_class)k);
	end_without_a_word(s);
	size = size_of(name_of("-wal"));
	ck_assert_int_eq(truncate(name_of("-wal"), size * (_i / 2) / 7), 0);
	boot += (uint64_t)_i % 2;
	s = open_as(false);
	ck_assert_uint_eq(store_epoch(s), epoch);
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		rows += check_told(s, (enum uplink_class)k, last[k]);
		ck_assert_uint_gt(put(s, (enum uplink_class)k), last[k]);
	}
	ck_assert_uint_le(rows, ROWS);
	ck_assert(_i / 2 > 0 || rows == 0);
	ck_assert(_i / 2 < 6 || rows > ROWS / 2);
	store_close(s);
}
END_TEST

/* After the power was cut a bad spot is not told from what was never synced. */
START_TEST(bad_spot_and_power_cut)
{
	struct store *s = open_as(false);
	uint64_t last[CLASS_COUNT];

	put_rows(s);
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		last[k] = store_last_seq(s, (enum uplink_class)k);
	end_without_a_word(s);
	overwrite(name_of("-wal"), size_of(name_of("-wal")) * _i / 5 + 8, "\xee\xdd\xcc", 3);
	boot++;
	s = open_as(false);
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		(void)check_told(s, (enum uplink_class)k, last[k]);
		ck_assert_uint_gt(put(s, (enum uplink_class)k), last[k]);
	}
	store_close(s);
}
END_TEST

/* Nothing was lost: what is told counts no batches, and a clean end tells nothing. */
START_TEST(ends_of_all_kinds)
{
	struct store *s = open_as(false);
	struct store_row row;
	struct gap gap;
	uint64_t last;

	put_rows(s);
	end_without_a_word(s);
	s = open_as(false);
	ck_assert_uint_eq(store_totals(s).rows - store_totals(s).gaps, ROWS);
	ck_assert_uint_eq(store_totals(s).gaps, CLASS_COUNT);
	ck_assert_int_eq(store_next(s, CLASS_EVENT, ROWS / CLASS_COUNT, &row), STORE_ROW);
	ck_assert_uint_eq(row.encoding, ENCODING_GAP);
	ck_assert_int_eq(gap_decode(&gap, row.seq, row.body, row.body_len, NULL), 0);
	ck_assert(gap.reason == GAP_UNSAVED && gap.batches == 0 && gap.samples == 0);
	store_release(s);
	last = store_last_seq(s, CLASS_EVENT);
	end_without_a_word(s); /* before any seq was given */
	s = open_as(false);
	ck_assert_uint_eq(store_last_seq(s, CLASS_EVENT), last);
	ck_assert_uint_eq(put(s, CLASS_EVENT), last + 1);
	store_close(s);
	boot++;
	s = open_as(false);
	ck_assert_uint_eq(store_last_seq(s, CLASS_EVENT), last + 1);
	ck_assert_uint_eq(store_totals(s).gaps, CLASS_COUNT);
	store_close(s);
}
END_TEST

/* ---- the file ---- */

/* An older copy is put in its place, or the rows of the last seqs are changed. */
START_TEST(another_file_in_its_place)
{
	struct store *s = open_as(false);
	uint64_t epoch = store_epoch(s);
	char copy[PATH + 32];

	put_rows(s);
	store_close(s);
	snprintf(copy, sizeof(copy), "%s/older", dir);
	copy_file(path, copy);
	s = open_as(false);
	ck_assert_uint_gt(put(s, CLASS_LIVE), 0);
	store_close(s);
	copy_file(copy, path);
	s = open_as(true);
	ck_assert_uint_ne(store_epoch(s), epoch);
	ck_assert_uint_eq(store_totals(s).rows - store_totals(s).gaps, ROWS);
	ck_assert_uint_ge(store_totals(s).gaps, CLASS_COUNT); /* the rest of the old epoch */
	store_close(s);
}
END_TEST

/* The note is gone, or damaged: how far seqs went is not known, so others are given. */
START_TEST(note_is_lost)
{
	struct store *s = open_as(false);
	uint64_t epoch = store_epoch(s);

	put_rows(s);
	store_close(s);
	if (_i == 0)
		ck_assert_int_eq(unlink(name_of(".unsaved")), 0);
	else if (_i == 1)
		overwrite(name_of(".unsaved"), 512 + 20, "\x5a\x5a", 2);
	else
		ck_assert_int_eq(truncate(name_of(".unsaved"), 512), 0);
	s = open_as(true);
	ck_assert_uint_ne(store_epoch(s), epoch);
	ck_assert_uint_eq(store_totals(s).rows - store_totals(s).gaps, ROWS);
	store_close(s);
	s = open_as(false);
	store_close(s);
}
END_TEST

/* The file is gone, or empty, and its log may be there: SQLite would remove that. */
START_TEST(file_is_gone)
{
	struct store *s = open_as(false);
	uint64_t epoch = store_epoch(s), rows;
	struct store_row row;
	struct gap gap;

	put_rows(s);
	end_without_a_word(s);
	if (_i % 2)
		ck_assert_int_eq(truncate(path, 0), 0);
	else
		ck_assert_int_eq(unlink(path), 0);
	if (_i / 2)
		ck_assert_int_eq(unlink(name_of("-wal")), 0);
	s = open_as(true);
	rows = store_totals(s).rows - store_totals(s).gaps;
	ck_assert(_i / 2 ? rows == 0 : rows > ROWS / 2);
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		uint64_t at = 0, told = 0;

		while (store_next(s, (enum uplink_class)k, at, &row) == STORE_ROW) {
			at = row.through;
			ck_assert_uint_eq(row.origin_epoch, epoch);
			if (row.encoding != ENCODING_GAP) {
				told++;
				continue;
			}
			ck_assert_int_eq(
				gap_decode(&gap, row.origin_seq, row.body, row.body_len, NULL), 0);
			told += gap.through - row.origin_seq + 1;
		}
		ck_assert_uint_eq(told, (UINT64_C(1) << 48) - 1);
	}
	store_close(s);
	s = open_as(false);
	store_close(s);
}
END_TEST

/* A new one in its place, which another program has made. */
START_TEST(file_is_another)
{
	struct store *s = open_as(false);
	uint64_t epoch = store_epoch(s);
	struct store_row row;
	char aside[PATH + 32];

	put_rows(s);
	store_close(s);
	snprintf(aside, sizeof(aside), "%s/note", dir);
	ck_assert_int_eq(rename(name_of(".unsaved"), aside), 0);
	ck_assert_int_eq(unlink(path), 0);
	copy_file("/dev/null", path);
	s = open_as(false);
	ck_assert_uint_ne(store_epoch(s), epoch);
	store_close(s);
	ck_assert_int_eq(rename(aside, name_of(".unsaved")), 0);
	s = open_as(true);
	ck_assert_int_eq(store_next(s, CLASS_LOG, 0, &row), STORE_ROW);
	for (uint64_t at = 0; row.origin_epoch != epoch; at = row.through)
		ck_assert_int_eq(store_next(s, CLASS_LOG, at, &row), STORE_ROW);
	ck_assert_uint_eq(row.encoding, ENCODING_GAP);
	store_close(s);
}
END_TEST

/* Without a note that seqs were given a file that is not there is a new one. */
START_TEST(new_file)
{
	store_close(open_as(false));
	ck_assert_int_eq(unlink(path), 0);
	store_close(open_as(false));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("seqs");
	int failed;

	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, end_of_the_log_is_lost, 0, 14);
	tcase_add_loop_test(tc, bad_spot_and_power_cut, 0, 5);
	tcase_add_test(tc, ends_of_all_kinds);
	tcase_add_test(tc, another_file_in_its_place);
	tcase_add_loop_test(tc, note_is_lost, 0, 3);
	tcase_add_loop_test(tc, file_is_gone, 0, 4);
	tcase_add_test(tc, file_is_another);
	tcase_add_test(tc, new_file);
	failed = suite_run("store_seqs", &tc, 1);
	remove_all();
	(void)rmdir(dir);
	return failed;
}
