/* tools/cli/options.h: a command's options from one table (getopt_long). */
#pragma once

#include "tools/cli/cli.h"

enum option_kind {
	OPTION_FLAG,   /* to: bool * */
	OPTION_TEXT,   /* to: const char **; borrowed from argv */
	OPTION_NUMBER, /* to: long *, within min and max */
	OPTION_LIST,   /* to: struct option_list *; may be given again, up to its max */
	OPTION_CALL,   /* take(to, text) returns 0, or -EINVAL: the text is not what it should be */
};

struct option_list {
	const char **texts; /* borrowed from argv */
	size_t n, max;
};

struct cli_option {
	const char *name; /* "relay": given as --relay */
	char letter;	  /* 'r': given as -r too; 0: none */
	enum option_kind kind;
	void *to;
	long min, max;
	int (*take)(void *to, const char *text);
	const char *what; /* OPTION_CALL: what the text should be; OPTION_LIST: what are too many */
};

/* Every command that talks to the relay takes these. */
#define OPTION_RELAY(pointer)                                                                      \
	{                                                                                          \
		.name = "relay", .letter = 'r', .kind = OPTION_TEXT, .to = (pointer)               \
	}
#define OPTION_JSON(pointer)                                                                       \
	{                                                                                          \
		.name = "json", .letter = 'j', .kind = OPTION_FLAG, .to = (pointer)                \
	}

/* Takes the options of argv. Returns EXIT_OK with optind at the first operand, or EXIT_USAGE after
 * a message that names the option. */
int cli_options(const struct cli_command *cmd, int argc, char **argv,
		const struct cli_option *options, size_t n);
