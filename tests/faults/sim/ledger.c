#include "tests/faults/sim/ledger.h"

#include "base/db.h"
#include "proto/batch.h"
#include "proto/gap.h"
#include "relay/stream/window.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TIME_SLACK_MS = 20, SHOWN_MAX = 5 };

struct lane {
	struct ledger_batch *of;
	size_t n, cap;
};

struct gap_row {
	uint64_t epoch, from, through;
	unsigned reason;
	struct window missing;
};

struct gap_list {
	struct gap_row *of;
	size_t n, cap;
};

/* A set of boots. */
struct boots {
	uint64_t *of;
	size_t n, cap;
};

static struct lane lanes[AGENTS_MAX][CLASS_COUNT];
static struct gap_list gaps[AGENTS_MAX][CLASS_COUNT];
static struct boots lied, known;
static unsigned n_agents;
static int64_t last_restored_ns; /* 0: never */

static void *grow(void *p, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 64;
	p = realloc(p, *cap * size);
	if (!p)
		abort();
	return p;
}

void ledger_open(unsigned agents)
{
	n_agents = agents;
}

void ledger_close(void)
{
	for (unsigned a = 0; a < AGENTS_MAX; a++) {
		for (unsigned k = 0; k < CLASS_COUNT; k++) {
			struct gap_list *g = &gaps[a][k];

			for (size_t i = 0; i < g->n; i++)
				window_free(&g->of[i].missing);
			free(g->of);
			free(lanes[a][k].of);
		}
	}
	free(lied.of);
	free(known.of);
	memset(lanes, 0, sizeof(lanes));
	memset(gaps, 0, sizeof(gaps));
	lied = known = (struct boots){0};
	last_restored_ns = 0;
}

/* ---- what was taken ---- */

static struct ledger_batch *find(uint64_t value, unsigned *ret_index)
{
	unsigned agent = (unsigned)(value >> 56) - 1, class = (unsigned)(value >> 48) & 255;
	uint64_t counter = value & ((UINT64_C(1) << 48) - 1);
	size_t low = 0, high;
	const struct lane *l;

	if (agent >= n_agents || class >= CLASS_COUNT)
		return NULL;
	l = &lanes[agent][class];
	high = l->n;
	while (low < high) { /* the first that begins above it */
		size_t middle = (low + high) / 2;

		if (l->of[middle].first <= counter)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || counter - l->of[low - 1].first >= l->of[low - 1].n)
		return NULL;
	*ret_index = (unsigned)(counter - l->of[low - 1].first);
	return &l->of[low - 1];
}

void ledger_made(unsigned agent, enum uplink_class class, const struct ledger_batch *b)
{
	struct lane *l = &lanes[agent][class];

	assert(b->n >= 1 && b->n <= BATCH_SAMPLES_TOP);
	assert(l->n == 0 || l->of[l->n - 1].first + l->of[l->n - 1].n <= b->first);
	l->of = grow(l->of, l->n, &l->cap, sizeof(*l->of));
	l->of[l->n++] = *b;
}

void ledger_stored(unsigned agent, enum uplink_class class, uint64_t first, uint64_t epoch,
		   uint64_t seq)
{
	unsigned at;
	struct ledger_batch *b = find(ledger_value(agent, class, first), &at);

	assert(b && at == 0 && b->stored_ns == 0);
	b->epoch = epoch;
	b->seq = seq;
	b->stored_ns = sim.now_ns;
}

void ledger_restored(int64_t copied_ns, int64_t restored_ns)
{
	(void)copied_ns;
	last_restored_ns = restored_ns;
}

void ledger_power_cut(unsigned agent, unsigned relaxed, int64_t since_ns)
{
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct lane *l = &lanes[agent][k];

		if (!(relaxed & 1u << k))
			continue;
		for (size_t i = l->n; i > 0; i--) {
			struct ledger_batch *b = &l->of[i - 1];

			if (b->stored_ns > 0 && b->stored_ns < since_ns)
				break;
			b->unsynced = true;
		}
	}
}

