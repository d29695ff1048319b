/* relay/gate/replace.h: a file is the old one or the new one, whatever happens. */
#pragma once

#include "base/bytes.h"

/* Writes path.new beside it (0600; 0644 when not kept) and renames. kept: on the disk, with its
 * folder, before this returns. Returns 0 or -errno. */
int gate_replace(const char *path, const void *data, size_t len, bool kept) must_check;
