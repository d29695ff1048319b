/* Batches: what goes in comes out, to the bit; what is cut, garbled or lies is refused. */
#include "proto/batch.h"
#include "proto/batch.pb-c.h"
#include "proto/columns.h"

#include <check.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { MESSAGES = 6, PER_MESSAGE = 8, SIGNALS = MESSAGES * PER_MESSAGE };

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state * 0x2545f4914f6cdd1dull;
}

/* Signals of all widths and kinds; the last message has wide ones. */
static struct catalog *make_catalog(uint64_t variant)
{
	static const char *const BUSES[] = {"can0"};
	static struct catalog_message messages[MESSAGES];
	static struct catalog_signal signals[SIGNALS];
	static char names[SIGNALS][16];
	static const uint16_t WIDTHS[] = {1, 2, 4, 8, 10, 12, 16, 24, 32, 33, 63, 64};
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = MESSAGES,
			       .signals = signals,
			       .n_signals = SIGNALS};
	struct error err;
	struct catalog *c;

	for (uint32_t i = 0; i < SIGNALS; i++) {
		uint32_t m = i / PER_MESSAGE;

		snprintf(names[i], sizeof(names[i]), "S%u", i);
		signals[i] = (struct catalog_signal){.name = names[i],
						     .message = m,
						     .bits = WIDTHS[(i * 5 + m) % 12],
						     .kind = i % 3 == 1 ? SIGNAL_SIGNED
									: SIGNAL_UNSIGNED,
						     .factor = 1 + (double)variant,
						     .mux = CATALOG_NONE};
		messages[m] = (struct catalog_message){.name = names[m],
						       .id = m,
						       .bytes = 64,
						       .first_signal = m * PER_MESSAGE,
						       .n_signals = PER_MESSAGE};
	}
	signals[SIGNALS - 1].kind = SIGNAL_FLOAT64;
	signals[SIGNALS - 1].bits = 64;
	signals[SIGNALS - 2].kind = SIGNAL_FLOAT32;
	signals[SIGNALS - 2].bits = 32;
	ck_assert_msg(catalog_build(&c, &from, &err) == 0, "%s", err.text);
	return c;
}

static struct catalog *cat;

static void setup(void)
{
	rng_state = 0x9e3779b97f4a7c15;
	cat = make_catalog(0);
}

static void teardown(void)
{
	cat = catalog_free(cat);
}

static struct batch_header header(uint32_t unit)
{
	return (struct batch_header){.boot_id = 0xb007b007b007b007,
				     .wall_base_ns = 1700000000 * 1000000000ll,
				     .mono_base_ns = 5000000000ll,
				     .clock_quality = CLOCK_SYNCED,
				     .catalog_id = cat->id,
				     .campaign = 7,
				     .consent_epoch = 3,
				     .time_unit_ns = unit};
}

/* ---- what was put in, by signal ---- */

enum { EXPECTED_MAX = 70000 };

struct expected {
	uint32_t signal;
	int64_t wall_ns;
	uint64_t raw;
	size_t order;
};

static struct expected expected[EXPECTED_MAX];
static size_t n_expected;

