#include "agent/source/log_input.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { IN_BYTES = 16 << 10, OUT_BYTES = 32 << 10, GZIP_WINDOW_BITS = 15 + 16, GZIP_MAGIC = 0x1f };

enum log_format { FORMAT_UNKNOWN, FORMAT_PLAIN, FORMAT_GZIP };

struct log_input {
	int fd;
	bool is_file;
	bool close_fd;
	enum log_format format;
	z_stream z;
	bool z_ready;  /* inflateInit2 was called */
	bool z_inside; /* in the middle of a gzip member */
	uint64_t bytes_read, size;
	char *path;
	uint8_t in[IN_BYTES];
	uint8_t out[OUT_BYTES];
};

int log_input_open(struct log_input **ret, const char *path, struct error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct log_input *in = calloc(1, sizeof(*in));
	struct stat st;
	int r;

	if (!in)
		return -ENOMEM;
	in->close_fd = !is_stdin;
	in->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	in->path = strdup(is_stdin ? "standard input" : path);
	if (!in->path) {
		r = -ENOMEM;
	} else if (in->fd < 0 || fstat(in->fd, &st) < 0) {
		r = -errno;
	} else if (S_ISDIR(st.st_mode)) {
		r = -EISDIR;
	} else {
		in->is_file = S_ISREG(st.st_mode);
		in->size = in->is_file ? (uint64_t)st.st_size : 0;
		*ret = in;
		return 0;
	}
	error_set(err, "%s: %s", path, strerror(-r));
	log_input_close(in);
	return r;
}

struct log_input *log_input_close(struct log_input *in)
{
	if (!in)
		return NULL;
	if (in->close_fd && in->fd >= 0)
		(void)close(in->fd);
	if (in->z_ready)
		inflateEnd(&in->z);
	free(in->path);
	free(in);
	return NULL;
}

int log_input_fd(const struct log_input *in)
{
	return in->fd;
}

bool log_input_is_file(const struct log_input *in)
{
	return in->is_file;
}

/* Returns the number of bytes in in->in, 0 at the end, or -errno; -EAGAIN without err. */
static ssize_t read_block(struct log_input *in, struct error *err)
{
	struct pollfd p = {.fd = in->fd, .events = POLLIN};
	ssize_t n;

	/* Standard input may be in blocking mode, which is not ours to change. */
	if (!in->is_file && poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	do
		n = read(in->fd, in->in, IN_BYTES);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		in->bytes_read += (uint64_t)n;
		return n;
	}
	if (errno == EAGAIN)
		return -EAGAIN;
	error_set(err, "%s: %s", in->path, strerror(errno));
	return -errno;
}

static int fail_memory(const struct log_input *in, struct error *err)
{
	error_set(err, "%s: no memory to unpack it", in->path);
	return -ENOMEM;
}

static int start_inflate(struct log_input *in, struct error *err)
{
	int r = in->z_ready ? inflateReset(&in->z) : inflateInit2(&in->z, GZIP_WINDOW_BITS);

	in->z_ready = in->z_ready || r == Z_OK;
	in->z_inside = false;
	return r == Z_OK ? 0 : fail_memory(in, err);
}

/* Between members: padding of tapes and block devices. */
static void skip_zeros(struct log_input *in)
{
	while (!in->z_inside && in->z.avail_in > 0 && in->z.next_in[0] == 0) {
		in->z.next_in++;
		in->z.avail_in--;
	}
}

/* One inflate call. */
static int inflate_some(struct log_input *in, size_t *ret_len, struct error *err)
{
	int r;

	in->z.next_out = in->out;
	in->z.avail_out = OUT_BYTES;
	in->z_inside = true;
	r = inflate(&in->z, Z_NO_FLUSH);
	*ret_len = OUT_BYTES - in->z.avail_out;
	if (r == Z_STREAM_END) /* another member may follow */
		return start_inflate(in, err);
	if (r == Z_MEM_ERROR)
		return fail_memory(in, err);
	if (r == Z_OK || r == Z_BUF_ERROR)
		return 0;
	error_set(err, "%s: the gzip data is damaged", in->path);
	return -EBADMSG;
}

/* Returns 1 with z.avail_in above 0, 0 at the end, or -errno. */
static int feed_gzip(struct log_input *in, struct error *err)
{
	ssize_t n = read_block(in, err);

	if (n < 0)
		return (int)n;
	if (n == 0 && in->z_inside) {
		error_set(err, "%s: the gzip data ends in the middle", in->path);
		return -EBADMSG;
	}
	in->z.next_in = in->in;
	in->z.avail_in = (uInt)n;
	return n > 0;
}

static int read_gzip(struct log_input *in, const char **ret, size_t *ret_len, struct error *err)
{
	bool holds_more = in->z_inside && in->z.avail_out == 0; /* without needing input */
	int r;

	do {
		if (in->z.avail_in == 0 && !holds_more) {
			r = feed_gzip(in, err);
			if (r <= 0)
				return r;
		}
		holds_more = false;
		*ret_len = 0;
		skip_zeros(in);
		if (in->z_inside || in->z.avail_in > 0) {
			r = inflate_some(in, ret_len, err);
			if (r < 0)
				return r;
		}
	} while (*ret_len == 0);
	*ret = (const char *)in->out;
	return 1;
}

int log_input_read(struct log_input *in, const char **ret, size_t *ret_len, struct error *err)
{
	ssize_t n;

	if (in->format == FORMAT_GZIP)
		return read_gzip(in, ret, ret_len, err);
	n = read_block(in, err);
	if (n <= 0)
		return (int)n;
	if (in->format == FORMAT_UNKNOWN) {
		in->format = in->in[0] == GZIP_MAGIC ? FORMAT_GZIP : FORMAT_PLAIN;
		if (in->format == FORMAT_GZIP) {
			int r = start_inflate(in, err);

			if (r < 0)
				return r;
			in->z.next_in = in->in;
			in->z.avail_in = (uInt)n;
			return read_gzip(in, ret, ret_len, err);
		}
	}
	*ret = (const char *)in->in;
	*ret_len = (size_t)n;
	return 1;
}

int log_input_rewind(struct log_input *in)
{
	if (lseek(in->fd, 0, SEEK_SET) < 0)
		return -errno;
	in->format = FORMAT_UNKNOWN;
	in->z.avail_in = 0;
	in->bytes_read = 0;
	return 0;
}

void log_input_progress(const struct log_input *in, uint64_t *ret_read, uint64_t *ret_size)
{
	*ret_read = in->bytes_read;
	*ret_size = in->size;
}
