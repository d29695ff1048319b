/* Devices that send anything: whatever comes, in whatever order, with rollbacks and restarts in
 * between, what the relay has an answer for is stored once or told missing, and what it keeps of a
 * device is bounded. */
#include "proto/context.h"
#include "relay/stream/contexts.h"
#include "relay/stream/internal.h"
#include "tests/fakes/faulty_vfs.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>

/* ---- pieces of one gap ---- */

static struct stream_gap cut_in_pieces(uint64_t pieces)
{
	struct stream_gap g = {.vehicle = 1,
			       .device = 1,
			       .epoch = 5,
			       .class = CLASS_BULK,
			       .from = 1,
			       .through = 1 << 20,
			       .reason = GAP_QUOTA,
			       .missing = {.max = WINDOW_MISSING_MAX}};

	for (uint64_t i = 0; i < pieces; i++)
		ck_assert_int_eq(window_add_range(&g.missing, 10 + 10 * i, 14 + 10 * i), 0);
	return g;
}

START_TEST(test_gap_in_too_many_pieces)
{
	struct stream_gap g = cut_in_pieces(WINDOW_MISSING_MAX);
	int64_t missing = 5 * WINDOW_MISSING_MAX;

	ck_assert_int_eq(stream_begin(iw.stream), 0);
	ck_assert_int_eq(stream_add_gap(iw.stream, &g), 0);
	stream_gap_free(&g);
	for (uint64_t i = 0; i < 20; i++) { /* each cuts a piece in two */
		uint64_t seq = 12 + 10 * (i * 811 % WINDOW_MISSING_MAX);

		ck_assert_int_eq(stream_take_from_gap(iw.stream, 1, 5, CLASS_BULK, seq), 1);
		ck_assert_int_eq(stream_is_missing(iw.stream, 1, 5, CLASS_BULK, seq), 0);
		ck_assert_int_eq(stream_is_missing(iw.stream, 1, 5, CLASS_BULK, seq + 1), 1);
		missing--;
		ck_assert_int_eq(query_number("SELECT sum(seqs) FROM gap"), missing);
		ck_assert_int_eq(query_number("SELECT sum(seqs) FROM gap_total"), missing);
	}
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap"), 2);
	ck_assert_int_eq(stream_commit(iw.stream), 0);
}
END_TEST

/* ---- anything ---- */

enum {
	EPOCHS = 4,
	NAMES = 24, /* seqs of an epoch that are looked at in the end */
	STEPS = 1500,
};

static uint64_t dice;

static uint64_t roll(uint64_t n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice % n;
}

struct name {
	uint64_t epoch, seq;
};

static struct name any_name(void)
{
	return (struct name){1 + roll(EPOCHS), 1 + roll(NAMES)};
}

/* Batches are told apart by the first value that they hold: the name that they had first. Each has
 * one origin at most, as in a vehicle. */
static struct name origins[EPOCHS + 1][NAMES + 1];

static uint64_t identity(struct name n)
{
	return n.epoch * 1000 + n.seq;
}

static void send_any_batch(void)
{
	struct name n = any_name(), *o = &origins[n.epoch][n.seq];
	bool saved = o->epoch != 0;

	send_batch(&(struct sent_batch){.epoch = n.epoch,
					.seq = n.seq,
					.class = CLASS_BULK,
					.origin_epoch = saved ? o->epoch : 0,
					.origin_seq = saved ? o->seq : 0,
					.boot = 1 + roll(3),
					.mono_ns = (int64_t)roll(1000) * NS_PER_S,
					.quality = (enum clock_quality)roll(3),
					.first = identity(saved ? *o : n)});
}

static void send_any_gap(void)
{
	struct name n = any_name();
	struct name *o = &origins[n.epoch][n.seq];
	struct envelope named = {.epoch = n.epoch, .seq = n.seq};
	uint64_t from = n.seq;

	if (o->epoch) /* that name is a batch's */
		return;
	struct gap g = {.through = from + roll(6),
			.reason = (enum gap_reason)(1 + roll(GAP_REASONS)),
			.batches = roll(2) ? UINT64_MAX / 2 : 1};

	if (roll(20) == 0)
		g.through = roll(2) ? GAP_OPEN : from - roll(2);
	send_gap(CLASS_BULK, &named, &g);
}

static void send_rubbish(void)
{
	struct buf b cleanup(buf_free) = BUF_INIT(4096);
	uint64_t n = roll(60);

	ck_assert_int_eq(buf_put_u8(&b, roll(2) ? CONTEXT_MARK : (uint8_t)roll(256)), 0);
	for (uint64_t i = 0; i < n; i++)
		ck_assert_int_eq(buf_put_u8(&b, (uint8_t)roll(256)), 0);
	send_payload((enum uplink_class)roll(CLASS_COUNT), &b);
}

