#include "tests/unit/batch_fixture.h"
#include "tests/unit/suite.h"
#include "tools/dictionary/train.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { UNIT = 1000000, STEP_MS = 20 };

/* ---- a vehicle ---- */

static int64_t speed, tick;

static void drive_setup(void)
{
	batch_setup();
	speed = 5000;
	tick = 0;
}

/* What signal k of message m has: wheels that follow the speed, counters, switches, noise, and one
 * that is not always there. Returns false: not in this row. */
static bool value(uint32_t k, uint64_t *ret)
{
	switch (k % PER_MESSAGE) {
	case 0:
	case 1:
		*ret = (uint64_t)(speed + (int64_t)(rng() % 4));
		return true;
	case 2:
		*ret = (uint64_t)(speed * 3 / 2 + k);
		return true;
	case 3:
		*ret = (uint64_t)(tick + k);
		return true;
	case 4:
		*ret = rng();
		return true;
	case 5:
		*ret = tick % 100 > 90;
		return tick % 3 == 0;
	case 6:
		*ret = 0;
		return rng() % 64 == 0;
	default:
		*ret = 77;
		return true;
	}
}

/* All messages, every STEP_MS. */
static void
drive(int rows, void (*row)(void *ctx, uint32_t m, int64_t mono, const struct sample *s, size_t n),
      void *ctx)
{
	for (int i = 0; i < rows; i++, tick++) {
		int64_t mono = 5000 + tick * STEP_MS;

		speed += (int64_t)(rng() % 61) - 30;
		for (uint32_t m = 0; m < MESSAGES; m++) {
			struct sample s[PER_MESSAGE];
			size_t n = 0;

			for (uint32_t k = m * PER_MESSAGE; k < (m + 1) * PER_MESSAGE; k++) {
				uint64_t v;

				if (value(k, &v))
					s[n++] = (struct sample){k, extend_to(v, &cat->signals[k])};
			}
			row(ctx, m, (mono + m + (int64_t)(rng() % 2)) * UNIT, s, n);
		}
	}
}

static void to_training(void *ctx, uint32_t m, int64_t mono, const struct sample *s, size_t n)
{
	ck_assert_int_eq(training_add(ctx, m, mono, s, n), 0);
}

static void to_builder(void *ctx, uint32_t m, int64_t mono, const struct sample *s, size_t n)
{
	ck_assert_int_eq(add(ctx, m, mono, s, n), 0);
}

static struct dictionary *train(int64_t batch_ns, int rows)
{
	struct training_shape shape = {.batch_ns = batch_ns, .time_unit_ns = UNIT};
	struct training_result result;
	struct dictionary *d;
	struct training *t;
	struct error err;

	ck_assert_int_eq(training_new(&t, cat, &shape), 0);
	drive(rows, to_training, t);
	ck_assert_msg(training_run(t, &d, &result, &err) == 0, "%s", err.text);
	ck_assert_uint_gt(result.batches, 0);
	ck_assert(result.bytes_after < result.bytes_before);
	training_free(t);
	return d;
}

static size_t body_size(struct batch_builder *b)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = header(UNIT);

	encode(b, &h, &bytes);
	return bytes.len;
}

/* ---- tests ---- */

START_TEST(a_batch_is_read_with_its_dictionary)
{
	struct batch_builder *b;
	size_t without, with;

	dict = train(200ll * UNIT, 2000);
	b = builder(65536, UNIT);
	for (int rows = 1; rows < 12; rows++) {
		n_expected = 0;
		batch_builder_reset(b);
		drive(rows, to_builder, b);
		with = body_size(b);
		ck_assert_int_eq(batch_builder_use(b, NULL), 0);
		without = body_size(b);
		ck_assert_int_eq(batch_builder_use(b, dict), 0);
		ck_assert_uint_lt(with * 10, without * 8);
		roundtrip(b, UNIT);
	}
	batch_builder_free(b);
}
END_TEST

/* Several sections, whose first values are not each other's. */
START_TEST(a_large_batch_is_read_with_its_dictionary)
{
	struct batch_builder *b;

	dict = train(10000ll * UNIT, 3000);
	b = builder(65536, UNIT);
	drive(900, to_builder, b);
	roundtrip(b, UNIT);
	batch_builder_free(b);
}
END_TEST

