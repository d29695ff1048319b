/* relay/live/live.h: the last-known state of every vehicle, in memory.
 *
 * The newest value of a signal wins: within a boot by the monotonic clock, which never lies;
 * between boots by wall time, as far as it can be believed (order_ns). One thread (ingest) changes
 * it; any thread may take a snapshot. Saved as one blob a vehicle; what came after is applied again
 * from the stream, which does no harm when done twice. */
#pragma once

#include "base/bytes.h"
#include "base/timebase.h"
#include "proto/batch.h"
#include "relay/stream/stream.h"

struct live;
struct registry;

struct live_value {
	uint32_t signal;    /* of the catalog it comes with */
	uint32_t boot : 30; /* the device's boot, as a hash; 0: not known */
	uint32_t quality : 2;
	int64_t wall_ns;  /* repaired, where its clock is known */
	int64_t mono_ns;  /* since that boot */
	int64_t order_ns; /* what it is compared by with values of other boots */
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

/* Whether a takes the place of b. Of b's times those beyond limit_ns are of a wrong clock. */
bool live_is_newer(const struct live_value *a, const struct live_value *b, int64_t limit_ns);

/* Decodes all of b and appends the last value of each signal. Returns 0 with the number of samples,
 * -EBADMSG or -ESTALE with err (b does not fit cat), -ENOMEM; then nothing is appended. */
int live_collect(struct live_values *out, struct batch *b, const struct catalog *cat,
		 uint64_t *ret_samples, struct error *err) must_check;
/* Gives values that were collected from row what row knows of its clock. Where nobody vouches for
 * it, news is as old as its receipt, and a backlog no newer than that. */
void live_stamp(struct live_value *v, size_t n, const struct stream_row *row);

/* Takes values of one vehicle. A value in the future of `received` by more than LIVE_FUTURE_MAX_S
 * (a device whose clock was wrong) gives way to any that comes. cat is borrowed for l's life. */
int live_apply(struct live *l, int64_t vehicle, const struct catalog *cat,
	       const struct live_value *v, size_t n, struct wall_time received) must_check;
/* What a boot's clock turned out to be: wall - mono. Repairs the values of that boot whose times
 * are worse. */
void live_set_clock(struct live *l, int64_t vehicle, int64_t device, uint64_t boot,
		    int64_t clock_ns, enum clock_quality q);
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
