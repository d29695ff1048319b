/* Clocks of boots, and repairing by them. */
#include "relay/stream/clocks.h"
#include "relay/stream/internal.h"

bool stream_row_repair(struct stream_row *row, const struct stream_clock *c)
{
	int64_t shift, more, first, last;

	if (!row->boot || row->boot != c->boot || row->quality >= c->quality)
		return false;
	if (__builtin_sub_overflow(c->clock_ns, row->clock_ns, &shift) ||
	    __builtin_sub_overflow(shift, row->shift_ns, &more) ||
	    __builtin_add_overflow(row->first_ns, more, &first) ||
	    __builtin_add_overflow(row->last_ns, more, &last) || first < 0)
		return false;
	row->first_ns = first;
	row->last_ns = last;
	row->shift_ns = shift;
	row->quality = c->quality;
	return true;
}

int stream_put_clock(struct stream *s, int64_t vehicle, int64_t device,
		     const struct stream_clock *c, struct wall_time now)
{
	int e = db_bind(s->st[ST_PUT_CLOCK], "iiiiii", device, (int64_t)c->boot, vehicle,
			c->clock_ns, (int64_t)c->quality, now.ns);

	if (e == 0)
		e = db_run(s->st[ST_PUT_CLOCK]);
	if (e == 0)
		e = db_bind(s->st[ST_LIMIT_CLOCKS], "ii", device, (int64_t)STREAM_CLOCKS_MAX);
	return e < 0 ? e : db_run(s->st[ST_LIMIT_CLOCKS]);
}

static void read_clock(sqlite3_stmt *st, struct stream_clock *ret)
{
	*ret = (struct stream_clock){
		.boot = (uint64_t)sqlite3_column_int64(st, 0),
		.clock_ns = sqlite3_column_int64(st, 1),
		.quality = (enum clock_quality)sqlite3_column_int(st, 2),
	};
}

int stream_get_clock(struct stream *s, int64_t device, uint64_t boot, struct stream_clock *ret)
{
	sqlite3_stmt *st = s->st[ST_CLOCK];
	int e = db_bind(st, "ii", device, (int64_t)boot);

	if (e == 0)
		e = db_step(st);
	if (e == DB_ROW)
		read_clock(st, ret);
	sqlite3_reset(st);
	return e;
}

int stream_next_clock(struct stream *s, int64_t *ret_device, struct stream_clock *ret)
{
	sqlite3_stmt *st = s->st[ST_NEXT_CLOCK];
	int e = db_step(st);

	if (e == DB_ROW) {
		read_clock(st, ret);
		*ret_device = sqlite3_column_int64(st, 3);
	}
	sqlite3_reset(st);
	return e;
}

int stream_clock_done(struct stream *s, int64_t device, uint64_t boot)
{
	int e = db_bind(s->st[ST_CLOCK_DONE], "ii", device, (int64_t)boot);

	return e < 0 ? e : db_run(s->st[ST_CLOCK_DONE]);
}

int stream_each_unsure(struct stream *s, int64_t device, const struct stream_clock *c, size_t limit,
		       int (*cb)(void *ctx, const struct stream_row *row), void *ctx)
{
	int e = db_bind(s->st[ST_UNSURE], "iiii", device, (int64_t)c->boot, (int64_t)c->quality,
			(int64_t)limit);

	return e < 0 ? e : stream_walk(s->st[ST_UNSURE], cb, ctx);
}

int stream_put_times(struct stream *s, const struct stream_row *row)
{
	int e = db_bind(s->st[ST_PUT_TIMES], "iii", row->first_ns, row->last_ns, row->id);

	if (e == 0)
		e = db_run(s->st[ST_PUT_TIMES]);
	if (e == 0)
		e = db_bind(s->st[ST_PUT_SHIFT], "iii", row->shift_ns, (int64_t)row->quality,
			    row->id);
	return e < 0 ? e : db_run(s->st[ST_PUT_SHIFT]);
}
