#include "agent/store/unsaved.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* A sector says it all, so that a power cut leaves the old or the new; the rest of the block is
 * there because file systems give out no less. Little-endian: note: magic, id, epoch, then batches
 * and samples of each class, then the CRC-32 of all before; seqs: magic, epoch, boot, closed, then
 * the last of each class, older epochs, then the CRC-32. */
enum {
	SECTOR = 512,
	FILE_BYTES = 4096,
	NOTE_BYTES = 8 + 8 + 8 + CLASS_COUNT * 16 + 4,
	SEQS_BYTES = 8 + 8 + 8 + 8 + CLASS_COUNT * 8 + UNSAVED_OLDER * 8 + 4,
	PATH_BYTES_MAX = 4200,
};

static_assert(NOTE_BYTES <= SECTOR && SEQS_BYTES <= SECTOR, "each fits its sector");

static const char note_magic[8] = "TLunsav1", seqs_magic[8] = "TLseqs01";

static uint64_t new_id(void)
{
	uint64_t id = 0;

	while (id == 0)
		random_bytes(&id, sizeof(id));
	return id;
}

/* ---- bytes ---- */

/* It never has to grow: this is what is written when there is no memory for anything else. */
static struct buf buf_in(uint8_t *bytes, size_t size)
{
	return (struct buf){.data = bytes, .cap = size, .max = size};
}

static void seal_sector(struct buf *out)
{
	if (!out->failed)
		buf_put_fixed32(out, (uint32_t)crc32(0, out->data, (uInt)out->len));
}

/* Whether these bytes are whole, and begin with this magic. */
static bool is_whole(const uint8_t *bytes, size_t len, const char magic[static 8])
{
	struct cursor crc = cursor_of(bytes + len - 4, 4);

	return memcmp(bytes, magic, 8) == 0 &&
	       cursor_fixed32(&crc) == (uint32_t)crc32(0, bytes, (uInt)len - 4);
}

static void encode_note(const struct unsaved_note *note, struct buf *out)
{
	buf_put(out, note_magic, sizeof(note_magic));
	buf_put_fixed64(out, note->id);
	buf_put_fixed64(out, note->epoch);
	for (size_t k = 0; k < CLASS_COUNT; k++) {
		buf_put_fixed64(out, note->by[k].batches);
		buf_put_fixed64(out, note->by[k].samples);
	}
	seal_sector(out);
}

/* false: not a whole note. */
static bool decode_note(struct unsaved_note *ret, const uint8_t bytes[static NOTE_BYTES])
{
	struct cursor c = cursor_of(bytes + 8, NOTE_BYTES - 8);
	struct unsaved_note note;

	note.id = cursor_fixed64(&c);
	note.epoch = cursor_fixed64(&c);
	for (size_t k = 0; k < CLASS_COUNT; k++) {
		note.by[k].batches = cursor_fixed64(&c);
		note.by[k].samples = cursor_fixed64(&c);
	}
	if (!is_whole(bytes, NOTE_BYTES, note_magic) || note.id == 0)
		return false;
	*ret = note;
	return true;
}

static void encode_seqs(const struct unsaved_seqs *seqs, struct buf *out)
{
	buf_put(out, seqs_magic, sizeof(seqs_magic));
	buf_put_fixed64(out, seqs->epoch);
	buf_put_fixed64(out, seqs->boot);
	buf_put_fixed64(out, seqs->closed);
	for (size_t k = 0; k < CLASS_COUNT; k++)
		buf_put_fixed64(out, seqs->last[k]);
	for (size_t i = 0; i < UNSAVED_OLDER; i++)
		buf_put_fixed64(out, seqs->older[i]);
	seal_sector(out);
}

