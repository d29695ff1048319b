#include "tools/cli/cli.h"

static int run(int argc, char **argv)
{
	(void)argc;
	return cli_fail(EXIT_FAILED, "%s: replaced by its owner", argv[0]);
}

const struct cli_command cmd_catalog = {.name = "catalog", .summary = "", .help = "", .run = run};
