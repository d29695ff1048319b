#include "agent/store/unsaved.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* One sector says it all, so that a power cut leaves the old or the new note; the rest of the block
 * is there because file systems give out no less. Little-endian: magic, id, epoch, then batches and
 * samples of each class, then the CRC-32 of all before. */
enum {
	FILE_BYTES = 4096,
	NOTE_BYTES = 8 + 8 + 8 + CLASS_COUNT * 16 + 4,
	PATH_BYTES_MAX = 4096,
};

static_assert(NOTE_BYTES <= 512, "a note fits a sector");

static const char magic[8] = "TLunsav1";

static uint64_t new_id(void)
{
	uint64_t id = 0;

	while (id == 0)
		random_bytes(&id, sizeof(id));
	return id;
}

static int encode(const struct unsaved_note *note, struct buf *out)
{
	buf_put(out, magic, sizeof(magic));
	buf_put_fixed64(out, note->id);
	buf_put_fixed64(out, note->epoch);
	for (size_t k = 0; k < CLASS_COUNT; k++) {
		buf_put_fixed64(out, note->by[k].batches);
		buf_put_fixed64(out, note->by[k].samples);
	}
	if (!out->failed)
		buf_put_fixed32(out, (uint32_t)crc32(0, out->data, (uInt)out->len));
	return out->failed;
}

/* false: not a whole note. */
static bool decode(struct unsaved_note *ret, const uint8_t bytes[static NOTE_BYTES])
{
	struct cursor c = cursor_of(bytes, NOTE_BYTES);
	struct unsaved_note note;

	if (memcmp(cursor_take(&c, sizeof(magic)), magic, sizeof(magic)) != 0)
		return false;
	note.id = cursor_fixed64(&c);
	note.epoch = cursor_fixed64(&c);
	for (size_t k = 0; k < CLASS_COUNT; k++) {
		note.by[k].batches = cursor_fixed64(&c);
		note.by[k].samples = cursor_fixed64(&c);
	}
	if (cursor_fixed32(&c) != (uint32_t)crc32(0, bytes, NOTE_BYTES - 4) || note.id == 0)
		return false;
	*ret = note;
	return true;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = pwrite(fd, data + at, len - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int write_note(int fd, const struct unsaved_note *note)
{
	struct buf out cleanup(buf_free) = BUF_INIT(NOTE_BYTES);
	int r = encode(note, &out);

	return r < 0 ? r : write_all(fd, out.data, out.len);
}

/* The blocks are written, not only reserved: an extent that was never written costs metadata at its
 * first write, and may cost room. */
static int make(int fd, const struct unsaved_note *note)
{
	static const uint8_t zeros[FILE_BYTES];
	int r = -posix_fallocate(fd, 0, FILE_BYTES);

	/* A file system that cannot reserve gets the blocks by the write. */
	if (r < 0 && r != -EOPNOTSUPP && r != -EINVAL)
		return r;
	r = write_all(fd, zeros, sizeof(zeros));
	return r < 0 ? r : write_note(fd, note);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* What a crash between making the file and its first note leaves is new as well. */
static int read_or_make(struct unsaved *u, bool *ret_damaged)
{
	uint8_t bytes[NOTE_BYTES];
	ssize_t n;

	do
		n = pread(u->fd, bytes, sizeof(bytes), 0);
	while (n < 0 && errno == EINTR);
	if (n == NOTE_BYTES && decode(&u->note, bytes))
		return 0;
	*ret_damaged = n < 0 || !is_zero(bytes, (size_t)n);
	u->note = (struct unsaved_note){.id = new_id()};
	return make(u->fd, &u->note);
}

int unsaved_open(struct unsaved *u, const char *outbox_path, bool *ret_damaged, struct error *err)
{
	char path[PATH_BYTES_MAX];
	int n = snprintf(path, sizeof(path), "%s.unsaved", outbox_path), r;

	*u = UNSAVED_INIT;
	*ret_damaged = false;
	if (n < 0 || (size_t)n >= sizeof(path)) {
		error_set(err, "%s: path too long", outbox_path);
		return -ENAMETOOLONG;
	}
	u->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	r = u->fd < 0 ? -errno : read_or_make(u, ret_damaged);
	if (r < 0) {
		unsaved_close(u);
		error_set(err, "%s: %s", path, strerror(-r));
	}
	return r;
}

void unsaved_close(struct unsaved *u)
{
	if (u->fd >= 0)
		(void)close(u->fd);
	*u = UNSAVED_INIT;
}

bool unsaved_is_empty(const struct unsaved *u)
{
	for (size_t k = 0; k < CLASS_COUNT; k++)
		if (u->note.by[k].batches > 0 || u->note.by[k].samples > 0)
			return false;
	return true;
}

static int replace(struct unsaved *u, const struct unsaved_note *note)
{
	int r = u->fd < 0 ? -EBADF : write_note(u->fd, note);

	if (r == 0)
		u->note = *note;
	return r;
}

int unsaved_add(struct unsaved *u, enum uplink_class class, const struct unsaved_count *count)
{
	struct unsaved_note note = u->note;

	note.by[class].batches += count->batches;
	note.by[class].samples += count->samples;
	return replace(u, &note);
}

int unsaved_clear(struct unsaved *u, uint64_t epoch)
{
	struct unsaved_note note = {.id = new_id(), .epoch = epoch};

	return replace(u, &note);
}
