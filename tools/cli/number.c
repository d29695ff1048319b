#include "tools/cli/number.h"

#include <stdio.h>

size_t number_format_u64(uint64_t v, char *out)
{
	char digits[20];
	size_t n = 0, len;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	for (len = 0; n > 0;)
		out[len++] = digits[--n];
	return len;
}

size_t number_format_i64(int64_t v, char *out)
{
	if (v >= 0)
		return number_format_u64((uint64_t)v, out);
	*out = '-';
	return 1 + number_format_u64(0 - (uint64_t)v, out + 1);
}

/* scaled / 10^places, of at most 15 digits. */
static size_t format_decimal(uint64_t scaled, uint64_t unit, char *out)
{
	size_t n = number_format_u64(scaled / unit, out);
	uint64_t rest = scaled % unit;

	if (unit == 1)
		return n;
	out[n++] = '.';
	while (unit > 1) {
		unit /= 10;
		out[n++] = (char)('0' + rest / unit % 10);
	}
	return n;
}

/* Most values are integers or short decimals: raw * 0.25 + 8. A decimal of at most 15 digits is the
 * shortest text of a double if dividing its exact parts, correctly rounded, gives that double.
 * Returns 0 where it is not so simple. */
static size_t format_simple(double v, char *out)
{
	double positive = v < 0 ? -v : v;
	uint64_t unit = 1;

	if (!(positive < 1e15) || (positive < 1e-4 && positive > 0))
		return 0;
	for (int places = 0; places <= 6; places++, unit *= 10) {
		double scaled = positive * (double)unit + 0.5;
		uint64_t whole;

		if (scaled >= 1e15)
			return 0;
		whole = (uint64_t)scaled;
		if ((double)whole / (double)unit != positive)
			continue;
		if (v < 0)
			*out = '-';
		return (v < 0) + format_decimal(whole, unit, out + (v < 0));
	}
	return 0;
}

size_t number_format(double v, char *out)
{
	char text[NUMBER_TEXT];
	size_t n = format_simple(v, out);
	int len = 0;

	if (n > 0)
		return n;
	for (int digits = 15; digits <= 17; digits++) {
		len = snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	for (n = 0; n < (size_t)len; n++)
		out[n] = text[n];
	return n;
}
