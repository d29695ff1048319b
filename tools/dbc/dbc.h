/* tools/dbc/dbc.h: DBC files (Vector's CAN database format) to a catalog.
 *
 * Real DBC files are often malformed. The parser reads what it can, and reports each thing that it
 * skipped or repaired with file and line; README.md lists what is repaired and how. Memory is
 * bounded by a small multiple of the file, time is about linear in it. */
#pragma once

#include "base/base.h"
#include "proto/catalog.h"

#include <stdio.h>

enum { DBC_FILE_MAX = 64 << 20 }; /* bytes */

enum dbc_severity {
	DBC_WARNING, /* repaired: all of it is in the catalog */
	DBC_ERROR,   /* skipped: something that the file says is not in the catalog */
};

struct dbc_diag {
	enum dbc_severity severity;
	const char *file;
	unsigned line; /* from 1 */
	const char *text;
};

/* Where diagnostics go. The diagnostic lives for the call. report may be NULL. */
struct dbc_sink {
	void (*report)(void *ctx, const struct dbc_diag *d);
	void *ctx;
};

struct dbc;

/* Reads len bytes of text; name (copied) is what diagnostics call the file. Returns 0, also when
 * parts were skipped; -EBADMSG with err: not a text file that can be read at all (UTF-16);
 * -EFBIG with err: above DBC_FILE_MAX; -ENOMEM. */
int dbc_parse(struct dbc **ret, const char *name, const void *text, size_t len,
	      const struct dbc_sink *sink, struct error *err) must_check;
/* As dbc_parse; also -errno with err when the file cannot be opened or read. */
int dbc_parse_file(struct dbc **ret, const char *path, const struct dbc_sink *sink,
		   struct error *err) must_check;
struct dbc *dbc_free(struct dbc *d); /* NULL is fine; always returns NULL */

size_t dbc_message_count(const struct dbc *d);
size_t dbc_signal_count(const struct dbc *d);

struct dbc_bus {
	const char *bus; /* 1 to 64 of [A-Za-z0-9_-] */
	const struct dbc *dbc;
};

bool dbc_bus_is_valid(const char *bus);

/* Compiles to a catalog: buses in the order given, messages and signals in the order of their
 * files, so that equal input gives an equal catalog id. Files of the same bus merge; of a message
 * that is in two the first stays. All is borrowed for the call. Returns 0; -EINVAL with err: a bus
 * name is not valid; -EBADMSG with err: no message at all, or beyond the catalog's limits;
 * -ENOMEM. */
int dbc_catalog(struct catalog **ret, const struct dbc_bus *buses, size_t n,
		const struct dbc_sink *sink, struct error *err) must_check;

struct dbc_counts {
	size_t warnings, errors;
};

/* For programs: "BUS=FILE" arguments to a catalog. Writes `FILE:LINE: warning: text` lines to diag
 * (NULL: nowhere) and counts them in *counts (NULL is fine; set also on failure). Returns as above;
 * -EINVAL also for an argument that is not BUS=FILE. */
int dbc_load_catalog(struct catalog **ret, const char *const *specs, size_t n, FILE *diag,
		     struct dbc_counts *counts, struct error *err) must_check;
