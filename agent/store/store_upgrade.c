/* Rows of earlier versions of the schema. */
#include "agent/store/store_private.h"

enum { ROWS_A_COMMIT = 32 }; /* so that a full outbox moves with little room to spare */

static int move_row(struct store *s, struct working *w, sqlite3_stmt *v1)
{
	int64_t id = sqlite3_column_int64(v1, 0);
	int64_t col[ROW_COLUMNS] = {
		[ROW_ID] = id,
		[ROW_STORED_MS] = sqlite3_column_int64(v1, 1) / NS_PER_MS,
		[ROW_SAMPLES] = sqlite3_column_int64(v1, 2),
		[ROW_ENCODING] = sqlite3_column_int64(v1, 3),
	};
	const void *body = sqlite3_column_blob(v1, 4);
	size_t len = (size_t)sqlite3_column_bytes(v1, 4);
	sqlite3_stmt *st = s->st[STORE_DELETE_V1];
	int r = -EBADMSG;

	if (len > 0 && !body)
		return r;
	if ((uint64_t)id >> ROW_SEQ_BITS < CLASS_COUNT) {
		struct class_state *c = &w->classes[row_class(id)];

		if (row_seq(id) > c->last_seq)
			c->last_seq = row_seq(id);
		r = store_write_row(s, w, col, body, len, row_seq(id) == c->last_seq);
	}
	sqlite3_reset(v1);
	if (r == 0)
		r = db_bind(st, "i", id);
	return r < 0 ? r : db_run(st);
}

/* Returns DB_ROW: there may be more. */
static int move_rows(struct store *s)
{
	sqlite3_stmt *v1 = s->st[STORE_READ_V1];
	struct working w;
	int r = store_begin(s, &w, STORE_LATER, false), e = DB_ROW;

	if (r < 0)
		return r;
	for (int i = 0; r == 0 && e == DB_ROW && i < ROWS_A_COMMIT; i++) {
		e = db_step(v1);
		if (e == DB_ROW)
			r = move_row(s, &w, v1);
		else
			r = e;
	}
	r = store_finish(s, &w, r);
	return r < 0 ? r : e;
}

int store_upgrade(struct store *s)
{
	sqlite3_stmt *v1 = s->st[STORE_READ_V1];
	int r = db_step(v1);

	sqlite3_reset(v1);
	while (r == DB_ROW)
		r = move_rows(s);
	return r;
}
