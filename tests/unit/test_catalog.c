/* Catalogs: built, loaded, and what is found in them. */
#include "tests/unit/catalog_draft.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

START_TEST(what_is_built_is_what_was_described)
{
	struct draft d;
	struct catalog *c, *again;
	struct error err;

	draft_init(&d);
	c = draft_build(&d);
	ck_assert_uint_eq(c->n_buses, 2);
	ck_assert_str_eq(c->buses[1], "can1");
	ck_assert_uint_eq(c->n_messages, 3);
	ck_assert_uint_eq(c->n_signals, 6);
	ck_assert_str_eq(c->messages[0].comment, "c");
	ck_assert_uint_eq(c->messages[1].id, 0x18fef100);
	ck_assert(c->messages[1].extended && c->messages[1].j1939);
	ck_assert_uint_eq(c->messages[1].bytes, 16);
	ck_assert_uint_eq(c->messages[2].first_signal, 5);
	ck_assert_str_eq(c->signals[0].unit, "1/min");
	ck_assert_double_eq(c->signals[0].factor, 0.25);
	ck_assert_double_eq(c->signals[0].offset, -40);
	ck_assert_uint_eq(c->signals[0].mux, CATALOG_NONE);
	ck_assert(c->signals[1].big_endian && c->signals[2].is_mux);
	ck_assert_uint_eq(c->signals[3].mux, 2);
	ck_assert_uint_eq(c->signals[3].n_mux_ranges, 2);
	ck_assert_uint_eq(c->signals[3].mux_ranges[0].to, 3);
	ck_assert_int_eq(c->signals[3].kind, SIGNAL_SIGNED);
	ck_assert_str_eq(c->signals[3].choices[2].text, "fünf");
	ck_assert_uint_eq(c->signals[5].message, 2);
	ck_assert_int_eq(catalog_load(&again, c->bytes, c->len, &err), 0);
	ck_assert_uint_eq(again->id, c->id);
	ck_assert_mem_eq(again->sha256, c->sha256, 32);
	catalog_free(again);
	catalog_free(c);
	ck_assert_ptr_null(catalog_free(NULL));
}
END_TEST

START_TEST(the_name_is_the_hash_of_the_bytes)
{
	struct draft d;
	struct catalog *a, *b;
	uint64_t id = 0;

	draft_init(&d);
	a = draft_build(&d);
	d.signals[0].factor = 0.5;
	b = draft_build(&d);
	ck_assert_uint_ne(a->id, b->id);
	for (int i = 7; i >= 0; i--)
		id = id << 8 | a->sha256[i];
	ck_assert_uint_eq(id, a->id);
	catalog_free(a);
	catalog_free(b);
}
END_TEST

START_TEST(an_empty_catalog_has_the_hash_of_its_two_bytes)
{
	/* printf '\010\001' | sha256sum */
	static const uint8_t WANTED[4] = {0xfb, 0x8d, 0xa7, 0xeb};
	struct catalog none = {0}, *c;

	ck_assert_int_eq(catalog_build(&c, &none, NULL), 0);
	ck_assert_uint_eq(c->len, 2);
	ck_assert_mem_eq(c->bytes, "\010\001", 2);
	ck_assert_mem_eq(c->sha256, WANTED, sizeof(WANTED));
	catalog_free(c);
}
END_TEST

