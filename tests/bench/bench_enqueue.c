/* Durable enqueue: rows a second that store_put commits, next to a bare prepared INSERT of the same
 * blobs into a table of a fresh SQLite file with the same synchronous mode and the same number of
 * rows a transaction. The two take turns, each on a file of its own. Then what a row costs flash.
 *
 * bench_enqueue [--rows N] [--rounds N] [--json FILE]
 * Files lie under TMPDIR or /var/tmp, which must be on disk. */
#include "agent/store/store.h"
#include "tests/bench/common.h"
#include "tests/bench/common_disk.h"
#include "tests/bench/common_versus.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TXN_MAX = 8, BODY_MAX = 32768 };

/* rav4_2017: 50 signals at 1 Hz and at 10 Hz for 10 s; all signals until the batch is full; and
 * what a slower log fills a batch with. */
static const size_t body_sizes[] = {620, 3700, 10500, 25000};
static const size_t txn_sizes[] = {1, 3};

/* Before the clock starts: a log that still grows makes each sync write the file's size too. */
enum { WARM_UP_BYTES = 8 << 20 };

struct bench {
	size_t rows, rounds; /* rows of a round */
	uint8_t bodies[TXN_MAX][BODY_MAX];
	json_t *json_rates, *json_flash;
};

static void path_of(const char *name, char *ret, size_t size)
{
	snprintf(ret, size, "%s/%s", bench_disk_folder(), name);
}

static void remove_database(const char *name)
{
	static const char *const tails[] = {"", "-wal", "-shm", ".unsaved"};
	char path[256];

	for (size_t i = 0; i < array_len(tails); i++) {
		snprintf(path, sizeof(path), "%s/%s%s", bench_disk_folder(), name, tails[i]);
		(void)!unlink(path);
	}
}

/* ---- ours ---- */

static struct store *open_ours(const char *name)
{
	struct store_options opt = {
		.max_bytes = (int64_t)4 << 30, .boot_id = 1, .tb = timebase_system()};
	struct store_opened opened;
	struct error err = {""};
	struct store *s;
	char path[256];

	path_of(name, path, sizeof(path));
	if (store_open(&s, path, &opt, &opened, &err) < 0)
		bench_die("%s", err.text);
	return s;
}

static void put_ours(struct bench *b, struct store *s, size_t len, size_t n)
{
	struct store_item items[TXN_MAX];
	struct store_dropped dropped;
	struct store_count stored;

	for (size_t i = 0; i < n; i++)
		items[i] = (struct store_item){.class = CLASS_EVENT,
					       .samples = 500,
					       .encoding = 1,
					       .body = b->bodies[i],
					       .body_len = len};
	if (store_put(s, items, n, &stored, &dropped) < 0 || stored.rows != n)
		bench_die("store_put");
}

static size_t warm_up_rows(size_t len, size_t txn)
{
	return WARM_UP_BYTES / (len + 4096) / txn * txn;
}

static double rate_ours(struct bench *b, size_t len, size_t txn, uint64_t *ret_syncs)
{
	struct store *s = open_ours("ours.db");
	uint64_t syncs0;
	double seconds;
	int64_t t0;

	for (size_t row = 0; row < warm_up_rows(len, txn); row += txn)
		put_ours(b, s, len, txn);
	syncs0 = bench_disk_syncs();
	t0 = bench_now_ns();
	for (size_t row = 0; row < b->rows; row += txn)
		put_ours(b, s, len, txn);
	seconds = (double)(bench_now_ns() - t0) / 1e9;
	*ret_syncs += bench_disk_syncs() - syncs0;
	store_close(s);
	remove_database("ours.db");
	return (double)b->rows / seconds;
}

/* ---- the limit ---- */

struct bare {
	sqlite3 *db;
	sqlite3_stmt *insert;
};

