#include "agent/store/vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

enum {
	OUT_BYTES = 64 << 10, /* as much waits at most */
	PIECE_BYTES = 4 << 10,
	AHEAD_FIRST = 4 << 10,
	AHEAD_BYTES = 32 << 10,
	AHEAD_SKIP = 2 << 10, /* between neighbours, at most */
	FRAME_HEADER = 24,    /* of a page in the log: sqlite.org/fileformat2.html 4.1 */
	FRAME_COMMITS_AT = 4,
};

/* Nothing of it is lost. */
#define NOWHERE INT64_MAX

struct vfs_file {
	sqlite3_file base; /* first */
	sqlite3_file *below;
	bool is_log;

	/* Written by SQLite, and not given to the file below. Without a buffer nothing waits. */
	uint8_t *out;
	int64_t out_at;
	int out_n;
	/* Of a log: where the last write ended, and what it was. */
	int64_t written_end;
	bool header_written, header_commits;
	int64_t lost_at; /* from here on what was written could not be */

	uint8_t *ahead; /* read, as the file below has it */
	int64_t ahead_at;
	int ahead_n, ahead_next; /* how much there is; is to be read the next time */
	int64_t runs[2];	 /* where reads went last that were neighbours; the newer first */
};

static struct vfs_file *of(sqlite3_file *file)
{
	return (struct vfs_file *)file;
}

static sqlite3_vfs *default_vfs(void)
{
	return sqlite3_vfs_find(NULL);
}

/* ---- writing ---- */

/* In pieces that end where a page of the page cache does: one write of several makes Linux keep
 * them as one large folio, all of which then counts as written each time that a part of it is. */
static int write_below(struct vfs_file *f)
{
	int rc = SQLITE_OK;

	for (int done = 0, n; rc == SQLITE_OK && done < f->out_n; done += n) {
		n = PIECE_BYTES - (int)((f->out_at + done) % PIECE_BYTES);
		n = n < f->out_n - done ? n : f->out_n - done;
		rc = f->below->pMethods->xWrite(f->below, f->out + done, n, f->out_at + done);
	}
	return rc;
}

static int flush(struct vfs_file *f)
{
	int rc;

	if (f->out_n == 0)
		return SQLITE_OK;
	rc = write_below(f);
	if (rc == SQLITE_OK) {
		f->out_n = 0;
	} else if (f->is_log) {
		f->out_n = 0;
		f->lost_at = f->out_at;
	}
	return rc;
}

/* What SQLite writes elsewhere than at the end, or not as a header and then a page, is no new frame
 * (checksums that are made anew, a page of a transaction once more): that goes through. */
static bool may_wait(struct vfs_file *f, const uint8_t *data, int n, int64_t at)
{
	bool next = at == f->written_end, page_waits = f->header_written && !f->header_commits;
	bool is_header = next && n == FRAME_HEADER && !f->header_written;

	if (!f->is_log)
		return true;
	f->written_end = at + n;
	f->header_written = is_header;
	f->header_commits = is_header && memcmp(data + FRAME_COMMITS_AT, "\0\0\0\0", 4) != 0;
	return is_header || (next && page_waits);
}

static bool meets(int64_t a, int a_n, int64_t b, int b_n)
{
	return a < b + b_n && b < a + a_n;
}

static int append(struct vfs_file *f, const void *data, int n, int64_t at)
{
	int rc;

	if (f->out_n > 0 && (at != f->out_at + f->out_n || n > OUT_BYTES - f->out_n)) {
		rc = flush(f);
		if (rc != SQLITE_OK)
			return rc;
	}
	if (f->out_n == 0)
		f->out_at = at;
	memcpy(f->out + f->out_n, data, (size_t)n);
	f->out_n += n;
	return SQLITE_OK;
}

static int on_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
	struct vfs_file *f = of(file);
	bool wait;
	int rc;

	if (!f->out || n > OUT_BYTES)
		return f->below->pMethods->xWrite(f->below, data, n, at);
	if (at > f->lost_at)
		return SQLITE_IOERR_WRITE;
	if (at + n > f->lost_at)
		f->lost_at = NOWHERE;
	if (meets(at, n, f->ahead_at, f->ahead_n))
		f->ahead_n = 0;
	wait = may_wait(f, data, n, at);
	rc = append(f, data, n, at);
	return rc != SQLITE_OK || wait ? rc : flush(f);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 len)
{
	struct vfs_file *f = of(file);
	int rc = flush(f);

	if (rc == SQLITE_OK)
		rc = f->below->pMethods->xTruncate(f->below, len);
	if (rc == SQLITE_OK && len <= f->lost_at)
		f->lost_at = NOWHERE;
	f->ahead_n = 0;
	return rc;
}