static void boots_add(struct boots *b, uint64_t boot)
{
	b->of = grow(b->of, b->n, &b->cap, sizeof(*b->of));
	b->of[b->n++] = boot;
}

static bool boots_has(const struct boots *b, uint64_t boot)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->of[i] == boot)
			return true;
	return false;
}

void ledger_clock_lied(uint64_t boot)
{
	if (!boots_has(&lied, boot))
		boots_add(&lied, boot);
}

void ledger_clock_known(uint64_t boot)
{
	if (!boots_has(&known, boot))
		boots_add(&known, boot);
}

/* ---- what is there: batches ---- */

struct row_look {
	struct verdict *v;
	unsigned agent;
	enum uplink_class class;
	uint64_t epoch, seq;
	int64_t shift_ns;
	bool vouched;
	struct ledger_batch *batch;
};

static void note_wrong(const struct row_look *w, const char *what, uint64_t value, int64_t off_ns)
{
	fprintf(stderr,
		"sim: %s: v%u %s %016" PRIx64 " seq %" PRIu64 " value %" PRIx64 " by %" PRId64
		" ms\n",
		what, w->agent, class_name(w->class), w->epoch, w->seq, value, off_ns / NS_PER_MS);
}

static void look_at_time(struct row_look *w, const struct ledger_batch *b, unsigned i,
			 uint64_t value, int64_t wall_ns)
{
	int64_t true_ns = b->first_ns + (int64_t)i * b->step_ns + SIM_EPOCH_NS;
	int64_t off = wall_ns + w->shift_ns - true_ns;

	if (!w->vouched || boots_has(&lied, b->boot) ||
	    (off <= TIME_SLACK_MS * NS_PER_MS && off >= -TIME_SLACK_MS * NS_PER_MS))
		return;
	if (w->v->bad_times++ < SHOWN_MAX)
		note_wrong(w, "wrong time", value, off);
}

static int look_at_column(void *ctx, const struct batch_column *col)
{
	struct row_look *w = ctx;

	for (size_t i = 0; i < col->n; i++) {
		unsigned at;
		struct ledger_batch *b = find(col->raw[i], &at);

		if (!b || col->raw[i] >> 56 != w->agent + 1 ||
		    (col->raw[i] >> 48 & 255) != (uint64_t)w->class) {
			if (w->v->foreign++ < SHOWN_MAX)
				note_wrong(w, "nobody has stored", col->raw[i], 0);
			continue;
		}
		if (b->delivered & 1u << at && w->v->duplicated++ < SHOWN_MAX)
			note_wrong(w, "duplicated", col->raw[i], 0);
		b->delivered |= 1u << at;
		w->batch = b;
		look_at_time(w, b, at, col->raw[i], col->wall_ns[i]);
	}
	return 0;
}

static void look_at_quality(struct row_look *w)
{
	const struct ledger_batch *b = w->batch;

	if (!b || w->vouched || b->stored_ns < last_restored_ns || !boots_has(&known, b->boot) ||
	    boots_has(&lied, b->boot))
		return;
	if (w->v->unrepaired++ < SHOWN_MAX)
		note_wrong(w, "time not repaired", b->first, 0);
}

static int agent_of(struct registry *reg, int64_t device)
{
	for (unsigned a = 0; a < n_agents; a++) {
		char vehicle[16], name[16];
		struct registry_ids ids;

		(void)snprintf(vehicle, sizeof(vehicle), "v%u", a);
		(void)snprintf(name, sizeof(name), "a%u", a);
		if (registry_find(reg, vehicle, name, &ids) == 0 && ids.device == device)
			return (int)a;
	}
	return -1;
}

