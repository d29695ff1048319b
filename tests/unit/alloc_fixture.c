#include "tests/unit/alloc_fixture.h"

#include "base/log.h"

#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unwind.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/memory.h>
#include <zlib.h>

enum {
	SCENARIOS_MAX = 64,
	LIVE_SLOTS = 1 << 17, /* a power of two */
	FRAMES_MAX = 24,
	TIMEOUT_S = 600, /* machines may be busy */
};

/* ---- what the processes tell the one that counts ---- */

struct told {
	bool done;
	const char *how, *of;
	uint64_t nth, points, leaked, lost;
	uintptr_t failed_at[FRAMES_MAX]; /* offsets in the program; the first request that failed */
	size_t n_frames;
};
static struct told *told; /* one a scenario, shared */
static struct told *now;  /* of the scenario of this process */

/* ---- what is allocated ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const void *live[LIVE_SLOTS];
static const void *live_from[LIVE_SLOTS]; /* who asked */
static size_t n_live;
static bool tracking;

static size_t slot_of(const void *p)
{
	uint64_t x = (uint64_t)(uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(x >> 40) & (LIVE_SLOTS - 1);
}

static void track(const void *p, const void *from)
{
	if (!p)
		return;
	pthread_mutex_lock(&lock);
	if (tracking) {
		size_t i = slot_of(p);

		assert(n_live < LIVE_SLOTS / 2);
		while (live[i])
			i = (i + 1) & (LIVE_SLOTS - 1);
		live[i] = p;
		live_from[i] = from;
		n_live++;
	}
	pthread_mutex_unlock(&lock);
}

/* Closes the hole at i: what follows it and belongs at it or before moves up. */
static void close_hole(size_t i)
{
	for (size_t k = (i + 1) & (LIVE_SLOTS - 1); live[k]; k = (k + 1) & (LIVE_SLOTS - 1)) {
		size_t home = slot_of(live[k]);

		if (((k - home) & (LIVE_SLOTS - 1)) < ((k - i) & (LIVE_SLOTS - 1)))
			continue;
		live[i] = live[k];
		live_from[i] = live_from[k];
		i = k;
	}
	live[i] = NULL;
}

/* What was allocated before, or by a library, is not known. */
static void untrack(const void *p)
{
	size_t i = slot_of(p);

	if (!p)
		return;
	pthread_mutex_lock(&lock);
	while (live[i] && live[i] != p)
		i = (i + 1) & (LIVE_SLOTS - 1);
	if (live[i]) {
		close_hole(i);
		n_live--;
	}
	pthread_mutex_unlock(&lock);
}

/* ---- what fails ---- */

enum source { OURS, SQLITE };

static bool armed, stays, has_failed;
static enum source counted; /* of which the nth fails */
static uint64_t nth, requests[2];
static pthread_t whose;

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *c, void *ctx)
{
	Dl_info info;
	uintptr_t ip = _Unwind_GetIP(c);

	(void)ctx;
	if (now->n_frames < FRAMES_MAX && dladdr((void *)ip, &info) && info.dli_fbase)
		now->failed_at[now->n_frames++] = ip - (uintptr_t)info.dli_fbase;
	return _URC_NO_REASON;
}

/* Other threads than the scenario's have all they want. */
static bool refused(enum source from)
{
	uint64_t n;

	if (!armed || !pthread_equal(whose, pthread_self()))
		return false;
	requests[from]++;
	n = requests[counted];
	if (nth == 0 || n < nth || (!stays && (n > nth || from != counted)))
		return false;
	if (!has_failed) {
		armed = false; /* unwinding asks for memory */
		now->n_frames = 0;
		(void)_Unwind_Backtrace(note_frame, NULL);
		armed = true;
	}
	has_failed = true;
	errno = ENOMEM;
	return true;
}

bool alloc_heal(void)
{
	armed = false;
	return has_failed;
}

void alloc_lost(uint64_t n)
{
	now->lost += n;
	ck_assert_msg(n == 0, "%llu lost", (unsigned long long)n);
}

