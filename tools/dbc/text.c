#include "tools/dbc/text.h"

#include <string.h>

enum { REPLACEMENT = 0xfffd, UTF8_MAX = 3 };

/* Windows-1252 where it differs from Latin-1, 0x80 to 0x9f; 0: not assigned. */
static const uint16_t cp1252[32] = {
	0x20ac, 0,	0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
	0x2039, 0x0152, 0,	0x017d, 0,	0,	0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
	0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,	0x017e, 0x0178,
};

static uint32_t recode(uint8_t byte)
{
	if (byte < 0x80 || byte >= 0xa0)
		return byte;
	return cp1252[byte - 0x80] ? cp1252[byte - 0x80] : REPLACEMENT;
}

/* Bytes of the well-formed sequence at p (Unicode 15, table 3-7), or 0. */
static size_t utf8_sequence(const uint8_t *p, size_t len)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool dbc_text_is_utf8(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_sequence(p + i, len - i);
		if (n == 0)
			return false;
	}
	return true;
}

/* Of at most 16 bits: all that Windows-1252 holds. */
static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | (c >> 6));
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | (c >> 12));
	out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
	out[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

/* The longest that a raw text can become: only recoding and replacing make it longer. */
static size_t utf8_size(struct dbc_span raw, bool recoded)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.len; i++)
		n += is_control((uint8_t)raw.p[i]) || (recoded && (uint8_t)raw.p[i] >= 0x80)
			     ? UTF8_MAX
			     : 1;
	return n;
}

const char *dbc_text_string(struct dbc_arena *a, struct dbc_span raw,
			    struct dbc_text_repairs *repairs)
{
	char *out;
	size_t n = 0;

	repairs->recoded = !dbc_text_is_utf8(raw.p, raw.len);
	repairs->control = false;
	if (raw.len == 0)
		return "";
	out = dbc_arena_alloc(a, utf8_size(raw, repairs->recoded) + 1);
	if (!out)
		return "";
	for (size_t i = 0; i < raw.len; i++) {
		uint8_t c = (uint8_t)raw.p[i];
		char next = i + 1 < raw.len ? raw.p[i + 1] : '\0';

		if ((c == '\\' && next == '"') || (c == '\r' && next == '\n'))
			continue;
		if (is_control(c)) {
			repairs->control = true;
			n += put_utf8(out + n, REPLACEMENT);
		} else if (repairs->recoded) {
			n += put_utf8(out + n, recode(c));
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
	return out;
}

static bool is_name_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '_' || c >= 0x80;
}

const char *dbc_text_name(struct dbc_arena *a, struct dbc_span raw, bool *repaired)
{
	bool recoded = !dbc_text_is_utf8(raw.p, raw.len);
	char *out = dbc_arena_alloc(a, raw.len * UTF8_MAX + 1);
	size_t n = 0;

	*repaired = recoded;
	if (!out)
		return "";
	for (size_t i = 0; i < raw.len; i++) {
		uint8_t c = (uint8_t)raw.p[i];

		if (is_name_char(c)) {
			if (recoded)
				n += put_utf8(out + n, recode(c));
			else
				out[n++] = (char)c;
			continue;
		}
		*repaired = true;
		if (n == 0 || out[n - 1] != '_')
			out[n++] = '_';
	}
	return out;
}
