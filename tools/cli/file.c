#include "tools/cli/file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(struct error *err, const char *path, const char *what, int e)
{
	error_set(err, "%s: cannot be %s: %s", path, what, strerror(e));
	return -e;
}

static int write_synced(FILE *f, const void *bytes, size_t len)
{
	if (fwrite(bytes, 1, len, f) != len || fflush(f) != 0 || fsync(fileno(f)) < 0)
		return -errno;
	return 0;
}

int cli_write_file(const char *path, const void *bytes, size_t len, struct error *err)
{
	char *temporary cleanup(free_ptr) = NULL;
	FILE *f;
	int r;

	if (asprintf(&temporary, "%s.tmp", path) < 0)
		return -ENOMEM;
	f = fopen(temporary, "wbe");
	if (!f)
		return fail(err, temporary, "written", errno);
	r = write_synced(f, bytes, len);
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	(void)unlink(temporary);
	return fail(err, path, "written", -r);
}

int cli_read_file(const char *path, size_t max, struct buf *out, struct error *err)
{
	enum { STEP = 64 << 10 };
	FILE *f = fopen(path, "rbe");
	size_t n = 1;
	int e = 0;

	if (!f)
		return fail(err, path, "read", errno);
	while (n > 0 && out->len <= max && buf_reserve(out, STEP) == 0) {
		n = fread(out->data + out->len, 1, STEP, f);
		out->len += n;
	}
	if (ferror(f))
		e = errno;
	fclose(f);
	if (e)
		return fail(err, path, "read", e);
	if (out->failed)
		return out->failed;
	return out->len > max ? fail(err, path, "read", EFBIG) : 0;
}