static void must_sql(struct bare *bare, const char *sql)
{
	if (sqlite3_exec(bare->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		bench_die("%s: %s", sql, sqlite3_errmsg(bare->db));
}

static void open_bare(struct bare *bare, const char *name)
{
	char path[256];

	path_of(name, path, sizeof(path));
	if (sqlite3_open(path, &bare->db) != SQLITE_OK)
		bench_die("%s: %s", path, sqlite3_errmsg(bare->db));
	must_sql(bare, "PRAGMA journal_mode = WAL");
	must_sql(bare, "PRAGMA synchronous = FULL");
	must_sql(bare, "CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB NOT NULL)");
	if (sqlite3_prepare_v2(bare->db, "INSERT INTO t (body) VALUES (?)", -1, &bare->insert,
			       NULL) != SQLITE_OK)
		bench_die("%s", sqlite3_errmsg(bare->db));
}

static void put_bare(struct bench *b, struct bare *bare, size_t len, size_t n)
{
	if (n > 1)
		must_sql(bare, "BEGIN");
	for (size_t i = 0; i < n; i++) {
		if (sqlite3_bind_blob(bare->insert, 1, b->bodies[i], (int)len, SQLITE_STATIC) !=
			    SQLITE_OK ||
		    sqlite3_step(bare->insert) != SQLITE_DONE)
			bench_die("INSERT: %s", sqlite3_errmsg(bare->db));
		sqlite3_reset(bare->insert);
	}
	if (n > 1)
		must_sql(bare, "COMMIT");
}

static void close_bare(struct bare *bare)
{
	sqlite3_finalize(bare->insert);
	sqlite3_close(bare->db);
}

static double rate_bare(struct bench *b, size_t len, size_t txn, uint64_t *ret_syncs)
{
	struct bare bare;
	uint64_t syncs0;
	double seconds;
	int64_t t0;

	open_bare(&bare, "bare.db");
	for (size_t row = 0; row < warm_up_rows(len, txn); row += txn)
		put_bare(b, &bare, len, txn);
	syncs0 = bench_disk_syncs();
	t0 = bench_now_ns();
	for (size_t row = 0; row < b->rows; row += txn)
		put_bare(b, &bare, len, txn);
	seconds = (double)(bench_now_ns() - t0) / 1e9;
	*ret_syncs += bench_disk_syncs() - syncs0;
	close_bare(&bare);
	remove_database("bare.db");
	return (double)b->rows / seconds;
}

static void measure_rates(struct bench *b, size_t len, size_t txn)
{
	uint64_t bare_syncs = 0, our_syncs = 0;
	char name[64];
	struct versus v = {.name = name, .unit = "rows"};
	double rows = (double)(b->rows * b->rounds);

	snprintf(name, sizeof(name), "store_put: %zu bytes, %zu a commit", len, txn);
	for (size_t i = 0; i < b->rounds; i++) {
		double bare = rate_bare(b, len, txn, &bare_syncs);

		versus_add(&v, bare, rate_ours(b, len, txn, &our_syncs));
	}
	versus_print(&v);
	printf("%-40s %10.2f %10.2f\n", "   syncs a row", (double)bare_syncs / rows,
	       (double)our_syncs / rows);
	json_array_append_new(b->json_rates, versus_json(&v));
}

/* ---- flash ---- */

static double flash_bare(struct bench *b, size_t len)
{
	int64_t before = bench_disk_bytes();
	struct bare bare;

	open_bare(&bare, "bare.db");
	for (size_t row = 0; row < b->rows; row++)
		put_bare(b, &bare, len, 1);
	close_bare(&bare);
	remove_database("bare.db");
	return (double)(bench_disk_bytes() - before) / (double)(len * b->rows);
}

static void ack(struct store *s, uint64_t through)
{
	struct receipt_range range = {1, through};
	struct store_count count;

	if (store_ack(s, CLASS_EVENT, &range, 1, &count) < 0)
		bench_die("store_ack");
}

/* late: how many rows a receipt comes behind, 0: none comes. */
static double flash_ours(struct bench *b, size_t len, size_t late)
{
	int64_t before = bench_disk_bytes();
	struct store *s = open_ours("ours.db");

	for (size_t row = 1; row <= b->rows; row++) {
		put_ours(b, s, len, 1);
		if (late && row > late)
			ack(s, row - late);
	}
	store_close(s);
	remove_database("ours.db");
	return (double)(bench_disk_bytes() - before) / (double)(len * b->rows);
}

static void measure_flash(struct bench *b, size_t len)
{
	double bare = flash_bare(b, len), online = flash_ours(b, len, 1),
	       offline = flash_ours(b, len, 0);

	printf("%12zu %12.2f %12.2f %12.2f\n", len, bare, offline, online);
	json_array_append_new(
		b->json_flash,
		bench_must(json_pack("{s:I, s:f, s:f, s:f}", "body_bytes", (json_int_t)len,
				     "bare_insert", bare, "offline", offline, "online", online)));
}

/* ---- the whole ---- */

static void fill_bodies(struct bench *b)
{
	for (size_t i = 0; i < TXN_MAX; i++)
		for (size_t at = 0; at < BODY_MAX; at += sizeof(uint64_t)) {
			uint64_t r = bench_rnd();

			memcpy(b->bodies[i] + at, &r, sizeof(r));
		}
}

static void run(struct bench *b)
{
	fill_bodies(b);
	b->json_rates = bench_must(json_array());
	b->json_flash = bench_must(json_array());
	printf("on %s, synchronous = FULL\n", (bench_disk_folder(), bench_disk_kind()));
	versus_print_head();
	for (size_t i = 0; i < array_len(body_sizes); i++)
		for (size_t k = 0; k < array_len(txn_sizes); k++)
			measure_rates(b, body_sizes[i], txn_sizes[k]);
	printf("\nbytes written to disk per byte of body, one row a commit, until the file is "
	       "closed\n%12s %12s %12s %12s\n",
	       "body bytes", "bare INSERT", "offline", "online");
	for (size_t i = 0; i < array_len(body_sizes); i++)
		measure_flash(b, body_sizes[i]);
}

int main(int argc, char **argv)
{
	double rows = 600, rounds = 5;
	const struct bench_number numbers[] = {{"rows", &rows, 24, 100000},
					       {"rounds", &rounds, 1, VERSUS_ROUNDS_MAX}};
	struct bench_args args = {.usage = "[--rows N] [--rounds N] [--json FILE]",
				  .numbers = numbers,
				  .n_numbers = array_len(numbers)};
	static struct bench b;

	bench_args_parse(&args, argc, argv);
	b.rows = (size_t)rows / 24 * 24; /* whole transactions */
	b.rounds = (size_t)rounds;
	run(&b);
	bench_json_write(
		bench_must(json_pack("{s:s, s:I, s:o, s:o}", "file_system", bench_disk_kind(),
				     "rows", (json_int_t)b.rows, "rates", b.json_rates,
				     "bytes_written_per_byte", b.json_flash)),
		args.json);
	return EXIT_SUCCESS;
}
