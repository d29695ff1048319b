#include "agent/publish/flight_private.h"

enum {
	BACKOFF_FIRST_MS = 1000,
	BACKOFF_MAX_MS = 5 * 60 * 1000,
	RETRY_AFTER_MAX_S = 24 * 60 * 60, /* a relay that says more is not believed */
	RECEIPT_WAIT_MAX_MS = 15 * 60 * 1000,
	DOUBLINGS_MAX = 8,
	JITTER_PERCENT = 20,
	GRACE_MS = 1000, /* five times what the relay takes to put receipts together */
	FAST_MAX = 3,	 /* times that a row is sent again so, before it waits for its timeout */
	BEHIND_ROWS = 2,
	BEHIND_S = 60,
	PROBE_FIRST = 4, /* parts of the receipt timeout */
	PROBE_MOST = 2,
	REASON_NO_SUBSCRIBER = 0x10,
	REASON_REFUSED = 0x80, /* and above */
};

int flight_new(struct flight **ret, const struct flight_options *opt)
{
	struct flight *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	assert(opt->rows_max <= FLIGHT_ROWS_MAX);
	w->opt = *opt;
	w->random = opt->seed | 1;
	window_init(&w->window, &(struct window_options){opt->rows_max, opt->bytes_max});
	flight_forget_all(w);
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

/* ---- lanes ---- */

void flight_reset(struct flight *w, const uint64_t last[static CLASS_COUNT])
{
	flight_forget_all(w);
	window_reset(&w->window);
	w->turn = w->answered = 0;
	w->heard = false;
	w->probes = 0;
	w->in_time.ns = 0;
	for (unsigned lane = 0; lane < LANES; lane++)
		w->cursor[lane] = lane_is_fresh(lane) ? last[lane] : 0;
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		w->last[k] = last[k];
}

static void settle(struct flight *w, enum uplink_class class, uint64_t last)
{
	uint64_t *fresh = &w->cursor[lane_of(class, true)];

	w->last[class] = last;
	if (*fresh < last)
		*fresh = last;
}

void flight_settle(struct flight *w, const uint64_t last[static CLASS_COUNT])
{
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		settle(w, (enum uplink_class)k, last[k]);
}

bool flight_freshen(struct flight *w, uint64_t last, struct mono_time now)
{
	bool behind = last > w->cursor[lane_of(CLASS_LIVE, true)] + BEHIND_ROWS;

	if (!behind || w->in_time.ns == 0)
		w->in_time = now;
	if (now.ns - w->in_time.ns < BEHIND_S * NS_PER_S)
		return false;
	settle(w, CLASS_LIVE, last - 1);
	w->in_time = now;
	return true;
}

void flight_sweep(struct flight *w, enum uplink_class class)
{
	uint64_t fresh = w->cursor[lane_of(class, true)];

	if (fresh > w->last[class])
		w->last[class] = fresh;
	w->cursor[lane_of(class, false)] = 0;
}

struct flight_span flight_span(const struct flight *w, unsigned lane)
{
	return (struct flight_span){w->cursor[lane],
				    lane_is_fresh(lane) ? UINT64_MAX : w->last[lane_class(lane)]};
}

void flight_pass(struct flight *w, unsigned lane, uint64_t seq)
{
	if (seq > w->cursor[lane])
		w->cursor[lane] = seq;
}

void flight_rewind(struct flight *w, enum uplink_class class, uint64_t seq)
{
	uint64_t *cursor = &w->cursor[lane_of(class, seq > w->last[class])];

	if (*cursor >= seq)
		*cursor = seq - 1;
}

/* ---- how much ---- */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many rows at once; few while nobody answers: they may all have to be sent again. */
static size_t rows_allowed(const struct flight *w, enum uplink_class class)
{
	size_t max = window_rows(&w->window), quiet = window_rows_first(&w->window) / 4;

	if (!w->heard || w->probes > 0)
		return flight_is_urgent(class) ? smaller(2 * quiet, max) : quiet;
	return flight_is_urgent(class) ? max : max - max / 4;
}

/* Urgent rows find room whatever the others have taken. */
static bool has_room(size_t used, size_t urgent, size_t max, enum uplink_class class)
{
	return used == 0 || used < max || (flight_is_urgent(class) && urgent < max / 4);
}

/* A window that refused bulk has made small still has room for some urgent rows. */
static bool has_rows(const struct flight *w, enum uplink_class class)
{
	size_t allowed = rows_allowed(w, class), kept = allowed / 4;

	if (kept < WINDOW_ROWS_MIN)
		kept = smaller(WINDOW_ROWS_MIN, w->opt.rows_max / 4);
	return w->n < allowed || (flight_is_urgent(class) && w->urgent_rows < kept);
}

bool flight_admits(const struct flight *w, enum uplink_class class)
{
	return w->n < w->opt.rows_max && has_rows(w, class) &&
	       has_room(w->bytes, w->urgent, window_bytes(&w->window), class);
}

bool flight_wire_admits(const struct flight *w, enum uplink_class class, struct mono_time now)
{
	return has_room(w->wire, w->urgent_wire, window_wire(&w->window, now), class);
}

/* ---- times ---- */

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

static void set_due(struct flight *w, struct entry *e, int64_t ns)
{
	e->due.ns = ns;
	if (ns < w->earliest_ns)
		w->earliest_ns = ns;
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

static void set_probe(struct flight *w, struct mono_time now)
{
	w->probe_due.ns = now.ns + with_jitter(w, probe_wait(w));
}

/* ---- sending ---- */

static void note_asking(struct flight *w, const struct entry *e, struct mono_time now)
{
	if (!is_asking(w)) {
		w->probes = 0;
		set_probe(w, now);
	}
	if (!e || !can_probe(e) || !probe_is_due(w, now))
		return;
	window_silent(&w->window);
	w->probes++;
	set_probe(w, now);
}

/* No answer for the whole of its timeout, or others were answered: it was lost. */
static void note_loss(struct flight *w, const struct entry *e, struct mono_time now)
{
	if (e->overtaken || (can_probe(e) && e->due.ns <= now.ns))
		window_lost(&w->window, e->last, w->turn);
}

void flight_sent(struct flight *w, const struct flight_row *row, struct mono_time now)
{
	struct entry *e = flight_find(w, lane_class(row->lane), row->seq);

	w->turn++;
	note_asking(w, e, now);
	if (e) {
		note_loss(w, e, now);
		e->through = row->through;
	} else {
		e = flight_add(w, row);
	}
	e->context = row->context;
	flight_set_on_wire(w, e, false);
	flight_set_bytes(w, e, row->bytes);
	e->mark = window_sent(&w->window, w->wire, row->bytes, now);
	flight_set_on_wire(w, e, true);
	e->last = w->turn;
	/* From its PUBACK on; this is for a broker that owes it. */
	set_due(w, e, now.ns + larger(RECEIPT_WAIT_MAX_MS * NS_PER_MS, receipt_wait(w, e->sent)));
	e->sent++;
	e->deferred = e->overtaken = e->with_broker = false;
}

/* Bit 1 << class: there is room on the wire. */
static unsigned admitted(const struct flight *w, struct mono_time now)
{
	unsigned classes = 0;

	for (unsigned k = 0; k < CLASS_COUNT; k++)
		if (flight_wire_admits(w, (enum uplink_class)k, now))
			classes |= 1u << k;
	return classes;
}

static bool is_admitted(const struct entry *e, unsigned classes)
{
	return classes & 1u << flight_class_of(e);
}

/* In a silence the probes ask for all. */
static bool keeps_own_time(const struct flight *w, const struct entry *e)
{
	return w->probes == 0 || !can_probe(e);
}

static bool comes_before(const struct entry *a, const struct entry *b)
{
	return !b || flight_class_of(a) < flight_class_of(b) ||
	       (flight_class_of(a) == flight_class_of(b) && a->seq < b->seq);
}

static unsigned add_due(unsigned lanes, const struct entry *e, uint64_t seqs[static LANES])
{
	unsigned bit = 1u << e->lane;

	if (!(lanes & bit) || e->seq < seqs[e->lane])
		seqs[e->lane] = e->seq;
	return lanes | bit;
}

unsigned flight_due(struct flight *w, struct mono_time now, uint64_t ret_seqs[static LANES])
{
	unsigned lanes = 0, classes = admitted(w, now);
	const struct entry *probe = NULL;
	int64_t earliest = INT64_MAX;

	if (w->earliest_ns > now.ns && !probe_is_due(w, now))
		return 0;
	for (size_t i = 0; i < w->n; i++) {
		const struct entry *e = &w->entries[i];

		earliest = e->due.ns < earliest ? e->due.ns : earliest;
		if (!is_admitted(e, classes))
			continue;
		if (keeps_own_time(w, e) && e->due.ns <= now.ns)
			lanes = add_due(lanes, e, ret_seqs);
		if (can_probe(e) && comes_before(e, probe))
			probe = e;
	}
	w->earliest_ns = earliest;
	if (lanes == 0 && probe && probe_is_due(w, now))
		lanes = add_due(lanes, probe, ret_seqs);
	return lanes;
}

bool flight_next_due(const struct flight *w, struct mono_time now, struct mono_time *ret)
{
	struct mono_time next = {INT64_MAX};
	unsigned classes = admitted(w, now);

	for (size_t i = 0; i < w->n; i++) {
		const struct entry *e = &w->entries[i];

		if (!is_admitted(e, classes))
			continue;
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

/* ---- answers ---- */

static void defer(struct flight *w, struct entry *e, int64_t at_least_ns, struct mono_time now)
{
	int64_t ns = doubled(at_least_ns, e->refused), max = BACKOFF_MAX_MS * NS_PER_MS;

	if (ns > max)
		ns = max > at_least_ns ? max : at_least_ns;
	set_due(w, e, now.ns + with_jitter(w, ns));
	window_lost(&w->window, e->last, w->turn);
	e->refused++;
	e->deferred = true;
	e->sent = e->fast = 0; /* somebody is there */
}

static bool relay_may_answer(const struct flight *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (can_probe(&w->entries[i]))
			return true;
	return false;
}

static void note_puback(struct flight *w, struct entry *e, struct mono_time now)
{
	if (!relay_may_answer(w)) /* what a slow link took is no silence of the relay */
		set_probe(w, now);
	e->with_broker = true;
	e->puback_at = now;
	set_due(w, e, now.ns + with_jitter(w, receipt_wait(w, e->sent - 1)));
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
	struct entry *e = flight_find(w, class, seq);

	if (!e)
		return;
	if (e->on_wire)
		window_delivered(&w->window, &e->mark, e->bytes, now);
	flight_set_on_wire(w, e, false);
	if (reason == REASON_NO_SUBSCRIBER || reason >= REASON_REFUSED)
		defer(w, e, BACKOFF_FIRST_MS * NS_PER_MS, now);
	else if (is_waiting(e))
		note_puback(w, e, now);
}

void flight_nack(struct flight *w, enum uplink_class class, uint64_t seq, uint32_t retry_after_s,
		 struct mono_time now)
{
	struct entry *e = flight_find(w, class, seq);
	int64_t ns = (int64_t)smaller(retry_after_s, RETRY_AFTER_MAX_S) * NS_PER_S;

	if (!e)
		return;
	note_answer(w, e, now);
	if (ns < BACKOFF_FIRST_MS * NS_PER_MS)
		ns = BACKOFF_FIRST_MS * NS_PER_MS;
	defer(w, e, ns, now);
}

static void send_at_once(struct flight *w, struct entry *e, struct mono_time now)
{
	e->sent = e->refused = e->fast = 0;
	e->deferred = true;
	set_due(w, e, now.ns);
}

void flight_replaced(struct flight *w, enum uplink_class class, uint64_t seq, struct mono_time now)
{
	struct entry *e = flight_find(w, class, seq);

	if (e)
		send_at_once(w, e, now);
}

size_t flight_unread(struct flight *w, enum uplink_class class, uint32_t context,
		     struct mono_time now)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct entry *e = &w->entries[i];

		if (flight_class_of(e) != class || e->context != context)
			continue;
		send_at_once(w, e, now);
		n++;
	}
	return n;
}

/* answered: when; NULL: they were not. */
static size_t remove_range(struct flight *w, enum uplink_class class, uint64_t from, uint64_t to,
			   const struct mono_time *answered)
{
	size_t removed = 0, i = 0;

	while (i < w->n) {
		struct entry *e = &w->entries[i];

		if (flight_class_of(e) != class || e->seq < from || e->seq > to ||
		    (answered && e->through > to)) {
			i++;
			continue;
		}
		if (answered) {
			note_answer(w, e, *answered);
			w->acked_rows++;
			w->acked_bytes += e->bytes;
		}
		flight_drop(w, e);
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
		set_due(w, e, due);
}

static void grow(struct flight *w)
{
	window_acked(&w->window, w->acked_rows, w->acked_bytes, w->n + w->acked_rows,
		     w->bytes + w->acked_bytes);
	w->acked_rows = w->acked_bytes = 0;
}

bool flight_heard(struct flight *w, struct mono_time now)
{
	bool silence = w->probes > 0;

	grow(w);
	for (size_t i = 0; i < w->n; i++) {
		struct entry *e = &w->entries[i];

		if (!can_probe(e) || e->fast >= FAST_MAX)
			continue;
		if (silence || e->last < w->answered)
			overtake(w, e, now);
	}
	w->heard = true;
	w->probes = 0;
	set_probe(w, now);
	return silence;
}

/* ---- what it is ---- */

size_t flight_rows(const struct flight *w)
{
	return w->n;
}

size_t flight_bytes(const struct flight *w)
{
	return w->bytes;
}

size_t flight_wire(const struct flight *w)
{
	return w->wire;
}

bool flight_holds(const struct flight *w, enum uplink_class class, uint64_t seq)
{
	return flight_find(w, class, seq) != NULL;
}

const struct window *flight_window(const struct flight *w)
{
	return &w->window;
}
