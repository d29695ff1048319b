#include "agent/publish/contexts.h"

#include <string.h>

enum {
	OFFER_PAUSE = 32, /* envelopes of a lane from one offer to the next */
	WORN_BYTES = 8,	  /* told beside what is always told: another context would pay */
	FIXED_BYTES = 8,  /* of a short envelope that fits well */
};

struct lane {
	struct context offered, known;
	bool has_offered, has_known;
	unsigned since_offer; /* envelopes */
	/* of the latest envelope, for the period */
	uint64_t last_seq;
	int64_t last_mono;
};

struct contexts {
	struct lane lanes[CLASS_COUNT];
};

int contexts_new(struct contexts **ret)
{
	struct contexts *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	for (size_t k = 0; k < CLASS_COUNT; k++)
		c->lanes[k].since_offer = OFFER_PAUSE;
	*ret = c;
	return 0;
}

struct contexts *contexts_free(struct contexts *c)
{
	free(c);
	return NULL;
}

/* By what mono grows from one seq to the next, going by the two latest envelopes; 0: not known, as
 * next to one that has no time. */
static uint64_t measure_period(struct lane *l, const struct envelope *e)
{
	int64_t mono = context_mono(e), grown;
	uint64_t period = 0;

	if (l->last_seq > 0 && e->seq == l->last_seq + 1 &&
	    !__builtin_sub_overflow(mono, l->last_mono, &grown) && grown > 0 && grown < INT32_MAX)
		period = (uint64_t)grown;
	l->last_seq = mono ? e->seq : 0;
	l->last_mono = mono;
	return period;
}

static bool may_offer(const struct lane *l, const struct envelope *e, uint64_t period)
{
	return e->encoding == ENCODING_BATCH && period > 0 && l->since_offer >= OFFER_PAUSE;
}

/* The repeat of an envelope that introduced a context introduces the same. */
static bool repeats_offer(const struct lane *l, const struct envelope *e)
{
	return l->has_offered && !l->has_known && l->offered.seq == e->seq &&
	       l->offered.epoch == e->epoch;
}

static int put_whole(struct lane *l, const struct envelope *e, uint64_t period, struct buf *out)
{
	struct envelope whole = *e;

	if (repeats_offer(l, e)) {
		whole.introduces = l->offered.period + 1;
	} else if (may_offer(l, e, period) && context_make(&l->offered, e, period) == 0) {
		l->has_offered = true;
		l->since_offer = 0;
		whole.introduces = period + 1;
	}
	return envelope_encode(&whole, out);
}

/* A context that fits badly costs less than a whole envelope, but more than another context. */
static bool is_worn(const struct lane *l, const struct envelope *e, size_t len)
{
	return len + l->known.header_len > e->body_len + FIXED_BYTES + WORN_BYTES;
}

int contexts_encode(struct contexts *c, enum uplink_class class, const struct envelope *e,
		    bool again, struct buf *out, uint32_t *ret_id)
{
	struct lane *l = &c->lanes[class];
	uint64_t period = measure_period(l, e);
	size_t start = out->len;
	int r = 0;

	*ret_id = 0;
	if (l->since_offer < OFFER_PAUSE)
		l->since_offer++;
	if (l->has_known && !again)
		r = context_compress(&l->known, e, out);
	if (r > 0 && (!is_worn(l, e, out->len - start) || !may_offer(l, e, period))) {
		*ret_id = l->known.id;
		return 0;
	}
	out->len = start;
	return r < 0 ? r : put_whole(l, e, period, out);
}

void contexts_stored(struct contexts *c, enum uplink_class class, uint32_t id)
{
	struct lane *l = &c->lanes[class];

	if (!l->has_offered || l->offered.id != id)
		return;
	l->known = l->offered;
	l->has_known = true;
	l->has_offered = false;
}

bool contexts_unknown(struct contexts *c, enum uplink_class class, uint32_t id)
{
	struct lane *l = &c->lanes[class];

	if (!l->has_known || l->known.id != id)
		return false;
	l->has_known = false;
	l->since_offer = OFFER_PAUSE;
	return true;
}
