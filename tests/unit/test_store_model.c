/* Thousands of random operations on an outbox, beside a model of what must have become of each seq:
 * accepted = acknowledged + dropped + quarantined + in the outbox, and every seq is in the outbox,
 * acknowledged, or in a gap that is in the outbox or was acknowledged. */
#include "agent/store/store.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	PATH = 128,
	SEQS_MAX = 60000,
	OPERATIONS = 3000,
	ITEMS_MAX = 4,
	BODY_MAX = 700,
	QUOTA = 30 << 10,
	EXPIRE_S = 600,
	GAPS_MAX = 256,
};

/* UNUSED: reserved when the agent was killed; a gap that counts no batch has it. */
enum fate { NEVER, STORED, ACKED, DROPPED, QUARANTINED, UNUSED };

struct seq_model {
	uint8_t fate; /* enum fate */
	bool told;    /* the gap that has it was acknowledged */
	bool receipted;
	uint16_t samples;
};

static struct {
	struct seq_model seqs[CLASS_COUNT][SEQS_MAX];
	uint64_t last[CLASS_COUNT];
	/* Counted by what store_put and store_expire say; the walk finds out which they were. */
	struct store_count said_dropped;
	struct store_count found_dropped;
} m;

static char dir[] = "/tmp/towline-model-XXXXXX";
static char path[PATH];
static struct timebase_fake fake;
static uint64_t boot, state;
static struct store *s;
static uint8_t body[BODY_MAX];

static uint32_t pick(uint32_t n)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(state >> 33) % n;
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

static bool is_lost(const struct seq_model *q)
{
	return q->fate == DROPPED || q->fate == QUARANTINED;
}

static void open_again(void)
{
	struct store_options opt = {
		.max_bytes = QUOTA,
		.expire_ns =
			{[CLASS_LIVE] = EXPIRE_S * NS_PER_S, [CLASS_LOG] = EXPIRE_S * NS_PER_S},
		.relaxed = 1u << CLASS_BULK | 1u << CLASS_LOG | 1u << CLASS_STATUS,
		.sync_ns = 5 * NS_PER_S,
		.boot_id = boot,
		.tb = &fake.tb,
	};
	struct store_opened opened;
	struct error err;

	ck_assert_msg(store_open(&s, path, &opt, &opened, &err) == 0, "%s", err.text);
	ck_assert(!opened.set_aside);
}

/* ---- the walk ---- */

static void take_gap(unsigned k, const struct store_row *row, struct store_count *in_gaps)
{
	struct gap gap;

	ck_assert_int_eq(gap_decode(&gap, row->seq, row->body, row->body_len, NULL), 0);
	ck_assert_uint_eq(gap.through, row->through);
	ck_assert_uint_le(gap.through, m.last[k]);
	ck_assert_uint_eq(row->samples, 0);
	in_gaps->rows += gap.batches;
	in_gaps->samples += gap.samples;
	for (uint64_t q = row->seq; q <= row->through; q++) {
		struct seq_model *q_model = &m.seqs[k][q];

		if (q_model->fate == STORED) { /* what had to go, now found */
			q_model->fate = DROPPED;
			m.found_dropped.rows++;
			m.found_dropped.samples += q_model->samples;
		}
		q_model->told = true; /* for this walk; see walk_class */
	}
}

static void walk_class(unsigned k)
{
	static bool seen[SEQS_MAX], told[SEQS_MAX];
	struct store_count in_gaps = {0}, lost = {0};
	uint64_t last = m.last[k], at = 0;
	struct store_row row;
	int r;

	memset(seen, 0, sizeof(seen));
	for (uint64_t q = 1; q <= last; q++)
		told[q] = m.seqs[k][q].told;
	ck_assert_uint_eq(store_last_seq(s, (enum uplink_class)k), last);
	while ((r = store_next(s, (enum uplink_class)k, at, &row)) == STORE_ROW) {
		ck_assert_uint_gt(row.seq, at);
		ck_assert_uint_le(row.seq, last);
		at = row.through;
		if (row.encoding == ENCODING_GAP) {
			take_gap(k, &row, &in_gaps);
			continue;
		}
		ck_assert_uint_eq(row.through, row.seq);
		ck_assert_int_eq(m.seqs[k][row.seq].fate, STORED);
		ck_assert_uint_eq(row.samples, m.seqs[k][row.seq].samples);
		ck_assert_uint_eq(row.body_len, 50 + row.samples);
		ck_assert_int_eq(((const uint8_t *)row.body)[0], (int)(row.samples & 0xff));
		seen[row.seq] = true;
	}
	ck_assert_int_eq(r, 0);
	for (uint64_t q = 1; q <= last; q++) {
		const struct seq_model *q_model = &m.seqs[k][q];

		/* Check writes a message with each assertion. */
		if (q_model->fate == NEVER || (q_model->fate == STORED) != seen[q])
			ck_abort_msg("class %u seq %llu fate %d", k, (unsigned long long)q,
				     q_model->fate);
		if ((is_lost(q_model) || q_model->fate == UNUSED) && !q_model->told)
			ck_abort_msg("class %u seq %llu is in no gap", k, (unsigned long long)q);
		if (is_lost(q_model) && !told[q]) {
			lost.rows++;
			lost.samples += q_model->samples;
		}
		m.seqs[k][q].told = told[q];
	}
	ck_assert_uint_eq(in_gaps.rows, lost.rows);
	ck_assert_uint_eq(in_gaps.samples, lost.samples);
	store_release(s);
}

