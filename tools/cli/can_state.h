/* tools/cli/can_state.h: `towline can state`. */
#pragma once

/* argv[0] is "state". Returns an exit code of cli.h. */
int can_state(int argc, char **argv);
