/* Setting a damaged outbox aside, such that a crash at any moment is made up for. `<path>.salvage`
 * is written first and names where it goes: without it, an outbox whose log has been renamed and
 * which itself has not would be opened as it was some commits ago, and give seqs a second time. */
#include "agent/store/salvage.h"
#include "agent/store/unsaved.h"
#include "base/bytes.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = SALVAGE_PATH_MAX + 16, TRIES = 1000, ASIDES_MAX = 4 };

static const char *const suffixes[] = {"-wal", "-shm", ""};

/* For cleanup(): closes a file descriptor that may be -1. */
static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static int join(char ret[static NAME_MAX_BYTES], const char *path, const char *suffix)
{
	int n = snprintf(ret, NAME_MAX_BYTES, "%s%s", path, suffix);

	return n < 0 || n >= NAME_MAX_BYTES ? -ENAMETOOLONG : 0;
}

/* What was renamed, made or removed in the folder of path is so on disk. */
static int sync_folder(const char *path)
{
	char copy[NAME_MAX_BYTES];
	int fd cleanup(close_fd) = -1;
	int r = join(copy, path, "");

	if (r < 0)
		return r;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

/* ---- the marker ---- */

static int write_text(const char *name, const char *text)
{
	int fd cleanup(close_fd) = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len = strlen(text);

	if (fd < 0)
		return -errno;
	errno = EIO; /* for what was written in part */
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* A line for each file that is set aside and not done with, the oldest first: where it goes, and
 * its epoch. More than one are there only where the disk had no room for the first. */
struct marker {
	struct salvage_aside at[ASIDES_MAX];
	size_t n;
};

static int marker_name(const char *path, char ret[static NAME_MAX_BYTES])
{
	return join(ret, path, ".salvage");
}

/* It appears whole or not at all. */
static int write_marker(const char *path, const struct marker *m)
{
	char name[NAME_MAX_BYTES], draft[NAME_MAX_BYTES];
	struct buf text cleanup(buf_free) = BUF_INIT(ASIDES_MAX * NAME_MAX_BYTES);
	int r = marker_name(path, name);

	if (r == 0)
		r = join(draft, path, ".salvage-new");
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->n; i++)
		buf_printf(&text, "%016" PRIx64 " %s\n", m->at[i].epoch,
			   m->at[i].path + strlen(path));
	r = text.failed ? text.failed : write_text(draft, buf_text(&text));
	if (r == 0 && rename(draft, name) < 0)
		r = -errno;
	return r < 0 ? r : sync_folder(path);
}

static bool read_line(const char *path, const char *line, struct salvage_aside *ret)
{
	char suffix[64];
	int n;

	*ret = (struct salvage_aside){0};
	if (sscanf(line, "%16" SCNx64 " %63[-.a-z0-9]", &ret->epoch, suffix) != 2 ||
	    strncmp(suffix, ".corrupt-", 9) != 0)
		return false;
	n = snprintf(ret->path, sizeof(ret->path), "%s%s", path, suffix);
	return n > 0 && (size_t)n < sizeof(ret->path);
}

/* Returns 0 with m->n 0 where there is none; -EBADMSG: it says nothing; -errno. */
static int read_marker(const char *path, struct marker *m)
{
	char name[NAME_MAX_BYTES], line[128];
	int r = marker_name(path, name);
	FILE *in;

	m->n = 0;
	if (r < 0)
		return r;
	in = fopen(name, "re");
	if (!in)
		return errno == ENOENT ? 0 : -errno;
	while (m->n < ASIDES_MAX && fgets(line, sizeof(line), in))
		if (read_line(path, line, &m->at[m->n]))
			m->n++;
	(void)fclose(in);
	return m->n == 0 ? -EBADMSG : 0;
}

/* ---- files that were set aside ---- */

/* Calls f with each file in the folder whose name is that of path and ".corrupt-...". */
static void each_aside(const char *path, void (*f)(void *ctx, const char *name), void *ctx)
{
	char folder[NAME_MAX_BYTES], prefix[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
	const char *slash = strrchr(path, '/');
	const struct dirent *e;
	DIR *d;

	if (join(folder, path, "") < 0 || join(prefix, slash ? slash + 1 : path, ".corrupt-") < 0)
		return;
	d = opendir(dirname(folder));
	while (d && (e = readdir(d))) {
		const char *rest = e->d_name + strlen(prefix);
		int n;

		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		n = snprintf(name, sizeof(name), "%s.corrupt-%s", path, rest);
		if (n > 0 && (size_t)n < sizeof(name))
			f(ctx, name);
	}
	if (d)
		(void)closedir(d);
}

/* ---- moving ---- */

/* Returns 0 also where there is nothing to move. */
static int move_one(const char *path, const char *aside, const char *suffix)
{
	char from[NAME_MAX_BYTES], to[NAME_MAX_BYTES];
	int r = join(from, path, suffix);

	if (r == 0)
		r = join(to, aside, suffix);
	if (r < 0)
		return r;
	return rename(from, to) < 0 && errno != ENOENT ? -errno : 0;
}

/* The file itself last: as long as it is there, the others are its own and not a new file's. */
static int move_all(const char *path, const char *aside)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < array_len(suffixes); i++)
		r = move_one(path, aside, suffixes[i]);
	return r < 0 ? r : sync_folder(path);
}

