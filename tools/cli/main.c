/* towline: the operator's command line. */
#include "tools/cli/cli.h"
#include "tools/cli/term.h"

#include <stdarg.h>
#include <string.h>

static const struct cli_command *const commands[] = {
	&cmd_vehicle, &cmd_state,   &cmd_history,    &cmd_tail, &cmd_delivery,
	&cmd_decode,  &cmd_catalog, &cmd_dictionary, &cmd_can,	&cmd_ca,
};

/* Messages quote arguments, files and answers: none of them may steer the terminal. */
static void say(const char *fmt, va_list ap) printf_like(1, 0);

static void say(const char *fmt, va_list ap)
{
	char *text cleanup(free_ptr) = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	term_put(stderr, text ? text : "out of memory");
}

int cli_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("towline: ", stderr);
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int cli_usage(const struct cli_command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "towline %s: ", cmd->name);
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nSee 'towline %s --help'.\n", cmd->name);
	return EXIT_USAGE;
}

static void print_help(FILE *out)
{
	fputs("Usage: towline COMMAND [ARGUMENT...]\n\nCommands:\n", out);
	for (size_t i = 0; i < array_len(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'towline COMMAND --help' says more. Exit codes: 0 done, 1 failed, 2 wrong usage,\n"
	      "3 not found, 4 no relay.\n",
	      out);
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < array_len(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int run(int argc, char **argv)
{
	const struct cli_command *cmd;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("towline " TOWLINE_VERSION);
		return EXIT_OK;
	}
	cmd = find_command(argv[1]);
	if (!cmd)
		return cli_fail(EXIT_USAGE, "no command '%s'; see 'towline --help'", argv[1]);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			break;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(cmd->help, stdout);
			return EXIT_OK;
		}
	}
	return cmd->run(argc - 1, argv + 1);
}

/* Output that did not get out is a failure, whatever command wrote it. */
int main(int argc, char **argv)
{
	int code = run(argc, argv);
	bool lost = ferror(stdout) != 0;

	if (fflush(stdout) != 0)
		return cli_fail(code ? code : EXIT_FAILED, "standard output: %s", strerror(errno));
	if (lost)
		return cli_fail(code ? code : EXIT_FAILED, "standard output cannot be written");
	return code;
}
