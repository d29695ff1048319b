#include "agent/store/salvage.h"

#include "agent/store/row.h"
#include "agent/store/salvage_tables.h"
#include "agent/store/salvage_told.h"

#include "base/db.h"
#include "proto/batch.h"

#include <string.h>

enum {
	COMMIT_ROWS = 64,
	COMMIT_BYTES = 1 << 20,
	V1_COLUMNS = 5,
	V2_COLUMNS = ROW_COLUMNS + 2,
	BODY_BYTES_MAX = SALVAGE_PAYLOAD_MAX,
};

struct salvage {
	struct salvage_file *file;
	struct salvage_tree *tree;
	struct salvage_tables tables;
	struct salvage_told told;
	struct error *err;
	const struct salvage_sink *sink;
	struct salvage_result *res;
	struct buf plain;
	bool raw;		      /* scanning pages, not a tree */
	size_t rows_open, bytes_open; /* since the last commit */
};

/* ---- rows ---- */

static int pause_when_due(struct salvage *s, size_t bytes)
{
	s->rows_open++;
	s->bytes_open += bytes;
	if (s->rows_open < COMMIT_ROWS && s->bytes_open < COMMIT_BYTES)
		return 0;
	s->rows_open = s->bytes_open = 0;
	return s->sink->commit(s->sink->ctx);
}

/* Unless it was taken over before, by its origin. */
static int take(struct salvage *s, const struct salvage_row *row)
{
	int r = salvage_told_take(&s->told, row->class, row->origin_epoch, row->origin_seq);
	struct salvage_row named = *row;

	if (r == SALVAGE_TOLD_BEFORE)
		s->res->known_rows += !s->raw;
	if (r != 0)
		return r < 0 ? r : 0;
	if (row->origin_epoch == 0) { /* nobody knows: only as a new row */
		named.origin_seq = 0;
		row = &named;
	}
	r = s->sink->row(s->sink->ctx, row);
	if (r < 0)
		return r;
	s->res->rows++;
	s->res->samples += row->samples;
	s->res->raw_rows += s->raw;
	return pause_when_due(s, row->body_len);
}

/* A gap that the damaged outbox had told, or not yet. */
static int take_gap(struct salvage *s, const struct salvage_row *row)
{
	struct gap gap;
	int r;

	if (gap_decode(&gap, row->origin_seq, row->body, row->body_len, NULL) < 0 ||
	    gap.through > ROW_SEQ_MAX) {
		s->res->unreadable++;
		return 0;
	}
	r = salvage_told_add_gap(&s->told, row->class, row->origin_epoch, row->origin_seq,
				 gap.through);
	if (r != 0)
		return r < 0 ? r : 0;
	r = s->sink->gap(s->sink->ctx, row->class, row->origin_epoch, row->origin_seq, &gap);
	if (r < 0)
		return r;
	s->res->gaps++;
	return pause_when_due(s, row->body_len);
}

/* rec's columns as numbers; false: it is no row of a batch table. */
static bool read_columns(const struct salvage_record *rec, int64_t col[static ROW_COLUMNS])
{
	if (rec->n != V2_COLUMNS || rec->columns[ROW_BODY].kind != SALVAGE_BLOB ||
	    rec->columns[ROW_SUM].kind != SALVAGE_INT)
		return false;
	col[ROW_ID] = rec->rowid;
	for (size_t i = ROW_ID + 1; i < ROW_COLUMNS; i++) {
		if (rec->columns[i].kind != SALVAGE_INT)
			return false;
		col[i] = rec->columns[i].i;
	}
	return rec->rowid > 0 && (uint64_t)rec->rowid >> ROW_SEQ_BITS < CLASS_COUNT &&
	       row_seq(rec->rowid) > 0;
}

/* Of which of the epochs that may be this file's the row is, by its checksum.
 */
static bool find_epoch(const struct salvage *s, const struct salvage_record *rec,
		       const int64_t col[static ROW_COLUMNS], uint64_t *ret)
{
	const struct salvage_value *body = &rec->columns[ROW_BODY];

	for (size_t i = 0; i < s->tables.n_epochs; i++) {
		uint64_t epoch = s->tables.epochs[i];

		if (row_sum(row_meta(epoch, col), col[ROW_KEY], body->data, body->len) ==
		    rec->columns[ROW_SUM].i) {
			*ret = epoch;
			return true;
		}
	}
	return false;
}

/* Returns 0; -EBADMSG: damaged before it was summed, or the data key is;
 * -ENOKEY; -ENOMEM. */
static int open_body(struct salvage *s, uint64_t epoch, const int64_t col[static ROW_COLUMNS],
		     struct salvage_row *row)
{
	const struct seal_row id = {
		.epoch = epoch, .id = col[ROW_ID], .meta = row_meta(epoch, col)};
	int r;

