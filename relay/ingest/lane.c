/* The window of a lane: what is added to it, and what its gaps say. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <inttypes.h>

void lane_count_duplicate(struct ingest *in, struct lane *l)
{
	l->counts.duplicates++;
	l->uncounted = in->uncounted = true;
	ingest_count(in, duplicates[l->class], 1);
}

int lane_has(struct ingest *in, struct lane *l, uint64_t seq)
{
	int missing;

	if (!window_has(&l->window, seq))
		return 0;
	if (!l->gaps)
		return 1;
	missing = stream_is_missing(in->stream, l->sender->device_key, l->epoch, l->class, seq);
	return missing < 0 ? missing : !missing;
}

bool lane_fits(struct ingest *in, struct lane *l, uint64_t from, uint64_t through)
{
	struct mono_time now = timebase_mono(in->opt.tb);

	if (window_fits(&l->window, from, through)) {
		if (l->window.n < WINDOW_RANGES_MAX)
			l->full_since.ns = 0;
		return true;
	}
	if (!l->full_since.ns)
		l->full_since = now;
	return now.ns - l->full_since.ns >= WINDOW_GRACE_S * NS_PER_S;
}

/* The lowest hole, as far as it is below newcomer, becomes a gap that nobody has explained. */
static int close_hole(struct ingest *in, struct lane *l, uint64_t newcomer)
{
	struct stream_gap g cleanup(stream_gap_free) = {
		.vehicle = l->sender->vehicle_key,
		.device = l->sender->device_key,
		.epoch = l->epoch,
		.class = l->class,
		.reason = GAP_UNEXPLAINED,
		.received = timebase_wall(in->opt.tb),
	};
	int e;

	if (!window_lowest_hole(&l->window, &g.from, &g.through))
		return -EINVAL;
	if (g.through >= newcomer)
		g.through = newcomer - 1;
	log_warn("window_full",
		 "vehicle=%s device=%s class=%s epoch=%016" PRIx64 " holes=%d closed=%" PRIu64
		 "-%" PRIu64,
		 l->sender->vehicle, l->sender->device, class_name(l->class), l->epoch,
		 WINDOW_RANGES_MAX, g.from, g.through);
	e = window_missing(&l->window, g.from, g.through, &g.missing);
	if (e == 0)
		e = window_add_range(&l->window, g.from, g.through);
	if (e == 0)
		e = stream_add_gap(in->stream, &g);
	if (e < 0)
		return e;
	l->gaps = true;
	ingest_count(in, gaps[l->class][GAP_UNEXPLAINED], 1);
	ingest_count(in, gap_seqs[l->class][GAP_UNEXPLAINED], g.seqs);
	return 0;
}

int lane_add(struct ingest *in, struct lane *l, uint64_t from, uint64_t through)
{
	int e = txn_touch(in, l);

	if (e == 0 && !window_fits(&l->window, from, through))
		e = close_hole(in, l, from);
	if (e == 0)
		e = window_add_range(&l->window, from, through);
	assert(e != WINDOW_FULL);
	return e == WINDOW_HAVE ? 0 : e;
}

int lane_take(struct ingest *in, struct lane *l, uint64_t seq, bool *ret_late)
{
	int e;

	if (!window_has(&l->window, seq))
		return lane_add(in, l, seq, seq);
	e = txn_touch(in, l);
	if (e == 0)
		e = stream_take_from_gap(in->stream, l->sender->device_key, l->epoch, l->class,
					 seq);
	if (e < 0)
		return e;
	*ret_late = e == 1;
	return 0;
}
