/* Takes over what salvaging reads from a damaged outbox: under new seqs, and the old ones beside.
 */
#include "agent/store/store_private.h"

struct rescue {
	struct store *s;
	struct working w;
	bool begun;
};

static int begin(struct rescue *r)
{
	int e = r->begun ? 0 : store_begin(r->s, &r->w, STORE_NOW, false);

	r->begun = r->begun || e == 0;
	return e;
}

static int on_commit(void *ctx)
{
	struct rescue *r = ctx;

	if (!r->begun)
		return 0;
	r->begun = false;
	return store_finish(r->s, &r->w, 0);
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

static int on_row(void *ctx, const struct salvage_row *row)
{
	struct rescue *r = ctx;
	int64_t col[ROW_COLUMNS] = {
		[ROW_FIRST_MS] = row->first_ms,
		[ROW_SPAN_MS] = row->span_ms,
		[ROW_SAMPLES] = (int64_t)row->samples,
		[ROW_ENCODING] = (int64_t)row->encoding,
		[ROW_ORIGIN_EPOCH] = (int64_t)row->origin_epoch,
		[ROW_ORIGIN_SEQ] = (int64_t)row->origin_seq,
	};
	struct class_state *c = &r->w.classes[row->class];
	int e = begin(r);

	if (e == 0)
		e = set_stored(r->s, row, col);
	if (e < 0)
		return e;
	col[ROW_ID] = row_id(row->class, ++c->last_seq);
	c->life.samples_stored += row->samples;
	return store_write_row(r->s, &r->w, col, row->body, row->body_len, true);
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

int store_rescue(struct store *s, struct salvage_aside *aside, struct store_opened *opened,
		 struct error *err)
{
	struct rescue r = {.s = s};
	struct salvage_sink sink = {on_row, on_gap, on_commit, &r};
	struct salvage_result result = {0};
	int e = salvage_run(aside, s->db, s->opt.seal, &sink, &result, err), f;

	/* What was taken over so far stays, whatever ended it. */
	f = r.begun ? store_finish(s, &r.w, e == -ENOSPC ? 0 : e) : 0;
	if (e == 0)
		e = f;
	if (e == 0)
		e = salvage_finish(s->path, aside);
	opened->salvaged_rows = result.rows;
	opened->salvaged_samples = result.samples;
	/* A full disk: the next start goes on with it. */
	return e == -ENOSPC ? 0 : e;
}
