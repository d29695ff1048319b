#include "agent/publish/flight.h"

enum {
	BACKOFF_FIRST_MS = 1000,
	BACKOFF_MAX_MS = 5 * 60 * 1000,
	RECEIPT_WAIT_MAX_MS = 15 * 60 * 1000,
	DOUBLINGS_MAX = 8,
	JITTER_PERCENT = 20,
	REASON_NO_SUBSCRIBER = 0x10,
	REASON_REFUSED = 0x80, /* and above */
};

struct entry {
	enum uplink_class class;
	uint64_t seq;
	size_t bytes;
	struct mono_time due;
	unsigned sent;	  /* times */
	unsigned refused; /* times in a row */
};

struct flight {
	struct flight_options opt;
	uint64_t random;
	uint64_t cursor[CLASS_COUNT];
	size_t bytes;
	size_t n;
	struct entry *entries; /* rows_max; in no order */
};

int flight_new(struct flight **ret, const struct flight_options *opt)
{
	struct flight *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	assert(opt->rows_max >= 4 && opt->rows_max <= FLIGHT_ROWS_MAX);
	w->opt = *opt;
	w->random = opt->seed | 1;
	w->entries = calloc(opt->rows_max, sizeof(*w->entries));
	if (!w->entries)
		return flight_free(w), -ENOMEM;
	*ret = w;
	return 0;
}

struct flight *flight_free(struct flight *w)
{
	if (w) {
		free(w->entries);
		free(w);
	}
	return NULL;
}

void flight_reset(struct flight *w)
{
	w->n = 0;
	w->bytes = 0;
	for (size_t k = 0; k < CLASS_COUNT; k++)
		w->cursor[k] = 0;
}

uint64_t flight_cursor(const struct flight *w, enum uplink_class class)
{
	return w->cursor[class];
}

static bool is_urgent(enum uplink_class class)
{
	return class <= CLASS_LIVE;
}

bool flight_admits(const struct flight *w, enum uplink_class class)
{
	size_t kept = is_urgent(class) ? 0 : w->opt.rows_max / 4;

	return w->n < w->opt.rows_max - kept && (w->bytes < w->opt.bytes_max || w->n == 0);
}

static struct entry *find(const struct flight *w, enum uplink_class class, uint64_t seq)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->entries[i].seq == seq && w->entries[i].class == class)
			return &w->entries[i];
	return NULL;
}

/* xorshift64: spreads vehicles, needs no secrecy. */
static uint64_t next_random(struct flight *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

/* Up to JITTER_PERCENT later. */
static int64_t with_jitter(struct flight *w, int64_t ns)
{
	return ns + ns / 100 * (int64_t)(next_random(w) % (JITTER_PERCENT + 1));
}

static int64_t doubled(int64_t ns, unsigned times)
{
	return ns << (times > DOUBLINGS_MAX ? DOUBLINGS_MAX : times);
}

static int64_t receipt_wait(const struct flight *w, unsigned times)
{
	int64_t first = w->opt.receipt_timeout_ns, ns = doubled(first, times);
	int64_t max = RECEIPT_WAIT_MAX_MS * NS_PER_MS;

	return ns <= max ? ns : max > first ? max : first;
}

void flight_sent(struct flight *w, enum uplink_class class, uint64_t seq, size_t bytes,
		 struct mono_time now)
{
	struct entry *e = find(w, class, seq);

	if (!e) {
		assert(w->n < w->opt.rows_max);
		e = &w->entries[w->n++];
		*e = (struct entry){.class = class, .seq = seq, .bytes = bytes};
		w->bytes += bytes;
		if (seq > w->cursor[class])
			w->cursor[class] = seq;
	}
	e->due.ns = now.ns + with_jitter(w, receipt_wait(w, e->sent));
	e->sent++;
}

bool flight_due(const struct flight *w, struct mono_time now, struct flight_id *ret)
{
	const struct entry *first = NULL;

	for (size_t i = 0; i < w->n; i++) {
		const struct entry *e = &w->entries[i];

		if (e->due.ns > now.ns)
			continue;
		if (!first || e->class < first->class ||
		    (e->class == first->class && e->seq < first->seq))
			first = e;
	}
	if (!first)
		return false;
	*ret = (struct flight_id){first->class, first->seq};
	return true;
}

bool flight_next_due(const struct flight *w, struct mono_time *ret)
{
	for (size_t i = 0; i < w->n; i++)
		if (i == 0 || w->entries[i].due.ns < ret->ns)
			*ret = w->entries[i].due;
	return w->n > 0;
}

static void defer(struct flight *w, struct entry *e, int64_t at_least_ns, struct mono_time now)
{
	int64_t ns = doubled(at_least_ns, e->refused), max = BACKOFF_MAX_MS * NS_PER_MS;

	if (ns > max)
		ns = max > at_least_ns ? max : at_least_ns;
	e->due.ns = now.ns + with_jitter(w, ns);
	e->refused++;
}

void flight_puback(struct flight *w, enum uplink_class class, uint64_t seq, int reason,
		   struct mono_time now)
{
	struct entry *e = find(w, class, seq);

	if (e && (reason == REASON_NO_SUBSCRIBER || reason >= REASON_REFUSED))
		defer(w, e, BACKOFF_FIRST_MS * NS_PER_MS, now);
}

void flight_nack(struct flight *w, enum uplink_class class, uint64_t seq, uint32_t retry_after_s,
		 struct mono_time now)
{
	struct entry *e = find(w, class, seq);
	int64_t ns = (int64_t)retry_after_s * NS_PER_S;

	if (!e)
		return;
	if (ns < BACKOFF_FIRST_MS * NS_PER_MS)
		ns = BACKOFF_FIRST_MS * NS_PER_MS;
	defer(w, e, ns, now);
}

size_t flight_remove(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to)
{
	size_t removed = 0, i = 0;

	while (i < w->n) {
		struct entry *e = &w->entries[i];

		if (e->class != class || e->seq < from || e->seq > to) {
			i++;
			continue;
		}
		w->bytes -= e->bytes;
		*e = w->entries[--w->n];
		removed++;
	}
	return removed;
}

size_t flight_rows(const struct flight *w)
{
	return w->n;
}

size_t flight_bytes(const struct flight *w)
{
	return w->bytes;
}

bool flight_holds(const struct flight *w, enum uplink_class class, uint64_t seq)
{
	return find(w, class, seq) != NULL;
}
