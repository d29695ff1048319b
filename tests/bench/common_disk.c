#include "tests/bench/common_disk.h"

#include "tests/bench/common.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

static char folder[128];
static _Atomic uint64_t syncs;

/* ---- the folder ---- */

static void remove_folder(void)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	if (system(command) != 0)
		fprintf(stderr, "%s stays\n", folder);
}

const char *bench_disk_kind(void)
{
	struct statfs s;

	if (statfs(folder, &s) < 0)
		bench_die("%s: %s", folder, strerror(errno));
	switch ((uint32_t)s.f_type) {
	case EXT4_SUPER_MAGIC:
		return "ext4";
	case XFS_SUPER_MAGIC:
		return "xfs";
	case BTRFS_SUPER_MAGIC:
		return "btrfs";
	case F2FS_SUPER_MAGIC:
		return "f2fs";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlayfs";
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		bench_die("%s is in memory: set TMPDIR to a folder on disk", folder);
	default:
		return "another file system";
	}
}

const char *bench_disk_folder(void)
{
	const char *parent = getenv("TMPDIR");

	if (folder[0])
		return folder;
	snprintf(folder, sizeof(folder), "%s/towline-bench-XXXXXX", parent ? parent : "/var/tmp");
	if (!mkdtemp(folder))
		bench_die("%s: %s", folder, strerror(errno));
	atexit(remove_folder);
	(void)bench_disk_kind();
	return folder;
}

/* ---- what is written ---- */

int64_t bench_disk_bytes(void)
{
	long long written = -1, cancelled = -1;
	char line[128];
	FILE *f = fopen("/proc/self/io", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "write_bytes: %lld", &written) != 1)
			(void)!sscanf(line, "cancelled_write_bytes: %lld", &cancelled);
	}
	if (f)
		fclose(f);
	if (written < 0 || cancelled < 0)
		bench_die("/proc/self/io says nothing: a kernel without TASK_IO_ACCOUNTING");
	return written - cancelled;
}

uint64_t bench_disk_syncs(void)
{
	return atomic_load(&syncs);
}

/* In place of the C library's, for SQLite's calls too. */
static int call_real(const char *name, int fd)
{
	int (*real)(int fd);

	*(void **)&real = dlsym(RTLD_NEXT, name);
	atomic_fetch_add(&syncs, 1);
	if (!real)
		bench_die("no %s", name);
	return real(fd);
}

int fsync(int fd)
{
	return call_real("fsync", fd);
}

int fdatasync(int fd)
{
	return call_real("fdatasync", fd);
}
