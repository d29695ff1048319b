#include "agent/store/salvage_file.h"

#include "agent/store/salvage_bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PAGE_MIN = 512,
	PAGE_MAX = 65536,
	PATH_BYTES_MAX = 4200,
	FILE_HEADER_BYTES = 100,
	LOG_HEADER_BYTES = 32,
	FRAME_HEADER_BYTES = 24,
	FRAMES_MAX = 1 << 20,  /* 8 MiB of places; the outbox's log is cut back long before */
	GUESS_BYTES = 4 << 20, /* looked at where no header tells the page size */
};

static const char file_magic[16] = "SQLite format 3";

/* Where the log has a page. */
struct place {
	uint32_t page, frame;
};

struct places {
	struct place *at;
	size_t n, cap;
};

struct log_header {
	bool valid;
	bool big_endian; /* of the words that are summed */
	uint32_t page_bytes;
	uint8_t salts[8];
	uint32_t sum[2];
};

struct salvage_file {
	int fd, log_fd; /* log_fd -1: there is no log */
	size_t page_bytes, reserved;
	uint64_t bytes;
	uint32_t pages;
	struct places committed; /* by page; one each */
	struct places tail;	 /* by frame */
	bool tail_has_commit;
	bool prefer_tail;
};

/* Returns 0 with all of it read, -ENOENT at the end of the file, -EIO and others. */
static int read_at(int fd, void *data, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)data + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOENT;
		done += (size_t)n;
	}
	return 0;
}

/* ---- the log ---- */

static uint32_t word(const uint8_t *p, bool big_endian)
{
	return big_endian
		       ? be32(p)
		       : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Fibonacci-weighted sums, section 4.2; len is a multiple of 8. */
static void add_to_sum(uint32_t sum[2], bool big_endian, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		sum[0] += word(data + i, big_endian) + sum[1];
		sum[1] += word(data + i + 4, big_endian) + sum[0];
	}
}

static bool is_page_size(uint32_t n)
{
	return n >= PAGE_MIN && n <= PAGE_MAX && (n & (n - 1)) == 0;
}

static void read_log_header(struct salvage_file *f, struct log_header *ret)
{
	uint8_t h[LOG_HEADER_BYTES];
	uint32_t magic;

	*ret = (struct log_header){0};
	if (f->log_fd < 0 || read_at(f->log_fd, h, sizeof(h), 0) < 0)
		return;
	magic = be32(h);
	ret->big_endian = magic & 1;
	add_to_sum(ret->sum, ret->big_endian, h, 24);
	ret->page_bytes = be32(h + 8);
	memcpy(ret->salts, h + 16, 8);
	ret->valid = (magic | 1) == 0x377f0683 && is_page_size(ret->page_bytes) &&
		     be32(h + 24) == ret->sum[0] && be32(h + 28) == ret->sum[1];
}

static int put_place(struct places *p, uint32_t page, uint32_t frame)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 256;
		struct place *at = realloc(p->at, cap * sizeof(*at));

		if (!at)
			return -ENOMEM;
		p->at = at;
		p->cap = cap;
	}
	p->at[p->n++] = (struct place){page, frame};
	return 0;
}

static uint64_t frame_offset(const struct salvage_file *f, uint32_t frame)
{
	return LOG_HEADER_BYTES + (uint64_t)frame * (FRAME_HEADER_BYTES + f->page_bytes);
}

/* Reads the frames of this log's generation, which the salts tell. Those up to the last good commit
 * go to committed, the others to tail. */
