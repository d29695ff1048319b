/* Values: from text to what their type says, within bounds. */
#include "base/conf_private.h"

#include <inttypes.h>
#include <string.h>

static const char *const true_words[] = {"true", "yes", "on", "1"};
static const char *const false_words[] = {"false", "no", "off", "0"};

static bool is_bounded(const struct conf_key *key)
{
	return key->min != 0 || key->max != 0;
}

/* An empty default means "not set": then an empty value may be given as well. */
static bool may_be_empty(const struct conf_key *key)
{
	return key->def && !*key->def;
}

static bool in_bounds(const struct conf_key *key, int64_t n)
{
	return !is_bounded(key) || (n >= key->min && n <= key->max);
}

static int parse_int(const struct conf_key *key, const char *text, int64_t *ret)
{
	const char *digits = text + (*text == '-');
	long long n;
	char *end;

	if (*digits < '0' || *digits > '9')
		return -EINVAL;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno != 0 || *end || !in_bounds(key, n))
		return -EINVAL;
	*ret = n;
	return 0;
}

static int parse_bool(const char *text, int64_t *ret)
{
	for (size_t i = 0; i < array_len(true_words); i++) {
		if (strcmp(text, true_words[i]) == 0 || strcmp(text, false_words[i]) == 0) {
			*ret = strcmp(text, true_words[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_enum(const struct conf_key *key, const char *text, int64_t *ret)
{
	const char *p = key->choices;

	for (int64_t i = 0;; i++) {
		size_t len = strcspn(p, "|");

		if (len > 0 && len == strlen(text) && memcmp(p, text, len) == 0) {
			*ret = i;
			return 0;
		}
		p += len;
		if (!*p)
			return -EINVAL;
		p++;
	}
}

static int check_string(const struct conf_key *key, const char *text)
{
	if (!*text && may_be_empty(key))
		return 0;
	return in_bounds(key, (int64_t)strlen(text)) ? 0 : -EINVAL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Appends the items of text to those in v. Empty ones do not count: a comma may end a line. */
static int add_items(struct conf_value *v, const char *text)
{
	size_t at = v->n_items > 0 ? v->len + 1 : 0;
	char *grown;

	if (at + strlen(text) > CONF_LIST_MAX)
		return -E2BIG;
	grown = realloc(v->text, at + strlen(text) + 1);
	if (!grown)
		return -ENOMEM;
	v->text = grown;
	while (*text) {
		size_t len = strcspn(text, ","), next = len + (text[len] == ',');

		while (len > 0 && is_blank(text[len - 1]))
			len--;
		while (len > 0 && is_blank(*text)) {
			text++;
			len--;
			next--;
		}
		if (len > 0) {
			memcpy(v->text + at, text, len);
			v->text[at + len] = '\0';
			v->len = at + len;
			at = v->len + 1;
			v->n_items++;
		}
		text += next;
	}
	if (v->n_items == 0)
		v->text[0] = '\0';
	return 0;
}

static int check_list(const struct conf_key *key, const struct conf_value *v)
{
	if (v->n_items == 0 && may_be_empty(key))
		return 0;
	return in_bounds(key, (int64_t)v->n_items) ? 0 : -EINVAL;
}

static int parse_list(struct conf_value *v, const struct conf_key *key, const char *text)
{
	int r = add_items(v, text);

	/* Too few may become enough by the lines that follow. */
	if (r == 0 && is_bounded(key) && (int64_t)v->n_items > key->max)
		r = -EINVAL;
	return r;
}

static int parse_scalar(struct conf_value *v, const struct conf_key *key, const char *text)
{
	int r = 0;

	switch (key->type) {
	case CONF_INT:
		r = parse_int(key, text, &v->number);
		break;
	case CONF_BOOL:
		r = parse_bool(text, &v->number);
		break;
	case CONF_ENUM:
		r = parse_enum(key, text, &v->number);
		break;
	case CONF_STRING:
		r = check_string(key, text);
		break;
	case CONF_LIST:
		break;
	}
	if (r < 0)
		return r;
	v->text = strdup(text);
	v->len = strlen(text);
	return v->text ? 0 : -ENOMEM;
}

int conf_value_set(struct conf_value *v, const struct conf_key *key, const char *text, int line)
{
	struct conf_value fresh = {.line = line};
	int r;

	r = key->type == CONF_LIST ? parse_list(&fresh, key, text)
				   : parse_scalar(&fresh, key, text);
	if (r < 0) {
		conf_value_free(&fresh);
		return r;
	}
	conf_value_free(v);
	*v = fresh;
	return 0;
}

int conf_value_extend(struct conf_value *v, const struct conf_key *key, const char *text)
{
	return parse_list(v, key, text);
}

int conf_value_check(const struct conf_value *v, const struct conf_key *key)
{
	return key->type == CONF_LIST ? check_list(key, v) : 0;
}

void conf_value_free(struct conf_value *v)
{
	free(v->text);
	*v = (struct conf_value){0};
}

bool conf_value_equal(const struct conf_value *a, const struct conf_value *b,
		      const struct conf_key *key)
{
	if (!a->text || !b->text)
		return a->text == b->text;
	if (key->type == CONF_STRING || key->type == CONF_LIST)
		return a->n_items == b->n_items && a->len == b->len &&
		       memcmp(a->text, b->text, a->len) == 0;
	return a->number == b->number;
}

/* "change, every, period" */
static void list_choices(const char *choices, char *out, size_t size)
{
	size_t at = 0;

	for (; *choices && at + 3 < size; choices++) {
		out[at++] = *choices == '|' ? ',' : *choices;
		if (*choices == '|')
			out[at++] = ' ';
	}
	out[at] = '\0';
}

static void limits_of_int(const struct conf_key *key, char *out, size_t size)
{
	if (!is_bounded(key))
		snprintf(out, size, "an integer");
	else if (key->max == INT64_MAX)
		snprintf(out, size, "an integer of at least %" PRId64, key->min);
	else
		snprintf(out, size, "an integer from %" PRId64 " to %" PRId64, key->min, key->max);
}

static void limits_of_length(const struct conf_key *key, const char *what, const char *unit,
			     char *out, size_t size)
{
	const char *empty = key->min > 0 && may_be_empty(key) ? ", or empty" : "";

	if (!is_bounded(key))
		snprintf(out, size, "%s", what);
	else if (key->min <= 0)
		snprintf(out, size, "%s of at most %" PRId64 " %s", what, key->max, unit);
	else
		snprintf(out, size, "%s of %" PRId64 " to %" PRId64 " %s%s", what, key->min,
			 key->max, unit, empty);
}

const char *conf_value_limits(const struct conf_key *key, char out[static CONF_LIMITS_TEXT])
{
	char choices[CONF_LIMITS_TEXT - 8];

	switch (key->type) {
	case CONF_INT:
		limits_of_int(key, out, CONF_LIMITS_TEXT);
		break;
	case CONF_BOOL:
		snprintf(out, CONF_LIMITS_TEXT, "true or false");
		break;
	case CONF_ENUM:
		list_choices(key->choices, choices, sizeof(choices));
		snprintf(out, CONF_LIMITS_TEXT, "one of %s", choices);
		break;
	case CONF_STRING:
		limits_of_length(key, "text", "bytes", out, CONF_LIMITS_TEXT);
		break;
	case CONF_LIST:
		limits_of_length(key, "a list", "items", out, CONF_LIMITS_TEXT);
		break;
	}
	return out;
}
