#include "relay/live/live.h"

#include "relay/registry/registry.h"
#include "relay/registry/table.h"

#include <pthread.h>
#include <string.h>

enum { BLOB_VERSION = 2, BLOB_MAX = 64 << 20 };

struct live_slot {
	const struct catalog *cat;
	struct live_values values; /* ascending by signal */
	uint64_t used;		   /* turn of the last apply */
};

struct live_vehicle {
	int64_t key;
	struct live_slot slot[LIVE_CATALOGS_MAX];
	size_t n_slots;
	bool dirty;
	struct live_vehicle *next_dirty;
};

struct live {
	pthread_mutex_t lock; /* the one writer takes it to write; readers to read */
	struct table vehicles;
	struct live_vehicle *dirty, **dirty_end;
	size_t n_dirty;
	uint64_t turn;
	struct buf scratch;
};

int live_new(struct live **ret)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	l->dirty_end = &l->dirty;
	l->scratch = BUF_INIT(BLOB_MAX);
	*ret = l;
	return 0;
}

static void free_vehicle(struct live_vehicle *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n_slots; i++)
		free(v->slot[i].values.v);
	free(v);
}

struct live *live_free(struct live *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < l->vehicles.cap; i++)
		free_vehicle(l->vehicles.slots[i].value);
	table_free(&l->vehicles);
	buf_free(&l->scratch);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

/* ---- values ---- */

static int reserve(struct live_values *vs, size_t more)
{
	size_t cap = vs->cap ? vs->cap : 16;
	struct live_value *p;

	if (vs->cap - vs->n >= more)
		return 0;
	while (cap - vs->n < more)
		cap *= 2;
	p = realloc(vs->v, cap * sizeof(*p));
	if (!p)
		return -ENOMEM;
	vs->v = p;
	vs->cap = cap;
	return 0;
}

struct collect {
	struct live_values *out;
	uint64_t samples;
};

static int collect_column(void *ctx, const struct batch_column *col)
{
	struct collect *c = ctx;
	int r;

	if (!col->n)
		return 0;
	r = reserve(c->out, 1);
	if (r < 0)
		return r;
	c->out->v[c->out->n++] = (struct live_value){
		.signal = col->signal,
		.quality = CLOCK_SYNCED,
		.wall_ns = col->wall_ns[col->n - 1],
		.order_ns = col->wall_ns[col->n - 1],
		.raw = col->raw[col->n - 1],
	};
	c->samples += col->n;
	return 0;
}

int live_collect(struct live_values *out, struct batch *b, const struct catalog *cat,
		 uint64_t *ret_samples, struct error *err)
{
	struct collect c = {.out = out};
	size_t before = out->n;
	int r = batch_columns(b, cat, CATALOG_NONE, collect_column, &c, err);

	if (r < 0) {
		out->n = before;
		return r;
	}
	*ret_samples = c.samples;
	return 0;
}

/* Two boots of one vehicle get the same hash once in 2^30; then their mono times are compared, and
 * the state of a signal is old until the next value. */
static uint32_t hash_boot(int64_t device, uint64_t boot)
{
	uint64_t x = boot ^ (uint64_t)device * 0x9e3779b97f4a7c15u;

	if (!boot)
		return 0;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	x >>= 34;
	return x ? (uint32_t)x : 1;
}

