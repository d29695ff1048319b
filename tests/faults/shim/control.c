#include "tests/faults/shim/control.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct control harmless;
static struct control *control = &harmless;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void map_control(void)
{
	const char *path = getenv("TOWLINE_FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct stat st;
	void *p;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(struct control)) {
		p = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED && atomic_load(&((struct control *)p)->magic) == CONTROL_MAGIC)
			control = p;
	}
	(void)close(fd);
}

struct control *control_get(void)
{
	(void)pthread_once(&once, map_control);
	return control;
}

/* xorshift64*; threads that meet here may draw the same number, which is no matter. */
static uint64_t draw(struct control *c)
{
	uint64_t x = atomic_load_explicit(&c->seed, memory_order_relaxed);

	if (x == 0)
		x = UINT64_C(88172645463325252);
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	atomic_store_explicit(&c->seed, x, memory_order_relaxed);
	return (x * UINT64_C(2685821657736338717)) >> 33;
}

/* Takes one off a count, if there is any. */
static bool take(_Atomic uint64_t *count)
{
	uint64_t n = atomic_load(count);

	while (n > 0)
		if (atomic_compare_exchange_weak(count, &n, n - 1))
			return true;
	return false;
}

bool control_fails(enum control_op op)
{
	struct control *c = control_get();
	struct control_rule *r = &c->rules[op];
	bool fails;

	atomic_fetch_add_explicit(&r->calls, 1, memory_order_relaxed);
	if (take(&r->skip))
		return false;
	fails = take(&r->once);
	if (!fails && atomic_load_explicit(&r->rate, memory_order_relaxed) > 0)
		fails = draw(c) % 1000000 < atomic_load(&r->rate);
	if (fails)
		atomic_fetch_add(&r->hits, 1);
	return fails;
}
