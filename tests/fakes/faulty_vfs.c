#include "tests/fakes/faulty_vfs.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, PATH_BYTES = 1024, DISKS_MAX = 64, POWERS_MAX = 16 };

/* What a write or a truncation has replaced. */
struct undo {
	struct undo *next; /* the one before it */
	int64_t at;
	size_t len;
	uint8_t old[];
};

/* What fails and loses its power together: the files under a folder, or [0]: all others. */
struct power {
	char folder[PATH_BYTES];
	size_t folder_len;
	struct faulty_plan plan;
	uint64_t calls[32], failed, changes, random_state;
	bool off;
};

/* A file that the VFS was asked to write, open or not. */
struct disk {
	char path[PATH_BYTES]; /* "": free */
	struct power *power;
	struct undo *undo; /* the last first */
	int64_t synced_len;
};

struct faulty_file {
	sqlite3_file base;
	struct disk *disk; /* NULL: a temporary file */
	struct power *power;
	sqlite3_file *real;
};

static sqlite3_vfs vfs;
static sqlite3_vfs *real_vfs;
static struct disk disks[DISKS_MAX];
static struct power powers[POWERS_MAX];
static struct power *selected = &powers[0];

static uint64_t next_random(struct power *p)
{
	p->random_state ^= p->random_state << 13;
	p->random_state ^= p->random_state >> 7;
	p->random_state ^= p->random_state << 17;
	return p->random_state;
}

/* ---- the plan ---- */

static struct power *power_of(const char *path)
{
	for (size_t i = 1; path && i < POWERS_MAX; i++) {
		const struct power *p = &powers[i];

		if (p->folder_len > 0 && strncmp(path, p->folder, p->folder_len) == 0 &&
		    path[p->folder_len] == '/')
			return &powers[i];
	}
	return &powers[0];
}

void faulty_vfs_select(const char *folder)
{
	size_t i = 0;

	while (folder && strcmp(powers[i].folder, folder) != 0) {
		i++;
		assert(i < POWERS_MAX && strlen(folder) < PATH_BYTES);
		if (powers[i].folder_len > 0)
			continue;
		(void)snprintf(powers[i].folder, PATH_BYTES, "%s", folder);
		powers[i].folder_len = strlen(folder);
		break;
	}
	selected = &powers[i];
}

void faulty_vfs_plan(const struct faulty_plan *p)
{
	struct power *w = selected;

	w->plan = p ? *p : (struct faulty_plan){0};
	memset(w->calls, 0, sizeof(w->calls));
	w->failed = w->changes = 0;
	w->random_state = (p ? p->seed : 0) * 2654435761 + 88172645463325252;
}

static uint64_t calls_of(const struct power *w, unsigned ops)
{
	uint64_t n = 0;

	for (unsigned op = 1; op < array_len(w->calls); op <<= 1)
		if (ops & op)
			n += w->calls[op];
	return n;
}

uint64_t faulty_vfs_calls(unsigned ops)
{
	return calls_of(selected, ops);
}

uint64_t faulty_vfs_failed(void)
{
	return selected->failed;
}

bool faulty_vfs_is_off(void)
{
	return selected->off;
}

void faulty_vfs_cut(void)
{
	selected->off = true;
}

void faulty_vfs_resume(void)
{
	selected->off = false;
}

enum verdict { GO_ON, FAIL, CUT_HERE };

static enum verdict judge(struct power *w, enum faulty_op op)
{
	const struct faulty_plan *plan = &w->plan;
	uint64_t n;

	if (w->off)
		return FAIL;
	w->calls[op]++;
	if ((op & FAULTY_CHANGES) && ++w->changes == plan->cut_at) {
		w->off = true;
		return CUT_HERE;
	}
	if (!(plan->ops & op))
		return GO_ON;
	n = calls_of(w, plan->ops);
	if (n == plan->nth || (plan->stays && plan->nth > 0 && n > plan->nth) ||
	    (plan->per_mille > 0 && next_random(w) % 1000 < plan->per_mille)) {
		w->failed++;
		return FAIL;
	}
	return GO_ON;
}

/* ---- what a cut takes back ---- */

static void forget_undo(struct disk *d)
{
	while (d->undo) {
		struct undo *u = d->undo;

		d->undo = u->next;
		free(u);
	}
}

static int64_t length_of(sqlite3_file *real)
{
	sqlite3_int64 len = 0;

	return real->pMethods->xFileSize(real, &len) == SQLITE_OK ? len : 0;
}

static struct disk *find_disk(const char *path)
{
	struct disk *unused = NULL;

