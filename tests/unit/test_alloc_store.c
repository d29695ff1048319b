/* The outbox without memory: at each request in turn of opening it, of each thing that is done with
 * it, of saving what a damaged one has. What was accepted is there afterwards, or in a gap. */
#include "agent/store/store.h"
#include "tests/unit/alloc_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	PATH = 128,
	IDS = 200,
	BODY_MAX = 6000, /* more than a few pages */
	SEQS = 400,	 /* of a class */
	ROWS_FIRST = 25, /* in an outbox that is opened */
};

static char dir[64];
static char path[PATH];
static struct timebase_fake fake;
static struct store *s;
static struct seal *seal;
static struct store_opened opened;
static int64_t quota;
static const char *key_file;

/* ---- what the test knows ---- */

struct made {
	enum uplink_class class;
	bool stored, acked, may_go; /* may_go: the story drops it, or room had to be made */
	uint64_t seq;
	unsigned here;
};

static struct made all[IDS];
static size_t n_all;
static bool in_gap[CLASS_COUNT][SEQS];

static size_t make_body(size_t id, uint8_t *out)
{
	size_t len = id % 9 == 4 ? BODY_MAX - id : 40 + id * 37 % 900;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(id * 31 + i * (id % 7 + 1) + (i >> 8));
	memcpy(out, &(uint32_t){(uint32_t)id}, 4);
	return len;
}

static void remove_files(const char *name)
{
	char pattern[PATH];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/%s", dir, name);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
}

static bool file_is_there(const char *name)
{
	char pattern[PATH];
	glob_t g;
	bool is;

	snprintf(pattern, sizeof(pattern), "%s/%s", dir, name);
	is = glob(pattern, 0, NULL, &g) == 0 && g.gl_pathc > 0;
	globfree(&g);
	return is;
}

/* ---- opening and closing ---- */

/* Returns 0 or -ENOMEM. */
static int open_store(void)
{
	struct store_options opt = {
		.max_bytes = quota,
		.expire_ns = {[CLASS_LOG] = 600 * NS_PER_S},
		.relaxed = 1u << CLASS_BULK | 1u << CLASS_LOG | 1u << CLASS_STATUS,
		.sync_ns = NS_PER_S,
		.boot_id = 7,
		.tb = &fake.tb,
	};
	struct seal_options sealing = {
		.key_file = key_file, .data_key_max_rows = 20, .tb = &fake.tb};
	struct error err = {""};
	int r = 0;

	if (key_file && !seal)
		r = seal_new(&seal, &sealing, &err);
	ck_assert_msg(r == 0 || r == -ENOMEM, "seal: %d %s", r, err.text);
	if (r < 0)
		return r;
	opt.seal = seal;
	r = store_open(&s, path, &opt, &opened, &err);
	ck_assert_msg(r == 0 || r == -ENOMEM, "%d %s", r, err.text);
	return r;
}

static void must_open(void)
{
	if (!s)
		ck_assert_int_eq(open_store(), 0);
}

static void close_store(void)
{
	s = store_close(s);
	seal = seal_free(seal);
}

/* ---- what is done ---- */

static int put_ids(const size_t *ids, size_t n)
{
	static uint8_t bodies[3][BODY_MAX];
	struct store_totals before = store_totals(s);
	uint64_t seq[CLASS_COUNT];
	struct store_item items[3];
	struct store_dropped dropped;
	struct store_count stored;
	int r;

	for (unsigned k = 0; k < CLASS_COUNT; k++)
		seq[k] = store_last_seq(s, k);
	for (size_t i = 0; i < n; i++)
		items[i] = (struct store_item){
			.class = all[ids[i]].class,
			.samples = ids[i] % 50 + 1,
			.first_ns = 1600000000 * NS_PER_S,
			.last_ns = 1600000001 * NS_PER_S,
			.body = bodies[i],
			.body_len = make_body(ids[i], bodies[i]),
		};
	r = ck_assert_enomem(store_put(s, items, n, &stored, &dropped));
	for (size_t i = 0; r == 0 && i < n; i++) {
		all[ids[i]].stored = true;
		all[ids[i]].seq = ++seq[all[ids[i]].class];
	}
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		ck_assert_uint_eq(store_last_seq(s, k), seq[k]);
	if (r < 0) {
		ck_assert_uint_eq(store_totals(s).rows, before.rows);
		ck_assert_uint_eq(store_totals(s).bytes, before.bytes);
	}
	return r;
}

