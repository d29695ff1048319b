/* agent/store/salvage_tree.h: rows of a damaged SQLite file (sqlite.org/fileformat2.html, sections
 * 1.5, 1.6 and 2), along a table's tree or from each page that no tree has reached. */
#pragma once

#include "agent/store/salvage_file.h"
#include "base/bytes.h"

enum {
	SALVAGE_COLUMNS_MAX = 24,
	SALVAGE_PAYLOAD_MAX = 32 << 20, /* bytes of a row; what is longer counts as damaged */
};

enum salvage_kind { SALVAGE_NULL, SALVAGE_INT, SALVAGE_REAL, SALVAGE_BLOB, SALVAGE_TEXT };

/* Borrowed for the call. */
struct salvage_value {
	enum salvage_kind kind;
	int64_t i; /* of SALVAGE_INT */
	const uint8_t *data;
	size_t len; /* of SALVAGE_BLOB, SALVAGE_TEXT */
};

struct salvage_record {
	int64_t rowid;
	size_t n; /* columns; 0: the row is there, but not to be read */
	struct salvage_value columns[SALVAGE_COLUMNS_MAX];
};

/* Returns 0 or -errno, which ends what has called it. */
typedef int salvage_on_record(void *ctx, const struct salvage_record *rec);

struct salvage_tree;

/* f is borrowed. Returns 0 or -ENOMEM. */
int salvage_tree_new(struct salvage_tree **ret, struct salvage_file *f) must_check;
struct salvage_tree *salvage_tree_free(struct salvage_tree *t); /* NULL is fine */

/* All rows of the table with this root page, ascending as far as its pages are whole. Returns 0 or
 * cb's -errno, -ENOMEM. */
int salvage_tree_walk(struct salvage_tree *t, uint32_t root, salvage_on_record *cb,
		      void *ctx) must_check;
/* Something could not be read since the last call. */
bool salvage_tree_take_damage(struct salvage_tree *t);
/* The rows on pages that no walk has reached, and then those behind a break of the log. What is no
 * row of any table comes as well, if it looks like one. Pages that are free are left out once
 * salvage_tree_see_free was called, which is to be after all walks. */
int salvage_tree_scan(struct salvage_tree *t, salvage_on_record *cb, void *ctx) must_check;
int salvage_tree_see_free(struct salvage_tree *t) must_check;

/* One record without its page: what cb gets. Returns 0, -EBADMSG. */
int salvage_record_parse(struct salvage_record *ret, int64_t rowid, const uint8_t *payload,
			 size_t len) must_check;
