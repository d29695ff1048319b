#include "tests/faults/shim/durable.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILES_MAX = 32,
	RANGES_MAX = 8192, /* then the whole file counts as changed */
	COPY_BYTES = 64 << 10,
};

struct range {
	sqlite3_int64 from, to;
};

struct durable {
	char *path; /* of the real file; NULL: free */
	int fd;	    /* of the copy */
	unsigned users;
	bool all; /* changed, more than ranges tell */
	size_t n;
	struct range ranges[RANGES_MAX]; /* written since the last sync */
};

static struct durable *files[FILES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The harness must not take a copy that lacks something for a true one. */
static void give_up(const char *what, const char *path)
{
	fprintf(stderr, "towline_faults: %s %s\n", what, path);
	abort();
}

static bool copy_path(const char *path, char *ret, size_t size)
{
	const char *dir = getenv("TOWLINE_FAULTS_DURABLE"), *slash = strrchr(path, '/');
	int n = dir ? snprintf(ret, size, "%s/%s", dir, slash ? slash + 1 : path) : -1;

	return n > 0 && (size_t)n < size;
}

static void copy_range(struct durable *d, sqlite3_file *real, sqlite3_int64 from, sqlite3_int64 to)
{
	static char data[COPY_BYTES]; /* under the lock */

	while (from < to) {
		int len = to - from < COPY_BYTES ? (int)(to - from) : COPY_BYTES;

		if (real->pMethods->xRead(real, data, len, from) != SQLITE_OK)
			give_up("cannot read", d->path);
		if (pwrite(d->fd, data, (size_t)len, from) != len)
			give_up("cannot copy", d->path);
		from += len;
	}
}

static void copy_changes(struct durable *d, sqlite3_file *real)
{
	sqlite3_int64 size = 0;

	if (real->pMethods->xFileSize(real, &size) != SQLITE_OK)
		give_up("cannot size", d->path);
	if (d->all) {
		d->ranges[0] = (struct range){0, size};
		d->n = 1;
	}
	for (size_t i = 0; i < d->n; i++)
		copy_range(d, real, d->ranges[i].from,
			   d->ranges[i].to < size ? d->ranges[i].to : size);
	if (ftruncate(d->fd, size) < 0)
		give_up("cannot cut", d->path);
	d->n = 0;
	d->all = false;
}

static struct durable *find(const char *path)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (files[i] && files[i]->path && strcmp(files[i]->path, path) == 0)
			return files[i];
	return NULL;
}

static struct durable *take_free(void)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		if (!files[i])
			files[i] = calloc(1, sizeof(*files[i]));
		if (files[i] && !files[i]->path)
			return files[i];
	}
	return NULL;
}

static void drop(struct durable *d)
{
	(void)close(d->fd);
	free(d->path);
	d->path = NULL;
}

static struct durable *begin(const char *path, const char *copy, sqlite3_file *real)
{
	struct durable *d = take_free();

	if (!d)
		give_up("too many files:", path);
	d->path = strdup(path);
	d->fd = open(copy, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (!d->path || d->fd < 0)
		give_up("cannot make", copy);
	d->users = 0;
	d->all = true;
	copy_changes(d, real);
	return d;
}

struct durable *durable_open(const char *path, sqlite3_file *real)
{
	char copy[4096];
	struct durable *d;

	if (!path || !copy_path(path, copy, sizeof(copy)))
		return NULL;
	pthread_mutex_lock(&lock);
	d = find(path);
	if (!d)
		d = begin(path, copy, real);
	d->users++;
	pthread_mutex_unlock(&lock);
	return d;
}

void durable_close(struct durable *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&lock);
	if (--d->users == 0)
		drop(d);
	pthread_mutex_unlock(&lock);
}

void durable_written(struct durable *d, sqlite3_int64 at, int len)
{
	if (!d)
		return;
	pthread_mutex_lock(&lock);
	if (d->n > 0 && d->ranges[d->n - 1].to == at)
		d->ranges[d->n - 1].to += len;
	else if (d->n == RANGES_MAX)
		d->all = true;
	else
		d->ranges[d->n++] = (struct range){at, at + len};
	pthread_mutex_unlock(&lock);
}

void durable_synced(struct durable *d, sqlite3_file *real)
{
	if (!d)
		return;
	pthread_mutex_lock(&lock);
	copy_changes(d, real);
	pthread_mutex_unlock(&lock);
}

void durable_deleted(const char *path)
{
	char copy[4096];

	if (copy_path(path, copy, sizeof(copy)))
		(void)unlink(copy);
}
