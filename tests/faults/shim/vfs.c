/* A VFS over the default one, for programs that know nothing of it: their sqlite3_open_v2 is this
 * one, which registers it first. Memory maps of files (xFetch) are not offered: what is read and
 * written passes here, but for the index of the write-ahead log, which no power cut keeps. */
#include "tests/faults/shim/control.h"
#include "tests/faults/shim/durable.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct file {
	sqlite3_file base;
	struct durable *durable; /* NULL: a file that no power cut is simulated for */
	sqlite3_file *real;	 /* behind this struct */
};

static sqlite3_vfs faulty;
static sqlite3_vfs *below;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct file *)f)->real;
}

static enum control_kind kind_of(enum control_op op)
{
	return (enum control_kind)atomic_load(&control_get()->rules[op].kind);
}

/* ---- a file ---- */

static int file_close(sqlite3_file *f)
{
	struct file *x = (struct file *)f;
	int rc = x->real->pMethods->xClose(x->real);

	durable_close(x->durable);
	x->durable = NULL;
	return rc;
}

static int file_read(sqlite3_file *f, void *data, int len, sqlite3_int64 at)
{
	if (control_fails(OP_READ))
		return SQLITE_IOERR_READ;
	return real_of(f)->pMethods->xRead(real_of(f), data, len, at);
}

static int write_through(sqlite3_file *f, const void *data, int len, sqlite3_int64 at)
{
	int rc = real_of(f)->pMethods->xWrite(real_of(f), data, len, at);

	if (rc == SQLITE_OK)
		durable_written(((struct file *)f)->durable, at, len);
	return rc;
}

static int file_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 at)
{
	if (!control_fails(OP_WRITE))
		return write_through(f, data, len, at);
	if (kind_of(OP_WRITE) == KIND_EIO)
		return SQLITE_IOERR_WRITE;
	if (kind_of(OP_WRITE) == KIND_SHORT && len > 1)
		(void)write_through(f, data, len / 2, at);
	return SQLITE_FULL;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	if (control_fails(OP_TRUNCATE))
		return SQLITE_IOERR_TRUNCATE;
	return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

/* The moment before a disk has it: what the harness wants to cut the power in. */
static void stall(struct control *c)
{
	uint64_t n = atomic_load(&c->stall_at);

	while (n > 1)
		if (atomic_compare_exchange_weak(&c->stall_at, &n, n - 1))
			return;
	if (n == 0)
		return;
	atomic_fetch_add(&c->stalled, 1);
	while (atomic_load(&c->stall_at) > 0)
		(void)usleep(1000);
}

static int file_sync(sqlite3_file *f, int flags)
{
	struct control *c = control_get();
	int rc;

	if (control_fails(OP_SYNC))
		return SQLITE_IOERR_FSYNC;
	stall(c);
	rc = real_of(f)->pMethods->xSync(real_of(f), flags);
	if (rc == SQLITE_OK && atomic_load(&c->lying_sync) == 0) {
		durable_synced(((struct file *)f)->durable, real_of(f));
		atomic_fetch_add(&c->syncs, 1);
	}
	return rc;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int file_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int file_check_lock(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int file_sector_size(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int file_shm_unmap(sqlite3_file *f, int delete_it)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), delete_it);
}

static const struct sqlite3_io_methods file_methods = {
	.iVersion = 2, /* without xFetch */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_device,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};

/* ---- the file system ---- */

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
		    int *ret_flags)
{
	struct file *x = (struct file *)f;
	int rc;

	(void)vfs;
	x->base.pMethods = NULL; /* not to be closed, should this fail */
	x->durable = NULL;
	x->real = (sqlite3_file *)(x + 1);
	if (control_fails(OP_OPEN))
		return SQLITE_CANTOPEN;
	rc = below->xOpen(below, name, x->real, flags, ret_flags);
	if (rc != SQLITE_OK) {
		if (x->real->pMethods)
			(void)x->real->pMethods->xClose(x->real);
		return rc;
	}
	if (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL))
		x->durable = durable_open(name, x->real);
	x->base.pMethods = &file_methods;
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	int rc;

	(void)vfs;
	if (control_fails(OP_DELETE))
		return SQLITE_IOERR_DELETE;
	rc = below->xDelete(below, name, sync_dir);
	if (rc == SQLITE_OK || rc == SQLITE_IOERR_DELETE_NOENT)
		durable_deleted(name);
	return rc;
}

static int (*real_open)(const char *path, sqlite3 **ret, int flags, const char *vfs);

/* In C no cast leads from an object's address to a function's. */
static void find_real_open(void)
{
	void *found = dlsym(RTLD_NEXT, "sqlite3_open_v2");

	if (!found)
		abort();
	memcpy(&real_open, &found, sizeof(real_open));
}

static void register_vfs(void)
{
	find_real_open();
	if (!getenv("TOWLINE_FAULTS"))
		return;
	below = sqlite3_vfs_find(NULL);
	if (!below)
		abort();
	faulty = *below;
	faulty.pNext = NULL;
	faulty.zName = "towline_faults";
	faulty.szOsFile = (int)sizeof(struct file) + below->szOsFile;
	faulty.xOpen = vfs_open;
	faulty.xDelete = vfs_delete;
	if (sqlite3_vfs_register(&faulty, 1) != SQLITE_OK)
		abort();
}

__attribute__((visibility("default"))) int sqlite3_open_v2(const char *path, sqlite3 **ret,
							   int flags, const char *vfs)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, register_vfs);
	return real_open(path, ret, flags, vfs);
}
