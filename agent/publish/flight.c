#include "agent/publish/flight.h"

enum {
	BACKOFF_FIRST_MS = 1000,
	BACKOFF_MAX_MS = 5 * 60 * 1000,
	RECEIPT_WAIT_MAX_MS = 15 * 60 * 1000,
	DOUBLINGS_MAX = 8,
	JITTER_PERCENT = 20,
	GRACE_MS = 1000, /* five times what the relay takes to put receipts together */
	FAST_MAX = 3,	 /* times that a row is sent again so, before it waits for its timeout */
	PROBE_FIRST = 4, /* parts of the receipt timeout */
	PROBE_MOST = 2,
	REASON_NO_SUBSCRIBER = 0x10,
	REASON_REFUSED = 0x80, /* and above */
};

struct entry {
	enum uplink_class class;
	uint64_t seq;
	size_t bytes;
	struct mono_time due;
	uint64_t first, last; /* turns: of its first and its latest publish */
	struct mono_time puback_at;
	unsigned sent;	  /* times without an answer */
	unsigned refused; /* times in a row */
	unsigned fast;	  /* times that it was overtaken */
	bool deferred;	  /* due is a backoff; else a receipt may still come */
	bool with_broker; /* PUBACK: the receipt cannot come before it */
	bool overtaken;
};

struct flight {
	struct flight_options opt;
	uint64_t random;
	uint64_t cursor[CLASS_COUNT];
	size_t bytes;
	size_t n;
	struct entry *entries; /* rows_max; in no order */