/* ---- in the place of the C library's ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
FILE *__real_fopen(const char *path, const char *mode);
DIR *__real_opendir(const char *path);
int __real_inflateInit_(z_stream *z, const char *version, int size);
int __real_inflateInit2_(z_stream *z, int bits, const char *version, int size);
int __real_deflateInit_(z_stream *z, int level, const char *version, int size);
int __real_deflateInit2_(z_stream *z, int level, int method, int bits, int memory, int strategy,
			 const char *version, int size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *text);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
int __wrap_asprintf(char **ret, const char *fmt, ...) printf_like(2, 3);
int __wrap___asprintf_chk(char **ret, int flag, const char *fmt, ...) printf_like(3, 4);
FILE *__wrap_fopen(const char *path, const char *mode);
DIR *__wrap_opendir(const char *path);
void __real__mark_point(const char *file, int line);
void __wrap__mark_point(const char *file, int line);
void __wrap_log_write(struct log_site *site, enum log_level level, const char *event,
		      const char *fmt, ...) printf_like(4, 5);
int __wrap_inflateInit_(z_stream *z, const char *version, int size);
int __wrap_inflateInit2_(z_stream *z, int bits, const char *version, int size);
int __wrap_deflateInit_(z_stream *z, int level, const char *version, int size);
int __wrap_deflateInit2_(z_stream *z, int level, int method, int bits, int memory, int strategy,
			 const char *version, int size);

static void *give(size_t size, const void *from)
{
	void *p = __real_malloc(size);

	track(p, from);
	return p;
}

void *__wrap_malloc(size_t size)
{
	return refused(OURS) ? NULL : give(size, __builtin_return_address(0));
}

void *__wrap_calloc(size_t n, size_t size)
{
	void *p = refused(OURS) ? NULL : __real_calloc(n, size);

	track(p, __builtin_return_address(0));
	return p;
}

static void *grow(void *p, size_t size, const void *from)
{
	void *grown;

	untrack(p);
	grown = __real_realloc(p, size);
	track(grown, from);
	return grown;
}

void *__wrap_realloc(void *p, size_t size)
{
	return refused(OURS) ? NULL : grow(p, size, __builtin_return_address(0));
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	if (refused(OURS) || __builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return grow(p, all, __builtin_return_address(0));
}

void __wrap_free(void *p)
{
	untrack(p);
	__real_free(p);
}

char *__wrap_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *p = refused(OURS) ? NULL : give(size, __builtin_return_address(0));

	return p ? memcpy(p, text, size) : NULL;
}

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	*ret = n < 0 || refused(OURS) ? NULL : give((size_t)n + 1, __builtin_return_address(0));
	return *ret ? vsnprintf(*ret, (size_t)n + 1, fmt, ap) : -1;
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = __wrap_vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

int __wrap___asprintf_chk(char **ret, int flag, const char *fmt, ...)
{
	va_list ap;
	int n;

	(void)flag;
	va_start(ap, fmt);
	n = __wrap_vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return refused(OURS) ? NULL : __real_fopen(path, mode);
}

DIR *__wrap_opendir(const char *path)
{
	return refused(OURS) ? NULL : __real_opendir(path);
}

/* Thousands of lines about memory would hide what is wrong. They are formatted all the same, so
 * that a text in them that is not there is found. */
void __wrap_log_write(struct log_site *site, enum log_level level, const char *event,
		      const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	(void)site;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (getenv("ALLOC_LOG"))
		(void)fprintf(stderr, "%d %s %s\n", (int)level, event, line);
}

/* Check's, of each assertion: where it is linked statically it would get its memory here, too. */
void __wrap__mark_point(const char *file, int line)
{
	bool was = armed;

	armed = false;
	__real__mark_point(file, line);
	armed = was;
}

/* ---- libraries ---- */

static void *zlib_alloc(void *ctx, unsigned n, unsigned size)
{
	(void)ctx;
	return refused(OURS) ? NULL : give((size_t)n * size, zlib_alloc);
}

static void zlib_free(void *ctx, void *p)
{
	(void)ctx;
	__wrap_free(p);
}

static void lend(z_stream *z)
{
	if (z->zalloc)
		return;
	z->zalloc = zlib_alloc;
	z->zfree = zlib_free;
}

int __wrap_inflateInit_(z_stream *z, const char *version, int size)
{
	lend(z);
	return __real_inflateInit_(z, version, size);
}

int __wrap_inflateInit2_(z_stream *z, int bits, const char *version, int size)
{
	lend(z);
	return __real_inflateInit2_(z, bits, version, size);
}

int __wrap_deflateInit_(z_stream *z, int level, const char *version, int size)
{
	lend(z);
	return __real_deflateInit_(z, level, version, size);
}

int __wrap_deflateInit2_(z_stream *z, int level, int method, int bits, int memory, int strategy,
			 const char *version, int size)
{
	lend(z);
	return __real_deflateInit2_(z, level, method, bits, memory, strategy, version, size);
}

static void *sqlite_malloc(int size)
{
	return refused(SQLITE) ? NULL : give((size_t)size, sqlite_malloc);
}

static void *sqlite_realloc(void *p, int size)
{
	return refused(SQLITE) ? NULL : grow(p, (size_t)size, sqlite_malloc);
}

static int sqlite_size(void *p)
{
	return p ? (int)malloc_usable_size(p) : 0;
}

static int sqlite_round(int size)
{
	return (size + 7) & ~7;
}

static int sqlite_begin(void *ctx)
{
	(void)ctx;
	return SQLITE_OK;
}

static void sqlite_end(void *ctx)
{
	(void)ctx;
}

static bool take_over_libraries(void)
{
	static const sqlite3_mem_methods methods = {
		.xMalloc = sqlite_malloc,
		.xFree = __wrap_free,
		.xRealloc = sqlite_realloc,
		.xSize = sqlite_size,
		.xRoundup = sqlite_round,
		.xInit = sqlite_begin,
		.xShutdown = sqlite_end,
	};

	return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK &&
	       sqlite3_initialize() == SQLITE_OK &&
	       wolfSSL_SetAllocators(__wrap_malloc, __wrap_free, __wrap_realloc) == 0;
}

/* ---- running ---- */

