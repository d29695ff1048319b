/* stream.db as earlier versions left it: its rows, windows and state are all there after the start;
 * one of a later version is left alone. */
#include "relay/embed.h"
#include "relay/stream/internal.h"
#include "tests/unit/ingest_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>

enum { EPOCH = 7 };

static void run_sql(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s", why);
}

static sqlite3 *open_raw(void)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(store_path("stream.db"), &db), SQLITE_OK);
	return db;
}

/* What a relay with schema 1 wrote: batches 1 to 3 and 6 of one class, and a state of version 1
 * that has them: signal 0 was 42 an hour before now. */
static void make_schema_1(void)
{
	struct registry_ids ids;
	struct buf blob cleanup(buf_free) = BUF_INIT(1 << 10);
	sqlite3 *db;
	char sql[512];
	sqlite3_stmt *st;

	ck_assert_int_eq(registry_find(iw.registry, "v1", "d1", &ids), 0);
	ingest_close();
	remove(store_path("stream.db"));
	db = open_raw();
	run_sql(db, "PRAGMA journal_mode = WAL");
	run_sql(db, relay_stream_schema_1);
	run_sql(db, "PRAGMA user_version = 1");
	snprintf(sql, sizeof(sql),
		 "INSERT INTO batch (vehicle, device, epoch, class, seq, received, first, last, "
		 "catalog, samples, state, encoding, body) SELECT %" PRId64 ", %" PRId64
		 ", 7, 2, value, 5, 5, 5, 1, 10, 2, 0, x'00' FROM json_each('[1,2,3,6]')",
		 ids.vehicle, ids.device);
	run_sql(db, sql);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO window VALUES (%" PRId64 ", 7, 2, %" PRId64 ", 3, x'0300', 5)",
		 ids.device, ids.vehicle);
	run_sql(db, sql);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO device_stats VALUES (%" PRId64 ", %" PRId64 ", 5, 4, 40, 7)",
		 ids.device, ids.vehicle);
	run_sql(db, sql);
	run_sql(db, "UPDATE progress SET applied_through = 4");

	ck_assert_int_eq(buf_put_varint(&blob, 1), 0);
	ck_assert_int_eq(buf_put_fixed64(&blob, store_cat->id), 0);
	ck_assert_int_eq(buf_put_varint(&blob, 1), 0);
	ck_assert_int_eq(buf_put_varint(&blob, 0), 0);
	ck_assert_int_eq(buf_put_varint(&blob, zigzag_encode(iw.clk.wall.ns - 3600 * NS_PER_S)), 0);
	ck_assert_int_eq(buf_put_varint(&blob, 42), 0);
	ck_assert_int_eq(
		sqlite3_prepare_v2(db, "INSERT INTO state VALUES (?, 4, ?)", -1, &st, NULL),
		SQLITE_OK);
	sqlite3_bind_int64(st, 1, ids.vehicle);
	sqlite3_bind_blob(st, 2, blob.data, (int)blob.len, SQLITE_STATIC);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void send(uint64_t seq)
{
	send_batch(&(struct sent_batch){.epoch = EPOCH,
					.seq = seq,
					.class = CLASS_BULK,
					.quality = CLOCK_SYNCED,
					.first = seq});
}

START_TEST(test_from_schema_1)
{
	struct stream_device d;

	make_schema_1();
	ingest_open();
	ck_assert_uint_eq(stream_rows(), 4);
	ck_assert_uint_eq(state_value().raw, 42);
	ck_assert_int_eq(state_value().wall_ns, iw.clk.wall.ns - 3600 * NS_PER_S);
	for (uint64_t seq = 1; seq <= 6; seq++)
		send(seq);
	ingest_commit(iw.in);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_DUPLICATE], 4);
	ck_assert_uint_eq(iw.in->stats.results[INGEST_STORED], 2);
	ck_assert_uint_eq(lane_of(EPOCH, CLASS_BULK)->window.through, 6);
	ck_assert_int_eq(stream_get_device(iw.stream, sent_by()->device_key, &d), 0);
	ck_assert_uint_eq(d.batches, 6);
	ck_assert_uint_eq(state_value().raw, 5);
	ck_assert_int_eq(query_number("PRAGMA user_version"), (int64_t)stream_n_migrations);
	ck_assert_int_eq(query_number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
}
END_TEST

START_TEST(test_newer_is_left_alone)
{
	struct stream *s;
	struct error err = {0};
	sqlite3 *db;
	sqlite3_stmt *st;

	send(1);
	ingest_commit(iw.in);
	ingest_close();
	db = open_raw();
	run_sql(db, "PRAGMA user_version = 99");
	sqlite3_close(db);
	ck_assert_int_eq(stream_open(&s, store_path("stream.db"), 0, &err), -ENOTSUP);
	ck_assert(err.text[0]);
	db = open_raw();
	ck_assert_int_eq(sqlite3_prepare_v2(db,
					    "SELECT count(*), (SELECT user_version FROM "
					    "pragma_user_version) FROM batch",
					    -1, &st, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	ck_assert_int_eq(sqlite3_column_int(st, 0), 1);
	ck_assert_int_eq(sqlite3_column_int(st, 1), 99);
	sqlite3_finalize(st);
	sqlite3_close(db);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("migration");

	tcase_add_checked_fixture(t, ingest_setup, ingest_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_from_schema_1);
	tcase_add_test(t, test_newer_is_left_alone);
	return suite_run("relay_migration", &t, 1);
}