static int by_signal_and_time(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;

	if (x->signal != y->signal)
		return x->signal < y->signal ? -1 : 1;
	if (x->wall_ns != y->wall_ns)
		return x->wall_ns < y->wall_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* Adds to the builder and to what is expected of it. mono is a whole number of units. */
static int add(struct batch_builder *b, uint32_t message, int64_t mono, const struct sample *s,
	       size_t n)
{
	struct batch_header h = header(1);
	int r = batch_builder_add(b, message, mono, s, n);

	for (size_t i = 0; r == 0 && i < n; i++) {
		ck_assert_uint_lt(n_expected, EXPECTED_MAX);
		expected[n_expected] = (struct expected){
			.signal = s[i].signal,
			.wall_ns = h.wall_base_ns + mono - h.mono_base_ns,
			.raw = s[i].raw,
			.order = n_expected,
		};
		n_expected++;
	}
	return r;
}

static size_t n_checked;

static int check_column(void *ctx, const struct batch_column *col)
{
	size_t at = 0;

	(void)ctx;
	while (at < n_expected && expected[at].signal != col->signal)
		at++;
	for (size_t i = 0; i < col->n; i++, at++) {
		ck_assert_uint_lt(at, n_expected);
		ck_assert_uint_eq(expected[at].signal, col->signal);
		ck_assert_int_eq(expected[at].wall_ns, col->wall_ns[i]);
		ck_assert_uint_eq(expected[at].raw, col->raw[i]);
		n_checked++;
	}
	ck_assert(at == n_expected || expected[at].signal != col->signal);
	return 0;
}

static void encode(struct batch_builder *b, const struct batch_header *h, struct buf *out)
{
	struct buf body cleanup(buf_free) = BUF_INIT(16 << 20);
	uint32_t encoding;

	ck_assert_int_eq(batch_builder_encode(b, h, &body, &encoding), 0);
	ck_assert_int_eq(batch_envelope_encode(0xe70c, 42, encoding, body.data, body.len, out), 0);
}

static struct batch *decode(const struct buf *bytes)
{
	struct envelope e;
	struct error err = {0};
	struct batch *b = NULL;
	int r = batch_envelope_decode(&e, bytes->data, bytes->len, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	r = batch_read(&b, &e, &err);
	ck_assert_msg(r == 0, "%s", err.text);
	return b;
}

/* Encodes, decodes, and holds all against what is expected; signals one by one as well. */
static void roundtrip(struct batch_builder *b, uint32_t unit)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(16 << 20);
	struct batch_header h = header(unit);
	struct error err = {0};
	struct batch *batch;
	int r;

	qsort(expected, n_expected, sizeof(*expected), by_signal_and_time);
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	ck_assert_uint_eq(batch_sample_count(batch), n_expected);
	n_checked = 0;
	r = batch_columns(batch, cat, CATALOG_NONE, check_column, NULL, &err);
	ck_assert_msg(r == 0, "%s", err.text);
	ck_assert_uint_eq(n_checked, n_expected);
	n_checked = 0;
	for (uint32_t s = 0; s < cat->n_signals; s++) {
		r = batch_columns(batch, cat, s, check_column, NULL, &err);
		ck_assert_msg(r == 0, "%s", err.text);
	}
	ck_assert_uint_eq(n_checked, n_expected);
	batch_free(batch);
	n_expected = 0;
}

static struct batch_builder *builder(size_t max, uint32_t unit)
{
	struct batch_builder *b;

	ck_assert_int_eq(batch_builder_new(&b, cat, max, unit), 0);
	return b;
}

/* ---- what signals do ---- */

enum shape {
	SHAPE_CONSTANT,
	SHAPE_COUNTER,
	SHAPE_WALK,
	SHAPE_NOISE,
	SHAPE_STEPS,
	SHAPE_EXTREMES,
	SHAPE_RAMP,
	SHAPES
};

static uint64_t extend_to(uint64_t v, const struct catalog_signal *s)
{
	unsigned int drop = 64u - s->bits;

	return s->kind == SIGNAL_SIGNED ? (uint64_t)((int64_t)(v << drop) >> drop)
					: v << drop >> drop;
}

static uint64_t next_value(enum shape shape, const struct catalog_signal *s, uint64_t last, int i)
{
	switch (shape) {
	case SHAPE_CONSTANT:
		break;
	case SHAPE_COUNTER:
		last += 1;
		break;
	case SHAPE_WALK:
		last += rng() % 7 - 3;
		break;
	case SHAPE_NOISE:
		last = rng();
		break;
	case SHAPE_STEPS:
		last = i % 50 == 0 ? rng() : last;
		break;
	case SHAPE_EXTREMES:
		last = (uint64_t[]){0, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN, 1}[rng() % 5];
		break;
	case SHAPE_RAMP:
		last += 1000003;
		break;
	case SHAPES:
		ck_abort();
	}
	return extend_to(last, s);
}

/* rows rows of every message, with all signals or (sparse) a choice of them. */
static void fill(struct batch_builder *b, int rows, bool sparse, int64_t unit, unsigned int salt)
{
	static uint64_t values[SIGNALS];
	int64_t mono = 5000000000ll;

	memset(values, 0, sizeof(values));
	for (int i = 0; i < rows; i++) {
		for (uint32_t m = 0; m < MESSAGES; m++) {
			struct sample s[PER_MESSAGE];
			size_t n = 0;

			mono += (int64_t)(rng() % 3) * unit;
			for (uint32_t k = m * PER_MESSAGE; k < (m + 1) * PER_MESSAGE; k++) {
				values[k] = next_value((enum shape)((k + salt) % SHAPES),
						       &cat->signals[k], values[k], i);
				if (!sparse || (k + (uint32_t)i) % 3 == 0 || rng() % 16 == 0)
					s[n++] = (struct sample){k, values[k]};
			}
			ck_assert_int_eq(add(b, m, mono, s, n), 0);
		}
		mono += 10 * unit;
	}
}

START_TEST(all_kinds_of_columns_come_back)
{
	static const uint32_t UNITS[] = {1000000, 1000, 1, 100000000};
	uint32_t unit = UNITS[_i % 4];
	struct batch_builder *b = builder(65536, unit);

	for (int rows = 1; rows <= 1000; rows *= 10) {
		batch_builder_reset(b);
		fill(b, rows, _i % 2 == 1, unit, (unsigned int)_i);
		roundtrip(b, unit);
	}
	batch_builder_free(b);
}
END_TEST

START_TEST(raws_beyond_the_signals_bits_come_back)
{
	struct batch_builder *b = builder(1000, 1000000);

	for (int i = 0; i < 100; i++) {
		struct sample s = {0, rng() >> (i % 64)};

		ck_assert_int_eq(add(b, 0, 5000000000ll + i * 1000000ll, &s, 1), 0);
	}
	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

START_TEST(random_walks_of_random_shape_come_back)
{
	struct batch_builder *b = builder(4096, 1000000);

	rng_state += (uint64_t)_i;
	for (int round = 0; round < 20; round++) {
		int64_t mono = 5000000000ll;

		batch_builder_reset(b);
		for (int i = 0; i < (int)(rng() % 400) + 1; i++) {
			uint32_t m = (uint32_t)(rng() % MESSAGES);
			struct sample s[PER_MESSAGE];
			size_t n = 0;

			for (uint32_t k = 0; k < PER_MESSAGE; k++)
				if (rng() % 4)
					s[n++] = (struct sample){m * PER_MESSAGE + k,
								 rng() >> (rng() % 64)};
			mono += (int64_t)(rng() >> (rng() % 30 + 34)) % 100000000 * 1000000 / 1000;
			mono -= mono % 1000000;
			ck_assert_int_eq(add(b, m, mono, s, n), 0);
		}
		if (batch_builder_count(b) > 0)
			roundtrip(b, 1000000);
		n_expected = 0;
	}
	batch_builder_free(b);
}
END_TEST

START_TEST(messages_in_step_come_back_with_losses)
{
	struct batch_builder *b = builder(20000, 1000);
	struct sample s;

	for (int64_t i = 0; i < 1000; i++) {
		int64_t jitter = (int64_t)(rng() % 900) * 1000;

		for (uint32_t m = 0; m < MESSAGES; m++) {
			s = (struct sample){m * PER_MESSAGE + 3, (uint64_t)i & 1};
			if (rng() % 20 && i % (1 + m) == 0)
				ck_assert_int_eq(
					add(b, m, 5000000000ll + i * 10000000 + jitter + m * 230000,
					    &s, 1),
					0);
		}
	}
	roundtrip(b, 1000);
	batch_builder_free(b);
}
END_TEST

START_TEST(times_that_go_back_come_out_in_order)
{
	static const int64_t TIMES_MS[] = {500, 100, 300, 300, -700, 200, 900, -700};
	struct batch_builder *b = builder(100, 1000000);
	struct sample s = {1, 0};

	for (size_t i = 0; i < array_len(TIMES_MS); i++) {
		s.raw = i;
		ck_assert_int_eq(add(b, 0, 5000000000ll + TIMES_MS[i] * 1000000, &s, 1), 0);
	}
	ck_assert_int_eq(batch_builder_first_ns(b), 4300000000ll);
	ck_assert_int_eq(batch_builder_last_ns(b), 5900000000ll);
	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

static int64_t worst_error;
static int64_t exact_ns[100];

static int measure_error(void *ctx, const struct batch_column *col)
{
	(void)ctx;
	for (size_t i = 0; i < col->n; i++) {
		int64_t error = llabs(col->wall_ns[i] - exact_ns[i]);

		worst_error = error > worst_error ? error : worst_error;
		if (i > 0)
			ck_assert_int_ge(col->wall_ns[i], col->wall_ns[i - 1]);
	}
	return 0;
}

START_TEST(times_are_off_by_a_unit_at_most)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_builder *b = builder(100, 1000000);
	struct batch_header h = header(1000000);
	int64_t mono = 4999123456ll;
	struct batch *batch;

	h.wall_base_ns += 777777;
	for (int i = 0; i < 100; i++) {
		struct sample s = {1, 0};

		exact_ns[i] = h.wall_base_ns + mono - h.mono_base_ns;
		ck_assert_int_eq(batch_builder_add(b, 0, mono, &s, 1), 0);
		mono += (int64_t)(rng() % 20000000);
	}
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	ck_assert_int_eq(batch_columns(batch, cat, 1, measure_error, NULL, NULL), 0);
	ck_assert_int_le(worst_error, 1000000);
	ck_assert_int_gt(worst_error, 500000);
	batch_free(batch);
	batch_builder_free(b);
}
END_TEST

START_TEST(headers_come_back)
{
	static const enum clock_quality QUALITIES[] = {CLOCK_UNKNOWN, CLOCK_FREE_RUNNING,
						       CLOCK_SYNCED};
	struct batch_builder *b = builder(100, 1000);
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = header(1000);
	struct sample s = {1, 0};
	struct batch *batch;

	h.clock_quality = QUALITIES[_i];
	ck_assert_int_eq(batch_builder_add(b, 0, 5000007000ll, &s, 1), 0);
	ck_assert_int_eq(batch_builder_add(b, 0, 5000009000ll, &s, 1), 0);
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	ck_assert_uint_eq(batch_get_header(batch)->epoch, 0xe70c);
	ck_assert_uint_eq(batch_get_header(batch)->seq, 42);
	ck_assert_uint_eq(batch_get_header(batch)->boot_id, h.boot_id);
	ck_assert_uint_eq(batch_get_header(batch)->catalog_id, cat->id);
	ck_assert_uint_eq(batch_get_header(batch)->campaign, 7);
	ck_assert_uint_eq(batch_get_header(batch)->consent_epoch, 3);
	ck_assert_uint_eq(batch_get_header(batch)->time_unit_ns, 1000);
	ck_assert_int_eq(batch_get_header(batch)->clock_quality, h.clock_quality);
	ck_assert_int_eq(batch_get_header(batch)->wall_base_ns, h.wall_base_ns + 7000);
	ck_assert_int_eq(batch_get_header(batch)->mono_base_ns, 5000007000ll);
	ck_assert_int_eq(batch_first_wall_ns(batch), h.wall_base_ns + 7000);
	ck_assert_int_eq(batch_last_wall_ns(batch), h.wall_base_ns + 9000);
	ck_assert_uint_eq(batch_sample_count(batch), 2);
	batch_free(batch);
	batch_builder_free(b);
}
END_TEST

/* ---- limits ---- */

START_TEST(a_full_builder_says_so_and_adds_nothing)
{
	struct batch_builder *b = builder(5, 1000000);
	struct sample s[3] = {{0, 1}, {1, 0}, {2, 3}};

	ck_assert_int_eq(add(b, 0, 5000000000ll, s, 3), 0);
	ck_assert_int_eq(add(b, 0, 5001000000ll, s, 3), BATCH_FULL);
	ck_assert_uint_eq(batch_builder_count(b), 3);
	ck_assert_int_eq(add(b, 0, 5002000000ll, s, 2), 0);
	ck_assert_int_eq(add(b, 0, 5003000000ll, s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, 5003000000ll, s, 0), 0);
	ck_assert_uint_eq(batch_builder_count(b), 5);
	roundtrip(b, 1000000);
	batch_builder_reset(b);
	ck_assert_uint_eq(batch_builder_count(b), 0);
	ck_assert_int_eq(add(b, 0, 5003000000ll, s, 3), 0);
	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

START_TEST(a_time_too_far_off_needs_another_batch)
{
	struct batch_builder *b = builder(5, 1);
	struct sample s = {0, 1};

	ck_assert_int_eq(add(b, 0, 5000000000ll, &s, 1), 0);
	ck_assert_int_eq(add(b, 0, 7200000000ll, &s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, 2800000000ll, &s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, INT64_MIN, &s, 1), BATCH_FULL);
	ck_assert_int_eq(add(b, 0, 2852516353ll, &s, 1), 0);
	ck_assert_int_eq(add(b, 0, 7147483646ll, &s, 1), 0);
	roundtrip(b, 1);
	batch_builder_free(b);
}
END_TEST

START_TEST(an_empty_batch_is_one)
{
	struct batch_builder *b = builder(5, 1000000);

	roundtrip(b, 1000000);
	batch_builder_free(b);
}
END_TEST

START_TEST(a_small_output_limit_is_an_error)
{
	struct batch_builder *b = builder(20000, 1000000);
	struct buf out cleanup(buf_free) = BUF_INIT(300);
	struct batch_header h = header(1000000);
	uint32_t encoding;

	fill(b, 300, false, 1000000, 0);
	n_expected = 0;
	ck_assert_int_eq(batch_builder_encode(b, &h, &out, &encoding), -EMSGSIZE);
	ck_assert_uint_le(out.len, 300);
	batch_builder_free(b);
}
END_TEST

START_TEST(adding_and_encoding_allocate_nothing)
{
	struct batch_builder *b = builder(65536, 1000000);
	struct buf out cleanup(buf_free) = BUF_INIT(4 << 20);
	struct batch_header h = header(1000000);
	struct mallinfo2 before, after;
	uint32_t encoding;
	struct sample s = {0, 0};

	ck_assert_int_eq(buf_reserve(&out, 1 << 20), 0);
	before = mallinfo2();
	for (int i = 0; i < 30000; i++) {
		s.signal = (uint32_t)(rng() % SIGNALS);
		s.raw = rng();
		ck_assert_int_eq(batch_builder_add(b, s.signal / PER_MESSAGE, i * 1000000ll, &s, 1),
				 0);
	}
	for (int i = 0; i < 3; i++) {
		buf_clear(&out);
		ck_assert_int_eq(batch_builder_encode(b, &h, &out, &encoding), 0);
		ck_assert_int_eq(batch_builder_encode(b, &h, &out, &encoding), 0);
	}
	after = mallinfo2();
	ck_assert_uint_eq(before.uordblks, after.uordblks);
	ck_assert_uint_eq(before.hblkhd, after.hblkhd);
	ck_assert_uint_eq(before.arena, after.arena);
	batch_builder_free(b);
}
END_TEST

START_TEST(a_large_builder_fits_its_budget)
{
	struct mallinfo2 before = mallinfo2(), after;
	struct batch_builder *b = builder(65536, 1000000);

	after = mallinfo2();
	ck_assert_uint_le(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd,
			  2400 << 10);
	batch_builder_free(b);
}
END_TEST

START_TEST(batches_are_small)
{
	struct batch_builder *b = builder(65536, 1000000);
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = header(1000000);

	/* 10 s of 100 Hz: eight signals that stand still, or count. */
	for (int64_t i = 0; i < 1000; i++) {
		struct sample s[PER_MESSAGE];

		for (uint32_t k = 0; k < PER_MESSAGE; k++)
			s[k] = (struct sample){
				k, extend_to(k % 2 ? (uint64_t)i : 1, &cat->signals[k])};
		ck_assert_int_eq(batch_builder_add(b, 0, i * 10000000, s, PER_MESSAGE), 0);
	}
	encode(b, &h, &bytes);
	ck_assert_msg(bytes.len < 200, "%zu bytes", bytes.len);
	batch_builder_free(b);
}
END_TEST

/* ---- bytes from outside ---- */

static int ignore_column(void *ctx, const struct batch_column *col)
{
	size_t *n = ctx;

	*n += col->n;
	return 0;
}

/* Decodes in exactly sized memory, so that a sanitizer sees any byte too far. Returns 0 or the
 * error of the first step that fails, which must have said why. */
static int try_decode(const void *bytes, size_t len, struct error *err)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct envelope e;
	struct batch *b = NULL;
	size_t n = 0;
	int r;

	memcpy(copy, bytes, len);
	err->text[0] = '\0';
	r = batch_envelope_decode(&e, copy, len, err);
	if (!r)
		r = batch_read(&b, &e, err);
	if (!r)
		r = batch_columns(b, cat, CATALOG_NONE, ignore_column, &n, err);
	if (r < 0)
		ck_assert_uint_eq(n, 0);
	else
		ck_assert_uint_eq(n, batch_sample_count(b));
	if (b && r != -ESTALE)
		for (uint32_t s = 0; s < cat->n_signals; s += 7)
			if (batch_columns(b, cat, s, ignore_column, &n, NULL) < 0)
				n = 0;
	if (r < 0)
		ck_assert_uint_gt(strlen(err->text), 0);
	batch_free(b);
	free(copy);
	return r;
}

static void valid_bytes(struct buf *out, int rows)
{
	struct batch_builder *b = builder(65536, 1000000);
	struct batch_header h = header(1000000);

	fill(b, rows, true, 1000000, 1);
	n_expected = 0;
	encode(b, &h, out);
	batch_builder_free(b);
}

START_TEST(every_truncation_is_refused)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct error err;

	valid_bytes(&bytes, 40);
	ck_assert_int_eq(try_decode(bytes.data, bytes.len, &err), 0);
	for (size_t len = 0; len < bytes.len; len++)
		ck_assert_int_eq(try_decode(bytes.data, len, &err), -EBADMSG);
}
END_TEST

/* A cut inside a section whose lengths were made right again is refused too, but for a last byte
 * that says little: the count of samples, or a group's end, is not as it should be. */
START_TEST(flips_never_crash)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct error err;
	uint8_t *copy;
	int refused = 0;

	valid_bytes(&bytes, 30);
	copy = malloc(bytes.len);
	for (int i = 0; i < 3000; i++) {
		memcpy(copy, bytes.data, bytes.len);
		for (int flips = 1 + i % 4; flips > 0; flips--)
			copy[rng() % bytes.len] ^= (uint8_t)(1 << rng() % 8);
		refused += try_decode(copy, bytes.len, &err) < 0;
	}
	ck_assert_int_gt(refused, 1000);
	free(copy);
}
END_TEST

