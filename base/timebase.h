/* base/timebase.h: the two clocks, as two types, and injectable. */
#pragma once

#include "base/base.h"

#define NS_PER_US ((int64_t)1000)
#define NS_PER_MS ((int64_t)1000000)
#define NS_PER_S  ((int64_t)1000000000)

/* CLOCK_BOOTTIME: nanoseconds since boot, counts through suspend, never jumps. */
struct mono_time {
	int64_t ns;
};

/* CLOCK_REALTIME: nanoseconds since 1970-01-01 UTC; may be wrong and may jump. */
struct wall_time {
	int64_t ns;
};

struct timebase {
	struct mono_time (*mono)(void *ctx);
	struct wall_time (*wall)(void *ctx);
	void *ctx;
};

/* The kernel's clocks. Borrowed, static. */
const struct timebase *timebase_system(void);

static inline struct mono_time timebase_mono(const struct timebase *tb)
{
	return tb->mono(tb->ctx);
}

static inline struct wall_time timebase_wall(const struct timebase *tb)
{
	return tb->wall(tb->ctx);
}

/* The first 16 hex digits of the kernel's boot id: tells the boots of a machine, and so their mono
 * times, apart. A random number where the kernel does not say. */
uint64_t boot_id_read(void);

/* For tests: a clock that moves only when told to. */
struct timebase_fake {
	struct timebase tb;
	struct mono_time mono;
	struct wall_time wall;
};

void timebase_fake_init(struct timebase_fake *f, int64_t mono_ns, int64_t wall_ns);
void timebase_fake_advance(struct timebase_fake *f, int64_t ns); /* both clocks */

/* "2026-03-01T12:34:56.789Z" */
enum { WALL_TIME_TEXT = 32 };
void wall_time_format(struct wall_time t, char text[static WALL_TIME_TEXT]);
