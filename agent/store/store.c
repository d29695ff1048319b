#include "agent/store/store_private.h"
#include "agent/store/vfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PAGE_BYTES = 512, /* README.md: what was measured */
	LOG_BYTES = 1 << 20,
};

/* ---- reading what there is ---- */

static int read_classes(struct store *s)
{
	sqlite3_stmt *st = s->st[STORE_READ_CLASSES];
	int r;

	while ((r = db_step(st)) == DB_ROW) {
		uint64_t k = (uint64_t)sqlite3_column_int64(st, 0);

		if (k >= CLASS_COUNT)
			continue;
		s->w.classes[k].last_seq = (uint64_t)sqlite3_column_int64(st, 1);
		s->w.classes[k].life = (struct store_lifetime){
			.samples_acked = (uint64_t)sqlite3_column_int64(st, 2),
			.samples_dropped = (uint64_t)sqlite3_column_int64(st, 3),
			.samples_quarantined = (uint64_t)sqlite3_column_int64(st, 4),
		};
	}
	sqlite3_reset(st);
	return r;
}

static void raise(uint64_t *v, int64_t to)
{
	if (to > 0 && (uint64_t)to > *v)
		*v = (uint64_t)to;
}

/* Without the bodies of batches: that one of them is broken is found by whoever reads it. */
static int read_last_seq(struct store *s, enum uplink_class class)
{
	sqlite3_stmt *st = store_stmt(s, STORE_NEWEST, class);
	uint64_t *last = &s->w.classes[class].last_seq;
	int r = db_step(st);

	if (r == DB_ROW) {
		uint64_t seq = row_seq(sqlite3_column_int64(st, 0));
		struct gap gap;

		raise(last, (int64_t)seq);
		if (sqlite3_column_int64(st, 1) == 0 &&
		    gap_decode(&gap, seq, sqlite3_column_blob(st, 2),
			       (size_t)sqlite3_column_bytes(st, 2), NULL) == 0)
			raise(last, (int64_t)gap.through);
	}
	sqlite3_reset(st);
	return r < 0 ? r : 0;
}

/* The newest row is as new as class_state, or newer. All of it only ever grows. */
static int read_newest(struct store *s, enum uplink_class class)
{
	struct class_state *c = &s->w.classes[class];
	sqlite3_stmt *st = store_stmt(s, STORE_PREVIOUS, class);
	struct stored_row row;
	int r = read_last_seq(s, class);

	if (r == 0)
		r = db_bind(st, "i", row_id(class, ROW_SEQ_MAX));
	if (r < 0)
		return r;
	r = store_step_row(st, &row);
	if (r == DB_ROW && store_row_is_whole(s, &row)) {
		raise(&c->life.samples_acked, row.col[ROW_ACKED]);
		raise(&c->life.samples_dropped, row.col[ROW_DROPPED]);
		raise(&c->life.samples_quarantined, row.col[ROW_QUARANTINED]);
	}
	sqlite3_reset(st);
	return r < 0 && r != -EBADMSG ? r : 0;
}

static int read_totals(struct store *s, enum uplink_class class)
{
	sqlite3_stmt *st = store_stmt(s, STORE_READ_TOTALS, class);
	struct class_state *c = &s->w.classes[class];
	struct store_totals *t = &s->w.totals;
	int r = db_step(st);

	if (r == DB_ROW) {
		uint64_t rows = (uint64_t)sqlite3_column_int64(st, 0);
		uint64_t samples = (uint64_t)sqlite3_column_int64(st, 2);

		t->rows += rows;
		t->bytes += (uint64_t)sqlite3_column_int64(st, 1) + rows * STORE_ROW_OVERHEAD;
		t->samples += samples;
		t->gaps += (uint64_t)sqlite3_column_int64(st, 3);
		c->gaps = (uint64_t)sqlite3_column_int64(st, 4);
		c->life.samples_stored = samples + c->life.samples_acked + c->life.samples_dropped +
					 c->life.samples_quarantined;
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
	s->is_new = true;
	r = db_bind(st, "ii", (int64_t)s->epoch, timebase_wall(s->opt.tb).ns);
	return r < 0 ? r : db_run(st);
}

static int read_epoch(struct store *s)
{
	sqlite3_stmt *st = s->st[STORE_READ_META];
	int r = db_step(st);

	if (r == DB_ROW) {
		s->epoch = (uint64_t)sqlite3_column_int64(st, 0);
		s->unsaved_id = (uint64_t)sqlite3_column_int64(st, 1);
		s->running_boot = (uint64_t)sqlite3_column_int64(st, 2);
	}
	sqlite3_reset(st);
	if (r == DB_DONE)
		return mint_epoch(s);
	return r < 0 ? r : 0;
}

static int read_all(struct store *s)
{
	int r = read_epoch(s);

	if (r == 0)
		r = read_classes(s);
	for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++) {
		r = read_newest(s, (enum uplink_class)k);
		if (r == 0)
			r = read_totals(s, (enum uplink_class)k);
	}
	return r;
}