static const struct alloc_scenario *all;
static size_t n_all;

static void say_leaks(void)
{
	Dl_info info;
	int left = 20;

	for (size_t i = 0; i < LIVE_SLOTS && left > 0; i++) {
		if (!live[i] || !dladdr(live_from[i], &info))
			continue;
		(void)fprintf(stderr, "alloc: not freed, asked for at %#zx\n",
			      (size_t)((uintptr_t)live_from[i] - (uintptr_t)info.dli_fbase));
		left--;
	}
}

static void check_leaks(const struct alloc_scenario *s)
{
	if (n_live == 0)
		return;
	now->leaked += n_live;
	say_leaks();
	ck_abort_msg("%s: %zu not freed", s->name, n_live);
}

/* n 0: nothing fails. */
static void run_once(const struct alloc_scenario *s, enum source of, uint64_t n, bool from_then)
{
	memset(live, 0, sizeof(live));
	n_live = 0;
	now->nth = n;
	now->how = from_then ? "from there on" : "once";
	now->of = of == OURS ? "ours" : "SQLite's";
	now->n_frames = 0;
	tracking = true;
	if (s->set_up)
		s->set_up();
	nth = n;
	stays = from_then;
	memset(requests, 0, sizeof(requests));
	counted = of;
	has_failed = false;
	whose = pthread_self();
	armed = true;
	s->run();
	armed = false;
	if (s->check)
		s->check();
	s->tear_down();
	tracking = false;
	if (n > 0)
		check_leaks(s);
}

/* Each of ours; of SQLite's, which are thousands, a number that is spread over them. */
static uint64_t stride_of(enum source of, uint64_t n)
{
	const char *wanted = getenv("ALLOC_POINTS"); /* 0: all */
	uint64_t points = wanted ? strtoull(wanted, NULL, 10) : of == OURS ? 1000 : 50;

	if (TEST_EMULATED && !wanted)
		points /= 10;
	return points > 0 && n > points ? n / points : 1;
}

static void run_all(const struct alloc_scenario *s, enum source of, uint64_t n, bool from_then)
{
	uint64_t stride = stride_of(of, n);

	for (uint64_t k = from_then ? 1 + stride / 2 : 1; k <= n; k += stride) {
		run_once(s, of, k, from_then);
		now->points += has_failed; /* chance may have made them fewer */
	}
}

START_TEST(memory_runs_out)
{
	const struct alloc_scenario *s = &all[_i];
	uint64_t n[2];

	now = &told[_i];
	run_once(s, OURS, 0, false); /* libraries do some things once */
	run_once(s, OURS, 0, false);
	memcpy(n, requests, sizeof(n));
	ck_assert_uint_gt(n[OURS] + n[SQLITE], 0);
	for (int how = 0; how < 2; how++)
		for (int of = 0; of < 2; of++)
			run_all(s, (enum source)of, n[of], how > 0);
	now->done = true;
}
END_TEST

static unsigned count_crashed(SRunner *runner)
{
	TestResult **results = srunner_results(runner);
	unsigned n = 0;

	for (int i = 0; i < srunner_ntests_run(runner); i++)
		n += tr_rtype(results[i]) == CK_ERROR;
	free(results);
	return n;
}

static void say_failure(const struct alloc_scenario *s, const struct told *t)
{
	if (t->done || !t->how)
		return;
	printf("alloc: %s: wrong with request %llu of %s, %s; it was made at", s->name,
	       (unsigned long long)t->nth, t->of, t->how);
	for (size_t i = 0; i < t->n_frames; i++)
		printf(" %#zx", (size_t)t->failed_at[i]);
	printf("\n");
}

static int sum_up(SRunner *runner)
{
	uint64_t points = 0, leaked = 0, lost = 0;
	size_t done = 0;

	for (size_t i = 0; i < n_all; i++) {
		say_failure(&all[i], &told[i]);
		done += told[i].done;
		points += told[i].points;
		leaked += told[i].leaked;
		lost += told[i].lost;
	}
	printf("alloc: scenarios=%zu points=%llu crashed=%u leaked=%llu lost=%llu\n", n_all,
	       (unsigned long long)points, count_crashed(runner), (unsigned long long)leaked,
	       (unsigned long long)lost);
	return srunner_ntests_failed(runner) == 0 && done == n_all && points > 0 ? 0 : 1;
}

int alloc_main(const char *name, const struct alloc_scenario *scenarios, size_t n)
{
	const char *only = getenv("ALLOC_ONLY");
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *runner;
	int r;

	assert(n <= SCENARIOS_MAX);
	told = mmap(NULL, sizeof(*told) * SCENARIOS_MAX, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED || !take_over_libraries())
		return 1;
	all = scenarios;
	n_all = n;
	tcase_set_timeout(tc, getenv("ALLOC_POINTS") ? 0 : TIMEOUT_S);
	for (size_t i = 0; i < n; i++)
		if (!only || strcmp(only, scenarios[i].name) == 0)
			tcase_add_loop_test(tc, memory_runs_out, (int)i, (int)i + 1);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	r = sum_up(runner);
	srunner_free(runner);
	return r;
}
