/* Counts allocations: the C library's own functions under their inner names, ours under the public
 * ones. */
#include "tests/bench/common.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

static _Thread_local uint64_t allocations;

#if COUNTS_ALLOCATIONS
/* glibc exports these for programs that interpose the public names. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}
#endif

uint64_t bench_allocations(void)
{
	return allocations;
}

bool bench_counts_allocations(void)
{
	if (COUNTS_ALLOCATIONS && allocations == 0)
		bench_die("allocations are not seen: nothing would be proved");
	return COUNTS_ALLOCATIONS;
}
