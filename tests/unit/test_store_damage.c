/* A damaged outbox, from store_open's side: what was stored comes out under its name, or a gap
 * does; and no crash while it is taken over loses or doubles any. */
#include "agent/store/salvage.h"
#include "agent/store/store.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 160, SEQS = 200, PUTS = 220, BODY_MAX = 3000, VARIANTS = 60 };

static char dir[64], path[PATH];
static struct timebase_fake fake;
static uint64_t state, epoch;
static uint64_t last_seq[CLASS_COUNT];
static bool acked[CLASS_COUNT][SEQS];
static unsigned here[CLASS_COUNT][SEQS]; /* times that it came out */
static bool in_gap[CLASS_COUNT][SEQS];
static uint64_t n_rows, n_gaps;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static size_t make_body(enum uplink_class class, uint64_t seq, uint8_t *out)
{
	uint64_t x = (seq * CLASS_COUNT + class + 1) * UINT64_C(0x9e3779b97f4a7c15);
	size_t len = 30 + (x >> 20) % (x >> 61 == 0 ? BODY_MAX - 30 : 400);

	for (size_t i = 0; i < len; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		out[i] = (uint8_t)(x >> 56);
	}
	return len;
}

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
	state = 88172645463325252;
	ck_assert_int_eq(faulty_vfs_install(), 0);
}

static void teardown(void)
{
	faulty_vfs_remove();
}

static int open_with(struct store **ret, struct store_opened *opened, int64_t max_bytes)
{
	const struct store_options opt = {.max_bytes = max_bytes, .boot_id = 1, .tb = &fake.tb};
	struct error err;
	int r = store_open(ret, path, &opt, opened, &err);

	if (r < 0 && r != -EIO && r != -ENOSPC && r != -EACCES)
		ck_abort_msg("%d: %s", r, err.text);
	return r;
}

static struct store *must_open(struct store_opened *opened)
{
	struct store *s = NULL;

	ck_assert_int_eq(open_with(&s, opened, 4 << 20), 0);
	return s;
}

static void put(struct store *s, enum uplink_class class)
{
	static uint8_t body[BODY_MAX];
	struct store_item item = {.class = class, .body = body};
	struct store_dropped dropped;
	struct store_count stored;

	ck_assert_uint_lt(last_seq[class] + 1, SEQS);
	item.body_len = make_body(class, last_seq[class] + 1, body);
	item.samples = item.body_len % 20 + 1;
	ck_assert_int_eq(store_put(s, &item, 1, &stored, &dropped), 0);
	last_seq[class]++;
	ck_assert_uint_eq(store_last_seq(s, class), last_seq[class]);
}

static void ack(struct store *s, enum uplink_class class, uint64_t from, uint64_t to)
{
	const struct receipt_range range = {from, to};
	struct store_count count;

	ck_assert_int_eq(store_ack(s, class, &range, 1, &count), 0);
	for (uint64_t seq = from; seq <= to; seq++)
		acked[class][seq] = true;
}

/* An outbox with a history; its log is folded back. */
static void make_outbox(uint64_t seed)
{
	struct store_opened opened;
	struct store *s;

	remove_all();
	memset(last_seq, 0, sizeof(last_seq));
	memset(acked, 0, sizeof(acked));
	state = seed * 2654435761 + 88172645463325252;
	s = must_open(&opened);
	epoch = store_epoch(s);
	for (unsigned i = 0; i < PUTS; i++)
		put(s, i % 2 ? CLASS_BULK : (enum uplink_class)(next_random() % CLASS_COUNT));
	ack(s, CLASS_BULK, 1, 30);
	ack(s, CLASS_BULK, 50, 52);
	ck_assert_int_eq(store_flush(s), 0);
	store_close(s);
}