static int read_frames(struct salvage_file *f, struct log_header *h, uint8_t *frame)
{
	size_t len = FRAME_HEADER_BYTES + f->page_bytes, n_good = 0;
	bool whole = h->valid;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < FRAMES_MAX; i++) {
		if (read_at(f->log_fd, frame, len, frame_offset(f, i)) < 0)
			break;
		if (i == 0 && !h->valid)
			memcpy(h->salts, frame + 8, 8);
		if (memcmp(h->salts, frame + 8, 8) != 0) {
			whole = false;
			continue;
		}
		add_to_sum(h->sum, h->big_endian, frame, 8);
		add_to_sum(h->sum, h->big_endian, frame + FRAME_HEADER_BYTES, f->page_bytes);
		whole = whole && be32(frame + 16) == h->sum[0] && be32(frame + 20) == h->sum[1];
		r = put_place(&f->tail, be32(frame), i);
		if (be32(frame + 4) != 0 && whole)
			n_good = f->tail.n;
		else if (be32(frame + 4) != 0)
			f->tail_has_commit = true;
	}
	for (size_t i = 0; r == 0 && i < n_good; i++)
		r = put_place(&f->committed, f->tail.at[i].page, f->tail.at[i].frame);
	if (r == 0 && n_good > 0) {
		f->tail.n -= n_good;
		memmove(f->tail.at, f->tail.at + n_good, f->tail.n * sizeof(*f->tail.at));
	}
	return r;
}

static int by_page(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;

	if (a->page != b->page)
		return a->page < b->page ? -1 : 1;
	return a->frame < b->frame ? -1 : a->frame > b->frame;
}

static void keep_newest(struct places *p)
{
	size_t n = 0;

	if (p->n == 0)
		return;
	qsort(p->at, p->n, sizeof(*p->at), by_page);
	for (size_t i = 0; i < p->n; i++)
		if (i + 1 == p->n || p->at[i + 1].page != p->at[i].page)
			p->at[n++] = p->at[i];
	p->n = n;
}

static const struct place *find_committed(const struct salvage_file *f, uint32_t page)
{
	size_t low = 0, high = f->committed.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->committed.at[mid].page < page)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->committed.n && f->committed.at[low].page == page ? &f->committed.at[low]
									 : NULL;
}

static const struct place *find_tail(const struct salvage_file *f, uint32_t page)
{
	for (size_t i = f->tail.n; i > 0; i--)
		if (f->tail.at[i - 1].page == page)
			return &f->tail.at[i - 1];
	return NULL;
}

static int read_log(struct salvage_file *f, struct log_header *h)
{
	uint8_t *frame cleanup(free_ptr) = NULL;
	int r;

	if (f->log_fd < 0 || (h->valid && h->page_bytes != f->page_bytes))
		return 0;
	frame = malloc(FRAME_HEADER_BYTES + f->page_bytes);
	if (!frame)
		return -ENOMEM;
	r = read_frames(f, h, frame);
	keep_newest(&f->committed);
	return r;
}

/* ---- the file ---- */

/* How many of the first pages, if they had this size, start like a leaf of a table. Page 1 does
 * not, and pages of long rows do not. */
static unsigned count_plausible(const struct salvage_file *f, uint32_t page_bytes)
{
	unsigned n = 0;
	uint8_t h[8];

	for (uint32_t at = page_bytes; at < GUESS_BYTES; at += page_bytes) {
		if (read_at(f->fd, h, sizeof(h), at) < 0)
			break;
		/* Its cells are inside, behind their pointers. */
		if (h[0] == 0x0d && be16(h + 3) > 0 && be16(h + 5) >= 8 + 2 * be16(h + 3) &&
		    be16(h + 5) < page_bytes)
			n++;
	}
	return n;
}

/* A smaller size finds the pages of a larger one as well, and a few by chance; a larger one misses
 * half of them. */
static uint32_t guess_page_size(const struct salvage_file *f)
{
	uint32_t best = 0;
	unsigned most = 0;

	for (uint32_t n = PAGE_MAX; n >= PAGE_MIN; n /= 2) {
		unsigned found = count_plausible(f, n);

		if (found > most + most / 4) {
			most = found;
			best = n;
		}
	}
	return best;
}