/* What a receipt may have told: the vehicle has deleted it. */
static bool told[EPOCHS + 1][NAMES + 1];

static void note_told(void)
{
	if (stream_in_transaction(iw.stream) || iw.in->n_pending || iw.in->n_txn_lanes)
		return;
	for (const struct lane *l = sent_by()->lanes; l; l = l->next) {
		if (l->stale || l->class != CLASS_BULK)
			continue;
		for (uint64_t q = 1; q <= NAMES; q++)
			told[l->epoch][q] |= window_has(&l->window, q);
	}
}

static bool bad_disk;

static void spoil_disk(void)
{
	struct faulty_plan plan = {.ops = FAULTY_CHANGES | FAULTY_READ,
				   .how = (enum faulty_how)roll(3),
				   .per_mille = 1 + roll(30),
				   .seed = roll(UINT64_MAX)};

	faulty_vfs_plan(bad_disk ? &plan : NULL);
}

static void restart(bool power_cut)
{
	if (bad_disk && power_cut)
		faulty_vfs_cut();
	else
		faulty_vfs_plan(NULL);
	ingest_close();
	iw.registry = registry_close(iw.registry);
	if (bad_disk && power_cut)
		(void)faulty_vfs_power_on();
	ck_assert_int_eq(registry_open(&iw.registry, store_path("relay.db"), &iw.clk.tb, NULL), 0);
	ingest_open();
	send_any_batch(); /* so that there is a sender */
	spoil_disk();
}

static void disturb(void)
{
	switch (roll(6)) {
	case 0:
		ingest_abort(iw.in, -ENOSPC);
		break;
	case 1:
		if (stream_in_transaction(iw.stream))
			ck_assert_int_eq(sqlite3_exec(iw.stream->db, "ROLLBACK", NULL, NULL, NULL),
					 SQLITE_OK);
		break;
	case 2:
		restart(false);
		break;
	case 5:
		restart(true);
		break;
	case 3:
		maintain_all();
		break;
	default:
		ingest_commit(iw.in);
	}
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
}

static void step(void)
{
	uint64_t what = roll(100);

	timebase_fake_advance(&iw.clk, NS_PER_MS);
	if (what < 60)
		send_any_batch();
	else if (what < 80)
		send_any_gap();
	else if (what < 85)
		send_clock(1 + roll(EPOCHS), NAMES + 1 + roll(NAMES), 1 + roll(3),
			   (int64_t)roll(INT64_MAX), (int64_t)roll(INT64_MAX),
			   (enum clock_quality)roll(3));
	else if (what < 90)
		send_rubbish();
	else
		disturb();
	note_told();
}

/* ---- what has to hold ---- */

static int64_t query_at(const char *sql, struct name n)
{
	char text[512];

	snprintf(text, sizeof(text), sql, (unsigned long long)n.epoch, (unsigned long long)n.seq);
	return query_number(text);
}

static bool is_stored(struct name n)
{
	return query_at("SELECT count(*) FROM batch WHERE epoch = %llu AND seq = %llu", n) > 0;
}

static struct name first_name(struct name n)
{
	return origins[n.epoch][n.seq].epoch ? origins[n.epoch][n.seq] : n;
}

/* Under the name that it had first, or any that it had later: how often. */
static int times_stored(struct name n)
{
	struct name first = first_name(n);
	int times = 0;

	for (uint64_t e = 1; e <= EPOCHS; e++) {
		for (uint64_t q = 1; q <= NAMES; q++) {
			struct name f = first_name((struct name){e, q});

			if (f.epoch == first.epoch && f.seq == first.seq)
				times += is_stored((struct name){e, q});
		}
	}
	return times;
}

static bool window_of_disk_has(struct name n)
{
	struct window w;
	struct stream_counts c;
	bool has;

	ck_assert_int_eq(
		stream_get_window(iw.stream, sent_by()->device_key, n.epoch, CLASS_BULK, &w, &c),
		0);
	has = window_has(&w, n.seq);
	window_free(&w);
	return has;
}

