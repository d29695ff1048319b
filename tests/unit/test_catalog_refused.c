/* Catalogs: refused when wrong in any way that the header names, and cheaply. */
#include "tests/unit/catalog_draft.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void spoil_bits_0(struct draft *d)
{
	d->signals[0].bits = 0;
}
static void spoil_bits_65(struct draft *d)
{
	d->signals[0].bits = 65;
}
static void spoil_end(struct draft *d)
{
	d->signals[0].start_bit = 49;
}
static void spoil_start(struct draft *d)
{
	d->signals[0].start_bit = 64;
}
static void spoil_start_be(struct draft *d)
{
	d->signals[1].start_bit = 50;
}
static void spoil_no_bytes(struct draft *d)
{
	d->messages[0].bytes = 0;
}
static void spoil_long(struct draft *d)
{
	d->messages[0].bytes = 4096;
}
static void spoil_bus(struct draft *d)
{
	d->messages[0].bus = 2;
}
static void spoil_id_11(struct draft *d)
{
	d->messages[0].id = 0x800;
}
static void spoil_id_29(struct draft *d)
{
	d->messages[1].id = 0x20000000;
}
static void spoil_j1939(struct draft *d)
{
	d->messages[0].j1939 = true;
}
static void spoil_factor(struct draft *d)
{
	d->signals[0].factor = NAN;
}
static void spoil_offset(struct draft *d)
{
	d->signals[0].offset = INFINITY;
}
static void spoil_max(struct draft *d)
{
	d->signals[0].max = -INFINITY;
}
static void spoil_float(struct draft *d)
{
	d->signals[0].kind = SIGNAL_FLOAT32;
}
static void spoil_kind(struct draft *d)
{
	d->signals[0].kind = (enum signal_kind)4;
}
static void spoil_name(struct draft *d)
{
	d->signals[0].name = "";
}
static void spoil_name_dot(struct draft *d)
{
	d->signals[0].name = "a.b";
}
static void spoil_name_utf8(struct draft *d)
{
	d->signals[0].name = "\xc0\x80";
}
static void spoil_message_name(struct draft *d)
{
	d->messages[0].name = "a b";
}
static void spoil_unit(struct draft *d)
{
	d->signals[0].unit = "\xb0"
			     "C";
}
static void spoil_comment(struct draft *d)
{
	d->signals[0].comment = "\xed\xa0\x80";
}
static void spoil_twice(struct draft *d)
{
	d->signals[1].name = "RPM";
}
static void spoil_mux_plain(struct draft *d)
{
	d->signals[2].is_mux = false;
}
static void spoil_mux_ranges(struct draft *d)
{
	d->signals[3].n_mux_ranges = 0;
}
static void spoil_mux_none(struct draft *d)
{
	d->signals[3].mux = CATALOG_NONE;
}
static void spoil_mux_other(struct draft *d)
{
	d->signals[3].mux = 0;
}
static void spoil_first(struct draft *d)
{
	d->messages[1].first_signal = 1;
}
static void spoil_left(struct draft *d)
{
	d->messages[2].n_signals = 0;
}
static void spoil_message_of(struct draft *d)
{
	d->signals[5].message = 0;
}

static void spoil_range(struct draft *d)
{
	static const struct catalog_range DOWN[] = {{3, 2}};

	d->signals[3].mux_ranges = DOWN;
	d->signals[3].n_mux_ranges = 1;
}

static void spoil_circle(struct draft *d)
{
	d->signals[3].is_mux = true;
	d->signals[2].mux = 3;
	d->signals[2].mux_ranges = RANGES;
	d->signals[2].n_mux_ranges = 1;
}

static void spoil_self(struct draft *d)
{
	d->signals[3].is_mux = true;
	d->signals[3].mux = 3;
}

static void spoil_choices(struct draft *d)
{
	static const struct catalog_choice DOWN[] = {{1, "a"}, {1, "b"}};

	d->signals[3].choices = DOWN;
	d->signals[3].n_choices = 2;
}

