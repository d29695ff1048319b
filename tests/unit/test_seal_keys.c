#include "tests/unit/seal_fixture.h"
#include "tests/unit/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *key_a, *key_b, *key_c;

static void set_up(void)
{
	seal_set_up();
	key_a = seal_key_file("a", 0xa);
	key_b = seal_key_file("b", 0xb);
	key_c = seal_key_file("c", 0xc);
}

static struct seal *attach(const char *key, const char *previous)
{
	struct seal_options opt = {.key_file = key, .previous_key_file = previous};

	return seal_must_attach(&opt);
}

static struct seal *attach_with_max(int64_t max_rows)
{
	struct seal_options opt = {.key_file = key_a, .data_key_max_rows = max_rows};

	return seal_must_attach(&opt);
}

static uint64_t fingerprint(const char *key)
{
	struct seal_options opt = {.key_file = key};
	struct seal *s = seal_must_new(&opt);
	uint64_t f = seal_fingerprint(s);

	seal_free(s);
	ck_assert_uint_ne(f, 0);
	return f;
}

/* One row under key_a. */
static void seal_one(void)
{
	struct seal *s = attach(key_a, NULL);

	seal_must_put(s, 1, "one");
	seal_free(s);
}

/* ---- the wrong key, or none ---- */

static void check_left_alone(void)
{
	struct seal *s = attach(key_a, NULL);

	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
}

START_TEST(wrong_key_is_refused)
{
	struct seal_options opt = {.key_file = key_b};
	char want[100];

	seal_one();
	snprintf(want, sizeof(want),
		 "1 rows are encrypted with key %016" PRIx64 ", and the one given is %016" PRIx64,
		 fingerprint(key_a), fingerprint(key_b));
	seal_attach_fails(&opt, -ENOKEY, want);
	opt.previous_key_file = key_c;
	seal_attach_fails(&opt, -ENOKEY, want);
	check_left_alone();
}
END_TEST

START_TEST(turned_off_with_sealed_rows_is_refused)
{
	char want[100];

	seal_one();
	seal_exec("INSERT INTO batch SELECT 2, key, body FROM batch");
	snprintf(want, sizeof(want), "2 rows are encrypted with key %016" PRIx64 ", and no key",
		 fingerprint(key_a));
	ck_assert_int_eq(seal_check(NULL, seal_db, &seal_err), -ENOKEY);
	ck_assert_ptr_nonnull(strstr(seal_err.text, want));
	check_left_alone();
	seal_exec("DELETE FROM batch");
	ck_assert_int_eq(seal_check(NULL, seal_db, &seal_err), 0);
}
END_TEST

START_TEST(wrong_key_without_rows_begins_anew)
{
	struct seal *s;

	seal_one();
	seal_exec("DELETE FROM batch");
	s = attach(key_b, NULL);
	seal_must_put(s, 1, "two");
	ck_assert_int_eq(seal_get(s, 1, "two"), 0);
	ck_assert_int_eq(seal_query("SELECT count(*) FROM key"), 1);
	ck_assert_int_eq(seal_query("SELECT count(*) FROM key_spare"), 1);
	seal_free(s);
}
END_TEST

START_TEST(previous_key_alone_reads)
{
	struct seal *s;

	seal_one();
	s = attach(NULL, key_a);
	ck_assert_uint_eq(seal_fingerprint(s), 0);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	ck_assert_int_eq(seal_must_put(s, 2, "plain"), 0);
	ck_assert_int_eq(seal_query("SELECT body = CAST('plain' AS BLOB) FROM batch WHERE id = 2"),
			 1);
	seal_free(s);
}
END_TEST

/* ---- rotation ---- */

START_TEST(rotation)
{
	struct seal *s;
	int64_t old_key, new_key;

	seal_one();
	old_key = seal_query("SELECT key FROM batch WHERE id = 1");
	s = attach(key_b, key_a);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	new_key = seal_must_put(s, 2, "two");
	ck_assert_int_ne(new_key, old_key);
	seal_free(s);

	s = attach(key_b, NULL); /* the previous one is not needed any more */
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	ck_assert_int_eq(seal_get(s, 2, "two"), 0);
	ck_assert_int_eq(seal_must_put(s, 3, "three"), new_key);
	ck_assert_int_eq(seal_query("SELECT count(DISTINCT kek) FROM key"), 1);
	ck_assert_int_eq(
		seal_query("SELECT count(*) FROM key JOIN key_spare USING (id, kek, wrapped)"), 2);
	seal_exec("DELETE FROM batch WHERE id = 1");
	seal_free(s);

	seal_free(attach(key_b, NULL));
	ck_assert_int_eq(seal_query("SELECT group_concat(id) FROM key"), new_key);
	ck_assert_int_eq(seal_query("SELECT group_concat(id) FROM key_spare"), new_key);
}
END_TEST

