/* tests/bench/common.h: what the bench programs share: arguments, logs, catalogs, clocks. They are
 * programs that run once: what goes wrong ends them with a message. */
#pragma once

#include "agent/source/candump.h"
#include "proto/catalog.h"

#include <jansson.h>
#include <sys/types.h>

/* ---- the end, and memory ---- */

/* "PROGRAM: message" on stderr, exit status 1; atexit's functions run. */
void bench_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void *bench_must(void *p); /* p, unless it is NULL: dies */

/* ---- arguments ---- */

enum { BENCH_LOGS_MAX = 16, BENCH_DBCS_MAX = 8 };

/* --log NAME=FILE and the --dbc BUS=FILE after it; borrows from argv. */
struct bench_log {
	char name[32];
	const char *path;
	const char *dbcs[BENCH_DBCS_MAX];
	size_t n_dbcs;
};

/* --name NUMBER, from min to max. */
struct bench_number {
	const char *name;
	double *value;
	double min, max;
};

struct bench_args {
	const char *usage; /* what stands behind the name of the program */
	const struct bench_number *numbers;
	size_t n_numbers;
	bool takes_logs;

	const char *json; /* --json FILE; NULL: none */
	struct bench_log logs[BENCH_LOGS_MAX];
	size_t n_logs;
};

/* Fills the second half. Shows the usage and exits with 2 when anything is wrong. */
void bench_args_parse(struct bench_args *a, int argc, char **argv);

/* Writes root to path (NULL: nowhere) and releases it. */
void bench_json_write(json_t *root, const char *path);

/* ---- logs ---- */

struct bench_frames {
	struct frame *frames;
	size_t n, cap;
};

void bench_frames_add(struct bench_frames *f, const struct frame *frame);
void bench_frames_free(struct bench_frames *f);

struct catalog *bench_log_catalog(const struct bench_log *log); /* of its DBC files; the caller's */
/* Number of the bus in the catalog, or FRAME_BUS_NONE. */
uint16_t bench_bus(const struct catalog *cat, const char *name);
/* Calls each for every good line, its frame's bus set by the catalog, until it returns false. */
void bench_log_read(const struct bench_log *log, const struct catalog *cat,
		    bool (*each)(void *ctx, const struct candump_line *line), void *ctx);

/* ---- made-up catalogs ---- */

struct bench_shape {
	uint32_t messages, signals; /* signals a message, 16 bits each one after the other */
	uint16_t bytes;		    /* of a message */
	uint32_t id, id_step;	    /* of the first message, and to the next */
	/* Changes signal n of them all; NULL: they stay. */
	void (*change)(struct catalog_signal *s, uint32_t n);
};

/* One bus, can0. The caller frees it. */
struct catalog *bench_catalog(const struct bench_shape *shape);

uint64_t bench_rnd(void); /* the same numbers in every run */

/* ---- clocks and allocations ---- */

int64_t bench_now_ns(void);		 /* monotonic */
int64_t bench_cpu_ns(void);		 /* CPU time of this thread */
int64_t bench_process_cpu_ns(pid_t pid); /* of all its threads; in steps of 10 ms */

/* How often this thread called malloc, calloc or realloc. */
uint64_t bench_allocations(void);
/* Under a sanitizer, which has these functions for itself, false: nothing is counted. Dies when
 * they are counted and none was, since then 0 would prove nothing. */
bool bench_counts_allocations(void);
