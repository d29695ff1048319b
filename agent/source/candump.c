#include "agent/source/candump.h"

#include <string.h>

/* A hex digit's value with HEX set; 0 for any other byte. */
enum { HEX = 16 };

static const uint8_t hex_value[256] = {
	['0'] = HEX | 0,  ['1'] = HEX | 1,  ['2'] = HEX | 2,  ['3'] = HEX | 3,	['4'] = HEX | 4,
	['5'] = HEX | 5,  ['6'] = HEX | 6,  ['7'] = HEX | 7,  ['8'] = HEX | 8,	['9'] = HEX | 9,
	['A'] = HEX | 10, ['B'] = HEX | 11, ['C'] = HEX | 12, ['D'] = HEX | 13, ['E'] = HEX | 14,
	['F'] = HEX | 15, ['a'] = HEX | 10, ['b'] = HEX | 11, ['c'] = HEX | 12, ['d'] = HEX | 13,
	['e'] = HEX | 14, ['f'] = HEX | 15,
};

enum { ERROR_ID_FLAG = 0x20000000, CLASSIC_DATA_MAX = 8 };
/* The digit after "##": CANFD_BRS and CANFD_ESI of linux/can.h. */
enum { FD_BRS = 1, FD_ESI = 2 };
/* Keeps seconds * 10^9 inside int64_t. */
#define SECONDS_MAX ((int64_t)9000000000)

/* Where we are in a line. */
struct text {
	const char *start;
	const char *p;
	const char *end;
};

