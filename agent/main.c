#include "agent/agent.h"
#include "agent/config/config.h"
#include "agent/store/seal.h"
#include "base/log.h"
#include "base/mqtt_conf.h"
#include "base/program.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
	"Usage: towline-agent -c FILE [--check-config]\n"
	"       towline-agent --print-config | --version | --help\n"
	"\n"
	"Takes frames of CAN buses, decodes, collects and batches signals, keeps them on disk, "
	"and\n"
	"publishes them by MQTT until the relay has confirmed each batch.\n"
	"\n"
	"  -c, --config FILE   the configuration\n"
	"      --check-config  read it, the catalog, the rules and the key, say what is wrong, and "
	"exit\n"
	"      --print-config  every key with its default, bounds and help, and exit\n"
	"      --version       the version, and exit\n"
	"  -h, --help          this, and exit\n"
	"\n"
	"SIGTERM and SIGINT: store what was collected and stop. SIGHUP: read FILE again.\n"
	"Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.\n";

static int fail(int code, const struct error *err)
{
	fprintf(stderr, "towline-agent: %s\n", err->text);
	return code;
}

/* What can be known without opening the outbox or a source. */
static int check_config(const struct conf *c, const char *path)
{
	struct error err = {"out of memory"};
	struct collect *col = NULL;
	struct dictionary *dictionary = NULL;
	struct seal *seal = NULL;
	struct catalog *cat;
	int r = config_catalog(&cat, c, path, &err);

	if (r < 0)
		return fail(PROGRAM_EXIT_USAGE, &err);
	r = config_dictionary(&dictionary, c, path, cat, &err);
	if (r == 0)
		r = config_collect(&col, c, path, cat, &err);
	if (r == 0)
		r = config_check_buses(c, path, cat, &err);
	if (r == 0)
		r = config_seal(&seal, c, path, timebase_system(), &err);
	if (r == 0)
		r = mqtt_conf_check_dates(c, path, &err);
	if (r == 0)
		printf("%s: fine, %zu of %zu signals\n", path, collect_wanted_count(col),
		       cat->n_signals);
	seal_free(seal);
	collect_free(col);
	dictionary_free(dictionary);
	catalog_free(cat);
	return r < 0 ? fail(PROGRAM_EXIT_USAGE, &err) : 0;
}

/* The agent shares a small unit with others: one heap for all threads, and large blocks go back to
 * the kernel when they are freed. */
static void tune_heap(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TRIM_THRESHOLD, 128 << 10);
}

static int run(struct conf *c, const char *path)
{
	struct error err = {"out of memory"};
	struct agent *a;
	int code;

	log_set_level((enum log_level)conf_enum(c, "agent", NULL, "log_level"));
	if (agent_new(&a, c, path, timebase_system(), &err) < 0)
		return fail(AGENT_EXIT_FAILED, &err);
	log_info("started", "version=%s config=%s", TOWLINE_VERSION, path);
	code = agent_run(a);
	agent_free(a);
	return code;
}

int main(int argc, char **argv)
{
	const struct program_text text = {
		.name = "towline-agent",
		.version = TOWLINE_VERSION,
		.usage = usage,
		.table = config_table(),
	};
	struct program_options opt = {0};
	struct error err = {"out of memory"};
	struct conf *c;
	int code;

	log_keep_standard_files();
	/* A reader of the log that goes away is no reason to stop. */
	(void)signal(SIGPIPE, SIG_IGN);
	code = program_options(&text, argc, argv, &opt);
	if (code >= 0)
		return code;
	tune_heap();
	code = config_load(&c, opt.path, &err);
	if (code < 0) /* for want of memory is no fault of the file: the service may try again */
		return fail(code == -ENOMEM ? AGENT_EXIT_FAILED : PROGRAM_EXIT_USAGE, &err);
	if (!opt.check)
		return run(c, opt.path);
	code = check_config(c, opt.path);
	conf_free(c);
	return code;
}