	if (col[ROW_KEY] == 0)
		return 0;
	r = salvage_tables_find_key(&s->tables, col[ROW_KEY], s->err);
	if (r < 0)
		return r;
	buf_clear(&s->plain);
	r = seal_decrypt(s->tables.seal, &id, col[ROW_KEY], row->body, row->body_len, &s->plain);
	row->body = s->plain.data;
	row->body_len = s->plain.len;
	return r == -EMSGSIZE ? -EBADMSG : r;
}

static void take_times(const struct salvage *s, const int64_t col[static ROW_COLUMNS],
		       struct salvage_row *row)
{
	row->stored_ms = col[ROW_STORED_MS];
	row->boot = col[ROW_BOOT] ? salvage_tables_boot(&s->tables, col[ROW_BOOT]) : NULL;
	row->stored_is_known = col[ROW_BOOT] == 0 || row->boot;
	row->first_ms = col[ROW_FIRST_MS];
	row->span_ms = col[ROW_SPAN_MS];
}

/* By its first origin. What it was called in between is missing, and told. */
static int name_row(struct salvage *s, uint64_t epoch, const int64_t col[static ROW_COLUMNS],
		    struct salvage_row *row)
{
	int r = salvage_told_here(&s->told, epoch);

	row->origin_epoch = epoch;
	row->origin_seq = row_seq(col[ROW_ID]);
	if (r < 0 || col[ROW_ORIGIN_SEQ] == 0)
		return r;
	row->origin_epoch = (uint64_t)col[ROW_ORIGIN_EPOCH];
	row->origin_seq = (uint64_t)col[ROW_ORIGIN_SEQ];
	return salvage_told_here(&s->told, row->origin_epoch);
}

static int on_v2(struct salvage *s, const struct salvage_record *rec,
		 const int64_t col[static ROW_COLUMNS])
{
	struct salvage_row row = {
		.class = (enum uplink_class)((uint64_t)rec->rowid >> ROW_SEQ_BITS),
		.samples = (uint64_t)col[ROW_SAMPLES],
		.encoding = (uint32_t)col[ROW_ENCODING],
		.body = rec->columns[ROW_BODY].data,
		.body_len = rec->columns[ROW_BODY].len,
	};
	uint64_t epoch;
	int r;

	if (!find_epoch(s, rec, col, &epoch) || col[ROW_SAMPLES] < 0) {
		s->res->unreadable++;
		return 0;
	}
	r = open_body(s, epoch, col, &row);
	if (r < 0) {
		s->res->unreadable++;
		return r == -EBADMSG ? 0 : r;
	}
	take_times(s, col, &row);
	r = name_row(s, epoch, col, &row);
	if (r < 0)
		return r;
	return row.encoding == ENCODING_GAP ? take_gap(s, &row) : take(s, &row);
}

/* Version 1 has no checksum: what says that it is a batch, with as many
 * samples, is one. */
static bool is_batch(const struct salvage_row *row)
{
	const struct envelope e = {
		.encoding = row->encoding, .body = row->body, .body_len = row->body_len};
	struct batch *b;
	bool is;

	if (row->encoding > ENCODING_DEFLATE || batch_read(&b, &e, NULL) < 0)
		return false;
	is = batch_sample_count(b) == row->samples && row->samples > 0;
	batch_free(b);
	return is;
}

static bool is_v1(const struct salvage_record *rec)
{
	return rec->n == V1_COLUMNS && rec->columns[1].kind == SALVAGE_INT &&
	       rec->columns[2].kind == SALVAGE_INT && rec->columns[3].kind == SALVAGE_INT &&
	       rec->columns[4].kind == SALVAGE_BLOB && rec->rowid > 0 &&
	       (uint64_t)rec->rowid >> ROW_SEQ_BITS < CLASS_COUNT && row_seq(rec->rowid) > 0;
}

static int on_v1(struct salvage *s, const struct salvage_record *rec)
{
	const struct salvage_row row = {
		.class = (enum uplink_class)((uint64_t)rec->rowid >> ROW_SEQ_BITS),
		.origin_epoch = s->tables.n_epochs > 0 ? s->tables.epochs[0] : 0,
		.origin_seq = row_seq(rec->rowid),
		.stored_is_known = true,
		.stored_ms = rec->columns[1].i / (NS_PER_S / 1000),
		.samples = (uint64_t)rec->columns[2].i,
		.encoding = (uint32_t)rec->columns[3].i,
		.body = rec->columns[4].data,
		.body_len = rec->columns[4].len,
	};
	int r;

	if (!is_batch(&row)) {
		s->res->unreadable += !s->raw;
		return 0;
	}
	r = salvage_told_here(&s->told, row.origin_epoch);
	return r < 0 ? r : take(s, &row);
}

