/* Files of candump lines: plain or gzip, told apart by their first two bytes. */
#include "agent/source/candump.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { READ_BLOCK = 64 << 10, INFLATE_GZIP = 15 + 16 };

struct candump_reader {
	struct candump_splitter lines;
	char *path;
	int fd;
	int failed;   /* -errno that ended the reading; sticky */
	bool ended;   /* nothing more will be fed */
	bool started; /* first bytes were seen */
	bool gzip;
	bool in_member; /* inside a gzip member: an end here is a truncated file */
	uint64_t bytes_read, size;
	z_stream z;
	struct error why; /* of failed */
	char text[READ_BLOCK];
	uint8_t packed[READ_BLOCK];
};

static int open_fd(const char *path)
{
	if (strcmp(path, "-") == 0)
		return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Directories open well and read badly: said at once. Sizes of pipes are unknown. */
static int look_at_file(struct candump_reader *r, struct error *err)
{
	struct stat st;

	if (fstat(r->fd, &st) < 0) {
		int e = errno;

		error_set(err, "%.200s: %s", r->path, strerror(e));
		return -e;
	}
	if (S_ISDIR(st.st_mode)) {
		error_set(err, "%.200s: is a directory", r->path);
		return -EISDIR;
	}
	if (S_ISREG(st.st_mode))
		r->size = (uint64_t)st.st_size;
	return 0;
}

static int open_reader(struct candump_reader *r, const char *path, struct error *err)
{
	r->fd = -1;
	r->path = strdup(strcmp(path, "-") == 0 ? "stdin" : path);
	if (!r->path)
		return -ENOMEM;
	r->fd = open_fd(path);
	if (r->fd < 0) {
		int e = errno;

		error_set(err, "%.200s: %s", r->path, strerror(e));
		return -e;
	}
	return look_at_file(r, err);
}

int candump_open(struct candump_reader **ret, const char *path, struct error *err)
{
	struct candump_reader *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = open_reader(r, path, err);
	if (e < 0) {
		candump_close(r);
		return e;
	}
	*ret = r;
	return 0;
}

struct candump_reader *candump_close(struct candump_reader *r)
{
	if (!r)
		return NULL;
	if (r->gzip)
		inflateEnd(&r->z);
	if (r->fd >= 0)
		close(r->fd);
	free(r->path);
	free(r);
	return NULL;
}

static int fail(struct candump_reader *r, int e, const char *why)
{
	r->failed = e;
	error_set(&r->why, "%.160s: after line %llu: %s", r->path,
		  (unsigned long long)r->lines.line, why);
	return e;
}

/* Returns the bytes read, 0 at the end, or -errno. */
static ssize_t read_block(struct candump_reader *r, void *block, size_t max)
{
	ssize_t n;

	do {
		n = read(r->fd, block, max);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail(r, -errno, strerror(errno));
	r->bytes_read += (uint64_t)n;
	return n;
}

/* Starts the next gzip member, if any bytes are left. */
static int start_member(struct candump_reader *r)
{
	if (inflateReset2(&r->z, INFLATE_GZIP) != Z_OK)
		return fail(r, -EINVAL, "zlib cannot be reset");
	r->in_member = true;
	return 0;
}

static int start_gzip(struct candump_reader *r, size_t have)
{
	if (inflateInit2(&r->z, INFLATE_GZIP) != Z_OK)
		return fail(r, -ENOMEM, "zlib cannot start");
	r->gzip = true;
	r->in_member = true;
	memcpy(r->packed, r->text, have);
	r->z.next_in = r->packed;
	r->z.avail_in = (uInt)have;
	return 0;
}

/* Inflates what is there into text. Returns the bytes, 0: needs more input, or -errno. */
static ssize_t inflate_some(struct candump_reader *r)
{
	int z;

	if (!r->in_member) {
		if (r->z.next_in[0] == 0) { /* padding of tapes and block devices */
			r->z.next_in++;
			r->z.avail_in--;
			return 0;
		}
		z = start_member(r);
		if (z < 0)
			return z;
	}
	r->z.next_out = (Bytef *)r->text;
	r->z.avail_out = sizeof(r->text);
	z = inflate(&r->z, Z_NO_FLUSH);
	if (z == Z_STREAM_END)
		r->in_member = false;
	else if (z == Z_MEM_ERROR)
		return fail(r, -ENOMEM, "out of memory");
	else if (z != Z_OK && z != Z_BUF_ERROR)
		return fail(r, -EBADMSG, "gzip data is damaged");
	return (ssize_t)(sizeof(r->text) - r->z.avail_out);
}

static ssize_t refill_packed(struct candump_reader *r)
{
	ssize_t n = read_block(r, r->packed, sizeof(r->packed));

	if (n > 0) {
		r->z.next_in = r->packed;
		r->z.avail_in = (uInt)n;
	}
	if (n == 0 && r->in_member)
		return fail(r, -EBADMSG, "gzip file is truncated");
	return n;
}

static ssize_t next_gzip(struct candump_reader *r)
{
	ssize_t n;

	for (;;) {
		/* avail_out of 0: inflate may hold more without needing input. */
		if (r->z.avail_in > 0 || (r->in_member && r->z.avail_out == 0)) {
			n = inflate_some(r);
			if (n != 0)
				return n;
		}
		if (r->z.avail_in > 0)
			continue;
		n = refill_packed(r);
		if (n <= 0)
			return n;
	}
}

/* The first read may give a single byte of a pipe: reads until the magic can be told. */
static ssize_t next_first(struct candump_reader *r)
{
	size_t have = 0;
	ssize_t n;

	r->started = true;
	do {
		n = read_block(r, r->text + have, sizeof(r->text) - have);
		if (n < 0)
			return n;
		have += (size_t)n;
	} while (n > 0 && have < 2 && (uint8_t)r->text[0] == 0x1F);
	if (have < 2 || (uint8_t)r->text[0] != 0x1F || (uint8_t)r->text[1] != 0x8B)
		return (ssize_t)have;
	n = start_gzip(r, have);
	return n < 0 ? n : next_gzip(r);
}

static ssize_t next_block(struct candump_reader *r)
{
	if (!r->started)
		return next_first(r);
	if (r->gzip)
		return next_gzip(r);
	return read_block(r, r->text, sizeof(r->text));
}

int candump_next(struct candump_reader *r, struct candump_line *ret, struct error *err)
{
	ssize_t n;
	int taken;

	for (;;) {
		taken = candump_take(&r->lines, r->path, ret, err);
		if (taken != 0)
			return taken;
		if (r->ended)
			return candump_take_end(&r->lines, r->path, ret, err);
		n = r->failed ? r->failed : next_block(r);
		if (n < 0) {
			if (err)
				*err = r->why;
			return (int)n;
		}
		if (n == 0)
			r->ended = true;
		candump_feed(&r->lines, r->text, (size_t)n);
	}
}

uint64_t candump_line_number(const struct candump_reader *r)
{
	return r->lines.line;
}

void candump_progress(const struct candump_reader *r, uint64_t *ret_read, uint64_t *ret_size)
{
	*ret_read = r->bytes_read;
	*ret_size = r->size;
}
