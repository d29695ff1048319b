#include "tests/unit/store_damage_fixture.h"

#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BODY_MAX = 3000 };

struct damage_world dw;

static char dir[64];

uint64_t damage_random(void)
{
	dw.random ^= dw.random << 13;
	dw.random ^= dw.random >> 7;
	dw.random ^= dw.random << 17;
	return dw.random;
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

/* ---- files ---- */

const char *damage_name(const char *suffix)
{
	static char names[4][DAMAGE_PATH + 32];
	static unsigned n;
	char *name = names[n++ % 4];

	snprintf(name, sizeof(names[0]), "%s%s", dw.path, suffix);
	return name;
}

void damage_clear(void)
{
	char pattern[DAMAGE_PATH];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/*", dir);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
}

void damage_overwrite(const char *name, off_t at, const void *data, size_t len)
{
	int fd = open(name, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, len, at), (ssize_t)len);
	close(fd);
}

off_t damage_size(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? st.st_size : 0;
}

void damage_touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* ---- the outbox ---- */

int damage_open(struct store **ret, struct store_opened *opened, int64_t max_bytes)
{
	const struct store_options opt = {.max_bytes = max_bytes, .boot_id = 1, .tb = &dw.clk.tb};
	struct error err;
	int r = store_open(ret, dw.path, &opt, opened, &err);

	if (r < 0 && r != -EIO && r != -ENOSPC && r != -EACCES)
		ck_abort_msg("%d: %s", r, err.text);
	return r;
}

struct store *damage_must_open(struct store_opened *opened)
{
	struct store *s = NULL;

	ck_assert_int_eq(damage_open(&s, opened, 4 << 20), 0);
	return s;
}

void damage_put(struct store *s, enum uplink_class class)
{
	static uint8_t body[BODY_MAX];
	struct store_item item = {.class = class, .body = body};
	struct store_dropped dropped;
	struct store_count stored;

	ck_assert_uint_lt(dw.last_seq[class] + 1, DAMAGE_SEQS);
	item.body_len = make_body(class, dw.last_seq[class] + 1, body);
	item.samples = item.body_len % 20 + 1;
	ck_assert_int_eq(store_put(s, &item, 1, &stored, &dropped), 0);
	dw.last_seq[class]++;
	ck_assert_uint_eq(store_last_seq(s, class), dw.last_seq[class]);
}

static void ack(struct store *s, enum uplink_class class, uint64_t from, uint64_t to)
{
	const struct receipt_range range = {from, to};
	struct store_count count;

	ck_assert_int_eq(store_ack(s, class, &range, 1, &count), 0);
	for (uint64_t seq = from; seq <= to; seq++)
		dw.acked[class][seq] = true;
}

void damage_make_outbox(uint64_t seed)
{
	struct store_opened opened;
	struct store *s;

	damage_clear();
	memset(dw.last_seq, 0, sizeof(dw.last_seq));
	memset(dw.acked, 0, sizeof(dw.acked));
	dw.random = seed * 2654435761 + 88172645463325252;
	s = damage_must_open(&opened);
	dw.epoch = store_epoch(s);
	for (unsigned i = 0; i < DAMAGE_PUTS; i++)
		damage_put(s,
			   i % 2 ? CLASS_BULK : (enum uplink_class)(damage_random() % CLASS_COUNT));
	ack(s, CLASS_BULK, 1, 30);
	ack(s, CLASS_BULK, 50, 52);
	ck_assert_int_eq(store_flush(s), 0);
	store_close(s);
}

/* ---- damage ---- */

void damage_suspect(void)
{
	damage_touch(damage_name(".suspect"));
}

void damage_some_pages(void)
{
	static const uint8_t junk[512] = {0xa5};
	off_t size = damage_size(dw.path);

	for (off_t at = 40 * 512; at + 512 <= size; at += 512)
		if (damage_random() % 10 == 0)
			damage_overwrite(dw.path, at, junk, sizeof(junk));
	damage_suspect();
}

/* ---- what came of it ---- */

static void take_row(const struct store *s, const struct store_row *row)
{
	bool old = row->origin_seq != 0;
	uint64_t seq = old ? row->origin_seq : row->seq;
	static uint8_t body[BODY_MAX];
	struct gap gap;

	if (old && row->origin_epoch != dw.epoch)
		return;
	if (!old && store_epoch(s) != dw.epoch)
		return; /* new since */
	if (row->encoding == ENCODING_GAP) {
		ck_assert_int_eq(gap_decode(&gap, seq, row->body, row->body_len, NULL), 0);
		for (; seq <= gap.through && seq < DAMAGE_SEQS; seq++)
			dw.in_gap[row->class][seq] = true;
		dw.n_gaps++;
		return;
	}
	ck_assert_uint_lt(seq, DAMAGE_SEQS);
	ck_assert_uint_le(seq, dw.last_seq[row->class]);
	ck_assert_uint_eq(row->body_len, make_body(row->class, seq, body));
	ck_assert(memcmp(row->body, body, row->body_len) == 0);
	ck_assert_uint_eq(row->samples, row->body_len % 20 + 1);
	dw.here[row->class][seq]++;
	dw.n_rows++;
}

void damage_check_all_told(struct store *s)
{
	memset(dw.here, 0, sizeof(dw.here));
	memset(dw.in_gap, 0, sizeof(dw.in_gap));
	dw.n_rows = dw.n_gaps = 0;
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
		for (uint64_t seq = 1; seq <= dw.last_seq[k]; seq++) {
			ck_assert_msg(dw.here[k][seq] <= 1, "class %u seq %u twice", k,
				      (unsigned)seq);
			ck_assert_msg(dw.here[k][seq] + dw.in_gap[k][seq] >= !dw.acked[k][seq],
				      "class %u seq %u", k, (unsigned)seq);
			/* Neither may come first and make the relay drop the other. */
			ck_assert_msg(!dw.here[k][seq] || !dw.in_gap[k][seq],
				      "class %u seq %u both", k, (unsigned)seq);
		}
	}
}

/* ---- the program ---- */

static void setup(void)
{
	damage_clear();
	snprintf(dw.path, sizeof(dw.path), "%s/outbox.db", dir);
	timebase_fake_init(&dw.clk, NS_PER_S, 1700000000 * NS_PER_S);
	dw.random = 88172645463325252;
	ck_assert_int_eq(faulty_vfs_install(), 0);
}

static void teardown(void)
{
	faulty_vfs_remove();
}

int damage_run(const char *name, TCase *tc)
{
	int failed;

	snprintf(dir, sizeof(dir), "%s/towline-damage-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	failed = suite_run(name, &tc, 1);
	damage_clear();
	(void)rmdir(dir);
	return failed;
}
