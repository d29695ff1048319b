#include "base/timebase.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	/* Both clocks exist on every kernel that we run on; a failure is a broken build. */
	if (clock_gettime(id, &ts) < 0)
		abort();
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static struct mono_time system_mono(void *ctx)
{
	(void)ctx;
	return (struct mono_time){.ns = clock_ns(CLOCK_BOOTTIME)};
}

static struct wall_time system_wall(void *ctx)
{
	(void)ctx;
	return (struct wall_time){.ns = clock_ns(CLOCK_REALTIME)};
}

const struct timebase *timebase_system(void)
{
	static const struct timebase tb = {.mono = system_mono, .wall = system_wall, .ctx = NULL};

	return &tb;
}

static struct mono_time fake_mono(void *ctx)
{
	const struct timebase_fake *f = ctx;

	return f->mono;
}

static struct wall_time fake_wall(void *ctx)
{
	const struct timebase_fake *f = ctx;

	return f->wall;
}

void timebase_fake_init(struct timebase_fake *f, int64_t mono_ns, int64_t wall_ns)
{
	*f = (struct timebase_fake){
		.tb = {.mono = fake_mono, .wall = fake_wall, .ctx = f},
		.mono = {.ns = mono_ns},
		.wall = {.ns = wall_ns},
	};
}

void timebase_fake_advance(struct timebase_fake *f, int64_t ns)
{
	f->mono.ns += ns;
	f->wall.ns += ns;
}

void wall_time_format(struct wall_time t, char text[static WALL_TIME_TEXT])
{
	int64_t ms = t.ns / NS_PER_MS - (t.ns % NS_PER_MS < 0); /* rounds down before 1970 too */
	int64_t s = ms / 1000 - (ms % 1000 < 0);
	time_t clock = (time_t)s;
	struct tm tm;

	/* 64-bit nanoseconds reach from 1677 to 2262: four digits of year, never an error. */
	if (!gmtime_r(&clock, &tm))
		abort();
	snprintf(text, WALL_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		 (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)(tm.tm_mon + 1) % 100u,
		 (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u,
		 (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u,
		 (unsigned)(ms - s * 1000) % 1000u);
}

uint64_t boot_id_read(void)
{
	char text[64] = "";
	uint64_t id = 0;
	size_t digits = 0;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	for (ssize_t i = 0; i < n && digits < 16; i++) {
		const char *hex = "0123456789abcdef", *at = strchr(hex, text[i]);

		if (!at || text[i] == '\0')
			continue;
		id = id << 4 | (uint64_t)(at - hex);
		digits++;
	}
	if (digits < 16)
		random_bytes(&id, sizeof(id));
	return id;
}
