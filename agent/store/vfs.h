/* agent/store/vfs.h: what SQLite reads and writes page by page, in larger pieces.
 *
 * A thin VFS over the default one. The frames of a transaction go into the write-ahead log with one
 * write, pages of a checkpoint that are neighbours into the file with one, and neighbours that are
 * read one after the other are read ahead. What SQLite is promised stays:
 *
 * - Everything is given to the file system by the write that commits, in the order of the log; so a
 *   kill -9 loses no commit. A sync gives it what is still here.
 * - A write that fails is told by the write, read or sync that wanted it done, at the latest by the
 *   one that commits. Of a log, what was not written is then neither read nor written past: the
 *   transaction is dead, and SQLite begins the next at or before that place. What a checkpoint
 *   could not write stays here until it can be, and SQLite has it in the log.
 *
 * For a connection that has its file for itself (locking_mode EXCLUSIVE), and no memory maps. */
#pragma once

#include "base/base.h"

/* Registers it once for the process. Returns its name for db_options.vfs, NULL: no memory. */
const char *vfs_name(void);