static void take_row(const struct store *s, const struct store_row *row)
{
	bool old = row->origin_seq != 0;
	uint64_t seq = old ? row->origin_seq : row->seq;
	static uint8_t body[BODY_MAX];
	struct gap gap;

	if (old && row->origin_epoch != epoch)
		return;
	if (!old && store_epoch(s) != epoch)
		return; /* new since */
	if (row->encoding == ENCODING_GAP) {
		ck_assert_int_eq(gap_decode(&gap, seq, row->body, row->body_len, NULL), 0);
		for (; seq <= gap.through && seq < SEQS; seq++)
			in_gap[row->class][seq] = true;
		n_gaps++;
		return;
	}
	ck_assert_uint_lt(seq, SEQS);
	ck_assert_uint_le(seq, last_seq[row->class]);
	ck_assert_uint_eq(row->body_len, make_body(row->class, seq, body));
	ck_assert(memcmp(row->body, body, row->body_len) == 0);
	ck_assert_uint_eq(row->samples, row->body_len % 20 + 1);
	here[row->class][seq]++;
	n_rows++;
}

/* Every seq that was given is here once, in a gap, or acknowledged. */
static void check_all_told(struct store *s)
{
	memset(here, 0, sizeof(here));
	memset(in_gap, 0, sizeof(in_gap));
	n_rows = n_gaps = 0;
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct store_row row;
		uint64_t after = 0;
		int r;

		while ((r = store_next(s, k, after, &row)) == STORE_ROW) {
			after = row.through;
			take_row(s, &row);
		}
		store_release(s);
		ck_assert_int_eq(r, 0);
		for (uint64_t seq = 1; seq <= last_seq[k]; seq++) {
			ck_assert_msg(here[k][seq] <= 1, "class %u seq %u twice", k, (unsigned)seq);
			ck_assert_msg(here[k][seq] + in_gap[k][seq] >= !acked[k][seq],
				      "class %u seq %u", k, (unsigned)seq);
			/* Neither may come first and make the relay drop the other. */
			ck_assert_msg(!here[k][seq] || !in_gap[k][seq], "class %u seq %u both", k,
				      (unsigned)seq);
		}
	}
}

static void overwrite(const char *name, off_t at, const void *data, size_t len)
{
	int fd = open(name, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, len, at), (ssize_t)len);
	close(fd);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? st.st_size : 0;
}

static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char block[4096];
	ssize_t n;

	ck_assert(in >= 0 && out >= 0);
	while ((n = read(in, block, sizeof(block))) > 0)
		ck_assert_int_eq(write(out, block, (size_t)n), n);
	ck_assert_int_eq(n, 0);
	close(in);
	close(out);
}

static void touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* So that every page is looked at. */
static void suspect(void)
{
	touch(name_of(".suspect"));
}

/* A tenth of the pages, the first ones spared: what is left can be opened, and is found damaged. */
static void damage_some_pages(void)
{
	static const uint8_t junk[512] = {0xa5};
	off_t size = size_of(path);

	for (off_t at = 40 * 512; at + 512 <= size; at += 512)
		if (next_random() % 10 == 0)
			overwrite(path, at, junk, sizeof(junk));
	suspect();
}

/* ---- whole and in part ---- */

START_TEST(damage_at_random)
{
	struct store_opened opened;
	struct store *s;
	uint8_t byte;

	make_outbox(1 + (uint64_t)_i / 10);
	state += (uint64_t)_i * 7919;
	for (unsigned i = 0; i < 1 + (unsigned)_i % 5; i++) {
		off_t at = (off_t)(next_random() % (uint64_t)size_of(path));

		byte = (uint8_t)next_random();
		if (_i % 4 == 3)
			ck_assert_int_eq(truncate(path, at < 8192 ? 8192 : at), 0);
		else
			overwrite(path, at, &byte, 1);
	}
	suspect();
	s = must_open(&opened);
	check_all_told(s);
	if (opened.set_aside)
		ck_assert_uint_eq(n_rows, opened.salvaged_rows);
	else
		ck_assert_uint_eq(store_epoch(s), epoch);
	store_close(s);
	s = must_open(&opened);
	ck_assert(!opened.set_aside && opened.salvaged_rows == 0);
	check_all_told(s);
	store_close(s);
}
END_TEST

