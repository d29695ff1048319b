/* towline can: what is done to CAN interfaces. */
#include "tools/cli/can_play.h"
#include "tools/cli/cli.h"

#include <string.h>

static const char help[] =
	"Usage: towline can play [OPTION...] LOG\n"
	"\n"
	"play   sends the frames of LOG (candump -l format, plain or gzip; - for standard input)\n"
	"       to CAN interfaces, each as long after the first one as in the log.\n"
	"         --map BUS=INTERFACE  where the frames of a bus of the log go; repeat for more;\n"
	"                              other buses are skipped. Without: each bus to the\n"
	"                              interface of its name\n"
	"         --speed N|max        0.001 to 100000 times as fast; max: as fast as the\n"
	"                              interfaces take it\n"
	"         --loop               from the start again at the end (regular files)\n"
	"         --from S, --to S     only this part, in seconds since the log's first frame\n"
	"         --max-gap S          cuts longer gaps between two frames to S seconds of the "
	"log\n"
	"         --count N            ends after N frames\n"
	"         -q, --quiet          on standard error nothing but errors\n"
	"       All interfaces are looked at before the first frame is sent (without --map those "
	"of\n"
	"       the first 16384 lines): they must be there, be CAN and be up. CAN FD frames need "
	"an\n"
	"       MTU of 72. Error frames of the log are not sent. Where a log's time goes back by "
	"a\n"
	"       second or more, it is played on from there. A queue that is full is waited for, "
	"up\n"
	"       to 5 s. Ctrl-C ends it in good order. At the end a line with counts, and how much\n"
	"       later than due the frames left.\n"
	"\n"
	"Exit codes: 0 the log was played to its end, or to Ctrl-C, bad lines skipped; 1 not: an\n"
	"interface failed, or the log cannot be read on; 2 wrong usage.\n";

static int run(int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(&cmd_can, "play?");
	if (strcmp(argv[1], "play") == 0)
		return can_play(argc - 1, argv + 1);
	return cli_usage(&cmd_can, "'%s' is none of play", argv[1]);
}

const struct cli_command cmd_can = {
	.name = "can",
	.summary = "plays a bus log onto CAN interfaces",
	.help = help,
	.run = run,
};