	uint64_t turn;	   /* publishes in this connection */
	uint64_t answered; /* latest first publish of whatever was answered */
	int64_t lag_ns;	   /* from PUBACK to receipt, as it was lately */
	bool heard;	   /* there was a receipt in this connection */
	unsigned probes;   /* in a row without a receipt; above 0: silence */
	struct mono_time probe_due;
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
	w->turn = w->answered = 0;
	w->heard = false;
	w->probes = 0;
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

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many rows at once while nobody answers: they may all have to be sent again. */
static size_t rows_allowed(const struct flight *w, enum uplink_class class)
{
	size_t max = w->opt.rows_max, quiet = max / 4;

	if (!w->heard || w->probes > 0)
		return is_urgent(class) ? smaller(2 * quiet, max) : quiet;
	return is_urgent(class) ? max : max - max / 4;
}

bool flight_admits(const struct flight *w, enum uplink_class class)
{
	return w->n < rows_allowed(w, class) && (w->bytes < w->opt.bytes_max || w->n == 0);
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

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* A relay that is late is not made later by repeats. Half the receipt timeout at most: what a
 * relay's return costs a vehicle that waits for it. */
static int64_t probe_wait(const struct flight *w)
{
	int64_t ns = doubled(w->opt.receipt_timeout_ns / PROBE_FIRST, w->probes);
	int64_t max = w->opt.receipt_timeout_ns / PROBE_MOST;

	ns = larger(ns, 2 * w->lag_ns);
	return ns < max ? ns : max;
}

static bool is_waiting(const struct entry *e)
{
	return !e->deferred && !e->overtaken;
}

/* A publish that the broker has not confirmed is still under way: no use in another. */
static bool can_probe(const struct entry *e)
{
	return is_waiting(e) && e->with_broker;
}

static bool is_asking(const struct flight *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (is_waiting(&w->entries[i]))
			return true;
	return false;
}

static bool probe_is_due(const struct flight *w, struct mono_time now)
{
	return w->probe_due.ns <= now.ns;
}

static struct entry *add(struct flight *w, enum uplink_class class, uint64_t seq, size_t bytes)
{
	struct entry *e = &w->entries[w->n];

	assert(w->n < w->opt.rows_max);
	w->n++;
	*e = (struct entry){.class = class, .seq = seq, .bytes = bytes, .first = w->turn};
	w->bytes += bytes;
	if (seq > w->cursor[class])
		w->cursor[class] = seq;
	return e;
}

void flight_sent(struct flight *w, enum uplink_class class, uint64_t seq, size_t bytes,
		 struct mono_time now)
{
	struct entry *e = find(w, class, seq);

	w->turn++;
	if (!is_asking(w)) {
		w->probes = 0;
		w->probe_due.ns = now.ns + with_jitter(w, probe_wait(w));
	}
	if (!e) {
		e = add(w, class, seq, bytes);
	} else if (can_probe(e) && probe_is_due(w, now)) {
		w->probes++;
		w->probe_due.ns = now.ns + with_jitter(w, probe_wait(w));
	}
	e->last = w->turn;
	e->due.ns = now.ns + with_jitter(w, receipt_wait(w, e->sent));
	e->sent++;
	e->deferred = e->overtaken = e->with_broker = false;
}

/* In a silence the probes ask for all. */
static bool keeps_own_time(const struct flight *w, const struct entry *e)
{
	return w->probes == 0 || !can_probe(e);
}

static bool comes_before(const struct entry *a, const struct entry *b)
{
	return !b || a->class < b->class || (a->class == b->class && a->seq < b->seq);
}

bool flight_due(const struct flight *w, struct mono_time now, struct flight_id *ret)
{
	const struct entry *first = NULL, *probe = NULL;

	for (size_t i = 0; i < w->n; i++) {
		const struct entry *e = &w->entries[i];

		if (keeps_own_time(w, e) && e->due.ns <= now.ns && comes_before(e, first))
			first = e;
		if (can_probe(e) && comes_before(e, probe))
			probe = e;
	}
	if (!first && probe_is_due(w, now))
		first = probe;
	if (!first)
		return false;
	*ret = (struct flight_id){first->class, first->seq};
	return true;
}

bool flight_next_due(const struct flight *w, struct mono_time *ret)
{
	struct mono_time next = {INT64_MAX};

	for (size_t i = 0; i < w->n; i++) {
		const struct entry *e = &w->entries[i];

		if (keeps_own_time(w, e) && e->due.ns < next.ns)
			next = e->due;
		if (can_probe(e) && w->probe_due.ns < next.ns)
			next = w->probe_due;
	}
	if (next.ns == INT64_MAX)
		return false;
	*ret = next;
	return true;
}

static void defer(struct flight *w, struct entry *e, int64_t at_least_ns, struct mono_time now)
{
	int64_t ns = doubled(at_least_ns, e->refused), max = BACKOFF_MAX_MS * NS_PER_MS;

	if (ns > max)
		ns = max > at_least_ns ? max : at_least_ns;
	e->due.ns = now.ns + with_jitter(w, ns);
	e->refused++;
	e->deferred = true;
	e->sent = e->fast = 0; /* somebody is there */
}

static void note_puback(struct entry *e, struct mono_time now)
{
	e->with_broker = true;
	e->puback_at = now;
}

/* Rises at once, falls slowly. At most what still lets a silence be noticed. */
static void note_lag(struct flight *w, int64_t ns)
{
	int64_t max = w->opt.receipt_timeout_ns / PROBE_FIRST;

	ns = ns < max ? ns : max;
	w->lag_ns = larger(ns, w->lag_ns - w->lag_ns / 8 + ns / 8);
}

/* Of a row that was sent several times nobody knows which one was answered: the first, to be
 * safe. */
static void note_answer(struct flight *w, const struct entry *e, struct mono_time now)
{
	if (e->with_broker && e->first == e->last)
		note_lag(w, now.ns - e->puback_at.ns);
	if (e->first > w->answered)
		w->answered = e->first;
}

void flight_puback(struct flight *w, enum uplink_class class, uint64_t seq, int reason,
		   struct mono_time now)
{
	struct entry *e = find(w, class, seq);

	if (!e)
		return;
	if (reason == REASON_NO_SUBSCRIBER || reason >= REASON_REFUSED)
		defer(w, e, BACKOFF_FIRST_MS * NS_PER_MS, now);
	else
		note_puback(e, now);
}

void flight_nack(struct flight *w, enum uplink_class class, uint64_t seq, uint32_t retry_after_s,
		 struct mono_time now)
{
	struct entry *e = find(w, class, seq);
	int64_t ns = (int64_t)retry_after_s * NS_PER_S;

	if (!e)
		return;
	note_answer(w, e, now);
	if (ns < BACKOFF_FIRST_MS * NS_PER_MS)
		ns = BACKOFF_FIRST_MS * NS_PER_MS;
	defer(w, e, ns, now);
}

/* answered: when; NULL: they were not. */
static size_t remove_range(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to,
			   const struct mono_time *answered)
{
	size_t removed = 0, i = 0;

	while (i < w->n) {
		struct entry *e = &w->entries[i];

		if (e->class != class || e->seq < from || e->seq > to) {
			i++;
			continue;
		}
		if (answered)
			note_answer(w, e, *answered);
		w->bytes -= e->bytes;
		*e = w->entries[--w->n];
		removed++;
	}
	return removed;
}

size_t flight_remove(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to)
{
	return remove_range(w, class, from, to, NULL);
}

size_t flight_acked(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to,
		    struct mono_time now)
{
	return remove_range(w, class, from, to, &now);
}

/* Between one and two graces from now: its receipt may be on the way, and a relay that came back
 * must not hear all vehicles at once. */
static void overtake(struct flight *w, struct entry *e, struct mono_time now)
{
	int64_t grace = larger(GRACE_MS * NS_PER_MS, 2 * w->lag_ns);
	int64_t due = now.ns + grace + grace / 100 * (int64_t)(next_random(w) % 100);

	e->overtaken = true;
	e->fast++;
	if (due < e->due.ns)
		e->due.ns = due;
}

void flight_heard(struct flight *w, struct mono_time now)
{
	bool silence = w->probes > 0;

	for (size_t i = 0; i < w->n; i++) {
		struct entry *e = &w->entries[i];

		if (is_waiting(e) && (silence || e->last < w->answered) && e->fast < FAST_MAX)
			overtake(w, e, now);
	}
	w->heard = true;
	w->probes = 0;
	w->probe_due.ns = now.ns + with_jitter(w, probe_wait(w));
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