START_TEST(most_of_it_comes_over)
{
	struct store_opened opened;
	struct store *s;

	make_outbox(3);
	damage_some_pages();
	s = must_open(&opened);
	ck_assert(opened.set_aside && !opened.unfinished);
	ck_assert_uint_ne(store_epoch(s), epoch);
	ck_assert_uint_gt(opened.salvaged_rows, PUTS / 3);
	ck_assert_uint_gt(opened.unreadable_rows, 0);
	check_all_told(s);
	ck_assert_uint_gt(n_gaps, 5);
	ck_assert_int_eq(access(name_of(".salvage"), F_OK), -1);
	ck_assert_int_eq(access(name_of(".corrupt-1700000000"), F_OK), 0);
	store_close(s);
}
END_TEST

/* The epoch is read in the note, where nothing else is left. */
START_TEST(nothing_comes_over_and_all_is_told)
{
	struct store_opened opened;
	struct store *s;

	make_outbox(4);
	ck_assert_int_eq(truncate(path, 0), 0);
	overwrite(path, 0, "not a database, but long enough to be one", 40);
	s = must_open(&opened);
	ck_assert(opened.set_aside);
	check_all_told(s);
	ck_assert_uint_eq(n_rows, 0);
	ck_assert_uint_eq(n_gaps, CLASS_COUNT);
	store_close(s);
}
END_TEST

START_TEST(damaged_twice)
{
	struct store_opened opened;
	struct store *s;

	make_outbox(5);
	damage_some_pages();
	s = must_open(&opened);
	check_all_told(s);
	store_close(s);
	timebase_fake_advance(&fake, 60 * NS_PER_S);
	damage_some_pages();
	s = must_open(&opened);
	ck_assert(opened.set_aside);
	ck_assert_uint_gt(opened.salvaged_rows, 10);
	/* Under the first epoch's names, and what is lost is told in the first epoch. */
	check_all_told(s);
	ck_assert_uint_eq(n_rows, opened.salvaged_rows);
	ck_assert_int_eq(access(name_of(".corrupt-1700000000"), F_OK), -1);
	ck_assert_int_eq(access(name_of(".corrupt-1700000060"), F_OK), 0);
	store_close(s);
}
END_TEST

/* The second time nothing can be read, not even that there were rows of the first epoch. */
START_TEST(damaged_twice_and_nothing_left)
{
	struct store_opened opened;
	struct store *s;

	make_outbox(5);
	damage_some_pages();
	s = must_open(&opened);
	check_all_told(s);
	store_close(s);
	ck_assert_int_eq(truncate(path, 0), 0);
	if (_i)
		overwrite(path, 0, "not a database, but long enough to be one", 40);
	s = must_open(&opened);
	ck_assert(opened.set_aside);
	check_all_told(s);
	ck_assert_uint_eq(n_rows, 0);
	ck_assert_uint_eq(n_gaps, CLASS_COUNT);
	store_close(s);
}
END_TEST

/* What was taken over is in the file: a log that is lost right after takes nothing along. */
START_TEST(log_is_lost_after_salvaging)
{
	struct store_opened opened;
	char work[PATH + 32], note[PATH + 32];
	struct store *s;
	uint64_t rows;

	make_outbox(3);
	damage_some_pages();
	s = must_open(&opened);
	rows = opened.salvaged_rows;
	snprintf(work, sizeof(work), "%s.copy", path);
	snprintf(note, sizeof(note), "%s.copy.unsaved", path);
	copy_file(path, work);
	copy_file(name_of(".unsaved"), note);
	store_close(s);
	ck_assert_int_eq(rename(work, path), 0);
	ck_assert_int_eq(rename(note, name_of(".unsaved")), 0);
	s = must_open(&opened);
	ck_assert(!opened.set_aside);
	check_all_told(s);
	ck_assert_uint_eq(n_rows, rows);
	store_close(s);
}
END_TEST

