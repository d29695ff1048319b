/* The outbox on a disk that fails, at each of its calls in turn, and that loses its power. */
#include "agent/store/store.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/suite.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	PATH = 128,
	IDS = 400,   /* batches that a test may make */
	SEQS = 1200, /* of a class and epoch */
	BODY_MAX = 1600,
	STEPS = 30,
};

/* In memory where there is such a place: what is lost is up to the fake. */
static char dir[64];
static char path[PATH];
static struct timebase_fake fake;

/* ---- what the test knows ---- */

enum fate { UNKNOWN, FAILED, STORED };

struct made {
	enum uplink_class class;
	enum fate fate;
	bool synced; /* stored, and on disk for sure */
	bool handed; /* came from store_next: the relay may have it */
	bool acked;  /* the relay has it: need not come again */
	uint64_t epoch, seq;
	unsigned here; /* times that it is in the outbox now */
};

static struct made all[IDS];
static size_t n_all;
/* What has been handed out under a name: id + 1. It is never another thing. */
static uint16_t handed_as[2][CLASS_COUNT][SEQS];
static uint64_t epochs[2];
static bool in_gap[2][CLASS_COUNT][SEQS];
static uint64_t boot;

static size_t epoch_index(uint64_t epoch)
{
	for (size_t i = 0; i < 2; i++) {
		if (epochs[i] == 0)
			epochs[i] = epoch;
		if (epochs[i] == epoch)
			return i;
	}
	ck_abort_msg("a third epoch");
}

static size_t make_body(size_t id, uint8_t *out)
{
	size_t len = 40 + id * 137 % (BODY_MAX - 40);

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(id * 31 + i * (id % 7 + 1));
	memcpy(out, &id, sizeof(id));
	return len;
}

static bool is_urgent(enum uplink_class class)
{
	return class == CLASS_EVENT || class == CLASS_LIVE;
}

/* ---- the store ---- */

static int open_store(struct store **ret)
{
	struct store_options opt = {
		.max_bytes = 1 << 20,
		.relaxed = 1 << CLASS_BULK | 1 << CLASS_LOG | 1 << CLASS_STATUS,
		.sync_ns = NS_PER_S,
		.boot_id = boot,
		.tb = &fake.tb,
	};
	struct store_opened opened;
	struct error err;
	int r = store_open(ret, path, &opt, &opened, &err);

	/* An I/O error is no reason to give up a file. */
	ck_assert_msg(r < 0 || !opened.set_aside, "set aside");
	ck_assert_msg(r == 0 || r == -EIO || r == -ENOSPC || r == -EACCES, "%s", err.text);
	return r;
}

static struct store *must_open(void)
{
	struct store *s = NULL;

	ck_assert_int_eq(open_store(&s), 0);
	return s;
}

static void note_synced(void)
{
	for (size_t i = 0; i < n_all; i++)
		all[i].synced = all[i].synced || all[i].fate == STORED;
}

static int put(struct store *s, const size_t *ids, size_t n)
{
	static uint8_t bodies[3][BODY_MAX];
	struct store_item items[3];
	struct store_dropped dropped;
	struct store_count stored;
	bool urgent = false;
	uint64_t seq[CLASS_COUNT];
	int r;

	for (size_t i = 0; i < n; i++) {
		items[i] = (struct store_item){
			.class = all[ids[i]].class,
			.samples = ids[i] % 50 + 1,
			.body = bodies[i],
			.body_len = make_body(ids[i], bodies[i]),
		};
		urgent = urgent || is_urgent(items[i].class);
	}
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		seq[k] = store_last_seq(s, k);
	r = store_put(s, items, n, &stored, &dropped);
	for (size_t i = 0; i < n; i++) {
		struct made *m = &all[ids[i]];

		m->fate = r < 0 ? FAILED : STORED;
		if (r < 0)
			continue;
		m->epoch = store_epoch(s);
		m->seq = ++seq[m->class];
	}
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		ck_assert_uint_eq(store_last_seq(s, k), seq[k]);
	if (r == 0 && urgent)
		note_synced();
	return r;
}

/* A new batch or more, into some classes. */
static void put_new(struct store *s, size_t n, unsigned step)
{
	size_t ids[3];

	for (size_t i = 0; i < n; i++) {
		ids[i] = n_all;
		ck_assert_uint_lt(n_all, IDS);
		all[n_all++] = (struct made){.class = (step * 3 + i * 2) % CLASS_COUNT};
	}
	(void)put(s, ids, n);
}

static void retry_failed(struct store *s)
{
	for (size_t id = 0; id < n_all; id++)
		if (all[id].fate == FAILED)
			ck_assert_int_eq(put(s, &id, 1), 0);
}

