/* tests/unit/seal_fixture.h: an outbox with the tables that seal.h needs, keys in files. */
#pragma once

#include "agent/store/seal.h"

extern char seal_dir[40];	   /* of this test */
extern sqlite3 *seal_db;	   /* in memory */
extern struct error seal_err;	   /* of what failed last */
extern struct seal_row seal_row_1; /* some row */

void seal_set_up(void);
void seal_tear_down(void);

/* A path in seal_dir; valid until the 8th call after. */
const char *seal_path(const char *name);
/* Writes a file with this mode; returns its path. */
const char *seal_write_file(const char *name, const void *data, size_t len, unsigned mode);
/* A key file of 32 bytes with this value each; returns its path. */
const char *seal_key_file(const char *name, int value);

/* Must succeed; attached to seal_db in a transaction of its own where attach. */
struct seal *seal_must_new(const struct seal_options *opt);
struct seal *seal_must_attach(const struct seal_options *opt);
/* Must fail so, with this in what it says. */
void seal_new_fails(const struct seal_options *opt, int code, const char *want);
void seal_attach_fails(const struct seal_options *opt, int code, const char *want);

/* Seals text as row id of seal_db, in table batch. Returns the data key's number. */
int64_t seal_must_put(struct seal *s, int64_t id, const char *text);
/* What seal_decrypt returns for it; checks the text on 0. */
int seal_get(struct seal *s, int64_t id, const char *text);

int64_t seal_query(const char *sql);
void seal_exec(const char *sql);