static int bad(const struct text *t, struct error *err, const char *what)
{
	error_set(err, "column %zu: %s", (size_t)(t->p - t->start) + 1, what);
	return -EINVAL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static char peek(const struct text *t)
{
	return t->p < t->end ? *t->p : '\0';
}

static bool skip_char(struct text *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool skip_blanks(struct text *t)
{
	const char *p = t->p;

	while (t->p < t->end && is_blank(*t->p))
		t->p++;
	return t->p > p;
}

static unsigned digit(const struct text *t)
{
	return t->p < t->end ? (unsigned)(unsigned char)*t->p - '0' : 10;
}

/* "(seconds.fraction)": a fraction of 1 to 9 digits; finer digits are dropped. */
static int parse_time(struct text *t, int64_t *ret, struct error *err)
{
	int64_t seconds = 0, ns = 0, unit = NS_PER_S;
	const char *first;
	unsigned d;

	if (!skip_char(t, '('))
		return bad(t, err, "expected '(' and a time");
	first = t->p;
	for (; (d = digit(t)) < 10; t->p++) {
		seconds = seconds * 10 + d;
		if (seconds > SECONDS_MAX)
			return bad(t, err, "time is out of range");
	}
	if (t->p == first)
		return bad(t, err, "expected a time in seconds");
	if (skip_char(t, '.')) {
		for (; (d = digit(t)) < 10; t->p++) {
			unit /= 10;
			ns += unit * d;
		}
	}
	if (!skip_char(t, ')'))
		return bad(t, err, "expected ')' after the time");
	*ret = seconds * NS_PER_S + ns;
	return 0;
}

static int parse_bus(struct text *t, char *bus, struct error *err)
{
	size_t n = 0;

	if (!skip_blanks(t))
		return bad(t, err, "expected a space and the bus");
	while (t->p < t->end && !is_blank(*t->p)) {
		if ((unsigned char)*t->p < ' ' || *t->p == 0x7F)
			return bad(t, err, "control character in the name of the bus");
		if (n == CANDUMP_BUS_MAX)
			return bad(t, err, "the name of the bus is longer than 15 bytes");
		bus[n++] = *t->p++;
	}
	if (n == 0)
		return bad(t, err, "expected the bus");
	bus[n] = '\0';
	if (!skip_blanks(t))
		return bad(t, err, "expected a space and the frame");
	return 0;
}

static int set_id(struct text *t, struct frame *f, uint32_t id, size_t digits, struct error *err)
{
	f->flags = 0;
	if (digits == 3) {
		if (id > 0x7FF)
			return bad(t, err, "identifier is above 7FF");
	} else if (digits != 8) {
		return bad(t, err, "an identifier has 3 or 8 hex digits");
	} else if (id & ERROR_ID_FLAG) {
		f->flags = FRAME_ERROR;
		id &= 0x1FFFFFFF;
	} else {
		f->flags = FRAME_EXTENDED;
		if (id > 0x1FFFFFFF)
			return bad(t, err, "identifier is above 1FFFFFFF");
	}
	f->id = id;
	return 0;
}

static int parse_id(struct text *t, struct frame *f, struct error *err)
{
	uint32_t id = 0;
	const char *first = t->p;
	uint8_t v;

	while (t->p < t->end && t->p - first < 9) {
		v = hex_value[(unsigned char)*t->p];
		if (!v)
			break;
		id = id << 4 | (v & 15u);
		t->p++;
	}
	return set_id(t, f, id, (size_t)(t->p - first), err);
}

/* Hex pairs up to a blank, the end, or an underscore (raw DLC: "_9" to "_F"). */
static int parse_data(struct text *t, struct frame *f, size_t max, struct error *err)
{
	size_t n = 0;
	unsigned hi, lo;

	while (t->end - t->p >= 2) {
		hi = hex_value[(unsigned char)t->p[0]];
		lo = hex_value[(unsigned char)t->p[1]];
		if (!(hi & lo & HEX))
			break;
		if (n == max)
			return bad(t, err,
				   max == CLASSIC_DATA_MAX ? "more than 8 bytes of data"
							   : "more than 64 bytes of data");
		f->data[n++] = (uint8_t)(hi << 4 | (lo & 15));
		t->p += 2;
	}
	if (t->p < t->end && !is_blank(*t->p) && *t->p != '_') {
		if (hex_value[(unsigned char)*t->p] && (t->end - t->p == 1 || is_blank(t->p[1])))
			return bad(t, err, "half a byte of data");
		return bad(t, err, "data is not hex");
	}
	f->len = (uint8_t)n;
	return 0;
}

static int parse_remote(struct text *t, struct frame *f, struct error *err)
{
	unsigned d;

	f->flags |= FRAME_REMOTE;
	f->len = 0;
	d = digit(t);
	if (d <= CLASSIC_DATA_MAX) {
		f->len = (uint8_t)d;
		t->p++;
	}
	if (t->p < t->end && !is_blank(*t->p) && *t->p != '_')
		return bad(t, err, "expected a length of 0 to 8 after 'R'");
	return 0;
}

static int parse_fd(struct text *t, struct frame *f, struct error *err)
{
	unsigned flags = hex_value[(unsigned char)peek(t)];

	if (!flags)
		return bad(t, err, "expected a hex digit of CAN FD flags after '##'");
	t->p++;
	f->flags |= FRAME_FD;
	if (flags & FD_BRS)
		f->flags |= FRAME_BRS;
	if (flags & FD_ESI)
		f->flags |= FRAME_ESI;
	return parse_data(t, f, FRAME_DATA_MAX, err);
}

static int parse_payload(struct text *t, struct frame *f, struct error *err)
{
	if (!skip_char(t, '#'))
		return bad(t, err, "expected '#' after the identifier");
	if (skip_char(t, '#'))
		return parse_fd(t, f, err);
	if (skip_char(t, 'R'))
		return parse_remote(t, f, err);
	return parse_data(t, f, CLASSIC_DATA_MAX, err);
}

static int parse_frame(struct text *t, struct candump_line *ret, struct error *err)
{
	int r = parse_time(t, &ret->frame.t_ns, err);

	if (r < 0)
		return r;
	r = parse_bus(t, ret->bus, err);
	if (r < 0)
		return r;
	r = parse_id(t, &ret->frame, err);
	if (r < 0)
		return r;
	ret->frame.bus = FRAME_BUS_NONE;
	return parse_payload(t, &ret->frame, err);
}

/* "can0  123   [8]  11 22 33": without -l candump writes for people, with any of several times, or
 * none. What tells is the length in brackets behind the identifier. */
static bool is_for_people(const struct text *t)
{
	const char *open = memchr(t->start, '[', (size_t)(t->end - t->start));
	struct text length;
	const char *id;

	if (!open)
		return false;
	for (id = open; id > t->start && is_blank(id[-1]); id--)
		;
	if (id == open || id == t->start || !hex_value[(unsigned char)id[-1]])
		return false;
	length = (struct text){.start = t->start, .p = open + 1, .end = t->end};
	while (digit(&length) < 10)
		length.p++;
	return length.p > open + 1 && peek(&length) == ']';
}

int candump_parse(const char *line, size_t len, struct candump_line *ret, struct error *err)
{
	struct text t = {.start = line, .p = line, .end = line + len};
	int r;

	skip_blanks(&t);
	if (t.p == t.end || *t.p == '#')
		return -ENODATA;
	r = parse_frame(&t, ret, err);
	if (r < 0 && is_for_people(&t))
		error_set(err, "what candump shows on a screen; record logs with candump -l");
	return r;
}

/* ---- writing ---- */

static const char hex_digit[16] = "0123456789ABCDEF";

static char *put_decimal(char *p, uint64_t v)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (n)
		*p++ = digits[--n];
	return p;
}

static char *put_time(char *p, int64_t t_ns)
{
	uint64_t us = t_ns > 0 ? (uint64_t)t_ns / 1000 : 0;
	uint32_t fraction = (uint32_t)(us % 1000000);

	*p++ = '(';
	p = put_decimal(p, us / 1000000);
	*p++ = '.';
	for (uint32_t unit = 100000; unit; unit /= 10)
		*p++ = (char)('0' + fraction / unit % 10);
	*p++ = ')';
	return p;
}

static char *put_id(char *p, const struct frame *f)
{
	uint32_t id = f->id;
	int digits = f->flags & (FRAME_EXTENDED | FRAME_ERROR) ? 8 : 3;

	if (f->flags & FRAME_ERROR)
		id |= ERROR_ID_FLAG;
	for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4)
		*p++ = hex_digit[id >> shift & 15];
	return p;
}