static void see_row(const struct store *s, const struct store_row *row)
{
	size_t e = epoch_index(row->origin_seq ? row->origin_epoch : store_epoch(s));
	uint64_t seq = row->origin_seq ? row->origin_seq : row->seq;
	uint8_t body[BODY_MAX];
	size_t id;

	ck_assert_uint_ge(row->body_len, sizeof(id));
	memcpy(&id, row->body, sizeof(id));
	ck_assert_uint_lt(id, n_all);
	ck_assert_uint_eq(row->body_len, make_body(id, body));
	ck_assert(memcmp(row->body, body, row->body_len) == 0);
	ck_assert_uint_lt(seq, SEQS);
	ck_assert_uint_eq(row->samples, id % 50 + 1);
	/* The relay would drop the second as a duplicate. */
	ck_assert_msg(handed_as[e][row->class][seq] == 0 || handed_as[e][row->class][seq] == id + 1,
		      "class %d seq %u is two batches", row->class, (unsigned)seq);
	handed_as[e][row->class][seq] = (uint16_t)(id + 1);
	all[id].handed = true;
	all[id].here++;
}

static void see_gap(const struct store *s, const struct store_row *row)
{
	size_t e = epoch_index(row->origin_seq ? row->origin_epoch : store_epoch(s));
	uint64_t from = row->origin_seq ? row->origin_seq : row->seq;
	struct gap gap;

	ck_assert_int_eq(gap_decode(&gap, from, row->body, row->body_len, NULL), 0);
	for (uint64_t seq = from; seq <= gap.through && seq < SEQS; seq++)
		in_gap[e][row->class][seq] = true;
}

/* What a connection would do: all rows of all classes, in order. Returns 0 or -errno. */
static int hand_out(struct store *s)
{
	for (size_t i = 0; i < n_all; i++)
		all[i].here = 0;
	memset(in_gap, 0, sizeof(in_gap));
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct store_row row;
		uint64_t after = 0;
		int r;

		while ((r = store_next(s, k, after, &row)) == STORE_ROW) {
			if (row.encoding == ENCODING_GAP)
				see_gap(s, &row);
			else
				see_row(s, &row);
			ck_assert_uint_gt(row.through, after);
			after = row.through;
		}
		store_release(s);
		ck_assert_int_ne(r, -EBADMSG);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A receipt for each third batch that was handed out. */
static void ack_some(struct store *s, unsigned step)
{
	for (size_t id = step % 3; id < n_all; id += 3) {
		struct receipt_range range = {all[id].seq, all[id].seq};
		struct store_count count;

		if (!all[id].handed || all[id].acked || all[id].fate != STORED)
			continue;
		if (store_ack(s, all[id].class, &range, 1, &count) == 0)
			all[id].acked = true;
	}
}

static void do_step(struct store *s, unsigned step)
{
	put_new(s, 1 + step % 3, step);
	if (step % 4 == 3)
		(void)hand_out(s);
	if (step % 6 == 5)
		ack_some(s, step);
	if (step % 7 == 6 && store_flush(s) == 0)
		note_synced();
	timebase_fake_advance(&fake, NS_PER_S / 4);
}

/* The whole story; ends early where the power is gone. Returns the open store, NULL: it could not
 * be opened. */
static struct store *run_story(void)
{
	struct store *s = NULL;

	if (open_store(&s) < 0)
		return NULL;
	for (unsigned step = 0; step < STEPS && !faulty_vfs_is_off(); step++)
		do_step(s, step);
	return s;
}

/* Everything that was said to be stored is here as it was, or in a gap; all that was synced is
 * here. Nothing is here twice. */
static void check_kept(struct store *s, bool cut)
{
	ck_assert_int_eq(hand_out(s), 0);
	for (size_t id = 0; id < n_all; id++) {
		const struct made *m = &all[id];

		ck_assert_msg(m->here <= 1, "%zu is here %u times", id, m->here);
		if (m->fate != STORED || m->here == 1 || m->acked)
			continue;
		ck_assert_msg(cut && !m->synced, "%zu is lost: class %d seq %u", id, m->class,
			      (unsigned)m->seq);
		ck_assert_msg(in_gap[epoch_index(m->epoch)][m->class][m->seq],
			      "%zu is lost and not told: class %d seq %u", id, m->class,
			      (unsigned)m->seq);
	}
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

static void start_over(void)
{
	remove_all();
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
	memset(all, 0, sizeof(all));
	memset(handed_as, 0, sizeof(handed_as));
	memset(in_gap, 0, sizeof(in_gap));
	memset(epochs, 0, sizeof(epochs));
	n_all = 0;
	boot = 1;
}

static void setup(void)
{
	start_over();
	ck_assert_int_eq(faulty_vfs_install(), 0);
}

static void teardown(void)
{
	faulty_vfs_remove();
}

/* How many such calls the story makes on a good disk. */
static uint64_t count_calls(unsigned ops)
{
	const struct faulty_plan none = {0};
	struct store *s;
	uint64_t n;

	start_over();
	faulty_vfs_plan(&none);
	s = run_story();
	n = faulty_vfs_calls(ops);
	check_kept(s, false);
	store_close(s);
	s = must_open();
	check_kept(s, false);
	store_close(s);
	return n;
}

/* ---- calls that fail ---- */

struct failing {
	unsigned op;
	enum faulty_how how;
	bool stays;
	unsigned stride; /* the calls of these are many: each 1st, 2nd, ... of them */
};

static const struct failing failing[] = {
	{FAULTY_WRITE, FAULTY_EIO, false, 3},	{FAULTY_WRITE, FAULTY_ENOSPC, false, 3},
	{FAULTY_WRITE, FAULTY_SHORT, false, 3}, {FAULTY_WRITE, FAULTY_ENOSPC, true, 7},
	{FAULTY_WRITE, FAULTY_SHORT, true, 7},	{FAULTY_SYNC, FAULTY_EIO, false, 1},
	{FAULTY_SYNC, FAULTY_EIO, true, 1},	{FAULTY_TRUNCATE, FAULTY_EIO, false, 1},
	{FAULTY_READ, FAULTY_EIO, false, 1},	{FAULTY_READ, FAULTY_EIO, true, 1},
	{FAULTY_OPEN, FAULTY_EIO, false, 1},
};

/* The disk is good again: what had failed is stored now, and all is there after the next start. */
static void check_repaired(struct store *s)
{
	faulty_vfs_plan(NULL);
	if (!s)
		s = must_open();
	retry_failed(s);
	check_kept(s, false);
	store_close(s);
	s = must_open();
	check_kept(s, false);
	store_close(s);
}

START_TEST(each_call_fails_in_turn)
{
	const struct failing *f = &failing[_i];
	uint64_t n = count_calls(f->op), failed = 0;

	for (uint64_t nth = 1; nth <= n; nth += f->stride) {
		const struct faulty_plan plan = {
			.ops = f->op, .how = f->how, .stays = f->stays, .nth = nth};
		struct store *s;

		start_over();
		faulty_vfs_plan(&plan);
		s = run_story();
		failed += faulty_vfs_failed() > 0;
		check_repaired(s);
	}
	ck_assert_uint_ge(failed, n / f->stride);
}
END_TEST

/* The agent ends, or is killed, with the disk still failing: what had failed is lost with it. */
START_TEST(end_while_the_disk_fails)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		const struct faulty_plan plan = {
			.ops = FAULTY_WRITE | FAULTY_SYNC | FAULTY_TRUNCATE,
			.how = seed % 3,
			.per_mille = 20 + seed % 5 * 50,
			.seed = seed,
		};
		struct store *s;

		start_over();
		faulty_vfs_plan(&plan);
		s = run_story();
		store_close(s);
		faulty_vfs_plan(NULL);
		s = must_open();
		check_kept(s, false);
		store_close(s);
	}
}
END_TEST

