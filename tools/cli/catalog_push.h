/* tools/cli/catalog_push.h: `towline catalog push`. */
#pragma once

/* argv[0] is "push". Returns an exit code of cli.h. */
int catalog_push(int argc, char **argv);
