#include "agent/store/store.h"

#include "agent/store/schema.h"
#include "base/bytes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	SEQ_BITS = 48,
	ROW_OVERHEAD = 64, /* bytes of the other columns and of SQLite's cell, roughly */
	PATH_BYTES_MAX = 4096,
};

#define SEQ_MAX ((UINT64_C(1) << SEQ_BITS) - 1)

struct class_state {
	uint64_t last_seq;
	struct store_lifetime life;
	bool touched; /* by the transaction */
};

/* What a transaction changes; taken over when it has committed. */
struct working {
	struct class_state classes[CLASS_COUNT];
	struct store_totals totals;
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *st[STORE_STMTS];
	bool prepared;
	struct store_options opt;
	uint64_t epoch;
	struct working w;
	char suspect[PATH_BYTES_MAX]; /* the file that store_suspect leaves */
};

static int64_t row_id(enum uplink_class class, uint64_t seq)
{
	return (int64_t)((uint64_t) class << SEQ_BITS | (seq > SEQ_MAX ? SEQ_MAX : seq));
}

static int64_t stored_int(sqlite3_stmt *st, int column)
{
	return sqlite3_column_int64(st, column);
}

static uint64_t stored_uint(sqlite3_stmt *st, int column)
{
	return (uint64_t)sqlite3_column_int64(st, column);
}

/* ---- transactions ---- */

static int begin(struct store *s, struct working *w)
{
	store_release(s);
	*w = s->w;
	return db_exec(s->db, "BEGIN IMMEDIATE");
}

static void rollback(struct store *s)
{
	for (size_t i = 0; i < STORE_STMTS; i++)
		sqlite3_reset(s->st[i]);
	/* After some errors (disk full) SQLite has rolled back by itself. */
	if (!sqlite3_get_autocommit(s->db) && db_exec(s->db, "ROLLBACK") < 0)
		return;
}

static int write_classes(struct store *s, const struct working *w)
{
	for (size_t k = 0; k < CLASS_COUNT; k++) {
		const struct class_state *c = &w->classes[k];
		sqlite3_stmt *st = s->st[STORE_WRITE_CLASS];
		int r;

		if (!c->touched)
			continue;
		r = db_bind(st, "iiiiii", (int64_t)k, (int64_t)c->last_seq,
			    (int64_t)c->life.samples_stored, (int64_t)c->life.samples_acked,
			    (int64_t)c->life.samples_dropped, (int64_t)c->life.samples_quarantined);
		if (r == 0)
			r = db_run(st);
		if (r < 0)
			return r;
	}
	return 0;
}

/* r: how the work of the transaction went. Commits, or undoes everything. */
static int finish(struct store *s, struct working *w, int r)
{
	if (r == 0)
		r = write_classes(s, w);
	if (r == 0)
		r = db_exec(s->db, "COMMIT");
	if (r < 0) {
		rollback(s);
		return r;
	}
	for (size_t k = 0; k < CLASS_COUNT; k++)
		w->classes[k].touched = false;
	s->w = *w;
	return 0;
}

/* Steps a DELETE ... RETURNING samples, length(body) to its end, and takes what it deleted off the
 * totals. */
static int run_delete(sqlite3_stmt *st, struct working *w, struct store_count *count)
{
	int r;

	while ((r = db_step(st)) == DB_ROW) {
		uint64_t samples = stored_uint(st, 0);

		count->rows++;
		count->samples += samples;
		w->totals.rows--;
		w->totals.samples -= samples;
		w->totals.bytes -= stored_uint(st, 1) + ROW_OVERHEAD;
	}
	sqlite3_reset(st);
	return r;
}

/* ---- opening ---- */

static int read_classes(struct store *s)
{
	sqlite3_stmt *st = s->st[STORE_READ_CLASSES];
	int r;

	while ((r = db_step(st)) == DB_ROW) {
		uint64_t k = stored_uint(st, 0);

		if (k >= CLASS_COUNT)
			continue;
		s->w.classes[k].last_seq = stored_uint(st, 1);
		s->w.classes[k].life = (struct store_lifetime){
			.samples_stored = stored_uint(st, 2),
			.samples_acked = stored_uint(st, 3),
			.samples_dropped = stored_uint(st, 4),
			.samples_quarantined = stored_uint(st, 5),
		};
	}
	sqlite3_reset(st);
	return r;
}

