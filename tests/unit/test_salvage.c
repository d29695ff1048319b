#include "tests/unit/salvage_fixture.h"
#include "tests/unit/seal_fixture.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/towline-salvage-XXXXXX";
static char path[SALVAGE_OUTBOX_PATH];
static struct salvage_result res;
static uint64_t state;
static struct timebase_fake fake;

enum { VARIANTS = 100, TEST_ROWS = 600 };

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void setup(void)
{
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	state = 88172645463325252;
	got_reset();
}

static void teardown(void)
{
	got_free();
}

static void make(uint64_t seed, bool keep_log)
{
	const struct salvage_draft d = {
		.seed = seed,
		.rows = TEST_ROWS,
		.transactions = 12,
		.deletes = true,
		.keep_log = keep_log,
	};

	make_outbox(path, &d);
}

static void salvage(uint64_t noted_epoch)
{
	ck_assert_int_eq(salvage_into(path, noted_epoch, NULL, &res), 0);
	ck_assert_uint_eq(res.rows, got.rows);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? st.st_size : 0;
}

static void overwrite(const char *name, off_t at, const void *data, size_t len)
{
	int fd = open(name, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, len, at), (ssize_t)len);
	close(fd);
}

static void flip(const char *name, off_t at)
{
	int fd = open(name, O_RDWR);
	uint8_t b;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &b, 1, at), 1);
	b ^= (uint8_t)(1U << next_random() % 8);
	ck_assert_int_eq(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

static const char *log_path(void)
{
	static char name[SALVAGE_OUTBOX_PATH + 8];

	snprintf(name, sizeof(name), "%s-wal", path);
	return name;
}

/* ---- files that are whole ---- */

START_TEST(whole_file_comes_over_in_order)
{
	make(1, false);
	salvage(0);
	ck_assert(!res.damaged);
	ck_assert_uint_eq(res.epoch, SALVAGE_EPOCH);
	ck_assert_uint_eq(res.rows, made.n_is);
	ck_assert_uint_eq(res.raw_rows, 0);
	ck_assert_uint_eq(got.ageless, 0);
	ck_assert(got.in_order);
	ck_assert_uint_gt(got.commits, 2);
	check_all_told();
}
END_TEST

START_TEST(committed_frames_of_the_log_count)
{
	make(2, true);
	ck_assert_int_gt(size_of(log_path()), 100 * 1024);
	salvage(0);
	ck_assert(!res.damaged);
	ck_assert_uint_eq(res.rows, made.n_is);
	check_all_told();
}
END_TEST

START_TEST(without_its_log_what_the_file_has)
{
	make(2, true);
	ck_assert_int_eq(unlink(log_path()), 0);
	salvage(0);
	ck_assert_uint_gt(res.rows, 0);
	check_all_told();
}
END_TEST

/* ---- damage that is known ---- */

/* SQLite would stop at the break; the rows of the commits behind it are there all the same. */
START_TEST(rows_behind_a_break_of_the_log)
{
	make(3, true);
	flip(log_path(), 32 + 3 * (24 + SALVAGE_PAGE) + 24 + 100);
	salvage(0);
	ck_assert(res.damaged);
	check_all_told();
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		ck_assert_uint_eq(got.times[k][made.last_seq[k]], 1);
}
END_TEST

static void check_page_lost(uint32_t page)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		for (uint64_t seq = 1; seq <= made.last_seq[k]; seq++) {
			const struct made_row *row = &made.rows[k][seq];
			bool hit = false;

			for (size_t i = 0; i < row->n_pages; i++)
				hit = hit || row->pages[i] == page;
			if (row->is)
				ck_assert_msg(got.times[k][seq] == 1 || hit,
					      "page %u: class %u seq %u", page, k, (unsigned)seq);
		}
	}
}

