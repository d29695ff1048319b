#include "tests/unit/batch_fixture.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

uint64_t rng_state;

uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state * 0x2545f4914f6cdd1dull;
}

struct catalog *make_catalog(uint64_t variant)
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

struct catalog *cat;
struct dictionary *dict;

void batch_setup(void)
{
	rng_state = 0x9e3779b97f4a7c15;
	cat = make_catalog(0);
}

void batch_teardown(void)
{
	dict = dictionary_free(dict);
	cat = catalog_free(cat);
}

struct batch_header header(uint32_t unit)
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
size_t n_expected;

static int by_signal_and_time(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;

	if (x->signal != y->signal)
		return x->signal < y->signal ? -1 : 1;
	if (x->wall_ns != y->wall_ns)
		return x->wall_ns < y->wall_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

int add(struct batch_builder *b, uint32_t message, int64_t mono, const struct sample *s, size_t n)
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

void encode(struct batch_builder *b, const struct batch_header *h, struct buf *out)
{
	struct buf body cleanup(buf_free) = BUF_INIT(16 << 20);
	uint32_t encoding;

	ck_assert_int_eq(batch_builder_encode(b, h, &body, &encoding), 0);
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = 0xe70c,
							    .seq = 42,
							    .encoding = encoding,
							    .body = body.data,
							    .body_len = body.len},
					 out),
			 0);
}

struct batch *decode(const struct buf *bytes)
{
	struct envelope e;
	struct error err = {0};
	struct batch *b = NULL;
	int r = envelope_decode(&e, bytes->data, bytes->len, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	r = batch_read(&b, &e, &err);
	ck_assert_msg(r == 0, "%s", err.text);
	return b;
}

void roundtrip(struct batch_builder *b, uint32_t unit)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(16 << 20);
	struct batch_header h = header(unit);
	struct error err = {0};
	struct batch *batch;
	int r;

	qsort(expected, n_expected, sizeof(*expected), by_signal_and_time);
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	batch_use(batch, dict);
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

struct batch_builder *builder(size_t max, uint32_t unit)
{
	struct batch_builder *b;

	ck_assert_int_eq(batch_builder_new(&b, cat, max, unit), 0);
	ck_assert_int_eq(batch_builder_use(b, dict), 0);
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

uint64_t extend_to(uint64_t v, const struct catalog_signal *s)
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

void fill(struct batch_builder *b, int rows, bool sparse, int64_t unit, unsigned int salt)
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

void valid_bytes(struct buf *out, int rows)
{
	struct batch_builder *b = builder(65536, 1000000);
	struct batch_header h = header(1000000);

	fill(b, rows, true, 1000000, 1);
	n_expected = 0;
	encode(b, &h, out);
	batch_builder_free(b);
}
