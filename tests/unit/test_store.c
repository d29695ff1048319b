#include "agent/store/store.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 128, BODY = 1000, ROW = BODY + 64 };

static char dir[] = "/tmp/towline-store-XXXXXX";
static char path[PATH];
static struct timebase_fake fake;
static uint8_t body[BODY];

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
	memset(body, 0x5a, sizeof(body));
}

static struct store *open_with(int64_t max_bytes, int64_t file_max)
{
	struct store_options opt = {
		.max_bytes = max_bytes, .file_max_bytes = file_max, .tb = &fake.tb};
	struct store_opened opened;
	struct store *s = NULL;
	struct error err;

	ck_assert_msg(store_open(&s, path, &opt, &opened, &err) == 0, "%s", err.text);
	ck_assert_msg(!opened.set_aside, "%s", err.text);
	ck_assert_uint_eq(opened.unsaved_batches, 0);
	return s;
}

static struct store *open_store(void)
{
	return open_with(1 << 20, 0);
}

static struct store_item item(enum uplink_class class)
{
	return (struct store_item){
		.class = class, .samples = 10, .encoding = 1, .body = body, .body_len = BODY};
}

static uint64_t all_dropped(const struct store_dropped *d)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < GAP_REASONS; i++)
		rows += d->by[i].rows;
	return rows;
}

/* Returns store_put's result; *dropped: rows. */
static int put(struct store *s, enum uplink_class class, size_t n, uint64_t *dropped)
{
	struct store_dropped out;
	struct store_count in;
	int r = 0;

	*dropped = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct store_item it = item(class);

		r = store_put(s, &it, 1, &in, &out);
		if (r == 0)
			*dropped += all_dropped(&out);
	}
	return r;
}

static void put_ok(struct store *s, enum uplink_class class, size_t n)
{
	uint64_t dropped;

	ck_assert_int_eq(put(s, class, n, &dropped), 0);
	ck_assert_uint_eq(dropped, 0);
}

static uint64_t ack_range(struct store *s, enum uplink_class class, uint64_t from, uint64_t to)
{
	struct receipt_range range = {from, to};
	struct store_count count;

	ck_assert_int_eq(store_ack(s, class, &range, 1, &count), 0);
	ck_assert_uint_eq(count.samples, count.rows * 10);
	return count.rows;
}

/* Of a batch. */
static uint64_t first_seq(struct store *s, enum uplink_class class)
{
	struct store_row row = {0};
	int r = STORE_ROW;

	while (r == STORE_ROW) {
		r = store_next(s, class, row.seq, &row);
		if (r == STORE_ROW && row.encoding != ENCODING_GAP)
			return row.seq;
	}
	ck_assert_int_eq(r, 0);
	return 0;
}

START_TEST(rows_come_back_in_order)
{
	struct store *s = open_store();
	struct store_row row;
	uint64_t at = 0;

	put_ok(s, CLASS_BULK, 3);
	put_ok(s, CLASS_LIVE, 1);
	for (uint64_t i = 1; i <= 3; i++) {
		body[0] = 0;
		ck_assert_int_eq(store_next(s, CLASS_BULK, at, &row), STORE_ROW);
		ck_assert_uint_eq(row.seq, i);
		ck_assert_uint_eq(row.samples, 10);
		ck_assert_uint_eq(row.encoding, 1);
		ck_assert_uint_eq(row.body_len, BODY);
		ck_assert_uint_eq(((const uint8_t *)row.body)[0], 0x5a);
		at = row.seq;
	}
	ck_assert_int_eq(store_next(s, CLASS_BULK, at, &row), 0);
	ck_assert_uint_eq(store_totals(s).rows, 4);
	ck_assert_uint_eq(store_totals(s).samples, 40);
	store_close(s);
}
END_TEST

/* Also after everything was deleted: seq is not derived from what is left. */
START_TEST(seq_and_epoch_go_on_after_reopening)
{
	struct store *s = open_store();
	uint64_t epoch = store_epoch(s);

	put_ok(s, CLASS_BULK, 5);
	ck_assert_uint_eq(ack_range(s, CLASS_BULK, 1, 5), 5);
	store_close(s);
	s = open_store();
	ck_assert_uint_eq(store_epoch(s), epoch);
	ck_assert_uint_eq(store_last_seq(s, CLASS_BULK), 5);
	ck_assert_uint_eq(store_totals(s).rows, 0);
	ck_assert_uint_eq(store_lifetime(s).samples_acked, 50);
	put_ok(s, CLASS_BULK, 1);
	put_ok(s, CLASS_EVENT, 1);
	ck_assert_uint_eq(first_seq(s, CLASS_BULK), 6);
	ck_assert_uint_eq(first_seq(s, CLASS_EVENT), 1);
	store_close(s);
}
END_TEST