static int find_free_name(const char *path, int64_t now_s, struct salvage_aside *ret)
{
	for (int64_t i = 0; i < TRIES; i++) {
		int n = snprintf(ret->path, sizeof(ret->path), "%s.corrupt-%" PRId64, path,
				 now_s < 0 ? i : now_s + i);

		if (n < 0 || (size_t)n >= sizeof(ret->path))
			return -ENAMETOOLONG;
		if (access(ret->path, F_OK) < 0)
			return errno == ENOENT ? 0 : -errno;
	}
	return -EEXIST;
}

/* Noted beside the outbox in case that it is not to be read there. */
static uint64_t noted_epoch(const char *path)
{
	struct unsaved u;
	uint64_t epoch;

	if (unsaved_open(&u, path, NULL) < 0)
		return 0;
	epoch = u.seqs.epoch ? u.seqs.epoch : u.note.epoch;
	unsaved_close(&u);
	return epoch;
}

int salvage_set_aside(const char *path, int64_t now_s, struct salvage_aside *ret, struct error *err)
{
	struct marker *m cleanup(free_ptr) = malloc(sizeof(*m));
	int r = m ? read_marker(path, m) : -ENOMEM;

	if (r == -EBADMSG)
		r = 0;
	/* Of too many the oldest is given up: it stays, and is not looked at again. */
	if (r == 0 && m->n == ASIDES_MAX)
		memmove(&m->at[0], &m->at[1], --m->n * sizeof(m->at[0]));
	*ret = (struct salvage_aside){0};
	if (r == 0)
		r = find_free_name(path, now_s, ret);
	if (r == 0) {
		ret->epoch = noted_epoch(path);
		m->at[m->n++] = *ret;
		r = write_marker(path, m);
	}
	if (r == 0)
		r = move_all(path, ret->path);
	if (r < 0)
		error_set(err, "%s: damaged, and cannot be set aside: %s", path, strerror(-r));
	return r;
}

/* The newest of what was set aside, or of what is left of it. */
static void on_newest(void *ctx, const char *name)
{
	struct salvage_aside *a = ctx;
	size_t n = strlen(name);

	if (n > 4 && (strcmp(name + n - 4, "-wal") == 0 || strcmp(name + n - 4, "-shm") == 0))
		n -= 4;
	if (n < sizeof(a->path) && strncmp(a->path, name, n) < 0) {
		memcpy(a->path, name, n);
		a->path[n] = '\0';
	}
}

/* The marker is there, but not what it says: the newest file is the one, since each is done with
 * before there can be another. */
static void guess_marker(const char *path, struct marker *m)
{
	m->at[0] = (struct salvage_aside){0};
	each_aside(path, on_newest, &m->at[0]);
	m->n = m->at[0].path[0] ? 1 : 0;
}

/* Only the last one's moving can have been interrupted. */
static int finish_moving(const char *path, const struct salvage_aside *last)
{
	if (access(last->path, F_OK) == 0)
		return 0;
	return errno == ENOENT ? move_all(path, last->path) : -errno;
}

int salvage_pending(const char *path, struct salvage_aside *ret, struct error *err)
{
	struct marker *m cleanup(free_ptr) = malloc(sizeof(*m));
	int r = m ? read_marker(path, m) : -ENOMEM;

	if (r == -EBADMSG) {
		guess_marker(path, m);
		r = 0;
	}
	if (r == 0 && m->n > 0)
		r = finish_moving(path, &m->at[m->n - 1]);
	if (r < 0) {
		error_set(err, "%s: damaged, and cannot be set aside: %s", path, strerror(-r));
		return r;
	}
	if (m->n == 0)
		return 0;
	*ret = m->at[0];
	return SALVAGE_PENDING;
}

/* ---- the end ---- */

static bool is_of(const char *name, const char *aside)
{
	size_t n = strlen(aside);

	return strncmp(name, aside, n) == 0 && (name[n] == '\0' || name[n] == '-');
}

/* What is in the marker is needed still. */
struct kept {
	const struct marker *marker;
	const char *last; /* done with */
};

static void on_older(void *ctx, const char *name)
{
	const struct kept *k = ctx;
	bool keep = is_of(name, k->last);

	for (size_t i = 0; i < k->marker->n; i++)
		keep = keep || is_of(name, k->marker->at[i].path);
	if (!keep)
		(void)unlink(name);
}

static int drop_line(const char *path, struct marker *m, const struct salvage_aside *aside)
{
	char name[NAME_MAX_BYTES];
	size_t n = 0;
	int r;

	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->at[i].path, aside->path) != 0)
			m->at[n++] = m->at[i];
	m->n = n;
	if (n > 0)
		return write_marker(path, m);
	r = marker_name(path, name);
	if (r == 0 && unlink(name) < 0 && errno != ENOENT)
		r = -errno;
	return r < 0 ? r : sync_folder(path);
}

/* One damaged file is worth its place on a small disk: the last. */
int salvage_finish(const char *path, const struct salvage_aside *aside)
{
	struct marker *m cleanup(free_ptr) = malloc(sizeof(*m));
	struct kept kept = {m, aside->path};
	int r = m ? read_marker(path, m) : -ENOMEM;

	if (r == -EBADMSG)
		r = 0;
	if (r == 0)
		r = drop_line(path, m, aside);
	if (r == 0)
		each_aside(path, on_older, &kept);
	return r;
}