static void spoil_choice_text(struct draft *d)
{
	static const struct catalog_choice BAD[] = {{1, "\xff"}};

	d->signals[3].choices = BAD;
	d->signals[3].n_choices = 1;
}

static const struct {
	void (*spoil)(struct draft *d);
	const char *says;
} SPOILT[] = {
	{spoil_bits_0, "message 'ENGINE' signal 'RPM': 0 bits"},
	{spoil_bits_65, "65 bits"},
	{spoil_end, "outside the message's 8 bytes"},
	{spoil_start, "outside"},
	{spoil_start_be, "signal 'TEMP'"},
	{spoil_no_bytes, "0 bytes"},
	{spoil_long, "4096 bytes"},
	{spoil_bus, "bus 2 of 2"},
	{spoil_id_11, "over 11 bits"},
	{spoil_id_29, "over 29 bits"},
	{spoil_j1939, "J1939"},
	{spoil_factor, "not finite"},
	{spoil_offset, "not finite"},
	{spoil_max, "not finite"},
	{spoil_float, "a float of 16 bits"},
	{spoil_kind, "kind 4"},
	{spoil_name, "name is empty"},
	{spoil_name_dot, "dots"},
	{spoil_name_utf8, "UTF-8"},
	{spoil_message_name, "message 'a b'"},
	{spoil_unit, "unit is not UTF-8"},
	{spoil_comment, "comment is not UTF-8"},
	{spoil_twice, "twice"},
	{spoil_mux_plain, "'MODE' is not a multiplexor"},
	{spoil_mux_ranges, "without ranges"},
	{spoil_mux_none, "ranges without"},
	{spoil_mux_other, "of another message"},
	{spoil_first, "do not follow"},
	{spoil_left, "1 signals without a message"},
	{spoil_message_of, "of another message"},
	{spoil_range, "range 3 to 2"},
	{spoil_circle, "circle"},
	{spoil_self, "circle"},
	{spoil_choices, "not ascending at 1"},
	{spoil_choice_text, "text of choice 1"},
};

START_TEST(what_is_wrong_is_refused_by_name)
{
	struct catalog *c = NULL;
	struct error err = {0};
	struct draft d;

	draft_init(&d);
	SPOILT[_i].spoil(&d);
	ck_assert_int_eq(catalog_build(&c, &d.catalog, &err), -EBADMSG);
	ck_assert_ptr_null(c);
	ck_assert_msg(strstr(err.text, SPOILT[_i].says), "'%s' lacks '%s'", err.text,
		      SPOILT[_i].says);
}
END_TEST

START_TEST(a_cut_catalog_is_refused_or_another)
{
	struct draft d;
	struct catalog *c, *cut;
	struct error err;

	draft_init(&d);
	c = draft_build(&d);
	for (size_t len = 0; len < c->len; len++) {
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, c->bytes, len);
		if (catalog_load(&cut, copy, len, &err) == 0) {
			ck_assert_uint_ne(cut->id, c->id); /* cut between two messages */
			ck_assert_uint_lt(cut->n_messages, c->n_messages);
			catalog_free(cut);
		}
		free(copy);
	}
	catalog_free(c);
}
END_TEST

START_TEST(garbled_catalogs_never_crash)
{
	uint64_t rng = 0x9e3779b97f4a7c15;
	struct draft d;
	struct catalog *c, *other;
	struct error err;
	uint8_t *copy;

	draft_init(&d);
	c = draft_build(&d);
	copy = malloc(c->len);
	for (int i = 0; i < 20000; i++) {
		memcpy(copy, c->bytes, c->len);
		for (int flips = 1 + i % 3; flips > 0; flips--) {
			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			copy[rng % c->len] = (uint8_t)(rng >> 40);
		}
		if (catalog_load(&other, copy, c->len, &err) == 0)
			catalog_free(other);
	}
	free(copy);
	catalog_free(c);
}
END_TEST