static void check_sums(void)
{
	struct store_lifetime life = store_lifetime(s), mine = {0};
	struct store_totals totals = store_totals(s);
	uint64_t rows = 0, samples = 0;

	for (unsigned k = 0; k < CLASS_COUNT; k++)
		for (uint64_t q = 1; q <= m.last[k]; q++) {
			const struct seq_model *q_model = &m.seqs[k][q];

			mine.samples_stored += q_model->samples;
			rows += q_model->fate == STORED;
			if (q_model->fate == STORED)
				samples += q_model->samples;
			if (q_model->fate == ACKED)
				mine.samples_acked += q_model->samples;
			if (q_model->fate == DROPPED)
				mine.samples_dropped += q_model->samples;
			if (q_model->fate == QUARANTINED)
				mine.samples_quarantined += q_model->samples;
		}
	ck_assert_uint_eq(life.samples_stored, mine.samples_stored);
	ck_assert_uint_eq(life.samples_acked, mine.samples_acked);
	ck_assert_uint_eq(life.samples_dropped, mine.samples_dropped);
	ck_assert_uint_eq(life.samples_quarantined, mine.samples_quarantined);
	ck_assert_uint_eq(totals.samples, samples);
	ck_assert_uint_eq(totals.rows - totals.gaps, rows);
	ck_assert_uint_eq(m.found_dropped.rows, m.said_dropped.rows);
	ck_assert_uint_eq(m.found_dropped.samples, m.said_dropped.samples);
}

static void walk(void)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		walk_class(k);
	check_sums();
}

/* ---- operations ---- */

static void add(unsigned k, enum fate fate, uint16_t samples)
{
	ck_assert_uint_lt(++m.last[k], SEQS_MAX);
	m.seqs[k][m.last[k]] = (struct seq_model){.fate = (uint8_t)fate, .samples = samples};
}

static void put(void)
{
	struct store_item items[ITEMS_MAX];
	uint8_t bodies[ITEMS_MAX][BODY_MAX];
	size_t n = 1 + pick(ITEMS_MAX);
	struct store_count stored;
	struct store_dropped dropped;

	for (size_t i = 0; i < n; i++) {
		uint16_t samples = (uint16_t)pick(600);

		memcpy(bodies[i], body, sizeof(body));
		bodies[i][0] = (uint8_t)samples;
		items[i] = (struct store_item){
			.class = (enum uplink_class)pick(CLASS_COUNT),
			.samples = samples,
			.first_ns = fake.wall.ns - NS_PER_S,
			.last_ns = fake.wall.ns,
			.body = bodies[i],
			.body_len = 50u + samples,
		};
		add(items[i].class, STORED, samples);
	}
	ck_assert_int_eq(store_put(s, items, n, &stored, &dropped), 0);
	ck_assert_uint_eq(stored.rows, n);
	m.said_dropped.rows += dropped.by[GAP_QUOTA].rows;
	m.said_dropped.samples += dropped.by[GAP_QUOTA].samples;
}

static void put_lost(void)
{
	unsigned k = pick(CLASS_COUNT);
	uint16_t samples = (uint16_t)pick(100);

	add(k, DROPPED, samples);
	ck_assert_int_eq(store_put_lost(s, (enum uplink_class)k, samples, GAP_UNSAVED), 0);
}