static int on_sync(sqlite3_file *file, int flags)
{
	int rc = flush(of(file));

	return rc != SQLITE_OK ? rc : of(file)->below->pMethods->xSync(of(file)->below, flags);
}

/* ---- reading ---- */

static int64_t size_below(struct vfs_file *f)
{
	sqlite3_int64 size = 0;

	return f->below->pMethods->xFileSize(f->below, &size) == SQLITE_OK ? size : 0;
}

/* Pages that are used again lie the other way round, and one among them lies elsewhere. Returns
 * where the run goes that this read belongs to: 1, -1; 0: to none. */
static int follow(struct vfs_file *f, int n, int64_t at)
{
	for (int i = 0; i < 2; i++) {
		int64_t way = at - f->runs[i];

		if (way == 0 || way > n + AHEAD_SKIP || way < -(n + AHEAD_SKIP))
			continue;
		f->runs[1] = f->runs[1 - i];
		f->runs[0] = at;
		return way > 0 ? 1 : -1;
	}
	f->runs[1] = f->runs[0];
	f->runs[0] = at;
	return 0;
}

/* What waits to be written is not read ahead, since it is not there yet. A failure may be about
 * what nobody wants. */
static void read_ahead(struct vfs_file *f, int n, int64_t at, int way)
{
	int want = f->ahead_next;
	int64_t size, end;

	f->ahead_next = way == 0 ? AHEAD_FIRST : want < AHEAD_BYTES ? 2 * want : want;
	if (way == 0 || f->out_n > 0)
		return;
	size = size_below(f);
	end = way > 0 ? at + want : at + n;
	end = end < size ? end : size;
	if (way < 0)
		at = end > want ? end - want : 0;
	if (end - at <= n)
		return;
	f->ahead_n = 0;
	if (f->below->pMethods->xRead(f->below, f->ahead, (int)(end - at), at) != SQLITE_OK)
		return;
	f->ahead_at = at;
	f->ahead_n = (int)(end - at);
}

static bool copy_from(void *data, int n, int64_t at, const uint8_t *have, int have_n,
		      int64_t have_at)
{
	if (at < have_at || at + n > have_at + have_n)
		return false;
	memcpy(data, have + (at - have_at), (size_t)n);
	return true;
}

static int read_file(struct vfs_file *f, void *data, int n, int64_t at)
{
	bool have = copy_from(data, n, at, f->ahead, f->ahead_n, f->ahead_at);
	int way = follow(f, n, at);

	if (!have) {
		read_ahead(f, n, at, way);
		have = copy_from(data, n, at, f->ahead, f->ahead_n, f->ahead_at);
	}
	return have ? SQLITE_OK : f->below->pMethods->xRead(f->below, data, n, at);
}

static int on_read(sqlite3_file *file, void *data, int n, sqlite3_int64 at)
{
	struct vfs_file *f = of(file);

	if (!f->out)
		return f->below->pMethods->xRead(f->below, data, n, at);
	if (at + n > f->lost_at)
		return SQLITE_IOERR_READ;
	if (meets(at, n, f->out_at, f->out_n)) {
		int rc = SQLITE_OK;

		if (copy_from(data, n, at, f->out, f->out_n, f->out_at))
			return SQLITE_OK;
		rc = flush(f);
		if (rc != SQLITE_OK)
			return rc;
	}
	return read_file(f, data, n, at);
}

static int on_file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct vfs_file *f = of(file);
	int rc = f->below->pMethods->xFileSize(f->below, ret);

	if (rc == SQLITE_OK && f->out_n > 0 && f->out_at + f->out_n > *ret)
		*ret = f->out_at + f->out_n;
	return rc;
}

/* ---- the rest of a file ---- */

/* What is still here was not committed, or could not be written and is in the log. */
static int on_close(sqlite3_file *file)
{
	struct vfs_file *f = of(file);
	int rc = f->below->pMethods ? f->below->pMethods->xClose(f->below) : SQLITE_OK;

	free(f->below);
	free(f->out);
	free(f->ahead);
	f->base.pMethods = NULL;
	return rc;
}

