/* Any changes of the tables of data keys, between starts, rotations and rollbacks: where the outbox
 * is taken, a new row comes back as it was, and any bytes may be given as a sealed row. */
#include "agent/store/seal.h"
#include "base/db.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS_A_KEY = 2, OPS_MAX = 40, BODY_MAX = 1 << 16 };

static struct seal *seals[3]; /* key 1; key 2 after 1; 1 for reading only */
static sqlite3 *db;

/* A key file without a file. */
static const char *key_file(char path[static 40], int value)
{
	int fd = memfd_create("key", MFD_CLOEXEC);
	uint8_t key[32];

	memset(key, value, sizeof(key));
	if (fd < 0 || fchmod(fd, 0600) < 0 || write(fd, key, sizeof(key)) != (ssize_t)sizeof(key))
		abort();
	(void)snprintf(path, 40, "/proc/self/fd/%d", fd);
	return path;
}

static void set_up(void)
{
	char one[40], two[40];
	const char *first = key_file(one, 1), *second = key_file(two, 2);
	const struct seal_options opt[] = {
		{.key_file = first},
		{.key_file = second, .previous_key_file = first},
		{.previous_key_file = first},
	};

	for (size_t i = 0; i < array_len(opt); i++) {
		struct seal_options o = opt[i];

		o.data_key_max_rows = ROWS_A_KEY;
		o.tb = timebase_system();
		if (seal_new(&seals[i], &o, NULL) < 0)
			abort();
	}
	if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
	    db_exec(db, SEAL_SCHEMA "CREATE TABLE batch (id INTEGER PRIMARY KEY, key INTEGER);"
				    "CREATE TABLE quarantine (id INTEGER PRIMARY KEY, "
				    "key INTEGER)") < 0)
		abort();
}

static void clear(void)
{
	if (db_exec(db, "DELETE FROM key; DELETE FROM key_spare; DELETE FROM batch;"
			"DELETE FROM quarantine; DELETE FROM sqlite_sequence") < 0)
		abort();
}

/* Runs a statement with one blob, which may fail (a number that is there already). */
static void change(const char *sql, const void *data, size_t len)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_bind_blob(st, 1, data, (int)len, SQLITE_STATIC) != SQLITE_OK)
		abort();
	(void)sqlite3_step(st);
	sqlite3_finalize(st);
}

static void put(struct seal *s, bool roll_back)
{
	struct buf out cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct buf back cleanup(buf_free) = BUF_INIT(BODY_MAX);
	static const struct seal_row row = {1, 2, 3};
	static const char *const insert = "INSERT INTO batch (key) VALUES (?)";
	sqlite3_stmt *st;
	int64_t key;

	if (db_exec(db, "BEGIN") < 0 || db_prepare(db, &insert, &st, 1, NULL) < 0)
		abort();
	if (seal_encrypt(s, &row, "plain", 5, &out, &key) == 0 &&
	    (db_bind(st, "i", key) < 0 || db_run(st) < 0 ||
	     (key != 0 && seal_decrypt(s, &row, key, out.data, out.len, &back) < 0) ||
	     (key != 0 && (back.len != 5 || memcmp(back.data, "plain", 5) != 0))))
		abort();
	db_finalize(&st, 1);
	if (db_exec(db, roll_back ? "ROLLBACK" : "COMMIT") < 0)
		abort();
	if (roll_back)
		seal_rolled_back(s);
}

static struct seal *attach(struct seal *s, struct seal *was)
{
	int r;

	if (db_exec(db, "BEGIN") < 0)
		abort();
	r = seal_attach(s, db, NULL);
	if (db_exec(db, r < 0 ? "ROLLBACK" : "COMMIT") < 0)
		abort();
	if (r < 0 && s == was)
		return NULL; /* as the store, which would not be open */
	return r < 0 ? was : s;
}

static void open_any(struct seal *s, struct cursor *c)
{
	struct buf back cleanup(buf_free) = BUF_INIT(BODY_MAX);
	static const struct seal_row row = {1, 2, 3};
	int64_t key = (int8_t)cursor_u8(c);
	size_t len = cursor_left(c) < 40 ? cursor_left(c) : 40;

	if (seal_decrypt(s, &row, key, cursor_take(c, len), len, &back) == 0)
		abort(); /* forged */
}

static const char *const changes[] = {
	"UPDATE key SET wrapped = ?",
	"UPDATE key_spare SET wrapped = ?",
	"UPDATE key SET kek = unicode(?)",
	"UPDATE key_spare SET kek = unicode(?)",
	"UPDATE key SET rows = -9223372036854775808 + length(?)",
	"UPDATE key SET rows = 9223372036854775807 - length(?)",
	"UPDATE OR IGNORE key SET id = unicode(?) - 60",
	"UPDATE OR IGNORE key SET id = 9223372036854775807 - length(?)",
	"UPDATE OR IGNORE key_spare SET id = unicode(?) - 60",
	"DELETE FROM key WHERE length(?) > 0",
	"DELETE FROM key_spare WHERE length(?) > 0",
	"INSERT INTO key (created_ns, kek, rows, wrapped) SELECT 0, kek, 0, ? FROM key_spare",
	"DELETE FROM batch WHERE length(?) > 0",
	"UPDATE batch SET key = unicode(?) - 60",
	"INSERT INTO quarantine (key) SELECT id FROM key WHERE length(?) > 0",
};

static struct seal *step(struct seal *s, struct cursor *c)
{
	uint8_t op = cursor_u8(c);
	size_t len;

	if (op < array_len(seals))
		return attach(seals[op], s);
	op = (uint8_t)(op - array_len(seals));
	if (op < array_len(changes)) {
		len = cursor_u8(c) % 64;
		len = len < cursor_left(c) ? len : cursor_left(c);
		change(changes[op], cursor_take(c, len), len);
		return NULL; /* nobody has it open meanwhile */
	}
	if (s && op % 3 == 0)
		open_any(s, c);
	else if (s)
		put(s, op % 3 == 1);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct seal *s = NULL;

	if (!db)
		set_up();
	clear();
	for (int i = 0; i < OPS_MAX && cursor_left(&c) > 0; i++)
		s = step(s, &c);
	return 0;
}
