/* relay/live/live.h: the last-known state of every vehicle, in memory.
 *
 * The newest value of a signal wins by wall time. One thread (ingest) changes it; any thread may
 * take a snapshot. Saved as one blob a vehicle; what came after is applied again from the stream,
 * which does no harm when done twice. */
#pragma once

#include "base/bytes.h"
#include "base/timebase.h"
#include "proto/batch.h"

struct live;
struct registry;

struct live_value {
	uint32_t signal; /* of the catalog it comes with */
	int64_t wall_ns;
	uint64_t raw;
};

/* A growing array; zero-initialised it is empty. */
struct live_values {
	struct live_value *v;
	size_t n, cap;
};

enum {
	LIVE_CATALOGS_MAX = 4, /* a vehicle's newest catalogs; the one longest unused goes first */
	LIVE_FUTURE_MAX_S = 60,
};

int live_new(struct live **ret) must_check;
struct live *live_free(struct live *l);

/* Decodes all of b and appends the last value of each signal. Returns 0 with the number of samples,
 * -EBADMSG or -ESTALE with err (b does not fit cat), -ENOMEM; then nothing is appended. */
int live_collect(struct live_values *out, struct batch *b, const struct catalog *cat,
		 uint64_t *ret_samples, struct error *err) must_check;

/* Takes values of one vehicle. A value in the future of `received` by more than LIVE_FUTURE_MAX_S
 * (a device whose clock was wrong) gives way to any later one. cat is borrowed for l's life. */
int live_apply(struct live *l, int64_t vehicle, const struct catalog *cat,
	       const struct live_value *v, size_t n, struct wall_time received) must_check;
void live_forget(struct live *l, int64_t vehicle);

struct live_snapshot {
	size_t n;
	struct {
		const struct catalog *cat;
		struct live_value *v; /* ascending by signal */
		size_t n;
	} slot[LIVE_CATALOGS_MAX];
};

/* A copy, to be given to live_snapshot_free. 0, -ENOENT (nothing known), -ENOMEM. */
int live_get(struct live *l, int64_t vehicle, struct live_snapshot *ret) must_check;
void live_snapshot_free(struct live_snapshot *s); /* fits cleanup() */
/* Catalogs a vehicle has sent with, the one used last first. Returns how many. */
size_t live_catalogs(struct live *l, int64_t vehicle, const struct catalog *ret[LIVE_CATALOGS_MAX]);

/* Hands out blobs of at most max vehicles that changed since they were saved. put's error ends
 * it, and that vehicle stays unsaved. Returns how many were saved, or put's error. */
int live_save(struct live *l, size_t max,
	      int (*put)(void *ctx, int64_t vehicle, const void *blob, size_t len),
	      void *ctx) must_check;
/* After a save that was rolled back. */
void live_unsave_all(struct live *l);
size_t live_unsaved(const struct live *l); /* vehicles; they are saved in the order they changed */
/* Takes a blob back; catalogs come from reg. 0, -EBADMSG, -ENOMEM. A catalog that is not there any
 * more loses its values only. */
int live_restore(struct live *l, struct registry *reg, int64_t vehicle, const void *blob,
		 size_t len) must_check;
