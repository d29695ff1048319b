/* bench_seal: what encryption at rest costs a row, sealed and opened, next to zlib's CRC of it.
 *
 *   bench_seal [--json FILE]
 *
 * Nothing is written: see bench_enqueue for the disk. */
#include "agent/store/seal.h"
#include "base/db.h"
#include "tests/bench/common.h"

#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

enum { BYTES_A_RUN = 16 << 20, ROWS_MAX = 50000, BODY_MAX = 256 << 10 };

static const size_t SIZES[] = {100, 1000, 4000, 16000, 64000, BODY_MAX};

struct result {
	double seal_ns, open_ns, crc_ns; /* a row */
};

/* A key file that is there for as long as it is read. */
static struct seal *make_seal(void)
{
	char path[] = "/tmp/bench_seal_XXXXXX";
	struct seal_options opt = {.key_file = path, .tb = timebase_system()};
	uint8_t key[32];
	int fd = mkstemp(path);
	struct seal *s = NULL;
	struct error err;

	random_bytes(key, sizeof(key));
	if (fd < 0 || write(fd, key, sizeof(key)) != (ssize_t)sizeof(key))
		bench_die("%s: cannot be written", path);
	close(fd);
	if (seal_new(&s, &opt, &err) < 0)
		bench_die("%s", err.text);
	unlink(path);
	return s;
}

static void attach(struct seal *s, sqlite3 *db)
{
	struct error err = {"out of memory"};

	if (db_exec(db, SEAL_SCHEMA "CREATE TABLE batch (id INTEGER PRIMARY KEY, key INTEGER);"
				    "CREATE TABLE quarantine (id INTEGER PRIMARY KEY, key INTEGER);"
				    "BEGIN") < 0 ||
	    seal_attach(s, db, &err) < 0)
		bench_die("%s", err.text);
}

static struct result measure(struct seal *s, const uint8_t *body, size_t len)
{
	struct buf sealed = BUF_INIT(BODY_MAX + SEAL_OVERHEAD), plain = BUF_INIT(BODY_MAX);
	struct seal_row row = {.epoch = 1, .meta = 2};
	size_t n = BYTES_A_RUN / len < ROWS_MAX ? BYTES_A_RUN / len : ROWS_MAX;
	struct result r = {0};
	volatile uLong sum = 0;
	int64_t key = 0, began;

	began = bench_cpu_ns();
	for (row.id = 0; row.id < (int64_t)n; row.id++) {
		buf_clear(&sealed);
		if (seal_encrypt(s, &row, body, len, &sealed, &key) < 0)
			bench_die("a row of %zu bytes was not sealed", len);
	}
	r.seal_ns = (double)(bench_cpu_ns() - began) / (double)n;
	row.id--;
	began = bench_cpu_ns();
	for (size_t i = 0; i < n; i++) {
		buf_clear(&plain);
		if (seal_decrypt(s, &row, key, sealed.data, sealed.len, &plain) < 0)
			bench_die("a row of %zu bytes was not opened", len);
	}
	r.open_ns = (double)(bench_cpu_ns() - began) / (double)n;
	began = bench_cpu_ns();
	for (size_t i = 0; i < n; i++)
		sum = crc32(sum, body, (uInt)len);
	r.crc_ns = (double)(bench_cpu_ns() - began) / (double)n;
	buf_free(&sealed);
	buf_free(&plain);
	return r;
}

static json_t *report(size_t len, const struct result *r)
{
	double n = (double)len;

	printf("%8zu %10.0f %10.0f %10.2f %10.2f %10.2f\n", len, r->seal_ns, r->open_ns,
	       r->seal_ns / n, r->open_ns / n, r->crc_ns / n);
	return json_pack("{s:I, s:f, s:f, s:f}", "bytes", (json_int_t)len, "seal_ns", r->seal_ns,
			 "open_ns", r->open_ns, "crc32_ns", r->crc_ns);
}

int main(int argc, char **argv)
{
	struct bench_args args = {.usage = "[--json FILE]"};
	uint8_t *body = bench_must(malloc(BODY_MAX));
	json_t *root = json_array();
	struct seal *s;
	sqlite3 *db;

	bench_args_parse(&args, argc, argv);
	for (size_t i = 0; i < BODY_MAX; i++)
		body[i] = (uint8_t)bench_rnd();
	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		bench_die("no database in memory");
	s = make_seal();
	attach(s, db);
	puts("   bytes    seal ns    open ns  seal ns/B  open ns/B crc32 ns/B");
	for (size_t i = 0; i < array_len(SIZES); i++) {
		struct result r = measure(s, body, SIZES[i]);

		json_array_append_new(root, report(SIZES[i], &r));
	}
	seal_free(s);
	db_close(db);
	free(body);
	bench_json_write(root, args.json);
	return 0;
}