/* Returns how many gaps there are. */
static size_t note_ack(unsigned k, const struct receipt_range *r,
		       struct receipt_range gaps[static GAPS_MAX])
{
	struct store_row row;
	uint64_t at = 0;
	size_t n = 0;

	for (uint64_t q = r->from; q <= r->to && q <= m.last[k]; q++)
		m.seqs[k][q].receipted = true;
	while (store_next(s, (enum uplink_class)k, at, &row) == STORE_ROW) {
		at = row.through;
		ck_assert_uint_lt(n, GAPS_MAX);
		if (row.encoding == ENCODING_GAP)
			gaps[n++] = (struct receipt_range){row.seq, row.through};
		else if (row.seq >= r->from && row.seq <= r->to)
			m.seqs[k][row.seq].fate = ACKED;
	}
	return n;
}

/* A gap that is gone was receipted, all of it, perhaps in parts. */
static void check_gap(unsigned k, const struct receipt_range *gap, const struct receipt_range *r)
{
	struct store_row row;
	bool there = store_next(s, (enum uplink_class)k, gap->from - 1, &row) == STORE_ROW &&
		     row.seq == gap->from;

	ck_assert(!there || gap->from < r->from || gap->to > r->to);
	for (uint64_t q = gap->from; !there && q <= gap->to; q++) {
		if (!m.seqs[k][q].receipted)
			ck_abort_msg("class %u seq %llu: its gap is gone", k,
				     (unsigned long long)q);
		m.seqs[k][q].told = true;
	}
}

static void ack(void)
{
	unsigned k = pick(CLASS_COUNT);
	struct receipt_range range, gaps[GAPS_MAX];
	struct store_count count;
	size_t n;

	if (m.last[k] == 0)
		return;
	walk();
	range.from = pick(3) ? 1 : 1 + pick((uint32_t)m.last[k]);
	range.to = range.from + pick((uint32_t)m.last[k]);
	n = note_ack(k, &range, gaps);
	ck_assert_int_eq(store_ack(s, (enum uplink_class)k, &range, 1, &count), 0);
	for (size_t i = 0; i < n; i++)
		check_gap(k, &gaps[i], &range);
}

static void purge(void)
{
	unsigned k = pick(CLASS_COUNT);
	struct receipt_range range;
	struct store_count count, mine = {0};

	if (m.last[k] == 0)
		return;
	walk();
	range.from = 1 + pick((uint32_t)m.last[k]);
	range.to = range.from + pick(5);
	for (uint64_t q = range.from; q <= range.to && q <= m.last[k]; q++)
		if (m.seqs[k][q].fate == STORED) {
			m.seqs[k][q].fate = DROPPED;
			mine.rows++;
			mine.samples += m.seqs[k][q].samples;
		}
	ck_assert_int_eq(store_purge(s, (enum uplink_class)k, &range, GAP_CONSENT, &count), 0);
	ck_assert_uint_eq(count.rows, mine.rows);
	ck_assert_uint_eq(count.samples, mine.samples);
}

/* Of a batch, or of a gap that the relay could not read: then nothing tells it any more. */
static void quarantine(void)
{
	unsigned k = pick(CLASS_COUNT);
	struct store_count count;
	struct store_row row;

	if (m.last[k] == 0)
		return;
	walk();
	if (store_next(s, (enum uplink_class)k, pick((uint32_t)m.last[k]), &row) != STORE_ROW)
		return;
	for (uint64_t q = row.seq; q <= row.through; q++)
		if (row.encoding == ENCODING_GAP)
			m.seqs[k][q].told = true;
		else
			m.seqs[k][q].fate = QUARANTINED;
	ck_assert_int_eq(store_quarantine(s, (enum uplink_class)k, row.seq, GAP_INVALID, &count),
			 0);
	ck_assert_uint_eq(count.rows, row.encoding != ENCODING_GAP);
}

static void expire(void)
{
	struct store_dropped dropped;
	struct mono_time next;

	do {
		ck_assert_int_eq(store_expire(s, &dropped, &next), 0);
		m.said_dropped.rows += dropped.by[GAP_EXPIRED].rows;
		m.said_dropped.samples += dropped.by[GAP_EXPIRED].samples;
	} while (next.ns <= fake.mono.ns);
}