/* ---- the file ---- */

/* Small caches: the agent has 10 MiB in all. secure_delete, which Debian's SQLite has on, would
 * write each freed page once more. The size of the log that is folded back is in pages. */
static int tune(struct store *s)
{
	sqlite3_stmt *st = NULL;
	int64_t page = 0;
	int r = db_exec(s->db, "PRAGMA cache_size = -512; PRAGMA secure_delete = OFF;"
			       "PRAGMA journal_size_limit = 2097152");

	if (r < 0)
		return r;
	r = db_errno(sqlite3_prepare_v2(s->db, "PRAGMA page_size", -1, &st, NULL));
	if (r == 0)
		r = db_step(st);
	if (r == DB_ROW)
		page = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	if (r < 0 || page <= 0)
		return r < 0 ? r : -EIO;
	return db_errno(sqlite3_wal_autocheckpoint(s->db, (int)(LOG_BYTES / page)));
}

/* Indexes, too: one that names rows that are not there would stop the agent again and again.
 * Returns 0, -EBADMSG, or another -errno where it could not look. */
static int check_once(struct store *s)
{
	sqlite3_stmt *st = NULL;
	int r = db_errno(sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(1)", -1, &st, NULL));

	if (r == 0)
		r = db_step(st);
	if (r >= 0) {
		const char *text = r == DB_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;

		r = text && strcmp(text, "ok") == 0 ? 0 : -EBADMSG;
	}
	(void)sqlite3_finalize(st);
	return r;
}

/* Every page of every table, chains of long rows too. Seconds for a large file, so not always.
 * SQLite calls a page damaged for which there was no memory: what is damaged is so twice. */
static int check_pages(struct store *s)
{
	int r;

	if (access(s->suspect, F_OK) < 0)
		return 0;
	r = check_once(s);
	return r == -EBADMSG ? check_once(s) : r;
}

static int attach_seal(struct store *s, struct error *err)
{
	struct working w;
	int r;

	if (!s->opt.seal)
		return 0;
	r = store_begin(s, &w, STORE_NOW, false);
	if (r < 0)
		return r;
	return store_finish(s, &w, seal_attach(s->opt.seal, s->db, err));
}

static int prepare(struct store *s, struct error *err)
{
	int r = tune(s);

	if (r < 0)
		return r;
	s->sync_full = true; /* as db_open has set it */
	r = db_prepare(s->db, store_sql, s->st, STORE_STMTS, err);
	s->prepared = r == 0;
	return r == -EINVAL ? -EBADMSG : r; /* another database than ours under this name */
}

static int open_file(struct store *s, struct error *err)
{
	struct db_options opt = {
		.sync = DB_SYNC_FULL,
		.max_bytes = s->opt.file_max_bytes,
		.page_bytes = PAGE_BYTES,
		.exclusive = true,
		.vfs = vfs_name(),
	};
	struct error said = {""}; /* about keys, or the file beside it */
	bool log_is_broken = salvage_log_is_broken(s->path);
	int r = db_open(&s->db, s->path, &opt, store_migrations, store_n_migrations, err);

	if (r < 0)
		return r;
	r = prepare(s, err);
	if (r == 0)
		r = check_pages(s);
	if (r == 0)
		r = seal_check(s->opt.seal, s->db, &said);
	if (r == 0)
		r = read_all(s);
	if (r == 0 && s->unsaved.fd < 0)
		r = unsaved_open(&s->unsaved, s->path, &said);
	if (r == 0)
		r = store_check_seqs(s);
	if (r == 0 && log_is_broken && store_log_was_whole(s))
		r = -EBADMSG;
	if (r == 0)
		r = attach_seal(s, &said);
	if (r == 0)
		r = store_upgrade(s);
	if (r < 0 && *said.text)
		error_set(err, "%s: %s", s->path, said.text);
	else if (r < 0)
		error_set(err, "%s: %s (%s)", s->path, strerror(-r), sqlite3_errmsg(s->db));
	return r;
}

static void close_file(struct store *s)
{
	if (s->prepared)
		db_finalize(s->st, STORE_STMTS);
	s->prepared = false;
	s->db = db_close(s->db);
	s->w = (struct working){0};
	s->unsaved_id = s->running_boot = 0;
	s->is_new = false;
}

/* Seqs are noted, and the file that gave them is not there, or empty. SQLite would make a new one,
 * and remove what there is of its log. Returns 0, -EBADMSG: it is there, and empty; -errno. */
static int check_gone(struct store *s, struct error *err)
{
	struct stat st;
	int fd, r;

	if (stat(s->path, &st) == 0 ? st.st_size > 0 : errno != ENOENT)
		return 0;
	r = unsaved_open(&s->unsaved, s->path, err);
	if (r < 0)
		return r;
	if (!unsaved_gave_any(&s->unsaved.seqs))
		return 0;
	fd = open(s->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
		error_set(err, "%s: %s", s->path, strerror(-r));
		return r;
	}
	(void)close(fd);
	return -EBADMSG;
}

/* The file is opened; a damaged one is set aside, and a new one takes its place. What a crash has
 * interrupted of that goes first. */
static int open_or_renew(struct store *s, struct store_opened *opened, struct error *err)
{
	struct salvage_aside *aside cleanup(free_ptr) = malloc(sizeof(*aside));
	int r = aside ? salvage_pending(s->path, aside, err) : -ENOMEM;

	s->follows = r == SALVAGE_PENDING;
	if (r == 0)
		r = check_gone(s, err);
	if (r >= 0)
		r = open_file(s, err);
	if (r != -EBADMSG)
		return r;
	/* What SQLite does not find in the log would go with it. */
	if (s->db)
		(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	close_file(s);
	r = salvage_set_aside(s->path, timebase_wall(s->opt.tb).ns / NS_PER_S, aside, err);
	if (r < 0)
		return r;
	opened->set_aside = s->follows = true;
	return open_file(s, err);
}

static int open_all(struct store *s, struct store_opened *opened, struct error *err)
{
	int r = open_or_renew(s, opened, err);

	if (r < 0)
		return r;
	r = store_recover(s, &opened->unsaved_batches);
	/* Of a new file all is in the log, its name as well. Were that lost, nobody could tell what
	 * else was. */
	if (r == 0 && s->is_new)
		r = store_fold_log(s);
	if (r < 0)
		error_set(err, "%s: %s (%s)", s->path, strerror(-r), sqlite3_errmsg(s->db));
	if (r == 0)
		r = store_rescue(s, opened, err);
	if (r < 0)
		return r;
	r = unsaved_clear(&s->unsaved, s->epoch);
	if (r < 0)
		error_set(err, "%s.unsaved: %s", s->path, strerror(-r));
	return r;
}

static int make_paths(struct store *s, const char *path, struct error *err)
{
	int n = snprintf(s->path, sizeof(s->path), "%s", path);
	int m = snprintf(s->suspect, sizeof(s->suspect), "%s.suspect", path);

	if (n >= 0 && m >= 0 && (size_t)n < sizeof(s->path) && (size_t)m < sizeof(s->suspect))
		return 0;
	error_set(err, "%s: path too long", path);
	return -ENAMETOOLONG;
}

int store_open(struct store **ret, const char *path, const struct store_options *opt,
	       struct store_opened *ret_opened, struct error *err)
{
	struct store *s = calloc(1, sizeof(*s));
	struct store_opened opened = {0};
	int r;

	if (!s) {
		error_set(err, "out of memory");
		return -ENOMEM;
	}
	s->opt = *opt;
	s->apply_at = STORE_ACKED_MANY;
	s->unsaved = UNSAVED_INIT;
	s->sealed = BUF_INIT(STORE_BODY_MAX);
	s->plain = BUF_INIT(STORE_BODY_MAX);
	r = make_paths(s, path, err);
	if (r == 0)
		r = open_all(s, &opened, err);
	if (r < 0) {
		s->failed = true;
		store_close(s);
		return r;
	}
	(void)unlink(s->suspect);
	*ret_opened = opened;
	*ret = s;
	return 0;
}

void store_suspect(struct store *s)
{
	int fd = open(s->suspect, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	if (fd >= 0)
		(void)close(fd);
}

static int leave(struct store *s)
{
	int r = store_flush(s);

	return r < 0 || s->commit_failed ? r : store_close_seqs(s);
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	/* What cannot be written now is made good by the next start. */
	if (s->prepared && !s->failed && leave(s) < 0)
		s->failed = true;
	close_file(s);
	unsaved_close(&s->unsaved);
	buf_free(&s->sealed);
	buf_free(&s->plain);
	free(s);
	return NULL;
}

int store_note_unsaved(struct store *s, enum uplink_class class, uint64_t batches, uint64_t samples)
{
	struct unsaved_count count = {.batches = batches, .samples = samples};

	return unsaved_add(&s->unsaved, class, &count);
}

/* ---- what there is ---- */

bool store_key_trouble(struct store *s, struct error *ret)
{
	return s->opt.seal && seal_trouble(s->opt.seal, ret);
}

uint64_t store_epoch(const struct store *s)
{
	return s->epoch;
}

struct store_totals store_totals(const struct store *s)
{
	struct store_totals t = s->w.totals;

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		const struct store_totals *acked = &s->acked[k].totals;

		store_take_off(&t.rows, acked->rows);
		store_take_off(&t.bytes, acked->bytes);
		store_take_off(&t.samples, acked->samples);
		store_take_off(&t.gaps, acked->gaps);
	}
	return t;
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
		sum.samples_acked += l->samples_acked + s->acked[k].totals.samples;
		sum.samples_dropped += l->samples_dropped;
		sum.samples_quarantined += l->samples_quarantined;
	}
	return sum;
}
