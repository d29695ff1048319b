/* Upkeep between batches: batches that waited for a catalog or a dictionary, live state to disk,
 * removed vehicles. Each step is small and a transaction of its own; none is open when it starts.
 */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <string.h>

enum {
	FORGET_STEP = 512,
	SAVE_STEP = 500,
	LOG_BYTES_MAX = 64 << 20,
	QUARANTINE_PER_S = 10,
};

/* ---- rows that are decoded later, or again ---- */

int read_row(struct ingest *in, struct stream_row *row, const struct catalog *cat,
	     uint64_t *ret_samples, struct error *err)
{
	struct envelope e = stream_row_envelope(row);
	size_t first = in->values.n;
	struct batch *b;
	int r = batch_read(&b, &e, err);

	if (r < 0)
		return r;
	clock_of_header(row, batch_get_header(b));
	r = registry_give_dictionary(in->opt.registry, b);
	if (r == 0)
		r = live_collect(&in->values, b, cat, ret_samples, err);
	if (r == 0 && in->values.n > first)
		live_stamp(in->values.v + first, in->values.n - first, row);
	batch_free(b);
	return r;
}

static bool is_bad_data(int r)
{
	return r == -EBADMSG || r == -ESTALE;
}

static int replay_row(void *ctx, const struct stream_row *row)
{
	struct ingest *in = ctx;
	struct stream_row copy = *row;
	const struct catalog *cat;
	char id[ID_MAX + 1];
	uint64_t samples;
	int r;

	if (registry_vehicle_id(in->opt.registry, row->vehicle, id) < 0)
		return 0; /* removed */
	r = registry_get_catalog(in->opt.registry, row->catalog, &cat);
	in->values.n = 0;
	if (r == 0)
		r = read_row(in, &copy, cat, &samples, NULL);
	if (r == 0)
		r = live_apply(in->opt.live, row->vehicle, cat, in->values.v, in->values.n,
			       row->received);
	in->values.n = 0;
	return is_bad_data(r) || r == -ENOENT ? 0 : r;
}

static int restore_state(void *ctx, int64_t vehicle, const void *blob, size_t len)
{
	struct ingest *in = ctx;
	char id[ID_MAX + 1];
	int r;

	if (registry_vehicle_id(in->opt.registry, vehicle, id) < 0)
		return 0;
	r = live_restore(in->opt.live, in->opt.registry, vehicle, blob, len);
	if (r == -EBADMSG)
		log_warn("state_unreadable", "vehicle=%s", id);
	return r == -EBADMSG ? 0 : r;
}

int ingest_restore(struct ingest *in, struct error *err)
{
	int64_t through = 0;
	struct stream_usage usage;
	int r = stream_each_state(in->stream, restore_state, in);

	if (r == 0)
		r = stream_get_progress(in->stream, &through);
	if (r == 0)
		r = stream_each_after(in->stream, through, replay_row, in);
	if (r < 0) {
		error_set(err, "stream.db: cannot restore the live state: %s", strerror(-r));
		return r;
	}
	stream_get_usage(in->stream, &usage);
	in->applied_id = usage.last_id;
	in->wanted_changed = true; /* a catalog may have come just before the stop */
	in->clocks_changed = true; /* or a clock */
	return 0;
}

/* ---- waiting batches ---- */

int copy_row(void *ctx, const struct stream_row *row)
{
	struct row_copies *w = ctx;
	uint8_t *body = malloc(row->len ? row->len : 1);

	if (!body)
		return -ENOMEM;
	if (row->len)
		memcpy(body, row->body, row->len);
	w->rows[w->n] = *row;
	w->rows[w->n++].body = body;
	return 0;
}

void free_rows(struct row_copies *w)
{
	for (size_t i = 0; i < w->n; i++)
		free_ptr(&w->rows[i].body);
}

/* The counters of a device whose samples became known. */
static int add_samples(struct ingest *in, const struct stream_row *row, uint64_t samples)
{
	struct stream_device d;
	int r = stream_get_device(in->stream, row->device, &d);

	if (r < 0)
		return r;
	d.samples += samples;
	return stream_put_device(in->stream, row->vehicle, row->device, &d);
}

int progress_before(struct ingest *in, int64_t id)
{
	int64_t progress;
	int r = stream_get_progress(in->stream, &progress);

	if (r == 0 && progress >= id)
		r = stream_put_progress(in->stream, id - 1);
	in->round_valid = false;
	return r;
}