static size_t new_id(enum uplink_class class)
{
	ck_assert_uint_lt(n_all, IDS);
	all[n_all] = (struct made){.class = class, .may_go = quota < 1 << 20};
	return n_all++;
}

/* Memory or not, in the end they are all stored: see retry. */
static int put_three(void)
{
	size_t ids[] = {new_id(CLASS_EVENT), new_id(CLASS_BULK), new_id(CLASS_LIVE)};

	return put_ids(ids, array_len(ids));
}

static int put_relaxed(void)
{
	size_t ids[] = {new_id(CLASS_STATUS), new_id(CLASS_LOG)};

	return put_ids(ids, array_len(ids));
}

static int put_lost(void)
{
	uint64_t last = store_last_seq(s, CLASS_LOG);
	int r = store_put_lost(s, CLASS_LOG, 3, GAP_UNSAVED);

	ck_assert_uint_eq(store_last_seq(s, CLASS_LOG), last + (r == 0));
	return r;
}

static size_t id_of(const struct store_row *row)
{
	static uint8_t body[BODY_MAX];
	uint32_t id;

	ck_assert_uint_ge(row->body_len, sizeof(id));
	memcpy(&id, row->body, sizeof(id));
	ck_assert_uint_lt(id, n_all);
	ck_assert_uint_eq(row->body_len, make_body(id, body));
	ck_assert(memcmp(row->body, body, row->body_len) == 0);
	return id;
}

static void see_gap(const struct store_row *row)
{
	uint64_t from = row->origin_seq ? row->origin_seq : row->seq;
	struct gap gap;

	ck_assert_int_eq(gap_decode(&gap, from, row->body, row->body_len, NULL), 0);
	for (uint64_t seq = from; seq <= gap.through && seq < SEQS; seq++)
		in_gap[row->class][seq] = true;
}

/* All rows of a class: what is not told by an error is complete. */
static int walk_class(enum uplink_class class)
{
	struct store_row row;
	uint64_t after = 0;
	int r;

	memset(in_gap[class], 0, sizeof(in_gap[class]));
	for (size_t i = 0; i < n_all; i++)
		if (all[i].class == class)
			all[i].here = 0;
	while ((r = store_next(s, class, after, &row)) == STORE_ROW) {
		if (row.encoding == ENCODING_GAP)
			see_gap(&row);
		else
			all[id_of(&row)].here++;
		ck_assert_uint_gt(row.through, after);
		after = row.through;
	}
	store_release(s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_all; i++) {
		const struct made *m = &all[i];

		if (m->class != class)
			continue;
		ck_assert_uint_le(m->here, 1);
		if (!m->stored || m->here || m->acked)
			continue;
		if (!m->may_go || !in_gap[class][m->seq])
			alloc_lost(1);
	}
	return 0;
}

static int walk(void)
{
	int r = 0;

	for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++)
		r = walk_class(k);
	ck_assert_uint_eq(store_corrupt_found(s).rows, 0);
	return r;
}

static struct made *stored_as(enum uplink_class class, uint64_t seq)
{
	for (size_t i = 0; i < n_all; i++)
		if (all[i].stored && all[i].class == class && all[i].seq == seq)
			return &all[i];
	return NULL;
}