START_TEST(another_file_is_another_epoch)
{
	struct store *s = open_store();
	uint64_t epoch = store_epoch(s);

	store_close(s);
	remove_all();
	s = open_store();
	ck_assert_uint_ne(store_epoch(s), epoch);
	store_close(s);
}
END_TEST

START_TEST(receipts_delete_ranges)
{
	struct receipt_range ranges[] = {{1, 2}, {4, 4}, {9, 1000000}, {7, 6}};
	struct store *s = open_store();
	struct store_count count;

	put_ok(s, CLASS_BULK, 10);
	put_ok(s, CLASS_LIVE, 1);
	ck_assert_int_eq(store_ack(s, CLASS_BULK, ranges, 4, &count), 0);
	ck_assert_uint_eq(count.rows, 5);
	ck_assert_uint_eq(first_seq(s, CLASS_BULK), 3);
	ck_assert_uint_eq(store_totals(s).rows, 6);
	ck_assert_uint_eq(store_totals(s).bytes, 6 * ROW);
	ck_assert_uint_eq(first_seq(s, CLASS_LIVE), 1);
	store_close(s);
}
END_TEST

static struct store *open_relaxed(void)
{
	struct store_options opt = {.max_bytes = 8 << 20,
				    .relaxed = 1 << CLASS_BULK,
				    .sync_ns = 10 * NS_PER_S,
				    .tb = &fake.tb};
	struct store_opened opened;
	struct store *s = NULL;
	struct error err;

	ck_assert_msg(store_open(&s, path, &opt, &opened, &err) == 0, "%s", err.text);
	return s;
}

static void put_bulk(struct store *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct store_item it = item(CLASS_BULK);
		struct store_dropped dropped;
		struct store_count stored;

		ck_assert_int_eq(store_put(s, &it, 1, &stored, &dropped), 0);
	}
}

static void ack_bulk(struct store *s, uint64_t through)
{
	struct receipt_range range = {1, through};
	struct store_count count;

	ck_assert_int_eq(store_ack(s, CLASS_BULK, &range, 1, &count), 0);
}

static void tend_when_due(struct store *s, int64_t after_s)
{
	struct mono_time due;

	faulty_vfs_plan(NULL);
	ck_assert(store_flush_due(s, &due));
	timebase_fake_advance(&fake, after_s * NS_PER_S);
	ck_assert_int_eq(due.ns, fake.mono.ns);
	ck_assert_int_eq(store_tend(s), 0);
}

/* A sync of what was inserted does not write more; a receipt that is old does. */
START_TEST(receipts_wait_until_they_are_old)
{
	struct mono_time due;
	struct store *s;

	ck_assert_int_eq(faulty_vfs_install(), 0);
	s = open_relaxed();
	put_bulk(s, 2);
	ck_assert_int_eq(store_flush(s), 0);
	put_bulk(s, 1);
	ack_bulk(s, 2);
	tend_when_due(s, 10);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_WRITE), 0);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_SYNC), 1);
	/* Before it is due, nothing happens. */
	put_bulk(s, 1);
	faulty_vfs_plan(NULL);
	ck_assert_int_eq(store_tend(s), 0);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_CHANGES), 0);
	tend_when_due(s, 10);
	tend_when_due(s, 10);
	ck_assert_uint_gt(faulty_vfs_calls(FAULTY_WRITE), 0);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_SYNC), 0);
	tend_when_due(s, 10);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_SYNC), 1);
	ck_assert(!store_flush_due(s, &due));
	store_close(s);
	faulty_vfs_remove();
}
END_TEST

/* A backlog goes by and by. */
START_TEST(many_receipts_do_not_wait)
{
	enum { ROWS = (1 << 20) / ROW + 1 };
	struct store *s;

	ck_assert_int_eq(faulty_vfs_install(), 0);
	s = open_relaxed();
	put_bulk(s, ROWS + 10);
	ck_assert_int_eq(store_flush(s), 0);
	faulty_vfs_plan(NULL);
	ack_bulk(s, ROWS - 1);
	ck_assert_uint_eq(faulty_vfs_calls(FAULTY_WRITE), 0);
	ack_bulk(s, ROWS);
	ck_assert_uint_gt(faulty_vfs_calls(FAULTY_WRITE), 0);
	ck_assert_uint_eq(store_totals(s).rows, 10);
	/* Where that fails it is tried again with as many more. */
	put_bulk(s, ROWS);
	faulty_vfs_plan(&(struct faulty_plan){.ops = FAULTY_WRITE, .how = FAULTY_EIO, .nth = 1});
	ack_bulk(s, 2 * ROWS);
	ck_assert_uint_eq(faulty_vfs_failed(), 1);
	ck_assert_uint_eq(store_totals(s).rows, 10);
	ck_assert_int_eq(store_flush(s), 0);
	store_close(s);
	s = open_relaxed();
	ck_assert_uint_eq(store_totals(s).rows, 10);
	ck_assert_uint_eq(store_first_seq(s, CLASS_BULK), 2 * ROWS + 1);
	store_close(s);
	faulty_vfs_remove();
}
END_TEST