static int resolve_bad(struct ingest *in, const struct stream_row *row, const struct catalog *cat,
		       const char *reason)
{
	log_warn("batch_unresolved", "row=%lld reason=\"%s\"", (long long)row->id, reason);
	ingest_count(in, unresolved, 1);
	return stream_resolve(in->stream, row->id, STREAM_BAD, cat->id);
}

static int resolve_good(struct ingest *in, const struct stream_row *row, const struct catalog *cat,
			uint64_t samples)
{
	int r = stream_resolve(in->stream, row->id, STREAM_DECODED, cat->id);

	if (r == 0)
		r = add_samples(in, row, samples);
	return r;
}

/* After its commit. */
static void show_resolved(struct ingest *in, const struct stream_row *row,
			  const struct catalog *cat, uint64_t samples)
{
	struct sender *s = table_get(&in->by_device, &row->device, sizeof(row->device));
	char id[ID_MAX + 1];
	int r;

	if (s)
		s->committed.samples = s->stats.samples += samples;
	pthread_mutex_lock(&in->lock);
	in->stats.resolved++;
	in->stats.samples += samples;
	pthread_mutex_unlock(&in->lock);
	if (registry_vehicle_id(in->opt.registry, row->vehicle, id) < 0)
		return;
	r = live_apply(in->opt.live, row->vehicle, cat, in->values.v, in->values.n, row->received);
	if (r == 0)
		r = hub_publish(in->opt.hub, row->vehicle, id, cat, in->values.v, in->values.n);
	if (r < 0)
		log_error("live_failed", "vehicle=%s error=\"%s\"", id, strerror(-r));
}

/* A transaction a row: they are few, and rare. */
static int resolve_row(struct ingest *in, struct stream_row *row, const struct catalog *cat)
{
	struct error err = {0};
	uint64_t samples = 0;
	int read, r;

	in->values.n = 0;
	read = read_row(in, row, cat, &samples, &err);
	if (read < 0 && !is_bad_data(read))
		return read;
	r = stream_begin(in->stream);
	if (r == 0)
		r = read == 0 ? resolve_good(in, row, cat, samples)
			      : resolve_bad(in, row, cat, err.text);
	if (r == 0)
		r = progress_before(in, row->id);
	if (r == 0)
		r = stream_commit(in->stream);
	if (r == 0 && read == 0)
		show_resolved(in, row, cat, samples);
	in->values.n = 0;
	return r;
}

/* Returns 1: perhaps more of them, 0: none left, or -errno. */
static int resolve_step(struct ingest *in, uint64_t catalog, const struct catalog *cat)
{
	struct row_copies *w = calloc(1, sizeof(*w));
	int r = w ? stream_each_waiting(in->stream, catalog, STEP_ROWS, copy_row, w) : -ENOMEM;

	for (size_t i = 0; w && i < w->n && r == 0; i++)
		r = resolve_row(in, &w->rows[i], cat);
	if (r == 0)
		r = w->n == STEP_ROWS;
	if (w)
		free_rows(w);
	free(w);
	return r;
}

struct wanted {
	struct ingest *in;
	uint64_t id;
	const struct catalog *cat;
};

static int find_known(void *ctx, uint64_t id)
{
	struct wanted *w = ctx;
	const struct dictionary *d;

	w->id = id;
	if (registry_get_dictionary(w->in->opt.registry, id, &d) == 0)
		id = d->catalog_id;
	return registry_get_catalog(w->in->opt.registry, id, &w->cat) == 0 ? 1 : 0;
}

/* Returns 1: more to do, 0: none, or -errno. */
static int resolve(struct ingest *in)
{
	struct wanted w = {.in = in};
	int r;

	if (!in->wanted_changed)
		return 0;
	r = stream_each_wanted(in->stream, find_known, &w);
	if (r == 0)
		in->wanted_changed = false;
	if (r == 1)
		r = resolve_step(in, w.id, w.cat);
	return r < 0 ? r : in->wanted_changed;
}

/* ---- live state ---- */

static int put_state(void *ctx, int64_t vehicle, const void *blob, size_t len)
{
	struct ingest *in = ctx;

	return stream_put_state(in->stream, vehicle, in->applied_id, blob, len);
}

/* A round saves all that had changed at its start; then progress moves to that point. */
static void start_round(struct ingest *in)
{
	in->round_left = live_unsaved(in->opt.live);
	in->round_id = in->applied_id;
	in->round_valid = true;
}

static int save_step(struct ingest *in, size_t max)
{
	size_t step = in->round_left < max ? in->round_left : max;
	int n = live_save(in->opt.live, step, put_state, in);

	if (n < 0)
		return n;
	/* A vehicle that was forgotten meanwhile leaves fewer. */
	in->round_left = (size_t)n < step ? 0 : in->round_left - (size_t)n;
	if (!in->round_left && in->round_valid)
		return stream_put_progress(in->stream, in->round_id);
	return 0;
}