START_TEST(signals_are_found_by_path)
{
	struct draft d;
	struct catalog *c;
	uint32_t n = 99;
	char path[64];

	draft_init(&d);
	c = draft_build(&d);
	ck_assert_int_eq(catalog_find(c, "can0.ENGINE.RPM", &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(catalog_find(c, "can1.ENGINE.RPM", &n), 0);
	ck_assert_uint_eq(n, 5);
	ck_assert_int_eq(catalog_find(c, "ENGINE.TEMP", &n), 0);
	ck_assert_uint_eq(n, 1);
	n = 99;
	ck_assert_int_eq(catalog_find(c, "ENGINE.RPM", &n), -EEXIST);
	ck_assert_int_eq(catalog_find(c, "can2.ENGINE.RPM", &n), -ENOENT);
	ck_assert_int_eq(catalog_find(c, "can.ENGINE.RPM", &n), -ENOENT);
	ck_assert_int_eq(catalog_find(c, "RPM", &n), -ENOENT);
	ck_assert_int_eq(catalog_find(c, "", &n), -ENOENT);
	ck_assert_int_eq(catalog_find(c, "...", &n), -ENOENT);
	ck_assert_int_eq(catalog_find(c, "can0.x.ENGINE.RPM", &n), -ENOENT);
	ck_assert_uint_eq(n, 99);
	ck_assert_uint_eq(catalog_path(c, 3, path, sizeof(path)), 14);
	ck_assert_str_eq(path, "can1.GEAR.GEAR");
	ck_assert_uint_eq(catalog_path(c, 3, path, 5), 14);
	ck_assert_str_eq(path, "can1");
	catalog_free(c);
}
END_TEST

START_TEST(values_follow_their_kind)
{
	struct catalog_signal s = plain_signal("X", 0, 0, 64);
	float f = -2.5f;
	uint32_t f_bits;
	double g = 1e300;
	uint64_t g_bits;

	ck_assert_double_eq(catalog_value(&s, UINT64_MAX), 18446744073709551616.0);
	s.kind = SIGNAL_SIGNED;
	s.factor = 0.5;
	s.offset = 1;
	ck_assert_double_eq(catalog_value(&s, UINT64_MAX), 0.5);
	s.kind = SIGNAL_FLOAT32;
	memcpy(&f_bits, &f, 4);
	ck_assert_double_eq(catalog_value(&s, f_bits), -0.25);
	s.kind = SIGNAL_FLOAT64;
	s.offset = 0;
	memcpy(&g_bits, &g, 8);
	ck_assert_double_eq(catalog_value(&s, g_bits), 5e299);
}
END_TEST

START_TEST(choices_are_found)
{
	struct draft d;
	struct catalog_signal *s = &d.signals[3];

	draft_init(&d);
	ck_assert_str_eq(catalog_choice(s, UINT64_MAX), "reverse");
	ck_assert_str_eq(catalog_choice(s, 0), "neutral");
	ck_assert_ptr_null(catalog_choice(s, 1));
	ck_assert_ptr_null(catalog_choice(s, 6));
	ck_assert_ptr_null(catalog_choice(&d.signals[0], 0));
	s->kind = SIGNAL_FLOAT32;
	ck_assert_ptr_null(catalog_choice(s, 0));
}
END_TEST

START_TEST(files_are_loaded_and_named_in_errors)
{
	char dir[] = "/tmp/towline-catalog-XXXXXX", path[64];
	struct error err = {0};
	struct catalog *c, *loaded;
	struct draft d;
	FILE *f;

	draft_init(&d);
	c = draft_build(&d);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.catalog", dir);
	ck_assert_int_eq(catalog_load_file(&loaded, path, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	f = fopen(path, "wb");
	ck_assert_uint_eq(fwrite(c->bytes, 1, c->len, f), c->len);
	fclose(f);
	ck_assert_int_eq(catalog_load_file(&loaded, path, &err), 0);
	ck_assert_uint_eq(loaded->id, c->id);
	catalog_free(loaded);
	f = fopen(path, "wb");
	fputs("garbage", f);
	fclose(f);
	ck_assert_int_eq(catalog_load_file(&loaded, path, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_int_eq(catalog_load_file(&loaded, dir, &err), -EISDIR);
	unlink(path);
	rmdir(dir);
	catalog_free(c);
}
END_TEST

START_TEST(ten_thousand_signals_load_quickly)
{
	enum { MESSAGES = 400, EACH = 25, N = MESSAGES * EACH };
	static struct catalog_message messages[MESSAGES];
	static struct catalog_signal signals[N];
	static char names[N][24];
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = MESSAGES,
			       .signals = signals,
			       .n_signals = N};
	struct timespec a, b;
	struct catalog *c, *again;
	double ms;

	for (uint32_t i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "SIGNAL_%u", i);
		signals[i] = plain_signal(names[i], i / EACH, 0, 8);
		if (i % EACH == 0)
			messages[i / EACH] = (struct catalog_message){.name = names[i],
								      .id = i / EACH,
								      .bytes = 8,
								      .first_signal = i,
								      .n_signals = EACH};
	}
	ck_assert_int_eq(catalog_build(&c, &from, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	ck_assert_int_eq(catalog_load(&again, c->bytes, c->len, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
	ck_assert_msg(ms < 1000, "%.1f ms", ms); /* some 5 ms; generous: machines are shared */
	for (uint32_t i = 0; i < N; i++) {
		char path[64];
		uint32_t found;

		catalog_path(again, i, path, sizeof(path));
		ck_assert_int_eq(catalog_find(again, path, &found), 0);
		ck_assert_uint_eq(found, i);
	}
	catalog_free(again);
	catalog_free(c);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("catalog");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, what_is_built_is_what_was_described);
	tcase_add_test(tc, the_name_is_the_hash_of_the_bytes);
	tcase_add_test(tc, an_empty_catalog_has_the_hash_of_its_two_bytes);
	tcase_add_test(tc, signals_are_found_by_path);
	tcase_add_test(tc, values_follow_their_kind);
	tcase_add_test(tc, choices_are_found);
	tcase_add_test(tc, files_are_loaded_and_named_in_errors);
	tcase_add_test(tc, ten_thousand_signals_load_quickly);
	return suite_run("catalog", &tc, 1);
}