static int ack_some(void)
{
	const struct receipt_range ranges[] = {{2, 3}, {5, 5}};
	struct store_lifetime before = store_lifetime(s), after;
	struct store_count count;
	int r = store_ack(s, CLASS_EVENT, ranges, array_len(ranges), &count);

	after = store_lifetime(s);
	if (r < 0)
		ck_assert_uint_eq(after.samples_acked, before.samples_acked);
	for (uint64_t seq = 2; r == 0 && seq <= 5; seq += seq == 3 ? 2 : 1)
		if (stored_as(CLASS_EVENT, seq))
			stored_as(CLASS_EVENT, seq)->acked = true;
	return r;
}

static int flush(void)
{
	return store_flush(s);
}

/* Before it is tried: that it failed does not say that it was not done. */
static void let_go(enum uplink_class class, uint64_t from, uint64_t to)
{
	for (uint64_t seq = from; seq <= to; seq++)
		if (stored_as(class, seq))
			stored_as(class, seq)->may_go = true;
}

static int quarantine(void)
{
	struct store_count count;
	uint64_t seq = 0;

	/* Of a gap the relay would say that it knows it, or nothing. */
	for (size_t i = 0; i < n_all && seq == 0; i++)
		if (all[i].class == CLASS_BULK && all[i].here)
			seq = all[i].seq;
	let_go(CLASS_BULK, seq, seq);
	return seq ? store_quarantine(s, CLASS_BULK, seq, GAP_INVALID, &count) : 0;
}

static int purge(void)
{
	const struct receipt_range range = {2, 3};
	struct store_count count;

	let_go(CLASS_LIVE, 2, 3);
	return store_purge(s, CLASS_LIVE, &range, GAP_CONSENT, &count);
}

static int expire(void)
{
	struct store_dropped dropped;
	struct mono_time next;

	for (size_t i = 0; i < n_all; i++)
		all[i].may_go |= all[i].class == CLASS_LOG;
	timebase_fake_advance(&fake, 700 * NS_PER_S);
	return store_expire(s, &dropped, &next);
}

static int set_clock(void)
{
	return store_set_clock(s, 1700001000 * NS_PER_S, 1000 * NS_PER_S, CLOCK_SYNCED);
}

static int put_receipted(void)
{
	const struct receipt_range range = {2, 3};
	int r = store_put_receipted(s, CLASS_EVENT, &range);

	return r == -EEXIST ? 0 : r;
}

static int look(void)
{
	(void)store_first_seq(s, CLASS_LIVE);
	return 0;
}

/* ---- stories ---- */

typedef int step_fn(void);
static step_fn *const story[] = {put_three, walk,	   put_relaxed, ack_some,    put_three,
				 put_lost,  flush,	   quarantine,	purge,	     put_three,
				 walk,	    set_clock,	   look,	put_relaxed, ack_some,
				 flush,	    put_receipted, expire,	put_three,   walk};
static bool failed[array_len(story)];

static void run_story(void)
{
	for (size_t i = 0; i < array_len(story); i++)
		failed[i] = ck_assert_enomem(story[i]()) < 0;
}

static void check_sums(void)
{
	struct store_lifetime l = store_lifetime(s);

	ck_assert_uint_eq(l.samples_stored, l.samples_acked + l.samples_dropped +
						    l.samples_quarantined +
						    store_totals(s).samples);
}

static void put_failed(void)
{
	for (size_t id = 0; id < n_all; id++)
		if (!all[id].stored)
			ck_assert_int_eq(put_ids(&id, 1), 0);
}

/* What failed is done now, and what is there is there after a start as well. */
static void check_story(void)
{
	must_open();
	check_sums();
	for (size_t i = 0; i < array_len(story); i++)
		if (failed[i] && story[i] != put_three && story[i] != put_relaxed)
			ck_assert_int_eq(story[i](), 0);
	put_failed();
	ck_assert_int_eq(walk(), 0);
	check_sums();
	close_store();
	must_open();
	ck_assert(!opened.set_aside);
	ck_assert_int_eq(walk(), 0);
	check_sums();
}

/* ---- an outbox that is there ---- */

static void start(void)
{
	remove_files("outbox*");
	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
	memset(all, 0, sizeof(all));
	n_all = 0;
}

