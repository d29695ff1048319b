/* Receipts: encoded and decoded, and refused when they make no sense. */
#include "proto/receipt.h"
#include "proto/receipt.pb-c.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static struct receipt full_receipt(void)
{
	struct receipt r = {.epoch = UINT64_MAX,
			    .class = CLASS_STATUS,
			    .acked_through = 1ull << 40,
			    .context = 0x89abcdef,
			    .unknown_context = 1,
			    .n_ranges = RECEIPT_RANGES_MAX,
			    .n_nacks = RECEIPT_NACKS_MAX};

	for (size_t i = 0; i < RECEIPT_RANGES_MAX; i++)
		r.ranges[i] = (struct receipt_range){r.acked_through + 2 + i * 3,
						     r.acked_through + 3 + i * 3};
	for (size_t i = 0; i < RECEIPT_NACKS_MAX; i++)
		r.nacks[i] = (struct receipt_nack){i + 1, (enum nack_code)(1 + i % 5),
						   (uint32_t)i * 1000};
	return r;
}

START_TEST(receipts_come_back)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 10);
	struct receipt full = full_receipt(), empty = {.epoch = 1, .class = CLASS_EVENT}, back;

	ck_assert_int_eq(receipt_encode(&full, &out), 0);
	ck_assert_int_eq(receipt_decode(&back, out.data, out.len, NULL), 0);
	ck_assert_uint_eq(back.epoch, full.epoch);
	ck_assert_int_eq(back.class, full.class);
	ck_assert_uint_eq(back.acked_through, full.acked_through);
	ck_assert_uint_eq(back.context, full.context);
	ck_assert_uint_eq(back.unknown_context, full.unknown_context);
	ck_assert_uint_eq(back.n_ranges, RECEIPT_RANGES_MAX);
	ck_assert_mem_eq(back.ranges, full.ranges, sizeof(full.ranges));
	ck_assert_uint_eq(back.n_nacks, RECEIPT_NACKS_MAX);
	for (size_t i = 0; i < RECEIPT_NACKS_MAX; i++) {
		ck_assert_uint_eq(back.nacks[i].seq, full.nacks[i].seq);
		ck_assert_int_eq(back.nacks[i].code, full.nacks[i].code);
		ck_assert_uint_eq(back.nacks[i].retry_after_s, full.nacks[i].retry_after_s);
	}
	buf_clear(&out);
	ck_assert_int_eq(receipt_encode(&empty, &out), 0);
	ck_assert_uint_le(out.len, 9);
	ck_assert_int_eq(receipt_decode(&back, out.data, out.len, NULL), 0);
	ck_assert_uint_eq(back.n_ranges + back.n_nacks, 0);
}
END_TEST

START_TEST(it_is_appended)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64);
	struct receipt r = {.epoch = 5, .acked_through = 9}, back;

	ck_assert_int_eq(buf_put(&out, "ab", 2), 0);
	ck_assert_int_eq(receipt_encode(&r, &out), 0);
	ck_assert_mem_eq(out.data, "ab", 2);
	ck_assert_int_eq(receipt_decode(&back, out.data + 2, out.len - 2, NULL), 0);
	ck_assert_uint_eq(back.acked_through, 9);
}
END_TEST

START_TEST(a_small_output_limit_is_an_error)
{
	struct buf out cleanup(buf_free) = BUF_INIT(20);
	struct receipt full = full_receipt();

	ck_assert_int_eq(receipt_encode(&full, &out), -EMSGSIZE);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

static void spoil_range_down(struct receipt *r)
{
	r->ranges[5].to = r->ranges[5].from - 1;
}
static void spoil_range_low(struct receipt *r)
{
	r->ranges[0].from = r->acked_through;
}
static void spoil_range_order(struct receipt *r)
{
	r->ranges[9] = r->ranges[8];
}
static void spoil_class(struct receipt *r)
{
	r->class = CLASS_COUNT;
}
static void spoil_nack_seq(struct receipt *r)
{
	r->nacks[3].seq = 0;
}
static void spoil_nack_code(struct receipt *r)
{
	r->nacks[3].code = (enum nack_code)0;
}

static const struct {
	void (*spoil)(struct receipt *r);
	const char *says;
} SPOILT[] = {
	{spoil_range_down, "range 5"}, {spoil_range_low, "range 0"}, {spoil_range_order, "range 9"},
	{spoil_class, "class 5"},      {spoil_nack_seq, "nack 3"},   {spoil_nack_code, "nack 3"},
};

START_TEST(what_makes_no_sense_is_refused)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 10);
	struct receipt r = full_receipt(), back = {.epoch = 77};
	struct error err;

	SPOILT[_i].spoil(&r);
	ck_assert_int_eq(receipt_encode(&r, &out), 0);
	ck_assert_int_eq(receipt_decode(&back, out.data, out.len, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, SPOILT[_i].says), "'%s' lacks '%s'", err.text,
		      SPOILT[_i].says);
	ck_assert_uint_eq(back.epoch, 77);
}
END_TEST

