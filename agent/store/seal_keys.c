/* Data keys: in the file, wrapped, and in memory. All SQL is here; statements are prepared when
 * they are needed, which is seldom, so that none is open when the file is closed. */
#include "agent/store/seal_private.h"

#include <inttypes.h>
#include <string.h>

enum {
	RESERVE_ROWS = 4096,
};

/* ---- statements ---- */

static int fail_db(sqlite3 *db, int r, struct error *err)
{
	error_set(err, "data keys: %s", sqlite3_errmsg(db));
	return r;
}

static void finalize(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct error *err)
{
	int rc = sqlite3_prepare_v2(db, sql, -1, ret, NULL);

	return rc == SQLITE_OK ? 0 : fail_db(db, db_errno(rc), err);
}

/* What a query with one number gives, which is one number. */
static int query(sqlite3 *db, const char *sql, int64_t arg, int64_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(finalize) = NULL;
	int r = prepare(db, sql, &st, err);

	if (r == 0 && sqlite3_bind_parameter_count(st) > 0)
		r = db_bind(st, "i", arg);
	if (r == 0)
		r = db_step(st);
	if (r < 0)
		return fail_db(db, r, err);
	*ret = r == DB_ROW ? sqlite3_column_int64(st, 0) : 0;
	return 0;
}

/* Runs a statement with one or two numbers. */
static int run(sqlite3 *db, const char *sql, int64_t a, int64_t b, struct error *err)
{
	sqlite3_stmt *st cleanup(finalize) = NULL;
	int r = prepare(db, sql, &st, err);

	if (r == 0)
		r = sqlite3_bind_parameter_count(st) == 1 ? db_bind(st, "i", a)
							  : db_bind(st, "ii", a, b);
	if (r == 0)
		r = db_run(st);
	return r < 0 ? fail_db(db, r, err) : 0;
}

/* ---- the ring ---- */

struct data_key *seal_find_key(struct seal *s, int64_t id)
{
	for (size_t i = s->n_keys; i-- > 0;)
		if (s->keys[i].id == id)
			return &s->keys[i];
	return NULL;
}

static struct seal_kek *find_kek(const struct seal *s, uint64_t fingerprint)
{
	for (size_t i = 0; i < s->n_keks; i++)
		if (kek_fingerprint(s->keks[i]) == fingerprint)
			return s->keks[i];
	return NULL;
}

int seal_keep_key(struct seal *s, int64_t id, uint64_t kek, const void *wrapped, size_t len,
		  struct error *err)
{
	struct seal_kek *k = find_kek(s, kek);
	struct data_key *d = &s->keys[s->n_keys];
	int r;

	if (seal_find_key(s, id))
		return 0;
	if (!k)
		return -ENOKEY;
	if (s->n_keys == SEAL_KEYS_MAX) {
		error_set(err, "more than %d data keys", SEAL_KEYS_MAX);
		return -ENOSPC;
	}
	if (id <= 0 || len != SEAL_WRAPPED_BYTES)
		return -EBADMSG;
	r = kek_unwrap(k, wrapped, d->key, err);
	if (r < 0)
		return r;
	d->id = id;
	d->kek = kek;
	s->n_keys++;
	return 0;
}

static void drop_key(struct seal *s, size_t i)
{
	s->keys[i] = s->keys[--s->n_keys];
	explicit_bzero(&s->keys[s->n_keys], sizeof(s->keys[0]));
	s->in.id = s->out.id = 0; /* their key schedules may be its */
}

void seal_drop_keys(struct seal *s)
{
	while (s->n_keys > 0)
		drop_key(s, s->n_keys - 1);
	s->current = 0;
	s->used = s->reserved = 0;
	s->stale = false;
}

/* ---- whether rows can be read ---- */

/* The first data key that has rows, and no copy of which was wrapped by a key that is here. Rows
 * are looked for only where that is so: it may mean to read through all of them. */
