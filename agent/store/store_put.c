/* What comes into the outbox, and what goes for it: the quota, and rows that are too old. */
#include "agent/store/store_private.h"

#include <string.h>

enum { EXPIRE_ROWS_MAX = 256 }; /* a transaction */

static void count_dropped(struct store_dropped *d, enum gap_reason reason, uint64_t samples)
{
	d->by[reason].rows++;
	d->by[reason].samples += samples;
}

/* A row that is read by a statement goes, and a gap takes its place. */
static int drop_row(struct store *s, struct working *w, const struct stored_row *row,
		    enum gap_reason reason, struct store_dropped *dropped)
{
	enum uplink_class class = row_class(row->col[ROW_ID]);
	uint64_t samples = (uint64_t)row->col[ROW_SAMPLES];
	int r = store_row_to_gap(s, w, row, reason);

	if (r < 0)
		return r;
	w->classes[class].life.samples_dropped += samples;
	w->classes[class].touched = true;
	count_dropped(dropped, reason, samples);
	return 0;
}

/* The oldest row that is no gap. Returns DB_ROW, DB_DONE: none, -errno. The body is gone. */
static int find_oldest(struct store *s, enum uplink_class class, uint64_t from,
		       struct stored_row *ret)
{
	sqlite3_stmt *st = store_stmt(s, STORE_OLDEST, class);
	int r = db_bind(st, "i", row_id(class, from));

	if (r == 0)
		r = store_step_row(st, ret);
	sqlite3_reset(st);
	return r;
}

int store_make_room(struct store *s, struct working *w, enum uplink_class class, uint64_t bytes,
		    struct store_dropped *dropped)
{
	uint64_t max = (uint64_t)s->opt.max_bytes;
	unsigned k = CLASS_COUNT - 1;

	if (bytes > max)
		return 0;
	while (w->totals.bytes > max - bytes) {
		struct stored_row row;
		int r = find_oldest(s, (enum uplink_class)k, 0, &row);

		if (r == DB_ROW)
			r = drop_row(s, w, &row, GAP_QUOTA, dropped);
		else if (r == DB_DONE && k == (unsigned)class)
			return 0;
		else if (r == DB_DONE)
			k--;
		if (r < 0)
			return r;
	}
	return 1;
}

static int64_t floor_ms(int64_t ns)
{
	return ns / NS_PER_MS - (ns % NS_PER_MS < 0);
}

static int insert(struct store *s, struct working *w, const struct store_item *item)
{
	struct class_state *c = &w->classes[item->class];
	int64_t col[ROW_COLUMNS] = {
		[ROW_ID] = row_id(item->class, ++c->last_seq),
		[ROW_BOOT] = s->boot,
		[ROW_STORED_MS] = store_now_ms(s),
		[ROW_FIRST_MS] = floor_ms(item->first_ns),
		[ROW_SAMPLES] = (int64_t)item->samples,
		[ROW_ENCODING] = (int64_t)item->encoding,
	};

	if (item->last_ns > item->first_ns)
		col[ROW_SPAN_MS] = floor_ms(item->last_ns + NS_PER_MS - 1) - col[ROW_FIRST_MS];
	c->life.samples_stored += item->samples;
	return store_write_row(s, w, col, item->body, item->body_len, true);
}

static int put_one(struct store *s, struct working *w, const struct store_item *item,
		   struct store_count *stored, struct store_dropped *dropped)
{
	uint64_t bytes = item->body_len + STORE_ROW_OVERHEAD;
	struct gap lost = {
		.reason = GAP_QUOTA,
		.batches = 1,
		.samples = item->samples,
		.first_ns = item->first_ns,
		.last_ns = item->last_ns,
	};
	int r;

	if (s->opt.seal)
		bytes += SEAL_OVERHEAD;
	r = store_make_room(s, w, item->class, bytes, dropped);
	if (r < 0)
		return r;
	stored->rows++;
	stored->samples += item->samples;
	if (r > 0)
		return insert(s, w, item);
	count_dropped(dropped, GAP_QUOTA, item->samples);
	return store_lose_newcomer(s, w, item->class, &lost);
}

static enum store_sync sync_of(const struct store *s, const struct store_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!store_is_relaxed(s, items[i].class))
			return STORE_NOW;
	return STORE_LATER;
}

