#include "tests/bench/common.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void bench_die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

void *bench_must(void *p)
{
	if (!p)
		bench_die("out of memory");
	return p;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t bench_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t bench_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* utime and stime of proc_pid_stat(5), fields 14 and 15; the name in field 2 may hold spaces. */
int64_t bench_process_cpu_ns(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64], line[1024] = "";
	const char *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		bench_die("%s: %s", path, strerror(errno));
	fclose(f);
	at = strrchr(line, ')');
	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			  &system) != 2)
		bench_die("%s: %s", path, line);
	return (int64_t)(user + system) * (NS_PER_S / sysconf(_SC_CLK_TCK));
}

/* ---- arguments ---- */

enum { OPT_JSON = 1, OPT_LOG, OPT_DBC, OPT_NUMBER, NUMBERS_MAX = 4 };

static void usage(const struct bench_args *a)
{
	fprintf(stderr, "Usage: %s %s\n", program_invocation_short_name, a->usage);
	exit(2);
}

static void add_log(struct bench_args *a, const char *arg)
{
	const char *equals = strchr(arg, '=');
	struct bench_log *log = &a->logs[a->n_logs];

	/* The name stands in tables and JSON as it is. */
	if (a->n_logs == BENCH_LOGS_MAX || !equals || equals == arg ||
	    strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
		    (size_t)(equals - arg))
		usage(a);
	snprintf(log->name, sizeof(log->name), "%.*s", (int)(equals - arg), arg);
	log->path = equals + 1;
	a->n_logs++;
}

static void add_dbc(struct bench_args *a, const char *arg)
{
	struct bench_log *log = a->n_logs ? &a->logs[a->n_logs - 1] : NULL;

	if (!log || log->n_dbcs == BENCH_DBCS_MAX)
		usage(a);
	log->dbcs[log->n_dbcs++] = arg;
}

static void set_number(const struct bench_args *a, const struct bench_number *n, const char *arg)
{
	char *end;
	double v = strtod(arg, &end);

	if (end == arg || *end || !(v >= n->min && v <= n->max)) {
		fprintf(stderr, "%s: --%s %s: must be from %g to %g\n",
			program_invocation_short_name, n->name, arg, n->min, n->max);
		usage(a);
	}
	*n->value = v;
}

static void take(struct bench_args *a, int opt, const char *arg)
{
	if (opt == OPT_JSON)
		a->json = arg;
	else if (opt == OPT_LOG && a->takes_logs)
		add_log(a, arg);
	else if (opt == OPT_DBC && a->takes_logs)
		add_dbc(a, arg);
	else if (opt >= OPT_NUMBER && (size_t)(opt - OPT_NUMBER) < a->n_numbers)
		set_number(a, &a->numbers[opt - OPT_NUMBER], arg);
	else
		usage(a);
}

void bench_args_parse(struct bench_args *a, int argc, char **argv)
{
	struct option longs[3 + NUMBERS_MAX + 1] = {
		{"json", required_argument, NULL, OPT_JSON},
		{"log", required_argument, NULL, OPT_LOG},
		{"dbc", required_argument, NULL, OPT_DBC},
	};
	int c;

	assert(a->n_numbers <= NUMBERS_MAX);
	for (size_t i = 0; i < a->n_numbers; i++)
		longs[3 + i] = (struct option){a->numbers[i].name, required_argument, NULL,
					       OPT_NUMBER + (int)i};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		take(a, c, optarg);
	if (optind != argc)
		usage(a);
}

void bench_json_write(json_t *root, const char *path)
{
	if (path &&
	    (!root || json_dump_file(root, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) < 0))
		bench_die("%s: cannot be written", path);
	json_decref(root);
}