	for (size_t i = 0; i < DISKS_MAX; i++) {
		if (strcmp(disks[i].path, path) == 0)
			return &disks[i];
		if (!disks[i].path[0] && !unused)
			unused = &disks[i];
	}
	assert(unused && strlen(path) < PATH_BYTES && "more files than a test has");
	(void)snprintf(unused->path, PATH_BYTES, "%s", path);
	unused->power = power_of(path);
	return unused;
}

/* Keeps what the next len bytes from at on are now; behind the end they are zeros. */
static int keep_old(struct faulty_file *f, int64_t at, size_t len)
{
	struct undo *u;

	if (!f->disk || len == 0)
		return SQLITE_OK;
	u = calloc(1, sizeof(*u) + len);
	if (!u)
		return SQLITE_IOERR_NOMEM;
	u->at = at;
	u->len = len;
	/* A short read leaves zeros. */
	(void)f->real->pMethods->xRead(f->real, u->old, (int)len, at);
	u->next = f->disk->undo;
	f->disk->undo = u;
	return SQLITE_OK;
}

static uint64_t take_back(struct power *w, int fd, const struct undo *u)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < u->len;) {
		size_t n = SECTOR - (size_t)((u->at + (int64_t)i) % SECTOR);

		n = n < u->len - i ? n : u->len - i;
		if (next_random(w) % 2 &&
		    pwrite(fd, u->old + i, n, u->at + (int64_t)i) == (ssize_t)n)
			lost++;
		i += n;
	}
	return lost;
}

static uint64_t lose_power(struct disk *d)
{
	int fd = open(d->path, O_RDWR | O_CLOEXEC);
	uint64_t lost = 0;
	struct stat st;

	if (fd < 0)
		return 0; /* deleted since */
	for (const struct undo *u = d->undo; u; u = u->next)
		lost += take_back(d->power, fd, u);
	if (fstat(fd, &st) == 0 && st.st_size > d->synced_len && next_random(d->power) % 2) {
		int64_t more = st.st_size - d->synced_len;

		if (ftruncate(fd, d->synced_len +
					  (int64_t)(next_random(d->power) % (uint64_t)more)) == 0)
			lost++;
	}
	(void)close(fd);
	return lost;
}

uint64_t faulty_vfs_power_on(void)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < DISKS_MAX; i++) {
		if (!disks[i].path[0] || disks[i].power != selected)
			continue;
		if (disks[i].undo)
			lost += lose_power(&disks[i]);
		forget_undo(&disks[i]);
		disks[i].path[0] = '\0';
	}
	selected->off = false;
	selected->plan = (struct faulty_plan){0};
	return lost;
}

/* ---- a file ---- */

static struct faulty_file *of(sqlite3_file *file)
{
	return (struct faulty_file *)file;
}

static int on_close(sqlite3_file *file)
{
	struct faulty_file *f = of(file);

	return f->real->pMethods->xClose(f->real);
}

static int on_read(sqlite3_file *file, void *data, int n, sqlite3_int64 at)
{
	struct faulty_file *f = of(file);

	if (judge(f->power, FAULTY_READ) != GO_ON)
		return SQLITE_IOERR_READ;
	return f->real->pMethods->xRead(f->real, data, n, at);
}

static int write_real(struct faulty_file *f, const void *data, int n, sqlite3_int64 at)
{
	int rc = keep_old(f, at, (size_t)n);

	return rc != SQLITE_OK ? rc : f->real->pMethods->xWrite(f->real, data, n, at);
}

static int on_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
	struct faulty_file *f = of(file);
	struct power *w = f->power;
	enum verdict v = judge(w, FAULTY_WRITE);
	int part = n > 1 ? 1 + (int)(next_random(w) % (uint64_t)(n - 1)) : 0;

	if (v == GO_ON)
		return write_real(f, data, n, at);
	if ((v == CUT_HERE || (!w->off && w->plan.how == FAULTY_SHORT)) && part > 0 &&
	    write_real(f, data, part, at) != SQLITE_OK)
		return SQLITE_IOERR_WRITE;
	return !w->off && w->plan.how != FAULTY_EIO ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 len)
{
	struct faulty_file *f = of(file);
	int64_t now = length_of(f->real);
	int rc = SQLITE_OK;

	if (judge(f->power, FAULTY_TRUNCATE) != GO_ON)
		return SQLITE_IOERR_TRUNCATE;
	if (len < now)
		rc = keep_old(f, len, (size_t)(now - len));
	return rc != SQLITE_OK ? rc : f->real->pMethods->xTruncate(f->real, len);
}

