/* Short envelopes at the relay: kept with the batch that introduces them, whole again when stored.
 */
#include "proto/context.h"
#include "relay/stream/contexts.h"
#include "relay/stream/internal.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { EPOCH = 7, PERIOD = 1000 };

static struct sent_batch batch(uint64_t seq)
{
	return (struct sent_batch){.epoch = EPOCH,
				   .seq = seq,
				   .boot = 0xb007,
				   .wall_ns = iw.clk.wall.ns + (int64_t)seq * NS_PER_S,
				   .mono_ns = (int64_t)seq * NS_PER_S,
				   .quality = CLOCK_SYNCED,
				   .first = seq};
}

static struct envelope envelope_of(uint64_t seq, struct buf *body)
{
	struct sent_batch b = batch(seq);
	struct envelope e = {.epoch = EPOCH, .seq = seq};

	make_batch_body(&b, body, &e.encoding);
	e.body = body->data;
	e.body_len = body->len;
	return e;
}

static struct context introduce_with(uint64_t seq, uint64_t period)
{
	struct buf body cleanup(buf_free) = BUF_INIT(4096);
	struct envelope e = envelope_of(seq, &body);
	struct context c;

	e.introduces = period + 1;
	ck_assert_int_eq(context_make(&c, &e, period), 0);
	send_envelope(CLASS_BULK, &e);
	return c;
}

/* As an agent does: whole, and says that others will refer to it. */
static struct context introduce(uint64_t seq)
{
	return introduce_with(seq, PERIOD);
}

static void send_short(const struct context *c, enum uplink_class class, uint64_t seq)
{
	struct buf body cleanup(buf_free) = BUF_INIT(4096);
	struct buf out cleanup(buf_free) = BUF_INIT(4096);
	struct envelope e = envelope_of(seq, &body);

	ck_assert_int_eq(context_compress(c, &e, &out), 1);
	send_payload(class, &out);
}

static uint64_t stored(void)
{
	return iw.in->stats.results[INGEST_STORED];
}

static uint64_t unknown(void)
{
	return iw.in->stats.results[INGEST_UNKNOWN_CONTEXT];
}

/* What is stored of it is what is stored of a whole one. */
static void check_body(uint64_t seq)
{
	struct buf body cleanup(buf_free) = BUF_INIT(4096);
	struct envelope e = envelope_of(seq, &body);
	char sql[128];
	sqlite3_stmt *st;

	(void)snprintf(sql, sizeof(sql), "SELECT body, epoch FROM batch WHERE seq = %d", (int)seq);
	ck_assert_int_eq(sqlite3_prepare_v2(iw.stream->db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	ck_assert_int_eq(sqlite3_column_bytes(st, 0), (int)e.body_len);
	ck_assert_mem_eq(sqlite3_column_blob(st, 0), e.body, e.body_len);
	ck_assert_int_eq(sqlite3_column_int(st, 1), EPOCH);
	sqlite3_finalize(st);
}

START_TEST(test_short_ones_are_stored_whole)
{
	struct context c = introduce(1);

	send_short(&c, CLASS_BULK, 2); /* in the same transaction: it may be sent again so */
	ingest_commit(iw.in);
	send_short(&c, CLASS_BULK, 3);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stored(), 3);
	for (uint64_t seq = 1; seq <= 3; seq++)
		check_body(seq);
	send_short(&c, CLASS_BULK, 3);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_DUPLICATE], 1);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->window.through, 3);
}
END_TEST

START_TEST(test_it_is_named_once_it_is_on_disk)
{
	struct context c = introduce(1);

	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->context, 0);
	ingest_commit(iw.in);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->context, c.id);
	lane_of(EPOCH, CLASS_BULK)->context = 0;
	introduce(1); /* the receipt was lost */
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->context, c.id);
	ck_assert_int_eq(query_number("SELECT count(*) FROM context"), 1);
}
END_TEST

START_TEST(test_unknown_ones_are_told)
{
	struct context c = introduce(1);

	send_short(&c, CLASS_LIVE, 2); /* of another class */
	ck_assert_uint_eq(unknown(), 1);
	ck_assert_uint_eq(sent_by()->unknown_context[CLASS_LIVE], c.id);
	c.id ^= 1;
	c.seq++;
	send_short(&c, CLASS_BULK, 2);
	ck_assert_uint_eq(unknown(), 2);
	ck_assert_uint_eq(sent_by()->unknown_context[CLASS_BULK], c.id);
	ck_assert(sent_by()->queued);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stored(), 1);
}
END_TEST

START_TEST(test_they_outlive_the_relay)
{
	struct context c = introduce(1);

	ingest_commit(iw.in);
	ingest_close();
	ingest_open();
	send_short(&c, CLASS_BULK, 2);
	ingest_commit(iw.in);
	ck_assert_uint_eq(unknown(), 0);
	check_body(2);
}
END_TEST

START_TEST(test_a_rollback_takes_them_back)
{
	struct context c = introduce(1);

	introduce(1); /* again, and named in the next receipt */
	ingest_abort(iw.in, -EIO);
	iw.in->refusing = false;
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->context, 0);
	send_short(&c, CLASS_BULK, 2);
	ck_assert_uint_eq(unknown(), 1);
	ck_assert_int_eq(query_number("SELECT count(*) FROM context"), 0);
	introduce(1);
	send_short(&c, CLASS_BULK, 2);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stored(), 2);
}
END_TEST

