/* Any bytes as a catalog; in one that loads, every index must hold. */
#include "proto/catalog.h"

#include <math.h>
#include <string.h>

static void walk(const struct catalog *c)
{
	char path[1024];
	uint32_t found;

	for (uint32_t i = 0; i < c->n_signals; i++) {
		const struct catalog_signal *s = &c->signals[i];

		if (s->message >= c->n_messages || s->bits < 1 || s->bits > 64 ||
		    (s->mux != CATALOG_NONE && c->signals[s->mux].message != s->message))
			abort();
		if (catalog_path(c, i, path, sizeof(path)) < sizeof(path) &&
		    (catalog_find(c, path, &found) != 0 || found != i))
			abort();
		if (isnan(s->factor) || catalog_choice(s, i) == path)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct catalog *c, *again;
	struct error err;

	if (catalog_load(&c, data, size, &err) < 0)
		return 0;
	walk(c);
	if (catalog_build(&again, c, &err) < 0 || again->n_signals != c->n_signals)
		abort();
	catalog_free(again);
	catalog_free(c);
	return 0;
}
