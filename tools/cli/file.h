/* tools/cli/file.h: whole files. */
#pragma once

#include "base/bytes.h"

/* Whole or not at all: what is at the path stays until the new file is on disk. Returns 0 or -errno
 * with err. */
int cli_write_file(const char *path, const void *bytes, size_t len, struct error *err) must_check;
/* Appends a file of at most max bytes; out needs room for 64 KiB more. Returns 0; -EFBIG or another
 * -errno with err. */
int cli_read_file(const char *path, size_t max, struct buf *out, struct error *err) must_check;