static int find_locked(const struct seal *s, sqlite3 *db, uint64_t *ret_kek, struct error *err)
{
	static const char sql[] = "SELECT id, min(kek), max(kek) FROM (SELECT id, kek FROM key"
				  " UNION ALL SELECT id, kek FROM key_spare) GROUP BY id";
	sqlite3_stmt *st cleanup(finalize) = NULL;
	int r = prepare(db, sql, &st, err);

	if (r < 0)
		return r;
	while ((r = db_step(st)) == DB_ROW) {
		uint64_t a = (uint64_t)sqlite3_column_int64(st, 1);
		uint64_t b = (uint64_t)sqlite3_column_int64(st, 2);
		int64_t rows = 0;

		if (s && (find_kek(s, a) || find_kek(s, b)))
			continue;
		r = query(db, "SELECT EXISTS (SELECT 1 FROM batch WHERE key = ?)",
			  sqlite3_column_int64(st, 0), &rows, err);
		if (r < 0)
			return r;
		if (rows > 0) {
			*ret_kek = a;
			return -ENOKEY;
		}
	}
	return r < 0 ? fail_db(db, r, err) : 0;
}

static int fail_locked(const struct seal *s, sqlite3 *db, uint64_t kek, struct error *err)
{
	int64_t rows;
	int r = query(db,
		      "SELECT count(*) FROM batch WHERE key IN (SELECT id FROM key WHERE kek = ?1"
		      " UNION SELECT id FROM key_spare WHERE kek = ?1)",
		      (int64_t)kek, &rows, err);

	if (r < 0)
		return r;
	if (s && s->n_keks > 0)
		error_set(err,
			  "%" PRId64 " rows are encrypted with key %016" PRIx64
			  ", and the one given is %016" PRIx64 ": nothing was changed",
			  rows, kek, kek_fingerprint(s->keks[0]));
	else
		error_set(err,
			  "%" PRId64 " rows are encrypted with key %016" PRIx64
			  ", and no key is configured: nothing was changed",
			  rows, kek);
	return -ENOKEY;
}

int seal_check(const struct seal *s, sqlite3 *db, struct error *err)
{
	uint64_t kek = 0;
	int r = find_locked(s, db, &kek, err);

	return r == -ENOKEY ? fail_locked(s, db, kek, err) : r;
}

/* ---- writing ---- */

/* Both copies. rows: of a key that is new, or whose first copy was lost. */
static int write_key(struct seal *s, struct data_key *d, int64_t rows, struct error *err)
{
	static const char *const sql[] = {
		"INSERT INTO key (id, created_ns, kek, rows, wrapped) VALUES (?, ?, ?, ?, ?)"
		" ON CONFLICT (id) DO UPDATE SET kek = excluded.kek, wrapped = excluded.wrapped",
		"INSERT OR REPLACE INTO key_spare (id, kek, wrapped) VALUES (?, ?, ?)",
	};
	uint8_t wrapped[SEAL_WRAPPED_BYTES];
	uint64_t kek = kek_fingerprint(s->keks[0]);
	sqlite3_stmt *st[2] = {NULL, NULL};
	int r = kek_wrap(s->keks[0], d->key, wrapped, err);

	if (r < 0)
		return r;
	r = db_prepare(s->db, sql, st, array_len(sql), err);
	if (r == 0)
		r = db_bind(st[0], "iiiib", d->id, timebase_wall(s->tb).ns, (int64_t)kek, rows,
			    (const void *)wrapped, sizeof(wrapped));
	if (r == 0)
		r = db_run(st[0]);
	if (r == 0)
		r = db_bind(st[1], "iib", d->id, (int64_t)kek, (const void *)wrapped,
			    sizeof(wrapped));
	if (r == 0)
		r = db_run(st[1]);
	if (r < 0)
		error_set(err, "data keys: %s", sqlite3_errmsg(s->db));
	else
		d->kek = kek;
	db_finalize(st, array_len(sql));
	return r;
}

static int next_id(struct seal *s, int64_t *ret, struct error *err)
{
	/* As AUTOINCREMENT has it; both, as a table may have been damaged. */
	int r = query(s->db,
		      "SELECT 1 + max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = "
		      "'key'), 0), coalesce((SELECT max(id) FROM key_spare), 0))",
		      0, ret, err);

	return r == 0 && *ret <= 0 ? -EBADMSG : r;
}

static int64_t block(const struct seal *s)
{
	return s->max_rows < RESERVE_ROWS ? s->max_rows : RESERVE_ROWS;
}