static int on_row(void *ctx, const struct salvage_record *rec)
{
	struct salvage *s = ctx;
	int64_t col[ROW_COLUMNS];

	if (read_columns(rec, col))
		return on_v2(s, rec, col);
	if (is_v1(rec))
		return on_v1(s, rec);
	s->res->unreadable += !s->raw;
	return 0;
}

/* ---- the file ---- */

/* Trees in order of urgency; a file that was being moved from version 1 has
 * both kinds. */
static int walk_rows(struct salvage *s)
{
	bool found, old;
	int r = salvage_tables_walk(&s->tables, s->tree, SALVAGE_TABLE_V1, on_row, s, &old);

	for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++) {
		r = salvage_tables_walk(&s->tables, s->tree, SALVAGE_TABLE_CLASS + k, on_row, s,
					&found);
		if (!found && !old)
			s->res->damaged = true;
	}
	if (salvage_tree_take_damage(s->tree) || salvage_file_tail(s->file) > 0 ||
	    s->res->unreadable > 0 || !s->tables.schema_intact)
		s->res->damaged = true;
	return r;
}

/* What no tree has led to. */
static int scan_rows(struct salvage *s)
{
	int r = salvage_tree_see_free(s->tree);

	s->raw = true;
	return r < 0 ? r : salvage_tree_scan(s->tree, on_row, s);
}

static int tell(void *ctx, enum uplink_class class, uint64_t epoch, uint64_t from, uint64_t to)
{
	const struct gap gap = {.through = to, .reason = GAP_CORRUPT};
	struct salvage *s = ctx;
	int r = s->sink->gap(s->sink->ctx, class, epoch, from, &gap);

	if (r < 0)
		return r;
	s->res->gaps++;
	return pause_when_due(s, 0);
}

/* Nothing more will come of these epochs but what was taken over: a count in a
 * damaged page may hide a row, and nobody knows how far the last ones went. Of
 * what was acknowledged the relay knows, and a gap over it says nothing. */
static int tell_losses(struct salvage *s)
{
	int r = 0;

	for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++)
		r = salvage_told_each_missing(&s->told, (enum uplink_class)k, tell, s);
	return r;
}

/* A file that is nothing at all has no rows, and its epoch is what was noted.
 */
static int open_file(struct salvage *s, const char *path)
{
	int r = salvage_file_open(&s->file, path);

	if (r == -ENOMEM)
		return r;
	return r < 0 ? 0 : salvage_tree_new(&s->tree, s->file);
}

static int read_rows(struct salvage *s)
{
	int r;

	if (!s->tree) {
		s->res->damaged = true;
		return 0;
	}
	r = walk_rows(s);
	return r < 0 || !s->res->damaged ? r : scan_rows(s);
}

/* There are no rows to say which epoch it was: all that it may well be. */
static int guess_epochs(struct salvage *s)
{
	size_t n = s->tables.n_sure;
	int r = 0;

	if (n == 0 && s->tables.n_epochs > 0)
		n = 1;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = salvage_told_here(&s->told, s->tables.epochs[i]);
	return r;
}

static int run(struct salvage *s, const struct salvage_aside *aside, sqlite3 *db, struct seal *seal)
{
	int r = open_file(s, aside->path);

	if (r == 0)
		r = salvage_tables_read(&s->tables, s->tree, aside->epoch);
	if (r == 0 && seal)
		r = salvage_tables_open_keys(&s->tables, seal, s->err);
	if (r == 0)
		r = salvage_told_init(&s->told, db);
	if (r == 0)
		r = read_rows(s);
	if (r == 0 && !salvage_told_any_here(&s->told))
		r = guess_epochs(s);
	for (size_t i = 0; r == 0 && i < UNSAVED_OLDER; i++)
		if (aside->older[i] != 0)
			r = salvage_told_here(&s->told, aside->older[i]);
	return r < 0 ? r : tell_losses(s);
}

int salvage_run(const struct salvage_aside *aside, sqlite3 *db, struct seal *seal,
		const struct salvage_sink *sink, struct salvage_result *ret, struct error *err)
{
	struct salvage s = {
		.sink = sink, .res = ret, .err = err, .plain = BUF_INIT(BODY_BYTES_MAX)};
	int r;

	*ret = (struct salvage_result){0};
	error_set(err, "%s: what can be read of it cannot be stored", aside->path);
	r = run(&s, aside, db, seal);
	ret->epoch = s.tables.n_epochs > 0 ? s.tables.epochs[0] : 0;
	salvage_told_free(&s.told);
	salvage_tables_free(&s.tables);
	buf_free(&s.plain);
	salvage_tree_free(s.tree);
	salvage_file_free(s.file);
	return r;
}

bool salvage_log_is_broken(const char *path)
{
	struct salvage_file *f;
	bool is;

	if (salvage_file_open(&f, path) < 0)
		return false;
	is = salvage_file_tail_has_commit(f);
	salvage_file_free(f);
	return is;
}