static void fill(void)
{
	must_open();
	for (int i = 0; i < ROWS_FIRST / 5; i++) {
		ck_assert_int_eq(put_three(), 0);
		ck_assert_int_eq(put_relaxed(), 0);
	}
	ck_assert_int_eq(put_lost(), 0);
}

static void set_up_open(void)
{
	quota = 1 << 20;
	key_file = NULL;
	start();
	fill();
}

static void set_up_small(void)
{
	quota = 24 << 10;
	key_file = NULL;
	start();
	fill();
}

static void write_key(void)
{
	static char name[PATH];
	uint8_t key[32];
	int fd;

	memset(key, 0x5a, sizeof(key));
	snprintf(name, sizeof(name), "%s/key", dir);
	fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, key, sizeof(key)), (ssize_t)sizeof(key));
	close(fd);
	key_file = name;
}

static void set_up_sealed(void)
{
	quota = 1 << 20;
	start();
	write_key();
	fill();
}

static void set_up_closed(void)
{
	set_up_open();
	close_store();
}

static void set_up_closed_sealed(void)
{
	set_up_sealed();
	close_store();
}

static void set_up_new(void)
{
	quota = 1 << 20;
	key_file = NULL;
	start();
}

/* The next start looks at every page. */
static void set_up_suspect(void)
{
	set_up_open();
	store_suspect(s);
	close_store();
}

/* A bulk batch of some pages is kept, and a page of some others is not. */
static void spoil(off_t at, size_t len)
{
	static const uint8_t noise[4096] = {1, 2, 3};
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, noise, len, at), (ssize_t)len);
	close(fd);
}

static size_t n_saved; /* with all the memory that is needed */

static void count_saved(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_all; i++)
		n += all[i].here;
	n_saved = n > n_saved ? n : n_saved;
	if (n < n_saved)
		alloc_lost(n_saved - n);
}

static void set_up_damaged(void)
{
	set_up_open();
	close_store();
	for (size_t i = 0; i < n_all; i++)
		all[i].may_go = true;
	spoil(0, 100);
	spoil(40 * 512, 512);
}

static void run_open(void)
{
	(void)open_store();
}

static void check_opened(void)
{
	must_open();
	ck_assert(!opened.set_aside);
	ck_assert(!file_is_there("outbox.db.corrupt*"));
	ck_assert_int_eq(walk(), 0);
	check_sums();
	ck_assert_int_eq(put_three(), 0);
	ck_assert_int_eq(walk(), 0);
}

/* It may have taken two starts; nothing that could be read is left behind. */
static void check_saved(void)
{
	must_open();
	if (opened.unfinished) {
		close_store();
		must_open();
	}
	ck_assert(!opened.unfinished);
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		ck_assert_int_eq(walk_class(k), 0);
	count_saved();
	check_sums();
	ck_assert_int_eq(put_three(), 0);
}

static void run_close(void)
{
	close_store();
}

static void tear_down(void)
{
	close_store();
	remove_files("*");
}

static const struct alloc_scenario scenarios[] = {
	{"open a new outbox", set_up_new, run_open, check_opened, tear_down},
	{"open an outbox", set_up_closed, run_open, check_opened, tear_down},
	{"open a suspect outbox", set_up_suspect, run_open, check_opened, tear_down},
	{"open a sealed outbox", set_up_closed_sealed, run_open, check_opened, tear_down},
	{"salvage", set_up_damaged, run_open, check_saved, tear_down},
	{"use an outbox", set_up_open, run_story, check_story, tear_down},
	{"use a full outbox", set_up_small, run_story, check_story, tear_down},
	{"use a sealed outbox", set_up_sealed, run_story, check_story, tear_down},
	{"close an outbox", set_up_open, run_close, check_opened, tear_down},
};

int main(void)
{
	int failed_;

	snprintf(dir, sizeof(dir), "%s/towline-alloc-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	failed_ = alloc_main("alloc_store", scenarios, array_len(scenarios));
	remove_files("*");
	(void)rmdir(dir);
	return failed_;
}
