/* DBC files by path, and the `BUS=FILE` arguments of programs. */
#include "tools/dbc/dbc.h"

#include <string.h>

static void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

enum { READ_FIRST = 64 << 10 };

/* Reads to the end: the path may be a pipe. */
static int read_all(FILE *f, const char *path, char **ret, size_t *ret_len, struct error *err)
{
	char *text cleanup(free_ptr) = NULL;
	size_t len = 0, cap = 0;

	while (!feof(f)) {
		size_t more = cap ? cap * 2 : READ_FIRST;
		char *p = realloc(text, more);

		if (!p) {
			error_set(err, "%s: out of memory", path);
			return -ENOMEM;
		}
		text = p;
		cap = more;
		len += fread(text + len, 1, cap - len, f);
		if (ferror(f)) {
			int code = errno;

			error_set(err, "%s: cannot be read: %s", path, strerror(code));
			return -code;
		}
		if (len > DBC_FILE_MAX) {
			error_set(err, "%s: more than %d MiB", path, DBC_FILE_MAX >> 20);
			return -EFBIG;
		}
	}
	*ret = text;
	*ret_len = len;
	text = NULL;
	return 0;
}

int dbc_parse_file(struct dbc **ret, const char *path, const struct dbc_sink *sink,
		   struct error *err)
{
	FILE *f cleanup(close_file) = fopen(path, "rbe");
	char *text cleanup(free_ptr) = NULL;
	size_t len = 0;
	int r;

	if (!f) {
		r = -errno;
		error_set(err, "%s: cannot be opened: %s", path, strerror(-r));
		return r;
	}
	r = read_all(f, path, &text, &len, err);
	if (r < 0)
		return r;
	return dbc_parse(ret, path, text, len, sink, err);
}

struct printer {
	FILE *out;
	struct dbc_counts counts;
};

static void print_diag(void *ctx, const struct dbc_diag *d)
{
	struct printer *p = ctx;

	if (d->severity == DBC_ERROR)
		p->counts.errors++;
	else
		p->counts.warnings++;
	if (p->out)
		fprintf(p->out, "%s:%u: %s: %s\n", d->file, d->line,
			d->severity == DBC_ERROR ? "error" : "warning", d->text);
}

/* Splits BUS=FILE; the bus is malloc'd, the file points into spec. */
static int parse_spec(const char *spec, char **ret_bus, const char **ret_file, struct error *err)
{
	const char *equals = strchr(spec, '=');
	char *bus;

	if (!equals || equals[1] == '\0') {
		error_set(err, "'%.100s' is not BUS=FILE", spec);
		return -EINVAL;
	}
	bus = strndup(spec, (size_t)(equals - spec));
	if (!bus)
		return -ENOMEM;
	if (!dbc_bus_is_valid(bus)) {
		error_set(err, "'%.40s' in '%.100s' is not the name of a bus", bus, spec);
		free(bus);
		return -EINVAL;
	}
	*ret_bus = bus;
	*ret_file = equals + 1;
	return 0;
}

struct loaded {
	char *bus;
	struct dbc *dbc;
};

static int load_one(struct loaded *ret, const char *spec, const struct dbc_sink *sink,
		    struct error *err)
{
	const char *file;
	int r = parse_spec(spec, &ret->bus, &file, err);

	return r < 0 ? r : dbc_parse_file(&ret->dbc, file, sink, err);
}

static int compile(struct catalog **ret, const struct loaded *loaded, size_t n,
		   const struct dbc_sink *sink, struct error *err)
{
	struct dbc_bus *buses = calloc(n + 1, sizeof(*buses));
	int r;

	if (!buses)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		buses[i] = (struct dbc_bus){.bus = loaded[i].bus, .dbc = loaded[i].dbc};
	r = dbc_catalog(ret, buses, n, sink, err);
	free(buses);
	return r;
}

int dbc_load_catalog(struct catalog **ret, const char *const *specs, size_t n, FILE *diag,
		     struct dbc_counts *counts, struct error *err)
{
	struct printer printer = {.out = diag};
	const struct dbc_sink sink = {.report = print_diag, .ctx = &printer};
	struct loaded *loaded = calloc(n + 1, sizeof(*loaded));
	int r = 0;

	if (!loaded) {
		error_set(err, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = load_one(&loaded[i], specs[i], &sink, err);
	if (r == 0)
		r = compile(ret, loaded, n, &sink, err);
	for (size_t i = 0; i < n; i++) {
		free(loaded[i].bus);
		dbc_free(loaded[i].dbc);
	}
	free(loaded);
	if (r == -ENOMEM)
		error_set(err, "out of memory");
	if (counts)
		*counts = printer.counts;
	return r;
}