static int make_key(struct seal *s, struct error *err)
{
	struct data_key *d = &s->keys[s->n_keys];
	int r;

	if (s->n_keys == SEAL_KEYS_MAX) {
		error_set(err, "%d data keys have rows: the newest serves on", SEAL_KEYS_MAX);
		return -ENOSPC;
	}
	r = next_id(s, &d->id, err);
	if (r < 0)
		return r;
	random_bytes(d->key, sizeof(d->key));
	r = write_key(s, d, block(s), err);
	if (r < 0) {
		explicit_bzero(d, sizeof(*d));
		return r;
	}
	s->n_keys++;
	s->current = d->id;
	s->used = 0;
	s->reserved = block(s);
	return 0;
}

static int reserve(struct seal *s, struct error *err)
{
	int64_t rows = s->used + block(s);
	int r = run(s->db, "UPDATE key SET rows = ? WHERE id = ?", rows, s->current, err);

	if (r == 0)
		s->reserved = rows;
	return r;
}

/* ---- opening ---- */

/* Zeroes what is overwritten: what the previous key had wrapped does not stay in the file's free
 * space. Returns the mode that was, or -errno. */
static int set_secure_delete(sqlite3 *db, int mode, struct error *err)
{
	static const char *const sql[] = {"PRAGMA secure_delete = OFF", "PRAGMA secure_delete = ON",
					  "PRAGMA secure_delete = FAST"};
	int64_t was = 0, is;
	int r = query(db, "PRAGMA secure_delete", 0, &was, err);

	if (r == 0)
		r = query(db, sql[mode], 0, &is, err);
	return r < 0 ? r : was >= 0 && was < (int64_t)array_len(sql) ? (int)was : 0;
}

/* Every data key of which one copy can be unwrapped. */
static int load_keys(struct seal *s, struct error *err)
{
	static const char sql[] = "SELECT id, kek, wrapped FROM key UNION ALL"
				  " SELECT id, kek, wrapped FROM key_spare";
	sqlite3_stmt *st cleanup(finalize) = NULL;
	int r = prepare(s->db, sql, &st, err);

	while (r == 0) {
		r = db_step(st);
		if (r != DB_ROW)
			return r < 0 ? fail_db(s->db, r, err) : 0;
		r = seal_keep_key(s, sqlite3_column_int64(st, 0),
				  (uint64_t)sqlite3_column_int64(st, 1), sqlite3_column_blob(st, 2),
				  (size_t)sqlite3_column_bytes(st, 2), err);
		/* Its rows will be found damaged, each in its turn; without rows it is deleted. */
		if (r == -EBADMSG || r == -ENOKEY)
			r = 0;
	}
	return r;
}

static int64_t newest(const struct seal *s)
{
	int64_t id = 0;

	for (size_t i = 0; i < s->n_keys; i++)
		if (s->keys[i].id > id)
			id = s->keys[i].id;
	return id;
}

/* The first data key but one that has no rows; 0: none. Rows in the quarantine count: somebody may
 * look at them. */
static int find_unused(struct seal *s, int64_t but, int64_t *ret, struct error *err)
{
	return query(s->db,
		     "SELECT k.id FROM (SELECT id FROM key UNION SELECT id FROM key_spare) k"
		     " WHERE k.id <> ?"
		     " AND NOT EXISTS (SELECT 1 FROM batch WHERE key = k.id)"
		     " AND NOT EXISTS (SELECT 1 FROM quarantine WHERE key = k.id) LIMIT 1",
		     but, ret, err);
}

static int delete_unused(struct seal *s, struct error *err)
{
	int64_t id = 0, but = newest(s);
	int r;

	while ((r = find_unused(s, but, &id, err)) == 0 && id != 0) {
		struct data_key *d = seal_find_key(s, id);

		r = run(s->db, "DELETE FROM key WHERE id = ?", id, 0, err);
		if (r == 0)
			r = run(s->db, "DELETE FROM key_spare WHERE id = ?", id, 0, err);
		if (r < 0)
			return r;
		if (d)
			drop_key(s, (size_t)(d - s->keys));
	}
	return r;
}

