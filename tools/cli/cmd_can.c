/* towline can: CAN interfaces of this machine. */
#include "tools/cli/can_play.h"
#include "tools/cli/can_state.h"
#include "tools/cli/cli.h"

#include <string.h>

static const char help[] =
	"Usage: towline can play [OPTION...] LOG\n"
	"       towline can state [--json] [INTERFACE...]\n"
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
	"       All interfaces are looked at before the first frame is sent (without --map\n"
	"       those of the first 16384 lines): they must be there, be CAN and be up. CAN FD\n"
	"       frames need CAN FD (an MTU of 72). Error frames of the log are not sent. Where\n"
	"       a log's time goes back by a second or more, it is played on from there. A full\n"
	"       queue is waited for, up to 5 s. Ctrl-C ends it in good order. At the end a line\n"
	"       with counts, and how much later than due the frames left.\n"
	"state  prints state, bit rates, sample points and error counters of the interfaces,\n"
	"       of all CAN interfaces where none is named. Needs no rights.\n"
	"         --json               as a JSON array\n"
	"\n"
	"Exit codes: 0 done; the log was played to its end, or to Ctrl-C, bad lines skipped;\n"
	"1 not: an interface failed, or the log cannot be read on, or has not one good line;\n"
	"2 wrong usage; 3 state: no such CAN interface.\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
} subcommands[] = {
	{"play", can_play},
	{"state", can_state},
};

static int run(int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(&cmd_can, "play or state?");
	for (size_t i = 0; i < array_len(subcommands); i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	return cli_usage(&cmd_can, "'%s' is none of play, state", argv[1]);
}

const struct cli_command cmd_can = {
	.name = "can",
	.summary = "plays a log onto CAN interfaces, and shows their state",
	.help = help,
	.run = run,
};
