#include "agent/health/status.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { STATUS_BYTES_MAX = 16384, STATUS_PATH_MAX = 4096 };

static void put_counter(struct buf *b, const char *name, uint64_t value)
{
	buf_printf(b, ",\n\"%s\":%" PRIu64, name, value);
}

/* Ids are [A-Za-z0-9._-]: nothing in them needs escaping. */
static int status_format(struct buf *b, const struct status_info *info, struct counters *c)
{
	char time[WALL_TIME_TEXT];

	wall_time_format(info->now, time);
	buf_printf(b, "{\n\"version\":\"%s\",\n\"vehicle\":\"%s\",\n\"device\":\"%s\"",
		   TOWLINE_VERSION, info->vehicle, info->device);
	buf_printf(b, ",\n\"time\":\"%s\",\n\"uptime_ms\":%" PRId64, time,
		   info->uptime.ns / NS_PER_MS);
	buf_printf(b, ",\n\"state\":\"%s\",\n\"epoch\":\"%016" PRIx64 "\"", info->state,
		   info->epoch);
#define COUNTER_PUT(name, help) put_counter(b, #name, counter_get(&c->name));
	AGENT_COUNTERS(COUNTER_PUT)
#undef COUNTER_PUT
	buf_printf(b, "\n}\n");
	return b->failed;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_file(const char *path, const struct buf *b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, b->data, b->len);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int status_write(const char *path, const struct status_info *info, struct counters *counters)
{
	struct buf b cleanup(buf_free) = BUF_INIT(STATUS_BYTES_MAX);
	char temp[STATUS_PATH_MAX];
	int n = snprintf(temp, sizeof(temp), "%s.tmp", path);
	int r;

	if (n < 0 || (size_t)n >= sizeof(temp))
		return -ENAMETOOLONG;
	r = status_format(&b, info, counters);
	if (r < 0)
		return r;
	r = write_file(temp, &b);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temp);
	return r;
}