START_TEST(random_bytes_never_crash)
{
	uint8_t bytes[256];
	struct error err;

	for (int i = 0; i < 20000; i++) {
		size_t len = rng() % sizeof(bytes);

		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t)(rng() >> 32);
		ck_assert_int_lt(try_decode(bytes, len, &err), 0);
	}
}
END_TEST

/* Packs what a test describes, deflated where wanted, and decodes it. */
static int try_wire(const Towline__V1__Batch *wire, bool deflated, struct error *err)
{
	size_t len = towline__v1__batch__get_packed_size(wire);
	uint8_t *body = malloc(len + 1), *packed = malloc(compressBound(len));
	uLongf packed_len = compressBound(len);
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 20);
	int r;

	towline__v1__batch__pack(wire, body);
	ck_assert_int_eq(compress(packed, &packed_len, body, len), Z_OK);
	if (deflated)
		r = batch_envelope_encode(1, 1, 1, packed, packed_len, &out);
	else
		r = batch_envelope_encode(1, 1, 0, body, len, &out);
	ck_assert_int_eq(r, 0);
	r = try_decode(out.data, out.len, err);
	free(body);
	free(packed);
	return r;
}

/* Unpacks a valid batch for tests to spoil. */
static Towline__V1__Batch *valid_wire(void)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct envelope e;
	Towline__V1__Batch *wire;

	valid_bytes(&bytes, 200);
	ck_assert_int_eq(batch_envelope_decode(&e, bytes.data, bytes.len, NULL), 0);
	wire = towline__v1__batch__unpack(NULL, e.body_len, e.body);
	ck_assert_ptr_nonnull(wire);
	ck_assert_uint_gt(wire->n_sections, 1);
	ck_assert_uint_eq(wire->n_section_messages, wire->n_sections - 1);
	return wire;
}