START_TEST(too_many_are_refused)
{
	uint8_t ranges[2 * (RECEIPT_RANGES_MAX + 1)], nacks[2 * (RECEIPT_NACKS_MAX + 1)];
	struct receipt back;
	struct error err;

	for (size_t i = 0; i < sizeof(ranges); i++)
		ranges[i] = i % 2 ? 0 : 4 << 3 | 2;
	for (size_t i = 0; i < sizeof(nacks); i++)
		nacks[i] = i % 2 ? 0 : 5 << 3 | 2;
	ck_assert_int_eq(receipt_decode(&back, ranges, sizeof(ranges), &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "65 ranges"));
	ck_assert_int_eq(receipt_decode(&back, nacks, sizeof(nacks), &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "65 nacks"));
}
END_TEST

START_TEST(memory_is_bounded)
{
	enum { N = 1 << 20 };
	uint8_t *bytes = malloc(N);
	struct receipt back;

	for (size_t i = 0; i < N; i++)
		bytes[i] = i % 2 ? 0 : 4 << 3 | 2;
	ck_assert_int_eq(receipt_decode(&back, bytes, N, NULL), -EBADMSG);
	free(bytes);
}
END_TEST

START_TEST(a_code_of_a_later_version_is_kept)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64);
	struct receipt r = {.n_nacks = 1, .nacks = {{1, (enum nack_code)99, 5}}}, back;

	ck_assert_int_eq(receipt_encode(&r, &out), 0);
	ck_assert_int_eq(receipt_decode(&back, out.data, out.len, NULL), 0);
	ck_assert_int_eq((int)back.nacks[0].code, 99);
	ck_assert_str_eq(nack_name(back.nacks[0].code), "other");
	ck_assert_str_eq(nack_name(NACK_QUOTA), "quota");
	ck_assert_str_eq(nack_name(NACK_BUSY), "busy");
}
END_TEST

START_TEST(cut_and_garbled_receipts_never_crash)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 10);
	struct receipt full = full_receipt(), back;
	uint64_t rng = 88172645463325252ull;
	int refused = 0;

	ck_assert_int_eq(receipt_encode(&full, &out), 0);
	for (size_t len = 0; len < out.len; len++) {
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, out.data, len);
		refused += receipt_decode(&back, copy, len, NULL) < 0;
		free(copy);
	}
	ck_assert_int_gt(refused, 100);
	for (int i = 0; i < 20000; i++) {
		uint8_t was;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		was = out.data[rng % out.len];
		out.data[rng % out.len] = (uint8_t)(rng >> 32);
		if (receipt_decode(&back, out.data, out.len, NULL) == 0)
			ck_assert_uint_le(back.n_ranges, RECEIPT_RANGES_MAX);
		out.data[rng % out.len] = was;
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("receipt");

	tcase_add_test(t, receipts_come_back);
	tcase_add_test(t, it_is_appended);
	tcase_add_test(t, a_small_output_limit_is_an_error);
	tcase_add_loop_test(t, what_makes_no_sense_is_refused, 0, (int)array_len(SPOILT));
	tcase_add_test(t, too_many_are_refused);
	tcase_add_test(t, memory_is_bounded);
	tcase_add_test(t, a_code_of_a_later_version_is_kept);
	tcase_add_test(t, cut_and_garbled_receipts_never_crash);
	return suite_run("receipt", &t, 1);
}