/* The relay has all of it, says so, and forgets it: also what had the old names. */
START_TEST(relay_forgets_what_came_over)
{
	struct receipt_range range = {1, 0};
	struct store_opened opened;
	struct store_count count;
	struct store *s;

	make_outbox(5);
	damage_some_pages();
	s = must_open(&opened);
	range.to = store_last_seq(s, CLASS_BULK) - 1;
	ck_assert_int_eq(store_ack(s, CLASS_BULK, &range, 1, &count), 0);
	ck_assert_uint_gt(count.rows, 10);
	ck_assert_int_eq(store_put_receipted(s, CLASS_BULK, &range), 0);
	check_all_told(s);
	for (uint64_t seq = 1; seq <= last_seq[CLASS_BULK]; seq++)
		ck_assert_uint_eq(here[CLASS_BULK][seq] + in_gap[CLASS_BULK][seq], 1);
	store_close(s);
}
END_TEST

START_TEST(quota_holds)
{
	struct store_opened opened;
	struct store *s = NULL;

	make_outbox(6);
	damage_some_pages();
	ck_assert_int_eq(open_with(&s, &opened, 24 << 10), 0);
	ck_assert(opened.set_aside && !opened.unfinished);
	ck_assert_uint_gt(opened.dropped.by[GAP_QUOTA].rows, 10);
	check_all_told(s);
	ck_assert_uint_gt(n_rows, 5);
	store_close(s);
}
END_TEST

static uint64_t count_told(struct store *s, enum gap_reason reason)
{
	uint64_t batches = 0;

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct store_row row;
		uint64_t at = 0;
		struct gap gap;

		while (store_next(s, (enum uplink_class)k, at, &row) == STORE_ROW) {
			uint64_t from = row.origin_seq ? row.origin_seq : row.seq;

			at = row.through;
			if (row.encoding != ENCODING_GAP)
				continue;
			ck_assert_int_eq(gap_decode(&gap, from, row.body, row.body_len, NULL), 0);
			batches += gap.reason == reason ? gap.batches : 0;
		}
		store_release(s);
	}
	return batches;
}

/* What was dropped while the disk got full is counted once, where it was committed. */
START_TEST(dropped_is_counted_once)
{
	const struct faulty_plan none = {0};
	struct store_opened opened;
	struct store *s = NULL;
	uint64_t n;

	make_outbox(6);
	damage_some_pages();
	faulty_vfs_plan(&none);
	ck_assert_int_eq(open_with(&s, &opened, 24 << 10), 0);
	n = faulty_vfs_calls(FAULTY_WRITE);
	store_close(s);
	for (uint64_t nth = 1; nth <= n; nth += (n + 39) / 40) {
		const struct faulty_plan plan = {
			.ops = FAULTY_WRITE, .how = FAULTY_ENOSPC, .nth = nth, .stays = true};
		uint64_t dropped = 0;

		make_outbox(6);
		damage_some_pages();
		faulty_vfs_plan(&plan);
		s = NULL;
		if (open_with(&s, &opened, 24 << 10) == 0)
			dropped = opened.dropped.by[GAP_QUOTA].rows;
		faulty_vfs_plan(NULL);
		store_close(s);
		s = NULL;
		ck_assert_int_eq(open_with(&s, &opened, 24 << 10), 0);
		dropped += opened.dropped.by[GAP_QUOTA].rows;
		ck_assert_uint_gt(dropped, 10);
		ck_assert_uint_eq(count_told(s, GAP_QUOTA), dropped);
		store_close(s);
	}
}
END_TEST

/* A killed agent's log has a bad spot. SQLite takes it for the end of the log, and would go on with
 * seqs that are given already. */