START_TEST(few_bytes_cannot_cost_much_memory)
{
	/* A message whose signals are empty: two bytes each, some 200 unpacked. */
	enum { N = 1 << 20 };
	struct catalog *c;
	struct error err = {0};
	uint8_t *bytes = malloc(2 + 5 + 2 * N), *p = bytes;
	size_t left = 2 * N;

	*p++ = 0x08;
	*p++ = 1;
	*p++ = 0x1a;
	for (; left >= 0x80; left >>= 7)
		*p++ = (uint8_t)(left | 0x80);
	*p++ = (uint8_t)left;
	for (int i = 0; i < N; i++) {
		*p++ = 0x42;
		*p++ = 0;
	}
	ck_assert_int_eq(catalog_load(&c, bytes, (size_t)(p - bytes), &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "not a compiled catalog"));
	free(bytes);
}
END_TEST

/* Batches count the signals of a message in 16 bits. */
START_TEST(a_message_of_too_many_signals_is_refused)
{
	enum { MOST = CATALOG_MESSAGE_SIGNALS_MAX };
	static struct catalog_signal signals[MOST + 1];
	static char names[MOST + 1][8];
	struct catalog_message message = {.name = "M", .bytes = 8, .n_signals = MOST + 1};
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = &message,
			       .n_messages = 1,
			       .signals = signals,
			       .n_signals = MOST + 1};
	struct error err = {0};
	struct catalog *c;

	for (uint32_t i = 0; i <= MOST; i++) {
		snprintf(names[i], sizeof(names[i]), "S%u", i);
		signals[i] = plain_signal(names[i], 0, 0, 8);
	}
	ck_assert_int_eq(catalog_build(&c, &from, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, "65536 signals, at most 65535"), "%s", err.text);
	from.n_signals--;
	message.n_signals--;
	ck_assert_int_eq(catalog_build(&c, &from, &err), 0);
	catalog_free(c);
}
END_TEST

static uint32_t fnv(uint32_t h, char c)
{
	return (h ^ (uint8_t)c) * 16777619u;
}

/* The next name of a signal of message "M" whose place in an index of up to 4096 is the first. The
 * index hashes with FNV-1a, and a zero after each name. */
static void next_alike(char *name, size_t size, uint32_t *seed)
{
	enum { LETTERS = 60, ENDS = LETTERS * LETTERS, INDEX_MASK = 4095 };
	uint32_t start = 0, h;
	char a, b;

	for (;; ++*seed) {
		if (start == 0 || *seed % ENDS == 0) {
			snprintf(name, size, "S%u", *seed / ENDS);
			start = fnv(fnv(2166136261u, 'M'), 0);
			for (const char *p = name; *p; p++)
				start = fnv(start, *p);
		}
		a = (char)('@' + *seed % ENDS / LETTERS);
		b = (char)('@' + *seed % LETTERS);
		h = fnv(fnv(fnv(start, a), b), 0);
		if ((h & INDEX_MASK) == 0)
			break;
	}
	++*seed;
	snprintf(name + strlen(name), size - strlen(name), "%c%c", a, b);
}

START_TEST(names_that_hash_alike_cannot_stall)
{
	enum { N = 24000 };
	static struct catalog_signal signals[N];
	static char names[N][16];
	struct catalog_message message = {.name = "M", .bytes = 8, .n_signals = N};
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = &message,
			       .n_messages = 1,
			       .signals = signals,
			       .n_signals = N};
	struct error err = {0};
	struct catalog *c;
	uint32_t seed = 0;

	for (uint32_t i = 0; i < N; i++) {
		next_alike(names[i], sizeof(names[i]), &seed);
		signals[i] = plain_signal(names[i], 0, 0, 8);
	}
	ck_assert_int_eq(catalog_build(&c, &from, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, "hash alike"), "%s", err.text);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("refused");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, what_is_wrong_is_refused_by_name, 0, (int)array_len(SPOILT));
	tcase_add_test(tc, a_cut_catalog_is_refused_or_another);
	tcase_add_test(tc, garbled_catalogs_never_crash);
	tcase_add_test(tc, few_bytes_cannot_cost_much_memory);
	tcase_add_test(tc, a_message_of_too_many_signals_is_refused);
	tcase_add_test(tc, names_that_hash_alike_cannot_stall);
	return suite_run("catalog_refused", &tc, 1);
}
