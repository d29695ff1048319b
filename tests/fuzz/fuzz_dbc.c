/* DBC files: whatever the bytes, parsing ends, and what it keeps is a catalog. */
#include "tools/dbc/dbc.h"

#include <stdlib.h>
#include <string.h>

static void check_diag(void *ctx, const struct dbc_diag *d)
{
	(void)ctx;
	if (d->line == 0 || d->text[0] == '\0' || strcmp(d->file, "fuzz.dbc") != 0)
		abort();
}

static void compile(const struct dbc *d, const struct dbc_sink *sink)
{
	/* The first again: everything is there twice, on one bus and on another. */
	const struct dbc_bus buses[] = {{"can0", d}, {"can1", d}, {"can0", d}};
	struct catalog *cat = NULL;
	int r = dbc_catalog(&cat, buses, array_len(buses), sink, NULL);

	if (dbc_message_count(d) == 0) {
		if (r != -EBADMSG)
			abort();
		return;
	}
	if (r != 0 || cat->n_messages != 2 * dbc_message_count(d) ||
	    cat->n_signals != 2 * dbc_signal_count(d))
		abort();
	catalog_free(cat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct dbc_sink sink = {.report = check_diag};
	struct dbc *d = NULL;

	if (dbc_parse(&d, "fuzz.dbc", data, len, &sink, NULL) == 0)
		compile(d, &sink);
	dbc_free(d);
	return 0;
}