/* Each page in turn: inner nodes, leaves, pages of long rows, the schema, the small tables. */
START_TEST(each_page_lost_costs_its_rows_only)
{
	static uint8_t junk[SALVAGE_PAGE], saved[SALVAGE_PAGE];
	uint32_t pages;
	int fd;

	make(4, false);
	find_pages(path);
	pages = (uint32_t)(size_of(path) / SALVAGE_PAGE);
	fd = open(path, O_RDONLY);
	ck_assert_uint_gt(pages, 50);
	for (uint32_t page = 1; page <= pages; page++) {
		off_t at = (off_t)(page - 1) * SALVAGE_PAGE;

		for (size_t i = 0; i < sizeof(junk); i++)
			junk[i] = page % 2 ? (uint8_t)next_random() : 0;
		ck_assert_int_eq(pread(fd, saved, SALVAGE_PAGE, at), SALVAGE_PAGE);
		overwrite(path, at, junk, SALVAGE_PAGE);
		got_reset();
		salvage(SALVAGE_EPOCH);
		check_all_told();
		check_page_lost(page);
		overwrite(path, at, saved, SALVAGE_PAGE);
	}
	close(fd);
}
END_TEST

START_TEST(lost_epoch_is_found_in_the_note)
{
	static uint8_t zeros[SALVAGE_PAGE];
	uint64_t rows;

	make(5, false);
	overwrite(path, 0, zeros, sizeof(zeros));
	salvage(0); /* its page is found without the schema */
	ck_assert_uint_eq(res.epoch, SALVAGE_EPOCH);
	rows = res.rows;
	ck_assert_uint_ge(rows, made.n_is);
	overwrite(path, SALVAGE_PAGE, zeros, sizeof(zeros));
	got_reset();
	salvage(0);
	ck_assert_uint_eq(res.rows, 0);
	ck_assert_uint_eq(got.gap_calls, 0);
	got_reset();
	salvage(SALVAGE_EPOCH);
	ck_assert_uint_eq(res.rows, rows);
	check_all_told();
}
END_TEST