START_TEST(a_deflated_body_is_read)
{
	Towline__V1__Batch *wire = valid_wire();
	struct error err;

	ck_assert_int_eq(try_wire(wire, false, &err), 0);
	ck_assert_int_eq(try_wire(wire, true, &err), 0);
	towline__v1__batch__free_unpacked(wire, NULL);
}
END_TEST

static void lie_format(Towline__V1__Batch *w)
{
	w->format = 1;
}
static void lie_more(Towline__V1__Batch *w)
{
	w->samples++;
}
static void lie_fewer(Towline__V1__Batch *w)
{
	w->samples--;
}
static void lie_none(Towline__V1__Batch *w)
{
	w->samples = 0;
}
static void lie_too_many(Towline__V1__Batch *w)
{
	w->samples = BATCH_SAMPLES_MAX + 1;
}
static void lie_most(Towline__V1__Batch *w)
{
	w->samples = UINT32_MAX;
}
static void lie_span(Towline__V1__Batch *w)
{
	w->span--;
}
static void lie_span_most(Towline__V1__Batch *w)
{
	w->span = UINT64_MAX;
}
static void lie_first(Towline__V1__Batch *w)
{
	w->first = INT64_MAX;
}
static void lie_mono(Towline__V1__Batch *w)
{
	w->mono = INT64_MIN;
}
static void lie_sections(Towline__V1__Batch *w)
{
	w->n_section_messages--;
}
static void lie_message(Towline__V1__Batch *w)
{
	w->section_messages[0] = UINT32_MAX;
}
static void lie_catalog_end(Towline__V1__Batch *w)
{
	w->section_messages[0] = MESSAGES;
}
static void lie_cut(Towline__V1__Batch *w)
{
	w->sections[0].len /= 2;
}
static void lie_gone(Towline__V1__Batch *w)
{
	w->sections[0].len = 0;
}

