#include "agent/store/salvage_told.h"

#include "agent/store/row.h"
#include "base/db.h"
#include "proto/envelope.h"

static void free_epoch(struct salvage_epoch *e)
{
	for (size_t k = 0; k < CLASS_COUNT; k++) {
		seq_set_free(&e->taken[k]);
		seq_set_free(&e->in_gap[k]);
	}
	free(e);
}

void salvage_told_free(struct salvage_told *t)
{
	for (size_t i = 0; i < t->n; i++)
		free_epoch(t->at[i]);
	t->n = 0;
}

/* Returns 0 with *ret NULL when there are too many; -ENOMEM. */
static int find(struct salvage_told *t, uint64_t epoch, struct salvage_epoch **ret)
{
	*ret = NULL;
	for (size_t i = 0; i < t->n; i++)
		if (t->at[i]->epoch == epoch)
			*ret = t->at[i];
	if (*ret || t->n == SALVAGE_EPOCHS_MAX)
		return 0;
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->epoch = epoch;
	t->at[t->n++] = *ret;
	return 0;
}

static int add(struct seq_set *s, uint64_t from, uint64_t to)
{
	int r = seq_set_add(s, from, to);

	return r == -ENOSPC ? 0 : r;
}

int salvage_told_here(struct salvage_told *t, uint64_t epoch)
{
	struct salvage_epoch *e;
	int r = find(t, epoch, &e);

	if (e)
		e->here = true;
	return r;
}

bool salvage_told_any_here(const struct salvage_told *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->at[i]->here && t->at[i]->epoch != 0)
			return true;
	return false;
}

int salvage_told_take(struct salvage_told *t, enum uplink_class class, uint64_t epoch, uint64_t seq)
{
	struct salvage_epoch *e;
	int r = find(t, epoch, &e);

	if (r < 0 || !e)
		return r;
	if (seq_set_has(&e->taken[class], seq) || seq_set_has(&e->in_gap[class], seq))
		return SALVAGE_TOLD_BEFORE;
	return add(&e->taken[class], seq, seq);
}

int salvage_told_add_gap(struct salvage_told *t, enum uplink_class class, uint64_t epoch,
			 uint64_t from, uint64_t through)
{
	struct salvage_epoch *e;
	int r = find(t, epoch, &e);

	if (r < 0 || !e)
		return r;
	if (seq_set_has_range(&e->in_gap[class], from, through))
		return SALVAGE_TOLD_BEFORE;
	return add(&e->in_gap[class], from, through);
}

/* ---- what the new outbox has already ---- */

static int read_known(struct salvage_told *t, sqlite3_stmt *st)
{
	int r;

	while ((r = db_step(st)) == DB_ROW) {
		uint64_t class = (uint64_t)sqlite3_column_int64(st, 0) >> ROW_SEQ_BITS;

		if (class >= CLASS_COUNT)
			continue;
		r = salvage_told_take(t, (enum uplink_class) class,
				      (uint64_t)sqlite3_column_int64(st, 1),
				      (uint64_t)sqlite3_column_int64(st, 2));
		if (r < 0)
			break;
	}
	return r;
}

int salvage_told_init(struct salvage_told *t, sqlite3 *db)
{
	static const char sql[] = "SELECT id, origin_epoch, origin_seq, encoding FROM batch"
				  " WHERE origin_seq != 0 AND encoding != 2";
	sqlite3_stmt *st = NULL;
	int r;

	static_assert(ENCODING_GAP == 2, "as in the statement");
	*t = (struct salvage_told){0};
	r = db_errno(sqlite3_prepare_v2(db, sql, -1, &st, NULL));
	if (r == 0)
		r = read_known(t, st);
	sqlite3_finalize(st);
	return r;
}

/* ---- what is missing ---- */

/* Of a class of one epoch, all that neither set has. */
static int tell_epoch(const struct salvage_epoch *e, enum uplink_class class,
		      salvage_on_missing *cb, void *ctx)
{
	const struct seq_set *a = &e->taken[class], *b = &e->in_gap[class];
	uint64_t at = 1; /* all below is told, or in a set */
	size_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		bool first = j == b->n || (i < a->n && a->ranges[i].from <= b->ranges[j].from);
		const struct receipt_range *range = first ? &a->ranges[i++] : &b->ranges[j++];

		if (range->from > at) {
			int r = cb(ctx, class, e->epoch, at, range->from - 1);

			if (r < 0)
				return r;
		}
		if (range->to >= at)
			at = range->to + 1;
	}
	return at > ROW_SEQ_MAX ? 0 : cb(ctx, class, e->epoch, at, ROW_SEQ_MAX);
}

int salvage_told_each_missing(const struct salvage_told *t, enum uplink_class class,
			      salvage_on_missing *cb, void *ctx)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->n; i++)
		/* 0: the epoch is not known, so nothing of it can be named. */
		if (t->at[i]->epoch != 0 && t->at[i]->here)
			r = tell_epoch(t->at[i], class, cb, ctx);
	return r;
}
