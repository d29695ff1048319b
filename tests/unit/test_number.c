/* Shortest texts of doubles. The command line is no library: its file is taken in whole. */
#include "tests/unit/suite.h"
#include "tools/cli/number.c"

#include <check.h>
#include <math.h>
#include <string.h>

static const char *text_of(double v)
{
	static char text[NUMBER_TEXT];
	size_t n = number_format(v, text);

	ck_assert_uint_lt(n, NUMBER_TEXT);
	text[n] = '\0';
	return text;
}

START_TEST(known)
{
	ck_assert_str_eq(text_of(0), "0");
	ck_assert_str_eq(text_of(-0.0), "0");
	ck_assert_str_eq(text_of(1), "1");
	ck_assert_str_eq(text_of(-1), "-1");
	ck_assert_str_eq(text_of(649.25), "649.25");
	ck_assert_str_eq(text_of(-0.5), "-0.5");
	ck_assert_str_eq(text_of(0.1), "0.1");
	ck_assert_str_eq(text_of(0.1 + 0.2), "0.30000000000000004");
	ck_assert_str_eq(text_of(-1.5425900000000006), "-1.5425900000000006");
	ck_assert_str_eq(text_of(38.431372549019606), "38.431372549019606");
	ck_assert_str_eq(text_of(999999999999999), "999999999999999");
	ck_assert_str_eq(text_of(1e15), "1e+15");
	ck_assert_str_eq(text_of(9007199254740993.0), "9007199254740992");
	ck_assert_str_eq(text_of(1e-5), "1e-05");
	ck_assert_str_eq(text_of(0.0001), "0.0001");
	ck_assert_str_eq(text_of(0.00012), "0.00012");
	ck_assert_str_eq(text_of(1.7976931348623157e308), "1.7976931348623157e+308");
	ck_assert_str_eq(text_of(5e-324), "4.94065645841247e-324");
	ck_assert_str_eq(text_of(INFINITY), "inf");
	ck_assert_str_eq(text_of(-INFINITY), "-inf");
	ck_assert_ptr_nonnull(strstr(text_of(NAN), "nan"));
}
END_TEST

START_TEST(integers)
{
	char text[NUMBER_TEXT];

	ck_assert_uint_eq(number_format_u64(0, text), 1);
	ck_assert_mem_eq(text, "0", 1);
	ck_assert_uint_eq(number_format_u64(UINT64_MAX, text), 20);
	ck_assert_mem_eq(text, "18446744073709551615", 20);
	ck_assert_uint_eq(number_format_i64(INT64_MIN, text), 20);
	ck_assert_mem_eq(text, "-9223372036854775808", 20);
	ck_assert_uint_eq(number_format_i64(INT64_MAX, text), 19);
}
END_TEST

enum { RANDOM_VALUES = TEST_EMULATED ? 30000 : 300000 };

/* The shortest of %.15g, %.16g, %.17g that reads back, without the detour. */
static void check_shortest(double v)
{
	const char *got = text_of(v);
	char expected[NUMBER_TEXT];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(expected, sizeof(expected), "%.*g", digits, v);
		if (strtod(expected, NULL) == v)
			break;
	}
	if (strtod(got, NULL) != v || strcmp(got, expected) != 0)
		ck_abort_msg("%s, expected %s", got, expected);
}

START_TEST(random_values)
{
	static const double factors[] = {1,    0.5,  0.25,  0.1,    0.01,   0.001, 0.0625,
					 1e-6, 1e-7, 0.392, 0.0039, 1 / 3., 17,	   1e6};
	uint64_t x = 88172645463325252u;

	for (int i = 0; i < RANDOM_VALUES; i++) {
		double v;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		v = (double)(int64_t)(x >> (8 + x % 50)) * factors[x % array_len(factors)] -
		    (double)(x % 5) * 40;
		if (v != 0)
			check_shortest(x & 1 ? v : -v);
		memcpy(&v, &x, sizeof(v));
		if (isfinite(v) && v != 0)
			check_shortest(v);
	}
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("number");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, known);
	tcase_add_test(tc, integers);
	tcase_add_test(tc, random_values);
	return suite_run("number", &tc, 1);
}
