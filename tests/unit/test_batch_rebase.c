/* The clock of an encoded batch: read and corrected, and nothing else of it changes. */
#include "proto/batch_private.h"
#include "proto/batch_rebase.h"
#include "tests/unit/batch_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

#define S 1000000000ll

static int64_t times[100], seen[100];
static size_t n_seen;

/* samples of signal 1, some ms apart, and the body that holds them. */
static void make_body(struct buf *body, const struct batch_header *h, int n)
{
	struct batch_builder *b = builder(1000, h->time_unit_ns);
	uint32_t encoding;

	for (int i = 0; i < n; i++) {
		struct sample s = {1, (uint64_t)i & 1};

		times[i] = 7 * S + i * 20000000ll;
		ck_assert_int_eq(batch_builder_add(b, 0, times[i], &s, 1), 0);
	}
	ck_assert_int_eq(batch_builder_encode(b, h, body, &encoding), 0);
	ck_assert_uint_eq(encoding, ENCODING_BATCH);
	batch_builder_free(b);
}

static int note_times(void *ctx, const struct batch_column *col)
{
	(void)ctx;
	memcpy(seen, col->wall_ns, col->n * sizeof(*seen));
	n_seen = col->n;
	return 0;
}

static struct batch_header read_body(const struct buf *body)
{
	struct envelope e = {.epoch = 1, .seq = 1, .body = body->data, .body_len = body->len};
	struct batch_header h;
	struct batch *b;
	struct error err;

	ck_assert_msg(batch_read(&b, &e, &err) == 0, "%s", err.text);
	ck_assert_int_eq(batch_columns(b, cat, 1, note_times, NULL, &err), 0);
	h = *batch_get_header(b);
	batch_free(b);
	return h;
}

static struct batch_header clock_of_1970(uint32_t unit, enum clock_quality q)
{
	struct batch_header h = header(unit);

	h.wall_base_ns = 100 * S;
	h.mono_base_ns = 5 * S;
	h.clock_quality = q;
	return h;
}

START_TEST(times_are_those_of_the_better_clock)
{
	static const uint32_t UNITS[] = {1000000, 1000, 1, 100000000};
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = clock_of_1970(UNITS[_i], CLOCK_UNKNOWN), got;
	int64_t wall = 1700000000 * S + 123456789, mono = 3600 * S, unit = UNITS[_i];
	struct error err;

	make_body(&body, &h, 100);
	ck_assert_int_eq(batch_rebase(body.data, body.len, wall, mono, CLOCK_SYNCED, &out, &err),
			 0);
	got = read_body(&out);
	ck_assert_int_eq(got.clock_quality, CLOCK_SYNCED);
	ck_assert_uint_eq(got.boot_id, h.boot_id);
	ck_assert_uint_eq(got.catalog_id, h.catalog_id);
	ck_assert_int_eq(got.mono_base_ns, times[0]);
	ck_assert_uint_eq(n_seen, 100);
	for (int i = 0; i < 100; i++)
		ck_assert_int_le(llabs(seen[i] - (wall + times[i] - mono)), unit);
}
END_TEST

START_TEST(a_clock_that_is_worse_can_be_told_too)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf back cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = clock_of_1970(1000000, CLOCK_SYNCED);

	make_body(&body, &h, 10);
	ck_assert_int_eq(batch_rebase(body.data, body.len, 50 * S, 0, CLOCK_UNKNOWN, &out, NULL),
			 0);
	ck_assert_int_eq(read_body(&out).clock_quality, CLOCK_UNKNOWN);
	ck_assert_int_eq(read_body(&out).wall_base_ns, 57 * S);
	/* and back again: the same bytes */
	ck_assert_int_eq(batch_rebase(out.data, out.len, h.wall_base_ns, h.mono_base_ns,
				      CLOCK_SYNCED, &back, NULL),
			 0);
	ck_assert_uint_eq(back.len, body.len);
	ck_assert_mem_eq(back.data, body.data, body.len);
}
END_TEST

START_TEST(says_what_it_was)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = clock_of_1970(1000, CLOCK_FREE_RUNNING);
	struct batch_clock c;

	make_body(&body, &h, 3);
	ck_assert_int_eq(batch_clock_read(&c, body.data, body.len, NULL), 0);
	ck_assert_uint_eq(c.boot_id, h.boot_id);
	ck_assert_int_eq(c.wall_ns, 102 * S);
	ck_assert_int_eq(c.mono_ns, 7 * S);
	ck_assert_int_eq(c.unit_ns, 1000);
	ck_assert_int_eq(c.quality, CLOCK_FREE_RUNNING);
}
END_TEST