START_TEST(no_database_at_all)
{
	static const char text[] = "this is no database";
	int fd;

	make(6, false);
	fd = open(path, O_WRONLY | O_TRUNC);
	ck_assert_int_eq(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
	salvage(SALVAGE_EPOCH);
	ck_assert(res.damaged);
	ck_assert_uint_eq(res.rows, 0);
	check_all_told();
	ck_assert_int_eq(unlink(path), 0);
	got_reset();
	salvage(SALVAGE_EPOCH);
	check_all_told();
}
END_TEST

/* ---- damage at random ---- */

static void damage_once(const char *name)
{
	static const uint8_t zeros[SALVAGE_PAGE];
	off_t size = size_of(name), at = (off_t)(next_random() % (uint64_t)size);
	uint8_t junk[64];

	switch (next_random() % 5) {
	case 0:
		overwrite(name, at / SALVAGE_PAGE * SALVAGE_PAGE, zeros, sizeof(zeros));
		break;
	case 1:
		ck_assert_int_eq(truncate(name, at), 0);
		break;
	case 2:
		for (size_t i = 0; i < sizeof(junk); i++)
			junk[i] = (uint8_t)next_random();
		overwrite(name, at, junk, sizeof(junk));
		break;
	default:
		flip(name, at);
		flip(name, (off_t)(next_random() % (uint64_t)size));
	}
}

START_TEST(random_damage)
{
	bool keep_log = _i % 2;

	state += (uint64_t)_i * 7919;
	make(100 + (uint64_t)_i / 8, keep_log);
	for (uint64_t n = next_random() % 4; n < 4; n++)
		damage_once(keep_log && next_random() % 2 ? log_path() : path);
	salvage(_i % 3 ? SALVAGE_EPOCH : 0);
	if (res.epoch == SALVAGE_EPOCH || res.rows > 0)
		check_all_told();
	else
		ck_assert_uint_eq(got.rows, 0);
}
END_TEST

/* ---- in the middle ---- */

/* The disk is full, or the agent ends: what comes later begins where that stopped. */
START_TEST(begins_again_where_it_stopped)
{
	make(7, true);
	got.fail_after = 100;
	ck_assert_int_eq(salvage_into(path, 0, NULL, &res), -ENOSPC);
	got.fail_after = 0;
	ck_assert_int_eq(salvage_into(path, 0, NULL, &res), 0);
	ck_assert_uint_eq(res.known_rows, 100);
	ck_assert_uint_eq(res.rows, made.n_is - 100);
	check_all_told();
}
END_TEST

START_TEST(first_origin_is_kept)
{
	const struct salvage_draft d = {.seed = 8, .rows = 300, .transactions = 3, .origins = true};

	make_outbox(path, &d);
	salvage(0);
	ck_assert_uint_eq(res.rows, made.n_is);
	ck_assert_uint_gt(got.others, 50);
	check_all_told();
	/* Under the name that it had in between it will not come, nor anything else of either. */
	for (uint64_t seq = 5; seq <= made.last_seq[CLASS_BULK]; seq += 5) {
		ck_assert(seq_set_has(&got.gaps[CLASS_BULK], seq));
		ck_assert(!seq_set_has(&got.other_gaps[CLASS_BULK], seq + 1000));
		ck_assert(seq_set_has(&got.other_gaps[CLASS_BULK], seq + 1001));
	}
}
END_TEST

/* ---- encrypted ---- */

static struct seal *make_seal(const char *name, int value)
{
	const struct seal_options opt = {
		.key_file = seal_key_file(name, value), .data_key_max_rows = 60, .tb = &fake.tb};

	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
	return seal_must_new(&opt);
}

START_TEST(sealed_rows_come_over_with_their_key)
{
	struct salvage_draft d = {.seed = 9, .rows = 200, .transactions = 4};
	static const uint8_t zeros[SALVAGE_PAGE];
	struct seal *seal, *other;

	seal_set_up();
	seal = make_seal("one", 1);
	other = make_seal("other", 2);
	d.seal = seal;
	make_outbox(path, &d);
	ck_assert_int_eq(salvage_into(path, 0, NULL, &res), -ENOKEY);
	ck_assert_int_eq(salvage_into(path, 0, other, &res), -ENOKEY);
	ck_assert_uint_eq(got.rows + got.gap_calls, 0);
	ck_assert_int_eq(salvage_into(path, 0, seal, &res), 0);
	ck_assert_uint_eq(res.rows, made.n_is);
	check_all_told();
	/* The schema is lost; keys are found by their shape, and prove themselves. */
	overwrite(path, 0, zeros, sizeof(zeros));
	got_reset();
	ck_assert_int_eq(salvage_into(path, 0, seal, &res), 0);
	ck_assert_uint_eq(res.rows, made.n_is);
	check_all_told();
	seal_free(seal);
	seal_free(other);
	seal_tear_down();
}
END_TEST

static void remove_all(void)
{
	static const char *const names[] = {"outbox.db", "outbox.db-wal"};
	char name[SALVAGE_OUTBOX_PATH];

	for (size_t i = 0; i < array_len(names); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		(void)unlink(name);
	}
	(void)rmdir(dir);
}

int main(void)
{
	TCase *tc = tcase_create("salvage");
	int failed;

	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, whole_file_comes_over_in_order);
	tcase_add_test(tc, committed_frames_of_the_log_count);
	tcase_add_test(tc, without_its_log_what_the_file_has);
	tcase_add_test(tc, rows_behind_a_break_of_the_log);
	tcase_add_test(tc, each_page_lost_costs_its_rows_only);
	tcase_add_test(tc, lost_epoch_is_found_in_the_note);
	tcase_add_test(tc, no_database_at_all);
	tcase_add_loop_test(tc, random_damage, 0, VARIANTS);
	tcase_add_test(tc, begins_again_where_it_stopped);
	tcase_add_test(tc, first_origin_is_kept);
	tcase_add_test(tc, sealed_rows_come_over_with_their_key);
	failed = suite_run("salvage", &tc, 1);
	remove_all();
	return failed;
}
