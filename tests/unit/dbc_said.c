#include "tests/unit/dbc_said.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

char *said;
size_t said_len;
static FILE *said_file;

void said_setup(void)
{
	said_file = open_memstream(&said, &said_len);
	ck_assert_ptr_nonnull(said_file);
}

void said_teardown(void)
{
	fclose(said_file);
	free(said);
}

static void report(void *ctx, const struct dbc_diag *d)
{
	(void)ctx;
	fprintf(said_file, "%s:%u: %s: %s\n", d->file, d->line,
		d->severity == DBC_ERROR ? "error" : "warning", d->text);
	fflush(said_file);
}

const struct dbc_sink sink = {.report = report};

struct dbc *parse_bytes(const char *text, size_t len)
{
	struct error err = {""};
	struct dbc *d = NULL;
	int r = dbc_parse(&d, "t.dbc", text, len, &sink, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	return d;
}

struct catalog *compile(const char *text, const char *expected)
{
	struct dbc *d = parse_bytes(text, strlen(text));
	struct catalog *cat = NULL;
	struct error err = {""};
	int r = dbc_catalog(&cat, &(struct dbc_bus){"can0", d}, 1, &sink, &err);

	ck_assert_str_eq(said_len ? said : "", expected);
	if (r != 0) {
		ck_assert_int_eq(r, -EBADMSG);
		ck_assert_str_eq(err.text, "t.dbc: there is no message in it");
		cat = NULL;
	}
	dbc_free(d);
	return cat;
}

const struct catalog_signal *find(const struct catalog *cat, const char *path)
{
	uint32_t i;

	ck_assert_msg(cat && catalog_find(cat, path, &i) == 0, "no signal %s", path);
	return &cat->signals[i];
}

bool has(const struct catalog *cat, const char *path)
{
	uint32_t i;

	return catalog_find(cat, path, &i) == 0;
}

struct catalog *compile_signal(const char *line, const char *expected)
{
	char text[512];

	snprintf(text, sizeof(text), "BO_ 1 M: 8 N\n%s\n", line);
	return compile(text, expected);
}
