/* Lines of a candump log, cut into pieces of any size; what parses is written and read back. */
#include "agent/source/candump.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct candump_line *l)
{
	struct candump_line again = *l;
	char text[CANDUMP_LINE_MAX];
	size_t n;
	int r;

	assert(l->frame.len <= FRAME_DATA_MAX);
	assert(strlen(l->bus) > 0 && strlen(l->bus) <= CANDUMP_BUS_MAX);
	n = candump_format(&l->frame, l->bus, text);
	assert(n <= sizeof(text) && text[n - 1] == '\n');
	r = candump_parse(text, n - 1, &again, NULL);
	assert(r == 0);
	assert(again.frame.t_ns == l->frame.t_ns / 1000 * 1000);
	assert(again.frame.id == l->frame.id && again.frame.flags == l->frame.flags);
	assert(again.frame.len == l->frame.len && strcmp(again.bus, l->bus) == 0);
	assert(memcmp(again.frame.data, l->frame.data, l->frame.len) == 0);
}

/* Returns how many frames and bad lines there were, as one number. */
static size_t split(const uint8_t *data, size_t size, size_t piece)
{
	struct candump_splitter s = {0};
	struct candump_line l = {0};
	size_t frames = 0, bad = 0;
	struct error err;
	int r;

	for (size_t i = 0; i < size; i += piece) {
		candump_feed(&s, (const char *)data + i, size - i < piece ? size - i : piece);
		while ((r = candump_take(&s, "in", &l, &err)) != 0) {
			if (r == 1)
				check_round_trip(&l);
			frames += r == 1;
			bad += r != 1;
		}
	}
	r = candump_take_end(&s, "in", &l, &err);
	return (frames + (r == 1)) << 20 | (bad + (r < 0));
}

/* The same bytes as a file: plain, or gzip where they begin like it. */
static void read_file(const uint8_t *data, size_t size)
{
	struct candump_reader *reader = NULL;
	struct candump_line l = {0};
	struct error err;
	char path[64];
	int r, fd = memfd_create("log", MFD_CLOEXEC);

	assert(fd >= 0);
	assert(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = candump_open(&reader, path, &err);
	assert(r == 0);
	do {
		r = candump_next(reader, &l, &err);
	} while (r == 1 || r == -EINVAL);
	candump_close(reader);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t whole;

	if (size < 1)
		return 0;
	whole = split(data + 1, size - 1, size);
	assert(split(data + 1, size - 1, 1 + data[0]) == whole);
	read_file(data + 1, size - 1);
	return 0;
}