static int read_totals(struct store *s)
{
	sqlite3_stmt *st = s->st[STORE_READ_TOTALS];
	int r = db_step(st);

	if (r == DB_ROW) {
		s->w.totals.rows = stored_uint(st, 0);
		s->w.totals.bytes = stored_uint(st, 1) + s->w.totals.rows * ROW_OVERHEAD;
		s->w.totals.samples = stored_uint(st, 2);
		r = 0;
	}
	sqlite3_reset(st);
	return r;
}

static int mint_epoch(struct store *s)
{
	sqlite3_stmt *st = s->st[STORE_MINT_META];
	int r;

	random_bytes(&s->epoch, sizeof(s->epoch));
	r = db_bind(st, "ii", (int64_t)s->epoch, timebase_wall(s->opt.tb).ns);
	return r < 0 ? r : db_run(st);
}

static int read_epoch(struct store *s)
{
	sqlite3_stmt *st = s->st[STORE_READ_META];
	int r = db_step(st);

	if (r == DB_ROW)
		s->epoch = (uint64_t)stored_int(st, 0);
	sqlite3_reset(st);
	if (r == DB_DONE)
		return mint_epoch(s);
	return r < 0 ? r : 0;
}

/* Small caches: the agent has 10 MiB in all. The log is folded back at about 1 MiB. */
static int tune(struct store *s)
{
	int r = db_exec(s->db, "PRAGMA cache_size = -512");

	if (r == 0)
		r = db_exec(s->db, "PRAGMA wal_autocheckpoint = 256");
	if (r == 0)
		r = db_exec(s->db, "PRAGMA journal_size_limit = 2097152");
	return r;
}

/* Every page of every table, chains of long rows too. Seconds for a large file, so not always. */
static int check_pages(struct store *s)
{
	sqlite3_stmt *st;
	int r;

	if (access(s->suspect, F_OK) < 0)
		return 0;
	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK)
		return -EBADMSG;
	r = db_step(st);
	if (r >= 0) {
		const char *text = r == DB_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;

		r = text && strcmp(text, "ok") == 0 ? 0 : -EBADMSG;
	}
	(void)sqlite3_finalize(st);
	return r;
}

static int open_file(struct store *s, const char *path, struct error *err)
{
	struct db_options opt = {.sync = DB_SYNC_FULL, .max_bytes = s->opt.file_max_bytes};
	int r = db_open(&s->db, path, &opt, store_migrations, store_n_migrations, err);

	if (r < 0)
		return r;
	r = tune(s);
	if (r == 0) {
		r = db_prepare(s->db, store_sql, s->st, STORE_STMTS, err);
		s->prepared = r == 0;
		if (r < 0) /* another database than ours under this name */
			return -EBADMSG;
	}
	if (r == 0)
		r = check_pages(s);
	if (r == 0)
		r = read_epoch(s);
	if (r == 0)
		r = read_classes(s);
	if (r == 0)
		r = read_totals(s);
	if (r < 0)
		error_set(err, "%s: %s (%s)", path, strerror(-r), sqlite3_errmsg(s->db));
	return r;
}

static void close_file(struct store *s)
{
	if (s->prepared)
		db_finalize(s->st, STORE_STMTS);
	s->prepared = false;
	s->db = db_close(s->db);
	s->w = (struct working){0};
}

static int move_file(const char *path, const char *suffix, const char *stamp)
{
	char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
	int n = snprintf(from, sizeof(from), "%s%s", path, suffix);
	int m = snprintf(to, sizeof(to), "%s.corrupt-%s%s", path, stamp, suffix);

	if (n < 0 || m < 0 || (size_t)n >= sizeof(from) || (size_t)m >= sizeof(to))
		return -ENAMETOOLONG;
	return rename(from, to) < 0 ? -errno : 0;
}

/* The damaged file stays for whoever wants to look at it; its logs move with it. */
static int set_aside(struct store *s, const char *path, struct error *err)
{
	char stamp[32];
	int r;

	(void)snprintf(stamp, sizeof(stamp), "%" PRId64, timebase_wall(s->opt.tb).ns / NS_PER_S);
	/* The log first: it must never be taken for the new file's. */
	r = move_file(path, "-wal", stamp);
	if (r == 0 || r == -ENOENT)
		r = move_file(path, "-shm", stamp);
	if (r == 0 || r == -ENOENT)
		r = move_file(path, "", stamp);
	if (r < 0)
		error_set(err, "%s: damaged, and cannot be set aside: %s", path, strerror(-r));
	return r;
}