static int find_page_size(struct salvage_file *f, const struct log_header *log)
{
	uint8_t h[FILE_HEADER_BYTES];
	uint32_t n = 0;

	if (read_at(f->fd, h, sizeof(h), 0) == 0 && memcmp(h, file_magic, 16) == 0) {
		n = be16(h + 16) == 1 ? PAGE_MAX : be16(h + 16);
		if (is_page_size(n) && n - h[20] >= 480)
			f->reserved = h[20];
	}
	/* The log's header has a checksum, so it is the one to believe. */
	if (log->valid)
		n = log->page_bytes;
	if (!is_page_size(n))
		n = guess_page_size(f);
	f->page_bytes = n;
	return n == 0 ? -EBADMSG : 0;
}

static void count_pages(struct salvage_file *f)
{
	uint64_t n = f->bytes / f->page_bytes + (f->bytes % f->page_bytes != 0);

	f->pages = n > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)n;
	if (f->committed.n > 0 && f->committed.at[f->committed.n - 1].page > f->pages)
		f->pages = f->committed.at[f->committed.n - 1].page;
}

static int open_all(struct salvage_file *f, const char *path)
{
	char log_path[PATH_BYTES_MAX];
	int n = snprintf(log_path, sizeof(log_path), "%s-wal", path), r;
	struct log_header log;
	struct stat st;

	if (n < 0 || (size_t)n >= sizeof(log_path))
		return -ENAMETOOLONG;
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return -errno;
	f->bytes = (uint64_t)st.st_size;
	f->log_fd = open(log_path, O_RDONLY | O_CLOEXEC);
	read_log_header(f, &log);
	r = find_page_size(f, &log);
	if (r == 0)
		r = read_log(f, &log);
	if (r == 0)
		count_pages(f);
	return r;
}

int salvage_file_open(struct salvage_file **ret, const char *path)
{
	struct salvage_file *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->fd = f->log_fd = -1;
	r = open_all(f, path);
	if (r < 0) {
		salvage_file_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

struct salvage_file *salvage_file_free(struct salvage_file *f)
{
	if (!f)
		return NULL;
	if (f->fd >= 0)
		(void)close(f->fd);
	if (f->log_fd >= 0)
		(void)close(f->log_fd);
	free(f->committed.at);
	free(f->tail.at);
	free(f);
	return NULL;
}

size_t salvage_file_page_bytes(const struct salvage_file *f)
{
	return f->page_bytes;
}

size_t salvage_file_usable(const struct salvage_file *f)
{
	return f->page_bytes - f->reserved;
}

uint32_t salvage_file_pages(const struct salvage_file *f)
{
	return f->pages;
}

static int read_frame(struct salvage_file *f, const struct place *p, uint8_t *buf)
{
	return read_at(f->log_fd, buf, f->page_bytes,
		       frame_offset(f, p->frame) + FRAME_HEADER_BYTES);
}

/* The last page of a file that was cut is read as far as it goes. */
static int read_page(struct salvage_file *f, uint32_t page, uint8_t *buf)
{
	uint64_t at = (uint64_t)(page - 1) * f->page_bytes;
	size_t len = f->page_bytes;

	if (at >= f->bytes)
		return -ENOENT;
	if (f->bytes - at < len)
		len = (size_t)(f->bytes - at);
	memset(buf + len, 0, f->page_bytes - len);
	return read_at(f->fd, buf, len, at);
}

int salvage_file_read(struct salvage_file *f, uint32_t page, uint8_t *buf)
{
	const struct place *p = NULL;

	if (page == 0 || page > UINT32_MAX - 1)
		return -ENOENT;
	if (f->prefer_tail)
		p = find_tail(f, page);
	if (!p)
		p = find_committed(f, page);
	return p ? read_frame(f, p, buf) : read_page(f, page, buf);
}

size_t salvage_file_tail(const struct salvage_file *f)
{
	return f->tail.n;
}

bool salvage_file_tail_has_commit(const struct salvage_file *f)
{
	return f->tail_has_commit;
}

int salvage_file_read_tail(struct salvage_file *f, size_t i, uint32_t *ret_page, uint8_t *buf)
{
	assert(i < f->tail.n);
	*ret_page = f->tail.at[i].page;
	return read_frame(f, &f->tail.at[i], buf);
}

void salvage_file_prefer_tail(struct salvage_file *f, bool on)
{
	f->prefer_tail = on;
}
