/* base/base.h: attributes and small helpers that every file may use. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

/* On 32-bit machines, too: _TIME_BITS=64 and _FILE_OFFSET_BITS=64 reach every file of ours. */
static_assert(sizeof(time_t) == 8, "time_t must last beyond 2038");
static_assert(sizeof(off_t) == 8, "logs and stores may be larger than 2 GiB");

#define must_check	      __attribute__((warn_unused_result))
#define printf_like(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define cleanup(fn)	      __attribute__((cleanup(fn)))

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

/* For cleanup(): frees what a pointer variable points to. */
static inline void free_ptr(void *p)
{
	free(*(void **)p);
}

/* What went wrong, in words for a person: names the file, line, field or topic.
 * Functions that read outside bytes take one; NULL is fine. */
struct error {
	char text[256];
};

void error_set(struct error *err, const char *fmt, ...) printf_like(2, 3);
