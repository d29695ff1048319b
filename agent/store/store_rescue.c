/* Takes over what salvaging reads from a damaged outbox: under new seqs, and the old ones beside.
 */
#include "agent/store/store_private.h"

struct rescue {
	struct store *s;
	struct store_opened *opened;
	struct working w;
	struct store_dropped dropped; /* by the transaction */
	bool begun;
	size_t n_boots; /* that were there when it began */
};

static int begin(struct rescue *r)
{
	int e = r->begun ? 0 : store_begin(r->s, &r->w, STORE_NOW, false);

	if (r->begun || e < 0)
		return e;
	r->begun = true;
	r->dropped = (struct store_dropped){0};
	r->n_boots = r->s->n_boots;
	return 0;
}

/* e: how what was begun went. */
static int finish(struct rescue *r, int e)
{
	if (!r->begun)
		return e;
	r->begun = false;
	e = store_finish(r->s, &r->w, e);
	if (e < 0)
		r->s->n_boots = r->n_boots;
	for (size_t i = 0; e == 0 && i < GAP_REASONS; i++) {
		r->opened->dropped.by[i].rows += r->dropped.by[i].rows;
		r->opened->dropped.by[i].samples += r->dropped.by[i].samples;
	}
	return e;
}

static int on_commit(void *ctx)
{
	return finish(ctx, 0);
}

static int set_stored(struct store *s, const struct salvage_row *row,
		      int64_t col[static ROW_COLUMNS])
{
	const struct salvage_boot *b = row->boot;
	struct store_boot boot;

	/* Boot 0 at 0 ms: nobody knows when. */
	if (!row->stored_is_known)
		return 0;
	col[ROW_STORED_MS] = row->stored_ms;
	if (!b)
		return 0;
	boot = (struct store_boot){
		.boot_id = b->boot_id,
		.offset_ms = b->offset_ms,
		.quality = (enum clock_quality)b->quality,
	};
	return store_find_boot(s, &boot, &col[ROW_BOOT]);
}

static int insert(struct rescue *r, const struct salvage_row *row)
{
	int64_t col[ROW_COLUMNS] = {
		[ROW_FIRST_MS] = row->first_ms,
		[ROW_SPAN_MS] = row->span_ms,
		[ROW_SAMPLES] = (int64_t)row->samples,
		[ROW_ENCODING] = (int64_t)row->encoding,
		[ROW_ORIGIN_EPOCH] = (int64_t)row->origin_epoch,
		[ROW_ORIGIN_SEQ] = (int64_t)row->origin_seq,
	};
	struct class_state *c = &r->w.classes[row->class];
	int e = set_stored(r->s, row, col);

	if (e < 0)
		return e;
	col[ROW_ID] = row_id(row->class, ++c->last_seq);
	c->life.samples_stored += row->samples;
	return store_write_row(r->s, &r->w, col, row->body, row->body_len, true);
}

/* There is no room: the quota is less than it was, or it is full of what is more urgent. */
static int lose(struct rescue *r, const struct salvage_row *row)
{
	struct class_state *c = &r->w.classes[row->class];
	struct store_count *dropped = &r->dropped.by[GAP_QUOTA];
	struct store_gap g = {
		.class = row->class,
		.seq = ++c->last_seq,
		.origin_epoch = row->origin_epoch,
		.origin_seq = row->origin_seq,
		.gap = {.reason = GAP_QUOTA,
			.batches = 1,
			.samples = row->samples,
			.first_ns = row->first_ms * NS_PER_MS,
			.last_ns = row->first_ms ? (row->first_ms + row->span_ms) * NS_PER_MS : 0},
	};

	g.gap.through = row->origin_seq ? row->origin_seq : g.seq;
	c->life.samples_stored += row->samples;
	c->life.samples_dropped += row->samples;
	dropped->rows++;
	dropped->samples += row->samples;
	return store_add_gap(r->s, &r->w, &g);
}

static int on_row(void *ctx, const struct salvage_row *row)
{
	struct rescue *r = ctx;
	uint64_t bytes = row->body_len + STORE_ROW_OVERHEAD + (r->s->opt.seal ? SEAL_OVERHEAD : 0);
	int e = begin(r);

	if (e == 0)
		e = store_make_room(r->s, &r->w, row->class, bytes, &r->dropped);
	if (e < 0)
		return e;
	return e > 0 ? insert(r, row) : lose(r, row);
}

static int on_gap(void *ctx, enum uplink_class class, uint64_t origin_epoch, uint64_t from,
		  const struct gap *gap)
{
	struct rescue *r = ctx;
	int e = begin(r);
	struct store_gap g = {
		.class = class,
		.origin_epoch = origin_epoch,
		.origin_seq = from,
		.gap = *gap,
	};

	if (e < 0)
		return e;
	g.seq = ++r->w.classes[class].last_seq;
	return store_add_gap(r->s, &r->w, &g);
}

/* Only what is older than this one: of the others there is more to come. */
static void find_older(const struct store *s, struct salvage_aside *aside)
{
	const uint64_t *older = s->unsaved.seqs.older;
	size_t n = 0;

	for (size_t i = 0; i + 1 < UNSAVED_OLDER; i++)
		if (n > 0 || older[i] == aside->epoch)
			aside->older[n++] = older[i + 1];
}

static int take_one(struct store *s, struct salvage_aside *aside, struct store_opened *opened,
		    struct error *err)
{
	struct rescue r = {.s = s, .opened = opened};
	const struct salvage_sink sink = {on_row, on_gap, on_commit, &r};
	struct salvage_result result;
	int e;

	find_older(s, aside);
	e = salvage_run(aside, s->db, s->opt.seal, &sink, &result, err);

	e = finish(&r, e);
	opened->salvaged_rows += result.rows;
	opened->salvaged_samples += result.samples;
	opened->unreadable_rows += result.unreadable;
	/* What was taken over, and what was told of the old epoch, is nowhere else from now on: it
	 * must not go with the log. */
	if (e == 0)
		e = store_fold_log(s);
	return e < 0 ? e : salvage_finish(s->path, aside);
}

/* The oldest first: its rows may have gone on, in part, to the next one that was set aside, and
 * what of its epoch is in neither is known only then. */
int store_rescue(struct store *s, struct store_opened *opened, struct error *err)
{
	struct salvage_aside *aside cleanup(free_ptr) = malloc(sizeof(*aside));
	int e = aside ? salvage_pending(s->path, aside, err) : -ENOMEM;

	while (e == SALVAGE_PENDING) {
		e = take_one(s, aside, opened, err);
		/* A disk that is full, or fails, must not keep the agent from working: what was
		 * committed so far stays, and the next start goes on. */
		if (e == -ENOSPC || e == -EIO) {
			opened->unfinished = true;
			return 0;
		}
		if (e == 0)
			e = salvage_pending(s->path, aside, err);
	}
	return e;
}