/* ---- power cuts ---- */

/* The machine boots again, and the agent goes on. */
static void check_after_cut(struct store *s)
{
	store_close(s);
	(void)faulty_vfs_power_on();
	boot++;
	s = must_open();
	check_kept(s, true);
	/* What was never on disk is gone, and known to be; what was handed out keeps its name. */
	for (size_t id = 0; id < n_all; id++)
		all[id].fate = all[id].here ? STORED : UNKNOWN;
	note_synced();
	for (unsigned step = 0; step < 10; step++)
		put_new(s, 3, step);
	check_kept(s, false);
	store_close(s);
	s = must_open();
	check_kept(s, false);
	store_close(s);
}

START_TEST(power_cut_at_each_change)
{
	uint64_t n = count_calls(FAULTY_CHANGES), lost = 0;

	ck_assert_uint_gt(n, 100);
	for (uint64_t at = 1 + (uint64_t)_i; at <= n; at += 4) {
		const struct faulty_plan plan = {.cut_at = at, .seed = at * 7 + 1};
		struct store *s;

		start_over();
		faulty_vfs_plan(&plan);
		s = run_story();
		ck_assert(faulty_vfs_is_off());
		check_after_cut(s);
		for (size_t id = 0; id < n_all; id++)
			lost += all[id].fate == UNKNOWN && all[id].handed;
	}
	/* Else nothing was shown: batches that had been handed out must have been lost at times. */
	ck_assert_uint_gt(lost, 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("faults");
	int failed;

	snprintf(dir, sizeof(dir), "%s/towline-faults-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, each_call_fails_in_turn, 0, array_len(failing));
	tcase_add_test(tc, end_while_the_disk_fails);
	tcase_add_loop_test(tc, power_cut_at_each_change, 0, 4);
	failed = suite_run("store_faults", &tc, 1);
	remove_all();
	(void)rmdir(dir);
	return failed;
}