START_TEST(rotation_that_is_rolled_back)
{
	struct seal_options opt = {.key_file = key_b, .previous_key_file = key_a};
	struct seal *s;

	seal_one();
	s = seal_must_new(&opt);
	seal_exec("BEGIN");
	ck_assert_int_eq(seal_attach(s, seal_db, &seal_err), 0);
	seal_exec("ROLLBACK");
	seal_free(s);
	check_left_alone();
	s = attach(key_b, key_a);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
}
END_TEST

START_TEST(quarantined_rows_keep_their_key)
{
	int64_t key;

	seal_one();
	key = seal_query("SELECT key FROM batch");
	seal_exec("INSERT INTO quarantine SELECT id, key FROM batch; DELETE FROM batch");
	seal_free(attach(key_b, key_a));
	ck_assert_int_eq(seal_query("SELECT count(*) FROM key"), 2);
	ck_assert_int_eq(seal_query("SELECT min(id) FROM key"), key);
	seal_exec("DELETE FROM quarantine");
	seal_free(attach(key_b, NULL));
	ck_assert_int_eq(seal_query("SELECT count(*) FROM key"), 1);
}
END_TEST

/* ---- a data key serves so many rows ---- */

START_TEST(new_data_key_after_max_rows)
{
	struct seal *s = attach_with_max(10);
	char text[20];

	for (int64_t id = 1; id <= 35; id++) {
		snprintf(text, sizeof(text), "row %d", (int)id);
		seal_must_put(s, id, text);
	}
	ck_assert_int_eq(seal_query("SELECT count(DISTINCT key) FROM batch"), 4);
	ck_assert_int_eq(
		seal_query("SELECT max(n) FROM (SELECT count(*) AS n FROM batch GROUP BY key)"),
		10);
	seal_free(s);
	s = attach_with_max(10);
	for (int64_t id = 35; id > 0; id--) {
		snprintf(text, sizeof(text), "row %d", (int)id);
		ck_assert_int_eq(seal_get(s, id, text), 0);
	}
	seal_free(s);
}
END_TEST

/* The newest serves on. */
START_TEST(no_more_than_1024_data_keys)
{
	struct seal *s = attach_with_max(1);
	int64_t key = 0;

	seal_exec("BEGIN");
	for (int64_t id = 1; id <= 1024; id++) {
		ck_assert_int_gt(seal_must_put(s, id, "one"), key);
		key = seal_query("SELECT max(id) FROM key");
		ck_assert(!seal_trouble(s, &seal_err));
	}
	ck_assert_int_eq(seal_must_put(s, 1025, "one"), key);
	ck_assert(seal_trouble(s, &seal_err));
	ck_assert_str_eq(seal_err.text, "1024 data keys have rows: the newest serves on");
	seal_exec("COMMIT");
	seal_free(s);
	s = attach_with_max(1);
	ck_assert(seal_trouble(s, &seal_err));
	ck_assert_int_eq(seal_must_put(s, 1026, "two"), key);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	ck_assert_int_eq(seal_get(s, 1025, "one"), 0);
	seal_free(s);
}
END_TEST

START_TEST(used_up_data_key)
{
	static const char *const rows[] = {"4294967296", "9223372036854775807",
					   "-9223372036854775808"};
	struct seal *s = attach_with_max(3);
	int64_t first = seal_must_put(s, 1, "one");
	char sql[80];

	seal_free(s);
	snprintf(sql, sizeof(sql), "UPDATE key SET rows = %s", rows[_i]);
	seal_exec(sql);
	s = attach_with_max(3);
	ck_assert_int_ne(seal_must_put(s, 2, "two"), first);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
}
END_TEST

/* What was reserved and not used counts as used. */
START_TEST(count_survives_a_restart)
{
	struct seal *s = attach_with_max(5000);
	int64_t first = seal_must_put(s, 1, "one");

	ck_assert_int_eq(seal_query("SELECT rows FROM key"), 4096);
	seal_free(s);
	s = attach_with_max(5000);
	ck_assert_int_eq(seal_must_put(s, 2, "two"), first);
	ck_assert_int_ge(seal_query("SELECT rows FROM key"), 4097);
	seal_free(s);
	s = attach_with_max(5000);
	ck_assert_int_ne(seal_must_put(s, 3, "three"), first);
	seal_free(s);
}
END_TEST

/* ---- rollback ---- */

START_TEST(rolled_back_data_key_is_forgotten)
{
	struct seal *s = attach_with_max(2);
	int64_t first = seal_must_put(s, 1, "one"), key;

	seal_must_put(s, 2, "two");
	seal_exec("BEGIN");
	ck_assert_int_ne(seal_must_put(s, 3, "three"), first);
	seal_exec("ROLLBACK");
	seal_rolled_back(s);
	for (int64_t id = 3; id <= 6; id++) {
		key = seal_must_put(s, id, "again");
		ck_assert_int_ne(key, first);
	}
	seal_free(s);
	s = attach_with_max(2);
	ck_assert_int_eq(seal_get(s, 2, "two"), 0);
	for (int64_t id = 3; id <= 6; id++)
		ck_assert_int_eq(seal_get(s, id, "again"), 0);
	seal_free(s);
}
END_TEST