static bool would_fit(const struct store *s, const struct store_item *items, size_t n)
{
	uint64_t bytes = s->w.totals.bytes;

	for (size_t i = 0; i < n; i++)
		bytes += items[i].body_len + STORE_ROW_OVERHEAD + SEAL_OVERHEAD;
	return bytes <= (uint64_t)s->opt.max_bytes;
}

static int put(struct store *s, const struct store_item *items, size_t n,
	       struct store_count *ret_stored, struct store_dropped *ret_dropped)
{
	struct store_dropped dropped = {0};
	struct store_count stored = {0};
	struct working w;
	/* What goes for the newcomers must not be what the relay has already. */
	int r = store_begin(s, &w, sync_of(s, items, n), !would_fit(s, items, n));

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_one(s, &w, &items[i], &stored, &dropped);
	r = store_finish(s, &w, r);
	if (r < 0)
		return r;
	*ret_stored = stored;
	*ret_dropped = dropped;
	return 0;
}

int store_put(struct store *s, const struct store_item *items, size_t n,
	      struct store_count *ret_stored, struct store_dropped *ret_dropped)
{
	int r = put(s, items, n, ret_stored, ret_dropped);

	if (r == -ENOSPC && store_make_space(s) == 0)
		r = put(s, items, n, ret_stored, ret_dropped);
	return r;
}

int store_put_lost(struct store *s, enum uplink_class class, uint64_t samples,
		   enum gap_reason reason)
{
	struct gap lost = {.reason = reason, .batches = 1, .samples = samples};
	enum store_sync sync = store_is_relaxed(s, class) ? STORE_LATER : STORE_NOW;
	struct working w;
	int r = store_begin(s, &w, sync, false);

	if (r < 0)
		return r;
	return store_finish(s, &w, store_lose_newcomer(s, &w, class, &lost));
}

/* ---- age ---- */

/* Turns rows of a class into gaps from the oldest on, until one that may live longer. A row whose
 * age nobody knows stays, and does not keep the next from being looked at. *next: mono ns, when
 * there will be more to do. */
static int expire_class(struct store *s, struct working *w, enum uplink_class class, size_t *left,
			struct store_dropped *dropped, int64_t *next)
{
	int64_t limit = s->opt.expire_ns[class] / NS_PER_MS, age, due;
	uint64_t from = 0;

	while (*left > 0) {
		struct stored_row row;
		int r = find_oldest(s, class, from, &row);

		if (r != DB_ROW)
			return r;
		from = row_seq(row.col[ROW_ID]) + 1;
		if (!store_row_age(s, row.col, &age))
			continue;
		if (age < limit) {
			due = timebase_mono(s->opt.tb).ns + (limit - age) * NS_PER_MS;
			*next = due < *next ? due : *next;
			return 0;
		}
		r = drop_row(s, w, &row, GAP_EXPIRED, dropped);
		if (r < 0)
			return r;
		--*left;
	}
	*next = 0;
	return 0;
}

/* What is stored later than now is not too old before. INT64_MAX: nothing ever is. */
static int64_t shortest_limit(const struct store *s)
{
	int64_t shortest = INT64_MAX;

	for (unsigned k = 0; k < CLASS_COUNT; k++)
		if (s->opt.expire_ns[k] > 0 && s->opt.expire_ns[k] < shortest)
			shortest = s->opt.expire_ns[k];
	return shortest;
}

int store_expire(struct store *s, struct store_dropped *ret, struct mono_time *ret_next)
{
	enum { LOOK_AGAIN_S = 3600 };
	int64_t now = timebase_mono(s->opt.tb).ns, next = now + LOOK_AGAIN_S * NS_PER_S;
	int64_t shortest = shortest_limit(s);
	struct store_dropped dropped = {0};
	size_t left = EXPIRE_ROWS_MAX;
	struct working w;
	int r = 0;

	if (shortest < INT64_MAX) {
		if (shortest < next - now)
			next = now + shortest;
		r = store_begin(s, &w, STORE_LATER, true);
		if (r < 0)
			return r;
		for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++)
			if (s->opt.expire_ns[k] > 0)
				r = expire_class(s, &w, (enum uplink_class)k, &left, &dropped,
						 &next);
		r = store_finish(s, &w, r);
	}
	if (r < 0)
		return r;
	*ret = dropped;
	ret_next->ns = next > now ? next : now;
	return 0;
}
