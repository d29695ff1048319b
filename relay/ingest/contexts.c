/* Contexts: what short envelopes refer to (proto/context.h). */
#include "relay/ingest/internal.h"

#include "base/log.h"
#include "proto/context.h"
#include "relay/stream/contexts.h"

#include <string.h>

enum { WHOLE_KEPT_MAX = 256 << 10 };

/* Those of one device: the latest of each class, and some before, for what is still on its way. */
struct known_context {
	enum uplink_class class;
	struct context context;
};

void contexts_forget(struct known_contexts *k)
{
	free(k->of);
	*k = (struct known_contexts){0};
}

static void drop_oldest(struct known_contexts *k, enum uplink_class class)
{
	size_t i = 0;

	while (i < k->n && k->of[i].class != class)
		i++;
	if (i == k->n)
		return;
	k->n--;
	memmove(&k->of[i], &k->of[i + 1], (k->n - i) * sizeof(k->of[0]));
}

static size_t count(const struct known_contexts *k, enum uplink_class class)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++)
		n += k->of[i].class == class;
	return n;
}

static int add(struct known_contexts *k, enum uplink_class class, const struct context *c)
{
	struct known_context *of;

	if (count(k, class) == STREAM_CONTEXTS_MAX)
		drop_oldest(k, class);
	of = realloc(k->of, (k->n + 1) * sizeof(*of)); /* few devices have more than two */
	if (!of)
		return -ENOMEM;
	of[k->n++] = (struct known_context){class, *c};
	k->of = of;
	return 0;
}

static const struct context *find(const struct known_contexts *k, enum uplink_class class,
				  uint32_t id)
{
	for (size_t i = k->n; i-- > 0;)
		if (k->of[i].class == class && k->of[i].context.id == id)
			return &k->of[i].context;
	return NULL;
}

static bool is_same(const struct context *a, const struct context *b)
{
	return a->epoch == b->epoch && a->seq == b->seq && a->period == b->period &&
	       a->header_len == b->header_len && memcmp(a->header, b->header, a->header_len) == 0;
}

/* One that cannot be read is one that is not known: the vehicle sends whole, and offers another. */
static int load_one(void *ctx, enum uplink_class class, const void *bytes, size_t len)
{
	struct sender *s = ctx;
	struct context c;

	if (context_decode(&c, bytes, len) == 0)
		return add(&s->contexts, class, &c);
	log_warn("context_invalid", "vehicle=%s device=%s class=%s bytes=%zu", s->vehicle,
		 s->device, class_name(class), len);
	return 0;
}

static int load(struct ingest *in, struct sender *s)
{
	int e;

	if (s->contexts.loaded || !s->device_key)
		return 0;
	e = stream_each_context(in->stream, s->device_key, load_one, s);
	if (e < 0)
		contexts_forget(&s->contexts);
	else
		s->contexts.loaded = true;
	return e;
}

int context_read(struct ingest *in, struct sender *s, enum uplink_class class,
		 const struct mqtt_message *m, struct envelope *ret, struct error *err)
{
	const struct context *c;
	int64_t seq_less;
	uint32_t id;
	int e = context_peek(m->payload, m->len, &id, &seq_less, err);

	if (e == 0)
		e = load(in, s);
	if (e < 0)
		return e;
	c = find(&s->contexts, class, id);
	if (!c) {
		receipt_unknown_context(in, s, class, id);
		return -ENOENT;
	}
	if (in->whole.cap > WHOLE_KEPT_MAX)
		buf_free(&in->whole);
	buf_clear(&in->whole);
	return context_expand(c, m->payload, m->len, &in->whole, ret, err);
}

int context_keep(struct ingest *in, struct sender *s, enum uplink_class class,
		 const struct envelope *e, uint32_t *ret_id)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(CONTEXT_BYTES_MAX);
	const struct context *known;
	struct context c;
	int r;

	*ret_id = 0;
	if (e->introduces == 0 || context_make(&c, e, e->introduces - 1) < 0)
		return 0;
	r = load(in, s);
	if (r < 0)
		return r;
	known = find(&s->contexts, class, c.id);
	/* Two of one id would be taken for each other. Not named, the vehicle offers another. */
	if (known && !is_same(known, &c))
		return 0;
	*ret_id = c.id;
	if (known)
		return 0;
	sender_touch(in, s); /* so that a rollback forgets it */
	r = context_encode(&c, &bytes);
	if (r == 0)
		r = stream_put_context(in->stream, s->vehicle_key, s->device_key, class, bytes.data,
				       bytes.len);
	return r < 0 ? r : add(&s->contexts, class, &c);
}

uint32_t context_find(struct ingest *in, struct sender *s, enum uplink_class class,
		      const struct envelope *e)
{
	const struct context *known;
	struct context c;

	if (context_make(&c, e, e->introduces - 1) < 0 || load(in, s) < 0)
		return 0;
	known = find(&s->contexts, class, c.id);
	return known && is_same(known, &c) ? c.id : 0;
}