static void check_name(struct name n)
{
	int missing =
		stream_is_missing(iw.stream, sent_by()->device_key, n.epoch, CLASS_BULK, n.seq);
	int stored = times_stored(n);

	ck_assert_int_ge(missing, 0);
	ck_assert_int_le(stored, 1);
	if (window_of_disk_has(n))
		ck_assert_msg(stored || missing, "%llu/%llu has an answer, and is nowhere",
			      (unsigned long long)n.epoch, (unsigned long long)n.seq);
	else
		ck_assert_msg(!is_stored(n) && !missing, "%llu/%llu is there without an answer",
			      (unsigned long long)n.epoch, (unsigned long long)n.seq);
	ck_assert_msg(!told[n.epoch][n.seq] || window_of_disk_has(n),
		      "%llu/%llu had a receipt, and is unknown", (unsigned long long)n.epoch,
		      (unsigned long long)n.seq);
	if (is_stored(n))
		ck_assert_int_eq(missing, 0);
}

static void check_all(void)
{
	ck_assert_int_eq(query_number("SELECT count(*) FROM (SELECT 1 FROM batch GROUP BY epoch, "
				      "class, seq HAVING count(*) > 1)"),
			 0);
	for (uint64_t e = 1; e <= EPOCHS; e++)
		for (uint64_t q = 1; q <= NAMES; q++)
			check_name((struct name){e, q});
	ck_assert_int_eq(query_number("SELECT count(*) FROM gap_total WHERE seqs < 0"), 0);
}

START_TEST(test_anything)
{
	dice = 88172645463325252u + (uint64_t)_i * 977;
	for (uint64_t e = 2; e <= EPOCHS; e++)
		for (uint64_t q = 1; q <= NAMES; q++)
			origins[e][q] =
				roll(3) ? (struct name){0, 0} : (struct name){1, 1 + roll(NAMES)};
	send_any_batch();
	spoil_disk();
	for (int i = 0; i < STEPS; i++)
		step();
	timebase_fake_advance(&iw.clk, 2 * NS_PER_S);
	bad_disk = false;
	restart(false);
	maintain_all();
	check_all();
	ck_assert_uint_gt(stream_rows(), EPOCHS * NAMES / 4);
}
END_TEST

static void bad_disk_setup(void)
{
	bad_disk = true;
	ck_assert_int_eq(faulty_vfs_install(), 0);
	ingest_setup();
}

static void bad_disk_teardown(void)
{
	ingest_teardown();
	faulty_vfs_remove();
}

/* ---- bounds ---- */

static size_t lanes(void)
{
	size_t n = 0;

	for (const struct lane *l = sent_by()->lanes; l; l = l->next)
		n++;
	return n;
}

START_TEST(test_all_is_bounded)
{
	enum { MANY = 6000 };

	dice = 42;
	for (int i = 0; i < MANY; i++) {
		struct envelope named = {.epoch = roll(UINT64_MAX), .seq = 1 + roll(GAP_OPEN)};
		struct gap g = {.through = named.seq + roll(1000), .reason = GAP_QUOTA};

		timebase_fake_advance(&iw.clk, NS_PER_MS);
		send_gap((enum uplink_class)roll(CLASS_COUNT), &named, &g);
		send_clock(named.epoch, named.seq, 1 + roll(UINT64_MAX), 1 + (int64_t)i, 0,
			   CLOCK_SYNCED);
		send_rubbish();
		if (i % 64 == 0) {
			ingest_commit(iw.in);
			for (struct lane *l = sent_by()->lanes; l; l = l->next)
				l->untold = false; /* as if told: nobody is connected */
		}
	}
	maintain_all();
	ck_assert_int_eq(iw.in->stats.storage, 0);
	ck_assert_uint_le(lanes(), LANES_MAX);
	ck_assert_int_le(query_number("SELECT count(*) FROM window"), WINDOWS_MAX);
	ck_assert_int_le(query_number("SELECT count(*) FROM gap"), STREAM_GAPS_MAX);
	ck_assert_int_le(query_number("SELECT count(*) FROM boot_clock"), STREAM_CLOCKS_MAX);
	ck_assert_int_le(query_number("SELECT count(*) FROM quarantine"), 10);
	ck_assert_int_le(query_number("SELECT count(*) FROM context"),
			 STREAM_CONTEXTS_MAX * CLASS_COUNT);
	ck_assert_int_le(query_number("SELECT count(*) FROM gap_total"), WINDOWS_MAX);
}
END_TEST

int main(void)
{
	TCase *cases[2], *t = tcase_create("hostile");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_gap_in_too_many_pieces);
	tcase_add_loop_test(t, test_anything, 0, 8);
	tcase_add_test(t, test_all_is_bounded);
	cases[0] = t;
	t = cases[1] = tcase_create("bad disk");
	tcase_add_checked_fixture(t, bad_disk_setup, bad_disk_teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_anything, 0, 12);
	return suite_run("relay_hostile", cases, 2);
}