/* Both copies are there, and say the same. */
static int has_copies(struct seal *s, int64_t id, int64_t *ret, struct error *err)
{
	return query(s->db,
		     "SELECT count(*) FROM key k JOIN key_spare s ON s.id = k.id"
		     " WHERE k.id = ? AND s.kek = k.kek AND s.wrapped = k.wrapped",
		     id, ret, err);
}

/* What another key-encryption key has wrapped is wrapped anew, and a copy that was lost is made. */
static int wrap_anew(struct seal *s, bool *ret_rotated, struct error *err)
{
	for (size_t i = 0; i < s->n_keys; i++) {
		struct data_key *d = &s->keys[i];
		bool other = d->kek != kek_fingerprint(s->keks[0]);
		int64_t copies;
		int r = has_copies(s, d->id, &copies, err);

		if (r == 0 && (other || copies == 0))
			r = write_key(s, d, SEAL_ROWS_LIMIT, err);
		if (r < 0)
			return r;
		*ret_rotated |= other;
	}
	return 0;
}

/* Rather the old one for longer, far within its limit, than none: a token may be away. Not where
 * the database has ended the transaction, as it may without memory: what follows would be on its
 * own. */
static int next_key(struct seal *s, struct error *err)
{
	bool was_on_its_own = sqlite3_get_autocommit(s->db);
	int r = make_key(s, &s->trouble);

	if (r == 0)
		return 0;
	if (sqlite3_get_autocommit(s->db) != was_on_its_own || s->current == 0 ||
	    s->used >= SEAL_ROWS_LIMIT) {
		error_set(err, "%s", s->trouble.text);
		return r;
	}
	s->is_trouble = true;
	return reserve(s, err);
}

/* The newest data key serves on, or a new one where it may not. */
static int take_newest(struct seal *s, bool may, struct error *err)
{
	int64_t id = newest(s), rows = 0;
	int r = query(s->db, "SELECT rows FROM key WHERE id = ?", id, &rows, err);

	if (r < 0)
		return r;
	if (rows < 0 || rows > SEAL_ROWS_LIMIT)
		rows = SEAL_ROWS_LIMIT;
	s->current = id;
	s->used = s->reserved = rows;
	return may && id != 0 && rows < s->max_rows ? 0 : next_key(s, err);
}

static int tidy(struct seal *s, struct error *err)
{
	bool rotated = false;
	int r = delete_unused(s, err);

	if (r < 0 || !s->writes)
		return r;
	r = wrap_anew(s, &rotated, err);
	if (r < 0)
		return r;
	/* Who has the previous key and an old copy of the file has the old data keys. */
	return take_newest(s, !rotated, err);
}

int seal_attach(struct seal *s, sqlite3 *db, struct error *err)
{
	int r = seal_check(s, db, err);
	int was;

	if (r < 0)
		return r;
	seal_drop_keys(s);
	s->db = db;
	r = load_keys(s, err);
	if (r < 0)
		return r;
	was = set_secure_delete(db, 1, err);
	if (was < 0)
		return was;
	r = tidy(s, err);
	was = set_secure_delete(db, was, NULL);
	return r < 0 ? r : was < 0 ? was : 0;
}

/* ---- running ---- */

/* After a rollback: what the file does not have is forgotten. */
static int reload(struct seal *s, struct error *err)
{
	bool kept = false;

	for (size_t i = s->n_keys; i-- > 0;) {
		int64_t n = 0;
		int r = query(s->db, "SELECT count(*) FROM key WHERE id = ?", s->keys[i].id, &n,
			      err);

		if (r < 0)
			return r;
		if (n == 0)
			drop_key(s, i);
		else
			kept |= s->keys[i].id == s->current;
	}
	s->stale = false;
	/* Rows that were sealed and rolled back count: their nonces are used. */
	return kept ? query(s->db, "SELECT rows FROM key WHERE id = ?", s->current, &s->reserved,
			    err)
		    : take_newest(s, true, err);
}

int seal_ready(struct seal *s)
{
	if (s->stale) {
		int r = reload(s, &s->trouble);

		if (r < 0) {
			s->stale = true;
			return r;
		}
	}
	if (s->used < s->reserved)
		return 0;
	return s->used < s->max_rows ? reserve(s, NULL) : next_key(s, NULL);
}
