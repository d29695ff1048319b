/* Batches from outside: what is cut, garbled or lies is refused. */
#include "proto/batch.pb-c.h"
#include "proto/columns.h"
#include "tests/unit/batch_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

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
	r = envelope_decode(&e, copy, len, err);
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
		r = envelope_encode(&(struct envelope){.epoch = 1,
						       .seq = 1,
						       .encoding = 1,
						       .body = packed,
						       .body_len = packed_len},
				    &out);
	else
		r = envelope_encode(
			&(struct envelope){
				.epoch = 1, .seq = 1, .encoding = 0, .body = body, .body_len = len},
			&out);
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
	ck_assert_int_eq(envelope_decode(&e, bytes.data, bytes.len, NULL), 0);
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
	w->format = 2;
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
	w->span = w->span * 3 / 4; /* it is rounded up by at most a quarter */
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
static void lie_dictionary(Towline__V1__Batch *w)
{
	w->format = 0;
	w->dictionary = 1;
}
static void lie_gone(Towline__V1__Batch *w)
{
	w->sections[0].len = 0;
}

static const struct {
	void (*lie)(Towline__V1__Batch *w);
	const char *says;
} LIES[] = {
	{lie_format, "format 2 is unknown"},
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
	{lie_dictionary, "format 0 has no dictionary"},
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
	struct section *s = calloc(1, sizeof(*s));
	uint32_t rows = BATCH_CELLS_MAX / WIDE + 1;
	ProtobufCBinaryData data;
	struct error err;

	catalog_free(cat);
	cat = make_wide_catalog();
	section_encode(s, &section_encoding, &bytes);
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

	ck_assert_int_eq(envelope_decode(&e, "\x10\x01", 2, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "no body"));
	ck_assert_int_eq(envelope_decode(&e, "\x22\x00", 2, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "no seq"));
	ck_assert_int_eq(envelope_decode(&e, "\x10\x01\x22\x05xx", 6, &err), -EBADMSG);
	ck_assert_int_eq(envelope_decode(&e, "\x12\x01\x01\x22\x00", 5, &err), -EBADMSG);
	/* fields of a later version are passed over */
	ck_assert_int_eq(envelope_decode(&e, "\x10\x01\x22\x00\x60\x07\x6a\x01x", 9, &err), 0);
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
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = 1,
							    .seq = 1,
							    .encoding = 1,
							    .body = packed,
							    .body_len = len},
					 &out),
			 0);
	ck_assert_int_eq(try_decode(out.data, out.len, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "inflates to more than"));
	buf_clear(&out);
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = 1,
							    .seq = 1,
							    .encoding = 1,
							    .body = packed,
							    .body_len = len / 2},
					 &out),
			 0);
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

int main(void)
{
	TCase *tc = tcase_create("outside");

	tcase_add_checked_fixture(tc, batch_setup, batch_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, every_truncation_is_refused);
	tcase_add_test(tc, flips_never_crash);
	tcase_add_test(tc, random_bytes_never_crash);
	tcase_add_test(tc, a_deflated_body_is_read);
	tcase_add_loop_test(tc, bodies_that_lie_are_refused, 0, (int)array_len(LIES));
	tcase_add_test(tc, many_empty_sections_are_refused);
	tcase_add_test(tc, rows_times_signals_are_bounded);
	tcase_add_test(tc, a_few_bytes_cannot_claim_many_cells);
	tcase_add_test(tc, envelopes_that_lack_something_are_refused);
	tcase_add_test(tc, a_zip_bomb_is_refused);
	tcase_add_test(tc, another_catalog_is_stale);
	tcase_add_test(tc, a_callback_ends_the_walk);
	return suite_run("batch_outside", &tc, 1);
}
