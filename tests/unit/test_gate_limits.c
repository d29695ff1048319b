/* The gate's token buckets: what is let through by rate and size. */
#include "relay/gate/limits.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static const struct gate_limit LIMIT = {
	.messages_per_s = 10, .bytes_per_s = 1000, .message_max = 500};

/* How many of a thousand messages at one moment fit. */
static int burst(struct gate_bucket *b, const struct gate_limit *l, uint32_t len, uint32_t now_ms)
{
	int n = 0;

	for (int i = 0; i < 1000; i++)
		n += gate_spend(b, l, len, now_ms) == GATE_FITS;
	return n;
}

START_TEST(a_bucket_begins_full_and_fills_with_time)
{
	struct gate_bucket b = {0};

	ck_assert_int_eq(burst(&b, &LIMIT, 1, 5000), 20);
	ck_assert_int_eq(burst(&b, &LIMIT, 1, 5099), 0);
	ck_assert_int_eq(burst(&b, &LIMIT, 1, 5100), 1);
	ck_assert_int_eq(burst(&b, &LIMIT, 1, 6100), 10);
	ck_assert_int_eq(burst(&b, &LIMIT, 1, 60000), 20);
}
END_TEST

START_TEST(bytes_count_beside_messages)
{
	struct gate_bucket b = {0};

	ck_assert_int_eq(burst(&b, &LIMIT, 500, 0), 4);
	ck_assert_int_eq(gate_spend(&b, &LIMIT, 0, 0), GATE_FITS);
	ck_assert_int_eq(gate_spend(&b, &LIMIT, 1, 0), GATE_TOO_FAST);
	ck_assert_int_eq(burst(&b, &LIMIT, 500, 1000), 2);
}
END_TEST

START_TEST(small_steps_of_time_add_up)
{
	struct gate_bucket b = {0};
	const struct gate_limit slow = {.messages_per_s = 1, .bytes_per_s = 1};
	int n = 0;

	ck_assert_int_eq(burst(&b, &slow, 1, 0), 2);
	for (uint32_t ms = 1; ms <= 10000; ms++)
		n += gate_spend(&b, &slow, 1, ms) == GATE_FITS;
	ck_assert_int_eq(n, 10);
}
END_TEST

START_TEST(too_large_is_told_from_too_fast_and_costs_nothing)
{
	struct gate_bucket b = {0};

	ck_assert_int_eq(gate_spend(&b, &LIMIT, 501, 0), GATE_TOO_LARGE);
	ck_assert_int_eq(gate_spend(&b, &LIMIT, UINT32_MAX, 0), GATE_TOO_LARGE);
	ck_assert_int_eq(burst(&b, &LIMIT, 1, 0), 20);
}
END_TEST

START_TEST(the_largest_message_fits_whatever_the_rate)
{
	struct gate_bucket b = {0};
	const struct gate_limit slow = {.bytes_per_s = 10, .message_max = 1000};

	ck_assert_int_eq(burst(&b, &slow, 1000, 0), 1);
	ck_assert_int_eq(gate_spend(&b, &slow, 1000, 99999), GATE_TOO_FAST);
	ck_assert_int_eq(gate_spend(&b, &slow, 1000, 100000), GATE_FITS);
}
END_TEST

START_TEST(zero_is_no_limit)
{
	struct gate_bucket b = {0};
	const struct gate_limit none = {0};

	ck_assert_int_eq(burst(&b, &none, UINT32_MAX, 0), 1000);
}
END_TEST

START_TEST(the_clock_may_wrap)
{
	struct gate_bucket b = {0};

	ck_assert_int_eq(burst(&b, &LIMIT, 1, UINT32_MAX - 49), 20);
	ck_assert_int_eq(burst(&b, &LIMIT, 1, 49), 0);
	ck_assert_int_eq(burst(&b, &LIMIT, 1, 50), 1);
}
END_TEST

START_TEST(the_largest_limits_do_not_overflow)
{
	struct gate_bucket b = {0};
	const struct gate_limit l = {GATE_MESSAGES_MAX, GATE_BYTES_MAX, GATE_BYTES_MAX};

	ck_assert_int_eq(burst(&b, &l, GATE_BYTES_MAX, 0), 2);
	ck_assert_int_eq(burst(&b, &l, GATE_BYTES_MAX, 1000), 1);
	b.messages = (GATE_BURST_S * GATE_MESSAGES_MAX - 1) * UINT32_C(1000); /* all but one */
	ck_assert_int_eq(gate_spend(&b, &l, 0, 1000), GATE_FITS);
	ck_assert_int_eq(gate_spend(&b, &l, 0, 1000), GATE_TOO_FAST);
	ck_assert_int_eq(gate_spend(&b, &l, 0, 1001), GATE_FITS);
}
END_TEST

START_TEST(limits_are_read)
{
	struct gate_limit l = {0};

	ck_assert_int_eq(gate_limit_parse("10/1000/500", &l, NULL), 0);
	ck_assert_int_eq(memcmp(&l, &LIMIT, sizeof(l)), 0);
	ck_assert_int_eq(gate_limit_parse("1000000/1073741824/1073741824", &l, NULL), 0);
	ck_assert_int_eq(gate_limit_parse("0/0/0", &l, NULL), 0);
}
END_TEST

static const char *const BAD[] = {"",
				  "1",
				  "1/2",
				  "1/2/",
				  "1/2/3/",
				  "1/2/3 ",
				  " 1/2/3",
				  "-1/2/3",
				  "1/+2/3",
				  "1000001/2/3",
				  "//",
				  "1/2/0x3",
				  "1,2,3",
				  "a/b/c",
				  "1/1073741825/1",
				  "1/1/99999999999999999999999999999999999999999999999999999999"};

START_TEST(bad_limits_are_refused)
{
	struct gate_limit l = LIMIT;
	struct error err;

	ck_assert_int_eq(gate_limit_parse(BAD[_i], &l, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "MESSAGES/BYTES/LARGEST"));
	ck_assert_int_eq(memcmp(&l, &LIMIT, sizeof(l)), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("limits");

	tcase_add_test(t, a_bucket_begins_full_and_fills_with_time);
	tcase_add_test(t, bytes_count_beside_messages);
	tcase_add_test(t, small_steps_of_time_add_up);
	tcase_add_test(t, too_large_is_told_from_too_fast_and_costs_nothing);
	tcase_add_test(t, the_largest_message_fits_whatever_the_rate);
	tcase_add_test(t, zero_is_no_limit);
	tcase_add_test(t, the_clock_may_wrap);
	tcase_add_test(t, the_largest_limits_do_not_overflow);
	tcase_add_test(t, limits_are_read);
	tcase_add_loop_test(t, bad_limits_are_refused, 0, (int)array_len(BAD));
	return suite_run("gate_limits", &t, 1);
}
