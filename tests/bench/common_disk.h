/* tests/bench/common_disk.h: a folder on a real file system, and what is written there. */
#pragma once

#include "base/base.h"

/* A new folder under TMPDIR or /var/tmp; dies if that is in memory. Removed when the program ends;
 * one a program. */
const char *bench_disk_folder(void);
const char *bench_disk_kind(void); /* of its file system: "ext4" */

/* Whole pages that this process gave the kernel to write to disk (write_bytes of proc_pid_io(5)),
 * without what was cut off again before; a page that is changed twice between two syncs counts
 * once, and the file system's own journal not at all. */
int64_t bench_disk_bytes(void);
uint64_t bench_disk_syncs(void); /* fsync and fdatasync of this process */