/* Values, rows, messages and signals that training has not seen. */
START_TEST(a_dictionary_that_fits_badly_loses_nothing)
{
	struct batch_builder *b;

	dict = train(200ll * UNIT, 300);
	b = builder(65536, UNIT);
	for (unsigned int salt = 0; salt < 6; salt++)
		for (int rows = 1; rows < 40; rows += 13) {
			batch_builder_reset(b);
			n_expected = 0;
			fill(b, rows, salt % 2, UNIT, salt);
			roundtrip(b, UNIT);
		}
	for (uint32_t m = 0; m < MESSAGES; m++) {
		struct sample s[2] = {{m * PER_MESSAGE + 1, 1}, {m * PER_MESSAGE + 6, 1}};

		batch_builder_reset(b);
		n_expected = 0;
		ck_assert_int_eq(add(b, m, 6000000000ll, s, 2), 0);
		roundtrip(b, UNIT);
	}
	batch_builder_reset(b);
	n_expected = 0;
	roundtrip(b, UNIT);
	batch_builder_free(b);
}
END_TEST

START_TEST(the_same_samples_give_the_same_dictionary)
{
	struct buf first cleanup(buf_free) = BUF_INIT(1 << 20);
	uint64_t id;

	dict = train(1000ll * UNIT, 500);
	id = dict->id;
	ck_assert_int_eq(buf_put(&first, dict->bytes, dict->len), 0);
	batch_teardown();
	drive_setup();
	dict = train(1000ll * UNIT, 500);
	ck_assert_uint_eq(dict->len, first.len);
	ck_assert_mem_eq(dict->bytes, first.data, first.len);
	ck_assert_uint_eq(dict->id, id);
}
END_TEST

static int ignore_column(void *ctx, const struct batch_column *col)
{
	*(size_t *)ctx += col->n;
	return 0;
}

START_TEST(another_dictionary_is_stale)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct dictionary *other = train(500ll * UNIT, 500);
	struct batch_header h = header(UNIT);
	struct batch_builder *b;
	struct batch *batch;
	struct error err;
	size_t n = 0;

	dict = train(200ll * UNIT, 500);
	b = builder(4096, UNIT);
	drive(5, to_builder, b);
	encode(b, &h, &bytes);
	batch = decode(&bytes);
	ck_assert_uint_eq(batch_get_header(batch)->dictionary_id, dict->id);
	ck_assert_int_eq(batch_columns(batch, cat, CATALOG_NONE, ignore_column, &n, &err), -ESTALE);
	ck_assert_ptr_nonnull(strstr(err.text, "dictionary"));
	batch_use(batch, other);
	ck_assert_int_eq(batch_columns(batch, cat, CATALOG_NONE, ignore_column, &n, &err), -ESTALE);
	ck_assert_uint_eq(n, 0);
	batch_use(batch, dict);
	ck_assert_int_eq(batch_columns(batch, cat, CATALOG_NONE, ignore_column, &n, &err), 0);
	ck_assert_uint_eq(n, batch_sample_count(batch));
	batch_free(batch);
	batch_builder_free(b);
	dictionary_free(other);
}
END_TEST

START_TEST(a_dictionary_of_another_catalog_is_refused)
{
	struct catalog *other = make_catalog(1);
	struct dictionary *d;
	struct error err;
	uint64_t id;

	dict = train(200ll * UNIT, 300);
	ck_assert_int_eq(dictionary_load(&d, other, dict->bytes, dict->len, &err), -ESTALE);
	ck_assert_ptr_nonnull(strstr(err.text, "catalog"));
	ck_assert_int_eq(dictionary_peek(dict->bytes, dict->len, &id, &err), 0);
	ck_assert_uint_eq(id, cat->id);
	catalog_free(other);
}
END_TEST

START_TEST(a_dictionary_that_is_cut_off_is_refused)
{
	struct dictionary *d;
	struct error err;
	uint64_t id;

	dict = train(200ll * UNIT, 300);
	for (size_t len = 0; len < dict->len; len += len < 400 ? 1 : 37) {
		err.text[0] = '\0';
		ck_assert_int_eq(dictionary_load(&d, cat, dict->bytes, len, &err), -EBADMSG);
		ck_assert_ptr_nonnull(strstr(err.text, "dictionary"));
	}
	ck_assert_int_eq(dictionary_peek(dict->bytes, 8, &id, &err), -EBADMSG);
}
END_TEST

