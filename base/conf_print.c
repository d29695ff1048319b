/* The table as a commented file: the reference of a program's configuration. */
#include "base/conf_private.h"

#include <string.h>

enum { TEXT_COLUMNS = 78, VALUE_COLUMNS = 90 };

/* Writes text as comment lines, broken at blanks; a newline in it begins a new line. */
static void print_wrapped(FILE *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " \n");

		if (column > 0 && column + 1 + len > TEXT_COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		if (len > 0) {
			fprintf(out, "%s%.*s", column > 0 ? " " : "# ", (int)len, text);
			column += len + (column > 0 ? 1 : 2);
		}
		text += len;
		if (*text == '\n' && column > 0) {
			fputc('\n', out);
			column = 0;
		}
		text += *text != '\0';
	}
	if (column > 0)
		fputc('\n', out);
}

/* By our convention that a key ends in its unit. */
static const char *unit_of(const struct conf_key *key)
{
	static const struct {
		const char *suffix, *unit;
	} units[] = {
		{"_ns", " nanoseconds"}, {"_us", " microseconds"}, {"_ms", " milliseconds"},
		{"_s", " seconds"},	 {"_min", " minutes"},	   {"_h", " hours"},
		{"_days", " days"},	 {"_bytes", " bytes"},
	};
	size_t len = strlen(key->key);

	for (size_t i = 0; key->type == CONF_INT && i < array_len(units); i++) {
		size_t n = strlen(units[i].suffix);

		if (len > n && strcmp(key->key + len - n, units[i].suffix) == 0)
			return units[i].unit;
	}
	return "";
}

/* "Integer from 5 to 3600, in seconds. Default: 30. Reloads with SIGHUP." */
static void print_facts(FILE *out, const struct conf_key *key)
{
	char limits[CONF_LIMITS_TEXT], text[2 * CONF_LIMITS_TEXT];
	const char *unit = unit_of(key);

	conf_value_limits(key, limits);
	snprintf(text, sizeof(text), "Must be %s%s%s. %s%s", limits, *unit ? "," : "", unit,
		 !key->def    ? "Required."
		 : !*key->def ? "Not set by default."
			      : "",
		 key->reloads ? " Reloads with SIGHUP." : "");
	print_wrapped(out, text);
}

/* A long list goes on in indented lines: a line has its limit. */
static void print_setting(FILE *out, const struct conf_key *key, const char *comment)
{
	const char *value = key->def ? key->def : "";
	bool split = key->type == CONF_LIST && strlen(value) > VALUE_COLUMNS;

	if (!split) {
		fprintf(out, "%s%s =%s%s\n", comment, key->key, *value ? " " : "", value);
		return;
	}
	fprintf(out, "%s%s =\n", comment, key->key);
	while (*value) {
		size_t len = strcspn(value, ",");

		value += strspn(value, " \t");
		len = strcspn(value, ",");
		fprintf(out, "%s\t%.*s,\n", comment, (int)len, value);
		value += len + (value[len] == ',');
	}
}

static void print_key(FILE *out, const struct conf_key *key, bool commented)
{
	fputc('\n', out);
	print_wrapped(out, key->help ? key->help : "");
	print_facts(out, key);
	print_setting(out, key, commented || !key->def ? "#" : "");
}

static void print_section(FILE *out, const struct conf_table *table, const struct conf_section *s)
{
	fputc('\n', out);
	print_wrapped(out, s->help ? s->help : "");
	if (s->named) {
		print_wrapped(out, "May be given several times, each with a name of its own.");
		fprintf(out, "#[%s NAME]\n", s->name);
	} else {
		fprintf(out, "[%s]\n", s->name);
	}
	for (size_t i = 0; i < table->n_keys; i++)
		if (conf_key_is_of(&table->keys[i], s))
			print_key(out, &table->keys[i], s->named);
}

void conf_print(const struct conf_table *table, FILE *out)
{
	print_wrapped(out,
		      "Every key with its default. A key or section that is not known is an error. "
		      "Lines that begin with '#' or ';' are comments, and so is what follows ' ;' "
		      "in a line. A list is separated by commas and may go on in indented lines. "
		      "What SIGHUP does not reload needs a restart.");
	for (size_t i = 0; i < table->n_sections; i++)
		print_section(out, table, &table->sections[i]);
}
