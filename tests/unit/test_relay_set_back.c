/* A relay that was given an older copy of stream.db, or has lost it: receipts tell what is there,
 * and nothing is stored twice. */
#include "proto/context.h"
#include "relay/stream/internal.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>

enum { EPOCH = 7, BOOT = 99, PERIOD = 1000 };

static void copy_file(const char *from, const char *to)
{
	FILE *in = fopen(store_path(from), "rb"), *out = fopen(store_path(to), "wb");
	int c;

	ck_assert(in && out);
	while ((c = fgetc(in)) != EOF)
		fputc(c, out);
	fclose(in);
	fclose(out);
}

static void keep_copy(void)
{
	ingest_commit(iw.in);
	ingest_close();
	copy_file("stream.db", "copy.db");
	ingest_open();
}

static void set_back(void)
{
	ingest_commit(iw.in);
	ingest_close();
	copy_file("copy.db", "stream.db");
	remove(store_path("copy.db"));
	ingest_open();
}

static struct sent_batch batch(uint64_t seq)
{
	return (struct sent_batch){.epoch = EPOCH,
				   .seq = seq,
				   .class = CLASS_BULK,
				   .boot = BOOT,
				   .quality = CLOCK_SYNCED,
				   .mono_ns = (int64_t)seq * NS_PER_S,
				   .first = seq,
				   .n = 1};
}

static void send(uint64_t seq)
{
	struct sent_batch b = batch(seq);

	send_batch(&b);
}

static void lost(uint64_t from, uint64_t through)
{
	send_gap(CLASS_BULK, &(struct envelope){.epoch = EPOCH, .seq = from},
		 &(struct gap){.through = through, .reason = GAP_RECEIPTED});
}

static const struct window *window(void)
{
	return &lane_of(EPOCH, CLASS_BULK)->window;
}

START_TEST(test_older_copy)
{
	struct receipt r = {0};

	for (uint64_t seq = 1; seq <= 10; seq++)
		send(seq);
	keep_copy();
	for (uint64_t seq = 11; seq <= 50; seq++)
		send(seq);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->through, 50);
	set_back();

	send(51);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window_describe(window(), 1, INT64_MAX, &r), 0);
	ck_assert_uint_eq(r.acked_through, 10); /* no more than it has */
	ck_assert_uint_eq(r.n_ranges, 1);
	ck_assert(r.ranges[0].from == 51 && r.ranges[0].to == 51);
	send(30); /* some the vehicle still has */
	lost(11, 29);
	lost(31, 50);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->through, 51);
	ck_assert_uint_eq(iw.in->stats.gap_seqs[CLASS_BULK][GAP_RECEIPTED], 39);
	for (uint64_t seq = 1; seq <= 10; seq++)
		send(seq); /* again, whatever became of their receipts */
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 12);
}
END_TEST

START_TEST(test_lost)
{
	for (uint64_t seq = 1; seq <= 10; seq++)
		send(seq);
	ingest_commit(iw.in);
	ingest_close();
	remove(store_path("stream.db"));
	ingest_open();
	send(11);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->through, 0);
	lost(1, 10);
	ingest_commit(iw.in);
	ck_assert_uint_eq(window()->through, 11);
}
END_TEST

/* ---- contexts ---- */

static struct context introduce(uint64_t seq)
{
	struct buf body cleanup(buf_free) = BUF_INIT(4096);
	struct envelope e = {.epoch = EPOCH, .seq = seq, .introduces = PERIOD + 1};
	struct sent_batch b = batch(seq);
	struct context c;

	make_batch_body(&b, &body, &e.encoding);
	e.body = body.data;
	e.body_len = body.len;
	ck_assert_int_eq(context_make(&c, &e, PERIOD), 0);
	send_envelope(CLASS_BULK, &e);
	return c;
}

static void send_short(const struct context *c, uint64_t seq)
{
	struct buf body cleanup(buf_free) = BUF_INIT(4096), out cleanup(buf_free) = BUF_INIT(4096);
	struct envelope e = {.epoch = EPOCH, .seq = seq};
	struct sent_batch b = batch(seq);

	make_batch_body(&b, &body, &e.encoding);
	e.body = body.data;
	e.body_len = body.len;
	ck_assert_int_eq(context_compress(c, &e, &out), 1);
	send_payload(CLASS_BULK, &out);
}

START_TEST(test_contexts)
{
	struct context old = introduce(1), newer;

	keep_copy();
	newer = introduce(2);
	set_back();
	send_short(&newer, 3);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_UNKNOWN_CONTEXT], 1);
	ck_assert_uint_eq(sent_by()->unknown_context[CLASS_BULK], newer.id);
	send_short(&old, 4); /* of before */
	ingest_commit(iw.in);
	ck_assert(!window_has(window(), 3) && window_has(window(), 4));
	newer = introduce(3); /* whole, as it was asked for */
	ingest_commit(iw.in);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->context, newer.id);
	send_short(&newer, 5);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stream_rows(), 4); /* 1, 3, 4, 5 */
	ck_assert(!window_has(window(), 2));
}
END_TEST

/* ---- clocks ---- */

/* The vehicle has told its clock, and has deleted that row: the next batch tells it, too. */
START_TEST(test_clocks)
{
	struct sent_batch wrong = batch(1);

	wrong.quality = CLOCK_UNKNOWN;
	wrong.wall_ns = 5 * NS_PER_S; /* 1970 */
	send_batch(&wrong);
	keep_copy();
	send_clock(EPOCH, 1, BOOT, iw.clk.wall.ns, 2 * NS_PER_S, CLOCK_SYNCED);
	maintain_all();
	ck_assert_int_eq(query_number("SELECT first FROM batch"), iw.clk.wall.ns - NS_PER_S);
	set_back();
	maintain_all();
	ck_assert_int_eq(query_number("SELECT first FROM batch"), 5 * NS_PER_S);
	send(2);
	maintain_all();
	ck_assert_int_eq(query_number("SELECT first FROM batch WHERE seq = 1"),
			 iw.clk.wall.ns - NS_PER_S);
	ck_assert_uint_eq(state_value().raw, 2);
}
END_TEST

/* ---- state ---- */

START_TEST(test_state)
{
	send(1);
	timebase_fake_advance(&iw.clk, NS_PER_S);
	maintain_all();
	keep_copy();
	send(2);
	timebase_fake_advance(&iw.clk, NS_PER_S);
	maintain_all();
	ck_assert_uint_eq(state_value().raw, 2);
	set_back();
	ck_assert_uint_eq(state_value().raw, 1); /* what it has */
	send(3);
	ingest_commit(iw.in);
	ck_assert_uint_eq(state_value().raw, 3);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("set_back");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_older_copy);
	tcase_add_test(t, test_lost);
	tcase_add_test(t, test_contexts);
	tcase_add_test(t, test_clocks);
	tcase_add_test(t, test_state);
	return suite_run("relay_set_back", &t, 1);
}
