/* tools/cli/cmd_ca.h: between the files of `towline ca`. */
#pragma once

#include "tools/cli/cli.h"

/* towline ca show. argv[0] is "show". Returns an exit code of cli.h. */
int ca_show(int argc, char **argv);