static bool decode_seqs(struct unsaved_seqs *ret, const uint8_t bytes[static SEQS_BYTES])
{
	struct cursor c = cursor_of(bytes + 8, SEQS_BYTES - 8);
	struct unsaved_seqs seqs;

	seqs.epoch = cursor_fixed64(&c);
	seqs.boot = cursor_fixed64(&c);
	seqs.closed = cursor_fixed64(&c) != 0;
	for (size_t k = 0; k < CLASS_COUNT; k++)
		seqs.last[k] = cursor_fixed64(&c);
	for (size_t i = 0; i < UNSAVED_OLDER; i++)
		seqs.older[i] = cursor_fixed64(&c);
	if (!is_whole(bytes, SEQS_BYTES, seqs_magic))
		return false;
	*ret = seqs;
	return true;
}

/* ---- the file ---- */

static int write_all(int fd, const uint8_t *data, size_t len, size_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, data + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int write_note(struct unsaved *u, const struct unsaved_note *note)
{
	uint8_t bytes[NOTE_BYTES];
	struct buf out = buf_in(bytes, sizeof(bytes));
	int r;

	encode_note(note, &out);
	r = out.failed ? out.failed : write_all(u->fd, out.data, out.len, 0);
	if (r == 0)
		u->note = *note;
	return r;
}

int unsaved_set_seqs(struct unsaved *u, const struct unsaved_seqs *seqs)
{
	uint8_t bytes[SEQS_BYTES];
	struct buf out = buf_in(bytes, sizeof(bytes));
	int r;

	if (u->fd < 0)
		return -EBADF;
	encode_seqs(seqs, &out);
	r = out.failed ? out.failed : write_all(u->fd, out.data, out.len, SECTOR);
	if (r == 0)
		u->seqs = *seqs;
	return r;
}

/* The blocks are written, not only reserved: an extent that was never written costs metadata at its
 * first write, and may cost room. */
static int fill(int fd, const uint8_t bytes[static FILE_BYTES])
{
	int r = -posix_fallocate(fd, 0, FILE_BYTES);

	/* A file system that cannot reserve gets the blocks by the write. */
	if (r < 0 && r != -EOPNOTSUPP && r != -EINVAL)
		return r;
	return write_all(fd, bytes, FILE_BYTES, 0);
}

/* Returns how many of the bytes there are, or -errno. */
static ssize_t read_all(int fd, uint8_t *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, bytes + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* A sector that is damaged, or that a crash has left without its first words, is as a new one; the
 * other stays. */
static int read_or_make(struct unsaved *u)
{
	struct unsaved_note note = {.id = new_id()};
	uint8_t bytes[FILE_BYTES] = {0};
	ssize_t n = read_all(u->fd, bytes, sizeof(bytes));
	bool is_new;
	int r;

	if (n < 0)
		return (int)n;
	(void)decode_seqs(&u->seqs, bytes + SECTOR);
	is_new = !decode_note(&note, bytes);
	u->note = note;
	r = n < FILE_BYTES ? fill(u->fd, bytes) : 0;
	return r < 0 || !is_new ? r : write_note(u, &note);
}

int unsaved_open(struct unsaved *u, const char *outbox_path, struct error *err)
{
	char path[PATH_BYTES_MAX];
	int n = snprintf(path, sizeof(path), "%s.unsaved", outbox_path), r;

	*u = UNSAVED_INIT;
	if (n < 0 || (size_t)n >= sizeof(path)) {
		error_set(err, "%s: path too long", outbox_path);
		return -ENAMETOOLONG;
	}
	u->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	r = u->fd < 0 ? -errno : read_or_make(u);
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

bool unsaved_gave_any(const struct unsaved_seqs *seqs)
{
	for (size_t k = 0; k < CLASS_COUNT; k++)
		if (seqs->last[k] > 0)
			return true;
	return false;
}

int unsaved_add(struct unsaved *u, enum uplink_class class, const struct unsaved_count *count)
{
	struct unsaved_note note = u->note;

	if (u->fd < 0)
		return -EBADF;
	note.by[class].batches += count->batches;
	note.by[class].samples += count->samples;
	return write_note(u, &note);
}

int unsaved_clear(struct unsaved *u, uint64_t epoch)
{
	struct unsaved_note note = {.id = new_id(), .epoch = epoch};

	return u->fd < 0 ? -EBADF : write_note(u, &note);
}