static const struct {
	void (*lie)(Towline__V1__Batch *w);
	const char *says;
} LIES[] = {
	{lie_format, "format 1 is unknown"},
	{lie_more, "were claimed"},
	{lie_fewer, "batch:"},
	{lie_none, "batch:"},
	{lie_too_many, "at most"},
	{lie_most, "at most"},
	{lie_span, "span"},
	{lie_span_most, "span"},
	{lie_first, "out of range"},
	{lie_mono, "out of range"},
	{lie_sections, "first messages"},
	{lie_message, "not in the catalog"},
	{lie_catalog_end, "not in the catalog"},
	{lie_cut, "batch:"},
	{lie_gone, "batch:"},
};

START_TEST(bodies_that_lie_are_refused)
{
	Towline__V1__Batch *wire = valid_wire();
	struct error err;

	LIES[_i].lie(wire);
	ck_assert_int_eq(try_wire(wire, false, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, LIES[_i].says), "'%s' lacks '%s'", err.text, LIES[_i].says);
	towline__v1__batch__free_unpacked(wire, NULL);
}
END_TEST

/* Each section starts a model anew: many empty ones would cost much for little. */
START_TEST(many_empty_sections_are_refused)
{
	enum { MANY = 100000 };
	Towline__V1__Batch wire = TOWLINE__V1__BATCH__INIT;
	struct error err;

	wire.catalog = cat->id;
	wire.n_sections = MANY;
	wire.sections = calloc(MANY, sizeof(*wire.sections));
	wire.n_section_messages = MANY - 1;
	wire.section_messages = calloc(MANY, sizeof(*wire.section_messages));
	ck_assert_int_eq(try_wire(&wire, true, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "too many fields"));
	wire.n_sections = BATCH_SECTIONS_MAX + 1;
	wire.n_section_messages = BATCH_SECTIONS_MAX;
	ck_assert_int_eq(try_wire(&wire, false, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "513 sections, at most 512"));
	wire.n_sections = BATCH_SECTIONS_MAX;
	wire.n_section_messages = BATCH_SECTIONS_MAX - 1;
	ck_assert_msg(try_wire(&wire, false, &err) == 0, "%s", err.text);
	free(wire.sections);
	free(wire.section_messages);
}
END_TEST

