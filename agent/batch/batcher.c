#include "agent/batch/batcher.h"

struct open_batch {
	struct batch_builder *builder; /* NULL: none */
	size_t count;
	struct mono_time opened; /* when the first sample came */
	struct batch_header header;
};

struct batcher {
	struct batch_queue *q;
	struct batcher_options opt;
	struct open_batch open[CLASS_COUNT];
};

int batcher_new(struct batcher **ret, struct batch_queue *q, const struct batcher_options *opt)
{
	struct batcher *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->q = q;
	b->opt = *opt;
	*ret = b;
	return 0;
}

struct batcher *batcher_free(struct batcher *b)
{
	if (!b)
		return NULL;
	for (size_t i = 0; i < CLASS_COUNT; i++)
		if (b->open[i].builder)
			batch_queue_give_back(b->q, b->open[i].builder);
	free(b);
	return NULL;
}

static void close_batch(struct batcher *b, enum uplink_class class)
{
	struct open_batch *o = &b->open[class];
	struct closed_batch closed = {
		.builder = o->builder,
		.class = class,
		.header = o->header,
	};
	size_t samples = o->count;

	o->builder = NULL;
	o->count = 0;
	batch_queue_put(b->q, &closed);
	b->opt.closed(b->opt.ctx, samples);
}

bool batcher_ready(struct batcher *b, unsigned classes)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct open_batch *o = &b->open[k];

		if (!(classes & 1u << k))
			continue;
		if (o->builder && o->count >= b->opt.samples_max)
			close_batch(b, (enum uplink_class)k);
		if (!o->builder)
			o->builder = batch_queue_take(b->q);
		if (!o->builder)
			return false;
	}
	return true;
}

static void open_header(struct batcher *b, struct open_batch *o)
{
	struct clock_pair pair;

	o->opened = batcher_now(b);
	pair = b->opt.fixed ? *b->opt.fixed
			    : clock_pair_read(b->opt.tb, b->opt.header.time_unit_ns);
	o->header = b->opt.header;
	o->header.wall_base_ns = pair.wall_ns;
	o->header.mono_base_ns = pair.mono_ns;
	o->header.clock_quality = clock_quality_read();
}

/* A time that is too far from the first one of the batch begins another batch, if there is a
 * builder for it. */
static int start_over(struct batcher *b, enum uplink_class class)
{
	struct open_batch *o = &b->open[class];

	if (o->count == 0)
		return BATCH_FULL;
	close_batch(b, class);
	o->builder = batch_queue_take(b->q);
	return o->builder ? 0 : BATCH_FULL;
}

int batcher_add(struct batcher *b, enum uplink_class class, uint32_t message, int64_t mono_ns,
		const struct sample *samples, size_t n)
{
	struct open_batch *o = &b->open[class];
	int r;

	if (!o->builder)
		return BATCH_FULL;
	r = batch_builder_add(o->builder, message, mono_ns, samples, n);
	if (r == BATCH_FULL && start_over(b, class) == 0)
		r = batch_builder_add(o->builder, message, mono_ns, samples, n);
	if (r != 0)
		return r;
	if (o->count == 0)
		open_header(b, o);
	o->count += n;
	return 0;
}

struct mono_time batcher_now(const struct batcher *b)
{
	return timebase_mono(b->opt.tb);
}

void batcher_tick(struct batcher *b, struct mono_time now)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct open_batch *o = &b->open[k];

		if (o->count > 0 && now.ns - o->opened.ns >= b->opt.age_max_ns)
			close_batch(b, (enum uplink_class)k);
	}
}

bool batcher_next_due(const struct batcher *b, struct mono_time *ret)
{
	bool any = false;

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		const struct open_batch *o = &b->open[k];
		int64_t due = o->opened.ns + b->opt.age_max_ns;

		if (o->count == 0 || (any && due >= ret->ns))
			continue;
		ret->ns = due;
		any = true;
	}
	return any;
}

void batcher_flush(struct batcher *b)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		if (b->open[k].count > 0)
			close_batch(b, (enum uplink_class)k);
}

void batcher_keep(struct batcher *b, unsigned classes)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct open_batch *o = &b->open[k];

		if (!o->builder || classes & 1u << k)
			continue;
		if (o->count > 0) {
			close_batch(b, (enum uplink_class)k);
		} else {
			batch_queue_give_back(b->q, o->builder);
			o->builder = NULL;
		}
	}
}

void batcher_set_age_max(struct batcher *b, int64_t ns)
{
	b->opt.age_max_ns = ns;
}
