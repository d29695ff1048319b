/* Retention: by age and by size. History ages by the time that the relay runs: a wall clock that
 * leaps, or is years off at a start, deletes nothing. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <inttypes.h>

enum {
	PRUNE_STEP = 512,
	MARKS = 256, /* of a retention time */
	SAVE_S = 60, /* what a kill may cost of the time that it ran */
	LEAP_S = 60, /* of the wall clock against the time passed; worth a line in the log */
};

int retention_start(struct ingest *in)
{
	struct retention *a = &in->retention;
	int e = stream_get_ran(in->stream, &a->ran_ns);

	if (e == 0)
		e = stream_last_mark(in->stream, &a->marked_ns);
	if (e == 0)
		e = stream_marked(in->stream, a->ran_ns - in->tuning.retention_ns, &a->old);
	a->saved_ns = a->ran_ns;
	a->looked = timebase_mono(in->opt.tb);
	a->wall = timebase_wall(in->opt.tb);
	return e;
}

static void look(struct ingest *in)
{
	struct retention *a = &in->retention;
	struct mono_time now = timebase_mono(in->opt.tb);
	struct wall_time wall = timebase_wall(in->opt.tb);
	int64_t passed = now.ns - a->looked.ns;
	int64_t leap_s = (wall.ns - a->wall.ns - passed) / NS_PER_S;

	if (leap_s > LEAP_S || leap_s < -LEAP_S)
		log_warn("clock_leapt", "seconds=%" PRId64, leap_s);
	a->ran_ns += passed;
	a->looked = now;
	a->wall = wall;
}

int retention_save(struct ingest *in)
{
	return stream_put_ran(in->stream, in->retention.ran_ns);
}

/* A transaction of its own. Rows that come after it are not in the mark. */
static int mark(struct ingest *in)
{
	struct retention *a = &in->retention;
	int e = stream_begin(in->stream);

	if (e == 0)
		e = stream_mark(in->stream, a->ran_ns);
	if (e == 0)
		e = stream_marked(in->stream, a->ran_ns - in->tuning.retention_ns, &a->old);
	if (e == 0)
		e = retention_save(in);
	if (e == 0)
		e = stream_commit(in->stream);
	if (e == 0)
		a->marked_ns = a->saved_ns = a->ran_ns;
	return e;
}

int retention_second(struct ingest *in)
{
	struct retention *a = &in->retention;
	int64_t every = in->tuning.retention_ns / MARKS;
	int e = 0;

	if (a->marked_ns == 0 || a->ran_ns - a->marked_ns >= every)
		e = mark(in);
	else if (a->ran_ns - a->saved_ns >= SAVE_S * NS_PER_S)
		e = retention_save(in);
	if (e == 0)
		e = stream_prune_gaps(in->stream, a->old.gap, PRUNE_STEP);
	return e < 0 ? e : 0;
}

/* About as many rows as are too much: large ones must not take all of the history with them. */
static size_t rows_beyond(const struct stream_usage *u, uint64_t max_bytes)
{
	double part = (double)(u->used_bytes - max_bytes) / (double)u->used_bytes;
	size_t n = (size_t)(part * (double)u->rows) + 1;

	return n < PRUNE_STEP ? n : PRUNE_STEP;
}

int retention_step(struct ingest *in)
{
	int64_t through = in->retention.old.batch;
	size_t step = PRUNE_STEP;
	struct stream_usage u;
	bool beyond;
	int n;

	look(in);
	stream_get_usage(in->stream, &u);
	beyond = in->tuning.max_bytes && u.used_bytes > (uint64_t)in->tuning.max_bytes;
	if (beyond) {
		through = INT64_MAX;
		step = rows_beyond(&u, (uint64_t)in->tuning.max_bytes);
	}
	n = stream_prune(in->stream, through, step);
	if (n > 0)
		ingest_count(in, pruned, (uint64_t)n);
	return n < 0 ? n : n > 0 && (beyond || n == PRUNE_STEP);
}
