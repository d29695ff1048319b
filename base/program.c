#include "base/program.h"

#include <getopt.h>
#include <stdio.h>

enum { OPT_PRINT = 256, OPT_CHECK, OPT_VERSION };

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check-config", no_argument, NULL, OPT_CHECK},
	{"print-config", no_argument, NULL, OPT_PRINT},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int wrong(const struct program_text *p, const char *what)
{
	if (what)
		fprintf(stderr, "%s: %s\n", p->name, what);
	fprintf(stderr, "Try %s --help\n", p->name);
	return PROGRAM_EXIT_USAGE;
}

int program_options(const struct program_text *p, int argc, char **argv,
		    struct program_options *ret)
{
	int o;

	while ((o = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		switch (o) {
		case 'c':
			ret->path = optarg;
			break;
		case OPT_CHECK:
			ret->check = true;
			break;
		case OPT_PRINT:
			conf_print(p->table, stdout);
			return 0;
		case OPT_VERSION:
			printf("%s %s\n", p->name, p->version);
			return 0;
		case 'h':
			fputs(p->usage, stdout);
			return 0;
		default: /* getopt has said what */
			return wrong(p, NULL);
		}
	}
	if (optind < argc)
		return wrong(p, "too many arguments");
	return ret->path ? -1 : wrong(p, "-c FILE is missing");
}
