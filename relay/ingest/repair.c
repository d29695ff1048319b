/* Clocks that turn out to be other than batches said: learnt from the vehicle or from a batch that
 * is synced; rows of that boot are repaired, those that come later at once, those that are there in
 * steps of upkeep. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

void clock_of_header(struct stream_row *row, const struct batch_header *h)
{
	row->boot = 0;
	row->clock_ns = 0;
	if (!__builtin_sub_overflow(h->wall_base_ns, h->mono_base_ns, &row->clock_ns))
		row->boot = h->boot_id;
}

int clock_learn(struct ingest *in, struct sender *s, const struct stream_clock *c)
{
	struct wall_time now = timebase_wall(in->opt.tb);
	int e = stream_put_clock(in->stream, s->vehicle_key, s->device_key, c, now);

	if (e < 0)
		return e;
	sender_touch(in, s);
	s->clock = *c;
	in->clocks_changed = true;
	return 0;
}

/* What is known of the boot; the sender remembers the last one. */
static int find_clock(struct ingest *in, struct sender *s, uint64_t boot)
{
	struct stream_clock c;
	int e;

	if (s->clock.boot == boot)
		return 0;
	e = stream_get_clock(in->stream, s->device_key, boot, &c);
	if (e < 0)
		return e;
	sender_touch(in, s);
	s->clock = e ? c : (struct stream_clock){.boot = boot, .quality = CLOCK_UNKNOWN};
	return 0;
}

int clock_use(struct ingest *in, struct sender *s, struct stream_row *row,
	      struct stream_clock *ret_learnt)
{
	struct stream_clock c = {row->boot, row->clock_ns, row->quality};
	int e;

	if (!row->boot)
		return 0;
	e = find_clock(in, s, row->boot);
	if (e < 0)
		return e;
	if (row->quality == CLOCK_SYNCED && s->clock.quality < CLOCK_SYNCED) {
		*ret_learnt = c;
		return clock_learn(in, s, &c);
	}
	if (stream_row_repair(row, &s->clock))
		ingest_count(in, repaired, 1);
	return 0;
}

/* ---- rows that are there ---- */

static int repair_rows(struct ingest *in, struct row_copies *rows, const struct stream_clock *c)
{
	int64_t lowest = INT64_MAX;
	int e = 0;

	for (size_t i = 0; i < rows->n && e == 0; i++) {
		struct stream_row *row = &rows->rows[i];

		/* One that cannot be repaired is not tried again. */
		if (!stream_row_repair(row, c))
			row->quality = c->quality;
		e = stream_put_times(in->stream, row);
		if (row->id < lowest)
			lowest = row->id;
	}
	if (e == 0 && rows->n)
		e = progress_before(in, lowest);
	return e;
}

/* After the commit: values that stayed out of the state for their times may belong into it. */
static void show_row(struct ingest *in, struct stream_row *row)
{
	const struct catalog *cat;
	uint64_t samples;
	int e = row->state == STREAM_DECODED
			? registry_get_catalog(in->opt.registry, row->catalog, &cat)
			: -ENOENT;

	in->values.n = 0;
	if (e == 0)
		e = read_row(in, row, cat, &samples, NULL);
	if (e == 0)
		e = live_apply(in->opt.live, row->vehicle, cat, in->values.v, in->values.n,
			       row->received);
	in->values.n = 0;
	if (e < 0 && e != -ENOENT)
		log_error("repair_not_shown", "row=%" PRId64 " error=\"%s\"", row->id,
			  strerror(-e));
}

static int repair_step(struct ingest *in, int64_t device, const struct stream_clock *c,
		       struct row_copies *rows)
{
	int e = stream_each_unsure(in->stream, device, c, STEP_ROWS, copy_row, rows);

	if (e == 0)
		e = stream_begin(in->stream);
	if (e == 0)
		e = repair_rows(in, rows, c);
	if (e == 0 && rows->n < STEP_ROWS)
		e = stream_clock_done(in->stream, device, c->boot);
	if (e == 0)
		e = stream_commit(in->stream);
	if (e < 0)
		return e;
	ingest_count(in, repaired, rows->n);
	for (size_t i = 0; i < rows->n; i++)
		show_row(in, &rows->rows[i]);
	return 1;
}

int ingest_repair(struct ingest *in)
{
	struct row_copies *rows;
	struct stream_clock c;
	int64_t device;
	int e;

	if (!in->clocks_changed)
		return 0;
	e = stream_next_clock(in->stream, &device, &c);
	if (e != 1) {
		in->clocks_changed = e < 0;
		return e;
	}
	rows = calloc(1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	e = repair_step(in, device, &c, rows);
	free_rows(rows);
	free(rows);
	return e;
}