START_TEST(bad_spot_in_the_log)
{
	struct store_opened opened;
	char work[PATH + 32], log[PATH + 32];
	struct store *s;
	off_t at;

	make_outbox(11);
	s = must_open(&opened);
	for (unsigned i = 0; i < 20; i++)
		put(s, i % 2 ? CLASS_BULK : CLASS_EVENT);
	snprintf(work, sizeof(work), "%s.copy", path);
	snprintf(log, sizeof(log), "%s.copy-wal", path);
	copy_file(path, work);
	copy_file(name_of("-wal"), log);
	store_close(s);
	ck_assert_int_eq(rename(work, path), 0);
	ck_assert_int_eq(rename(log, name_of("-wal")), 0);
	at = _i == 0 ? 8 : 32 + (512 + 24) * (4 + (off_t)_i * 3) + 100;
	ck_assert_int_gt(size_of(name_of("-wal")), at + 5000);
	overwrite(name_of("-wal"), at, "\xee\xdd\xcc", 3);
	s = must_open(&opened);
	ck_assert(opened.set_aside);
	check_all_told(s);
	/* All but what lay on the bad spot. */
	ck_assert_uint_gt(opened.salvaged_rows, PUTS - 33 + 20 - 5);
	store_close(s);
}
END_TEST

/* ---- in the middle ---- */

START_TEST(power_cut_while_salvaging)
{
	const struct faulty_plan none = {0};
	struct store_opened opened;
	struct store *s;
	uint64_t n, rows;

	make_outbox(7);
	damage_some_pages();
	faulty_vfs_plan(&none);
	s = must_open(&opened);
	n = faulty_vfs_calls(FAULTY_CHANGES);
	rows = opened.salvaged_rows;
	store_close(s);
	for (uint64_t at = 1 + (uint64_t)_i; at <= n; at += 37) {
		const struct faulty_plan plan = {.cut_at = at, .seed = at};

		faulty_vfs_remove();
		make_outbox(7);
		damage_some_pages();
		ck_assert_int_eq(faulty_vfs_install(), 0);
		faulty_vfs_plan(&plan);
		if (open_with(&s, &opened, 4 << 20) == 0)
			store_close(s);
		ck_assert(faulty_vfs_is_off());
		(void)faulty_vfs_power_on();
		s = must_open(&opened);
		ck_assert(!opened.unfinished);
		check_all_told(s);
		ck_assert_uint_eq(n_rows, rows);
		store_close(s);
	}
}
END_TEST

/* The disk is full: the agent works with what there was room for, and goes on at the next start. */
START_TEST(disk_full_while_salvaging)
{
	const struct faulty_plan none = {0};
	struct store_opened opened;
	unsigned unfinished = 0;
	struct store *s;
	uint64_t rows, n;

	make_outbox(8);
	damage_some_pages();
	faulty_vfs_plan(&none);
	s = must_open(&opened);
	n = faulty_vfs_calls(FAULTY_WRITE);
	rows = opened.salvaged_rows;
	store_close(s);
	for (uint64_t nth = 1; nth <= n; nth += (n + 11) / 12) {
		const struct faulty_plan plan = {
			.ops = FAULTY_WRITE, .how = FAULTY_ENOSPC, .nth = nth, .stays = true};

		make_outbox(8);
		damage_some_pages();
		faulty_vfs_plan(&plan);
		s = NULL;
		if (open_with(&s, &opened, 4 << 20) == 0)
			unfinished += opened.unfinished;
		faulty_vfs_plan(NULL);
		store_close(s);
		s = must_open(&opened);
		ck_assert(!opened.set_aside && !opened.unfinished);
		check_all_told(s);
		ck_assert_uint_eq(n_rows, rows);
		store_close(s);
	}
	ck_assert_uint_gt(unfinished, 2);
}
END_TEST

/* ---- the files beside it ---- */