enum { WIDE = 4000 };

/* One message of many signals, all in its first bit. */
static struct catalog *make_wide_catalog(void)
{
	static const char *const BUSES[] = {"can0"};
	static struct catalog_signal signals[WIDE];
	static char names[WIDE][16];
	struct catalog_message message = {.name = "M", .bytes = 8, .n_signals = WIDE};
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = &message,
			       .n_messages = 1,
			       .signals = signals,
			       .n_signals = WIDE};
	struct catalog *c;

	for (uint32_t i = 0; i < WIDE; i++) {
		snprintf(names[i], sizeof(names[i]), "S%u", i);
		signals[i] = (struct catalog_signal){
			.name = names[i], .bits = 1, .factor = 1, .mux = CATALOG_NONE};
	}
	ck_assert_int_eq(catalog_build(&c, &from, NULL), 0);
	return c;
}

/* What is written stays in the bounds that are read. */
START_TEST(rows_times_signals_are_bounded)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = header(1000000);
	struct batch_builder *b;
	int64_t rows = 0;
	struct sample s = {WIDE - 1, 1};
	struct error err;

	catalog_free(cat);
	cat = make_wide_catalog();
	h.catalog_id = cat->id;
	b = builder(65536, 1000000);
	while (batch_builder_add(b, 0, rows * 1000000, &s, 1) == 0)
		rows++;
	ck_assert_int_eq(rows, BATCH_CELLS_MAX / WIDE);
	encode(b, &h, &bytes);
	ck_assert_msg(try_decode(bytes.data, bytes.len, &err) == 0, "%s", err.text);
	batch_builder_reset(b);
	ck_assert_int_eq(batch_builder_add(b, 0, 0, &s, 1), 0);
	batch_builder_free(b);
}
END_TEST

