#include "relay/api/internal.h"

#include "proto/catalog.h"
#include "relay/live/live.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { JSON_EXACT_BITS = 53, PATH_TEXT_MAX = 1024 };

const char *query_text(struct request *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->conn, MHD_GET_ARGUMENT_KIND, name);
}

/* Digits alone, with a minus or without: strtoll also takes blanks and a plus. */
static int parse_int(const char *text, int64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)text[*text == '-']))
		return -EINVAL;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno || end == text || *end ? -EINVAL : 0;
}

int query_int(struct request *rq, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	const char *text = query_text(rq, name);
	int64_t v;

	if (!text)
		return 0;
	if (parse_int(text, &v) < 0 || v < min || v > max) {
		(void)!reply_problem(rq, 400, "%s: must be an integer from %lld to %lld.", name,
				     (long long)min, (long long)max);
		return -EINVAL;
	}
	*ret = v;
	return 1;
}

/* The fraction of a second at s, to ns; moves s behind it. A dot alone stays where it is. */
static int64_t parse_fraction(const char **s)
{
	int64_t ns = 0, unit = NS_PER_S / 10;

	if (**s != '.' || !isdigit((unsigned char)(*s)[1]))
		return 0;
	for ((*s)++; **s >= '0' && **s <= '9'; (*s)++) {
		ns += (**s - '0') * unit;
		unit /= 10;
	}
	return ns;
}

/* "Z", or an offset as "+02:00"; a '+' may have become a space on its way through a URL. */
static int parse_offset(const char *s, int64_t *ret_s)
{
	int h, m;

	*ret_s = 0;
	if ((*s == 'Z' || *s == 'z') && !s[1])
		return 0;
	if ((*s != '+' && *s != '-' && *s != ' ') || strlen(s) != 6 || s[3] != ':')
		return -EINVAL;
	for (int i = 1; i < 6; i++) {
		if (i != 3 && (s[i] < '0' || s[i] > '9'))
			return -EINVAL;
	}
	h = (s[1] - '0') * 10 + s[2] - '0';
	m = (s[4] - '0') * 10 + s[5] - '0';
	if (h > 23 || m > 59)
		return -EINVAL;
	*ret_s = (*s == '-' ? -1 : 1) * (h * 3600 + m * 60);
	return 0;
}

/* strptime takes blanks and single digits, and days that a month has not. */
static bool is_date_time(const char *text)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";

	for (size_t i = 0; shape[i]; i++) {
		if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
			return false;
	}
	return true;
}

static bool is_day(const struct tm *tm)
{
	struct tm day = {.tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday};

	(void)timegm(&day);
	return day.tm_mday == tm->tm_mday;
}

static int parse_rfc3339(const char *text, int64_t *ret_ns)
{
	struct tm tm = {0};
	const char *s = is_date_time(text) ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t ns, offset_s, whole;

	if (!s || tm.tm_year < 70 || !is_day(&tm))
		return -EINVAL;
	ns = parse_fraction(&s);
	if (parse_offset(s, &offset_s) < 0)
		return -EINVAL;
	if (__builtin_mul_overflow((int64_t)timegm(&tm) - offset_s, NS_PER_S, &whole) ||
	    __builtin_add_overflow(whole, ns, &ns) || ns < 0)
		return -EINVAL; /* nanoseconds reach to 2262 */
	*ret_ns = ns;
	return 0;
}

int parse_time(const char *text, int64_t *ret_ns)
{
	int64_t ms;

	if (parse_int(text, &ms) < 0)
		return parse_rfc3339(text, ret_ns);
	if (ms < 0 || ms > INT64_MAX / NS_PER_MS)
		return -EINVAL;
	*ret_ns = ms * NS_PER_MS;
	return 0;
}

int query_time(struct request *rq, const char *name, int64_t *ret_ns)
{
	const char *text = query_text(rq, name);

	if (!text)
		return 0;
	if (parse_time(text, ret_ns) < 0) {
		(void)!reply_problem(rq, 400,
				     "%s: must be a time as 2026-03-01T12:34:56Z, or "
				     "milliseconds since 1970.",
				     name);
		return -EINVAL;
	}
	return 1;
}

json_t *json_time(int64_t wall_ns)
{
	char text[WALL_TIME_TEXT];
	int rest = (int)(wall_ns % NS_PER_MS);
	char *z;

	wall_time_format((struct wall_time){.ns = wall_ns}, text);
	z = text + strlen(text) - 1;
	if (rest < 0)
		rest += (int)NS_PER_MS;
	if (rest % 1000)
		snprintf(z, 8, "%06dZ", rest);
	else if (rest)
		snprintf(z, 5, "%03dZ", rest / 1000);
	return json_string(text);
}

json_t *json_number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_unsigned(uint64_t v)
{
	if (v <= (uint64_t)1 << JSON_EXACT_BITS)
		return json_integer((json_int_t)v);
	return json_sprintf("%llu", (unsigned long long)v);
}

static json_t *json_signed(int64_t v)
{
	int64_t limit = (int64_t)1 << JSON_EXACT_BITS;

	if (v >= -limit && v <= limit)
		return json_integer(v);
	return json_sprintf("%lld", (long long)v);
}

int json_set_value(json_t *o, const struct catalog_signal *s, uint64_t raw)
{
	int r = 0;

	if (s->kind == SIGNAL_UNSIGNED)
		r = json_object_set_new(o, "raw", json_unsigned(raw));
	else if (s->kind == SIGNAL_SIGNED)
		r = json_object_set_new(o, "raw", json_signed((int64_t)raw));
	if (r == 0)
		r = json_object_set_new(o, "value", json_number(catalog_value(s, raw)));
	return r ? -ENOMEM : 0;
}

json_t *json_signal(const struct catalog *cat, const struct live_value *v, bool with_raw)
{
	const struct catalog_signal *s = &cat->signals[v->signal];
	const char *text = catalog_choice(s, v->raw);
	char path[PATH_TEXT_MAX];
	json_t *o;

	catalog_path(cat, v->signal, path, sizeof(path));
	o = json_pack("{s:s, s:o, s:s}", "signal", path, "time", json_time(v->wall_ns), "unit",
		      s->unit);
	if (!o)
		return NULL;
	if (json_set_value(o, s, v->raw) < 0) {
		json_decref(o);
		return NULL;
	}
	if (!with_raw)
		json_object_del(o, "raw");
	if (text)
		json_object_set_new(o, "text", json_string(text));
	return o;
}
