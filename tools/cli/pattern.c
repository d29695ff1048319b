#include "tools/cli/pattern.h"

#include <fnmatch.h>
#include <string.h>

enum { PATH_TEXT_MAX = 512 };

size_t pattern_mark(const struct catalog *cat, const char *pattern, uint8_t *wanted)
{
	char path[PATH_TEXT_MAX];
	const char *dot;
	size_t n = 0;

	for (uint32_t i = 0; i < cat->n_signals; i++) {
		if (catalog_path(cat, i, path, sizeof(path)) >= sizeof(path))
			continue;
		dot = strchr(path, '.');
		if (fnmatch(pattern, path, 0) != 0 && (!dot || fnmatch(pattern, dot + 1, 0) != 0))
			continue;
		wanted[i] = 1;
		n++;
	}
	return n;
}