/* Times are anyone's: differences wrap. */
static int64_t wrap_sub(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t order_of(const struct live_value *v, const struct stream_row *row)
{
	if (row->quality == CLOCK_SYNCED)
		return v->wall_ns;
	if (row->news)
		return row->received.ns;
	return v->wall_ns <= row->received.ns ? v->wall_ns : 0;
}

void live_stamp(struct live_value *v, size_t n, const struct stream_row *row)
{
	uint32_t boot = hash_boot(row->device, row->boot);

	for (size_t i = 0; i < n; i++) {
		v[i].boot = boot & 0x3fffffff;
		v[i].quality = (unsigned)row->quality & 3;
		v[i].mono_ns = wrap_sub(v[i].wall_ns, row->clock_ns);
		v[i].wall_ns = (int64_t)((uint64_t)v[i].wall_ns + (uint64_t)row->shift_ns);
		v[i].order_ns = order_of(&v[i], row);
	}
}

bool live_is_newer(const struct live_value *a, const struct live_value *b, int64_t limit_ns)
{
	if (a->boot && a->boot == b->boot)
		return a->mono_ns >= b->mono_ns;
	return a->order_ns >= b->order_ns || b->order_ns > limit_ns;
}

/* Index of signal, or of where it belongs. */
static size_t find_value(const struct live_values *vs, uint32_t signal)
{
	size_t lo = 0, hi = vs->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (vs->v[mid].signal < signal)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int put_value(struct live_values *vs, const struct live_value *v, int64_t limit_ns)
{
	size_t i = find_value(vs, v->signal);
	int r;

	if (i < vs->n && vs->v[i].signal == v->signal) {
		if (live_is_newer(v, &vs->v[i], limit_ns))
			vs->v[i] = *v;
		return 0;
	}
	r = reserve(vs, 1);
	if (r < 0)
		return r;
	memmove(&vs->v[i + 1], &vs->v[i], (vs->n - i) * sizeof(*vs->v));
	vs->v[i] = *v;
	vs->n++;
	return 0;
}

/* ---- vehicles ---- */

static struct live_vehicle *find_vehicle(const struct live *l, int64_t key)
{
	return table_get(&l->vehicles, &key, sizeof(key));
}

static struct live_vehicle *get_vehicle(struct live *l, int64_t key)
{
	struct live_vehicle *v = find_vehicle(l, key);

	if (v)
		return v;
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->key = key;
	if (table_put(&l->vehicles, &v->key, sizeof(v->key), v) < 0) {
		free(v);
		return NULL;
	}
	return v;
}

static struct live_slot *get_slot(struct live *l, struct live_vehicle *v, const struct catalog *cat)
{
	struct live_slot *oldest = &v->slot[0];

	for (size_t i = 0; i < v->n_slots; i++) {
		if (v->slot[i].cat == cat)
			return &v->slot[i];
		if (v->slot[i].used < oldest->used)
			oldest = &v->slot[i];
	}
	if (v->n_slots < LIVE_CATALOGS_MAX)
		oldest = &v->slot[v->n_slots++];
	oldest->cat = cat;
	oldest->values.n = 0;
	oldest->used = l->turn;
	return oldest;
}

static void mark_dirty(struct live *l, struct live_vehicle *v)
{
	if (v->dirty)
		return;
	v->dirty = true;
	v->next_dirty = NULL;
	*l->dirty_end = v;
	l->dirty_end = &v->next_dirty;
	l->n_dirty++;
}

static int apply_locked(struct live *l, int64_t vehicle, const struct catalog *cat,
			const struct live_value *v, size_t n, int64_t limit_ns)
{
	struct live_vehicle *lv = get_vehicle(l, vehicle);
	struct live_slot *slot;
	int r = 0;

	if (!lv)
		return -ENOMEM;
	slot = get_slot(l, lv, cat);
	slot->used = ++l->turn;
	for (size_t i = 0; i < n && r == 0; i++)
		r = put_value(&slot->values, &v[i], limit_ns);
	mark_dirty(l, lv);
	return r;
}

int live_apply(struct live *l, int64_t vehicle, const struct catalog *cat,
	       const struct live_value *v, size_t n, struct wall_time received)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = apply_locked(l, vehicle, cat, v, n, received.ns + LIVE_FUTURE_MAX_S * NS_PER_S);
	pthread_mutex_unlock(&l->lock);
	return r;
}

static void repair_value(struct live_value *v, int64_t clock_ns, enum clock_quality q)
{
	int64_t wall;

	if (__builtin_add_overflow(v->mono_ns, clock_ns, &wall) || wall < 0)
		return;
	v->wall_ns = wall;
	v->quality = (unsigned)q & 3;
	if (q == CLOCK_SYNCED)
		v->order_ns = wall;
}

static void repair_slot(struct live_slot *s, uint32_t boot, int64_t clock_ns, enum clock_quality q)
{
	for (size_t i = 0; i < s->values.n; i++) {
		struct live_value *v = &s->values.v[i];

		if (v->boot == boot && v->quality < (unsigned)q)
			repair_value(v, clock_ns, q);
	}
}

void live_set_clock(struct live *l, int64_t vehicle, int64_t device, uint64_t boot,
		    int64_t clock_ns, enum clock_quality q)
{
	struct live_vehicle *v;

	pthread_mutex_lock(&l->lock);
	v = find_vehicle(l, vehicle);
	for (size_t i = 0; v && i < v->n_slots; i++)
		repair_slot(&v->slot[i], hash_boot(device, boot), clock_ns, q);
	if (v)
		mark_dirty(l, v);
	pthread_mutex_unlock(&l->lock);
}

static void unlink_dirty(struct live *l, struct live_vehicle *v)
{
	struct live_vehicle **p = &l->dirty;

	if (!v->dirty)
		return;
	while (*p != v)
		p = &(*p)->next_dirty;
	*p = v->next_dirty;
	if (!*p)
		l->dirty_end = p;
	l->n_dirty--;
	v->dirty = false;
}

void live_forget(struct live *l, int64_t vehicle)
{
	struct live_vehicle *v;

	pthread_mutex_lock(&l->lock);
	v = table_remove(&l->vehicles, &vehicle, sizeof(vehicle));
	if (v)
		unlink_dirty(l, v);
	pthread_mutex_unlock(&l->lock);
	free_vehicle(v);
}

/* ---- snapshots ---- */

static int copy_slot(struct live_snapshot *s, const struct live_slot *slot)
{
	struct live_value *copy = malloc((slot->values.n ? slot->values.n : 1) * sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	if (slot->values.n)
		memcpy(copy, slot->values.v, slot->values.n * sizeof(*copy));
	s->slot[s->n].cat = slot->cat;
	s->slot[s->n].v = copy;
	s->slot[s->n].n = slot->values.n;
	s->n++;
	return 0;
}

int live_get(struct live *l, int64_t vehicle, struct live_snapshot *ret)
{
	struct live_snapshot s = {0};
	const struct live_vehicle *v;
	int r = 0;

	pthread_mutex_lock(&l->lock);
	v = find_vehicle(l, vehicle);
	for (size_t i = 0; v && i < v->n_slots && r == 0; i++)
		r = copy_slot(&s, &v->slot[i]);
	pthread_mutex_unlock(&l->lock);
	if (!v)
		return -ENOENT;
	if (r < 0) {
		live_snapshot_free(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void live_snapshot_free(struct live_snapshot *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->slot[i].v);
	*s = (struct live_snapshot){0};
}

size_t live_catalogs(struct live *l, int64_t vehicle, const struct catalog *ret[LIVE_CATALOGS_MAX])
{
	const struct live_vehicle *v;
	uint64_t used[LIVE_CATALOGS_MAX];
	size_t n = 0;

	pthread_mutex_lock(&l->lock);
	v = find_vehicle(l, vehicle);
	for (; v && n < v->n_slots; n++) {
		size_t i = n;

		for (; i > 0 && used[i - 1] < v->slot[n].used; i--) {
			used[i] = used[i - 1];
			ret[i] = ret[i - 1];
		}
		used[i] = v->slot[n].used;
		ret[i] = v->slot[n].cat;
	}
	pthread_mutex_unlock(&l->lock);
	return n;
}

/* ---- blobs: version, then a slot each: catalog id, count, values as varints ----
 *
 * Of a value: signal, wall time, raw; from version 2 on also boot and quality, the clock (wall -
 * mono), and by what order_ns is above the wall time. Signal, times and clock as differences to the
 * value before, boot and quality as bits that differ from there. */

struct blob_state {
	uint64_t signal, wall, clock, stamp; /* of the value before */
};

static uint64_t stamp_of(const struct live_value *v)
{
	return (uint64_t)v->boot << 2 | v->quality;
}

static void encode_value(const struct live_value *v, struct blob_state *b, struct buf *out)
{
	uint64_t wall = (uint64_t)v->wall_ns, clock = wall - (uint64_t)v->mono_ns;

	(void)buf_put_varint(out, v->signal - b->signal);
	(void)buf_put_varint(out, zigzag_encode((int64_t)(wall - b->wall)));
	(void)buf_put_varint(out, v->raw);
	(void)buf_put_varint(out, stamp_of(v) ^ b->stamp);
	(void)buf_put_varint(out, zigzag_encode((int64_t)(clock - b->clock)));
	(void)buf_put_varint(out, zigzag_encode(wrap_sub(v->order_ns, v->wall_ns)));
	*b = (struct blob_state){v->signal, wall, clock, stamp_of(v)};
}

static int encode_vehicle(const struct live_vehicle *v, struct buf *out)
{
	buf_clear(out);
	(void)buf_put_varint(out, BLOB_VERSION);
	for (size_t i = 0; i < v->n_slots; i++) {
		const struct live_values *vs = &v->slot[i].values;
		struct blob_state b = {0};

		(void)buf_put_fixed64(out, v->slot[i].cat->id);
		(void)buf_put_varint(out, vs->n);
		for (size_t j = 0; j < vs->n; j++)
			encode_value(&vs->v[j], &b, out);
	}
	return out->failed;
}

int live_save(struct live *l, size_t max,
	      int (*put)(void *ctx, int64_t vehicle, const void *blob, size_t len), void *ctx)
{
	int saved = 0;

	/* Only this thread changes vehicles: reading them needs no lock. */
	while (l->dirty && (size_t)saved < max) {
		struct live_vehicle *v = l->dirty;
		int r = encode_vehicle(v, &l->scratch);

		if (r == 0)
			r = put(ctx, v->key, l->scratch.data, l->scratch.len);
		if (r < 0)
			return r;
		unlink_dirty(l, v);
		saved++;
	}
	return saved;
}

void live_unsave_all(struct live *l)
{
	for (size_t i = 0; i < l->vehicles.cap; i++) {
		if (l->vehicles.slots[i].value)
			mark_dirty(l, l->vehicles.slots[i].value);
	}
}

size_t live_unsaved(const struct live *l)
{
	return l->n_dirty;
}

static struct live_value decode_value(struct cursor *c, uint64_t version, struct blob_state *b)
{
	struct live_value v = {.quality = CLOCK_SYNCED};

	b->signal += cursor_varint(c);
	b->wall += (uint64_t)zigzag_decode(cursor_varint(c));
	v.signal = (uint32_t)b->signal;
	v.wall_ns = v.order_ns = (int64_t)b->wall;
	v.raw = cursor_varint(c);
	if (version < 2)
		return v;
	b->stamp ^= cursor_varint(c);
	b->clock += (uint64_t)zigzag_decode(cursor_varint(c));
	v.boot = b->stamp >> 2 & 0x3fffffff;
	v.quality = b->stamp & 3;
	v.mono_ns = (int64_t)(b->wall - b->clock);
	v.order_ns = (int64_t)(b->wall + (uint64_t)zigzag_decode(cursor_varint(c)));
	return v;
}

/* Reads one slot; with cat NULL its values are passed over. */
static int restore_slot(struct live *l, struct cursor *c, uint64_t version, int64_t vehicle,
			const struct catalog *cat)
{
	uint64_t n = cursor_varint(c);
	struct blob_state b = {0};

	for (uint64_t i = 0; i < n && !c->failed; i++) {
		struct live_value v = decode_value(c, version, &b);
		int r = 0;

		if (c->failed || (cat && b.signal >= cat->n_signals))
			return -EBADMSG;
		if (cat)
			r = apply_locked(l, vehicle, cat, &v, 1, INT64_MAX);
		if (r < 0)
			return r;
	}
	return c->failed ? -EBADMSG : 0;
}

int live_restore(struct live *l, struct registry *reg, int64_t vehicle, const void *blob,
		 size_t len)
{
	struct cursor c = cursor_of(len ? blob : "", len);
	uint64_t version = cursor_varint(&c);
	struct live_vehicle *v;
	int r = 0;

	if (version < 1 || version > BLOB_VERSION)
		return -EBADMSG;
	pthread_mutex_lock(&l->lock);
	while (r == 0 && cursor_left(&c) > 0) {
		const struct catalog *cat = NULL;

		r = registry_get_catalog(reg, cursor_fixed64(&c), &cat);
		if (r == 0 || r == -ENOENT)
			r = restore_slot(l, &c, version, vehicle, cat);
	}
	v = find_vehicle(l, vehicle);
	if (v)
		unlink_dirty(l, v);
	pthread_mutex_unlock(&l->lock);
	return r;
}