START_TEST(rolled_back_rows_count)
{
	struct seal *s = attach_with_max(3);
	int64_t first = seal_query("SELECT id FROM key");

	for (int i = 0; i < 3; i++) {
		seal_exec("BEGIN");
		ck_assert_int_eq(seal_must_put(s, 1, "one"), first);
		seal_exec("ROLLBACK");
		seal_rolled_back(s);
	}
	ck_assert_int_ne(seal_must_put(s, 1, "one"), first);
	seal_free(s);
}
END_TEST

/* ---- damage ---- */

START_TEST(either_copy_will_do)
{
	static const char *const damage[] = {
		"UPDATE key SET wrapped = zeroblob(60)",
		"UPDATE key_spare SET wrapped = zeroblob(60)",
		"UPDATE key SET wrapped = x'00'",
		"UPDATE key SET kek = kek + 1, wrapped = zeroblob(0)",
		"DELETE FROM key",
		"DELETE FROM key_spare",
	};
	struct seal *s;

	seal_one();
	seal_exec(damage[_i]);
	s = attach(key_a, NULL);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	ck_assert_int_eq(
		seal_query("SELECT count(*) FROM key k JOIN key_spare USING (id, kek, wrapped)"
			   " JOIN batch b ON b.key = k.id"),
		1);
	seal_free(s);
}
END_TEST

START_TEST(both_copies_damaged)
{
	struct seal *s;

	seal_one();
	seal_exec("UPDATE key SET wrapped = zeroblob(60)");
	seal_exec("UPDATE key_spare SET wrapped = zeroblob(60)");
	s = attach(key_a, NULL);
	ck_assert_int_eq(seal_get(s, 1, "one"), -EBADMSG);
	seal_must_put(s, 2, "two");
	ck_assert_int_eq(seal_get(s, 2, "two"), 0);
	seal_free(s);
}
END_TEST

/* ---- salvage ---- */

START_TEST(reader_of_another_file)
{
	struct seal_options opt = {.key_file = key_b, .previous_key_file = key_a};
	uint64_t kek = fingerprint(key_a);
	uint8_t wrapped[60];
	sqlite3_blob *blob;
	struct seal *s, *reader;

	seal_one();
	ck_assert_int_eq(sqlite3_blob_open(seal_db, "main", "key_spare", "wrapped", 1, 0, &blob),
			 0);
	ck_assert_int_eq(sqlite3_blob_read(blob, wrapped, sizeof(wrapped), 0), 0);
	sqlite3_blob_close(blob);
	s = seal_must_new(&opt);
	ck_assert_int_eq(seal_new_reader(&reader, s), 0);
	ck_assert_int_eq(seal_get(reader, 1, "one"), -EBADMSG);
	ck_assert_int_eq(seal_reader_add(reader, 1, kek + 1, wrapped, 60), -ENOKEY);
	ck_assert_int_eq(seal_reader_add(reader, 1, kek, wrapped, 59), -EBADMSG);
	ck_assert_int_eq(seal_reader_add(reader, 0, kek, wrapped, 60), -EBADMSG);
	wrapped[30] ^= 1;
	ck_assert_int_eq(seal_reader_add(reader, 1, kek, wrapped, 60), -EBADMSG);
	wrapped[30] ^= 1;
	ck_assert_int_eq(seal_reader_add(reader, 1, kek, wrapped, 60), 0);
	ck_assert_int_eq(seal_reader_add(reader, 1, kek, wrapped, 60), 0);
	ck_assert_int_eq(seal_get(reader, 1, "one"), 0);
	for (int64_t id = 2; id <= 1024; id++)
		ck_assert_int_eq(seal_reader_add(reader, id, kek, wrapped, 60), 0);
	ck_assert_int_eq(seal_reader_add(reader, 1025, kek, wrapped, 60), -ENOSPC);
	seal_free(reader);
	seal_free(s);
}
END_TEST

int main(void)
{
	TCase *keys = tcase_create("keys");

	tcase_add_checked_fixture(keys, set_up, seal_tear_down);
	tcase_add_test(keys, wrong_key_is_refused);
	tcase_add_test(keys, turned_off_with_sealed_rows_is_refused);
	tcase_add_test(keys, wrong_key_without_rows_begins_anew);
	tcase_add_test(keys, previous_key_alone_reads);
	tcase_add_test(keys, rotation);
	tcase_add_test(keys, rotation_that_is_rolled_back);
	tcase_add_test(keys, quarantined_rows_keep_their_key);
	tcase_add_test(keys, new_data_key_after_max_rows);
	tcase_add_test(keys, no_more_than_1024_data_keys);
	tcase_add_loop_test(keys, used_up_data_key, 0, 3);
	tcase_add_test(keys, count_survives_a_restart);
	tcase_add_test(keys, rolled_back_data_key_is_forgotten);
	tcase_add_test(keys, rolled_back_rows_count);
	tcase_add_loop_test(keys, either_copy_will_do, 0, 6);
	tcase_add_test(keys, both_copies_damaged);
	tcase_add_test(keys, reader_of_another_file);
	return suite_run("seal_keys", &keys, 1);
}
