/* Transactions of the outbox, and when they reach the disk.
 *
 * The log is synced with the commit (synchronous=FULL) where a row of an urgent class is in it;
 * else (NORMAL) it is only written, which a kill -9 does not undo, and synced by store_flush. */
#include "agent/store/store_private.h"

/* However often the agent is started and stopped, acknowledged rows that are still on disk are few,
 * and go once these many, or this old. */
enum { ACKED_ROWS_MAX = 16, ACKED_BYTES_MAX = 64 << 10, ACKED_HELD_S = 30 };

bool store_is_relaxed(const struct store *s, enum uplink_class class)
{
	return (s->opt.relaxed >> class & 1) != 0;
}

static int64_t mono_ns(const struct store *s)
{
	return timebase_mono(s->opt.tb).ns;
}

/* A pragma is no part of a transaction, so between two. */
static int set_sync(struct store *s, bool full)
{
	int r;

	if (s->sync_full == full)
		return 0;
	r = db_exec(s->db, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
	if (r == 0)
		s->sync_full = full;
	return r;
}

static int delete_range(struct store *s, enum uplink_class class, const struct receipt_range *r)
{
	sqlite3_stmt *st = store_stmt(s, STORE_DELETE, class);
	int e = db_bind(st, "ii", row_id(class, r->from), row_id(class, r->to));

	return e < 0 ? e : db_run(st);
}

static void take_off_acked(struct working *w, unsigned k, const struct acked_rows *a)
{
	int64_t *open_gaps = w->classes[k].open_gaps;

	for (size_t i = 0; i < STORE_OPEN_GAPS; i++)
		if (open_gaps[i] != 0 && range_set_find(&a->set, row_seq(open_gaps[i])))
			open_gaps[i] = 0;
	store_take_off(&w->totals.rows, a->totals.rows);
	store_take_off(&w->totals.bytes, a->totals.bytes);
	store_take_off(&w->totals.samples, a->totals.samples);
	store_take_off(&w->totals.gaps, a->totals.gaps);
	store_take_off(&w->classes[k].gaps, a->merging_gaps);
	w->classes[k].life.samples_acked += a->totals.samples;
	w->classes[k].touched = true;
}

static int apply_acks(struct store *s, struct working *w)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		const struct acked_rows *a = &s->acked[k];

		for (size_t i = 0; i < a->set.n; i++) {
			int r = delete_range(s, (enum uplink_class)k, &a->set.r[i]);

			if (r < 0)
				return r;
		}
		if (a->totals.rows > 0)
			take_off_acked(w, k, a);
	}
	w->applied = true;
	return 0;
}

/* The statement is prepared before: what failed for want of memory is undone without any. Where it
 * cannot be all the same, the next store_begin does it. Rows that are read meanwhile are those that
 * were committed, for seqs beyond are not looked for. */
static void undo(struct store *s)
{
	for (size_t i = 0; i < STORE_STMTS; i++)
		sqlite3_reset(s->st[i]);
	/* After some errors (disk full) SQLite has rolled back by itself. */
	if (!sqlite3_get_autocommit(s->db) && db_run(s->st[STORE_ROLLBACK]) < 0)
		return;
	if (s->opt.seal)
		seal_rolled_back(s->opt.seal);
}

static struct store_totals sum_acked(const struct store *s)
{
	struct store_totals sum = {0};

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		sum.rows += s->acked[k].totals.rows;
		sum.bytes += s->acked[k].totals.bytes;
	}
	return sum;
}

/* With a commit that there is anyway, sooner than with one of their own. */
static bool acks_are_due(const struct store *s)
{
	struct store_totals sum = sum_acked(s);

	return sum.rows >= ACKED_ROWS_MAX || sum.bytes >= ACKED_BYTES_MAX ||
	       (sum.rows > 0 && mono_ns(s) - s->acked_at.ns >= ACKED_HELD_S / 2 * NS_PER_S);
}

int store_begin(struct store *s, struct working *w, enum store_sync sync, bool apply)
{
	int r;

	store_release(s);
	*w = s->w;
	w->applied = false;
	if (!sqlite3_get_autocommit(s->db))
		undo(s);
	r = set_sync(s, sync == STORE_NOW);
	if (r == 0)
		r = db_run(s->st[STORE_BEGIN]);
	if (r < 0)
		return r;
	if (apply || acks_are_due(s))
		r = apply_acks(s, w);
	if (r < 0)
		undo(s);
	return r;
}