/* What a failed transaction took from the list of unsaved vehicles is unsaved all the same. */
static void save_failed(struct ingest *in)
{
	live_unsave_all(in->opt.live);
	in->round_left = 0;
	in->round_valid = false;
}

static int save(struct ingest *in, struct mono_time now)
{
	int r;

	if (!in->round_left) {
		if (now.ns < in->save_due.ns)
			return 0;
		in->save_due.ns = now.ns + in->opt.state_save_ms * NS_PER_MS;
		/* A failed write is tried again: that is how a storage failure ends. */
		if (!live_unsaved(in->opt.live) && !in->refusing)
			return 0;
		start_round(in);
	}
	r = stream_begin(in->stream);
	if (r == 0)
		r = save_step(in, SAVE_STEP);
	if (r == 0)
		r = stream_commit(in->stream);
	if (r < 0) {
		save_failed(in);
		return r;
	}
	ingest_storage_is(in, 0);
	return in->round_left > 0;
}

void ingest_save_all(struct ingest *in)
{
	int r = stream_begin(in->stream);

	start_round(in);
	if (r == 0)
		r = save_step(in, SIZE_MAX);
	if (r == 0)
		r = retention_save(in);
	if (r == 0)
		r = stream_commit(in->stream);
	if (r < 0) {
		stream_rollback(in->stream);
		log_error("state_not_saved", "error=\"%s\"", strerror(-r));
	}
}

/* ---- removed vehicles ---- */

/* The rows of a vehicle that was removed. */
static int forget(struct ingest *in)
{
	int64_t vehicle;
	int r = registry_next_removed(in->opt.registry, &vehicle);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	live_forget(in->opt.live, vehicle);
	hub_end(in->opt.hub, vehicle);
	senders_forget(in, vehicle);
	r = stream_forget_vehicle(in->stream, vehicle, FORGET_STEP);
	if (r == 0)
		r = registry_removed_done(in->opt.registry, vehicle);
	return r < 0 ? r : 1;
}

/* ---- duplicates: they open no transaction of their own ---- */

static int save_lane_counts(struct ingest *in, struct sender *s)
{
	int r = 0;

	for (struct lane *l = s->lanes; l && r == 0; l = l->next) {
		if (!l->uncounted)
			continue;
		r = l->stale ? lane_reload(in, l) : 0;
		if (r == 0)
			r = txn_begin(in);
		if (r == 0)
			r = txn_touch(in, l);
	}
	return r;
}

/* The commit writes what was touched. */
static int save_counts(struct ingest *in)
{
	int r = 0;

	if (!in->uncounted)
		return 0;
	for (size_t i = 0; i < in->senders.cap && r == 0; i++) {
		struct sender *s = in->senders.slots[i].value;

		if (s && s->device_key)
			r = save_lane_counts(in, s);
	}
	if (r < 0) {
		ingest_abort(in, r);
		return r;
	}
	in->uncounted = false;
	ingest_commit(in);
	return 0;
}

/* For what would be too much each turn: there are many a second while there is more to do. */
static bool is_second_due(struct ingest *in, struct mono_time now)
{
	if (now.ns < in->second_due.ns)
		return false;
	in->second_due.ns = now.ns + NS_PER_S;
	return true;
}

bool ingest_maintain(struct ingest *in)
{
	struct mono_time now = timebase_mono(in->opt.tb);
	bool second = is_second_due(in, now);
	int r, more = 0;

	if (second)
		in->quarantine_tokens = QUARANTINE_PER_S;
	if (in->refusing && now.ns < in->refuse_until.ns)
		return false;
	/* Pruning first: it makes the room that the others need. */
	r = retention_step(in);
	if (r >= 0) {
		more |= r;
		r = save(in, now);
	}
	if (r >= 0) {
		more |= r;
		r = resolve(in);
	}
	if (r >= 0) {
		more |= r;
		r = forget(in);
	}
	if (r >= 0) {
		more |= r;
		r = ingest_repair(in);
	}
	if (r >= 0) {
		more |= r;
		r = second ? save_counts(in) : 0;
	}
	if (r == 0 && second)
		r = retention_second(in);
	if (r == 0 && second)
		r = stream_trim_log(in->stream, LOG_BYTES_MAX);
	if (r < 0) {
		stream_rollback(in->stream);
		ingest_storage_is(in, r);
		return false;
	}
	return more > 0;
}
