/* tools/cli/cli.h: what the commands of `towline` share. */
#pragma once

#include "base/base.h"

#include <stdio.h>

/* Exit codes, the same for every command. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,    /* it was tried and failed; stderr says why */
	EXIT_USAGE = 2,	    /* the command line is wrong */
	EXIT_NOT_FOUND = 3, /* no such vehicle, signal, catalog */
	EXIT_NO_RELAY = 4,  /* the relay cannot be reached */
};

struct cli_command {
	const char *name;    /* "decode", "catalog" */
	const char *summary; /* one line for `towline --help` */
	const char *help;    /* whole text for `towline NAME --help` */
	/* argv[0] is the command's name. Returns an exit code. */
	int (*run)(int argc, char **argv);
};

extern const struct cli_command cmd_decode;
extern const struct cli_command cmd_catalog;
extern const struct cli_command cmd_dictionary;
extern const struct cli_command cmd_vehicle;
extern const struct cli_command cmd_state;
extern const struct cli_command cmd_delivery;
extern const struct cli_command cmd_history;
extern const struct cli_command cmd_tail;
extern const struct cli_command cmd_can;
extern const struct cli_command cmd_ca;

/* "towline: decode: ..." on stderr; returns code, so that a command ends with it. */
int cli_fail(int code, const char *fmt, ...) printf_like(2, 3);
/* Wrong usage: the message, where to find help; returns EXIT_USAGE. */
int cli_usage(const struct cli_command *cmd, const char *fmt, ...) printf_like(2, 3);