static int look_at_row(sqlite3_stmt *st, struct registry *reg, const struct catalog *cat,
		       struct verdict *v)
{
	struct envelope e = {.epoch = (uint64_t)sqlite3_column_int64(st, 1),
			     .seq = (uint64_t)sqlite3_column_int64(st, 3),
			     .encoding = (uint32_t)sqlite3_column_int(st, 4),
			     .body = sqlite3_column_blob(st, 5),
			     .body_len = (size_t)sqlite3_column_bytes(st, 5)};
	int agent = agent_of(reg, sqlite3_column_int64(st, 0));
	struct row_look w = {.v = v,
			     .agent = (unsigned)agent,
			     .class = (enum uplink_class)sqlite3_column_int(st, 2),
			     .epoch = e.epoch,
			     .seq = e.seq,
			     .shift_ns = sqlite3_column_int64(st, 6),
			     .vouched = sqlite3_column_int(st, 7) == CLOCK_SYNCED};
	struct error err = {0};
	struct batch *b;
	int r;

	v->rows++;
	if (agent < 0)
		return -EBADMSG;
	r = batch_read(&b, &e, &err);
	if (r < 0)
		return r;
	r = batch_columns(b, cat, CATALOG_NONE, look_at_column, &w, &err);
	batch_free(b);
	if (r == 0)
		look_at_quality(&w);
	return r;
}

static int look_at_rows(sqlite3 *db, struct registry *reg, const struct catalog *cat,
			struct verdict *v)
{
	static const char sql[] =
		"SELECT b.device, b.epoch, b.class, b.seq, b.encoding, b.body,"
		" coalesce(u.shift, 0), coalesce(u.quality, 2)"
		" FROM batch b LEFT JOIN unsure u ON u.batch = b.id ORDER BY b.id";
	sqlite3_stmt *st;
	int r = db_errno(sqlite3_prepare_v2(db, sql, -1, &st, NULL));

	while (r == 0 && (r = db_step(st)) == DB_ROW)
		r = look_at_row(st, reg, cat, v);
	sqlite3_finalize(st);
	return r;
}

/* ---- what is there: gaps ---- */

static int take_gap(sqlite3_stmt *st, struct registry *reg, struct verdict *v)
{
	int agent = agent_of(reg, sqlite3_column_int64(st, 0));
	unsigned class = (unsigned)sqlite3_column_int(st, 2);
	struct gap_list *l;
	struct gap_row *g;

	if (agent < 0 || class >= CLASS_COUNT)
		return -EBADMSG;
	v->gap_rows++;
	l = &gaps[agent][class];
	l->of = grow(l->of, l->n, &l->cap, sizeof(*l->of));
	g = &l->of[l->n++];
	*g = (struct gap_row){.epoch = (uint64_t)sqlite3_column_int64(st, 1),
			      .from = (uint64_t)sqlite3_column_int64(st, 3),
			      .through = (uint64_t)sqlite3_column_int64(st, 4),
			      .reason = (unsigned)sqlite3_column_int(st, 5),
			      .missing = {.max = WINDOW_MISSING_MAX}};
	return window_decode(&g->missing, (uint64_t)sqlite3_column_int64(st, 6),
			     sqlite3_column_blob(st, 7), (size_t)sqlite3_column_bytes(st, 7));
}

static int take_gaps(sqlite3 *db, struct registry *reg, struct verdict *v)
{
	static const char sql[] = "SELECT device, epoch, class, from_seq, through_seq, reason,"
				  " missing_through, missing FROM gap ORDER BY id";
	sqlite3_stmt *st;
	int r = db_errno(sqlite3_prepare_v2(db, sql, -1, &st, NULL));

	while (r == 0 && (r = db_step(st)) == DB_ROW)
		r = take_gap(st, reg, v);
	sqlite3_finalize(st);
	for (unsigned a = 0; a < n_agents; a++) {
		uint64_t n = 0;

		for (unsigned k = 0; k < CLASS_COUNT; k++)
			n += gaps[a][k].n;
		v->gap_rows_most = n > v->gap_rows_most ? n : v->gap_rows_most;
	}
	return r;
}

static const struct gap_row *gap_of(const struct gap_list *l, uint64_t epoch, uint64_t seq)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct gap_row *g = &l->of[i];

		if (g->epoch == epoch && g->from <= seq && seq <= g->through &&
		    window_has(&g->missing, seq))
			return g;
	}
	return NULL;
}

/* ---- the verdict ---- */