static void put(struct buf *out, unsigned field, unsigned type, uint64_t v)
{
	buf_put_varint(out, field << 3 | type);
	buf_put_varint(out, v);
}

/* Sections of another format, and fields of the future, wherever they are. */
START_TEST(what_is_not_known_passes)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1000);
	struct buf out cleanup(buf_free) = BUF_INIT(1000);
	struct buf want cleanup(buf_free) = BUF_INIT(1000);

	put(&body, FIELD_FORMAT, 0, 77);
	put(&body, 100, 2, 3);
	buf_put(&body, "abc", 3);
	put(&body, FIELD_MONO, 0, zigzag_encode(7000));
	put(&body, FIELD_FIRST, 0, zigzag_encode(5)); /* behind, and twice: the last one holds */
	put(&body, FIELD_FIRST, 0, zigzag_encode(6));
	put(&body, FIELD_CLOCK_QUALITY, 0, 2);
	put(&body, FIELD_SECTIONS, 2, 2);
	buf_put(&body, "xy", 2);
	ck_assert_int_eq(
		batch_rebase(body.data, body.len, 1000 * S, 6 * S, CLOCK_FREE_RUNNING, &out, NULL),
		0);
	put(&want, FIELD_FORMAT, 0, 77);
	put(&want, FIELD_FIRST, 0, zigzag_encode(1001000));
	put(&want, FIELD_CLOCK_QUALITY, 0, 1);
	put(&want, 100, 2, 3);
	buf_put(&want, "abc", 3);
	put(&want, FIELD_MONO, 0, zigzag_encode(7000));
	put(&want, FIELD_SECTIONS, 2, 2);
	buf_put(&want, "xy", 2);
	ck_assert_uint_eq(out.len, want.len);
	ck_assert_mem_eq(out.data, want.data, want.len);
}
END_TEST

START_TEST(every_cut_and_flip_is_survived)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = clock_of_1970(1000, CLOCK_FREE_RUNNING);
	struct error err;

	make_body(&body, &h, 30);
	for (size_t i = 0; i < body.len * 8; i++) {
		struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
		struct batch_clock c;
		int r;

		body.data[i / 8] ^= (uint8_t)(1u << i % 8);
		r = batch_rebase(body.data, body.len, S, 0, CLOCK_SYNCED, &out, &err);
		ck_assert(r == 0 || r == -EBADMSG);
		if (r == 0)
			ck_assert_int_eq(batch_clock_read(&c, out.data, out.len, &err), 0);
		body.data[i / 8] ^= (uint8_t)(1u << i % 8);
		r = batch_clock_read(&c, body.data, i / 8, &err);
		ck_assert(r == 0 || r == -EBADMSG);
	}
}
END_TEST

START_TEST(refused)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1000);
	struct buf out cleanup(buf_free) = BUF_INIT(1000);
	struct batch_clock c;
	struct error err;

	put(&body, FIELD_MONO, 0, zigzag_encode(7000));
	ck_assert_int_eq(batch_rebase(body.data, body.len, INT64_MAX, 0, CLOCK_SYNCED, &out, &err),
			 -EBADMSG);
	ck_assert_int_eq(batch_rebase(body.data, body.len, S, INT64_MAX, CLOCK_SYNCED, &out, &err),
			 -EBADMSG);
	ck_assert_int_eq(out.len, 0);
	put(&body, FIELD_FIRST, 0, zigzag_encode(INT64_MAX));
	ck_assert_int_eq(batch_clock_read(&c, body.data, body.len, &err), -EBADMSG);
	buf_clear(&body);
	put(&body, FIELD_FIRST, 2, 0); /* of another type */
	ck_assert_int_eq(batch_clock_read(&c, body.data, body.len, &err), -EBADMSG);
	buf_clear(&body);
	put(&body, FIELD_TIME_UNIT, 0, UINT64_C(1) << 32);
	ck_assert_int_eq(batch_clock_read(&c, body.data, body.len, &err), -EBADMSG);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("rebase");

	tcase_add_checked_fixture(tc, batch_setup, batch_teardown);
	tcase_add_loop_test(tc, times_are_those_of_the_better_clock, 0, 4);
	tcase_add_test(tc, a_clock_that_is_worse_can_be_told_too);
	tcase_add_test(tc, says_what_it_was);
	tcase_add_test(tc, what_is_not_known_passes);
	tcase_add_test(tc, every_cut_and_flip_is_survived);
	tcase_add_test(tc, refused);
	return suite_run("batch_rebase", &tc, 1);
}
