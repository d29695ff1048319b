/* What the relay gave receipts for and does not know any more: told by gaps, since nobody has it.
 */
#include "agent/store/salvage_told.h"
#include "agent/store/store_private.h"

/* Whether anything from from to to is in the outbox. */
static int is_held(struct store *s, enum uplink_class class, const struct receipt_range *range)
{
	sqlite3_stmt *st = store_stmt(s, STORE_PREVIOUS, class);
	struct stored_row row;
	int r = db_bind(st, "i", row_id(class, range->to) + 1);

	if (r == 0)
		r = store_step_row(st, &row);
	if (r == DB_ROW)
		r = row_class(row.col[ROW_ID]) == class && store_row_through(&row) >= range->from;
	sqlite3_reset(st);
	return r;
}

struct telling {
	struct store *s;
	struct working *w;
};

static int on_missing(void *ctx, enum uplink_class class, uint64_t epoch, uint64_t from,
		      uint64_t to)
{
	struct telling *t = ctx;
	const struct store_gap g = {
		.class = class,
		.seq = ++t->w->classes[class].last_seq,
		.origin_epoch = epoch,
		.origin_seq = from,
		.gap = {.through = to, .reason = GAP_RECEIPTED},
	};

	return store_add_gap(t->s, t->w, &g);
}

/* What came over from older outboxes has their names, and may be among what was forgotten: all of
 * these that is not here will not come. A gap over what the relay has says nothing. */
static int tell_older(struct store *s, struct working *w, enum uplink_class class)
{
	const uint64_t *older = s->unsaved.seqs.older;
	struct telling telling = {s, w};
	struct salvage_told told;
	int r = 0;

	if (older[0] == 0)
		return 0;
	r = salvage_told_init(&told, s->db);
	for (size_t i = 0; r == 0 && i < UNSAVED_OLDER && older[i] != 0; i++)
		r = salvage_told_here(&told, older[i]);
	if (r == 0)
		r = salvage_told_each_missing(&told, class, on_missing, &telling);
	salvage_told_free(&told);
	return r;
}

int store_put_receipted(struct store *s, enum uplink_class class, const struct receipt_range *range)
{
	struct store_gap g = {
		.class = class,
		.seq = range->from,
		.gap = {.through = range->to, .reason = GAP_RECEIPTED},
	};
	struct working w;
	int r;

	if (range->from == 0 || range->from > range->to || range->to > s->w.classes[class].last_seq)
		return -EINVAL;
	r = store_begin(s, &w, STORE_LATER, true);
	if (r < 0)
		return r;
	r = is_held(s, class, range);
	if (r == 1)
		r = -EEXIST;
	if (r == 0)
		r = store_add_gap(s, &w, &g);
	if (r == 0)
		r = tell_older(s, &w, class);
	return store_finish(s, &w, r);
}