static int on_lock(sqlite3_file *file, int level)
{
	return of(file)->below->pMethods->xLock(of(file)->below, level);
}

static int on_unlock(sqlite3_file *file, int level)
{
	return of(file)->below->pMethods->xUnlock(of(file)->below, level);
}

static int on_check_lock(sqlite3_file *file, int *ret)
{
	return of(file)->below->pMethods->xCheckReservedLock(of(file)->below, ret);
}

static int on_control(sqlite3_file *file, int op, void *arg)
{
	return of(file)->below->pMethods->xFileControl(of(file)->below, op, arg);
}

static int on_sector_size(sqlite3_file *file)
{
	return of(file)->below->pMethods->xSectorSize(of(file)->below);
}

/* Several writes that happen as one (f2fs) begin and end with calls of their own, between which
 * nothing may wait here. */
static int on_characteristics(sqlite3_file *file)
{
	return of(file)->below->pMethods->xDeviceCharacteristics(of(file)->below) &
	       ~SQLITE_IOCAP_BATCH_ATOMIC;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
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
};

/* ---- the file system ---- */

static int make_buffers(struct vfs_file *f, int flags)
{
	f->below = calloc(1, (size_t)default_vfs()->szOsFile);
	if (!f->below)
		return SQLITE_NOMEM;
	if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return SQLITE_OK;
	f->out = malloc(OUT_BYTES);
	f->ahead = malloc(AHEAD_BYTES);
	return f->out && f->ahead ? SQLITE_OK : SQLITE_NOMEM;
}

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct vfs_file *f = of(file);
	int rc;

	(void)v;
	*f = (struct vfs_file){
		.is_log = (flags & SQLITE_OPEN_WAL) != 0,
		.written_end = -1,
		.lost_at = NOWHERE,
		.ahead_next = AHEAD_FIRST,
		.runs = {NOWHERE / 2, NOWHERE / 2},
	};
	rc = make_buffers(f, flags);
	if (rc == SQLITE_OK)
		rc = default_vfs()->xOpen(default_vfs(), name, f->below, flags, ret_flags);
	if (rc == SQLITE_OK)
		f->base.pMethods = &methods;
	else if (f->below)
		(void)on_close(file);
	return rc;
}

static int on_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	(void)v;
	return default_vfs()->xDelete(default_vfs(), name, sync_dir);
}

static int on_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
	(void)v;
	return default_vfs()->xAccess(default_vfs(), name, flags, ret);
}

static int on_full_pathname(sqlite3_vfs *v, const char *name, int n, char *out)
{
	(void)v;
	return default_vfs()->xFullPathname(default_vfs(), name, n, out);
}

static int on_randomness(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	return default_vfs()->xRandomness(default_vfs(), n, out);
}

static int on_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return default_vfs()->xSleep(default_vfs(), us);
}

static int on_current_time(sqlite3_vfs *v, double *ret)
{
	sqlite3_vfs *below = default_vfs();
	sqlite3_int64 ms;
	int rc;

	(void)v;
	if (below->iVersion < 2 || !below->xCurrentTimeInt64)
		return below->xCurrentTime(below, ret);
	rc = below->xCurrentTimeInt64(below, &ms);
	*ret = (double)ms / 86400000;
	return rc;
}

static int on_last_error(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	return default_vfs()->xGetLastError(default_vfs(), n, out);
}

static sqlite3_vfs ours = {
	.iVersion = 1,
	.szOsFile = (int)sizeof(struct vfs_file),
	.zName = "towline",
	.xOpen = on_open,
	.xDelete = on_delete,
	.xAccess = on_access,
	.xFullPathname = on_full_pathname,
	.xRandomness = on_randomness,
	.xSleep = on_sleep,
	.xCurrentTime = on_current_time,
	.xGetLastError = on_last_error,
};

const char *vfs_name(void)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	int rc = SQLITE_OK;

	pthread_mutex_lock(&once);
	if (ours.mxPathname == 0) {
		sqlite3_vfs *below = default_vfs(); /* NULL: no memory to begin with */

		ours.mxPathname = below ? below->mxPathname : 0;
		rc = below ? sqlite3_vfs_register(&ours, 0) : SQLITE_NOMEM;
		if (rc != SQLITE_OK)
			ours.mxPathname = 0;
	}
	pthread_mutex_unlock(&once);
	return rc == SQLITE_OK ? ours.zName : NULL;
}
