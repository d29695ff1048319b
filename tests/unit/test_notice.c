/* Gaps and clocks: encoded and decoded, and refused when they make no sense. */
#include "proto/clock.h"
#include "proto/gap.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

START_TEST(gaps_come_back)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct gap g = {.through = INT64_MAX,
			.reason = GAP_RECEIPTED,
			.batches = INT64_MAX,
			.samples = 1,
			.first_ns = -5,
			.last_ns = INT64_MAX},
		   back;

	ck_assert_int_eq(gap_encode(&g, &out), 0);
	ck_assert_int_eq(gap_decode(&back, 1, out.data, out.len, NULL), 0);
	ck_assert_uint_eq(back.through, g.through);
	ck_assert_int_eq(back.reason, g.reason);
	ck_assert_uint_eq(back.batches, g.batches);
	ck_assert_uint_eq(back.samples, g.samples);
	ck_assert_int_eq(back.first_ns, g.first_ns);
	ck_assert_int_eq(back.last_ns, g.last_ns);
}
END_TEST

/* What proto/README.md says of them, byte for byte. */
START_TEST(bytes_are_those_of_the_specification)
{
	static const uint8_t GAP[] = {0x08, 0x09, 0x10, 0x02, 0x18, 0x03,
				      0x20, 0x1e, 0x28, 0x04, 0x30, 0x06};
	static const uint8_t CLOCK[] = {0x09, 0x4d, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x0a, 0x18, 0x06};
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct gap g = {9, GAP_EXPIRED, 3, 30, 2, 3};
	struct clock_notice n = {77, 5, 3, CLOCK_SYNCED};

	ck_assert_int_eq(gap_encode(&g, &out), 0);
	ck_assert_uint_eq(out.len, sizeof(GAP));
	ck_assert_mem_eq(out.data, GAP, sizeof(GAP));
	buf_clear(&out);
	ck_assert_int_eq(clock_notice_encode(&n, &out), 0);
	ck_assert_uint_eq(out.len, sizeof(CLOCK));
	ck_assert_mem_eq(out.data, CLOCK, sizeof(CLOCK));
}
END_TEST

static int decode_gap(const struct gap *g, uint64_t from)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct gap back = {.through = 12345};
	struct error err = {0};
	int r;

	ck_assert_int_eq(gap_encode(g, &out), 0);
	r = gap_decode(&back, from, out.data, out.len, &err);
	if (r < 0) {
		ck_assert_ptr_nonnull(strstr(err.text, "gap"));
		ck_assert_uint_eq(back.through, 12345); /* untouched */
	}
	return r;
}

START_TEST(bad_gaps_are_refused)
{
	const struct gap good = {.through = 9, .reason = GAP_QUOTA};
	struct gap g = good;

	ck_assert_int_eq(decode_gap(&g, 9), 0);
	ck_assert_int_eq(decode_gap(&g, 10), -EBADMSG); /* ends before it begins */
	g.reason = (enum gap_reason)0;
	ck_assert_int_eq(decode_gap(&g, 1), -EBADMSG);
	g.reason = (enum gap_reason)1000; /* of the future */
	ck_assert_int_eq(decode_gap(&g, 1), 0);
	ck_assert_str_eq(gap_reason_name(g.reason), "unknown");
	g = good;
	g.through = UINT64_MAX;
	ck_assert_int_eq(decode_gap(&g, 1), -EBADMSG);
	g = good;
	g.samples = UINT64_MAX;
	ck_assert_int_eq(decode_gap(&g, 1), -EBADMSG);
	g = good;
	g.first_ns = 1;
	ck_assert_int_eq(decode_gap(&g, 1), -EBADMSG);
}
END_TEST

START_TEST(reasons_have_names)
{
	for (int r = 1; r < GAP_REASONS; r++)
		ck_assert_str_ne(gap_reason_name((enum gap_reason)r), "unknown");
	ck_assert_str_eq(gap_reason_name((enum gap_reason)0), "unknown");
	ck_assert_str_eq(gap_reason_name((enum gap_reason) - 1), "unknown");
}
END_TEST

START_TEST(clocks_come_back)
{
	for (int q = CLOCK_UNKNOWN; q <= CLOCK_SYNCED; q++) {
		struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
		struct clock_notice n = {UINT64_MAX, INT64_MAX, 0, (enum clock_quality)q}, back;

		ck_assert_int_eq(clock_notice_encode(&n, &out), 0);
		ck_assert_int_eq(clock_notice_decode(&back, out.data, out.len, NULL), 0);
		ck_assert_uint_eq(back.boot_id, n.boot_id);
		ck_assert_int_eq(back.wall_ns, n.wall_ns);
		ck_assert_int_eq(back.mono_ns, n.mono_ns);
		ck_assert_int_eq(back.quality, n.quality);
	}
}
END_TEST

static int decode_clock(const struct clock_notice *n)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct clock_notice back;
	struct error err = {0};

	ck_assert_int_eq(clock_notice_encode(n, &out), 0);
	return clock_notice_decode(&back, out.data, out.len, &err);
}

START_TEST(bad_clocks_are_refused)
{
	ck_assert_int_eq(decode_clock(&(struct clock_notice){0, 1, 1, CLOCK_SYNCED}), -EBADMSG);
	ck_assert_int_eq(decode_clock(&(struct clock_notice){1, -1, 1, CLOCK_SYNCED}), -EBADMSG);
	ck_assert_int_eq(decode_clock(&(struct clock_notice){1, 1, -1, CLOCK_SYNCED}), -EBADMSG);
}
END_TEST

START_TEST(bytes_that_are_neither)
{
	static const uint8_t unknown_field[] = {0x08, 0x05, 0x10, 0x01, 0xf8, 0x07, 0x01};
	uint8_t long_one[300] = {0};
	struct gap g;
	struct clock_notice n;

	ck_assert_int_eq(gap_decode(&g, 1, "\xff", 1, NULL), -EBADMSG);
	ck_assert_int_eq(clock_notice_decode(&n, "\xff", 1, NULL), -EBADMSG);
	ck_assert_int_eq(gap_decode(&g, 1, long_one, sizeof(long_one), NULL), -EBADMSG);
	ck_assert_int_eq(clock_notice_decode(&n, long_one, sizeof(long_one), NULL), -EBADMSG);
	ck_assert_int_eq(gap_decode(&g, 1, "", 0, NULL), -EBADMSG);
	ck_assert_int_eq(gap_decode(&g, 1, unknown_field, sizeof(unknown_field), NULL), 0);
	ck_assert_uint_eq(g.through, 5);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("notice");

	tcase_add_test(t, gaps_come_back);
	tcase_add_test(t, bytes_are_those_of_the_specification);
	tcase_add_test(t, bad_gaps_are_refused);
	tcase_add_test(t, reasons_have_names);
	tcase_add_test(t, clocks_come_back);
	tcase_add_test(t, bad_clocks_are_refused);
	tcase_add_test(t, bytes_that_are_neither);
	return suite_run("notice", &t, 1);
}