static void copy_file(const char *from, const char *to)
{
	static uint8_t bytes[8 << 20];
	int in = open(from, O_RDONLY), out;
	ssize_t n;

	(void)unlink(to);
	if (in < 0)
		return;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	n = read(in, bytes, sizeof(bytes));
	ck_assert_int_ge(n, 0);
	ck_assert_int_lt(n, (ssize_t)sizeof(bytes));
	ck_assert_int_eq(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
}

/* A gap that was acknowledged is there again, or one that has grown over seqs that others had told:
 * its number says how many of them are its own. */
static void bring_back_gap(unsigned k, const struct store_row *row)
{
	uint64_t own = 0;
	struct gap gap;

	ck_assert_int_eq(gap_decode(&gap, row->seq, row->body, row->body_len, NULL), 0);
	for (uint64_t q = row->seq; q <= row->through; q++)
		own += !m.seqs[k][q].told && is_lost(&m.seqs[k][q]);
	for (uint64_t q = row->seq; q <= row->through && own < gap.batches; q++)
		if (m.seqs[k][q].told && is_lost(&m.seqs[k][q])) {
			m.seqs[k][q].told = false;
			own++;
		}
}

/* What receipts have marked in memory only is there again. */
static void bring_back(void)
{
	struct store_row row;

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		uint64_t at = 0;

		while (store_next(s, (enum uplink_class)k, at, &row) == STORE_ROW) {
			at = row.through;
			if (row.encoding == ENCODING_GAP)
				bring_back_gap(k, &row);
			else if (m.seqs[k][row.seq].fate == ACKED)
				m.seqs[k][row.seq].fate = STORED;
		}
	}
}

static void find_unused(void)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		while (m.last[k] < store_last_seq(s, (enum uplink_class)k))
			add(k, UNUSED, 0);
}

/* kill -9: the files are what they are at this moment. */
static void crash(void)
{
	static const char *const suffixes[] = {"", "-wal", ".unsaved"};
	char from[PATH + 16], aside[PATH + 16];

	walk(); /* finds out what was dropped */
	for (size_t i = 0; i < array_len(suffixes); i++) {
		snprintf(from, sizeof(from), "%s%s", path, suffixes[i]);
		snprintf(aside, sizeof(aside), "%s/copy%s", dir, suffixes[i]);
		copy_file(from, aside);
	}
	store_close(s);
	for (size_t i = 0; i < array_len(suffixes); i++) {
		snprintf(from, sizeof(from), "%s/copy%s", dir, suffixes[i]);
		snprintf(aside, sizeof(aside), "%s%s", path, suffixes[i]);
		copy_file(from, aside);
	}
	open_again();
	find_unused();
	bring_back();
}

static void reopen(void)
{
	store_close(s);
	if (pick(3) == 0) { /* after a clean end another boot is no power cut */
		boot++;
		fake.mono.ns = (int64_t)pick(1000) * NS_PER_S;
	}
	open_again();
	ck_assert_int_eq(store_set_clock(s, fake.wall.ns, fake.mono.ns, CLOCK_SYNCED), 0);
}

static void operate(void)
{
	uint32_t x = pick(100);

	timebase_fake_advance(&fake, (int64_t)pick(10) * NS_PER_S);
	if (x < 50)
		put();
	else if (x < 54)
		put_lost();
	else if (x < 70)
		ack();
	else if (x < 75)
		purge();
	else if (x < 81)
		quarantine();
	else if (x < 86)
		expire();
	else if (x < 91)
		ck_assert_int_eq(store_flush(s), 0);
	else if (x < 94)
		reopen();
	else if (x < 97)
		crash();
	else
		walk();
}

START_TEST(every_seq_has_its_fate)
{
	remove_all();
	memset(&m, 0, sizeof(m));
	state = (uint64_t)_i * 7919 + 1;
	boot = 1;
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	memset(body, 0x5a, sizeof(body));
	timebase_fake_init(&fake, NS_PER_S, 1700000000 * NS_PER_S);
	open_again();
	ck_assert_int_eq(store_set_clock(s, fake.wall.ns, fake.mono.ns, CLOCK_SYNCED), 0);
	for (int i = 0; i < OPERATIONS; i++)
		operate();
	walk();
	ck_assert_uint_gt(m.said_dropped.rows, 100);
	store_close(s);
	open_again();
	walk();
	store_close(s);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("model");
	int failed;

	if (!mkdtemp(dir))
		return 1;
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, every_seq_has_its_fate, 0, 3);
	failed = suite_run("store_model", &tc, 1);
	remove_all();
	(void)rmdir(dir);
	return failed;
}