/* The real disk need not be asked: what is lost is up to lose_power. */
static int on_sync(sqlite3_file *file, int flags)
{
	struct faulty_file *f = of(file);

	(void)flags;
	if (judge(f->power, FAULTY_SYNC) != GO_ON)
		return SQLITE_IOERR_FSYNC;
	if (f->disk) {
		forget_undo(f->disk);
		f->disk->synced_len = length_of(f->real);
	}
	return SQLITE_OK;
}

static int on_file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return of(file)->real->pMethods->xFileSize(of(file)->real, ret);
}

static int on_lock(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int on_unlock(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int on_check_lock(sqlite3_file *file, int *ret)
{
	return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, ret);
}

static int on_control(sqlite3_file *file, int op, void *arg)
{
	return of(file)->real->pMethods->xFileControl(of(file)->real, op, arg);
}

static int on_sector_size(sqlite3_file *file)
{
	(void)file;
	return SECTOR;
}

/* Nothing of what some file systems promise: neither atomic writes nor that what is overwritten in
 * part by a cut is only what was written. */
static int on_characteristics(sqlite3_file *file)
{
	(void)file;
	return 0;
}

static int on_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return of(file)->real->pMethods->xShmMap(of(file)->real, page, size, extend, ret);
}

static int on_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return of(file)->real->pMethods->xShmLock(of(file)->real, offset, n, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
	of(file)->real->pMethods->xShmBarrier(of(file)->real);
}

static int on_shm_unmap(sqlite3_file *file, int delete)
{
	return of(file)->real->pMethods->xShmUnmap(of(file)->real, delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no memory maps: they would pass us by */
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_file_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = on_sector_size,
	.xDeviceCharacteristics = on_characteristics,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap,
};

/* ---- the file system ---- */

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct faulty_file *f = of(file);
	int rc;

	(void)v;
	f->base.pMethods = NULL;
	f->power = power_of(name);
	if (judge(f->power, FAULTY_OPEN) != GO_ON)
		return SQLITE_CANTOPEN;
	f->real = (sqlite3_file *)(f + 1);
	rc = real_vfs->xOpen(real_vfs, name, f->real, flags, ret_flags);
	if (rc != SQLITE_OK)
		return rc;
	f->base.pMethods = &methods;
	f->disk = name && !(flags & SQLITE_OPEN_DELETEONCLOSE) ? find_disk(name) : NULL;
	/* What was there before counts as being on disk. */
	if (f->disk && !f->disk->undo)
		f->disk->synced_len = length_of(f->real);
	return SQLITE_OK;
}

/* A file that is deleted stays so. */
static int on_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	(void)v;
	if (power_of(name)->off)
		return SQLITE_IOERR_DELETE;
	forget_undo(find_disk(name));
	return real_vfs->xDelete(real_vfs, name, sync_dir);
}

static int on_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
	(void)v;
	if (power_of(name)->off)
		return SQLITE_IOERR_ACCESS;
	return real_vfs->xAccess(real_vfs, name, flags, ret);
}

static int on_full_pathname(sqlite3_vfs *v, const char *name, int n, char *out)
{
	(void)v;
	return real_vfs->xFullPathname(real_vfs, name, n, out);
}

static int on_randomness(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	return real_vfs->xRandomness(real_vfs, n, out);
}

static int on_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return real_vfs->xSleep(real_vfs, us);
}

static int on_current_time(sqlite3_vfs *v, double *ret)
{
	(void)v;
	return real_vfs->xCurrentTime(real_vfs, ret);
}

static int on_last_error(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	return real_vfs->xGetLastError(real_vfs, n, out);
}

int faulty_vfs_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	if (!real_vfs)
		return -ENOMEM;
	vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile,
		.mxPathname = real_vfs->mxPathname,
		.zName = "faulty",
		.xOpen = on_open,
		.xDelete = on_delete,
		.xAccess = on_access,
		.xFullPathname = on_full_pathname,
		.xRandomness = on_randomness,
		.xSleep = on_sleep,
		.xCurrentTime = on_current_time,
		.xGetLastError = on_last_error,
	};
	memset(powers, 0, sizeof(powers));
	faulty_vfs_select(NULL);
	faulty_vfs_plan(NULL);
	return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? 0 : -ENOMEM;
}

void faulty_vfs_remove(void)
{
	for (size_t i = 0; i < DISKS_MAX; i++)
		forget_undo(&disks[i]);
	memset(disks, 0, sizeof(disks));
	(void)sqlite3_vfs_unregister(&vfs);
	if (real_vfs)
		(void)sqlite3_vfs_register(real_vfs, 1);
}