START_TEST(test_the_latest_are_kept)
{
	enum { MORE = 3 };
	struct context c[STREAM_CONTEXTS_MAX + MORE];
	uint64_t seq = 1;

	for (size_t i = 0; i < array_len(c); i++)
		c[i] = introduce(seq++);
	ingest_commit(iw.in);
	ck_assert_int_eq(query_number("SELECT count(*) FROM context"), STREAM_CONTEXTS_MAX);
	for (int reopened = 0; reopened < 2; reopened++) {
		uint64_t before = unknown();

		for (size_t i = 0; i < array_len(c); i++)
			send_short(&c[i], CLASS_BULK, seq++);
		ck_assert_uint_eq(unknown() - before, MORE);
		ingest_commit(iw.in);
		ingest_close();
		ingest_open();
	}
}
END_TEST

/* ---- two of one id ---- */

struct named {
	uint32_t id;
	uint64_t period;
};

static int by_id(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* Periods by which batches 1 and 2 introduce contexts of the same id: of so many there are some. */
static void find_twins(uint64_t *ret_first, uint64_t *ret_second)
{
	enum { MANY = 200000 };
	struct named *ids = calloc(MANY, sizeof(*ids));
	struct buf bodies[2] = {BUF_INIT(4096), BUF_INIT(4096)};
	struct envelope e[2] = {envelope_of(1, &bodies[0]), envelope_of(2, &bodies[1])};
	struct context c;
	size_t i;

	for (i = 0; i < MANY; i++) {
		ck_assert_int_eq(context_make(&c, &e[i % 2], i), 0);
		ids[i] = (struct named){c.id, i};
	}
	qsort(ids, MANY, sizeof(*ids), by_id);
	for (i = 1; i < MANY; i++)
		if (ids[i].id == ids[i - 1].id && (ids[i].period + ids[i - 1].period) % 2 == 1)
			break;
	ck_assert_uint_lt(i, MANY);
	*ret_first = ids[ids[i].period % 2 ? i - 1 : i].period;
	*ret_second = ids[ids[i].period % 2 ? i : i - 1].period;
	buf_free(&bodies[0]);
	buf_free(&bodies[1]);
	free(ids);
}

START_TEST(test_two_of_one_id_are_not_mixed_up)
{
	uint64_t periods[2];
	struct context first, second;

	find_twins(&periods[0], &periods[1]);
	first = introduce_with(1, periods[0]);
	second = introduce_with(2, periods[1]);
	ck_assert_uint_eq(first.id, second.id);
	ingest_commit(iw.in);
	ck_assert_uint_eq(stored(), 2);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->context, first.id);
	ck_assert_int_eq(query_number("SELECT count(*) FROM context"), 1);
	send_short(&first, CLASS_BULK, 3);
	ingest_commit(iw.in);
	check_body(3);
	lane_of(EPOCH, CLASS_BULK)->context = 0;
	introduce_with(2, periods[1]); /* sent again: it is not what the id names */
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->context, 0);
}
END_TEST

START_TEST(test_a_removed_vehicle_leaves_none)
{
	struct context c = introduce(1);

	ingest_commit(iw.in);
	ck_assert_int_eq(registry_remove_vehicle(iw.registry, "v1", NULL), 0);
	maintain_all();
	ck_assert_int_eq(query_number("SELECT count(*) FROM context"), 0);
	send_short(&c, CLASS_BULK, 2);
	ck_assert_uint_eq(unknown(), 1);
}
END_TEST

START_TEST(test_what_does_not_fit_is_kept_aside)
{
	struct context c = introduce(1);
	struct buf out cleanup(buf_free) = BUF_INIT(64);

	maintain_all(); /* allows some to be kept */
	ck_assert_int_eq(buf_put_u8(&out, CONTEXT_MARK), 0);
	send_payload(CLASS_BULK, &out);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_INVALID], 1);
	ck_assert_int_eq(buf_put_fixed32(&out, c.id), 0);
	ck_assert_int_eq(buf_put(&out, "\x02\x00\x00\x12", 4), 0);
	send_payload(CLASS_BULK, &out);
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_INVALID], 2);
	ck_assert_int_eq(query_number("SELECT count(*) FROM quarantine"), 2);
	ck_assert_uint_eq(stored(), 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("contexts");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_add_test(t, test_short_ones_are_stored_whole);
	tcase_add_test(t, test_it_is_named_once_it_is_on_disk);
	tcase_add_test(t, test_unknown_ones_are_told);
	tcase_add_test(t, test_they_outlive_the_relay);
	tcase_add_test(t, test_a_rollback_takes_them_back);
	tcase_add_test(t, test_the_latest_are_kept);
	tcase_add_test(t, test_two_of_one_id_are_not_mixed_up);
	tcase_add_test(t, test_a_removed_vehicle_leaves_none);
	tcase_add_test(t, test_what_does_not_fit_is_kept_aside);
	return suite_run("relay contexts", &t, 1);
}