static void note_lost(unsigned agent, unsigned class, const struct ledger_batch *b)
{
	struct event e = {.at_ns = b->stored_ns,
			  .agent = (int8_t)agent,
			  .class = (int8_t) class,
			  .epoch = b->epoch,
			  .from = b->seq,
			  .through = b->seq};

	fprintf(stderr,
		"sim: lost: v%u %s %016" PRIx64 " seq %" PRIu64 " counters %" PRIu64 "-%" PRIu64
		" (delivered %08x) stored after %" PRId64 " s\n",
		agent, class_name((enum uplink_class) class), b->epoch, b->seq, b->first,
		b->first + b->n - 1, b->delivered, b->stored_ns / NS_PER_S);
	event_print_around(&e);
}

/* Whether that may have become of a row that was confirmed: nothing else makes one vanish here. */
static bool may_be(unsigned reason, const struct ledger_batch *b)
{
	switch (reason) {
	case GAP_QUOTA:
	case GAP_EXPIRED:
		return true;
	case GAP_UNSAVED: /* seqs that were reserved, and given before the power went */
		return b->unsynced;
	case GAP_RECEIPTED:
		return b->stored_ns < last_restored_ns;
	default:
		return false;
	}
}

static void judge_batch(struct verdict *v, unsigned agent, unsigned class,
			const struct ledger_batch *b)
{
	uint64_t there = (uint64_t)__builtin_popcount(b->delivered), rest = b->n - there;
	const struct gap_row *g;

	if (b->stored_ns == 0) {
		v->open += there;
		return;
	}
	g = gap_of(&gaps[agent][class], b->epoch, b->seq);
	if (g && !may_be(g->reason, b))
		g = NULL;
	v->accepted += b->n;
	v->delivered += there;
	v->of[class][0] += b->n;
	v->of[class][1] += there;
	if (g && there > 0 && !b->unsynced && v->contradictions++ < SHOWN_MAX)
		fprintf(stderr,
			"sim: stored, and in a gap: v%u %s %016" PRIx64 " seq %" PRIu64 "\n", agent,
			class_name((enum uplink_class) class), b->epoch, b->seq);
	if (rest == 0)
		return;
	if (g && there == 0) {
		v->gaps += rest;
		v->of[class][2] += rest;
		v->by_reason[g->reason < array_len(v->by_reason) ? g->reason : 0] += rest;
	} else if (b->unsynced && there == 0) {
		v->unsynced += rest;
		v->accepted -= rest;
		v->of[class][0] -= rest;
	} else {
		if (v->lost == 0)
			note_lost(agent, class, b);
		v->lost += rest;
		v->of[class][3] += rest;
	}
}

static int count_quarantine(sqlite3 *db, struct verdict *v)
{
	sqlite3_stmt *st;
	int r = db_errno(
		sqlite3_prepare_v2(db, "SELECT reason, topic FROM quarantine", -1, &st, NULL));

	while (r == 0 && (r = db_step(st)) == DB_ROW) {
		if (v->quarantined++ < SHOWN_MAX)
			fprintf(stderr, "sim: the relay could not read: %s (%s)\n",
				(const char *)sqlite3_column_text(st, 0),
				(const char *)sqlite3_column_text(st, 1));
		r = 0;
	}
	sqlite3_finalize(st);
	return r;
}

int ledger_judge(const char *stream_path, struct registry *reg, const struct catalog *cat,
		 struct verdict *ret)
{
	sqlite3 *db = NULL;
	int r;

	*ret = (struct verdict){0};
	r = db_errno(sqlite3_open_v2(stream_path, &db, SQLITE_OPEN_READONLY, NULL));
	if (r == 0)
		r = look_at_rows(db, reg, cat, ret);
	if (r == 0)
		r = take_gaps(db, reg, ret);
	if (r == 0)
		r = count_quarantine(db, ret);
	for (unsigned a = 0; r == 0 && a < n_agents; a++)
		for (unsigned k = 0; k < CLASS_COUNT; k++)
			for (size_t i = 0; i < lanes[a][k].n; i++)
				judge_batch(ret, a, k, &lanes[a][k].of[i]);
	sqlite3_close(db);
	return r;
}
