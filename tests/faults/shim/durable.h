/* tests/faults/shim/durable.h: of each database file a copy that has only what was synced: what a
 * power cut would leave. In the folder TOWLINE_FAULTS_DURABLE; without it, nothing is kept. */
#pragma once

#include <sqlite3.h>

struct durable; /* of a path; shared by all that have it open */

/* What the file holds when the first one opens it counts as synced. NULL: not kept. */
struct durable *durable_open(const char *path, sqlite3_file *real);
void durable_close(struct durable *d);
void durable_written(struct durable *d, sqlite3_int64 at, int len);
/* After a sync of the real file. */
void durable_synced(struct durable *d, sqlite3_file *real);
void durable_deleted(const char *path);
