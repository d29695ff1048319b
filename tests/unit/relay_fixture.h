/* tests/unit/relay_fixture.h: catalogs, a folder and open stores for the tests of the relay. */
#pragma once

#include "proto/batch.h"
#include "relay/registry/registry.h"
#include "relay/stream/stream.h"

/* A new folder under /dev/shm or /tmp for relay.db and stream.db; removed with both. */
void relay_dir_make(void);
void relay_dir_remove(void);
const char *store_path(const char *name); /* in that folder; good until the next call */

/* ---- what is in the stores ---- */

extern struct catalog *store_cat; /* of the running test */

/* The folder and store_cat, for tcase_add_checked_fixture. */
void store_setup(void);
void store_teardown(void);

/* One message, two signals: A (unsigned, half a unit a step) and B (signed). */
struct catalog *store_catalog(const char *message);

struct registry *open_registry(void);
struct stream *open_stream(int64_t max); /* max as of stream_open */
/* n samples of A (raw = first + i) a millisecond apart from t0_ms. */
void make_body(struct buf *out, uint32_t *encoding, int64_t t0_ms, uint64_t first, size_t n);
/* Appends such a batch, not committed. Returns what the stream does. */
int append(struct stream *s, int64_t vehicle, uint64_t seq, int64_t t0_ms, uint64_t first,
	   size_t n);