START_TEST(quota_drops_the_oldest_of_the_least_urgent)
{
	/* Half a row more, for the gaps. */
	struct store *s = open_with(10 * ROW + ROW / 2, 0);
	uint64_t dropped;

	put_ok(s, CLASS_LOG, 3);
	put_ok(s, CLASS_BULK, 4);
	put_ok(s, CLASS_EVENT, 3);
	ck_assert_int_eq(put(s, CLASS_BULK, 1, &dropped), 0);
	ck_assert_uint_eq(dropped, 1);
	ck_assert_uint_eq(first_seq(s, CLASS_LOG), 2);
	ck_assert_int_eq(put(s, CLASS_BULK, 3, &dropped), 0);
	ck_assert_uint_eq(dropped, 3);
	ck_assert_uint_eq(first_seq(s, CLASS_LOG), 0);
	ck_assert_uint_eq(first_seq(s, CLASS_BULK), 2);
	ck_assert_int_eq(put(s, CLASS_EVENT, 10, &dropped), 0);
	ck_assert_uint_eq(dropped, 10);
	ck_assert_uint_eq(first_seq(s, CLASS_EVENT), 4);
	ck_assert_uint_eq(first_seq(s, CLASS_BULK), 0);
	/* Everything left is more urgent: the newcomer is what is dropped. */
	ck_assert_int_eq(put(s, CLASS_LOG, 1, &dropped), 0);
	ck_assert_uint_eq(dropped, 1);
	ck_assert_uint_le(store_totals(s).bytes, 10 * ROW + ROW / 2);
	ck_assert_uint_eq(store_lifetime(s).samples_stored,
			  store_lifetime(s).samples_dropped + store_totals(s).samples);
	store_close(s);
}
END_TEST

START_TEST(full_disk_keeps_what_is_stored)
{
	struct store *s = open_with(1 << 30, 64 << 10);
	struct store_totals before;
	uint64_t dropped, rows, last;

	ck_assert_int_eq(put(s, CLASS_BULK, 1000, &dropped), -ENOSPC);
	before = store_totals(s);
	rows = before.rows;
	last = store_last_seq(s, CLASS_BULK);
	ck_assert_uint_gt(rows, 10);
	ck_assert_uint_eq(last, rows);
	ck_assert_int_eq(put(s, CLASS_BULK, 1, &dropped), -ENOSPC);
	ck_assert_uint_eq(store_totals(s).rows, rows);
	ck_assert_uint_eq(first_seq(s, CLASS_BULK), 1);
	/* Room comes back, and the seq goes on with no gap. */
	ck_assert_uint_eq(ack_range(s, CLASS_BULK, 1, 20), 20);
	put_ok(s, CLASS_BULK, 5);
	ck_assert_uint_eq(store_last_seq(s, CLASS_BULK), last + 5);
	store_close(s);
	s = open_with(1 << 30, 64 << 10);
	ck_assert_uint_eq(store_totals(s).rows, rows - 20 + 5);
	store_close(s);
}
END_TEST

static void write_garbage(const char *name, size_t at, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);
	char junk[4096];

	memset(junk, 0xa7, sizeof(junk));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, junk, n, (off_t)at), (ssize_t)n);
	close(fd);
}

static void check_set_aside(void)
{
	struct store_options opt = {.max_bytes = 1 << 20, .tb = &fake.tb};
	struct store *s = NULL;
	struct error err;
	char aside_path[PATH * 2];
	struct store_opened opened;

	ck_assert_msg(store_open(&s, path, &opt, &opened, &err) == 0, "%s", err.text);
	ck_assert(opened.set_aside);
	ck_assert_uint_eq(store_totals(s).rows, store_totals(s).gaps);
	put_ok(s, CLASS_BULK, 1);
	store_close(s);
	snprintf(aside_path, sizeof(aside_path), "%s.corrupt-1700000000", path);
	ck_assert_int_eq(access(aside_path, F_OK), 0);
}

