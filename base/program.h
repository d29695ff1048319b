/* base/program.h: the command line that all daemons have: -c FILE, --check-config, --print-config,
 * --version, --help. */
#pragma once

#include "base/conf.h"

enum { PROGRAM_EXIT_USAGE = 2 };

struct program_text {
	const char *name, *version;
	const char *usage; /* for --help */
	const struct conf_table *table;
};

struct program_options {
	const char *path;
	bool check;
};

/* Does what is asked for on standard output, or says on standard error what is wrong. Returns -1
 * to go on with ret, or the exit code. */
int program_options(const struct program_text *p, int argc, char **argv,
		    struct program_options *ret);
