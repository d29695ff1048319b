#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool has_colours(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(fileno(out)) && !(no_color && *no_color);
}

const char *term_bold(FILE *out)
{
	return has_colours(out) ? "\033[1m" : "";
}

const char *term_dim(FILE *out)
{
	return has_colours(out) ? "\033[2m" : "";
}

const char *term_reset(FILE *out)
{
	return has_colours(out) ? "\033[0m" : "";
}

void term_clear(FILE *out)
{
	if (isatty(fileno(out)))
		fputs("\033[H\033[J", out);
}

/* C0, DEL, and C1 (U+0080 to U+009F), of which each of the two bytes is one. */
static bool is_control(const char *text, size_t i)
{
	unsigned char c = (unsigned char)text[i], next = c ? (unsigned char)text[i + 1] : 0;
	unsigned char before = i > 0 ? (unsigned char)text[i - 1] : 0;

	return c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0) ||
	       (before == 0xc2 && c >= 0x80 && c < 0xa0);
}

void term_put(FILE *out, const char *text)
{
	for (size_t i = 0; text[i]; i++)
		putc(is_control(text, i) ? '?' : text[i], out);
}

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
	size_t columns, cells, cap;
	char **text;
	bool right[TABLE_COLUMNS_MAX];
};

struct table *table_new(size_t columns)
{
	struct table *t = calloc(1, sizeof(*t));

	assert(columns > 0 && columns <= TABLE_COLUMNS_MAX);
	if (t)
		t->columns = columns;
	return t;
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->cells; i++)
		free(t->text[i]);
	free(t->text);
	free(t);
	return NULL;
}

void table_cell(struct table *t, const char *text)
{
	if (t->cells == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		char **grown = realloc(t->text, cap * sizeof(*grown));

		if (!grown)
			abort(); /* a command line tool has nothing better to do */
		t->text = grown;
		t->cap = cap;
	}
	t->text[t->cells] = strdup(text ? text : "");
	if (!t->text[t->cells])
		abort();
	t->cells++;
}

void table_cellf(struct table *t, const char *fmt, ...)
{
	char *text cleanup(free_ptr) = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	table_cell(t, text);
}

void table_align_right(struct table *t, size_t column)
{
	assert(column < t->columns);
	t->right[column] = true;
}

/* Characters, not bytes: units such as "°C" are common. */
static size_t text_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(const struct table *t, size_t cell, size_t width, FILE *out)
{
	size_t column = cell % t->columns;
	size_t have = text_width(t->text[cell]);
	int pad = have < width ? (int)(width - have) : 0;
	bool last = column + 1 == t->columns;

	if (t->right[column])
		fprintf(out, "%*s", pad, "");
	term_put(out, t->text[cell]);
	if (!t->right[column] && !last)
		fprintf(out, "%*s", pad, "");
	fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *t, FILE *out)
{
	size_t width[TABLE_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < t->cells; i++) {
		size_t w = text_width(t->text[i]);

		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->cells; i++) {
		if (i == 0)
			fputs(term_bold(out), out);
		if (i == t->columns)
			fputs(term_reset(out), out);
		print_cell(t, i, width[i % t->columns], out);
	}
	if (t->cells <= t->columns)
		fputs(term_reset(out), out);
}

static int parse_age(const char *text, const char *end, int64_t n, int64_t now_ms, int64_t *ret_ms)
{
	static const char units[] = "smhd";
	static const int64_t ms[] = {1000, 60000, 3600000, 86400000};
	const char *unit = strchr(units, *end);

	if (end == text || !*end || !unit || end[1] || n < 0 || n > 1000000000)
		return -EINVAL;
	*ret_ms = now_ms - n * ms[unit - units];
	return 0;
}

static int parse_rfc3339(const char *text, int64_t *ret_ms)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ms = 0;
	int hours, minutes, used = 0;

	if (!rest)
		return -EINVAL;
	if (*rest == '.') {
		int64_t scale = 100;

		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			ms += (*rest - '0') * scale;
	}
	ms += (int64_t)timegm(&tm) * 1000;
	if (strcmp(rest, "Z") != 0) {
		if ((*rest != '+' && *rest != '-') ||
		    sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || rest[1 + used])
			return -EINVAL;
		ms -= (*rest == '+' ? 1 : -1) * ((int64_t)hours * 60 + minutes) * 60000;
	}
	*ret_ms = ms;
	return 0;
}

int term_parse_time(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	char *end;
	int64_t n;

	if (strcmp(text, "now") == 0) {
		*ret_ms = now_ms;
		return 0;
	}
	errno = 0;
	n = strtoll(text, &end, 10);
	if (end != text && !*end && errno == 0) {
		*ret_ms = n;
		return 0;
	}
	if (parse_age(text, end, n, now_ms, ret_ms) == 0)
		return 0;
	return parse_rfc3339(text, ret_ms);
}