int store_open(struct store **ret, const char *path, const struct store_options *opt,
	       bool *ret_set_aside, struct error *err)
{
	struct store *s = calloc(1, sizeof(*s));
	bool aside = false;
	int r;

	if (!s)
		return -ENOMEM;
	s->opt = *opt;
	if (snprintf(s->suspect, sizeof(s->suspect), "%s.suspect", path) >= PATH_BYTES_MAX) {
		error_set(err, "%s: path too long", path);
		return store_close(s), -ENAMETOOLONG;
	}
	r = open_file(s, path, err);
	if (r == -EBADMSG) {
		close_file(s);
		r = set_aside(s, path, err);
		aside = r == 0;
		if (r == 0)
			r = open_file(s, path, err);
	}
	if (r < 0) {
		store_close(s);
		return r;
	}
	(void)unlink(s->suspect);
	*ret_set_aside = aside;
	*ret = s;
	return 0;
}

void store_suspect(struct store *s)
{
	int fd = open(s->suspect, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	if (fd >= 0)
		(void)close(fd);
}

struct store *store_close(struct store *s)
{
	if (s) {
		close_file(s);
		free(s);
	}
	return NULL;
}

/* ---- what there is ---- */

uint64_t store_epoch(const struct store *s)
{
	return s->epoch;
}

struct store_totals store_totals(const struct store *s)
{
	return s->w.totals;
}

uint64_t store_last_seq(const struct store *s, enum uplink_class class)
{
	return s->w.classes[class].last_seq;
}

struct store_lifetime store_lifetime(const struct store *s)
{
	struct store_lifetime sum = {0};

	for (size_t k = 0; k < CLASS_COUNT; k++) {
		const struct store_lifetime *l = &s->w.classes[k].life;

		sum.samples_stored += l->samples_stored;
		sum.samples_acked += l->samples_acked;
		sum.samples_dropped += l->samples_dropped;
		sum.samples_quarantined += l->samples_quarantined;
	}
	return sum;
}

/* ---- putting in ---- */

/* Drops the oldest row of a class. count->rows stays 0 where there is none. */
static int drop_oldest(struct store *s, struct working *w, enum uplink_class class,
		       struct store_count *count)
{
	sqlite3_stmt *st = s->st[STORE_DROP_OLDEST];
	int r = db_bind(st, "ii", row_id(class, 0), row_id(class, SEQ_MAX));

	if (r == 0)
		r = run_delete(st, w, count);
	if (r == 0 && count->rows > 0) {
		w->classes[class].life.samples_dropped += count->samples;
		w->classes[class].touched = true;
	}
	return r;
}

/* Returns 1 with room for bytes, 0 without, -errno. */
static int make_room(struct store *s, struct working *w, enum uplink_class class, uint64_t bytes,
		     struct store_count *dropped)
{
	uint64_t max = (uint64_t)s->opt.max_bytes;
	unsigned k = CLASS_COUNT - 1;

	while (bytes > max || w->totals.bytes > max - bytes) {
		struct store_count one = {0};
		int r;

		if (bytes > max)
			return 0;
		r = drop_oldest(s, w, (enum uplink_class)k, &one);
		if (r < 0)
			return r;
		dropped->rows += one.rows;
		dropped->samples += one.samples;
		if (one.rows > 0)
			continue;
		if (k == (unsigned)class)
			return 0;
		k--;
	}
	return 1;
}

static int insert(struct store *s, struct working *w, const struct store_item *item)
{
	struct class_state *c = &w->classes[item->class];
	sqlite3_stmt *st = s->st[STORE_INSERT];
	int r;

	c->last_seq++;
	c->life.samples_stored += item->samples;
	c->touched = true;
	w->totals.rows++;
	w->totals.samples += item->samples;
	w->totals.bytes += item->body_len + ROW_OVERHEAD;
	r = db_bind(st, "iiiib", row_id(item->class, c->last_seq), timebase_wall(s->opt.tb).ns,
		    (int64_t)item->samples, (int64_t)item->encoding, item->body, item->body_len);
	return r < 0 ? r : db_run(st);
}

/* Taken and dropped in one, so that the sums hold. It gets no seq. */
static int drop_newcomer(struct working *w, const struct store_item *item,
			 struct store_count *dropped)
{
	struct class_state *c = &w->classes[item->class];

	c->life.samples_stored += item->samples;
	c->life.samples_dropped += item->samples;
	c->touched = true;
	dropped->rows++;
	dropped->samples += item->samples;
	return 0;
}

static int put_one(struct store *s, struct working *w, const struct store_item *item,
		   struct store_count *stored, struct store_count *dropped)
{
	int r = make_room(s, w, item->class, item->body_len + ROW_OVERHEAD, dropped);

	if (r < 0)
		return r;
	stored->rows++;
	stored->samples += item->samples;
	return r == 0 ? drop_newcomer(w, item, dropped) : insert(s, w, item);
}

int store_put(struct store *s, const struct store_item *items, size_t n,
	      struct store_count *ret_stored, struct store_count *ret_dropped)
{
	struct store_count stored = {0}, dropped = {0};
	struct working w;
	int r = begin(s, &w);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_one(s, &w, &items[i], &stored, &dropped);
	r = finish(s, &w, r);
	if (r < 0)
		return r;
	*ret_stored = stored;
	*ret_dropped = dropped;
	return 0;
}

/* ---- taking out ---- */

void store_release(struct store *s)
{
	sqlite3_reset(s->st[STORE_NEXT]);
}

int store_next(struct store *s, enum uplink_class class, uint64_t after, struct store_row *ret)
{
	sqlite3_stmt *st = s->st[STORE_NEXT];
	int r;

	store_release(s);
	if (after >= s->w.classes[class].last_seq)
		return 0;
	r = db_bind(st, "ii", row_id(class, after + 1), row_id(class, SEQ_MAX));
	if (r == 0)
		r = db_step(st);
	if (r != DB_ROW) {
		store_release(s);
		return r;
	}
	*ret = (struct store_row){
		.class = class,
		.seq = stored_uint(st, 0) & SEQ_MAX,
		.samples = stored_uint(st, 1),
		.encoding = (uint32_t)stored_int(st, 2),
		.body = sqlite3_column_blob(st, 3),
		.body_len = (size_t)sqlite3_column_bytes(st, 3),
	};
	return STORE_ROW;
}

static int delete_range(struct store *s, struct working *w, enum uplink_class class,
			const struct receipt_range *range, struct store_count *count)
{
	sqlite3_stmt *st = s->st[STORE_DELETE_RANGE];
	int r;

	if (range->from > range->to || range->from > w->classes[class].last_seq)
		return 0;
	r = db_bind(st, "ii", row_id(class, range->from), row_id(class, range->to));
	return r < 0 ? r : run_delete(st, w, count);
}

int store_delete(struct store *s, enum uplink_class class, const struct receipt_range *ranges,
		 size_t n, struct store_count *ret)
{
	struct store_count count = {0};
	struct working w;
	int r = begin(s, &w);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = delete_range(s, &w, class, &ranges[i], &count);
	w.classes[class].life.samples_acked += count.samples;
	w.classes[class].touched = count.rows > 0;
	r = finish(s, &w, r);
	if (r < 0)
		return r;
	*ret = count;
	return 0;
}

int store_purge(struct store *s, enum uplink_class class, const struct receipt_range *range,
		struct store_count *ret)
{
	struct store_count count = {0};
	struct working w;
	int r = begin(s, &w);

	if (r < 0)
		return r;
	r = delete_range(s, &w, class, range, &count);
	w.classes[class].life.samples_dropped += count.samples;
	w.classes[class].touched = count.rows > 0;
	r = finish(s, &w, r);
	if (r < 0)
		return r;
	*ret = count;
	return 0;
}

static int copy_to_quarantine(struct store *s, int64_t id, int code)
{
	sqlite3_stmt *st = s->st[STORE_QUARANTINE_COPY];
	int r = db_bind(st, "iii", (int64_t)code, timebase_wall(s->opt.tb).ns, id);

	if (r == 0)
		r = db_run(st);
	if (r < 0)
		return r;
	st = s->st[STORE_QUARANTINE_TRIM];
	r = db_bind(st, "i", (int64_t)STORE_QUARANTINE_MAX);
	return r < 0 ? r : db_run(st);
}

int store_quarantine(struct store *s, enum uplink_class class, uint64_t seq, int code,
		     struct store_count *ret)
{
	struct receipt_range range = {seq, seq};
	struct store_count count = {0};
	struct working w;
	int r = begin(s, &w);

	if (r < 0)
		return r;
	r = copy_to_quarantine(s, row_id(class, seq), code);
	if (r == 0)
		r = delete_range(s, &w, class, &range, &count);
	w.classes[class].life.samples_quarantined += count.samples;
	w.classes[class].touched = count.rows > 0;
	r = finish(s, &w, r);
	if (r < 0)
		return r;
	*ret = count;
	return 0;
}