/* Is refused, or is another dictionary, with which batches are written and read. */
START_TEST(a_damaged_dictionary_does_no_harm)
{
	struct dictionary *good = train(200ll * UNIT, 300);
	uint8_t *bytes = malloc(good->len + 1);
	size_t refused = 0;
	struct error err;

	for (size_t i = 9; i < good->len; i += i < 300 ? 3 : 41) {
		struct batch_builder *b;

		memcpy(bytes, good->bytes, good->len);
		bytes[i] ^= (uint8_t)(1u << rng() % 8);
		if (dictionary_load(&dict, cat, bytes, good->len, &err) < 0) {
			refused++;
			continue;
		}
		ck_assert_uint_ne(dict->id, good->id);
		b = builder(4096, UNIT);
		drive(3, to_builder, b);
		roundtrip(b, UNIT);
		batch_builder_free(b);
		dict = dictionary_free(dict);
	}
	ck_assert_uint_gt(refused, 10);
	memcpy(bytes, good->bytes, good->len);
	bytes[good->len] = 0;
	ck_assert_int_eq(dictionary_load(&dict, cat, bytes, good->len + 1, &err), -EBADMSG);
	bytes[0] = 9;
	ck_assert_int_eq(dictionary_load(&dict, cat, bytes, good->len, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "format 9"));
	free(bytes);
	dictionary_free(good);
}
END_TEST

/* A body that was written with it, damaged: an error, or other samples; nothing else. */
START_TEST(a_damaged_body_does_no_harm)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = header(UNIT);
	struct batch_builder *b;
	size_t n = 0;

	dict = train(200ll * UNIT, 300);
	b = builder(65536, UNIT);
	drive(40, to_builder, b);
	encode(b, &h, &bytes);
	for (int i = 0; i < 1500; i++) {
		size_t at = 16 + rng() % (bytes.len - 16);
		uint8_t was = bytes.data[at];
		struct envelope e;
		struct batch *batch;

		bytes.data[at] = (uint8_t)rng();
		if (envelope_decode(&e, bytes.data, bytes.len, NULL) == 0 &&
		    batch_read(&batch, &e, NULL) == 0) {
			batch_use(batch, dict);
			(void)!batch_columns(batch, cat, CATALOG_NONE, ignore_column, &n, NULL);
			(void)!batch_columns(batch, cat, (uint32_t)(rng() % SIGNALS), ignore_column,
					     &n, NULL);
			batch_free(batch);
		}
		bytes.data[at] = was;
	}
	batch_builder_free(b);
}
END_TEST

START_TEST(nothing_to_learn_from_is_an_error)
{
	struct training_shape shape = {.batch_ns = UNIT, .time_unit_ns = UNIT};
	struct training_result result;
	struct dictionary *d;
	struct training *t;
	struct error err;

	ck_assert_int_eq(training_new(&t, cat, &shape), 0);
	ck_assert_int_eq(training_run(t, &d, &result, &err), -ENODATA);
	ck_assert_ptr_nonnull(strstr(err.text, "no sample"));
	training_free(t);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("dictionary");

	tcase_add_checked_fixture(tc, drive_setup, batch_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_batch_is_read_with_its_dictionary);
	tcase_add_test(tc, a_large_batch_is_read_with_its_dictionary);
	tcase_add_test(tc, a_dictionary_that_fits_badly_loses_nothing);
	tcase_add_test(tc, the_same_samples_give_the_same_dictionary);
	tcase_add_test(tc, another_dictionary_is_stale);
	tcase_add_test(tc, a_dictionary_of_another_catalog_is_refused);
	tcase_add_test(tc, a_dictionary_that_is_cut_off_is_refused);
	tcase_add_test(tc, a_damaged_dictionary_does_no_harm);
	tcase_add_test(tc, a_damaged_body_does_no_harm);
	tcase_add_test(tc, nothing_to_learn_from_is_an_error);
	return suite_run("dictionary", &tc, 1);
}
