#include "tools/cli/options.h"

#include <getopt.h>
#include <string.h>

enum { OPTIONS_MAX = 16, FIRST_CODE = 256 /* beyond every letter */ };

static int take_number(const struct cli_command *cmd, const struct cli_option *o, const char *text)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < o->min || n > o->max)
		return cli_usage(cmd, "--%s %s: not a number from %ld to %ld", o->name, text,
				 o->min, o->max);
	*(long *)o->to = n;
	return EXIT_OK;
}

static int take_item(const struct cli_command *cmd, const struct cli_option *o, const char *text)
{
	struct option_list *list = o->to;

	if (list->n == list->max)
		return cli_usage(cmd, "more than %zu %s", list->max, o->what);
	list->texts[list->n++] = text;
	return EXIT_OK;
}

static int take(const struct cli_command *cmd, const struct cli_option *o, const char *text)
{
	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->to = true;
		return EXIT_OK;
	case OPTION_TEXT:
		*(const char **)o->to = text;
		return EXIT_OK;
	case OPTION_NUMBER:
		return take_number(cmd, o, text);
	case OPTION_LIST:
		return take_item(cmd, o, text);
	case OPTION_CALL:
		if (o->take(o->to, text) < 0)
			return cli_usage(cmd, "--%s '%s': not %s", o->name, text, o->what);
		return EXIT_OK;
	}
	return EXIT_USAGE;
}

/* getopt_long's two forms of the table. */
static void describe(const struct cli_option *options, size_t n, struct option *longs,
		     char *letters)
{
	*letters++ = ':'; /* tell an option without its value from an unknown one */
	for (size_t i = 0; i < n; i++) {
		bool argument = options[i].kind != OPTION_FLAG;

		longs[i] = (struct option){
			.name = options[i].name,
			.has_arg = argument ? required_argument : no_argument,
			.val = FIRST_CODE + (int)i,
		};
		if (!options[i].letter)
			continue;
		*letters++ = options[i].letter;
		if (argument)
			*letters++ = ':';
	}
	longs[n] = (struct option){0};
	*letters = '\0';
}

static const struct cli_option *find_option(const struct cli_option *options, size_t n, int code)
{
	if (code >= FIRST_CODE)
		return &options[code - FIRST_CODE];
	for (size_t i = 0; i < n; i++)
		if (options[i].letter == code)
			return &options[i];
	return NULL;
}

int cli_options(const struct cli_command *cmd, int argc, char **argv,
		const struct cli_option *options, size_t n)
{
	struct option longs[OPTIONS_MAX + 1];
	char letters[2 * OPTIONS_MAX + 2];
	int c, code = EXIT_OK;

	assert(n <= OPTIONS_MAX);
	describe(options, n, longs, letters);
	optind = 0; /* GNU: start afresh */
	opterr = 0;
	while (code == EXIT_OK && (c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct cli_option *o = find_option(options, n, c);

		if (o)
			code = take(cmd, o, optarg);
		else
			code = cli_usage(cmd, "%s '%s'",
					 c == ':' ? "no value after" : "unknown option",
					 argv[optind - 1]);
	}
	return code;
}