/* What a crash leaves at each of the steps of setting aside. */
START_TEST(setting_aside_is_made_good)
{
	struct store_opened opened;
	struct salvage_aside aside;
	struct error err;
	struct store *s;
	FILE *marker;

	make_outbox(9);
	touch(name_of("-wal"));
	marker = fopen(name_of(".salvage"), "w");
	fprintf(marker, "%016" PRIx64 " .corrupt-1699999999\n", epoch);
	fclose(marker);
	if (_i > 0)
		ck_assert_int_eq(rename(name_of("-wal"), name_of(".corrupt-1699999999-wal")), 0);
	if (_i > 1)
		ck_assert_int_eq(rename(path, name_of(".corrupt-1699999999")), 0);
	ck_assert_int_eq(salvage_pending(path, &aside, &err), SALVAGE_PENDING);
	ck_assert_uint_eq(aside.epoch, epoch);
	ck_assert_str_eq(aside.path, name_of(".corrupt-1699999999"));
	s = must_open(&opened);
	/* It was not even damaged, but once it is set aside there is no way back. */
	ck_assert_uint_ne(store_epoch(s), epoch);
	ck_assert_uint_eq(opened.salvaged_rows, PUTS - 33);
	check_all_told(s);
	ck_assert_int_eq(salvage_pending(path, &aside, &err), 0);
	store_close(s);
}
END_TEST

START_TEST(marker_that_says_nothing)
{
	struct store_opened opened;
	struct store *s;

	make_outbox(10);
	ck_assert_int_eq(rename(path, name_of(".corrupt-1699999999")), 0);
	touch(name_of(".salvage"));
	s = must_open(&opened);
	ck_assert_uint_eq(opened.salvaged_rows, PUTS - 33);
	check_all_told(s);
	store_close(s);
	remove_all();
	touch(name_of(".salvage"));
	s = must_open(&opened);
	ck_assert_uint_eq(opened.salvaged_rows, 0);
	store_close(s);
}
END_TEST

/* Told once, whenever the agent ends after that. */
START_TEST(unsaved_batches_are_told_once)
{
	struct store_opened opened;
	struct store *s = must_open(&opened);
	uint64_t gaps;

	ck_assert_int_eq(store_note_unsaved(s, CLASS_BULK, 3, 30), 0);
	ck_assert_int_eq(store_note_unsaved(s, CLASS_BULK, 1, 5), 0);
	store_close(s);
	s = must_open(&opened);
	ck_assert_uint_eq(opened.unsaved_batches, 4);
	gaps = store_totals(s).gaps;
	ck_assert_uint_eq(gaps, 1);
	store_close(s);
	s = must_open(&opened);
	ck_assert_uint_eq(opened.unsaved_batches, 0);
	ck_assert_uint_eq(store_totals(s).gaps, gaps);
	store_close(s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("damage");
	int failed;

	snprintf(dir, sizeof(dir), "%s/towline-damage-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, damage_at_random, 0, VARIANTS);
	tcase_add_test(tc, most_of_it_comes_over);
	tcase_add_test(tc, nothing_comes_over_and_all_is_told);
	tcase_add_test(tc, damaged_twice);
	tcase_add_loop_test(tc, damaged_twice_and_nothing_left, 0, 2);
	tcase_add_test(tc, log_is_lost_after_salvaging);
	tcase_add_test(tc, relay_forgets_what_came_over);
	tcase_add_test(tc, quota_holds);
	tcase_add_test(tc, dropped_is_counted_once);
	tcase_add_loop_test(tc, bad_spot_in_the_log, 0, 4);
	tcase_add_loop_test(tc, power_cut_while_salvaging, 0, 4);
	tcase_add_test(tc, disk_full_while_salvaging);
	tcase_add_loop_test(tc, setting_aside_is_made_good, 0, 3);
	tcase_add_test(tc, marker_that_says_nothing);
	tcase_add_test(tc, unsaved_batches_are_told_once);
	failed = suite_run("store_damage", &tc, 1);
	remove_all();
	(void)rmdir(dir);
	return failed;
}
