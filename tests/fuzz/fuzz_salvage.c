/* Any bytes as a damaged outbox: 4 bytes, big-endian, of the file's length, the file, its log. What
 * is salvaged must be what its checksum says, and no row both taken over and lost. */
#include "agent/store/row.h"
#include "agent/store/salvage.h"
#include "agent/store/seq_set.h"
#include "proto/envelope.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[64];
static struct seq_set taken[CLASS_COUNT];

static void write_file(const char *suffix, const uint8_t *data, size_t size)
{
	char name[80];
	int fd;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

static int on_row(void *ctx, const struct salvage_row *row)
{
	uint64_t *epoch = ctx;
	uint8_t sum = 0;

	for (size_t i = 0; i < row->body_len; i++) /* all of it may be read */
		sum ^= ((const uint8_t *)row->body)[i];
	if (row->class >= CLASS_COUNT || row->encoding == ENCODING_GAP || sum > UINT8_MAX)
		abort();
	if (row->origin_seq == 0 || row->origin_epoch != *epoch)
		return 0;
	if (seq_set_has(&taken[row->class], row->origin_seq) ||
	    seq_set_add(&taken[row->class], row->origin_seq, row->origin_seq) < 0)
		abort();
	return 0;
}

static int on_gap(void *ctx, enum uplink_class class, uint64_t epoch, uint64_t from,
		  const struct gap *gap)
{
	const uint64_t *own = ctx;
	const struct seq_set *s = &taken[class];

	if (from == 0 || from > gap->through || gap->through > ROW_SEQ_MAX)
		abort();
	/* A gap that the file had may be larger. */
	if (epoch != *own || gap->reason != GAP_CORRUPT || gap->batches != 0)
		return 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->ranges[i].from <= gap->through && s->ranges[i].to >= from &&
		    gap->through == ROW_SEQ_MAX)
			abort();
	return 0;
}

static int on_commit(void *ctx)
{
	(void)ctx;
	return 0;
}

static sqlite3 *make_new(void)
{
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/fuzz-salvage-%d",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
	if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
	    sqlite3_exec(db, "CREATE TABLE batch (id, origin_epoch, origin_seq, encoding)", NULL,
			 NULL, NULL) != SQLITE_OK)
		abort();
	return db;
}

static void remove_files(void)
{
	char name[80];

	(void)unlink(path);
	snprintf(name, sizeof(name), "%s-wal", path);
	(void)unlink(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t epoch = 0xfedcba9876543210;
	struct salvage_aside aside = {.epoch = epoch};
	const struct salvage_sink sink = {on_row, on_gap, on_commit, &epoch};
	static sqlite3 *db;
	struct salvage_result res;
	struct error err;
	size_t len;

	if (!db) {
		db = make_new();
		atexit(remove_files);
	}
	if (size < 4)
		return 0;
	len = (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3];
	len = len < size - 4 ? len : size - 4;
	write_file("", data + 4, len);
	write_file("-wal", data + 4 + len, size - 4 - len);
	snprintf(aside.path, sizeof(aside.path), "%s", path);
	if (salvage_run(&aside, db, NULL, &sink, &res, &err) < 0 && res.rows > 0 &&
	    err.text[0] == 0)
		abort();
	for (size_t k = 0; k < CLASS_COUNT; k++)
		seq_set_free(&taken[k]);
	return 0;
}