/* A column that lacks rows costs a decision a row, and nearly no bytes. */
START_TEST(a_few_bytes_cannot_claim_many_cells)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	Towline__V1__Batch wire = TOWLINE__V1__BATCH__INIT;
	struct section *s = malloc(sizeof(*s));
	uint32_t rows = BATCH_CELLS_MAX / WIDE + 1;
	ProtobufCBinaryData data;
	struct error err;

	catalog_free(cat);
	cat = make_wide_catalog();
	section_encode(s, &bytes);
	section_number(s, &s->models.message, 1);
	section_number(s, &s->models.rows, rows - 1);
	section_encode_end(s);
	data = (ProtobufCBinaryData){.data = bytes.data, .len = bytes.len};
	wire.catalog = cat->id;
	wire.samples = BATCH_SAMPLES_MAX;
	wire.n_sections = 1;
	wire.sections = &data;
	ck_assert_int_eq(try_wire(&wire, false, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, "rows times signals"), "%s", err.text);
	free(s);
}
END_TEST

START_TEST(envelopes_that_lack_something_are_refused)
{
	struct envelope e;
	struct error err;

	ck_assert_int_eq(batch_envelope_decode(&e, "\x10\x01", 2, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "no body"));
	ck_assert_int_eq(batch_envelope_decode(&e, "\x22\x00", 2, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "no seq"));
	ck_assert_int_eq(batch_envelope_decode(&e, "\x10\x01\x22\x05xx", 6, &err), -EBADMSG);
	ck_assert_int_eq(batch_envelope_decode(&e, "\x12\x01\x01\x22\x00", 5, &err), -EBADMSG);
	/* fields of a later version are passed over */
	ck_assert_int_eq(batch_envelope_decode(&e, "\x10\x01\x22\x00\x28\x07\x32\x01x", 9, &err),
			 0);
	ck_assert_uint_eq(e.seq, 1);
	ck_assert_uint_eq(e.body_len, 0);
	ck_assert_int_eq(try_decode("\x10\x01\x18\x02\x22\x00", 6, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "encoding 2"));
}
END_TEST