START_TEST(not_a_database_is_set_aside)
{
	write_garbage(path, 0, 4096);
	check_set_aside();
}
END_TEST

START_TEST(damaged_table_is_set_aside)
{
	struct store *s = open_store();
	struct stat st;

	put_ok(s, CLASS_BULK, 50);
	store_close(s);
	ck_assert_int_eq(stat(path, &st), 0);
	for (off_t at = 4096; at < st.st_size; at += 4096)
		write_garbage(path, (size_t)at, 4096);
	check_set_aside();
}
END_TEST

/* A long row continues on pages that nothing reads at start. */
START_TEST(damage_found_while_running)
{
	static uint8_t long_body[100000];
	struct store_item long_item = {.class = CLASS_BULK,
				       .samples = 10,
				       .encoding = 1,
				       .body = long_body,
				       .body_len = sizeof(long_body)};
	struct store *s = open_store();
	struct store_dropped dropped;
	struct store_count stored;
	struct store_row row;
	struct stat st;

	ck_assert_int_eq(store_put(s, &long_item, 1, &stored, &dropped), 0);
	store_close(s);
	ck_assert_int_eq(stat(path, &st), 0);
	for (off_t back = 10; back > 0; back--)
		write_garbage(path, (size_t)(st.st_size - back * 4096), 4096);
	s = open_store();
	ck_assert_int_eq(store_next(s, CLASS_BULK, 0, &row), -EBADMSG);
	store_suspect(s);
	store_close(s);
	check_set_aside();
	s = open_store(); /* and once only */
	store_suspect(s); /* a false alarm costs nothing */
	put_ok(s, CLASS_BULK, 3);
	store_close(s);
	s = open_store();
	ck_assert_uint_eq(store_totals(s).rows, store_totals(s).gaps + 4);
	store_close(s);
}
END_TEST

START_TEST(quarantine_moves_a_row_and_is_bounded)
{
	struct store *s = open_store();
	struct store_count count;

	put_ok(s, CLASS_BULK, STORE_QUARANTINE_MAX + 10);
	for (uint64_t seq = 1; seq <= STORE_QUARANTINE_MAX + 5; seq++) {
		ck_assert_int_eq(store_quarantine(s, CLASS_BULK, seq, GAP_INVALID, &count), 0);
		ck_assert_uint_eq(count.rows, 1);
	}
	ck_assert_int_eq(store_quarantine(s, CLASS_BULK, 1, GAP_INVALID, &count), 0);
	ck_assert_uint_eq(count.rows, 0);
	ck_assert_uint_eq(store_totals(s).rows, 5);
	ck_assert_uint_eq(store_lifetime(s).samples_quarantined, (STORE_QUARANTINE_MAX + 5) * 10);
	store_close(s);
}
END_TEST

START_TEST(read_only_file_says_so)
{
	struct store_options opt = {.max_bytes = 1 << 20, .tb = &fake.tb};
	struct store *s = open_store();
	struct error err;
	struct store_opened opened;
	int r;

	store_close(s);
	if (geteuid() == 0) { /* root writes to any file: a folder in the way does as well */
		remove_all();
		ck_assert_int_eq(mkdir(path, 0700), 0);
	} else {
		ck_assert_int_eq(chmod(path, 0400), 0);
	}
	r = store_open(&s, path, &opt, &opened, &err);
	(void)rmdir(path);
	ck_assert_int_lt(r, 0);
	ck_assert_ptr_nonnull(strstr(err.text, path));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("outbox");
	int failed;

	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, rows_come_back_in_order);
	tcase_add_test(tc, seq_and_epoch_go_on_after_reopening);
	tcase_add_test(tc, another_file_is_another_epoch);
	tcase_add_test(tc, receipts_delete_ranges);
	tcase_add_test(tc, receipts_wait_until_they_are_old);
	tcase_add_test(tc, many_receipts_do_not_wait);
	tcase_add_test(tc, quota_drops_the_oldest_of_the_least_urgent);
	tcase_add_test(tc, full_disk_keeps_what_is_stored);
	tcase_add_test(tc, not_a_database_is_set_aside);
	tcase_add_test(tc, damaged_table_is_set_aside);
	tcase_add_test(tc, damage_found_while_running);
	tcase_add_test(tc, quarantine_moves_a_row_and_is_bounded);
	tcase_add_test(tc, read_only_file_says_so);
	failed = suite_run("store", &tc, 1);
	remove_all();
	(void)rmdir(dir);
	return failed;
}
