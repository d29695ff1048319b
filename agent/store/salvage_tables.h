/* agent/store/salvage_tables.h: the small tables of a damaged outbox, without
 * which its rows cannot be read: where the others begin, its epoch, boots, data
 * keys. */
#pragma once

#include "agent/store/salvage.h"
#include "agent/store/salvage_tree.h"

enum salvage_table {
	SALVAGE_TABLE_OUTBOX,
	SALVAGE_TABLE_BOOT,
	SALVAGE_TABLE_KEY,
	SALVAGE_TABLE_KEY_SPARE,
	SALVAGE_TABLE_V1,    /* batch, and batch_v1 while its rows are moved */
	SALVAGE_TABLE_CLASS, /* batch_event and so on, in order of class */
	SALVAGE_TABLES = SALVAGE_TABLE_CLASS + CLASS_COUNT,
};

enum { SALVAGE_CANDIDATES_MAX = 8, SALVAGE_WRAPPED_MAX = 128 };

struct salvage_tables {
	uint32_t roots[SALVAGE_TABLES]; /* 0: not found */
	bool schema_intact;
	/* What the file's epoch may be: a row's checksum knows. The first n_sure are
	 * not guesses, the first of all is the likeliest. */
	uint64_t epochs[SALVAGE_CANDIDATES_MAX];
	size_t n_epochs, n_sure;
	struct salvage_known_boot *boots;
	size_t n_boots;
	struct salvage_key *keys;
	size_t n_keys;
	struct seal *seal; /* reads with these keys; NULL: no key was given */
};

/* tree NULL: there is no file that could be read. noted_epoch 0: none. Returns
 * 0, -ENOMEM. */
int salvage_tables_read(struct salvage_tables *t, struct salvage_tree *tree,
			uint64_t noted_epoch) must_check;
void salvage_tables_free(struct salvage_tables *t);

/* Calls cb with the table's rows; *ret_found: the schema has it. As
 * salvage_tree_walk. */
int salvage_tables_walk(const struct salvage_tables *t, struct salvage_tree *tree,
			enum salvage_table table, salvage_on_record *cb, void *ctx,
			bool *ret_found) must_check;
/* NULL: not known. */
const struct salvage_boot *salvage_tables_boot(const struct salvage_tables *t, int64_t id);

/* Makes t->seal of seal's keys, which it borrows, and the file's. Returns 0,
 * -ENOMEM, -EIO. */
int salvage_tables_open_keys(struct salvage_tables *t, struct seal *seal,
			     struct error *err) must_check;
/* Returns 0: rows of that data key can be read; -EBADMSG: never, it is damaged
 * or missing; -ENOKEY with err: with a key that was not given. */
int salvage_tables_find_key(const struct salvage_tables *t, int64_t id,
			    struct error *err) must_check;