static int write_class(struct store *s, unsigned k, const struct class_state *c)
{
	sqlite3_stmt *st = s->st[STORE_WRITE_CLASS];
	int r = db_bind(st, "iiiiii", (int64_t)k, (int64_t)c->last_seq,
			(int64_t)c->life.samples_stored, (int64_t)c->life.samples_acked,
			(int64_t)c->life.samples_dropped, (int64_t)c->life.samples_quarantined);

	return r < 0 ? r : db_run(st);
}

static int write_state(struct store *s, const struct working *w)
{
	int r = s->boot_dirty ? store_write_boot(s) : 0;

	for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++)
		if (w->classes[k].touched)
			r = write_class(s, k, &w->classes[k]);
	return r;
}

static void forget_acked(struct store *s)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		s->acked[k].set.n = 0;
		s->acked[k].totals = (struct store_totals){0};
		s->acked[k].merging_gaps = 0;
	}
}

static void committed(struct store *s, struct working *w)
{
	for (size_t k = 0; k < CLASS_COUNT; k++)
		w->classes[k].touched = false;
	s->w = *w;
	s->boot_dirty = false;
	if (w->applied)
		forget_acked(s);
	if (s->sync_full) {
		s->unsynced = false;
	} else if (!s->unsynced) {
		s->unsynced = true;
		s->unsynced_at = timebase_mono(s->opt.tb);
	}
}

static int commit(struct store *s)
{
	int r = db_run(s->st[STORE_COMMIT]);

	s->commit_failed = r < 0;
	return r;
}

int store_finish(struct store *s, struct working *w, int r)
{
	if (r == 0)
		r = write_state(s, w);
	if (r == 0)
		r = store_reserve_seqs(s, w);
	if (r == 0)
		r = commit(s);
	if (r < 0) {
		undo(s);
		return r;
	}
	committed(s, w);
	return 0;
}

/* ---- on disk ---- */

int store_sync(struct store *s)
{
	sqlite3_file *log = NULL;
	int rc;

	if (!s->unsynced)
		return 0;
	rc = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (rc == SQLITE_OK && log && log->pMethods)
		rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
	if (rc != SQLITE_OK)
		return db_errno(rc);
	s->unsynced = false;
	return 0;
}

static bool has_changes(const struct store *s)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		if (s->acked[k].set.n > 0 || s->w.classes[k].touched)
			return true;
	return s->boot_dirty;
}

static int flush(struct store *s)
{
	struct working w;
	int r;

	store_release(s);
	if (!has_changes(s))
		return store_sync(s);
	r = store_begin(s, &w, STORE_LATER, true);
	if (r < 0)
		return r;
	r = store_finish(s, &w, 0);
	return r < 0 ? r : store_sync(s);
}

int store_fold_log(struct store *s)
{
	store_release(s);
	return db_errno(
		sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL));
}

static bool acks_are_old(const struct store *s)
{
	return sum_acked(s).rows > 0 && mono_ns(s) - s->acked_at.ns >= ACKED_HELD_S * NS_PER_S;
}

static bool sync_is_due(const struct store *s)
{
	return s->unsynced && mono_ns(s) - s->unsynced_at.ns >= s->opt.sync_ns;
}

/* What has receipts waits for an insert, or until it is old, and then for the next sync: neither is
 * a reason for the other, since each writes pages again. */
int store_tend(struct store *s)
{
	struct working w;
	int r = 0;

	if (acks_are_old(s) || s->boot_dirty) {
		r = store_begin(s, &w, STORE_LATER, true);
		if (r == 0)
			r = store_finish(s, &w, 0);
	}
	if (r == -ENOSPC)
		return store_make_space(s);
	return r == 0 && sync_is_due(s) ? store_sync(s) : r;
}

int store_flush(struct store *s)
{
	int r = flush(s);

	return r == -ENOSPC ? store_make_space(s) : r;
}

/* The log begins anew in the blocks that it has: then rows can be deleted on a disk that is full.
 * Whether it could is seen by who tries. */
int store_make_space(struct store *s)
{
	(void)store_fold_log(s);
	return flush(s);
}

bool store_flush_due(const struct store *s, struct mono_time *ret)
{
	int64_t due = INT64_MAX;

	if (s->unsynced)
		due = s->unsynced_at.ns + s->opt.sync_ns;
	if (sum_acked(s).rows > 0 && s->acked_at.ns + ACKED_HELD_S * NS_PER_S < due)
		due = s->acked_at.ns + ACKED_HELD_S * NS_PER_S;
	if (due == INT64_MAX)
		return false;
	ret->ns = due;
	return true;
}