START_TEST(a_zip_bomb_is_refused)
{
	enum { SIZE = BATCH_INFLATED_MAX + (1 << 20) };
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	uint8_t *zeros = calloc(1, SIZE), *packed = malloc(compressBound(SIZE));
	uLongf len = compressBound(SIZE);
	struct error err;

	ck_assert_int_eq(compress(packed, &len, zeros, SIZE), Z_OK);
	ck_assert_uint_lt(len, 64 << 10);
	ck_assert_int_eq(batch_envelope_encode(1, 1, 1, packed, len, &out), 0);
	ck_assert_int_eq(try_decode(out.data, out.len, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "inflates to more than"));
	buf_clear(&out);
	ck_assert_int_eq(batch_envelope_encode(1, 1, 1, packed, len / 2, &out), 0);
	ck_assert_int_eq(try_decode(out.data, out.len, &err), -EBADMSG);
	free(zeros);
	free(packed);
}
END_TEST

START_TEST(another_catalog_is_stale)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct catalog *other = make_catalog(1);
	struct error err;
	struct batch *b;
	size_t n = 0;

	valid_bytes(&bytes, 3);
	b = decode(&bytes);
	ck_assert_int_eq(batch_columns(b, other, CATALOG_NONE, ignore_column, &n, &err), -ESTALE);
	ck_assert_ptr_nonnull(strstr(err.text, "catalog"));
	ck_assert_int_eq(batch_columns(b, other, 1, ignore_column, &n, &err), -ESTALE);
	ck_assert_uint_eq(n, 0);
	batch_free(b);
	catalog_free(other);
}
END_TEST

static int stop(void *ctx, const struct batch_column *col)
{
	(void)col;
	++*(int *)ctx;
	return -ECANCELED;
}

START_TEST(a_callback_ends_the_walk)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch *b;
	int calls = 0;

	valid_bytes(&bytes, 3);
	b = decode(&bytes);
	ck_assert_int_eq(batch_columns(b, cat, CATALOG_NONE, stop, &calls, NULL), -ECANCELED);
	ck_assert_int_eq(calls, 1);
	batch_free(b);
}
END_TEST

static TCase *roundtrips(void)
{
	TCase *t = tcase_create("roundtrip");

	tcase_add_loop_test(t, all_kinds_of_columns_come_back, 0, 8);
	tcase_add_test(t, raws_beyond_the_signals_bits_come_back);
	tcase_add_loop_test(t, random_walks_of_random_shape_come_back, 0, 10);
	tcase_add_test(t, messages_in_step_come_back_with_losses);
	tcase_add_test(t, times_that_go_back_come_out_in_order);
	tcase_add_test(t, times_are_off_by_a_unit_at_most);
	tcase_add_loop_test(t, headers_come_back, 0, 3);
	return t;
}

static TCase *limits(void)
{
	TCase *t = tcase_create("limits");

	tcase_add_test(t, a_full_builder_says_so_and_adds_nothing);
	tcase_add_test(t, a_time_too_far_off_needs_another_batch);
	tcase_add_test(t, rows_times_signals_are_bounded);
	tcase_add_test(t, an_empty_batch_is_one);
	tcase_add_test(t, a_small_output_limit_is_an_error);
	tcase_add_test(t, adding_and_encoding_allocate_nothing);
	tcase_add_test(t, a_large_builder_fits_its_budget);
	tcase_add_test(t, batches_are_small);
	return t;
}

static TCase *outside(void)
{
	TCase *t = tcase_create("outside");

	tcase_add_test(t, every_truncation_is_refused);
	tcase_add_test(t, flips_never_crash);
	tcase_add_test(t, random_bytes_never_crash);
	tcase_add_test(t, a_deflated_body_is_read);
	tcase_add_loop_test(t, bodies_that_lie_are_refused, 0, (int)array_len(LIES));
	tcase_add_test(t, many_empty_sections_are_refused);
	tcase_add_test(t, a_few_bytes_cannot_claim_many_cells);
	tcase_add_test(t, envelopes_that_lack_something_are_refused);
	tcase_add_test(t, a_zip_bomb_is_refused);
	tcase_add_test(t, another_catalog_is_stale);
	tcase_add_test(t, a_callback_ends_the_walk);
	return t;
}

int main(void)
{
	Suite *suite = suite_create("batch");
	TCase *cases[] = {roundtrips(), limits(), outside()};
	SRunner *runner = srunner_create(suite);
	int failed;

	for (size_t i = 0; i < array_len(cases); i++) {
		tcase_add_checked_fixture(cases[i], setup, teardown);
		tcase_set_timeout(cases[i], 120);
		suite_add_tcase(suite, cases[i]);
	}
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
