/* CLOCK_REALTIME as the harness has it, and what the kernel says of its quality. Who waits until a
 * moment of that clock (Paho does) is given the kernel's; no other clock is touched. */
#include "tests/faults/shim/control.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum {
	S_PER_YEAR = 31556952,
};

#define NS_PER_S INT64_C(1000000000)

static struct timespec shifted(struct timespec t, int64_t ns)
{
	int64_t s = (int64_t)t.tv_sec + ns / NS_PER_S, rest = t.tv_nsec + ns % NS_PER_S;

	if (rest < 0) {
		rest += NS_PER_S;
		s--;
	} else if (rest >= NS_PER_S) {
		rest -= NS_PER_S;
		s++;
	}
	return (struct timespec){.tv_sec = (time_t)s, .tv_nsec = (long)rest};
}

static int64_t offset(void)
{
	return atomic_load_explicit(&control_get()->wall_offset_ns, memory_order_relaxed);
}

static int real_gettime(clockid_t id, struct timespec *ret)
{
	return (int)syscall(SYS_clock_gettime, id, ret);
}

EXPORT int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = real_gettime(id, ret);

	if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		*ret = shifted(*ret, offset());
	return r;
}

EXPORT int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec t;
	int r = clock_gettime(CLOCK_REALTIME, &t);

	(void)zone;
	if (r == 0)
		*ret = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
	return r;
}

EXPORT time_t time(time_t *ret)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t) < 0)
		return (time_t)-1;
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

EXPORT int adjtimex(struct timex *t)
{
	uint64_t sync = atomic_load(&control_get()->clock_sync);
	int r = (int)syscall(SYS_adjtimex, t);

	if (sync == SYNC_AS_IS || r < 0)
		return r;
	if (sync == SYNC_NOT) {
		t->status |= STA_UNSYNC;
		return TIME_ERROR;
	}
	t->status &= ~(STA_UNSYNC | STA_CLOCKERR);
	return TIME_OK;
}

/* A condition may wait by the monotonic clock: its moments are within years of a boot. */
static struct timespec moment(const struct timespec *until)
{
	struct timespec mono;

	if (real_gettime(CLOCK_MONOTONIC, &mono) == 0 &&
	    llabs((long long)until->tv_sec - (long long)mono.tv_sec) < 10LL * S_PER_YEAR)
		return *until;
	return shifted(*until, -offset());
}

/* dlsym might find the oldest version, which has other conditions. */
static void *find_wait(void)
{
	void *f = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");

	return f ? f : dlsym(RTLD_NEXT, "pthread_cond_timedwait");
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
				  const struct timespec *restrict until)
{
	static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
	struct timespec t = moment(until);

	if (!real) {
		void *found = find_wait();

		if (!found)
			abort();
		memcpy(&real, &found, sizeof(real));
	}
	return real(cond, mutex, &t);
}

EXPORT int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until)
{
	static int (*real)(sem_t *, const struct timespec *);
	struct timespec t = moment(until);

	if (!real) {
		void *found = dlsym(RTLD_NEXT, "sem_timedwait");

		if (!found)
			abort();
		memcpy(&real, &found, sizeof(real));
	}
	return real(sem, &t);
}
