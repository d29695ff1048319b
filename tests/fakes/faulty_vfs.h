/* tests/fakes/faulty_vfs.h: a disk under SQLite that fails, and that loses its power.
 *
 * A VFS over the default one. While it is installed it is the default, so that what opens a
 * database without naming a VFS (all of ours) gets it. What is not done through SQLite is not
 * touched. One thread. */
#pragma once

#include "base/base.h"

/* What may fail; a mask. */
enum faulty_op {
	FAULTY_WRITE = 1,
	FAULTY_SYNC = 2,
	FAULTY_TRUNCATE = 4,
	FAULTY_READ = 8,
	FAULTY_OPEN = 16,
	FAULTY_CHANGES = FAULTY_WRITE | FAULTY_SYNC | FAULTY_TRUNCATE,
};

enum faulty_how {
	FAULTY_EIO,
	FAULTY_ENOSPC, /* of a write; others: EIO */
	FAULTY_SHORT,  /* of a write: some of the bytes are written, then it is ENOSPC */
};

struct faulty_plan {
	unsigned ops; /* enum faulty_op */
	enum faulty_how how;
	uint64_t nth;	    /* the nth such call from now fails, from 1; 0: none by number */
	bool stays;	    /* and all such calls after it */
	unsigned per_mille; /* of all such calls fail, by chance */
	uint64_t seed;
	uint64_t cut_at; /* at the nth call of FAULTY_CHANGES the power goes; 0: it does not */
};

int faulty_vfs_install(void) must_check; /* 0, -ENOMEM */
void faulty_vfs_remove(void);

/* Several disks: what is called from here on is about the files under that folder alone, while
 * those under other folders that were named stay as they were told to be. NULL: all that is under
 * none of them, as at first. */
void faulty_vfs_select(const char *folder);
/* Counting begins anew. NULL: no more faults. */
void faulty_vfs_plan(const struct faulty_plan *plan);
uint64_t faulty_vfs_calls(unsigned ops); /* since the plan */
uint64_t faulty_vfs_failed(void);
/* The power is gone: every call fails since. */
bool faulty_vfs_is_off(void);
void faulty_vfs_cut(void);
/* Ends a cut that has lost nothing: the program alone was killed. Its files are closed by now. */
void faulty_vfs_resume(void);
/* After a cut, when nothing has its files open any more: of what was written and not synced since,
 * each sector of 512 bytes is as it was before or as it was written, by chance; so is the length of
 * a file. Power is back, without faults. Returns how many sectors were lost. */
uint64_t faulty_vfs_power_on(void);
