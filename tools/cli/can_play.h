/* tools/cli/can_play.h: `towline can play`. */
#pragma once

/* argv[0] is "play". Returns an exit code of cli.h. */
int can_play(int argc, char **argv);