static char *put_data(char *p, const struct frame *f)
{
	*p++ = '#';
	if (f->flags & FRAME_REMOTE) {
		*p++ = 'R';
		if (f->len)
			*p++ = (char)('0' + f->len % 10);
		return p;
	}
	if (f->flags & FRAME_FD) {
		*p++ = '#';
		*p++ = hex_digit[(f->flags & FRAME_BRS ? FD_BRS : 0) |
				 (f->flags & FRAME_ESI ? FD_ESI : 0)];
	}
	for (size_t i = 0; i < f->len && i < FRAME_DATA_MAX; i++) {
		*p++ = hex_digit[f->data[i] >> 4];
		*p++ = hex_digit[f->data[i] & 15];
	}
	return p;
}

size_t candump_format(const struct frame *f, const char *bus, char *out)
{
	size_t n = strnlen(bus, CANDUMP_BUS_MAX);
	char *p = put_time(out, f->t_ns);

	*p++ = ' ';
	memcpy(p, bus, n);
	p += n;
	*p++ = ' ';
	p = put_id(p, f);
	p = put_data(p, f);
	*p++ = '\n';
	return (size_t)(p - out);
}

/* ---- lines ---- */

void candump_feed(struct candump_splitter *s, const char *data, size_t len)
{
	assert(s->in_len == 0);
	s->in = data;
	s->in_len = len;
}

/* Adds to the line kept from earlier input; one that is too long is kept no more. */
static void keep(struct candump_splitter *s, const char *data, size_t len)
{
	if (len > sizeof(s->partial) - s->kept)
		s->skipping = true;
	if (s->skipping)
		return;
	memcpy(s->partial + s->kept, data, len);
	s->kept += len;
}

static int parse_line(struct candump_splitter *s, const char *line, size_t len, const char *name,
		      struct candump_line *ret, struct error *err)
{
	struct error what;
	int r;

	s->line++;
	if (len > CANDUMP_LINE_MAX) {
		error_set(err, "%.160s:%llu: line is longer than %d bytes", name,
			  (unsigned long long)s->line, CANDUMP_LINE_MAX);
		return -EINVAL;
	}
	r = candump_parse(line, len, ret, &what);
	if (r == -EINVAL)
		error_set(err, "%.160s:%llu: %.70s", name, (unsigned long long)s->line, what.text);
	return r == 0 ? 1 : r;
}

/* The kept line is complete: parses it and starts afresh. */
static int parse_kept(struct candump_splitter *s, const char *name, struct candump_line *ret,
		      struct error *err)
{
	size_t len = s->skipping ? CANDUMP_LINE_MAX + 1 : s->kept;

	s->kept = 0;
	s->skipping = false;
	return parse_line(s, s->partial, len, name, ret, err);
}

int candump_take(struct candump_splitter *s, const char *name, struct candump_line *ret,
		 struct error *err)
{
	const char *line, *newline;
	size_t len;
	int r;

	while (s->in_len > 0) {
		line = s->in;
		newline = memchr(line, '\n', s->in_len);
		if (!newline) {
			keep(s, line, s->in_len);
			s->in_len = 0;
			return 0;
		}
		len = (size_t)(newline - line);
		s->in += len + 1;
		s->in_len -= len + 1;
		if (s->kept || s->skipping) {
			keep(s, line, len);
			r = parse_kept(s, name, ret, err);
		} else {
			r = parse_line(s, line, len, name, ret, err);
		}
		if (r != -ENODATA)
			return r;
	}
	return 0;
}

int candump_take_end(struct candump_splitter *s, const char *name, struct candump_line *ret,
		     struct error *err)
{
	struct error what;
	int r;

	if (!s->kept && !s->skipping)
		return 0;
	r = parse_kept(s, name, ret, &what);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		error_set(err, "%.220s (truncated last line)", what.text);
	return r;
}
