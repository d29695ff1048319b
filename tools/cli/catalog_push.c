#include "tools/cli/catalog_push.h"
#include "proto/catalog.h"
#include "tools/cli/api.h"
#include "tools/cli/options.h"

#include <getopt.h>
#include <inttypes.h>

struct push_options {
	const char *relay, *path;
	bool json;
};

static int parse_options(int argc, char **argv, struct push_options *o)
{
	const struct cli_option options[] = {OPTION_RELAY(&o->relay), OPTION_JSON(&o->json)};
	int code = cli_options(&cmd_catalog, argc, argv, options, array_len(options));

	if (code != EXIT_OK)
		return code;
	if (argc - optind != 1)
		return cli_usage(&cmd_catalog, "push needs the FILE of a catalog");
	o->path = argv[optind];
	return EXIT_OK;
}

int catalog_push(int argc, char **argv)
{
	struct push_options o = {0};
	struct catalog *cat = NULL;
	struct api *a = NULL;
	json_t *answer = NULL;
	struct error err = {"out of memory"};
	int code = parse_options(argc, argv, &o);
	int r;

	if (code != EXIT_OK)
		return code;
	r = catalog_load_file(&cat, o.path, &err);
	if (r < 0)
		return cli_fail(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "catalog: %s",
				err.text);
	a = api_new(o.relay);
	code = a ? api_post_bytes(a, "/v1/catalogs", cat->bytes, cat->len, &answer) : EXIT_USAGE;
	if (code == EXIT_OK && o.json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (code == EXIT_OK) {
		printf("catalog %016" PRIx64 ": %zu signals\n", cat->id, cat->n_signals);
	}
	json_decref(answer);
	api_free(a);
	catalog_free(cat);
	return code;
}
